"""What is known of the customers, field by field: how much is missing, and what is there but can hardly be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext

from pilot.customers.models import Customer
from pilot.customers.people.listkeys import GAPS
from pilot.db import db

FINDINGS = {
    "name_of_digits": ("name", lazy_gettext("the name is only a number")),
    "role_address": ("email", lazy_gettext("the address is nobody's own, such as info@")),
    "short_phone": ("phone", lazy_gettext("the phone number has fewer than 6 digits")),
    "long_phone": ("phone", lazy_gettext("the phone number has more than 15 digits")),
    "shared_phone": ("phone", lazy_gettext("the phone number is also that of four or more others")),
    "odd_postcode": ("postcode", lazy_gettext("the postcode is not one of the country")),
    "odd_tax_number": ("legal_entity", lazy_gettext("the tax number has too few or too many digits")),
}
"""What is looked for: the field, and what is found of it, in words."""

SHARED = 5
"""So many customers with one phone number are a finding; a chain's branches may well be fewer."""
_ROLES = (
    "info|admin|office|sales|contact|hello|mail|post|shop|service|support|"
    "amministrazione|ufficio|ordini|acquisti|vendite|commerciale|segreteria|contabilita|negozio|"
    "biuro|sekretariat|kontakt|sklep|zamowienia|ksiegowosc"
)
POSTCODES = {"it": "^[0-9]{5}$", "pl": "^[0-9]{2}-?[0-9]{3}$"}
"""Of customers who are written to in these languages; who reads English may live anywhere."""
_TAX_NUMBERS = {"it": (11, 11), "pl": (10, 10)}
_TAX_LETTERS = "^([A-Za-z]{6}[0-9A-Za-z]{10})$"
"""The Italian tax code of a person, which sole traders use as well."""

Found = sa.ColumnElement[bool]


def counts() -> dict[str, dict[str, int]]:
    """How many customers lack each field, and how many have something in it that can hardly be right.

    Returns:
        By field, and for it by `empty` or a key of `FINDINGS`, the number of customers; zeros are told as well.
    """
    empty = {(name, "empty"): sa.func.coalesce(getattr(Customer, name), "") == "" for name in ("name", *GAPS)}
    odd = {(FINDINGS[key][0], key): check() for key, check in _CHECKS.items()}
    asked = empty | odd
    row = db.session.execute(
        sa.select(*(sa.func.count().filter(found) for found in asked.values())).select_from(Customer)
    ).one()
    told: dict[str, dict[str, int]] = {}
    for (field, key), number in zip(asked, row, strict=True):
        told.setdefault(field, {})[key] = number
    told["phone"]["shared_phone"] = _shared_phones()
    return told


def digits(column: Any) -> sa.ColumnElement[int]:
    """How many digits a text has."""
    rest = column
    for digit in "0123456789":
        rest = sa.func.replace(rest, digit, "")
    return sa.func.length(column) - sa.func.length(rest)


def only_digits(column: Any) -> sa.ColumnElement[str]:
    """A phone or tax number without what people write between its digits."""
    for sign in (" ", "-", "/", ".", "(", ")", "+"):
        column = sa.func.replace(column, sign, "")
    return column  # type: ignore[no-any-return]


def _in_country(check: Callable[[str], Found]) -> Found:
    return sa.or_(*((Customer.language == language) & check(language) for language in POSTCODES))


def _odd_tax_number() -> Found:
    def odd(language: str) -> Found:
        least, most = _TAX_NUMBERS[language]
        return ~digits(Customer.legal_entity).between(least, most)

    some = sa.func.coalesce(Customer.legal_entity, "") != ""
    return some & ~Customer.legal_entity.regexp_match(_TAX_LETTERS) & _in_country(odd)


_CHECKS: dict[str, Callable[[], Found]] = {
    "name_of_digits": lambda: Customer.name.regexp_match("^[0-9][0-9 ./-]*$"),
    "role_address": lambda: sa.func.lower(Customer.email).regexp_match(f"^({_ROLES})[0-9]*@"),
    "short_phone": lambda: (sa.func.coalesce(Customer.phone, "") != "") & (digits(Customer.phone) < 6),
    "long_phone": lambda: digits(Customer.phone) > 15,
    "odd_postcode": lambda: (
        (Customer.postcode != "") & _in_country(lambda language: ~Customer.postcode.regexp_match(POSTCODES[language]))
    ),
    "odd_tax_number": _odd_tax_number,
}


def _shared_phones() -> int:
    number = only_digits(Customer.phone)
    many = sa.func.count()
    groups = sa.select(many.label("customers")).where(number != "").group_by(number).having(many >= SHARED).subquery()
    return int(db.session.scalar(sa.select(sa.func.coalesce(sa.func.sum(groups.c.customers), 0))) or 0)
