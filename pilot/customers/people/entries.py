"""What people type in for a customer, checked just as an import would check it."""

from __future__ import annotations

from flask_babel import gettext as _

from pilot.config import LANGUAGES, today
from pilot.customers.intake.checks import Unfit, check_of
from pilot.customers.intake.fields import FIELDS
from pilot.errors import InputError


def customer_value(name: str, text: str) -> str | None:
    """The value of a customer's field as it is stored; None if nothing was typed in.

    Raises:
        InputError: It cannot be taken over; the reason is in the reader's language.
    """
    if not text.strip():
        return None
    if name == "language" and text not in LANGUAGES:
        raise InputError(_("Choose one of the languages."))
    known = next(field for field in FIELDS["customers"] if field.name == name)
    try:
        return check_of(known, lambda typed: typed, "", ".", today()).judge(text) or None
    except Unfit as unfit:
        raise InputError(_refusal(name)) from unfit


def _refusal(name: str) -> str:
    email = _("This is not an e-mail address.")
    return str(
        email if name == "email" else _("This cannot be stored: it is too long, or holds signs that are no text.")
    )
