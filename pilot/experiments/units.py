"""The customers drawn into an experiment, one by one and by stratum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from pilot.customers.models import Customer
from pilot.db import db
from pilot.experiments.eligibility import stored_frame
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.sealing import plan_of


class UnitRow(NamedTuple):
    """One customer of an experiment. `id` is that of the unit, `ref` the customer's number."""

    id: int
    customer_id: int
    ref: str
    stratum: str
    arm: str
    inclusion_probability: float
    arm_probability: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One stratum: its customers in the frame, and how many of them each arm was given, control first."""

    label: str
    population: int
    assigned: Mapping[str, int]


def units(experiment: Experiment) -> list[UnitRow]:
    """The customers drawn into an experiment, in the order of their refs as bytes."""
    rows = db.session.execute(
        sa.select(
            Unit.id,
            Unit.customer_id,
            Customer.ref,
            Unit.stratum,
            Unit.arm,
            Unit.inclusion_probability,
            Unit.arm_probability,
        )
        .join(Customer, Customer.id == Unit.customer_id)
        .where(Unit.experiment_id == experiment.id)
    )
    return sorted((UnitRow(*row) for row in rows), key=lambda unit: unit.ref)


def frame_strata(experiment: Experiment) -> list[tuple[str, str]]:
    """Every customer of a sealed experiment's frame, drawn or not: its ref and stratum.

    Raises:
        CheckFailed: The plan or the frame's file was changed.
        StateError: It is not sealed.
    """
    frame = stored_frame(experiment)
    return [(ref, frame.labels[stratum]) for ref, stratum in zip(frame.refs, frame.strata.tolist(), strict=True)]


def layers(experiment: Experiment) -> list[Layer]:
    """The strata of a sealed experiment's frame, in the order of their labels; before the draw all arms are empty.

    Raises:
        CheckFailed: The plan or the frame's file was changed.
        StateError: It is not sealed.
    """
    frame = stored_frame(experiment)
    sizes = Counter(frame.strata.tolist())
    counts = sa.select(Unit.stratum, Unit.arm, sa.func.count()).where(Unit.experiment_id == experiment.id)
    assigned = {(stratum, arm): n for stratum, arm, n in db.session.execute(counts.group_by(Unit.stratum, Unit.arm))}
    arms = [arm.key for arm in plan_of(experiment).arms]
    return [
        Layer(label, sizes[number], {arm: assigned.get((label, arm), 0) for arm in arms})
        for number, label in enumerate(frame.labels)
    ]
