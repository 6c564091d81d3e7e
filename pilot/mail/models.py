"""The outbox: every message to a customer is a row before it is a mail."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from pilot.db import Model

MESSAGE_STATES = ("queued", "claimed", "handing_over", "sent", "failed", "uncertain", "withdrawn")


class OutboxMessage(Model):
    """One message to one customer.

    `handing_over` is made durable just before the final dot of DATA; a row found in it after a crash is
    `uncertain` and never sent again by itself. What the mail says is composed at hand-over from `kind` and
    `subject_id`, so no personal link ever lies in the database.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        sa.CheckConstraint(f"state IN ({', '.join(repr(state) for state in MESSAGE_STATES)})", name="state_known"),
        sa.Index("ix_outbox_due", "state", "due_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(160), unique=True)
    """What makes it the only one of its kind, e.g. `notice:3:1041`: queueing it again changes nothing."""
    kind: Mapped[str] = mapped_column(sa.String(32), index=True)
    """`notice`, `invitation` or `reminder`."""
    subject_id: Mapped[int] = mapped_column(index=True)
    """Id of what the composer of this kind needs: the unit of a notice, the invitation of a survey mail."""
    experiment_id: Mapped[int | None] = mapped_column(index=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    state: Mapped[str] = mapped_column(sa.String(16), default="queued")
    queued_at: Mapped[datetime]
    due_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(sa.String(64))
    """The run of `send_due()` that claimed it."""
    lease_until: Mapped[datetime | None]
    """Until then the row is its owner's; afterwards `sweep()` may take it back."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a worker set out to deliver it."""
    message_id: Mapped[str] = mapped_column(sa.String(300), unique=True)
    """The header of this name, the same at every attempt: a mailbox that gets it twice can tell."""
    settled_at: Mapped[datetime | None]
    reply: Mapped[str | None] = mapped_column(sa.String(500))
    """What the server said last, or why the message was withdrawn."""
