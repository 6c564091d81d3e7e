"""Staff, their roles, and the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_security.core import RoleMixin, UserMixin
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pilot.db import Model

ROLES = ("admin", "operations", "agent", "analyst", "viewer", "outsourced")
"""`outsourced` completes customers' data and sees nothing else."""

staff_roles = sa.Table(
    "staff_roles",
    Model.metadata,
    sa.Column("user_id", sa.ForeignKey("staff.id"), primary_key=True),
    sa.Column("role_id", sa.ForeignKey("roles.id"), primary_key=True),
)


class Role(Model, RoleMixin):
    """One of `ROLES`."""

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(32), unique=True)


class User(Model, UserMixin):
    """A member of staff."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    password: Mapped[str] = mapped_column(sa.String(255))
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(sa.String(64), unique=True)
    language: Mapped[str | None] = mapped_column(sa.String(2))
    roles: Mapped[list[Role]] = relationship(secondary=staff_roles, lazy="selectin")  # type: ignore[assignment]


class AuditEntry(Model):
    """One act of a person or of the system, written in the transaction of the act itself. Never changed."""

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(254))
    action: Mapped[str] = mapped_column(sa.String(64))
    subject: Mapped[str] = mapped_column(sa.String(128), index=True)
    """What it was done to, as `kind:key`, e.g. `experiment:desk-2026`."""
    details: Mapped[dict[str, Any]]
