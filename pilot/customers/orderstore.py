"""Orders and touches in bulk: immutable Parquet files, one for each import, asked through DuckDB.

Only files that a committed import names are read, so a file left over from an interrupted import is never seen.
Nobody locks: a file is written under another name, made durable, renamed, and never changed afterwards. What comes
again in a later import replaces what an earlier one said, so that overlapping exports count nothing twice: an order
by its number, and, since touches have none, the touches of a customer on one day through one channel of one kind.

Sums are made of exact decimals and whole numbers: the same facts give the same bits, however many threads add.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from pilot.config import current
from pilot.customers.models import Import
from pilot.db import db
from pilot.errors import PilotError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "512MB"
_SCALE = 10_000
"""Facts have four decimal places: times this they are whole numbers."""

_SCHEMAS = {
    "orders": {
        "customer_ref": "VARCHAR",
        "order_ref": "VARCHAR",
        "ordered_on": "DATE",
        "amount": "DECIMAL(18,4)",
        "cancelled": "BOOLEAN",
    },
    "touches": {
        "customer_ref": "VARCHAR",
        "happened_on": "DATE",
        "channel": "VARCHAR",
        "kind": "VARCHAR",
        "minutes": "DOUBLE",
        "cost": "DECIMAL(18,4)",
    },
}

_IDENTITY = {"orders": "customer_ref, order_ref", "touches": "customer_ref, happened_on, channel, kind"}
"""What a later import replaces as a whole."""


class Measure(StrEnum):
    """What can be measured of each customer in a window of days."""

    REVENUE = "revenue"
    """Money of orders that were not cancelled."""
    ORDERS = "orders"
    """Number of orders that were not cancelled."""
    COST = "cost"
    """What the touches cost."""
    MINUTES = "minutes"
    """How long the touches took."""
    RETAINED = "retained"
    """1 for whoever has an order that was not cancelled, else 0."""


_MEASURES = {
    Measure.REVENUE: ("orders", "ordered_on", "sum(amount)"),
    Measure.ORDERS: ("orders", "ordered_on", "count(DISTINCT order_ref)"),
    Measure.RETAINED: ("orders", "ordered_on", "1"),
    Measure.COST: ("touches", "happened_on", "sum(cost)"),
    Measure.MINUTES: ("touches", "happened_on", "sum(CAST(minutes AS DECIMAL(18,4)))"),
}


class FactProfile(NamedTuple):
    """What orders tell of a customer as of a day; see `CustomerProfile` for the fields."""

    ref: str
    frequency: int
    monetary: Decimal
    revenue_year: Decimal
    first_order: date
    last_order: date
    order_days: int


class MomentRow(NamedTuple):
    """n, mean and centred sum of squares of a measure in one arm and stratum."""

    arm: str
    stratum: str
    n: int
    mean: float
    m2: float


class ShareRow(NamedTuple):
    """How many of the `n` customers of one arm and stratum have the property measured."""

    arm: str
    stratum: str
    n: int
    yes: int


class OrderStore:
    """The facts of one installation."""

    def __init__(self, root: Path) -> None:
        """The store whose files lie in this folder."""
        self._root = root

    def add(self, kind: str, rows: Iterable[Sequence[Any]]) -> str:
        """Write rows to a new file of their own and make it durable. It counts once an import names it.

        Args:
            kind: `orders` or `touches`.
            rows: Values in the order of the file's columns.

        Returns:
            The file's name relative to the store.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        name = f"{kind}-{uuid4().hex}.parquet"
        with tempfile.TemporaryDirectory(dir=self._root, prefix="incoming-") as folder:
            staged, part = Path(folder) / "rows.csv", Path(folder) / name
            with staged.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows(rows)
            columns = ", ".join(f"'{column}': '{kind_of}'" for column, kind_of in _SCHEMAS[kind].items())
            with self._engine() as engine:
                engine.execute(
                    "COPY (FROM read_csv(?, header=false, auto_detect=false, delim=',', quote='\"', escape='\"', "
                    f"columns={{{columns}}})) TO ? (FORMAT parquet, COMPRESSION zstd)",
                    [str(staged), str(part)],
                )
            _make_durable(part)
            part.rename(self._root / name)
        _make_durable(self._root)
        return name

    def profile(self, as_of: date) -> Iterator[FactProfile]:
        """What the orders up to and including `as_of` tell of each customer who has one, by ref in byte order."""
        with self._engine("orders") as engine:
            answer = engine.execute(
                """
                SELECT customer_ref, count(DISTINCT order_ref), sum(amount),
                       coalesce(sum(amount) FILTER (ordered_on > $as_of - INTERVAL 1 YEAR), 0),
                       min(ordered_on), max(ordered_on), count(DISTINCT ordered_on)
                FROM orders WHERE NOT cancelled AND ordered_on <= $as_of
                GROUP BY customer_ref ORDER BY customer_ref
                """,
                {"as_of": as_of},
            )
            while rows := answer.fetchmany(5000):
                yield from map(FactProfile._make, rows)

    def moments(
        self, units: Sequence[tuple[str, str, str]], measure: Measure, start: date, end: date
    ) -> list[MomentRow]:
        """Moments of a measure by arm and stratum, over all units: those without facts count as zero.

        Args:
            units: Customer ref, arm and stratum of each.
            measure: What is measured.
            start: First day of the window.
            end: First day after it.
        """
        found = []
        for arm, stratum, n, total, squares in self._sums(units, measure, start, end):
            spread = Fraction(squares) - Fraction(total * total, n)
            found.append(MomentRow(arm, stratum, n, float(Fraction(total, n * _SCALE)), float(spread / _SCALE**2)))
        return found

    def shares(self, units: Sequence[tuple[str, str, str]], start: date, end: date) -> list[ShareRow]:
        """How many units of each arm and stratum ordered in the window (`end` exclusive)."""
        sums = self._sums(units, Measure.RETAINED, start, end)
        return [ShareRow(arm, stratum, n, total // _SCALE) for arm, stratum, n, total, _ in sums]

    def last_order_day(self) -> date | None:
        """The day of the newest order that was not cancelled; None if there is no order."""
        with self._engine("orders") as engine:
            row = engine.execute("SELECT max(ordered_on) FROM orders WHERE NOT cancelled").fetchone()
        return row[0] if row else None

    def refs(self, name: str) -> Iterator[str]:
        """The different customers in one file of the store."""
        with self._engine() as engine:
            answer = engine.execute(
                "SELECT DISTINCT customer_ref FROM read_parquet(?) ORDER BY ALL", [str(self._root / name)]
            )
            while rows := answer.fetchmany(5000):
                yield from (ref for (ref,) in rows)

    def _sums(
        self, units: Sequence[tuple[str, str, str]], measure: Measure, start: date, end: date
    ) -> list[tuple[str, str, int, int, int]]:
        """Arm, stratum, n, sum and sum of squares, the last two of values times `_SCALE`."""
        kind, day, value = _MEASURES[measure]
        refs, arms, strata = ([unit[index] for unit in units] for index in range(3))
        with self._engine(kind) as engine:
            return engine.execute(
                f"""
                WITH units AS (
                    SELECT unnest($refs::VARCHAR[]) AS ref, unnest($arms::VARCHAR[]) AS arm,
                           unnest($strata::VARCHAR[]) AS stratum
                ), facts AS (
                    SELECT customer_ref AS ref, CAST({value} * {_SCALE} AS HUGEINT) AS value FROM {kind}
                    WHERE {day} >= $start AND {day} < $end {"AND NOT cancelled" if kind == "orders" else ""}
                    GROUP BY customer_ref
                ), valued AS (
                    SELECT arm, stratum, coalesce(value, 0)::HUGEINT AS value FROM units LEFT JOIN facts USING (ref)
                )
                SELECT arm, stratum, count(*), sum(value), sum(value * value)
                FROM valued GROUP BY ALL ORDER BY ALL
                """,  # noqa: S608 - names of our own, never input
                {"refs": refs, "arms": arms, "strata": strata, "start": start, "end": end},
            ).fetchall()

    @contextmanager
    def _engine(self, kind: str = "") -> Iterator[DuckDBPyConnection]:
        """A DuckDB of our own in memory, with the facts of this kind as a view of that name."""
        import duckdb

        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(self._root / "spill"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(":memory:", config=settings) as engine:
            if kind:
                engine.execute(f"CREATE VIEW {kind} AS {self._facts(kind)}")
            yield engine

    def _facts(self, kind: str) -> str:
        files = self._files(kind)
        columns = ", ".join(_SCHEMAS[kind])
        if not files:
            empty = ", ".join(f"NULL::{type_} AS {column}" for column, type_ in _SCHEMAS[kind].items())
            return f"SELECT {empty} WHERE false"
        tables = [
            f"SELECT {columns}, {number} AS import FROM read_parquet('{_quoted(path)}')"  # noqa: S608
            for number, path in files
        ]
        facts = f"SELECT {columns} FROM ({' UNION ALL '.join(tables)})"  # noqa: S608
        if len(files) > 1:
            facts += f" QUALIFY import = max(import) OVER (PARTITION BY {_IDENTITY[kind]})"
        return facts

    def _files(self, kind: str) -> list[tuple[int, Path]]:
        """The files that committed imports name, with the number of the import.

        Raises:
            PilotError: One of them is gone.
        """
        named = db.session.execute(
            sa.select(Import.id, Import.fact_file)
            .where(Import.kind == kind, Import.fact_file.is_not(None))
            .order_by(Import.id)
        )
        files = [(number, self._root / str(name)) for number, name in named]
        for number, path in files:
            if not path.is_file():
                raise PilotError(
                    f"the file of import {number} is gone from the order store",
                    place=str(path),
                    remedy="Restore it from the backup",
                )
        return files


def store() -> OrderStore:
    """The order store of the current application."""
    return OrderStore(current().data_dir / "orders")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
