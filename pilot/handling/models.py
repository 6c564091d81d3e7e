"""Cases: who is looked after through which channel in an experiment."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from pilot.db import Model


class Case(Model):
    """One customer handed over to a handling channel for the time of an experiment."""

    __tablename__ = "cases"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "customer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    channel: Mapped[str] = mapped_column(sa.String(64))
    """Key of the handling channel part."""
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    opted_out_at: Mapped[datetime | None]
    """When it was taken back because the customer wanted no part in the pilot; the customer keeps its arm."""
