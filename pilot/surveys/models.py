"""Surveys, their waves, the personal invitations and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pilot.db import Model

DISPOSITIONS = ("complete", "partial", "refusal", "non_contact", "unknown")
"""What became of an invitation, in the words of AAPOR's Standard Definitions."""


class Survey(Model):
    """One frozen version of a survey definition."""

    __tablename__ = "surveys"
    __table_args__ = (sa.UniqueConstraint("key", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(40))
    version: Mapped[int]
    definition: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the definition as canonical JSON."""
    created_at: Mapped[datetime]


class Wave(Model):
    """One mailing of a survey to all units of an experiment."""

    __tablename__ = "waves"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    survey_id: Mapped[int] = mapped_column(sa.ForeignKey("surveys.id"))
    number: Mapped[int]
    reminders: Mapped[int] = mapped_column(default=0)
    """How many times those who had not answered were reminded."""
    opened_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]

    survey: Mapped[Survey] = relationship()


class Invitation(Model):
    """One customer's personal link in a wave.

    Its token follows from `nonce` and the secret key; of the token only the SHA-256 is stored, so a copy of the
    database opens no survey.
    """

    __tablename__ = "invitations"
    __table_args__ = (sa.UniqueConstraint("wave_id", "customer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    wave_id: Mapped[int] = mapped_column(sa.ForeignKey("waves.id"))
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    nonce: Mapped[str] = mapped_column(sa.String(32))
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    language: Mapped[str] = mapped_column(sa.String(2))
    created_at: Mapped[datetime]

    wave: Mapped[Wave] = relationship()
    response: Mapped[Response | None] = relationship(back_populates="invitation")


class Response(Model):
    """What one customer answered: at most one row per invitation, by the database's own rule."""

    __tablename__ = "responses"

    id: Mapped[int] = mapped_column(primary_key=True)
    invitation_id: Mapped[int] = mapped_column(sa.ForeignKey("invitations.id"), unique=True)
    answers: Mapped[dict[str, Any]]
    """Values by question key; questions left empty are absent."""
    pages: Mapped[int]
    """How many pages, from the first, have been saved."""
    language: Mapped[str] = mapped_column(sa.String(2))
    started_at: Mapped[datetime]
    saved_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    """None while the answers are partial."""
    submission_key: Mapped[str | None] = mapped_column(sa.String(64))
    """Made with the last page: the same body sent twice is recognised as one."""

    invitation: Mapped[Invitation] = relationship(back_populates="response")
