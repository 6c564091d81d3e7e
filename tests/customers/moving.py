"""A base whose profiles a test writes day by day, as `rebuild_profiles` does from the facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa

from pilot import clock
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.segmenting import alerts, facts
from pilot.customers.segmenting.segments import SegmentCounts, evaluate
from pilot.customers.service import segments
from pilot.db import db, transaction

DAY = date(2026, 3, 1)

KEY = {"key": "key", "name": "Key", "rule": "revenue-at-least", "settings": {"amount": 5000}, "channel": "field-rep"}
SMALL = {"key": "small", "name": "Small", "rule": "everyone", "channel": "service-desk"}


def profiled(as_of: date, values: Mapping[str, float | Mapping[str, Any]]) -> SegmentCounts:
    """Write these profiles as of a day, by ref (a number is revenue of the year), and evaluate the segments."""
    with transaction() as work, facts.remembered() as earlier:
        for ref, value in values.items():
            given = dict(value) if isinstance(value, Mapping) else {"revenue_year": float(value)}
            fields = {name: given.pop(name) for name in ("region", "phone", "sales_rep") if name in given}
            profile = _profile(ref, fields)
            for name, what in {"activity": "active", **given}.items():
                setattr(profile, name, what)
        work.session.flush()
        work.session.execute(sa.update(CustomerProfile).values(as_of=as_of))
        alerts.tell(earlier, work)
        return evaluate(segments(), work, earlier)


def _profile(ref: str, fields: Mapping[str, Any]) -> CustomerProfile:
    customer = db.session.scalar(sa.select(Customer).where(Customer.ref == ref))
    if customer is None:
        customer = Customer(ref=ref, name=f"Customer {ref}", digest="", updated_at=clock.now())
        customer.profile = CustomerProfile(
            as_of=DAY, frequency=0, monetary=0.0, revenue_year=0.0, activity="new", missing=[], touched={}
        )
        db.session.add(customer)
    for name, what in fields.items():
        setattr(customer, name, what)
    assert customer.profile is not None
    return customer.profile


def places() -> dict[str, str | None]:
    """The segment of each customer, by ref."""
    rows = db.session.execute(sa.select(Customer.ref, CustomerProfile.segment).join(CustomerProfile))
    return {row[0]: row[1] for row in rows}


def channels() -> dict[str, str | None]:
    """The handling channel of each customer, by ref."""
    return {row[0]: row[1] for row in db.session.execute(sa.select(Customer.ref, Customer.channel))}
