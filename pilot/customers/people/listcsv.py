"""The list of customers as a CSV file for the spreadsheet of whoever reads it, which an import reads as well."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import sqlalchemy as sa

from pilot.customers.cells import inert
from pilot.customers.models import Segment
from pilot.customers.people.listing import Line
from pilot.customers.wording import ACTIVITY_NAMES, FIELD_NAMES, channel_names
from pilot.db import db
from pilot.web import LANGUAGE_NAMES

_AT_ONCE = 500
_DIGITS = 2


def written(lines: Iterator[Line], columns: Sequence[str], language: str) -> Iterator[str]:
    """The lines with headers, names, decimals and delimiter as the language has them, some text at a time.

    It begins with the mark that tells spreadsheets it is UTF-8, and no cell is one that they take for a formula.
    """
    out = io.StringIO("\ufeff", newline="")
    out.seek(0, io.SEEK_END)
    comma = language != "en"
    writer = csv.writer(out, delimiter=";" if comma else ",")
    writer.writerow([str(FIELD_NAMES[column]) for column in columns])
    names = _names()
    for number, line in enumerate(lines):
        writer.writerow([_cell(line.value(column), names.get(column, {}), comma=comma) for column in columns])
        if number % _AT_ONCE == _AT_ONCE - 1:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _names() -> dict[str, Mapping[str, str]]:
    """What is written for what is stored, by column."""
    return {
        "segment": {segment.key: segment.name for segment in db.session.scalars(sa.select(Segment))},
        "activity": {key: str(name) for key, name in ACTIVITY_NAMES.items()},
        "channel": channel_names(),
        "language": LANGUAGE_NAMES,
    }


def _cell(value: object, names: Mapping[str, str], *, comma: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        amount = f"{value:.{_DIGITS}f}"
        return amount.replace(".", ",") if comma else amount
    if isinstance(value, str):
        return inert(names.get(value, value))
    return value.isoformat() if isinstance(value, date) else str(value)
