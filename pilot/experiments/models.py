"""Experiments, the versions of their plans, and the units assigned in them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from pilot.db import Model

STATES = ("draft", "sealed", "drawn", "running", "closed", "decided", "rolled_out", "stopped")


class Experiment(Model):
    """The whole pilot project, from plan to decision."""

    __tablename__ = "experiments"
    __table_args__ = (
        sa.CheckConstraint(f"state IN ({', '.join(repr(state) for state in STATES)})", name="state_known"),
        sa.CheckConstraint("state = 'draft' OR state = 'stopped' OR plan_hash IS NOT NULL", name="sealed_has_hash"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(40), unique=True)
    name: Mapped[str] = mapped_column(sa.String(120))
    state: Mapped[str] = mapped_column(sa.String(16), default="draft")
    plan: Mapped[str] = mapped_column(sa.Text)
    """The plan as it stands, as canonical JSON: the very bytes (in UTF-8) that were hashed."""
    plan_hash: Mapped[str | None] = mapped_column(sa.String(64))
    public_value: Mapped[str | None] = mapped_column(sa.String(200))
    """A value nobody in the company controls, entered at the draw."""
    seed: Mapped[str | None] = mapped_column(sa.String(64))
    """SHA-256 of plan hash, frame digest and public value."""
    frame_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """SHA-256 of the frame's file, taken when the plan was sealed."""
    frame_size: Mapped[int | None]
    eligibility: Mapped[dict[str, Any] | None]
    """How the frame was found: customers assessed, and how many were left out at each step, for which reason."""
    baseline_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """SHA-256 of the file with the profiles of all who were assessed at the seal: see `pilot.experiments.baseline`."""
    spillover: Mapped[dict[str, Any] | None]
    """What ties customers of different arms together, as it was found last: counts by what they share, and when."""
    drawn_version: Mapped[int | None]
    """Number of the version of the plan that the draw was made from."""
    algorithm: Mapped[str | None] = mapped_column(sa.String(40))
    """Name and version of the draw's algorithm, as `replay` needs it."""
    created_at: Mapped[datetime]
    sealed_at: Mapped[datetime | None]
    drawn_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    rolled_out_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    stop_reason: Mapped[str | None] = mapped_column(sa.String(500))
    verdict: Mapped[str | None] = mapped_column(sa.String(16))
    """`roll_out`, `do_not` or `inconclusive`."""
    decision: Mapped[dict[str, Any] | None]
    """The decision rule applied: conditions with their numbers, and the verdict."""


class PlanVersion(Model):
    """The plan as it was sealed, or as it was amended later, with a reason."""

    __tablename__ = "plan_versions"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    number: Mapped[int]
    """1 for the plan that was sealed first."""
    plan: Mapped[str] = mapped_column(sa.Text)
    plan_hash: Mapped[str] = mapped_column(sa.String(64))
    frame_digest: Mapped[str] = mapped_column(sa.String(64))
    reason: Mapped[str | None] = mapped_column(sa.String(500))
    """Why it was amended; None of the first."""
    actor: Mapped[str] = mapped_column(sa.String(254))
    at: Mapped[datetime]


class PlanDraft(Model):
    """A plan that is still being written: of a new experiment, or an amendment of a sealed one."""

    __tablename__ = "plan_drafts"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(40), unique=True)
    """Of the experiment, which there may not be yet."""
    document: Mapped[dict[str, Any]]
    """In the shape of the plan, with whatever was typed."""
    version: Mapped[int]
    """Counts the saves, so that nobody overwrites what they have not seen."""
    saved_at: Mapped[datetime]
    saved_by: Mapped[str] = mapped_column(sa.String(254))


class RehearsalRun(Model):
    """A rehearsal of a plan that somebody asked for, and what came out."""

    __tablename__ = "rehearsals"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    number: Mapped[int]
    """From 1, in the order in which they were asked for."""
    plan_hash: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the plan as it stood, sealed or not."""
    times: Mapped[int]
    seed: Mapped[str] = mapped_column(sa.String(40))
    effects: Mapped[dict[str, Any]]
    """True differences to be planted, by outcome, where others than the plan's."""
    done: Mapped[int]
    """How many times it was done so far."""
    result: Mapped[dict[str, Any] | None]
    """`Rehearsal.as_json`, once it is finished."""
    failure: Mapped[str | None] = mapped_column(sa.Text)
    """Why it cannot be finished."""
    asked_by: Mapped[str] = mapped_column(sa.String(254))
    asked_at: Mapped[datetime]


class Unit(Model):
    """A customer drawn into an experiment: stratum, arm and the probabilities of both."""

    __tablename__ = "units"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "customer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    stratum: Mapped[str] = mapped_column(sa.String(200))
    arm: Mapped[str] = mapped_column(sa.String(40))
    inclusion_probability: Mapped[float]
    arm_probability: Mapped[float]


class RolloutStep(Model):
    """One step of the roll-out that was taken."""

    __tablename__ = "rollout_steps"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    number: Mapped[int]
    """From 1, in the order of the plan's ladder."""
    share: Mapped[float]
    arm: Mapped[str] = mapped_column(sa.String(40))
    """The pilot arm whose handling is rolled out."""
    actor: Mapped[str] = mapped_column(sa.String(254))
    at: Mapped[datetime]


class RolloutUnit(Model):
    """The step at which chance lets a customer of the frame be handled the new way, or that it is held out."""

    __tablename__ = "rollout_units"
    __table_args__ = (sa.UniqueConstraint("experiment_id", "customer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    stratum: Mapped[str] = mapped_column(sa.String(200))
    step: Mapped[int]
    """0 where the customer is held out."""
    probability: Mapped[float]
    """With which it came to this step, or to be held out; 1 for those who were in the pilot arm."""
    held_until: Mapped[date | None]
    """Of who is held out: the first day on which the handling may change again."""
    taken_at: Mapped[datetime | None]
    """When the customer was handed over; None while it still is handled as before."""
