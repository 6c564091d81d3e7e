"""Movements: who crossed from one segment to another, why, and what became of the handling it proposes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app
from flask_babel import gettext as _

from pilot import clock
from pilot.accounts.service import Actor
from pilot.accounts.service import record as note
from pilot.customers.bulk import batches
from pilot.customers.models import Customer, Movement, Segment
from pilot.customers.segmenting.facts import Facts
from pilot.db import Transaction, db, transaction
from pilot.errors import InputError, NotFound, StateError
from pilot.events import CustomerMoved, HandlingChanged

STATES = ("proposed", "held", "applied", "declined", "overtaken")
UNDECIDED = ("proposed", "held")
LONGEST_REASON = 200
PAGE = 50
MOST_AT_ONCE = 10_000

Holds = Callable[[], "sa.Select[int, str] | sa.CompoundSelect[int, str]"]
"""Makes a query of customer ids, each with the key of the experiment that holds it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which movements are asked for; None means any."""

    state: str | None = None
    segment: str | None = None
    """Key of a segment left or entered."""
    since: date | None = None
    """First day of the profile that showed it."""


@dataclass(slots=True)
class Outcome:
    """How many movements were written, by what became of them; together they are all."""

    applied: int = 0
    proposed: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.applied + self.proposed + self.held

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count these movements too."""
        states = Counter(row["state"] for row in rows)
        self.applied += states["applied"]
        self.proposed += states["proposed"]
        self.held += states["held"]

    def __add__(self, other: Outcome) -> Outcome:
        """Both together."""
        return Outcome(self.applied + other.applied, self.proposed + other.proposed, self.held + other.held)


@dataclass(frozen=True, slots=True)
class Decided:
    """How many movements a decision reached, and how many a running experiment holds instead."""

    done: int
    held: int = 0


def register_holds(app: Flask, holds: Holds) -> None:
    """Say which customers keep their handling for now; experiments lie above the base and are not imported here."""
    app.extensions["pilot.holds"] = holds


def record(crossings: sa.Table, segments: Sequence[Segment], facts: Facts, as_of: date, work: Transaction) -> Outcome:
    """Write down who crosses and what that does to the handling, in the caller's transaction.

    Args:
        crossings: As `placing.differing` tells them; those due and not the customer's first are movements.
        segments: The segments there are.
        facts: Tells what the rules looked at.
        as_of: The day of the profiles.
        work: The transaction; movements and changed handling are told after it.

    Returns:
        How many customers crossed, and what became of their handling.
    """
    due = crossings.c.due & sa.not_(crossings.c.first)
    _overtake(crossings, due)
    standing = {segment.key: (segment, facts.sentence(segment.key)) for segment in segments}
    holding, outcome = set(db.session.scalars(sa.select(held().c.customer_id))), Outcome()
    for page in facts.pages(crossings, due, Customer.channel):
        rows = [
            _movement(row, standing, why, row.customer_id in holding, as_of)
            for row, why in zip(page, facts.explained(page), strict=True)
        ]
        for batch in batches(rows):
            db.session.execute(sa.insert(Movement), batch)
        for row in page:
            work.emit(CustomerMoved(row.customer_id, row.before, row.after))
        hand_over(
            (
                (row["customer_id"], row["channel_before"], row["channel_after"])
                for row in rows
                if row["state"] == "applied"
            ),
            work,
        )
        outcome.add(rows)
    return outcome


def release(segments: Sequence[Segment], work: Transaction) -> int:
    """Let go of the movements whose customers no running experiment holds any more, in the caller's transaction.

    Each is applied, or waits for a person, as its segment says today.

    Returns:
        How many were let go.
    """
    standing = {segment.key: segment for segment in segments}
    changes: dict[tuple[str, str | None], list[Any]] = defaultdict(list)
    free = db.session.execute(_free().add_columns(Movement.after, Customer.channel)).all()
    for row in free:
        segment = standing.get(row.after)
        channel = segment.channel if segment else row.channel
        changes[state_in(segment, row.channel), channel].append(row)
    for (state, channel), rows in changes.items():
        decided_at = clock.now() if state == "applied" else None
        _settle([row.id for row in rows], state=state, channel_after=channel, decided_at=decided_at)
        if state == "applied":
            hand_over(((row.customer_id, row.channel, channel) for row in rows), work)
    return len(free)


def releasable() -> bool:
    """Whether a movement is held whose customer no running experiment holds any more."""
    return db.session.scalar(_free().limit(1)) is not None


def approve(actor: Actor, ids: Iterable[int]) -> Decided:
    """Apply proposed movements: their customers are handled by the new segment's channel from now on.

    A customer who has come into a running experiment since keeps its arm: the movement is held instead.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such movement; nothing is changed then.
        StateError: None of them waits for a decision.
    """
    actor.require("operations")
    with transaction() as work:
        rows = [row for row in _locked(ids) if row.state == "proposed"]
        holding = set(db.session.scalars(sa.select(held().c.customer_id)))
        kept = [row for row in rows if row.customer_id in holding]
        applied = [row for row in rows if row.customer_id not in holding]
        _require_any(rows, _("Only a proposed movement can be approved"))
        _settle([row.id for row in kept], state="held")
        _settle([row.id for row in applied], state="applied", decided_at=clock.now(), decided_by=actor.name)
        hand_over(((row.customer_id, row.channel, row.channel_after) for row in applied), work)
        note(actor, "movements approved", "base", movements=[row.id for row in applied], held=[row.id for row in kept])
    return Decided(len(applied), len(kept))


def decline(actor: Actor, ids: Iterable[int]) -> Decided:
    """Leave the handling of these customers as it is; they stay in their new segment.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such movement; nothing is changed then.
        StateError: None of them is proposed or held.
    """
    actor.require("operations")
    with transaction():
        rows = [row for row in _locked(ids) if row.state in UNDECIDED]
        _require_any(rows, _("Only a proposed or held movement can be declined"))
        _settle([row.id for row in rows], state="declined", decided_at=clock.now(), decided_by=actor.name)
        note(actor, "movements declined", "base", movements=[row.id for row in rows])
    return Decided(len(rows))


def find(wanted: Wanted, *, after: int | None = None, limit: int | None = PAGE) -> list[dict[str, Any]]:
    """Movements, the newest first, as plain values; `experiment` is the key of the one that holds the customer.

    Args:
        wanted: Which.
        after: Only those older than the movement of this id, for the next page.
        limit: How many at most; None for all.
    """
    query = sa.select(Movement, Customer.ref, Customer.name).join(Customer, Customer.id == Movement.customer_id)
    query = query.where(*_filters(wanted)).order_by(Movement.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Movement.id < after)
    rows = db.session.execute(query).all()
    experiments = _experiments([row.Movement.customer_id for row in rows if row.Movement.state == "held"])
    names = [column.name for column in sa.inspect(Movement).local_table.columns]
    return [
        {name: getattr(row.Movement, name) for name in names}
        | {"ref": row.ref, "name": row.name, "experiment": experiments.get(row.Movement.customer_id)}
        for row in rows
    ]


def counted(wanted: Wanted) -> dict[str, int]:
    """How many movements there are by state, whatever state is asked for."""
    others = Wanted(None, wanted.segment, wanted.since)
    query = sa.select(Movement.state, sa.func.count()).where(*_filters(others)).group_by(Movement.state)
    found = {row[0]: row[1] for row in db.session.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


def proposed(wanted: Wanted) -> list[int]:
    """Ids of the movements that wait for a person, the oldest first, at most as many as can be decided at once."""
    asked = Wanted("proposed", wanted.segment, wanted.since)
    query = sa.select(Movement.id).where(*_filters(asked)).order_by(Movement.id).limit(MOST_AT_ONCE)
    return list(db.session.scalars(query))


def change_channel(customers: Iterable[int], channel: str, work: Transaction) -> int:
    """Give customers whom no experiment holds to a channel, in the caller's transaction; how many changed."""
    found: list[Any] = []
    for batch in batches(customers):
        query = sa.select(Customer.id, Customer.channel).where(Customer.id.in_(batch))
        found += db.session.execute(query.where(Customer.id.not_in(sa.select(held().c.customer_id))))
    hand_over(((row.id, row.channel, channel) for row in found), work)
    return sum(row.channel != channel for row in found)


def held() -> sa.Subquery:
    """The customers in running experiments: `customer_id` and `experiment`, one row each."""
    holds: Holds | None = current_app.extensions.get("pilot.holds")
    none = sa.select(sa.literal(0).label("customer_id"), sa.literal("").label("experiment")).where(sa.false())
    customer, experiment = (holds() if holds else none).subquery().c
    labelled = (customer.label("customer_id"), sa.func.min(experiment).label("experiment"))
    return sa.select(*labelled).group_by(customer).subquery("held")


def _free() -> sa.Select[int, int]:
    holding = sa.select(held().c.customer_id)
    free = sa.select(Movement.id, Movement.customer_id)
    free = free.join(Customer, Customer.id == Movement.customer_id)
    return free.where(Movement.state == "held", Movement.customer_id.not_in(holding)).order_by(Movement.id)


def _experiments(customers: Sequence[int]) -> dict[int, str]:
    holding, found = held(), {}
    for batch in batches(customers):
        query = sa.select(holding.c.customer_id, holding.c.experiment).where(holding.c.customer_id.in_(batch))
        found.update({row[0]: row[1] for row in db.session.execute(query)})
    return found


def _filters(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.state:
        found.append(Movement.state == wanted.state)
    if wanted.segment:
        found.append(sa.or_(Movement.before == wanted.segment, Movement.after == wanted.segment))
    if wanted.since:
        midnight = datetime.combine(wanted.since, time(), UTC)
        undated = Movement.as_of.is_(None) & (Movement.at >= midnight)  # as earlier versions wrote them
        found.append(sa.or_(Movement.as_of >= wanted.since, undated))
    return found


def _movement(
    row: Any, standing: Mapping[str, tuple[Segment, str]], why: dict[str, Any], holding: bool, as_of: date
) -> dict[str, Any]:
    segment, reason = standing.get(row.after, (None, _("no rule matches")))
    channel, now = segment.channel if segment else row.channel, clock.now()
    state = "held" if holding and channel != row.channel else state_in(segment, row.channel)
    return {
        "customer_id": row.customer_id,
        "at": now,
        "before": row.before,
        "after": row.after,
        "as_of": as_of,
        "reason": shortened(reason),
        "facts": why,
        "state": state,
        "channel_before": row.channel,
        "channel_after": channel,
        "decided_at": now if state == "applied" else None,
    }


def shortened(reason: str) -> str:
    """A reason as it fits into a movement."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"


def state_in(segment: Segment | None, channel: str | None) -> str:
    """What becomes of a movement into a segment: only what changes the handling needs anybody's approval."""
    return "proposed" if segment and segment.approval and segment.channel != channel else "applied"


def _overtake(crossings: sa.Table, due: sa.ColumnElement[bool]) -> None:
    late = sa.select(crossings.c.customer_id).where(due)
    db.session.execute(
        sa.update(Movement)
        .where(Movement.state.in_(UNDECIDED), Movement.customer_id.in_(late))
        .values(state="overtaken", decided_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def hand_over(changes: Iterable[tuple[int, str | None, str | None]], work: Transaction) -> None:
    """Give customers to their new channel; each comes with the channel before and after."""
    by_channel: dict[str, list[int]] = defaultdict(list)
    for customer, before, after in changes:
        if after is not None and after != before:
            by_channel[after].append(customer)
            work.emit(HandlingChanged(customer, before, after))
    for channel, customers in by_channel.items():
        for batch in batches(customers):
            db.session.execute(
                sa.update(Customer)
                .where(Customer.id.in_(batch))
                .values(channel=channel, updated_at=clock.now())
                .execution_options(synchronize_session=False)
            )


def _settle(ids: Sequence[int], **values: Any) -> None:
    for batch in batches(ids):
        db.session.execute(
            sa.update(Movement)
            .where(Movement.id.in_(batch))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _locked(ids: Iterable[int]) -> list[Any]:
    """These movements with their customers' present channel; whoever else decides about them waits."""
    asked = sorted(set(ids))
    if len(asked) > MOST_AT_ONCE:
        raise InputError(
            f"{len(asked):,} movements are too many at once", remedy=f"Decide about at most {MOST_AT_ONCE:,}"
        )
    query = sa.select(Movement.id, Movement.state, Movement.customer_id, Movement.channel_after, Customer.channel).join(
        Customer, Customer.id == Movement.customer_id
    )
    found = [
        row
        for batch in batches(asked)
        for row in db.session.execute(query.where(Movement.id.in_(batch)).with_for_update(of=Movement))
    ]
    missing = set(asked) - {row.id for row in found}
    if missing:
        raise NotFound(f"there is no movement {min(missing)}", remedy="See `pilot movements` for those there are")
    return found


def _require_any(rows: Sequence[Any], remedy: str) -> None:
    if not rows:
        raise StateError(_("none of these movements waits for that"), remedy=remedy)
