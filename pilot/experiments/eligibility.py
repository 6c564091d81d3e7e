"""Who is eligible for an experiment: now, and when it was sealed."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from pilot import config
from pilot.customers.models import CustomerProfile
from pilot.customers.service import eligible
from pilot.db import db
from pilot.errors import CheckFailed, PlanError, StateError
from pilot.experiments import frame as frames
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import Frame


def frame_of(plan: Plan) -> tuple[Frame, dict[str, int]]:
    """Who is eligible under this plan now: the frame, and the customer id of every ref in it.

    Raises:
        PlanError: There is no profile, or it stands as of another day than the plan's.
    """
    _check_profile_day(plan)
    rows = list(eligible(plan.population.segments, plan.sampling.strata))
    frame = frames.build((ref, stratum) for ref, _, stratum in rows)
    return frame, {ref: customer_id for ref, customer_id, _ in rows}


def keep(frame: Frame) -> str:
    """Store the frame's file durably and return its digest."""
    return frames.store(_frames(), frames.to_csv(frame))


def sealed_frame(experiment: Experiment, plan: Plan) -> tuple[Frame, dict[str, int]]:
    """The present frame, if it is still the one that was sealed, and the customer id of every ref in it.

    Raises:
        CheckFailed: It is another one; the error counts who joined, left and moved.
    """
    sealed = stored_frame(experiment)
    frame, customer_ids = frame_of(plan)
    if frames.digest(frames.to_csv(frame)) != experiment.frame_digest:
        joined, left, moved = frames.difference(sealed, frame)
        raise CheckFailed(
            f"the customer base has changed since the seal: {joined:,} joined the frame, {left:,} left it, "
            f"{moved:,} changed their stratum",
            place=f"frame of {experiment.key}",
            remedy="Stop this experiment with a reason and seal the plan again under a new key",
        )
    return frame, customer_ids


def stored_frame(experiment: Experiment) -> Frame:
    """The frame as it was sealed.

    Raises:
        CheckFailed: Its file is gone or was changed.
        StateError: Nothing has been sealed.
    """
    if experiment.frame_digest is None:
        raise StateError(f"the experiment {experiment.key} has no frame yet", remedy="Seal it first")
    return frames.fetch(_frames(), experiment.frame_digest)


def _check_profile_day(plan: Plan) -> None:
    days = set(db.session.scalars(sa.select(CustomerProfile.as_of).distinct()))
    if days != {plan.population.as_of}:
        stand = f"stand as of {', '.join(str(day) for day in sorted(days))}" if days else "have not been made"
        raise PlanError(
            f"the profiles {stand}, not as of {plan.population.as_of}",
            place=f"plan of {plan.key}: population.as_of",
            remedy="Rebuild profiles and segments as of that day, or plan with the day they have",
        )


def _frames() -> Path:
    return config.current().data_dir / "frames"
