"""What people type in for a customer though it can hardly be right: some is refused, some only asked about again."""

from __future__ import annotations

import re

from flask_babel import gettext as _

from pilot.customers.people.quality import POSTCODES

PHONE_DIGITS = (6, 15)
"""Fewest and most digits; more has no phone number of the world (ITU-T E.164)."""
_FEWEST = 8
"""Signs of the shortest tax number in use (Danish and Maltese ones have eight digits)."""
_NIP_WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)
_SIGNS = re.compile(r"[\s./-]")


def refusal(name: str, value: str, language: str | None) -> str:
    """Why a value of a field cannot be meant, as a sentence in the reader's language; empty if it may be.

    Args:
        name: Of the field.
        value: As it would be stored.
        language: That the customer is written to in; of Italian and Polish ones the form of postcodes is known.
    """
    if name == "phone":
        least, most = PHONE_DIGITS
        if not least <= sum(sign.isdecimal() for sign in value) <= most:
            return str(_("A phone number has %(least)s to %(most)s digits.", least=least, most=most))
    elif name == "legal_entity":
        if not _may_be_tax_number(_SIGNS.sub("", value)):
            return str(_("A tax number has at least %(least)s digits; letters may stand among them.", least=_FEWEST))
    elif name == "postcode" and language in POSTCODES:
        if not re.fullmatch(POSTCODES[language], value):
            italian, polish = _("An Italian postcode has five digits."), _("A Polish postcode is written 00-000.")
            return str(italian if language == "it" else polish)
    elif not any(sign.isalnum() for sign in value):
        return str(_("Write a word or a number, or leave it empty."))
    return ""


def doubt(name: str, value: str) -> str:
    """What makes a value look mistyped though it is taken over when somebody insists; empty if nothing does."""
    if name == "legal_entity" and not _check_digit_fits(_SIGNS.sub("", value).upper()):
        return str(_("The check digit does not fit: a digit is likely mistyped."))
    return ""


def _may_be_tax_number(bare: str) -> bool:
    digits = sum(sign.isdecimal() for sign in bare)
    of_person = re.fullmatch("[A-Za-z]{6}[0-9A-Za-z]{10}", bare)  # the Italian one, whose digits letters may replace
    return bool(of_person) or (bare.isalnum() and digits >= _FEWEST)


def _check_digit_fits(bare: str) -> bool:
    """Whether a Polish NIP or an Italian partita IVA ends with the digit that follows from the others."""
    if found := re.fullmatch("(?:PL)?([0-9]{10})", bare):
        digits = [int(digit) for digit in found[1]]
        return sum(weight * digit for weight, digit in zip(_NIP_WEIGHTS, digits, strict=False)) % 11 == digits[9]
    if found := re.fullmatch("(?:IT)?([0-9]{11})", bare):
        doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(found[1])]  # Luhn's way
        return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0
    return True
