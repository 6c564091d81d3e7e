"""Writing many rows at once, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

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


def insert_many(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], **same: Any) -> None:
    """Insert rows as they come, without looking at each: their values must be what the driver takes.

    PostgreSQL takes them as one stream, at a fraction of what a statement for each row costs.

    Args:
        model: Where to.
        columns: Names of the columns of the rows.
        rows: Text, numbers or None, in the order of the columns.
        same: Values that are the same in all rows, by column.
    """
    table = _table(model)
    names = ", ".join((*columns, *same))
    if _is_postgresql():
        with _cursor() as cursor:
            _stream(cursor, f"COPY {table.name} ({names}) FROM STDIN", rows, tuple(same.values()))
        return
    values = ", ".join([_mark()] * len(columns) + [_literal(table.c[name], value) for name, value in same.items()])
    _run(f"INSERT INTO {table.name} ({names}) VALUES ({values})", rows)  # noqa: S608 - names of our own


def replace_many(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], key: str) -> None:
    """Insert rows, or where one with this key stands already, set these columns of it and leave the others.

    Args:
        model: Where to.
        columns: Names of the columns of the rows.
        rows: Text, numbers or None, in the order of the columns.
        key: The unique column.
    """
    table, names = _table(model).name, ", ".join(columns)
    into = f"INSERT INTO {table} ({names})"
    standing = ", ".join(f"{name} = excluded.{name}" for name in columns if name != key)
    standing = f"ON CONFLICT ({key}) DO UPDATE SET {standing}"
    if not _is_postgresql():
        _run(f"{into} VALUES ({', '.join([_mark()] * len(columns))}) {standing}", rows)
        return
    held = f"streamed_{table}"
    with _cursor() as cursor:
        empty = f"SELECT {names} FROM {table} WITH NO DATA"  # noqa: S608 - names of our own
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {held} ON COMMIT DROP AS {empty}")
        _stream(cursor, f"COPY {held} ({names}) FROM STDIN", rows)
        cursor.execute(f"{into} SELECT {names} FROM {held} {standing}")  # noqa: S608 - names of our own
        cursor.execute(f"TRUNCATE {held}")


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
    cursor = _cursor()
    cursor.execute(sql, (low, high))
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return found


def joined_between(model: type[Model], key: str, low: str, high: str, column: str) -> str:
    """Key and column of all rows whose key lies between these two, both included, by key, as one text.

    `WITHIN` stands between key and column, `BETWEEN` between rows; NULL is an empty text.
    """
    mark = _mark()
    join = "string_agg" if _is_postgresql() else "group_concat"
    sql = (
        f"SELECT {join}(told, {mark}) FROM (SELECT {key} || {mark} || coalesce({column}, '') AS told "  # noqa: S608 - our names
        f"FROM {_table(model).name} WHERE {key} >= {mark} AND {key} <= {mark} ORDER BY {key}) AS rows_told"
    )
    cursor = _cursor()
    cursor.execute(sql, (BETWEEN, WITHIN, low, high))
    (found,) = cursor.fetchone() or ("",)
    return found or ""


def _table(model: type[Model]) -> Any:
    return sa.inspect(model).local_table


def _mark() -> str:
    return "%s" if _is_postgresql() else "?"


def _literal(column: Any, value: Any) -> str:
    dialect = db.session.get_bind().dialect
    written: Any = sa.literal(value, column.type).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(written)


def _stream(cursor: Any, statement: str, rows: Iterable[Sequence[Any]], same: tuple[Any, ...] = ()) -> None:
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row((*row, *same))


def _cursor() -> Any:
    return db.session.connection().connection.cursor()


def _is_postgresql() -> bool:
    return db.session.get_bind().dialect.name == "postgresql"


def _run(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        db.session.connection().exec_driver_sql(statement, list(rows))
