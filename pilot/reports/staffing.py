"""The staff it takes to handle everybody as an arm was handled, from the minutes that customers took in the pilot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy.special import stdtrit

from pilot import config
from pilot.customers.orderstore import store
from pilot.errors import StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; an interval that cannot be given is None."""

    value: float
    low: float | None
    high: float | None

    def times(self, factor: float) -> Estimate:
        """All of it times a positive number."""
        low, high = (None if limit is None else limit * factor for limit in (self.low, self.high))
        return Estimate(self.value * factor, low, high)


@dataclass(frozen=True, slots=True)
class Staff:
    """What one channel took with the customers of one arm.

    Attributes:
        arm: Key of the arm.
        channel: Key of the channel that had the touches.
        customers: Of the arm, whether touched or not.
        minutes: Per customer and week.
        people: For the whole frame, at the productive minutes a week of the installation.
    """

    arm: str
    channel: str
    customers: int
    minutes: Estimate
    people: Estimate


def staff(experiment: Experiment) -> list[Staff]:
    """The staff for the whole frame by arm and channel, control first. Empty where no touch is known of the handling period.

    Raises:
        StateError: The experiment is not closed: minutes are results.
    """
    if experiment.state not in ("closed", "decided", "rolled_out"):
        raise StateError(
            f"the experiment {experiment.key} is {experiment.state}: minutes are results, which stay closed until the close",
            remedy="Close it with `pilot experiment close` once handling and survey are over",
        )
    plan, units = experiments.plan_of(experiment), experiments.units(experiment)
    start, end = plan.calendar.start, plan.calendar.end
    spent = {(row.ref, row.channel): row.minutes for row in store().contacts([unit.ref for unit in units], start, end)}
    population = {layer.label: layer.population for layer in experiments.layers(experiment)}
    weeks, productive = (end - start) / timedelta(weeks=1), config.current().productive_minutes
    found = []
    for arm in plan.arms:
        members = [unit for unit in units if unit.arm == arm.key]
        touched = {unit.ref for unit in members}
        for channel in sorted({channel for ref, channel in spent if ref in touched}):
            minutes = _mean(members, [spent.get((unit.ref, channel), 0.0) / weeks for unit in members], population)
            people = minutes.times(sum(population.values()) / productive)
            found.append(Staff(arm.key, channel, len(members), minutes, people))
    return found


def _mean(units: Sequence[experiments.UnitRow], values: Sequence[float], population: dict[str, int]) -> Estimate:
    """The mean over the frame: strata count by their customers there, and by as much as they are (Cochran 1977, ch. 5).

    Strata with a single customer are collapsed with others, since alone they have no spread (ch. 5A.12).
    """
    layers = _collapsed(units, values, population)
    whole, bound = sum(size for size, _ in layers), len(values) - len(layers)
    mean = sum(size / whole * float(np.mean(found)) for size, found in layers)
    if bound < 1:
        return Estimate(mean, None, None)
    variance = sum((size / whole) ** 2 * float(np.var(found, ddof=1)) / len(found) for size, found in layers)
    half = -float(stdtrit(bound, (1 - LEVEL) / 2)) * math.sqrt(variance)
    return Estimate(mean, max(0.0, mean - half), mean + half)


def _collapsed(
    units: Sequence[experiments.UnitRow], values: Sequence[float], population: dict[str, int]
) -> list[tuple[int, list[float]]]:
    """Population and values of each stratum; those with one value together, with the smallest other if that is still one."""
    by_stratum: dict[str, list[float]] = {}
    for unit, value in zip(units, values, strict=True):
        by_stratum.setdefault(unit.stratum, []).append(value)
    layers = [(population[label], found) for label, found in by_stratum.items()]
    lonely = [layer for layer in layers if len(layer[1]) < 2]
    others = sorted((layer for layer in layers if len(layer[1]) > 1), key=lambda layer: layer[0])
    if len(lonely) == 1 and others:
        lonely.append(others.pop(0))
    if not lonely:
        return others
    return [(sum(size for size, _ in lonely), [value for _, found in lonely for value in found]), *others]
