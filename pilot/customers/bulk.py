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
