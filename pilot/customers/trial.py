"""A trial of an order engine: every question on a handful of facts whose answers are known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pilot.customers.engines import Facts, Measure, Member, OrderEngine, Piece

_DAY = date(2026, 3, 31)
_FIRST = [
    ("C1", "A1", date(2026, 1, 5), Decimal("10.25"), False),
    ("C1", "A1", date(2026, 2, 1), Decimal("0.75"), False),
    ("C1", "A1", date(2026, 1, 4), Decimal("3"), True),
    ("C1", "A2", date(2026, 2, 5), Decimal("5"), False),
    ("C2", "A3", date(2026, 2, 6), Decimal("7"), True),
]
_SECOND = [
    ("C1", "A2", date(2026, 2, 7), Decimal("6"), False),
    ("C3", "A4", date(2026, 2, 28), Decimal("1"), False),
    ("C5", "A5", date(2026, 3, 1), Decimal("-4"), False),
    ("C5", "A5", date(2026, 3, 2), Decimal("1"), False),
]
_CONTINUED = [("C1", "A1", date(2026, 1, 6), Decimal("4"), False)]
"""What goes on with the first piece: it adds to it, late as it comes."""
_TOUCHES = [("C2", date(2026, 3, 2), "field-rep", "visit", 30.0, Decimal("40.5"))]
_TOLD = ("id", "frequency", "cancelled", "monetary", "order_days", "cost_year")
_UNITS = [("C1", "pilot", "north"), ("C2", "pilot", "north"), ("C3", "control", "south")]


def faults(engine: OrderEngine) -> list[str]:
    """What the engine answers wrongly, or why it could not be tried."""
    with tempfile.TemporaryDirectory(prefix="engine-trial-") as folder:
        root = Path(folder) / "store"
        try:
            first, second = engine.load(root, "orders", _FIRST), engine.load(root, "orders", _SECOND)
            touches = engine.load(root, "touches", _TOUCHES)
            facts = Facts(root, {"orders": [Piece(1, first), Piece(2, second)], "touches": [Piece(3, touches)]})
            return [*_answers(engine, facts), *_continued(engine, facts), *_generations(engine, root, first)]
        except Exception as error:  # whatever a stranger's engine raises is what the author must learn
            return [f"its trial broke off: {error!r}"]


def _answers(engine: OrderEngine, facts: Facts) -> list[str]:
    start, february, end = date(2026, 1, 1), date(2026, 2, 1), date(2026, 4, 1)
    members = [Member(1, "C1"), Member(2, "C2"), Member(4, "C4"), Member(5, "C5")]
    with engine.study(facts, _DAY, members) as study:
        profiles = [tuple(getattr(row, name) for name in _TOLD) for row in study.profiles()]
        months = [(row.month - 2026 * 12, row.orders, row.customers, row.new) for row in study.months()]
        cohorts = [tuple(row) for row in study.cohorts(2026 * 12)]
        channels = [tuple(row) for row in study.channels()]
        spread = study.concentration([1, 2])
    revenue = [("control", "south", 1, 10_000, 10_000**2), ("pilot", "north", 2, 170_000, 170_000**2)]
    whole = [("control", "south", 1, 0, 0), ("pilot", "north", 2, 110_000, 110_000**2)]
    checks: dict[str, tuple[Any, Any]] = {
        "last_order_day": (engine.last_order_day(facts), date(2026, 3, 1)),
        "sums": ([tuple(row) for row in engine.sums(facts, _UNITS, Measure.REVENUE, start, end)], revenue),
        "sums of one month": (
            [tuple(row) for row in engine.sums(facts, _UNITS, Measure.REVENUE, start, february)],
            whole,
        ),
        "contradicted": ([engine.contradicted(facts, "orders", number) for number in (1, 2)], [True, False]),
        "contacts": (
            [tuple(row) for row in engine.contacts(facts, ["C1", "C2"], start, end)],
            [("C2", "field-rep", 1, 30.0)],
        ),
        "rows_of": (engine.rows_of(facts, "orders", "C3"), [_SECOND[1][1:]]),
        "profiles": (
            profiles,
            [(1, 2, 0, 17.0, 2, 0.0), (2, 0, 1, 0.0, 0, 40.5), (4, 0, 0, 0.0, 0, 0.0), (5, 1, 0, -3.0, 1, 0.0)],
        ),
        "months": (months, [(0, 1, 1, 1), (1, 1, 1, 0), (2, 1, 1, 1)]),
        "cohorts": (cohorts, [(2026 * 12, 0, 1), (2026 * 12, 1, 1), (2026 * 12 + 2, 0, 1)]),
        "channels": (channels, [("field-rep", 1, 1, 30.0, 40.5)]),
        "concentration": ((list(spread.best), spread.total), ([Decimal(17), Decimal(17)], Decimal(17))),
    }
    return [f"{name} answers {found!r}, not {right!r}" for name, (found, right) in checks.items() if found != right]


def _continued(engine: OrderEngine, facts: Facts) -> list[str]:
    """A piece that goes on with the first counts together with it, and below the second."""
    piece = Piece(4, engine.load(facts.root, "orders", [*_CONTINUED, _FIRST[4]]), continues=1)
    more = Facts(facts.root, {**facts.pieces, "orders": [*facts.pieces["orders"], piece]})
    checks: dict[str, tuple[Any, Any]] = {
        "size": (engine.size(facts.root, piece.name), 2),
        "rows_of with a piece that goes on with another": (len(engine.rows_of(more, "orders", "C1")), 5),
        "contradicted by a piece that goes on with it": (engine.contradicted(more, "orders", 4), False),
        "retold": (tuple(engine.retold(more, "orders", piece)), (2, 2, Decimal(11), Decimal(15))),
        "retold of the later": (
            tuple(engine.retold(facts, "orders", facts.pieces["orders"][1])),
            (1, 1, Decimal(5), Decimal(6)),
        ),
    }
    return [f"{name} answers {found!r}, not {right!r}" for name, (found, right) in checks.items() if found != right]


def _generations(engine: OrderEngine, root: Path, piece: str) -> list[str]:
    """A new generation leaves the old piece readable until it is swept."""
    found = []
    new = engine.rewrite(root, "orders", piece, {"C2"}, {"C1": "C9"})
    if new is None or list(engine.refs(root, new)) != ["C9"]:
        found.append("rewrite does not leave out and rename customers")
    if engine.rewrite(root, "orders", piece, {"C7"}, {}) is not None:
        found.append("rewrite makes a new piece where nothing changes")
    engine.retire(root, piece)
    kept: Callable[[], list[str]] = lambda: list(engine.refs(root, piece))  # noqa: E731
    engine.sweep(root, {str(new)}, timedelta(hours=1))
    if kept() != ["C1", "C2"]:
        found.append("sweep takes a retired piece from those who may be reading it")
    if engine.sweep(root, {str(new)}, timedelta(hours=-1)) < 1:
        found.append("sweep leaves what does not count")
    return found
