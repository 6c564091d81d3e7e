"""Correcting what one has just filled in for a customer, as long as it is one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.models import Completion, Customer, CustomerChange
from pilot.customers.people.completion import LEASE, WORKERS, FieldErrors, checked, write
from pilot.db import db, transaction
from pilot.errors import NotFound


@dataclass(frozen=True, slots=True)
class Filled:
    """What somebody has filled in for a customer within the last half hour.

    Attributes:
        number: Of the task.
        name: Who the customer is.
        values: What was filled in, by field, as it stands in the base.
        until: How long it may be corrected.
    """

    number: int
    name: str
    values: dict[str, str]
    until: datetime


def filled(actor: Actor, number: int) -> Filled | None:
    """What the actor filled in for this task; None if it is not the actor's any more, or others have changed it."""
    actor.require(*WORKERS)
    task = db.session.get(Completion, number)
    if task is None or task.claimed_by != actor.name or task.state == "impossible":
        return None
    own = (CustomerChange.customer_id == task.customer_id) & (CustomerChange.actor == actor.name)
    recent = own & CustomerChange.import_id.is_(None) & (CustomerChange.at > clock.now() - LEASE)
    changes = db.session.scalars(sa.select(CustomerChange).where(recent).order_by(CustomerChange.id)).all()
    customer = db.session.get_one(Customer, task.customer_id)
    latest = {name: value for change in changes for name, value in change.after.items()}
    values = {name: value for name, value in latest.items() if name in task.fields and getattr(customer, name) == value}
    if not values:
        return None
    return Filled(task.id, customer.name or customer.ref, values, changes[-1].at + LEASE)


def amend(actor: Actor, number: int, entries: Mapping[str, str]) -> Filled:
    """Write what the actor says instead; every field that was filled in must hold something.

    Returns:
        What stands now.

    Raises:
        FieldErrors: Entries cannot be taken over; nothing is written then.
        NotFound: It is not the actor's any more.
    """
    with transaction() as work:
        found = filled(actor, number)
        if found is None:
            raise NotFound(_("this customer is not yours any more"), remedy=_("Take the next customer"))
        task = work.session.get_one(Completion, number)
        customer = work.session.get_one(Customer, task.customer_id, with_for_update=True)
        values = checked(list(found.values), entries, customer.language)
        if empty := [name for name in found.values if name not in values]:
            raise FieldErrors({name: _("Fill this in.") for name in empty})
        if differing := {name: value for name, value in values.items() if value != found.values[name]}:
            write(work, actor, customer, differing)
            work.session.flush()
        return filled(actor, number) or found
