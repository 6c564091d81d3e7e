"""The draw done again, and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pilot.errors import CheckFailed, StateError
from pilot.experiments.draw import carry_out
from pilot.experiments.eligibility import stored_frame
from pilot.experiments.models import Experiment
from pilot.experiments.sampling import ALGORITHM
from pilot.experiments.sealing import plan_drawn, plan_of, seed_as_derived
from pilot.experiments.states import get
from pilot.experiments.units import UnitRow, units


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A draw done again: how many units were compared, and one sentence for every difference."""

    equal: bool
    differences: list[str]
    units: int


def replay(key: str) -> ReplayResult:
    """Repeat the draw from the sealed plan, the stored frame and the public value, and compare every unit.

    Raises:
        StateError: Nothing has been drawn.
    """
    experiment = get(key)
    if experiment.drawn_at is None:
        raise StateError(f"nothing has been drawn in {key}", remedy="Seal and draw it first")
    stored = {unit.ref: unit for unit in units(experiment)}
    try:
        differences = [*_origin_differences(experiment), *_unit_differences(experiment, stored)]
    except CheckFailed as error:
        differences = [str(error)]
    return ReplayResult(not differences, differences, len(stored))


def _origin_differences(experiment: Experiment) -> Iterable[str]:
    plan_of(experiment)  # the plan that stands now was not edited either
    if experiment.algorithm != ALGORITHM:
        yield f"drawn with {experiment.algorithm}, repeated with {ALGORITHM}"
    if experiment.seed != seed_as_derived(experiment):
        yield "the stored seed does not follow from plan hash, frame digest and public value"


def _unit_differences(experiment: Experiment, stored: Mapping[str, UnitRow]) -> Iterable[str]:
    left = dict(stored)
    for unit in carry_out(plan_drawn(experiment), stored_frame(experiment), seed_as_derived(experiment)):
        was = left.pop(unit.ref, None)
        if was is None:
            yield f"customer {unit.ref}: drawn again, but not stored"
            continue
        for name in ("stratum", "arm", "inclusion_probability", "arm_probability"):
            before, after = getattr(was, name), getattr(unit, name)
            if before != after:
                yield f"customer {unit.ref}: {name.replace('_', ' ')} stored {before}, drawn again {after}"
    for ref in left:
        yield f"customer {ref}: stored, but not drawn again"
