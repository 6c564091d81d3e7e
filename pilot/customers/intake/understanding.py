"""What the columns of a table mean and how their cells are written, found out from all values together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pilot.console import count
from pilot.customers.importers import Row, RowError, Table
from pilot.customers.intake.evidence import Evidence
from pilot.customers.intake.fields import Content, Field, plain
from pilot.customers.intake.notation import Days, Numbers
from pilot.customers.intake.staging import TYPED, fault_of, text_of
from pilot.errors import InputError

_WORDS_SHOWN = 12
_STRANGERS_SHOWN = 50
_DOUBT = " (assumed: "
ASSUMED = f"{_DOUBT}no value in the file decides it)"
ODD_LETTERS = f"{_DOUBT}signs stand in words where cp850 or mac-roman have letters)"
_SIGNS = {"comma": ",", "point": ".", ",": ",", ".": "."}
_ORDERS = {"day": ("dd", "mm", "yyyy"), "month": ("mm", "dd", "yyyy"), "year": ("yyyy", "mm", "dd")}


@dataclass(frozen=True, slots=True)
class Overrules:
    """What a person says of a file, which then is not found out. Empty where nothing is said.

    Attributes:
        encoding: Name of the encoding, such as `cp1250`.
        delimiter: The sign between columns.
        decimal: The decimal sign: `,` or `.`, or `comma` or `point`.
        days: What stands first in a day: `day`, `month` or `year`.
        columns: Their column by our field name; an empty one leaves the field out.
        sheet: Name of the sheet of a spreadsheet.
    """

    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    days: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str = ""

    def check(self) -> None:
        """Let pass what can be followed.

        Raises:
            InputError: A sign, an encoding or an order does not exist.
        """
        if self.decimal and self.decimal not in _SIGNS:
            raise InputError(f"{self.decimal!r} is no decimal sign", remedy="It is comma or point")
        if self.days and self.days not in _ORDERS:
            raise InputError(f"{self.days!r} is no part of a day", remedy="What stands first is day, month or year")
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):
            raise InputError(
                f"there is no encoding {self.encoding!r}",
                remedy="It is utf-8, cp1250, cp1252 or iso8859-2, for instance",
            ) from None
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n' or self.delimiter.isalnum()):
            raise InputError(f"{self.delimiter!r} cannot separate columns", remedy="Give one sign, such as ;")


@dataclass(frozen=True, slots=True)
class Understanding:
    """Which column each field is in, how its cells are written, and how that is told to people.

    Attributes:
        places: The fields there are, in our order, with the number of the column of each.
        numbers: How numbers are written.
        days: How days are written.
        how: All of it for people, as it is stored with an import.
        derived: Whether an importer made the values, so that they are written plainly already.
    """

    places: tuple[tuple[Field, int], ...]
    numbers: Numbers
    days: Days
    how: dict[str, Any]
    derived: bool = False

    def reader(self, known: Field) -> tuple[Callable[[str], str | None], str]:
        """What reads a cell of this field, already stripped: plain text, or None; and the complaint if it is None."""
        if self.derived or known.content is Content.TEXT:
            return _bare, ""
        if known.content is Content.WORD:
            return _word_reader(known, self.how["columns"][known.name]), ""
        if known.content is Content.NUMBER:
            return _untyped(
                self.numbers.read, Numbers(".", evident=True).read
            ), f"is not a number with a {self.numbers}"
        return _untyped(self.days.read, self.days.read), f"is not a day written {self.days}"

    def document(self) -> dict[str, Any]:
        """As plain values, to be stored."""
        return {
            "places": {known.name: index for known, index in self.places},
            "decimal": self.numbers.decimal,
            "days": [self.days.order, self.days.pattern],
            "how": self.how,
            "derived": self.derived,
        }

    @classmethod
    def restore(cls, document: dict[str, Any], fields: Sequence[Field]) -> Understanding:
        """What `document` gave."""
        places: dict[str, int] = document["places"]
        found = tuple((known, places[known.name]) for known in fields if known.name in places)
        order, pattern = document["days"]
        numbers, days = Numbers(document["decimal"], evident=True), Days(order, pattern, evident=True)
        return cls(found, numbers, days, document["how"], document["derived"])


def as_made(how: dict[str, Any], header: Sequence[str], fields: Sequence[Field]) -> Understanding:
    """The understanding of rows that an importer made by our own field names."""
    found = tuple((known, header.index(known.name)) for known in fields if known.name in header)
    return Understanding(found, Numbers(".", evident=True), Days("year", "yyyy-mm-dd", evident=True), how, derived=True)


def familiar(fields: Sequence[Field], mapping: Mapping[str, str]) -> Callable[[Sequence[str]], int]:
    """How many columns of a header are known."""
    return lambda header: len(match(fields, header, mapping))


def match(fields: Sequence[Field], header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Which column each field is in. A mapped column is taken by its exact name; no column serves two fields."""
    places = {name: header.index(column) for name, column in mapping.items() if column and column in header}
    plainly = [plain(column) for column in header]
    for wanted in fields:
        if wanted.name in mapping:
            continue
        free = (
            plainly.index(column)
            for column in wanted.columns
            if column in plainly and plainly.index(column) not in places.values()
        )
        if (index := next(free, None)) is not None:
            places[wanted.name] = index
    return {known.name: places[known.name] for known in fields if known.name in places}


def columns(fields: Sequence[Field], header: Sequence[str], mapping: Mapping[str, str], place: str) -> dict[str, int]:
    """Which column each field is in, where all is clear.

    Raises:
        InputError: The map does not fit, a needed column is missing, or two columns have the name of one.
    """
    check_mapping(fields, mapping)
    places = match(fields, header, mapping)
    line = f"{place}, line 1"
    found = f"Columns found: {', '.join(name or '(no name)' for name in header)}"
    for name, column in mapping.items():
        if column and name not in places:
            raise InputError(f"there is no column {column!r}, which the map gives for {name}", place=line, remedy=found)
    missing = [known for known in fields if known.needed and known.name not in places]
    if missing:
        labels = ", ".join(f"{known.label} ({known.name})" for known in missing)
        wanted = ", ".join(f'{known.name} = "…"' for known in missing)
        raise InputError(
            f"no column was found for {labels}",
            place=line,
            remedy=f"{found}. Say which is meant in a file with the line {wanted}, and give it with --map",
        )
    for name, index in places.items():
        if header.count(header[index]) > 1:
            raise InputError(
                f"two columns are called {header[index]!r}, which is read as {name}",
                place=line,
                remedy="Rename or remove one of them",
            )
    return places


def check_mapping(fields: Sequence[Field], mapping: Mapping[str, str]) -> None:
    """Let pass a column map whose fields there are.

    Raises:
        InputError: One of them is unknown.
    """
    names = [known.name for known in fields]
    for name in mapping:
        if name not in names:
            raise InputError(
                f"the column map names an unknown field {name!r}", remedy=f"The fields are {', '.join(names)}"
            )


def understand(
    table: Table, fields: Sequence[Field], places: Mapping[str, int], evidence: Evidence, overrules: Overrules
) -> Understanding:
    """How the columns of a table are written: as a person says, else as its values show.

    Numbers and days are written one way in the whole file, so all such columns decide together. Those of refused rows
    are written as they were in the file they come from: what is wrong with some of them would decide otherwise.
    """
    if (before := table.origin) is not None:
        decimal, days_begin = overrules.decimal or before.decimal, overrules.days or before.days
        overrules = replace(overrules, decimal=decimal, days=days_begin)
    how: dict[str, Any] = {
        **table.how,
        "columns": {name: table.header[index] for name, index in places.items()},
        "not_read": [name for index, name in enumerate(table.header) if name and index not in places.values()],
    }
    found = tuple((known, places[known.name]) for known in fields if known.name in places)
    contents = {known.content for known, _ in found}
    numbers = Numbers.detect(evidence.numbers, table.likely_decimal)
    if overrules.decimal:
        numbers = Numbers(_SIGNS[overrules.decimal], evident=True)
    days = Days.detect(evidence.days)
    if overrules.days and overrules.days != days.order:
        sign = next((sign for sign in "/.-" if sign in days.pattern), "/")
        days = Days(overrules.days, sign.join(_ORDERS[overrules.days]), evident=True)
    if Content.NUMBER in contents:
        _note(how, Content.NUMBER, numbers, evidence)
    if Content.DAY in contents:
        _note(how, Content.DAY, replace(days, evident=days.evident or bool(overrules.days)), evidence)
    for known, index in found:
        if known.content is Content.WORD:
            _note_words(how, known, table.header[index], evidence.words.get(known.name, ()))
    return Understanding(found, numbers, days, how)


def rows(table: Table, understanding: Understanding) -> Iterator[Row | RowError]:
    """The rows of a table by our field names, or what is wrong with them, one by one."""
    width = len(table.header)
    looked_at = [(known.name, index, *understanding.reader(known)) for known, index in understanding.places]
    for record in table.records():
        cells = [text_of(cell) for cell in record.cells]
        bare = [cell.removeprefix(TYPED) for cell in cells]
        if fault := fault_of(record, width):
            yield RowError(record.line, record.column, ";".join(bare)[:200], fault, bare)
        else:
            yield _row(record.line, cells, bare, looked_at, table.header)


def _row(
    line: int,
    cells: Sequence[str],
    bare: Sequence[str],
    looked_at: Sequence[tuple[str, int, Callable[[str], str | None], str]],
    header: Sequence[str],
) -> Row | RowError:
    values = {}
    for name, index, read, complaint in looked_at:
        text = cells[index].strip()
        value = read(text) if text else ""
        if value is None:
            return RowError(line, header[index], bare[index].strip(), complaint, bare)
        values[name] = value
    return Row(line, values, bare)


def _note(how: dict[str, Any], content: Content, found: Numbers | Days, evidence: Evidence) -> None:
    """Say how numbers or days are written; where that is assumed, with the value that speaks against it or decided it."""
    name = f"{content}s"
    how[name] = f"{found}" if found.evident else f"{found}{ASSUMED}"
    if found.evident or found.stray is None:
        return
    line, value = evidence.find(content, found.stray.first)
    doubt = {"values": found.stray.values, "decides": found.stray.decides, "line": line, "value": value}
    how.setdefault("doubts", {})[name] = doubt
    told = f"decided by {count(found.stray.values, 'value')}"
    if not found.stray.decides:
        told = f"usual for such a file; {count(found.stray.values, 'value')} told otherwise and cannot be read so"
    how[name] = f"{found}{_DOUBT}{told}, line {line}: {value})"


def _note_words(how: dict[str, Any], known: Field, column: str, words: Sequence[str]) -> None:
    """Say what the words of a column were read as, those apart whose meaning is not known."""
    meanings = known.meanings(column)
    strangers = [word for word in words if plain(word) and (plain(word) not in meanings or _asks(word))]
    familiar = [word for word in words if word not in strangers] if known.otherwise is not None else words
    read = _word_reader(known, column)
    how.setdefault("words", {})[known.name] = {word: read(word) for word in familiar[:_WORDS_SHOWN]}
    if known.otherwise is not None and strangers:
        shown = {"words": strangers[:_STRANGERS_SHOWN], "more": max(0, len(strangers) - _STRANGERS_SHOWN)}
        how.setdefault("unknown_words", {})[known.name] = shown


def _bare(text: str) -> str:
    return text.removeprefix(TYPED)


def _untyped(read: Callable[[str], str | None], typed: Callable[[str], str | None]) -> Callable[[str], str | None]:
    return lambda text: typed(text[1:]) if text.startswith(TYPED) else read(text)


def _word_reader(known: Field, column: str) -> Callable[[str], str]:
    meanings = known.meanings(column)

    def read(text: str) -> str:
        text = text.removeprefix(TYPED)
        meaning = None if _asks(text) else meanings.get(plain(text))
        return meaning if meaning is not None else text if known.otherwise is None else known.otherwise

    return read


def _asks(word: str) -> bool:
    """Whether whoever wrote the word was not sure of it: `polski?`."""
    return "?" in word


def without_doubt(told: str) -> str:
    """How numbers or days are written, without what is said of its being assumed."""
    return told.partition(_DOUBT)[0]
