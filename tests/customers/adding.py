"""Customers with profiles, written straight into the base, for tests of what is done with them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.people import listkeys
from pilot.db import transaction

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def add(*rows: dict[str, Any], listed: bool = True) -> list[int]:
    """Add customers, with the fields given and otherwise nothing known; their ids. `profile` holds its fields."""
    ids = []
    with transaction() as work:
        for number, row in enumerate(rows):
            fields = {"ref": f"C{number}", "name": f"Customer {number}", "digest": "d", "updated_at": AT, **row}
            told = fields.pop("profile", None)
            customer = Customer(**fields)
            work.session.add(customer)
            work.session.flush()
            ids.append(customer.id)
            if told is not None:
                known = {"frequency": 0, "monetary": 0.0, "revenue_year": 0.0, "activity": "never", "missing": []}
                work.session.add(CustomerProfile(customer_id=customer.id, as_of=date(2026, 3, 1), **{**known, **told}))
    if listed:
        listkeys.catch_up()
    return ids
