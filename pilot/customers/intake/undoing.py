"""Taking an import back, as one act, and saying beforehand what that will take with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.console import count
from pilot.customers.bulk import batches, update_many
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.lease import interrupted
from pilot.customers.models import Completion, Customer, CustomerChange, CustomerProfile, Import, Movement
from pilot.customers.orderstore import store
from pilot.db import db, transaction
from pilot.errors import StateError

_FIELDS = tuple(known.name for known in FIELDS["customers"] if known.name != "ref")
"""What imports write of a customer."""
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What undoing an import takes with it, exactly, as things stand.

    What an import told of orders (or touches, by what identifies them) may be told by others too: `count_again` of them,
    of which `told_otherwise` then count as those tell them.

    Attributes:
        import_id: The import.
        kind: `customers`, `orders` or `touches`.
        filename: What it took in.
        gone: Customers it brought, who go.
        restored: Customers it changed, who get values back from before.
        by_hand: Values that staff filled in of those who go; they go too.
        given_back: Values that staff had filled in and it overwrote; they come back.
        movements: Movements between segments of those who go.
        completions: Entries of the work list of those who go.
        changes: Changes by people and other imports in the history of those who go.
        orders: Orders of those who go, by their profiles; they stay, and count once the customers are back.
        facts: Rows of orders or touches that count no more.
        count_again: Orders or touches of these that other imports tell of too.
        told_otherwise: Those of them that they tell otherwise.
        told_before: The money of these now.
        told_after: The same once it is undone.
    """

    import_id: int
    kind: str
    filename: str
    gone: int = 0
    restored: int = 0
    by_hand: int = 0
    given_back: int = 0
    movements: int = 0
    completions: int = 0
    changes: int = 0
    orders: int = 0
    facts: int = 0
    count_again: int = 0
    told_otherwise: int = 0
    told_before: Decimal = Decimal()
    told_after: Decimal = Decimal()


def preview(entry: Import) -> UndoPreview:
    """What undoing it would do.

    Raises:
        StateError: It would be refused, as `undo` says.
    """
    _check(db.session(), entry)
    if entry.kind != "customers":
        return _facts_undone(entry)
    restored, given_back = 0, 0
    for rows in _back(db.session(), entry):
        restored += len(rows)
        given_back += sum(len(row.given_back) for row in rows)
    return UndoPreview(
        entry.id,
        entry.kind,
        entry.filename,
        gone=_count(_made_by(entry)),
        restored=restored,
        by_hand=_filled_in(entry),
        given_back=given_back,
        movements=_count(_made_by(entry).join(Movement, Movement.customer_id == Customer.id)),
        completions=_count(_made_by(entry).join(Completion, Completion.customer_id == Customer.id)),
        changes=_count(_made_by(entry).join(CustomerChange, CustomerChange.customer_id == Customer.id)),
        orders=_orders_left(entry),
    )


def _facts_undone(entry: Import) -> UndoPreview:
    told = store().retold(entry.kind, entry.id)
    return UndoPreview(
        entry.id,
        entry.kind,
        entry.filename,
        facts=standing(entry),
        count_again=told.shared,
        told_otherwise=told.number,
        told_before=told.after,
        told_after=told.before,
    )


def undo(actor: Actor, entry: Import) -> int:
    """Take an import back. What a person has changed since stays as it is.

    Returns:
        How many customers went or changed back, or how many rows of facts count no more.

    Raises:
        StateError: It is undone or running, a later import changed the same customers or found some as they stand, or a
            pilot has one of them.
    """
    staged = entry.staged
    try:
        with transaction() as work:
            work.session.refresh(entry, with_for_update=True)
            _check(work.session, entry)
            done = _customers(work.session, entry) if entry.kind == "customers" else standing(entry)
            entry.state, entry.undone_at, entry.undone_by = "undone", clock.now(), actor.name
            entry.fact_file = entry.staged = entry.lease_until = None
            record(actor, "import undone", f"import:{entry.id}", kind=entry.kind, file=entry.filename, rows=done)
            work.session.flush()
    except IntegrityError as error:  # somebody has drawn or surveyed one of them at this very moment
        raise _held(entry) from error
    if staged:
        shutil.rmtree(config.current().data_dir / staged, ignore_errors=True)
    return done


def _made_by(entry: Import) -> sa.Select[Any]:
    return sa.select(Customer.id).where(Customer.created_by_import_id == entry.id)


def _count(query: sa.Select[Any]) -> int:
    return db.session.scalar(query.with_only_columns(sa.func.count())) or 0


def _orders_left(entry: Import) -> int:
    """Orders of the customers it brought, as their profiles count them."""
    held = _made_by(entry).join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
    return int(db.session.scalar(held.with_only_columns(sa.func.sum(CustomerProfile.frequency))) or 0)


def _filled_in(entry: Import) -> int:
    """Values that staff filled in of the customers it brought."""
    filled = sa.select(Customer.by_hand).where(
        Customer.created_by_import_id == entry.id, sa.cast(Customer.by_hand, sa.Text) != "[]"
    )
    return sum(map(len, db.session.scalars(filled)))


def _check(session: sa.orm.Session, entry: Import) -> None:
    if entry.state == "undone":
        raise StateError(f"import {entry.id} was undone already", remedy="There is nothing to do")
    if entry.state == "running" and not interrupted(entry):
        raise StateError(f"import {entry.id} is still running", remedy="Wait until it is done, then undo it")
    if entry.kind == "customers":
        _check_later(session, entry)
        _check_confirmed(session, entry)
        _check_held(session, entry)
    else:
        _check_continued(session, entry)


def standing(entry: Import) -> int:
    """How many rows of an import stand: of facts fewer than it took over, once a customer of theirs was erased."""
    return entry.accepted if entry.remaining is None else entry.remaining


def _check_continued(session: sa.orm.Session, entry: Import) -> None:
    """Let pass if no other import goes on with it.

    Raises:
        StateError: One does: its rows alone would not be the orders they belong to.
    """
    continuing = sa.select(Import.id).where(Import.continues == entry.id, Import.fact_file.is_not(None))
    if (number := session.scalar(continuing.order_by(Import.id.desc()).limit(1))) is not None:
        raise StateError(
            f"import {number} goes on with import {entry.id}: it brought rows that were refused here",
            remedy=f"Undo import {number} first",
        )


def _customers(session: sa.orm.Session, entry: Import) -> int:
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
    ours: sa.CompoundSelect[Any] = sa.union_all(
        _made_by(entry),
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


def _check_confirmed(session: sa.orm.Session, entry: Import) -> None:
    """Let pass if no later import that stands found customers just as they were.

    What an import finds so it does not write down row by row: it may have told of the very customers and values that
    would go, which nobody could tell afterwards.

    Raises:
        StateError: One does; the newest is to be undone first.
    """
    if not entry.accepted:
        return
    later = (
        sa.select(Import.id, Import.unchanged)
        .where(Import.kind == entry.kind, Import.id > entry.id, Import.state != "undone", Import.unchanged > 0)
        .order_by(Import.id.desc())
        .limit(1)
    )
    if (found := session.execute(later).first()) is not None:
        number, customers = found
        raise StateError(
            f"import {number} found {count(customers, 'customer')} just as they stood, and what would go may be among them",
            remedy=f"Undo import {number} first, and import its file again afterwards",
        )


def _check_held(session: sa.orm.Session, entry: Import) -> None:
    """Let pass if none of the customers it brought is held by what does not go with a customer, such as a sample.

    Raises:
        StateError: One is.
    """
    customers: Any = sa.inspect(Customer).local_table
    for table in customers.metadata.tables.values():
        for key in table.foreign_keys:
            if key.column.table is not customers or key.ondelete == "CASCADE":
                continue
            holding = _made_by(entry).join(table, key.parent == Customer.id).limit(1)
            if session.scalar(holding) is not None:
                raise _held(entry)


def _held(entry: Import) -> StateError:
    return StateError(
        f"a customer that import {entry.id} brought is part of a pilot or has been surveyed",
        remedy="Those customers must stay; correct them by a new import instead",
    )


@dataclass(frozen=True, slots=True)
class _Back:
    """A customer as it was before the import; `given_back` are fields that staff had filled in."""

    id: int
    values: Sequence[Any]
    given_back: Sequence[str]
    by_hand: Sequence[str]


def _restore(session: sa.orm.Session, entry: Import) -> int:
    """Give changed customers the values back that they had; how many."""
    restored = 0
    for rows in _back(session, entry):
        # Without its fingerprint a customer is compared field by field by the next import.
        values = [(*row.values, row.id) for row in rows]
        update_many(Customer, _FIELDS, values, digest="", import_id=None, updated_at=clock.now())
        if given_back := [{"id": row.id, "by_hand": row.by_hand} for row in rows if row.given_back]:
            session.execute(sa.update(Customer), given_back)
        restored += len(rows)
    return restored


def _back(session: sa.orm.Session, entry: Import) -> Iterator[list[_Back]]:
    """The customers that get values back, some at a time."""
    told = (getattr(CustomerChange, name) for name in ("customer_id", "before", "after", "by_hand"))
    changes = sa.select(*told).where(CustomerChange.import_id == entry.id).order_by(CustomerChange.id)
    columns = [getattr(Customer, name) for name in ("id", "by_hand", *_FIELDS)]
    for batch in batches(session.execute(changes).all(), _AT_ONCE):
        query = sa.select(*columns).where(Customer.id.in_([change.customer_id for change in batch]))
        standing = {row["id"]: row for row in session.execute(query).mappings()}
        found = (_earlier(standing[change.customer_id], change) for change in batch if change.customer_id in standing)
        yield [row for row in found if row is not None]


def _earlier(now: Mapping[Any, Any], change: Any) -> _Back | None:
    """The customer before a change; None if a person has changed all of it since."""
    back = [name for name in change.before if now[name] == change.after[name]]
    if not back:
        return None
    values = [change.before[name] if name in back else now[name] for name in _FIELDS]
    given_back = [name for name in change.by_hand if name in back]
    return _Back(now["id"], values, given_back, sorted({*now["by_hand"], *given_back}))
