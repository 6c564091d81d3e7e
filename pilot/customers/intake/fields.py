"""What a file of each kind can tell: our field names, what they hold, and what others call their columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Content(StrEnum):
    """What the cells of a column hold."""

    TEXT = "text"
    DAY = "day"
    NUMBER = "number"
    WORD = "word"
    """One of a few words, each with a meaning of ours."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind of file.

    Attributes:
        name: Our name for it.
        label: What it is, for people.
        needed: Whether a file without such a column is refused.
        content: What its cells hold.
        columns: What files call it, in English, Italian and Polish, the surest name first.
        words: For `WORD`: the meaning of each word, both as `plain` writes them.
        otherwise: The meaning of any other word, which is then said to be assumed; None leaves the word as it stands.
        answers: Meanings of words such as `1` or `yes`, which answer the name of a column like "cancelled".
        unasked: Columns, as `plain` writes them, whose names ask nothing: there `1` is a code like any other.
    """

    name: str
    label: str
    needed: bool = False
    content: Content = Content.TEXT
    columns: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    otherwise: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    unasked: frozenset[str] = frozenset()

    def meanings(self, column: str) -> Mapping[str, str]:
        """The meaning of each word, as `plain` writes it, in a column of this name."""
        return self.words if plain(column) in self.unasked else {**self.words, **self.answers}


def plain(text: str) -> str:
    """A name or word with case, accents, blanks and signs taken off, for comparing: `Città ` gives `citta`."""
    folded = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l"))
    return "".join(letter for letter in folded if letter.isalnum())


def _words(**meanings: str) -> dict[str, str]:
    return {plain(word): meaning for meaning, words in meanings.items() for word in words.split()}


_CUSTOMER_NUMBER = (
    "customer ref, customer no, customer number, customer id, customer code, client no, client id, account no, "
    "codice cliente, cod cliente, numero cliente, n cliente, id cliente, "
    "numer klienta, nr klienta, kod klienta, id klienta"
)
_LANGUAGES = _words(
    en="en eng english enGB enUS enIE inglese angielski",
    it="it ita italian italiano itIT italiana włoski",
    pl="pl pol polish polski plPL polacco polska",
)
_CONTACTS = _words(
    call="call phone telephone telefonata chiamata telefono rozmowa telefon połączenie",
    mail="mail email letter posta lettera poczta wiadomość",
    visit="visit meeting visita incontro wizyta spotkanie",
)
_STATUSES = "status, order status, stato, stato ordine, stan, status zamówienia"
_CANCELLED = _words(
    true="cancelled canceled cancellation order_cancelled order_canceled cancelled_by_customer canceled_by_customer "
    "void voided annullato annullata annullati annullate annullamento annullato_dal_cliente annullata_dal_cliente "
    "ordine_annullato cancellato cancellata storno stornato stornata disdetto disdetta "
    "anulowane anulowany anulowana anulowano anulacja anulowane_przez_klienta anulowano_przez_klienta "
    "zamówienie_anulowane stornowane stornowany stornowana skasowane rezygnacja",
    returned="returned return refund refunded credit_note credited reso resi restituito restituita rimborsato rimborsata "
    "rimborso nota_di_credito nota_credito nota_di_accredito accreditato zwrot zwroty zwrócone zwrócony zwrócona "
    "zwrot_towaru nota_kredytowa",
)
_CANCELLED |= dict.fromkeys(
    _words(
        kept="open new confirmed accepted processing pending shipped dispatched sent delivered completed complete closed "
        "done paid invoiced ok active valid order sale not_cancelled "
        "aperto aperta nuovo nuova confermato confermata accettato in_lavorazione in_attesa spedito spedita inviato "
        "consegnato consegnata completato completata concluso conclusa chiuso chiusa evaso evasa pagato pagata fatturato "
        "fatturata valido valida attivo ordine vendita "
        "otwarte nowe nowy potwierdzone przyjęte w_realizacji w_trakcie oczekujące wysłane wysłano dostarczone doręczone "
        "zrealizowane zrealizowano zakończone zamknięte opłacone zapłacone zafakturowane aktywne ważne zamówienie sprzedaż"
    ),
    "",
)
_CANCELLED_OR_NOT = {
    **dict.fromkeys(_words(yes="true yes y 1 x si sì s tak t"), "true"),
    **dict.fromkeys(_words(no="false no n 0 not nie f"), ""),
}


def _field(
    name: str,
    label: str,
    columns: str,
    content: Content = Content.TEXT,
    *,
    needed: bool = False,
    words: Mapping[str, str] | None = None,
    otherwise: str | None = None,
    answers: Mapping[str, str] | None = None,
    unasked: str = "",
) -> Field:
    codes = frozenset(plain(column) for column in unasked.split(","))
    known = tuple(dict.fromkeys(plain(column) for column in (name, *columns.split(","))))
    return Field(name, label, needed, content, known, words or {}, otherwise, answers or {}, codes)


FIELDS: dict[str, tuple[Field, ...]] = {
    "customers": (
        _field("ref", "customer number", f"{_CUSTOMER_NUMBER}, id", needed=True),
        _field(
            "name",
            "name",
            "customer name, company name, company, customer, client, ragione sociale, nome cliente, denominazione, "
            "nome, cliente, nazwa klienta, nazwa firmy, nazwa, firma, klient",
            needed=True,
        ),
        _field("email", "e-mail", "e-mail address, mail, indirizzo e-mail, posta elettronica, adres e-mail, poczta"),
        _field("phone", "phone", "phone number, telephone, tel, telefono, cellulare, telefon, numer telefonu"),
        _field("language", "language", "lang, lingua, język", Content.WORD, words=_LANGUAGES, otherwise=""),
        _field("region", "region", "area, province, country, regione, provincia, paese, województwo, kraj"),
        _field(
            "sales_rep",
            "sales rep",
            "rep, salesperson, account manager, agent, agente, venditore, commerciale, handlowiec, przedstawiciel, opiekun",
        ),
        _field("street", "street", "address, street address, indirizzo, via, adres, ulica"),
        _field("city", "city", "town, città, comune, località, miasto, miejscowość"),
        _field("postcode", "postcode", "postal code, zip code, zip, cap, codice postale, kod pocztowy"),
        _field(
            "legal_entity",
            "tax number",
            "vat number, vat no, vat id, tax number, tax id, partita iva, p iva, piva, codice fiscale, nip, numer podatkowy",
        ),
        _field("sector", "sector", "industry, branch, settore, ateco, branża, sektor, pkd"),
        _field(
            "size",
            "size",
            "size class, employees, company size, dimensione, dipendenti, classe dimensionale, wielkość, "
            "liczba pracowników, zatrudnienie",
        ),
    ),
    "orders": (
        _field("customer_ref", "customer number", f"{_CUSTOMER_NUMBER}, customer, cliente, klient", needed=True),
        _field(
            "order_ref",
            "order number",
            "order no, order number, order id, order, invoice no, invoice number, invoice, document no, "
            "numero ordine, n ordine, codice ordine, ordine, numero fattura, fattura, "
            "numer zamówienia, nr zamówienia, zamówienie, numer faktury, nr faktury, faktura",
            needed=True,
        ),
        _field(
            "ordered_on",
            "date",
            "order date, invoice date, date, data ordine, data fattura, data zamówienia, data faktury, data",
            Content.DAY,
            needed=True,
        ),
        _field(
            "amount",
            "amount",
            "net amount, order value, value, total, revenue, importo netto, importo, imponibile, valore, totale, "
            "kwota netto, kwota, wartość netto, wartość, suma",
            Content.NUMBER,
            needed=True,
        ),
        _field(
            "cancelled",
            "cancelled",
            f"canceled, annullato, anulowane, anulowano, {_STATUSES}",
            Content.WORD,
            words=_CANCELLED,
            otherwise="",
            answers=_CANCELLED_OR_NOT,
            unasked=_STATUSES,
        ),
    ),
    "touches": (
        _field("customer_ref", "customer number", f"{_CUSTOMER_NUMBER}, customer, cliente, klient", needed=True),
        _field(
            "happened_on", "date", "contact date, date, data contatto, data kontaktu, data", Content.DAY, needed=True
        ),
        _field("channel", "channel", "handling channel, canale, kanał", needed=True),
        _field(
            "kind",
            "kind",
            "type, contact type, tipo, tipo contatto, rodzaj, typ",
            Content.WORD,
            words=_CONTACTS,
            needed=True,
        ),
        _field("minutes", "minutes", "min, duration, minuti, durata, minuty, czas", Content.NUMBER, needed=True),
        _field("cost", "cost", "costo, koszt", Content.NUMBER),
        _field(
            "touch_ref",
            "touch number",
            "touch id, contact id, activity id, id contatto, id attività, id kontaktu, nr kontaktu",
        ),
    ),
}
"""The fields of each kind of file, by kind."""
