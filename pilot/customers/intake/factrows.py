"""The good rows of a file of orders or touches, as the order store keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from pilot.customers.bulk import look_up
from pilot.customers.intake import checks, staging
from pilot.customers.intake.sieve import Sieve
from pilot.customers.models import Customer
from pilot.db import db


def fact_rows(sieve: Sieve) -> str:
    """SQL for the rows of a file of the order store."""
    if sieve.kind == "orders":
        amount, cancelled = f"{sieve.value('amount')}::DECIMAL(18,4)", sieve.value("cancelled")
        return sieve.good(
            f"{sieve.value('customer_ref')} AS customer_ref, {sieve.value('order_ref')} AS order_ref, "
            f"{sieve.day('ordered_on')} AS ordered_on, {amount} AS amount, "
            # What was returned counts no more, unless the row is itself what was credited for it.
            f"({cancelled} = 'true' OR {cancelled} = 'returned' AND {amount} >= 0) AS cancelled"
        )
    touches = sieve.good(
        f"{sieve.value('customer_ref')} AS customer_ref, {sieve.day('happened_on')} AS happened_on, "
        f"{sieve.value('channel')} AS channel, {sieve.value('kind')} AS kind, {sieve.value('minutes')} AS minutes, "
        f"{sieve.value('cost')} AS told, nullif({sieve.value('touch_ref')}, '') AS touch_ref"
    )
    return (
        "SELECT customer_ref, happened_on, channel, kind, minutes::DOUBLE AS minutes, "  # noqa: S608
        f"CASE WHEN told <> '' THEN told ELSE rates.cost END::DECIMAL(18,4) AS cost, touch_ref FROM ({touches}) "
        f"LEFT JOIN {_rates(sieve, touches)} AS rates USING (channel, kind, minutes)"
    )


def _rates(sieve: Sieve, touches: str) -> str:
    """The table of what touches cost whose cost the file does not tell."""
    cost = checks.touch_cost()
    different = staging.fetched(
        sieve.staged.engine,
        f"SELECT DISTINCT channel, kind, minutes FROM ({touches}) WHERE told = ''",  # noqa: S608
    )
    rows = ((channel, kind, minutes, cost(channel, kind, minutes)) for channel, kind, minutes in different)
    staging.keep(sieve.staged.engine, "rates", ("channel", "kind", "minutes", "cost"), rows, sieve.folder)
    return "rates"


def strangers(sieve: Sieve) -> int:
    """How many customers of the file are not in the base (yet)."""
    if not db.session.scalar(sa.select(sa.func.max(Customer.ref))):
        query = sieve.good(f"count(DISTINCT {sieve.value('customer_ref')})")
        return int(sieve.staged.engine.execute(query).fetchall()[0][0])
    query = f"SELECT DISTINCT ref FROM ({sieve.good(sieve.value('customer_ref') + ' AS ref')})"  # noqa: S608
    met = known = 0

    def refs() -> Iterator[str]:
        nonlocal met
        for (ref,) in staging.fetched(sieve.staged.engine, query):
            met += 1
            yield ref

    for (number,) in look_up(Customer, "ref", refs(), ("count(*)",)):
        known += number
    return met - known
