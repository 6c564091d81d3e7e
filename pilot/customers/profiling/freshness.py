"""Whether the profiles still tell of the base as it is, and of which day new ones should be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from pilot.accounts.models import AuditEntry
from pilot.config import today
from pilot.customers.models import Customer
from pilot.customers.orderstore import store
from pilot.db import db

QUIET_DAYS = 45
"""After so many days without one order in the whole base the orders are taken to end, not the buying."""
_CHANGING = ("imported", "import undone", "facts erased", "facts corrected", "customer erased")


@dataclass(frozen=True, slots=True)
class Change:
    """How the base differs from the one that the profiles were made of.

    Attributes:
        made_at: When they were made.
        then: How many customers there were.
        now: How many there are.
    """

    made_at: datetime
    then: int
    now: int


def change() -> Change | None:
    """What has changed since the profiles were made; None if nothing has, or there are none."""
    made = _last_made()
    if made is None:
        return None
    then = made.details["customers"]
    now = db.session.scalar(sa.select(sa.func.count(Customer.id))) or 0
    return Change(made.at, then, now) if now != then or _touched_since(made.id) else None


def outdated() -> bool:
    """Whether an import, an undo or an erasure came after the profiles."""
    made = _last_made()
    return made is not None and _touched_since(made.id)


def sensible_day() -> date:
    """The day that profiles are made as of unless somebody says another.

    Today; but the day of the newest order where that is more than `QUIET_DAYS` ago: of the time since then nothing is
    known, and everybody would look as if they had left.
    """
    now = today()
    newest = store().last_order_day()
    return newest if newest is not None and ended(newest, now) else now


def ended(newest: date, day: date) -> bool:
    """Whether orders that end on one day are too old to tell of another."""
    return day - newest > timedelta(days=QUIET_DAYS)


def _last_made() -> AuditEntry | None:
    query = sa.select(AuditEntry).where(AuditEntry.subject == "base", AuditEntry.action == "profiled")
    return db.session.scalar(query.order_by(AuditEntry.id.desc()).limit(1))


def _touched_since(entry: int) -> bool:
    query = sa.select(AuditEntry).where(AuditEntry.id > entry, AuditEntry.action.in_(_CHANGING))
    return any(found.action != "imported" or found.details.get("accepted", 1) for found in db.session.scalars(query))
