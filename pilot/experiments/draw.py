"""The draw itself: from frame, plan and seed to units, arms and probabilities. Pure, so that it can be repeated.

    seed        SHA-256 of `plan hash|frame digest|public value`
    sample      the plan's sampling design, with random keys per customer and stratum of the frame
    assignment  the plan's assignment design, with random keys per customer and stratum of the sample

Nobody chooses the seed: the plan and the frame are sealed before the public value is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import starmap
from typing import NamedTuple

import numpy as np

from pilot.errors import PluginError
from pilot.experiments.assignment import Allocation, AssignmentDesign
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import SPARE_KEYS, Floats, Frame, Keys, Sample, SamplingDesign, random_keys
from pilot.plugins.manager import plugins


class DrawnUnit(NamedTuple):
    """One customer drawn, and what the draw decided."""

    ref: str
    stratum: str
    arm: str
    inclusion_probability: float
    arm_probability: float


def seed_of(plan_hash: str, frame_digest: str, public_value: str) -> str:
    """The seed of a draw: SHA-256, in hexadecimal, of the three joined by vertical bars, in UTF-8."""
    return hashlib.sha256(f"{plan_hash}|{frame_digest}|{public_value}".encode()).hexdigest()


def carry_out(plan: Plan, frame: Frame, seed: str) -> Iterator[DrawnUnit]:
    """Draw and assign. The same plan, frame and seed give the same units, in the order of their refs.

    Raises:
        InputError: The frame is too small for the plan, or a design cannot work with it.
        PluginError: A design broke its contract.
    """
    return starmap(DrawnUnit, drawn_rows(plan, frame, seed))


def drawn_rows(plan: Plan, frame: Frame, seed: str) -> Iterator[tuple[str, str, str, float, float]]:
    """The same as plain rows, in the order of the fields of `DrawnUnit`."""
    sample = draw_sample(plan, frame, seed)
    units = frame.at(sample.positions)
    allocation = assign_arms(plan, units, seed)
    arms = [arm.key for arm in plan.arms]
    return zip(
        units.refs,
        map(units.labels.__getitem__, units.strata.tolist()),
        map(arms.__getitem__, allocation.arms.tolist()),
        sample.probabilities.tolist(),
        allocation.probabilities.tolist(),
        strict=True,
    )


def designs_of(plan: Plan) -> tuple[SamplingDesign, AssignmentDesign]:
    """The designs of a plan, with their settings.

    Raises:
        InputError: One is not installed, or a setting does not fit.
    """
    build = plugins().build
    sampling: SamplingDesign = build(
        "sampling_designs", plan.sampling.design.part, plan.sampling.design.settings, place="sampling.design"
    )
    assignment: AssignmentDesign = build(
        "assignment_designs", plan.assignment.part, plan.assignment.settings, place="assignment"
    )
    return sampling, assignment


def draw_sample(plan: Plan, frame: Frame, seed: str) -> Sample:
    """The sample of a plan; see `carry_out`."""
    size, (design, _) = plan.sampling.size, designs_of(plan)
    sample = design.draw(frame, size, _keys(seed, "sample", frame))
    positions = sample.positions
    sound = (
        positions.shape == sample.probabilities.shape == (size,)
        and bool((np.diff(positions) > 0).all())
        and 0 <= positions[0] <= positions[-1] < len(frame)
        and _are_probabilities(sample.probabilities)
    )
    if not sound:
        raise PluginError(f"sampling design {design.key!r} did not draw {size} different units with probabilities")
    return sample


def assign_arms(plan: Plan, units: Frame, seed: str) -> Allocation:
    """The arms of the units drawn; see `carry_out`."""
    _, design = designs_of(plan)
    allocation = design.assign(units, [arm.share for arm in plan.arms], _keys(seed, "assignment", units))
    sound = (
        allocation.arms.shape == allocation.probabilities.shape == units.strata.shape
        and bool(((allocation.arms >= 0) & (allocation.arms < len(plan.arms))).all())
        and _are_probabilities(allocation.probabilities)
    )
    if not sound:
        raise PluginError(f"assignment design {design.key!r} did not give every unit an arm with a probability")
    return allocation


def _keys(seed: str, purpose: str, units: Frame) -> Keys:
    return random_keys(seed, purpose, len(units) + len(units.labels) + SPARE_KEYS)


def _are_probabilities(values: Floats) -> bool:
    return bool(((values > 0) & (values <= 1)).all())
