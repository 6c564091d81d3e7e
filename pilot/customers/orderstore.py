"""Orders and touches in bulk: immutable pieces, one for each import, kept and asked by an order engine.

Only pieces that a committed import names are read, so one left over from an interrupted import is never seen. What
comes again in a later import replaces what an earlier one said, so that overlapping exports count nothing twice.
An import that goes on with an earlier one counts together with it. Corrections and erasures write a new generation of a piece and retire the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from pilot.config import current
from pilot.customers.engines import SCALE, ContactRow, Facts, Measure, Member, OrderEngine, Piece, Retold, Study
from pilot.customers.models import Import
from pilot.db import db, transaction
from pilot.plugins.manager import plugins

__all__ = ["ContactRow", "Measure", "MomentRow", "OrderFact", "OrderStore", "ShareRow", "TouchFact", "store"]

READABLE = timedelta(hours=1)
"""So long a retired piece stays, for those who are reading it."""


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


class OrderFact(NamedTuple):
    """One order: what remains of it, and its first day; all of it if all of it was cancelled."""

    day: date
    order_ref: str
    amount: Decimal
    cancelled: bool


class TouchFact(NamedTuple):
    """One contact."""

    day: date
    channel: str
    kind: str
    minutes: float
    cost: Decimal


class OrderStore:
    """The facts of one installation."""

    def __init__(self, root: Path, engine: OrderEngine) -> None:
        """The store in this folder, kept by this engine."""
        self._root, self._engine = root, engine

    def add(self, kind: str, rows: Iterable[Sequence[Any]]) -> str:
        """Keep rows as a new piece, durably. It counts once an import names it.

        Args:
            kind: `orders` or `touches`.
            rows: Values in the order of the columns of this kind.

        Returns:
            The piece's name.
        """
        return self._engine.load(self._root, kind, rows)

    def take(self, kind: str, path: Path) -> str:
        """Keep the rows of a Parquet file with the columns of this kind as a new piece; the file is used up.

        Returns:
            The piece's name. It counts once an import names it.
        """
        return self._engine.take(self._root, kind, path)

    def study(self, as_of: date, members: Iterable[Member]) -> AbstractContextManager[Study]:
        """What the facts up to and including `as_of` tell of these customers, one by one and as a whole."""
        return self._engine.study(self._facts("orders", "touches"), as_of, members)

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
        sums = self._engine.sums(self._facts("orders", "touches"), units, measure, start, end)
        for arm, stratum, n, total, squares in sums:
            spread = Fraction(squares) - Fraction(total * total, n)
            found.append(MomentRow(arm, stratum, n, float(Fraction(total, n * SCALE)), float(spread / SCALE**2)))
        return found

    def shares(self, units: Sequence[tuple[str, str, str]], start: date, end: date) -> list[ShareRow]:
        """How many units of each arm and stratum ordered in the window (`end` exclusive)."""
        sums = self._engine.sums(self._facts("orders"), units, Measure.RETAINED, start, end)
        return [ShareRow(arm, stratum, n, total // SCALE) for arm, stratum, n, total, _ in sums]

    def contacts(self, refs: Sequence[str], start: date, end: date) -> list[ContactRow]:
        """The touches of these customers in the window (`end` exclusive), by customer and channel."""
        return self._engine.contacts(self._facts("touches"), refs, start, end)

    def values(self, refs: Sequence[str], measure: Measure, start: date, end: date) -> list[float]:
        """A measure of each of these customers, in their order; who has no facts has 0.

        Args:
            refs: Customers, each once.
            measure: What is measured.
            start: First day of the window.
            end: First day after it.
        """
        each = [(ref, ref, "") for ref in refs]
        sums = self._engine.sums(self._facts("orders", "touches"), each, measure, start, end)
        found = {ref: total / SCALE for ref, _, _, total, _ in sums}
        return [found[ref] for ref in refs]

    def last_order_day(self) -> date | None:
        """The day of the newest order that was not cancelled; None if there is no order."""
        return self._engine.last_order_day(self._facts("orders"))

    def refs(self, name: str) -> Iterator[str]:
        """The different customers in one piece of the store."""
        return self._engine.refs(self._root, name)

    def contradicted(self, kind: str, number: int) -> bool:
        """Whether a later import says otherwise of what the import of this number told: its facts would count anew."""
        return self._engine.contradicted(self._facts(kind), kind, number)

    def retold(self, kind: str, number: int) -> Retold:
        """What the import of this number changes of what all others tell."""
        facts = self._facts(kind)
        (piece,) = (piece for piece in facts.pieces[kind] if piece.number == number)
        return self._engine.retold(facts, kind, piece)

    def would_retell(self, kind: str, path: Path, continues: int | None) -> Retold:
        """What an import of the rows of this Parquet file would change of what those there are tell."""
        facts = self._facts(kind)
        piece = Piece(1 + max((piece.number for piece in facts.pieces[kind]), default=0), "", continues)
        return self._engine.retold(facts, kind, piece, path)

    def holds(self, kind: str) -> bool:
        """Whether there are any facts of this kind."""
        return bool(self._facts(kind).pieces[kind])

    def story(self, ref: str) -> tuple[list[OrderFact], list[TouchFact]]:
        """The orders and the touches of one customer, newest first. An order is told once, with all its lines."""
        facts = self._facts("orders", "touches")
        lines: dict[str, list[OrderFact]] = {}
        for order_ref, day, amount, cancelled in self._engine.rows_of(facts, "orders", ref):
            lines.setdefault(order_ref, []).append(OrderFact(day, order_ref, amount, cancelled))
        orders = map(_whole, lines.values())
        touches = map(TouchFact._make, self._engine.rows_of(facts, "touches", ref))
        return sorted(orders, reverse=True), list(touches)

    def erase(self, refs: Collection[str]) -> int:
        """Forget all facts of these customers, in one transaction.

        Returns:
            How many pieces were written anew.
        """
        return self._rewrite(refs, {})

    def correct(self, renamed: Mapping[str, str]) -> int:
        """Give the facts of customers to others: old number to new, in one transaction.

        Returns:
            How many pieces were written anew.
        """
        return self._rewrite((), renamed)

    def sweep(self) -> int:
        """Remove pieces that no import names and nobody can be reading any more; how many."""
        kept = db.session.scalars(sa.select(Import.fact_file).where(Import.fact_file.is_not(None)))
        return self._engine.sweep(self._root, {str(name) for name in kept}, READABLE)

    def _rewrite(self, without: Collection[str], renamed: Mapping[str, str]) -> int:
        """New generations of the pieces that hold these customers. If one fails, all stay as they were."""
        retired = []
        with transaction() as work:
            # Locked, so that two at once do not each write a generation without the other's change.
            entries = sa.select(Import).where(Import.fact_file.is_not(None)).order_by(Import.id).with_for_update()
            for entry in work.session.scalars(entries.execution_options(populate_existing=True)):
                old = str(entry.fact_file)
                new = self._engine.rewrite(self._root, entry.kind, old, without, renamed)
                if new is not None:
                    entry.fact_file, entry.remaining = new, self._engine.size(self._root, new)
                    retired.append(old)
            work.session.flush()
        for name in retired:
            self._engine.retire(self._root, name)
        return len(retired)

    def _facts(self, *kinds: str) -> Facts:
        """The pieces that committed imports name."""
        named = db.session.execute(
            sa.select(Import.kind, Import.id, Import.fact_file, Import.continues)
            .where(Import.kind.in_(kinds), Import.fact_file.is_not(None))
            .order_by(Import.id)
        ).all()
        pieces = {
            kind: [Piece(row.id, str(row.fact_file), row.continues) for row in named if row.kind == kind]
            for kind in kinds
        }
        return Facts(self._root, pieces)


def _whole(lines: Sequence[OrderFact]) -> OrderFact:
    """The order that has these lines."""
    kept = [line for line in lines if not line.cancelled]
    counting = kept or lines
    amount = sum((line.amount for line in counting), Decimal())
    return OrderFact(min(line.day for line in counting), lines[0].order_ref, amount, not kept)


def store() -> OrderStore:
    """The order store of the current application.

    Raises:
        InputError: The engine named in the settings (`PILOT_ORDER_ENGINE`) is not installed.
    """
    config = current()
    engine: OrderEngine = plugins().build("order_engines", config.order_engine, {}, place="PILOT_ORDER_ENGINE")
    return OrderStore(config.data_dir / "orders", engine)
