"""The profile: what is known of each customer, made from the base and the facts of the order store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import sqlalchemy as sa

from pilot.customers.bulk import BATCH, upsert
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.orderstore import FactProfile
from pilot.db import db

ACTIVITIES = ("new", "active", "slowing", "lapsed", "lost", "never")
FIELDS = ("name", "email", "phone", "language", "region", "sales_rep", "city", "postcode")
"""The fields of a customer that ought to be known."""

RECENT_DAYS = 90
YEAR_DAYS = 365
SHORTEST_RHYTHM = 7.0


def activity(recency_days: int | None, interval_days: float | None) -> str:
    """How a customer stands, measured by its own rhythm.

    The rhythm is the mean number of days between its order days, at least a week. With the days since the last
    order, it is

    * `never`: no order;
    * `active`: at most 1.5 times the rhythm;
    * `slowing`: at most 3 times;
    * `lapsed`: at most 6 times, or within a year;
    * `lost`: longer.

    A customer with one order day has no rhythm yet: it is `new` for 90 days, then `lapsed`, after a year `lost`.
    """
    if recency_days is None:
        return "never"
    if interval_days is None:
        return "new" if recency_days <= RECENT_DAYS else "lapsed" if recency_days <= YEAR_DAYS else "lost"
    rhythms = recency_days / max(interval_days, SHORTEST_RHYTHM)
    if rhythms <= 3:
        return "active" if rhythms <= 1.5 else "slowing"
    return "lapsed" if rhythms <= 6 or recency_days <= YEAR_DAYS else "lost"


def write(facts: Iterable[FactProfile], as_of: date) -> int:
    """Write the profile of every customer, in the caller's transaction. Segments are left as they are.

    Args:
        facts: What the order store tells, by ref in byte order, as the base is read in that order too.
        as_of: The day of the profile.

    Returns:
        How many customers there are.
    """
    written = 0
    merged = _Merge(facts)
    for page in _pages():
        rows = [_row(customer, merged.of(customer.ref), as_of) for customer in page]
        upsert(CustomerProfile, rows, "customer_id", (name for name in rows[0] if name != "customer_id"))
        written += len(rows)
    return written


class _Merge:
    """Facts looked up in ascending order of refs: one pass, nothing held."""

    def __init__(self, facts: Iterable[FactProfile]) -> None:
        self._facts = iter(facts)
        self._next = next(self._facts, None)

    def of(self, ref: str) -> FactProfile | None:
        """What is told of this customer; facts of customers not in the base are passed over."""
        while self._next is not None and self._next.ref < ref:
            self._next = next(self._facts, None)
        return self._next if self._next is not None and self._next.ref == ref else None


def _pages() -> Iterator[list[sa.Row[Any]]]:
    """The customers by ref, in pages that begin after the last ref seen."""
    columns = [getattr(Customer, name) for name in FIELDS]
    query = sa.select(Customer.id, Customer.ref, *columns).order_by(Customer.ref).limit(5 * BATCH)
    page = list(db.session.execute(query))
    while page:
        yield page
        page = list(db.session.execute(query.where(Customer.ref > page[-1].ref)))


def _row(customer: sa.Row[Any], facts: FactProfile | None, as_of: date) -> dict[str, Any]:
    told = _told(facts, as_of)
    missing = [name for name in FIELDS if not getattr(customer, name)]
    state = activity(told["recency_days"], told["interval_days"])
    return {"customer_id": customer.id, "as_of": as_of, **told, "activity": state, "missing": missing}


def _told(facts: FactProfile | None, as_of: date) -> dict[str, Any]:
    if facts is None:
        nothing = dict.fromkeys(("recency_days", "first_order", "last_order", "interval_days"))
        return {**nothing, "frequency": 0, "monetary": 0.0, "revenue_year": 0.0}
    days = (facts.last_order - facts.first_order).days
    return {
        "recency_days": (as_of - facts.last_order).days,
        "frequency": facts.frequency,
        "monetary": float(facts.monetary),
        "revenue_year": float(facts.revenue_year),
        "first_order": facts.first_order,
        "last_order": facts.last_order,
        "interval_days": days / (facts.order_days - 1) if facts.order_days > 1 else None,
    }
