"""The built-in order engine: DuckDB in memory over immutable Parquet files. Many processes read, nobody locks."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pilot.api import (
    ContactRow,
    Facts,
    Measure,
    Member,
    OrderEngine,
    Piece,
    PilotError,
    Retold,
    Study,
    SumRow,
    hookimpl,
)
from pilot.customers.engines import IDENTITY, SCALE, SCHEMAS
from pilot.plugins.builtin.study import DuckStudy

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "512MB"

_MEASURES = {
    Measure.REVENUE: ("orders", "sum(amount)"),
    Measure.ORDERS: ("orders", "count(*)"),
    Measure.RETAINED: ("orders", "1"),
    Measure.COST: ("touches", "sum(cost)"),
    Measure.MINUTES: ("touches", "sum(CAST(minutes AS DECIMAL(18,4)))"),
}
_IN_WINDOW = {
    "orders": "whole_orders WHERE day >= $start AND day < $end AND NOT cancelled",
    "touches": "touches WHERE happened_on >= $start AND happened_on < $end",
}
# Where orders have several lines, an order is what remains of it, on the first day of that.
_WHOLE = """
SELECT customer_ref, order_ref, bool_and(cancelled) AS cancelled, sum(amount) FILTER (NOT cancelled) AS amount,
       coalesce(min(ordered_on) FILTER (NOT cancelled), min(ordered_on)) AS day
FROM orders GROUP BY customer_ref, order_ref
"""
_MONEY = {"orders": "CASE WHEN cancelled THEN 0 ELSE amount END", "touches": "cost"}
# Of each order that both tell of: what counts without the piece, and with it, as money and as a fingerprint of its rows.
_RETOLD = """
WITH told AS (
    SELECT *, true AS ours FROM own
    UNION ALL SELECT *, false FROM others WHERE hash({identity}) IN (SELECT hash({identity}) FROM own)
), ranked AS (
    SELECT hash({row})::HUGEINT AS row, {money} AS money, ours, row({identity}) AS identity,
           piece = max(piece) FILTER (NOT ours) OVER same AND NOT ours AS without,
           piece = max(piece) OVER same AS with_it
    FROM told WINDOW same AS (PARTITION BY row({identity}))
), compared AS (
    SELECT sum(money) FILTER (without) AS before, sum(money) FILTER (with_it) AS after,
           sum(row) FILTER (without) IS DISTINCT FROM sum(row) FILTER (with_it) AS differs
    FROM ranked GROUP BY identity HAVING bool_or(NOT ours)
)
SELECT count(*), count(*) FILTER (differs), sum(before) FILTER (differs), sum(after) FILTER (differs) FROM compared
"""
_SINGLE = "SELECT customer_ref, order_ref, cancelled, amount, ordered_on AS day FROM orders"


@hookimpl
def register_order_engines() -> list[type[OrderEngine]]:
    """The one that needs no server."""
    return [DuckDb]


@dataclass(frozen=True)
class DuckDb(OrderEngine):
    """One Parquet file for each piece, written under another name, made durable, renamed, and never changed."""

    key = "duckdb"
    label = "DuckDB over Parquet files"

    def load(self, root: Path, kind: str, rows: Iterable[Sequence[Any]]) -> str:
        """A new file of these rows."""
        rows = iter(rows)
        start = list(islice(rows, 1))
        columns = dict(islice(SCHEMAS[kind].items(), len(start[0]))) if start and kind == "touches" else SCHEMAS[kind]
        with _incoming(root) as folder:
            staged = folder / "rows.csv"
            _write_csv(staged, chain(start, rows))
            with _connect(root) as engine:
                return _copy(engine, root, folder, kind, f"FROM {_csv(staged, columns)}")

    def take(self, root: Path, kind: str, path: Path) -> str:
        """The file itself, moved."""
        name = f"{kind}-{uuid4().hex}.parquet"
        with _incoming(root) as folder:
            part = folder / name
            shutil.move(path, part)
            _settle(part, root / name)
        return name

    def rewrite(
        self, root: Path, kind: str, name: str, without: Collection[str], renamed: Mapping[str, str]
    ) -> str | None:
        """A new file, in the order of the old one."""
        changes = [*((ref, "", True) for ref in without), *((old, new, False) for old, new in renamed.items())]
        with _incoming(root) as folder, _connect(root) as engine:
            staged = folder / "changes.csv"
            _write_csv(staged, changes)
            columns = {"old": "VARCHAR", "new": "VARCHAR", "gone": "BOOLEAN"}
            engine.execute(f"CREATE TEMP TABLE changes AS SELECT * FROM {_csv(staged, columns)}")  # noqa: S608
            engine.execute(f"CREATE VIEW piece AS {_rows(kind, root / name)}")
            held = engine.execute("SELECT 1 FROM piece JOIN changes ON customer_ref = old LIMIT 1").fetchone()
            if held is None:
                return None
            rest = ", ".join(f"piece.{column}" for column in list(SCHEMAS[kind])[1:])
            query = f"""SELECT CASE WHEN gone IS NULL THEN customer_ref ELSE new END AS customer_ref, {rest}
                        FROM piece LEFT JOIN changes ON customer_ref = old WHERE gone IS NOT true"""  # noqa: S608
            return _copy(engine, root, folder, kind, query)

    def retire(self, root: Path, name: str) -> None:
        """The hour of grace counts from now."""
        os.utime(root / name)

    def sweep(self, root: Path, keep: Collection[str], older: timedelta) -> int:
        """Files of ours that nobody names, and folders that an interrupted writer left behind."""
        if not root.is_dir():
            return 0
        limit = time.time_ns() - older.total_seconds() * 10**9
        files = [path for kind in SCHEMAS for path in root.glob(f"{kind}-*.parquet") if path.name not in keep]
        stale = [path for path in (*files, *root.glob("incoming-*")) if path.stat().st_mtime_ns < limit]
        for path in stale:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return len(stale)

    def refs(self, root: Path, name: str) -> Iterator[str]:
        """One pass over one column."""
        with _connect(root) as engine:
            answer = engine.execute(f"SELECT DISTINCT customer_ref FROM {_parquet(root / name)} ORDER BY ALL")  # noqa: S608
            while rows := answer.fetchmany(5000):
                yield from (ref for (ref,) in rows)

    def size(self, root: Path, name: str) -> int:
        """As the file itself tells."""
        with _connect(root) as engine:
            (rows,) = engine.execute(f"SELECT count(*) FROM {_parquet(root / name)}").fetchall()[0]  # noqa: S608
        return int(rows)

    def contradicted(self, facts: Facts, kind: str, number: int) -> bool:
        """Only the later rows of the same orders or touches are compared, each as often as it is told."""
        (own,) = (piece for piece in facts.pieces[kind] if piece.number == number)
        beside = [piece for piece in facts.pieces[kind] if piece.precedence == own.precedence]
        later = [piece for piece in facts.pieces[kind] if piece.precedence > own.precedence]
        if not later:
            return False
        columns, told = ", ".join(SCHEMAS[kind]), f"hash({_identity(kind)})"
        with _connect(facts.root) as engine:
            told_by_it = f"SELECT {told} FROM ({_piece(facts, kind, own)})"  # noqa: S608
            tables = " UNION ALL ".join(_piece(facts, kind, piece) for piece in beside)
            engine.execute(f"CREATE VIEW own AS FROM ({tables}) WHERE {told} IN ({told_by_it})")
            _view(engine, Facts(facts.root, {kind: later}), kind, f"WHERE {told} IN (SELECT {told} FROM own)")  # noqa: S608
            engine.execute(f"CREATE VIEW ours AS SELECT {columns} FROM own WHERE {told} IN (SELECT {told} FROM {kind})")  # noqa: S608
            theirs = f"SELECT {columns} FROM {kind}"  # noqa: S608
            differing = f"(FROM ours EXCEPT ALL {theirs}) UNION ALL ({theirs} EXCEPT ALL FROM ours)"
            return engine.execute(f"SELECT 1 FROM ({differing}) LIMIT 1").fetchone() is not None  # noqa: S608

    def retold(self, facts: Facts, kind: str, piece: Piece, path: Path | None = None) -> Retold:
        """One pass over the others' rows of the same orders or touches; rows are compared by the sum of their hashes."""
        others = [other for other in facts.pieces[kind] if other.number != piece.number]
        if not others:
            return Retold(0, 0, Decimal(), Decimal())
        with _connect(facts.root) as engine:
            engine.execute(f"CREATE VIEW own AS {_piece(facts, kind, piece, path)}")
            tables = " UNION ALL ".join(_piece(facts, kind, other) for other in others)
            engine.execute(f"CREATE VIEW others AS {tables}")
            query = _RETOLD.format(identity=_identity(kind), money=_MONEY[kind], row=", ".join(SCHEMAS[kind]))
            shared, number, before, after = engine.execute(query).fetchall()[0]
        return Retold(shared, number, before or Decimal(), after or Decimal())

    def rows_of(self, facts: Facts, kind: str, ref: str) -> list[tuple[Any, ...]]:
        """The customer's rows; what lies between two row groups' bounds is skipped."""
        columns = ", ".join(column for column in list(SCHEMAS[kind])[1:] if column != "touch_ref")
        day = "ordered_on" if kind == "orders" else "happened_on"
        with _connect(facts.root) as engine:
            _view(engine, facts, kind, "WHERE customer_ref = ?", [ref])
            return engine.execute(f"SELECT {columns} FROM {kind} ORDER BY {day} DESC, {columns}").fetchall()  # noqa: S608

    def last_order_day(self, facts: Facts) -> date | None:
        """One pass over all orders; a later piece may have moved or cancelled one."""
        with _connect(facts.root) as engine:
            _view(engine, facts, "orders")
            row = engine.execute("SELECT max(day) FROM whole_orders WHERE NOT cancelled").fetchone()
        return row[0] if row else None

    def sums(
        self, facts: Facts, units: Sequence[tuple[str, str, str]], measure: Measure, start: date, end: date
    ) -> list[SumRow]:
        """One pass over the facts, joined to the units."""
        kind, value = _MEASURES[measure]
        refs, arms, strata = ([unit[index] for unit in units] for index in range(3))
        with _connect(facts.root) as engine:
            _view(engine, facts, kind)
            answer = engine.execute(
                f"""
                WITH units AS (
                    SELECT unnest($refs::VARCHAR[]) AS ref, unnest($arms::VARCHAR[]) AS arm,
                           unnest($strata::VARCHAR[]) AS stratum
                ), facts AS (
                    SELECT customer_ref AS ref, CAST({value} * {SCALE} AS HUGEINT) AS value
                    FROM {_IN_WINDOW[kind]} GROUP BY customer_ref
                ), valued AS (
                    SELECT arm, stratum, coalesce(value, 0)::HUGEINT AS value FROM units LEFT JOIN facts USING (ref)
                )
                SELECT arm, stratum, count(*), sum(value), sum(value * value)
                FROM valued GROUP BY ALL ORDER BY ALL
                """,  # noqa: S608 - names of our own, never input
                {"refs": refs, "arms": arms, "strata": strata, "start": start, "end": end},
            )
            return [SumRow(*row) for row in answer.fetchall()]

    def contacts(self, facts: Facts, refs: Sequence[str], start: date, end: date) -> list[ContactRow]:
        """One pass over the touches of the window."""
        with _connect(facts.root) as engine:
            _view(engine, facts, "touches")
            answer = engine.execute(
                """
                SELECT customer_ref, channel, count(*), sum(CAST(minutes AS DECIMAL(18,4)))::DOUBLE FROM touches
                WHERE happened_on >= $start AND happened_on < $end
                      AND customer_ref IN (SELECT unnest($refs::VARCHAR[]))
                GROUP BY ALL ORDER BY ALL
                """,
                {"refs": list(refs), "start": start, "end": end},
            )
            return [ContactRow(*row) for row in answer.fetchall()]

    @contextmanager
    def study(self, facts: Facts, as_of: date, members: Iterable[Member]) -> Iterator[Study]:
        """Members and facts in tables of their own, which spill to disk when memory is short."""
        with _incoming(facts.root) as folder, _connect(facts.root) as engine:
            # Keeping the order of rows costs memory and time, and all answers are sorted.
            engine.execute("SET preserve_insertion_order = false")
            staged = folder / "members.csv"
            _write_csv(staged, members)
            columns = {"id": "BIGINT", "ref": "VARCHAR", "peers": "VARCHAR", "mark": "INTEGER"}
            engine.execute(f"CREATE TEMP TABLE members AS SELECT * FROM {_csv(staged, columns)}")  # noqa: S608
            for kind in SCHEMAS:
                _view(engine, facts, kind)
            yield DuckStudy.of(engine, as_of)


@contextmanager
def _connect(root: Path) -> Iterator[DuckDBPyConnection]:
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(root / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(":memory:", config=settings) as engine:
        yield engine


def _view(engine: DuckDBPyConnection, facts: Facts, kind: str, where: str = "", values: Sequence[Any] = ()) -> None:
    """The facts of a kind that count, under the name of the kind; of orders also `whole_orders`, one row for each.

    To find whose facts come again costs much less by hash than by value: only those with the same hash are compared.
    """
    repeated = _view_lines(engine, facts, kind, where, values)
    if kind == "orders":
        engine.execute(f"CREATE VIEW whole_orders AS {_WHOLE if repeated else _SINGLE}")


def _view_lines(engine: DuckDBPyConnection, facts: Facts, kind: str, where: str, values: Sequence[Any]) -> bool:
    """The rows that count; whether several may be of one order."""
    identity = _identity(kind)
    tables = [_piece(facts, kind, piece) for piece in facts.pieces[kind]]
    if not tables:
        columns = ", ".join(f"NULL::{type_} AS {column}" for column, type_ in SCHEMAS[kind].items())
        engine.execute(f"CREATE VIEW {kind} AS SELECT {columns} WHERE false")
        return False
    told = f"SELECT *, hash({identity}) AS hash FROM ({' UNION ALL '.join(tables)}) {where}"  # noqa: S608
    if where:
        engine.execute(f"CREATE TEMP TABLE told_{kind} AS {told}", list(values))
        repeated, across = _look_for_repeats(engine, kind)
    else:
        engine.execute(f"CREATE VIEW told_{kind} AS {told}")
        repeated, across = _repeats(engine, facts, kind)
    engine.execute(f"CREATE VIEW {kind} AS {_counting(kind, identity, across=across)}")
    return repeated


def _identity(kind: str) -> str:
    """What the rows that a later piece replaces have in common with those it brings."""
    if kind == "orders":
        return ", ".join(IDENTITY[kind])
    ref, *rest = IDENTITY[kind]
    return ", ".join((ref, "touch_ref", *(f"CASE WHEN touch_ref IS NULL THEN {column} END" for column in rest)))


def _counting(kind: str, identity: str, *, across: bool) -> str:
    """The rows that no later piece replaces."""
    columns, told = ", ".join(SCHEMAS[kind]), f"told_{kind}"
    if not across:
        return f"SELECT {columns} FROM {told}"  # noqa: S608
    both = f"SELECT hash FROM again_{kind} WHERE across"  # noqa: S608
    return f"""
        SELECT {columns} FROM {told} WHERE hash NOT IN ({both})
        UNION ALL
        SELECT {columns} FROM {told} WHERE hash IN ({both})
        QUALIFY piece = max(piece) OVER (PARTITION BY {identity})"""  # noqa: S608


def _repeats(engine: DuckDBPyConnection, facts: Facts, kind: str) -> tuple[bool, bool]:
    """Whether orders have several rows, and whether in several pieces.

    Pieces never change, so a finding holds as long as these pieces count; it is kept beside them.
    """
    path, names = facts.root / f"repeats-{kind}.json", [piece.name for piece in facts.pieces[kind]]
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if kept.get("pieces") == names and not kept["across"]:
        return kept["repeated"], False
    repeated, across = _look_for_repeats(engine, kind)
    with _incoming(facts.root) as folder:
        staged = folder / path.name
        staged.write_text(json.dumps({"pieces": names, "repeated": repeated, "across": across}), encoding="utf-8")
        staged.replace(path)
    return repeated, across


def _look_for_repeats(engine: DuckDBPyConnection, kind: str) -> tuple[bool, bool]:
    engine.execute(
        f"""CREATE TEMP TABLE again_{kind} AS SELECT hash, min(piece) < max(piece) AS across FROM told_{kind}
            GROUP BY hash HAVING count(*) > 1"""  # noqa: S608
    )
    found = engine.execute(f"SELECT count(*) > 0, coalesce(bool_or(across), false) FROM again_{kind}").fetchone()  # noqa: S608
    return found or (False, False)


def _piece(facts: Facts, kind: str, piece: Piece, path: Path | None = None) -> str:
    """The rows of a piece, or of the file that is to become it, with its precedence as `piece`."""
    path = path or facts.root / piece.name
    if not path.is_file():
        raise PilotError(
            f"the file of import {piece.number} is gone from the order store",
            place=str(path),
            remedy="Restore it from the backup",
        )
    return f"SELECT {', '.join(SCHEMAS[kind])}, {piece.precedence} AS piece FROM ({_rows(kind, path)})"  # noqa: S608


def _rows(kind: str, path: Path) -> str:
    """The rows of a piece, with a NULL for a number that touches did not have yet."""
    rows = f"SELECT * FROM {_parquet(path)}"  # noqa: S608
    return rows if kind == "orders" else f"SELECT NULL::VARCHAR AS touch_ref WHERE false UNION ALL BY NAME {rows}"


@contextmanager
def _incoming(root: Path) -> Iterator[Path]:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix="incoming-") as folder:
        yield Path(folder)


def _copy(engine: DuckDBPyConnection, root: Path, folder: Path, kind: str, query: str) -> str:
    """The answer to a query as a new file of the store; its name."""
    name = f"{kind}-{uuid4().hex}.parquet"
    part = folder / name
    engine.execute(f"COPY ({query}) TO '{_quoted(part)}' (FORMAT parquet, COMPRESSION zstd)")
    _settle(part, root / name)
    return name


def _settle(part: Path, final: Path) -> None:
    """Give a finished file its name, durably."""
    _make_durable(part)
    part.rename(final)
    _make_durable(final.parent)


def _write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)


def _csv(path: Path, columns: Mapping[str, str]) -> str:
    """A call that reads a file of ours."""
    types = ", ".join(f"'{column}': '{type_}'" for column, type_ in columns.items())
    how = "header=false, auto_detect=false, delim=',', quote='\"', escape='\"'"
    return f"read_csv('{_quoted(path)}', {how}, columns={{{types}}})"


def _parquet(path: Path) -> str:
    return f"read_parquet('{_quoted(path)}')"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
