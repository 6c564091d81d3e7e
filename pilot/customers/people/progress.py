"""How far the work list is: what is settled, by whom and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from pilot.accounts.service import Actor
from pilot.config import current, today
from pilot.customers.models import Completion, Customer
from pilot.customers.people import completion
from pilot.db import db

DAYS_SHOWN = 14


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work list is.

    Attributes:
        waiting: Customers still to be completed on whom nobody works now.
        claimed: Those that somebody works on now.
        done: Those completed.
        impossible: Those of whom it cannot be learned.
        people: Who did how many: address, completed, impossible.
        days: How many were completed or found impossible on each of the last days, newest first.
        reasons: The latest notes on why it was impossible: customer's name, note, who.
    """

    waiting: int
    claimed: int
    done: int
    impossible: int
    people: list[tuple[str, int, int]]
    days: list[tuple[date, int]]
    reasons: list[tuple[str, str, str]]

    @property
    def settled(self) -> int:
        """Those of whom nothing is left to do."""
        return self.done + self.impossible

    @property
    def all(self) -> int:
        """All customers on the list: waiting, worked on, completed and not possible."""
        return self.waiting + self.claimed + self.settled


def progress(actor: Actor) -> Progress:
    """How far the work list is, for operations."""
    actor.require("operations")
    counted = sa.select(Completion.state, sa.func.count().label("customers")).group_by(Completion.state)
    states = {row.state: row.customers for row in db.session.execute(counted)}
    held = db.session.scalar(sa.select(sa.func.count()).where(Completion.state == "open", ~completion.free())) or 0
    people: dict[str, dict[str, int]] = {}
    grouped = sa.select(Completion.done_by, Completion.state, sa.func.count())
    for who, state, count in db.session.execute(grouped.group_by(Completion.done_by, Completion.state)):
        if who is not None:
            people.setdefault(who, {})[state] = count
    notes = sa.select(Customer.name, Completion.note, Completion.done_by).join(
        Customer, Customer.id == Completion.customer_id
    )
    latest = notes.where(Completion.state == "impossible").order_by(Completion.done_at.desc()).limit(20)
    return Progress(
        states.get("open", 0) - held,
        held,
        states.get("done", 0),
        states.get("impossible", 0),
        [(who, told.get("done", 0), told.get("impossible", 0)) for who, told in sorted(people.items())],
        [(day, _done_on(day)) for day in (today() - timedelta(days=ago) for ago in range(DAYS_SHOWN))],
        [(name, note or "", who or "") for name, note, who in db.session.execute(latest)],
    )


def _done_on(day: date) -> int:
    start = datetime.combine(day, time.min, ZoneInfo(current().timezone))
    end = datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(current().timezone))
    within = (Completion.done_at >= start) & (Completion.done_at < end)
    return db.session.scalar(sa.select(sa.func.count()).where(within)) or 0
