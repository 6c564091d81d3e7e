"""What an outcome was before the pilot, customer by customer, and what the rule would have made of it.

Outcomes and the decision rule lie in rooms above experiments: `pilot.app` joins them here. An outcome without a past (a
survey that nobody has answered, a stranger's outcome that keeps none) is said to be unknown, and never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from flask import Flask, current_app

from pilot.analysis import Comparison, Moments, NotEnoughData, Scale
from pilot.experiments import eligibility
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.experiments.sampling import Floats, Frame, Ints

NO_PAST = "it has no past"
"""Of an outcome that keeps none, such as a question that nobody has answered yet."""


@dataclass(frozen=True, eq=False)
class Past:
    """What is known of an outcome before the pilot.

    Attributes:
        scale: Of the outcome; None where it cannot be measured under this plan.
        asked: Whether only those who are asked and answer will have a value.
        limits: The least and the greatest value a customer can have; None where there is no bound.
        values: Of each customer asked for, in that order; None where the outcome has no past.
        reason: Why there are no values; empty where there are.
    """

    scale: Scale | None
    asked: bool = False
    limits: tuple[float, float] | None = None
    values: Floats | None = None
    reason: str = ""


class Period(NamedTuple):
    """Days from `start` to the day before `end`."""

    start: date
    end: date


class Judged(NamedTuple):
    """What the decision rule says, and how each of its conditions stands: `met`, `refuted` or `open`."""

    verdict: str
    conditions: Mapping[str, str]


Found = Comparison | NotEnoughData
PastLookup = Callable[[Plan, PlannedOutcome, Sequence[str], Period], Past]
"""The past of an outcome for customers, by their refs, in a period."""
Judge = Callable[[Plan, Mapping[str, Sequence[Found]]], Judged]
"""The decision rule of a plan applied to the comparisons of each pilot arm."""


def register_past(app: Flask, lookup: PastLookup, judge: Judge) -> None:
    """Say how the past of an outcome is found and how the decision rule is applied, for rooms that lie above."""
    app.extensions["pilot.past"] = lookup
    app.extensions["pilot.judge"] = judge


def past_of(plan: Plan, outcome: PlannedOutcome, frame: Frame) -> Past:
    """What the outcome was of everybody in the frame, in the period before the pilot."""
    lookup: PastLookup = current_app.extensions["pilot.past"]
    return lookup(plan, outcome, frame.refs, period_before(plan))


def judge_of() -> Judge:
    """The decision rule."""
    judge: Judge = current_app.extensions["pilot.judge"]
    return judge


def period_before(plan: Plan) -> Period:
    """As many days as handling will take, up to and including the day of the profiles."""
    end = plan.population.as_of + timedelta(days=1)
    return Period(end - (plan.calendar.end - plan.calendar.start), end)


def frame_of(experiment: Experiment, plan: Plan) -> Frame:
    """Who could be drawn: the frame as it was sealed; of a draft, who is eligible now.

    Raises:
        PlanError: There is no profile, or it stands as of another day than the plan's.
        CheckFailed: The file of the sealed frame is gone or was changed.
    """
    if experiment.frame_digest is not None:
        return eligibility.stored_frame(experiment)
    return eligibility.eligible(plan).frame


def moments_by(values: Floats, groups: Ints, number: int) -> tuple[Ints, Floats, Floats]:
    """n, mean (not a number where there is nobody) and centred sum of squares of each group."""
    n = np.bincount(groups, minlength=number)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.bincount(groups, values, minlength=number) / n
    return n, mean, np.bincount(groups, np.square(values - mean[groups]), minlength=number).astype(np.float64)


def moments_of(values: Floats, arms: Ints, strata: Ints, shape: tuple[int, int]) -> Moments:
    """Moments by arm and stratum."""
    n, mean, m2 = moments_by(values, arms * shape[1] + strata, shape[0] * shape[1])
    return Moments(n.reshape(shape), mean.reshape(shape), m2.reshape(shape))
