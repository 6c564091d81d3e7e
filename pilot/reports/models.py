"""Analysis runs: what was computed, from which evidence, under which plan. Never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from pilot.db import Model


class AnalysisRun(Model):
    """One comparison of one pilot arm with control, or the reason why there is none."""

    __tablename__ = "analysis_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    outcome: Mapped[str] = mapped_column(sa.String(40))
    """Key of the outcome in the plan; for checks of the flow `flow:` and the step."""
    arm: Mapped[str] = mapped_column(sa.String(40))
    analysis: Mapped[str] = mapped_column(sa.String(64))
    settings: Mapped[dict[str, Any]]
    planned: Mapped[bool]
    plan_hash: Mapped[str] = mapped_column(sa.String(64))
    evidence: Mapped[dict[str, Any]]
    """The evidence itself, anonymous counts and moments, from which the comparison can be recomputed."""
    evidence_digest: Mapped[str] = mapped_column(sa.String(64))
    comparison: Mapped[dict[str, Any]]
    """A `Comparison` or a `NotEnoughData` as JSON."""
    versions: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    fingerprint: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of everything above but `comparison`, `versions` and `at`, and of the run it replaces: kept once."""


class Look(Model):
    """A look at results before the close: at what time, why, and what it showed. Never changed."""

    __tablename__ = "looks"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    number: Mapped[int | None]
    """Of the planned look, from 1; None of one that the plan does not pay for."""
    reason: Mapped[str | None] = mapped_column(sa.String(500))
    """Why it was taken, where it was not planned."""
    information: Mapped[float]
    """Share of the pilot's time that had passed."""
    plan_hash: Mapped[str] = mapped_column(sa.String(64))
    findings: Mapped[list[Any]]
    """The conditions of the decision rule by arm, with their numbers, as plain JSON."""
    actor: Mapped[str] = mapped_column(sa.String(254))
    approved_by: Mapped[str | None] = mapped_column(sa.String(254))
    """The second person who agreed to a look that was not planned; None as long as nobody is asked."""
    at: Mapped[datetime]
