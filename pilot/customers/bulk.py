"""Writing many rows at once, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pilot.db import Model, db

Item = TypeVar("Item")

BATCH = 1000
_AT_ONCE = 5000
WITHIN, BETWEEN = "\x1f", "\x1e"
"""Signs that no value holds, between values that are told as one text."""


def batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    """The items in lists of at most `size`."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def upsert(model: type[Model], rows: Sequence[Mapping[str, Any]], key: str, update: Iterable[str]) -> None:
    """Insert rows, or where one with this key stands already, update it, in the caller's transaction.

    Args:
        model: Where to.
        rows: Values by column, the same columns in each.
        key: The unique column.
        update: The columns written to a row that stands already; all others keep their values.
    """
    if not rows:
        return
    dialect = db.session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    table: Any = sa.inspect(model).local_table
    statement: Any = insert(table)
    changed = {name: statement.excluded[name] for name in update}
    db.session.execute(statement.on_conflict_do_update(index_elements=[key], set_=changed), list(rows))


def insert_many(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], **same: Any) -> None:
    """Insert rows as they come, without looking at each: their values must be what the driver takes.

    Args:
        model: Where to.
        columns: Names of the columns of the rows.
        rows: Text, numbers or None, in the order of the columns.
        same: Values that are the same in all rows, by column.
    """
    table = _table(model)
    names = ", ".join((*columns, *same))
    values = ", ".join([_mark()] * len(columns) + [_literal(table.c[name], value) for name, value in same.items()])
    _run(f"INSERT INTO {table.name} ({names}) VALUES ({values})", rows)  # noqa: S608 - names of our own


def update_many(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], **same: Any) -> None:
    """Set columns of rows by their id, which comes last in each; else as `insert_many`."""
    table = _table(model)
    changes = [f"{name} = {_mark()}" for name in columns]
    changes += [f"{name} = {_literal(table.c[name], value)}" for name, value in same.items()]
    _run(f"UPDATE {table.name} SET {', '.join(changes)} WHERE id = {_mark()}", rows)  # noqa: S608 - names of our own


def look_up(model: type[Model], key: str, values: Iterable[str], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """These columns, as the driver gives them, of the rows whose key is one of the values."""
    names = ", ".join(columns)
    for batch in batches(values, _AT_ONCE):
        marks = ", ".join([_mark()] * len(batch))
        sql = f"SELECT {names} FROM {_table(model).name} WHERE {key} IN ({marks})"  # noqa: S608 - names of our own
        yield from db.session.connection().exec_driver_sql(sql, tuple(batch))


def look_up_between(
    model: type[Model], key: str, low: str, high: str, columns: Sequence[str]
) -> Sequence[tuple[Any, ...]]:
    """The same of all rows whose key lies between these two, both included."""
    names, mark = ", ".join(columns), _mark()
    sql = f"SELECT {names} FROM {_table(model).name} WHERE {key} >= {mark} AND {key} <= {mark}"  # noqa: S608 - our names
    cursor = db.session.connection().connection.cursor()
    cursor.execute(sql, (low, high))
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return found


def joined_between(model: type[Model], key: str, low: str, high: str, column: str) -> str:
    """Key and column of all rows whose key lies between these two, both included, by key, as one text.

    `WITHIN` stands between key and column, `BETWEEN` between rows; NULL is an empty text.
    """
    mark = _mark()
    join = "string_agg" if db.session.get_bind().dialect.name == "postgresql" else "group_concat"
    sql = (
        f"SELECT {join}(told, {mark}) FROM (SELECT {key} || {mark} || coalesce({column}, '') AS told "  # noqa: S608 - our names
        f"FROM {_table(model).name} WHERE {key} >= {mark} AND {key} <= {mark} ORDER BY {key}) AS rows_told"
    )
    cursor = db.session.connection().connection.cursor()
    cursor.execute(sql, (BETWEEN, WITHIN, low, high))
    (found,) = cursor.fetchone() or ("",)
    return found or ""


def _table(model: type[Model]) -> Any:
    return sa.inspect(model).local_table


def _mark() -> str:
    return "%s" if db.session.get_bind().dialect.name == "postgresql" else "?"


def _literal(column: Any, value: Any) -> str:
    dialect = db.session.get_bind().dialect
    written: Any = sa.literal(value, column.type).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(written)


def _run(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        db.session.connection().exec_driver_sql(statement, list(rows))
