"""Taking an import back, as one act."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers.bulk import batches, update_many
from pilot.customers.intake.fields import FIELDS
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.db import transaction
from pilot.errors import StateError

_FIELDS = tuple(known.name for known in FIELDS["customers"] if known.name != "ref")
"""What imports write of a customer."""
_AT_ONCE = 1_000


def undo(actor: Actor, entry: Import) -> int:
    """Take an import back. What a person has changed since stays as it is.

    Returns:
        How many customers went or changed back, or how many rows of facts count no more.

    Raises:
        StateError: It is undone or running, a later import changed the same customers, or a pilot has one of them.
    """
    staged = entry.staged
    try:
        with transaction() as work:
            work.session.refresh(entry, with_for_update=True)
            _check(entry)
            done = _customers(work.session, entry) if entry.kind == "customers" else entry.accepted
            entry.state, entry.undone_at, entry.undone_by = "undone", clock.now(), actor.name
            entry.fact_file = entry.staged = entry.lease_until = None
            record(actor, "import undone", f"import:{entry.id}", kind=entry.kind, file=entry.filename, rows=done)
            work.session.flush()
    except IntegrityError as error:
        raise StateError(
            f"a customer that import {entry.id} brought is part of a pilot or has been surveyed",
            remedy="Those customers must stay; correct them by a new import instead",
        ) from error
    if staged:
        shutil.rmtree(config.current().data_dir / staged, ignore_errors=True)
    return done


def _check(entry: Import) -> None:
    if entry.state == "undone":
        raise StateError(f"import {entry.id} was undone already", remedy="There is nothing to do")
    if entry.state == "running" and entry.lease_until is not None and entry.lease_until > clock.now():
        raise StateError(f"import {entry.id} is still running", remedy="Wait until it is done, then undo it")


def _customers(session: sa.orm.Session, entry: Import) -> int:
    _check_later(session, entry)
    restored = _restore(session, entry)
    gone: Any = session.execute(
        sa.delete(Customer)
        .where(Customer.created_by_import_id == entry.id)
        .execution_options(synchronize_session=False)
    )
    return restored + int(gone.rowcount)


def _check_later(session: sa.orm.Session, entry: Import) -> None:
    """Let pass if no later import stands on what this one wrote.

    Raises:
        StateError: One does; the newest is to be undone first.
    """
    ours = sa.union_all(
        sa.select(Customer.id).where(Customer.created_by_import_id == entry.id),
        sa.select(CustomerChange.customer_id).where(CustomerChange.import_id == entry.id),
    )
    later = (
        sa.select(CustomerChange.import_id, sa.func.count())
        .join(Import, Import.id == CustomerChange.import_id)
        .where(Import.id > entry.id, Import.state != "undone", CustomerChange.customer_id.in_(ours))
        .group_by(CustomerChange.import_id)
        .order_by(CustomerChange.import_id.desc())
    )
    if (found := session.execute(later).first()) is not None:
        number, customers = found
        raise StateError(
            f"import {number} changed {customers:,} of the same customers later", remedy=f"Undo import {number} first"
        )


def _restore(session: sa.orm.Session, entry: Import) -> int:
    """Give changed customers the values back that they had; how many."""
    changes = sa.select(CustomerChange.customer_id, CustomerChange.before, CustomerChange.after).where(
        CustomerChange.import_id == entry.id
    )
    restored = 0
    for batch in batches(session.execute(changes).all(), _AT_ONCE):
        standing = {
            row["id"]: row
            for row in session.execute(
                sa.select(Customer.id, *(getattr(Customer, name) for name in _FIELDS)).where(
                    Customer.id.in_([change.customer_id for change in batch])
                )
            ).mappings()
        }
        rows = [
            _earlier(standing[change.customer_id], change.before, change.after)
            for change in batch
            if change.customer_id in standing
        ]
        # Without its fingerprint a customer is compared field by field by the next import.
        update_many(Customer, _FIELDS, rows, digest="", import_id=None, updated_at=clock.now())
        restored += len(rows)
    return restored


def _earlier(now: Mapping[Any, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Any]:
    values = {name: now[name] for name in _FIELDS}
    for name, old in before.items():
        if values[name] == after[name]:  # else a person has changed it since
            values[name] = old
    return (*values.values(), now["id"])
