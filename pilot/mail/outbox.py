"""The rows of the outbox and their moves. Each move is one conditional UPDATE, so no two workers make the same one.

    queued ──▶ claimed ──▶ handing_over ──▶ sent, failed, or uncertain when the reply was lost
       ▲          │              │
       └──────────┴──────────────┘ put back after a refusal that may pass

A claimed row can also end as failed or withdrawn without ever being handed over.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pilot import clock, config
from pilot.db import UtcDateTime, db, transaction
from pilot.events import MailSettled
from pilot.mail.models import OutboxMessage

LEASE = timedelta(minutes=10)
"""How long a claim, and a hand-over, holds. Well above the time one message can take at a hanging server."""

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 20, 60, 240, 720, 1440))
"""Pauses after the first, second, … attempt that failed for now. After the last one the message has failed."""

_OURS = ("claimed", "handing_over", "uncertain")
_INSERT_ROWS = 2000

# Customers are another feature's, above this one; of their table the outbox reads these columns.
_customers = sa.table(
    "customers", sa.column("id", sa.Integer), sa.column("email", sa.String), sa.column("opted_out_at", UtcDateTime())
)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Where a customer's mail goes, and whether they still want it."""

    email: str | None
    opted_out_at: datetime | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What `sweep()` found: claims given back to the queue, and hand-overs nobody knows the end of."""

    requeued: int
    uncertain: int


def insert(
    kind: str, rows: Iterable[tuple[int, str, int]], experiment_id: int | None, due_at: datetime | None
) -> Iterator[int]:
    """Add rows of (subject id, key, customer id) and yield how many of each batch were new."""
    now = clock.now()
    domain = config.current().mail_from.rpartition("@")[2]
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(OutboxMessage.__table__).on_conflict_do_nothing(index_elements=["key"])
    statement = statement.execution_options(preserve_rowcount=True)
    common = {
        "kind": kind,
        "experiment_id": experiment_id,
        "state": "queued",
        "attempts": 0,
        "queued_at": now,
        "due_at": due_at or now,
    }
    remaining = iter(rows)
    while batch := list(islice(remaining, _INSERT_ROWS)):
        values: list[dict[str, Any]] = [
            {
                **common,
                "subject_id": subject_id,
                "key": key,
                "customer_id": customer_id,
                "message_id": f"<{secrets.token_hex(16)}@{domain}>",
            }
            for subject_id, key, customer_id in batch
        ]
        yield db.session.connection().execute(statement, values).rowcount


def count_due() -> int:
    """How many messages could be claimed now."""
    count = sa.select(sa.func.count()).select_from(OutboxMessage).where(*_due())
    return db.session.scalar(count) or 0


def claim(owner: str, limit: int) -> list[int]:
    """Make up to `limit` due messages the owner's, longest due first, and return their ids in that order."""
    due = (
        sa.select(OutboxMessage.id)
        .where(*_due())
        .order_by(OutboxMessage.due_at, OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    take = (
        sa.update(OutboxMessage)
        .where(OutboxMessage.id.in_(sa.select(due.c.id)))
        .values(
            state="claimed",
            owner=owner,
            lease_until=clock.now() + LEASE,
            attempts=OutboxMessage.attempts + 1,
        )
        .returning(OutboxMessage.due_at, OutboxMessage.id)
        .execution_options(synchronize_session=False)
    )
    with transaction() as work:
        taken = sorted((due_at, message_id) for due_at, message_id in work.session.execute(take))
    return [message_id for _, message_id in taken]


def addressee(customer_id: int) -> Addressee | None:
    """Where this customer's mail goes. Inside a transaction their row stays as read until its end."""
    columns = sa.select(_customers.c.email, _customers.c.opted_out_at).where(_customers.c.id == customer_id)
    row = db.session.execute(columns.with_for_update(read=True)).first()
    return None if row is None else Addressee(row.email, row.opted_out_at)


def mark_handing_over(message_id: int, owner: str) -> bool:
    """Set the hand-over mark, inside the caller's transaction; False if the row is not the owner's any more."""
    return _move(
        [OutboxMessage.id == message_id, OutboxMessage.owner == owner, OutboxMessage.state == "claimed"],
        state="handing_over",
        lease_until=clock.now() + LEASE,
    )


def settle(message_id: int, owner: str, state: str, reply: str) -> bool:
    """End a message of this owner's; False if it is not the owner's any more.

    A row swept to `uncertain` while its owner still waited for the reply is settled by that reply after all.
    """
    ended = (
        sa.update(OutboxMessage)
        .where(OutboxMessage.id == message_id, OutboxMessage.owner == owner, OutboxMessage.state.in_(_OURS))
        .values(state=state, owner=None, lease_until=None, settled_at=clock.now(), reply=_shortened(reply))
        .returning(OutboxMessage.kind)
        .execution_options(synchronize_session=False)
    )
    with transaction() as work:
        kind = work.session.scalar(ended)
        if kind is not None:
            work.emit(MailSettled(message_id, kind, state))
    return kind is not None


def postpone(message_id: int, owner: str, attempts: int, reply: str) -> str:
    """Queue a message of this owner's again, later each time; after the last pause it has failed.

    Returns:
        The state it is in now: `queued` or `failed`.
    """
    if attempts > len(WAITS):
        settle(message_id, owner, "failed", f"given up after {attempts} attempts: {reply}")
        return "failed"
    with transaction():
        _move(
            [OutboxMessage.id == message_id, OutboxMessage.owner == owner, OutboxMessage.state.in_(_OURS)],
            state="queued",
            owner=None,
            lease_until=None,
            due_at=clock.now() + WAITS[attempts - 1],
            reply=_shortened(reply),
        )
    return "queued"


def release(owner: str) -> None:
    """Let go of all this owner holds when its run ends early: unbegun ones go back as if never claimed."""
    with transaction():
        _move(
            [OutboxMessage.owner == owner, OutboxMessage.state == "claimed"],
            state="queued",
            owner=None,
            lease_until=None,
            attempts=OutboxMessage.attempts - 1,
        )
        _give_up(OutboxMessage.owner == owner, reply="the run was interrupted before the reply came")


def sweep() -> Swept:
    """Take back what workers left behind whose lease has run out."""
    expired = OutboxMessage.lease_until < clock.now()
    with transaction():
        requeued = _count_moved(
            [OutboxMessage.state == "claimed", expired], state="queued", owner=None, lease_until=None
        )
        uncertain = _give_up(expired, reply="the worker stopped after the hand-over and before the reply")
    return Swept(requeued, uncertain)


def _give_up(which: sa.ColumnElement[bool], *, reply: str) -> int:
    """Mark hand-overs of unknown end. They keep their owner: if it lives and hears the reply, it may settle them."""
    lost = (
        sa.update(OutboxMessage)
        .where(which, OutboxMessage.state == "handing_over")
        .values(state="uncertain", settled_at=clock.now(), reply=reply)
        .returning(OutboxMessage.id, OutboxMessage.kind)
        .execution_options(synchronize_session=False)
    )
    with transaction() as work:
        rows = work.session.execute(lost).all()
        for message_id, kind in rows:
            work.emit(MailSettled(message_id, kind, "uncertain"))
    return len(rows)


def _due() -> tuple[sa.ColumnElement[bool], ...]:
    return OutboxMessage.state == "queued", OutboxMessage.due_at <= clock.now()


def _move(where: list[sa.ColumnElement[bool]], **values: Any) -> bool:
    return _count_moved(where, **values) > 0


def _count_moved(where: list[sa.ColumnElement[bool]], **values: Any) -> int:
    statement = sa.update(OutboxMessage).where(*where).values(**values)
    return db.session.connection().execute(statement).rowcount


def _shortened(reply: str) -> str:
    return " ".join(reply.split())[:500]
