"""When the handling of a segment changes: its customers stay where they are, and their handling follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from pilot import clock
from pilot.customers.bulk import batches
from pilot.customers.models import Customer, CustomerProfile, Movement, Segment
from pilot.customers.segmenting import movements
from pilot.customers.wording import channel_names
from pilot.db import Transaction, db

_PAGE = 5_000


def follow(segment: Segment, before: str, as_of: date | None, work: Transaction) -> movements.Outcome:
    """Write a movement for each customer in a segment whom another channel handles, in the caller's transaction.

    It is applied, proposed or held as a movement into the segment would be, and overtakes what waited for a decision.

    Args:
        segment: The segment as it is now.
        before: Key of the channel it had.
        as_of: The day of the profiles.
        work: The transaction; changed handling is told after it.

    Returns:
        How many customers there are, and what became of their movements.
    """
    holding = set(db.session.scalars(sa.select(movements.held().c.customer_id)))
    reason, outcome = _reason(segment, before), movements.Outcome()
    _overtake(segment)
    for page in _pages(segment):
        rows = [_movement(row, segment, reason, row.id in holding, as_of) for row in page]
        for batch in batches(rows):
            db.session.execute(sa.insert(Movement), batch)
        movements.hand_over(
            ((row["customer_id"], row["channel_before"], segment.channel) for row in rows if row["state"] == "applied"),
            work,
        )
        outcome.add(rows)
    return outcome


def _reason(segment: Segment, before: str) -> str:
    names = channel_names()
    told = {"before": names.get(before, before), "after": names.get(segment.channel, segment.channel)}
    said = _("the handling of %(segment)s changed from %(before)s to %(after)s", segment=segment.name, **told)
    return movements.shortened(said)


def _pages(segment: Segment) -> Iterator[Sequence[Any]]:
    query = (
        sa.select(Customer.id, Customer.channel)
        .join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        .where(CustomerProfile.segment == segment.key, Customer.channel.is_distinct_from(segment.channel))
        .order_by(Customer.id)
        .limit(_PAGE)
    )
    page = db.session.execute(query).all()
    while page:
        yield page
        page = db.session.execute(query.where(Customer.id > page[-1].id)).all()


def _movement(row: Any, segment: Segment, reason: str, holding: bool, as_of: date | None) -> dict[str, Any]:
    state, now = "held" if holding else movements.state_in(segment, row.channel), clock.now()
    return {
        "customer_id": row.id,
        "at": now,
        "before": segment.key,
        "after": segment.key,
        "as_of": as_of,
        "reason": reason,
        "facts": {},
        "state": state,
        "channel_before": row.channel,
        "channel_after": segment.channel,
        "decided_at": now if state == "applied" else None,
    }


def _overtake(segment: Segment) -> None:
    """What waited for a decision proposed the handling of before, also to those whom the new channel handles already."""
    members = sa.select(CustomerProfile.customer_id).where(CustomerProfile.segment == segment.key)
    db.session.execute(
        sa.update(Movement)
        .where(Movement.state.in_(movements.UNDECIDED), Movement.customer_id.in_(members))
        .values(state="overtaken", decided_at=clock.now())
        .execution_options(synchronize_session=False)
    )
