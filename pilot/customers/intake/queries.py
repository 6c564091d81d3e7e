"""Rows straight from a database of the company: sources that the configuration names, read and never written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pilot.config import Source, current
from pilot.customers.importers import Cell, Record, Table
from pilot.errors import InputError

_PAGE = 5_000


def source_names(kind: str) -> list[str]:
    """The configured sources that have a query for this kind of rows."""
    return [name for name, source in current().sources.items() if getattr(source, kind)]


def read_query(name: str, kind: str) -> Table:
    """What a configured query answers, as a table; asked anew each time its records are read.

    Raises:
        InputError: There is no such source or query, the database cannot be reached, or it refuses the query.
    """
    source = _source(name)
    query = getattr(source, kind)
    if not query:
        raise InputError(
            f"the source {name!r} has no query for {kind}",
            place=f"sources.{name}",
            remedy=f'Write one under [sources.{name}] as {kind} = "SELECT …"',
        )
    with _answer(name, source, query) as answer:
        header = tuple(answer.keys())
    return Table(header, {"source": name, "query": query}, lambda: _records(name, source, query))


def _source(name: str) -> Source:
    sources = current().sources
    if name not in sources:
        raise InputError(
            f"there is no source {name!r}",
            remedy=f"Configured: {', '.join(sources) or 'none; name one under [sources] in the configuration'}",
        )
    return sources[name]


def _records(name: str, source: Source, query: str) -> Iterator[Record]:
    with _answer(name, source, query) as answer:
        number = 0
        for page in answer.partitions(_PAGE):
            for row in page:
                number += 1
                yield Record(number, number, [_cell(value) for value in row])


@contextmanager
def _answer(name: str, source: Source, query: str) -> Iterator[sa.CursorResult[Any]]:
    """The running query, in a transaction that may not write.

    Raises:
        InputError: Something is wrong with address, database or query; the address is not shown, it may hold a password.
    """
    place = f"sources.{name}"
    try:
        engine = sa.create_engine(source.url, poolclass=sa.NullPool)
    except (ArgumentError, ImportError) as error:
        raise InputError("its address is not one of a database", place=f"{place}.url", remedy=str(error)) from error
    try:
        with engine.connect() as connection:
            _only_read(connection)
            streaming = connection.execution_options(stream_results=True, max_row_buffer=_PAGE)
            with streaming.execute(sa.text(query)) as answer:
                yield answer
    except SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise InputError(
            f"the database of this source does not answer: {cause}", place=place, remedy="Check its address and query"
        ) from error


def _only_read(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")


def _cell(value: Any) -> Cell:
    if isinstance(value, datetime):
        return (value.astimezone(ZoneInfo(current().timezone)) if value.tzinfo else value).date()
    if value is None or isinstance(value, (str, int, float, Decimal, bool, date)):
        return value
    return str(value)
