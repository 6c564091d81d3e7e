"""The outbox: queueing messages and handing them over so that none goes out twice and none is silently missing.

What a mail says is composed when it is handed over, by the feature its kind belongs to. It is composed a
second time in the transaction that sets the hand-over mark, just before the message can no longer be called
back: whoever opted out, answered or was withdrawn in the meantime gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import sqlalchemy as sa

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.db import db, transaction
from pilot.errors import NotFound, StateError
from pilot.events import MailQueued
from pilot.mail import outbox
from pilot.mail.letters import Content, Withhold, letter
from pilot.mail.models import MESSAGE_STATES, OutboxMessage
from pilot.mail.outbox import Swept, sweep
from pilot.mail.sending import Composer, Run, SendResult, TransportError, register_composers

__all__ = [
    "Composer",
    "Content",
    "SendResult",
    "Swept",
    "TransportError",
    "Withhold",
    "counts",
    "letter",
    "queue",
    "queue_many",
    "register_composers",
    "resend",
    "send_batch",
    "send_due",
    "sweep",
    "troubles",
    "uncertain",
]

BATCH = 20
"""Messages claimed at a time: few, so that a stopped worker holds up few."""


JOB_BATCH = 200
"""Messages a job sends before it looks whether it shall stop."""


def queue(
    kind: str,
    subject_id: int,
    key: str,
    customer_id: int,
    experiment_id: int | None = None,
    due_at: datetime | None = None,
) -> bool:
    """Queue one message, inside the caller's transaction.

    Args:
        kind: Whose composer writes it.
        subject_id: What that composer needs to know.
        key: What makes it the only one of its kind; queueing a key again changes nothing.
        customer_id: Who gets it.
        experiment_id: The experiment it belongs to.
        due_at: Not before then; now if not given.

    Returns:
        Whether it is new.
    """
    return queue_many(kind, [(subject_id, key, customer_id)], experiment_id, due_at) == 1


def queue_many(
    kind: str,
    rows: Iterable[tuple[int, str, int]],
    experiment_id: int | None = None,
    due_at: datetime | None = None,
) -> int:
    """Queue many messages of one kind, inside the caller's transaction.

    Args:
        kind: Whose composer writes them.
        rows: Subject id, key and customer id of each, as for `queue()`; may be lazy.
        experiment_id: The experiment they belong to.
        due_at: Not before then; now if not given.

    Returns:
        How many are new.
    """
    with transaction() as work:
        work.session.flush()  # the customers may be as new as their messages
        queued = sum(outbox.insert(kind, rows, experiment_id, due_at))
        if queued:
            work.emit(MailQueued(kind, queued))
    return queued


def counts(experiment_id: int | None = None, kind: str | None = None) -> dict[str, int]:
    """How many messages are in each state, zeros included, of one experiment or kind if given."""
    rows = sa.select(OutboxMessage.state, sa.func.count()).group_by(OutboxMessage.state)
    if experiment_id is not None:
        rows = rows.where(OutboxMessage.experiment_id == experiment_id)
    if kind is not None:
        rows = rows.where(OutboxMessage.kind == kind)
    found = dict(db.session.execute(rows).all())
    return {state: found.get(state, 0) for state in MESSAGE_STATES}


def uncertain() -> list[OutboxMessage]:
    """Messages that were handed over and never answered: a person decides whether to send them again."""
    rows = sa.select(OutboxMessage).where(OutboxMessage.state == "uncertain")
    return list(db.session.scalars(rows.order_by(OutboxMessage.settled_at, OutboxMessage.id)))


def resend(actor: Actor, message_id: int) -> None:
    """Queue an uncertain or failed message again, under its old Message-ID.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such message.
        StateError: It is neither uncertain nor failed.
    """
    actor.require("operations")
    with transaction() as work:
        message = work.session.get(OutboxMessage, message_id, with_for_update=True)
        if message is None:
            raise NotFound(f"there is no message {message_id}")
        if message.state not in ("uncertain", "failed"):
            raise StateError(
                f"message {message_id} is {message.state}", remedy="Only an uncertain or failed one can be sent again"
            )
        record(actor, "resent", f"message:{message_id}", before=message.state, reply=message.reply)
        message.state, message.due_at, message.attempts = "queued", clock.now(), 0
        message.owner = message.lease_until = message.settled_at = message.reply = None


def troubles() -> list[OutboxMessage]:
    """Messages that ended badly, uncertain ones first: each can be sent again by a person."""
    rows = sa.select(OutboxMessage).where(OutboxMessage.state.in_(("uncertain", "failed")))
    return list(db.session.scalars(rows.order_by(OutboxMessage.state.desc(), OutboxMessage.id)))


def send_batch() -> bool:
    """Send some of what is due, as a job does, and say whether more may be waiting.

    Raises:
        TransportError: The other side cannot be reached; what was not sent stays queued.
    """
    result = send_due(JOB_BATCH)
    return result.sent + result.failed + result.uncertain + result.withdrawn + result.deferred >= JOB_BATCH


def send_due(limit: int | None = None, *, progress: Callable[[int, int], None] | None = None) -> SendResult:
    """Send what is due, oldest first, over one connection. May run in any number of processes at once.

    Args:
        limit: At most this many messages; all that are due if not given.
        progress: Told after each message how many are done and how many were due at the start.

    Raises:
        TransportError: The other side cannot be reached; what was not sent stays queued.
        InputError: The configured transport does not exist or its settings are wrong.
        RuntimeError: Called inside a transaction, where no hand-over could be made durable.
    """
    swept = sweep()
    if db.session().in_transaction():
        raise RuntimeError("send_due() inside a transaction")
    total = outbox.count_due()
    run = Run(total if limit is None else min(limit, total), progress)
    try:
        while batch := outbox.claim(run.owner, BATCH if limit is None else max(0, min(BATCH, limit - run.done))):
            for message_id in batch:
                run.send(message_id)
    finally:
        run.close()
    return run.result(swept.uncertain)
