"""Alerts: valuable customers who slow down or have lapsed, each by its own rhythm."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import most_valuable
from pilot.db import Transaction, db
from pilot.events import ValuableCustomerSlows

VALUABLE = 0.2
STEADY = ("new", "active")
QUIET = ("slowing", "lapsed", "lost")
PAGE = 50


def tell(earlier: sa.Table, work: Transaction) -> int:
    """Tell of every valuable customer who was steady in the earlier profiles and is quiet now.

    Once for each time it falls quiet: one that was quiet before is not told again until it has been steady.

    Args:
        earlier: The profiles as they were, see `facts.remembered`.
        work: The transaction; the customers are told of after it.

    Returns:
        How many there are.
    """
    rows = db.session.execute(
        sa.select(CustomerProfile.customer_id, earlier.c.activity, CustomerProfile.activity)
        .join(earlier, earlier.c.customer_id == CustomerProfile.customer_id)
        .where(earlier.c.activity.in_(STEADY), *_quiet_and_valuable())
        .order_by(CustomerProfile.value_rank)
    ).all()
    for customer, before, after in rows:
        work.emit(ValuableCustomerSlows(customer, before, after))
    return len(rows)


def quiet(*, after: int = 0, limit: int = PAGE) -> list[sa.Row[Any]]:
    """Valuable customers who are quiet, the most valuable first, with what one needs to call them.

    Args:
        after: Only those less valuable than this rank, for the next page.
        limit: How many at most.
    """
    profile = CustomerProfile
    columns = (
        Customer.id, Customer.ref, Customer.name, Customer.sales_rep, Customer.channel, profile.segment,
        profile.activity, profile.value_rank, profile.revenue_year, profile.revenue_before, profile.last_order,
        profile.recency_days, profile.interval_days,
    )  # fmt: skip
    query = sa.select(*columns).join(Customer, Customer.id == profile.customer_id).where(*_quiet_and_valuable())
    query = query.where(profile.value_rank > after).order_by(profile.value_rank, Customer.id).limit(limit)
    return list(db.session.execute(query))


def counted() -> dict[str, int]:
    """How many valuable customers are quiet, by activity state."""
    query = sa.select(CustomerProfile.activity, sa.func.count()).where(*_quiet_and_valuable())
    found = {row[0]: row[1] for row in db.session.execute(query.group_by(CustomerProfile.activity))}
    return {state: found.get(state, 0) for state in QUIET}


def _quiet_and_valuable() -> tuple[sa.ColumnElement[bool], ...]:
    return CustomerProfile.activity.in_(QUIET), most_valuable(VALUABLE)
