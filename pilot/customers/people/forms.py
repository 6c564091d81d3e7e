"""Reading what the page of the customer list asks for, and writing it into addresses again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pilot.customers.models import LIST_KEYS, ListedCustomer
from pilot.customers.people.listing import COLUMNS, SHOWN, SIZES, ListQuery, Place
from pilot.customers.people.listkeys import GAPS
from pilot.numerals import plainly, read_number
from pilot.web import number

LONGEST = 200
_TEXTS = ("search", "segment", "activity", "region", "sales_rep", "channel", "pilot")
_NUMBERS = ("revenue_from", "revenue_to")
_DAYS = ("ordered_from", "ordered_to")


def read(arguments: MultiDict[str, str]) -> tuple[ListQuery, dict[str, str]]:
    """The query that was asked for, and by field what could not be read of it; such a field filters nothing."""
    asked: dict[str, Any] = {name: arguments.get(name, "").strip()[:LONGEST] for name in _TEXTS}
    errors: dict[str, str] = {}
    for names, kind, told in (
        (_NUMBERS, read_number, _("Write a number, such as %(example)s.", example=number(1250.5, 2))),
        (_DAYS, date.fromisoformat, _("Write a day, such as 2026-03-31.")),
    ):
        for name in names:
            if text := arguments.get(name, "").strip():
                try:
                    asked[name] = kind(text)
                except ValueError:
                    errors[name] = told
    asked["missing"] = _one_of(arguments.get("missing", ""), GAPS, "")
    asked["sort"] = _one_of(arguments.get("sort", ""), LIST_KEYS, "revenue_year")
    asked["descending"] = arguments.get("order", "desc") != "asc"
    asked["size"] = int(_one_of(arguments.get("size", ""), map(str, SIZES), "50"))
    chosen = arguments.getlist("column")
    asked["columns"] = tuple(name for name in COLUMNS if name in (*chosen, "name")) if chosen else SHOWN
    return ListQuery(**asked), errors


def arguments_of(query: ListQuery) -> dict[str, Any]:
    """What asks for this query in an address; what goes without saying is left out."""
    asked = {name: _plain(value) for name, value in query.narrows().items()}
    if query.sort != "revenue_year" or not query.descending:
        asked |= {"sort": query.sort, "order": "desc" if query.descending else "asc"}
    if query.columns != SHOWN:
        asked["column"] = list(query.columns)
    if query.size != 50:
        asked["size"] = query.size
    return asked


def place_of(text: str, query: ListQuery) -> Place | None:
    """The place that an address tells of; None if it tells of none, or of one in another order."""
    number, _colon, value = text.partition(":")
    kind = sa.inspect(ListedCustomer).c[query.sort].type.python_type
    try:
        found = date.fromisoformat(value) if kind is date else value if kind is str else _number(value)
        return Place(kind(found) if kind is int else found, int(number)) if 0 <= int(number) < 2**31 else None
    except (ValueError, OverflowError):
        return None


def written(place: Place | None) -> str | None:
    """A place as it stands in an address."""
    return None if place is None else f"{place.customer_id}:{place.value}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else plainly(value) if isinstance(value, float) else value


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) < 10**15:  # neither endless nor more than the database holds
        raise ValueError(text)
    return value


def _one_of(text: str, known: Iterable[str], otherwise: str) -> str:
    return text if text in known else otherwise
