"""The draw itself: from frame, plan and seed to units, arms and probabilities. Pure, so that it can be repeated.

    seed        SHA-256 of `plan hash|frame digest|public value`
    sample      the plan's sampling design, with one random key per customer of the frame
    assignment  the plan's assignment design, with keys per unit and stratum

Nobody chooses the seed: the plan and the frame are sealed before the public value is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pilot.errors import PluginError
from pilot.experiments.assignment import SPARE_KEYS, Allocation, AssignmentDesign
from pilot.experiments.plan import PartChoice, Plan
from pilot.experiments.sampling import Frame, Sample, SamplingDesign, random_keys
from pilot.plugins.manager import plugins


@dataclass(frozen=True, slots=True)
class DrawnUnit:
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
        InputError: The frame is too small for the plan.
        PluginError: A design broke its contract.
    """
    sample = _sample(plan, frame, seed)
    strata = frame.strata[sample.positions]
    allocation = _assign(plan, strata, seed)
    arms = [arm.key for arm in plan.arms]
    for position, stratum, arm, inclusion, probability in zip(
        sample.positions.tolist(),
        strata.tolist(),
        allocation.arms.tolist(),
        sample.probabilities.tolist(),
        allocation.probabilities.tolist(),
        strict=True,
    ):
        yield DrawnUnit(frame.refs[position], frame.labels[stratum], arms[arm], inclusion, probability)


def _sample(plan: Plan, frame: Frame, seed: str) -> Sample:
    size = plan.sampling.size
    design: SamplingDesign = _build("sampling_designs", plan.sampling.design, "sampling.design")
    sample = design.draw(frame, size, random_keys(seed, "sample", len(frame)))
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


def _assign(plan: Plan, strata: npt.NDArray[np.int64], seed: str) -> Allocation:
    design: AssignmentDesign = _build("assignment_designs", plan.assignment, "assignment")
    present, dense = np.unique(strata, return_inverse=True)
    keys = random_keys(seed, "assignment", len(strata) + len(present) + SPARE_KEYS)
    allocation = design.assign(dense.astype(np.int64), [arm.share for arm in plan.arms], keys)
    sound = (
        allocation.arms.shape == allocation.probabilities.shape == strata.shape
        and bool(((allocation.arms >= 0) & (allocation.arms < len(plan.arms))).all())
        and _are_probabilities(allocation.probabilities)
    )
    if not sound:
        raise PluginError(f"assignment design {design.key!r} did not give every unit an arm with a probability")
    return allocation


def _build(kind: str, choice: PartChoice, place: str) -> Any:
    return plugins().build(kind, choice.part, choice.settings, place=place)


def _are_probabilities(values: npt.NDArray[np.float64]) -> bool:
    return bool(((values > 0) & (values <= 1)).all())
