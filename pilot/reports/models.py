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
