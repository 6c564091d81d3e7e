"""Proving a segment rule: made-up profiles about its limits, looked at by a database in memory."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from pilot import clock
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import columns_of
from pilot.customers.scratch import table_of
from pilot.db import UtcDateTime

PROFILES = 200
_DAY = date(2026, 1, 1)


def kept_out(condition: sa.ColumnElement[bool], keeps: sa.ColumnElement[bool]) -> int:
    """How many of the made-up profiles a rule lets into its segment and would not let stay there: 0 for a sound one."""
    profiles, customers = table_of(CustomerProfile), table_of(Customer)
    columns = {*columns_of(condition), *columns_of(keeps)}
    values = _about((*visitors.iterate(condition), *visitors.iterate(keeps)))
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        profiles.metadata.create_all(connection, tables=[customers, profiles])
        for table in (customers, profiles):
            connection.execute(sa.insert(table), list(_made_up(table, columns, values)))
        both = sa.select(sa.func.count()).select_from(profiles.join(customers))
        lost = connection.scalar(both.where(condition, sa.not_(sa.func.coalesce(keeps, sa.false()))))
    engine.dispose()
    return lost or 0


def _about(nodes: Iterable[Any]) -> dict[type, list[Any]]:
    """Values at, below and above each limit that stands in an expression, by their kind."""
    limits = [node.value for node in nodes if isinstance(node, sa.BindParameter)]
    flat = [value for limit in limits for value in (limit if isinstance(limit, list | tuple) else [limit])]
    numbers = [value for value in flat if isinstance(value, int | float) and not isinstance(value, bool)]
    around = [value * share for value in numbers for share in (0.5, 0.85, 0.95, 0.999, 1, 1.001, 1.05, 1.15, 2)]
    words = [value for value in flat if isinstance(value, str)]
    days = [_DAY + timedelta(days=number) for number in range(-800, 800, 50)]
    return {float: [0.0, *around], int: [0, *map(round, around)], str: ["", "other", *words], date: days}


def _made_up(
    table: sa.Table, wanted: Set[sa.Column[Any]], values: Mapping[type, list[Any]]
) -> Iterator[dict[str, Any]]:
    """Rows whose wanted columns take the values by chance, the same chance every time; the others are plain."""
    chance = random.Random(PROFILES)  # noqa: S311
    plain: dict[type, Any] = {int: 1, float: 0.0, date: _DAY, datetime: clock.now(), dict: {}, bool: False}
    for number in range(1, PROFILES + 1):
        row: dict[str, Any] = {}
        for column in table.columns:
            kind = datetime if isinstance(column.type, UtcDateTime) else column.type.python_type
            if column.primary_key:
                row[column.name] = number
            elif column in wanted and kind in values:
                unknown = column.nullable and chance.random() < 0.1
                row[column.name] = None if unknown else chance.choice(values[kind])
            else:
                row[column.name] = None if column.nullable else plain.get(kind, f"x{number}")
        yield row
