"""The profile: what is known of each customer, made from the base and the facts of the order store.

What each number means exactly is written in docs/base.md.
"""

from __future__ import annotations

import json
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import sqlalchemy as sa

from pilot.customers.bulk import batches, replace_many
from pilot.customers.engines import FactProfile, Member
from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db

ACTIVITIES = ("new", "active", "slowing", "lapsed", "lost", "never")
FIELDS = (
    "name", "email", "phone", "language", "region", "sales_rep", "street", "city", "postcode", "legal_entity",
    "sector", "size",
)  # fmt: skip
"""The fields of a customer that ought to be known."""

RECENT_DAYS = 90
YEAR_DAYS = 365
SHORTEST_RHYTHM = 7.0
RECENT_INTERVALS = 3
FEWEST_DAYS = 3
"""With fewer order days there is one gap at most, and one gap is no rhythm."""
ASSUMED_RHYTHM = 60.0
"""The rhythm, in days, of who has two order days: so it stays active as long as a customer stays new."""
FEWEST_PEERS = 10
"""With fewer buyers of its size and region a customer is compared with nobody."""
PAGE = 5000

AGES = {"3": 3, "6": 6, "12": 12, "older": None, "never": None}
"""How long ago the last order may be: up to so many months; longer; there is none."""

_WRITTEN = (
    "customer_id", "as_of", "recency_days", "frequency", "monetary", "revenue_year", "first_order", "last_order",
    "order_days", "interval_days", "interval_change", "revenue_before", "cancelled", "touches_year", "minutes_year",
    "cost_year", "touched", "contribution_year", "peer_revenue", "potential", "value_rank", "activity", "missing",
)  # fmt: skip
"""The columns that a rebuild writes; those of the segment are not its business."""


@dataclass(slots=True)
class Totals:
    """What the profiles add up to."""

    customers: int = 0
    orders: int = 0
    revenue: float = 0.0
    revenue_year: float = 0.0
    cost_year: float = 0.0
    contribution_year: float = 0.0
    potential: float = 0.0
    compared: int = 0
    """Customers that have enough peers to be compared with."""
    activity: Counter[str] = field(default_factory=Counter)
    newest: date | None = None
    """The day of the newest order."""
    ages: dict[str, list[float]] = field(default_factory=lambda: {age: [0, 0.0, 0.0] for age in AGES})
    """Customers by how long ago they last ordered, with their revenue of the year and of the year before."""
    marks: Counter[int] = field(default_factory=Counter)
    """Customers by what is missing of them, see `members`."""

    @property
    def missing(self) -> dict[str, int]:
        """How many customers lack each field."""
        return {name: sum(n for mark, n in self.marks.items() if mark >> bit & 1) for bit, name in _BITS}


def activity(recency_days: int | None, rhythm_days: float | None) -> str:
    """How a customer stands, measured by its own rhythm, see `rhythm`.

    The rhythm counts as a week at least. With the days since the last order, the customer is

    * `never`: no order;
    * `active`: at most 1.5 times the rhythm;
    * `slowing`: at most 3 times;
    * `lapsed`: at most 6 times, or within a year;
    * `lost`: longer.

    A customer with one order day has no rhythm yet: it is `new` for 90 days, then `lapsed`, after a year `lost`.
    """
    if recency_days is None:
        return "never"
    if rhythm_days is None:
        return "new" if recency_days <= RECENT_DAYS else "lapsed" if recency_days <= YEAR_DAYS else "lost"
    rhythms = recency_days / max(rhythm_days, SHORTEST_RHYTHM)
    if rhythms <= 3:
        return "active" if rhythms <= 1.5 else "slowing"
    return "lapsed" if rhythms <= 6 or recency_days <= YEAR_DAYS else "lost"


def rhythm(order_days: int, interval_days: float | None) -> float | None:
    """The rhythm that a customer is measured by, in days: the mean between its order days, from three of them on.

    Two order days have one gap, which may be chance: then it is `ASSUMED_RHYTHM`. With fewer there is none.
    """
    return interval_days if order_days >= FEWEST_DAYS or interval_days is None else ASSUMED_RHYTHM


def month_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last one of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def members() -> Iterator[Member]:
    """Every customer of the base, by id: its peers are those of the same size and region, its mark what is missing."""
    empty = [sa.case((sa.func.coalesce(getattr(Customer, name), "") == "", 1 << bit), else_=0) for bit, name in _BITS]
    known = sa.and_(Customer.size != "", Customer.region != "")
    peers = sa.case((known, sa.type_coerce(Customer.size, sa.String) + "\x1f" + Customer.region))
    query = sa.select(Customer.id, Customer.ref, peers, sum(empty, sa.literal(0))).order_by(Customer.id).limit(PAGE)
    page = db.session.execute(query).all()
    while page:
        yield from map(Member._make, page)
        page = db.session.execute(query.where(Customer.id > page[-1].id)).all()


_BITS = tuple(enumerate(FIELDS))


def write(
    facts: Iterable[FactProfile], as_of: date, gross_margin: float, wrote: Callable[[int], None] = lambda number: None
) -> Totals:
    """Write the profile of every customer, in the caller's transaction. Segments are left as they are.

    Args:
        facts: What the order store tells of each customer, by id.
        as_of: The day of the profile.
        gross_margin: Share of revenue left after cost of goods.
        wrote: Hears after each page how many are written.

    Returns:
        What they add up to.
    """
    totals, day = Totals(), as_of.isoformat()
    limits = [(age, month_before(as_of, months)) for age, months in AGES.items() if months]
    for page in batches(facts, PAGE):
        rows = [_row(fact, as_of, day, gross_margin, totals) for fact in page]
        for fact in page:
            _age(fact, limits, totals)
        replace_many(CustomerProfile, _WRITTEN, rows, "customer_id")
        totals.customers += len(rows)
        wrote(totals.customers)
    return totals


def _row(fact: FactProfile, as_of: date, day: str, gross_margin: float, totals: Totals) -> tuple[Any, ...]:
    """The values of `_WRITTEN`, as the driver takes them on every database; added to the totals in passing."""
    recency, interval, change = _rhythm(fact, as_of)
    state = activity(recency, rhythm(fact.order_days, interval))
    contribution = fact.revenue_year * gross_margin - fact.cost_year
    peer_revenue = fact.peer_revenue if fact.peer_count >= FEWEST_PEERS else None
    potential = None if peer_revenue is None else max(0.0, peer_revenue - fact.revenue_year)
    totals.activity[state] += 1
    totals.marks[fact.mark] += 1
    _add(totals, fact, contribution, potential)
    return (
        fact.id, day, recency, fact.frequency, fact.monetary, fact.revenue_year, _iso(fact.first_order),
        _iso(fact.last_order), fact.order_days, interval, change, fact.revenue_before, fact.cancelled,
        fact.touches_year, fact.minutes_year, fact.cost_year, fact.touched, contribution, peer_revenue, potential,
        fact.value_rank, state, _missing(fact.mark),
    )  # fmt: skip


def _rhythm(fact: FactProfile, as_of: date) -> tuple[int | None, float | None, float | None]:
    """Days since the last order, mean days between order days, and how the last three of them compare."""
    if fact.first_order is None or fact.last_order is None:
        return None, None, None
    recency = (as_of - fact.last_order).days
    if fact.order_days < 2:
        return recency, None, None
    interval = (fact.last_order - fact.first_order).days / (fact.order_days - 1)
    if fact.recent_from is None:
        return recency, interval, None
    recent = (fact.last_order - fact.recent_from).days / RECENT_INTERVALS
    before = (fact.recent_from - fact.first_order).days / (fact.order_days - 1 - RECENT_INTERVALS)
    return recency, interval, recent / before


def _add(totals: Totals, fact: FactProfile, contribution: float, potential: float | None) -> None:
    totals.orders += fact.frequency
    totals.revenue += fact.monetary
    totals.revenue_year += fact.revenue_year
    totals.cost_year += fact.cost_year
    totals.contribution_year += contribution
    if potential is not None:
        totals.compared += 1
        totals.potential += potential


def _age(fact: FactProfile, limits: Sequence[tuple[str, date]], totals: Totals) -> None:
    last = fact.last_order
    if last is None:
        age = "never"
    else:
        age = next((name for name, limit in limits if last > limit), "older")
        if totals.newest is None or last > totals.newest:
            totals.newest = last
    found = totals.ages[age]
    found[0] += 1
    found[1] += fact.revenue_year
    found[2] += fact.revenue_before


@cache
def _missing(mark: int) -> str:
    """The fields that a mark says are empty, as JSON."""
    return json.dumps([name for bit, name in _BITS if mark >> bit & 1])


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
