"""Forgetting a customer for good."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot.accounts.service import Actor, record
from pilot.customers.models import Customer
from pilot.customers.orderstore import store
from pilot.customers.people import listkeys
from pilot.db import db, transaction
from pilot.errors import NotFound, StateError


def erase(actor: Actor, ref: str) -> int:
    """Forget a customer as one act: its data and their history, its orders and touches, its place in the list.

    Afterwards no search finds it any more. The audit trail keeps that a customer was erased, not which.

    Args:
        actor: Of operations.
        ref: The customer number.

    Returns:
        How many files of the order store were written anew.

    Raises:
        NotFound: There is no such customer.
        StateError: It is part of a pilot, has been surveyed or written to; nothing is changed then.
    """
    actor.require("operations")
    try:
        with transaction() as work:
            number = db.session.scalar(sa.select(Customer.id).where(Customer.ref == ref))
            if number is None:
                raise NotFound(f"there is no customer {ref!r}", remedy="Give its customer number as the list shows it")
            work.session.execute(
                sa.delete(Customer).where(Customer.id == number).execution_options(synchronize_session=False)
            )
            work.session.flush()
            listkeys.forget([number])
            written = store().erase([ref])
            record(actor, "customer erased", f"customer:{number}", files=written)
    except IntegrityError as error:
        raise StateError(
            f"customer {ref} is part of a pilot, has been surveyed or written to",
            remedy="What a pilot was decided by must stay; remove name and addresses of the customer instead",
        ) from error
    return written
