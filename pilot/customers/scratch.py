"""Tables that live within one transaction: what many statements need of one costly question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import sqlalchemy as sa

from pilot.db import Model, db


def table_of(model: type[Model]) -> sa.Table:
    """The table of a model, where the statements of the ORM will not do."""
    return cast("sa.Table", sa.inspect(model).local_table)


@contextmanager
def scratch(name: str, query: sa.Select[Any], key: str = "customer_id") -> Iterator[sa.Table]:
    """The answer to a query as a temporary table, in the caller's transaction.

    Args:
        name: What the table is called.
        query: What fills it.
        key: Its column that is unique.

    Yields:
        The table; it is gone after the block, or with the transaction if the block fails.
    """
    columns = [sa.Column(column.name, column.type, primary_key=column.name == key) for column in query.selected_columns]
    table = sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])
    connection = db.session.connection()
    table.create(connection, checkfirst=False)
    connection.execute(sa.insert(table).from_select([column.name for column in columns], query))
    yield table
    table.drop(connection, checkfirst=False)
