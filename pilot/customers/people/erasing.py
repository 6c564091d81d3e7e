"""Forgetting a customer for good."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot.accounts.service import Actor, record
from pilot.customers.intake import forgetting
from pilot.customers.models import Customer
from pilot.customers.orderstore import store
from pilot.customers.people import listkeys
from pilot.db import Transaction, transaction
from pilot.errors import NotFound, StateError


class Erased(NamedTuple):
    """What was written anew or removed: files of orders and touches, and lists of refused rows and uploads."""

    facts: int
    lists: int


def erase(actor: Actor, ref: str) -> Erased:
    """Forget a customer as one act: its data and their history, its orders and touches, its place in the list.

    Orders, touches and refused rows of a number that is not in the base are forgotten as well. Afterwards no search
    finds it any more. The audit trail keeps that a customer was erased, not which.

    Args:
        actor: Of operations.
        ref: The customer number.

    Returns:
        How many files held it.

    Raises:
        NotFound: Nothing anywhere tells of such a customer.
        StateError: It is part of a pilot, has been surveyed or written to, or an unfinished import tells of it; nothing
            is changed then.
    """
    actor.require("operations")
    forgetting.none_waiting(ref)
    try:
        with transaction() as work:
            number = _remove(work, ref)
            erased = Erased(store().erase([ref]), forgetting.forget(ref))
            if number is None and not any(erased):
                raise NotFound(
                    f"there is no customer {ref!r}, and no order or touch of it",
                    remedy="Give its customer number as the list shows it",
                )
            record(actor, "customer erased", f"customer:{number or 'unlisted'}", files=erased.facts, lists=erased.lists)
    except IntegrityError as error:
        raise StateError(
            f"customer {ref} is part of a pilot, has been surveyed or written to",
            remedy="What a pilot was decided by must stay; remove name and addresses of the customer instead",
        ) from error
    return erased


def _remove(work: Transaction, ref: str) -> int | None:
    """Take a customer out of the base and the list; what it was known by inside, None if it was not there."""
    number = work.session.scalar(sa.select(Customer.id).where(Customer.ref == ref))
    if number is not None:
        gone = sa.delete(Customer).where(Customer.id == number)
        work.session.execute(gone.execution_options(synchronize_session=False))
        work.session.flush()
        listkeys.forget([number])
    return number
