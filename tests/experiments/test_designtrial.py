from dataclasses import dataclass, replace

import numpy as np
import pytest

from pilot.api import AssignmentDesign, SamplingDesign
from pilot.plugins.builtin.assignment import Complete, StratifiedBlocks
from pilot.plugins.builtin.sampling import SimpleSample, StratifiedSample
from pilot.testing import contract_checks


@dataclass(frozen=True)
class OneMissing(SamplingDesign):
    key = "one-missing"
    label = "One missing"

    def draw(self, frame, size, keys):
        found = SimpleSample().draw(frame, size, keys)
        return replace(found, positions=found.positions[1:], probabilities=found.probabilities[1:])


@dataclass(frozen=True)
class FirstOfAll(SamplingDesign):
    key = "first-of-all"
    label = "The first of all"

    def draw(self, frame, size, keys):
        return replace(SimpleSample().draw(frame, size, keys), positions=np.arange(size))


@dataclass(frozen=True)
class Dicing(SamplingDesign):
    key = "dicing"
    label = "With dice of its own"

    def draw(self, frame, size, keys):
        found = SimpleSample().draw(frame, size, keys)
        return replace(found, positions=np.sort(np.random.permutation(len(frame))[:size]))


@dataclass(frozen=True)
class SureOfItself(SamplingDesign):
    key = "sure-of-itself"
    label = "Everybody certain"

    def draw(self, frame, size, keys):
        found = StratifiedSample().draw(frame, size, keys)
        return replace(found, probabilities=np.ones(size))


@dataclass(frozen=True)
class Zeroes(AssignmentDesign):
    key = "zeroes"
    label = "No probabilities"

    def assign(self, units, shares, keys):
        return replace(Complete().assign(units, shares, keys), probabilities=np.zeros(len(units)))


@dataclass(frozen=True)
class InTurn(AssignmentDesign):
    key = "in-turn"
    label = "In turn, by number"

    def assign(self, units, shares, keys):
        return replace(Complete().assign(units, shares, keys), arms=np.arange(len(units)) % len(shares))


@dataclass(frozen=True)
class OneArmTooMany(AssignmentDesign):
    key = "one-arm-too-many"
    label = "One arm too many"

    def assign(self, units, shares, keys):
        found = Complete().assign(units, shares, keys)
        return replace(found, arms=found.arms + 1)


@dataclass(frozen=True)
class Dice(AssignmentDesign):
    key = "dice"
    label = "Dice of its own"

    def assign(self, units, shares, keys):
        found = StratifiedBlocks().assign(units, shares, keys)
        return replace(found, arms=np.random.default_rng().permutation(found.arms))


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (OneMissing(), "drawing 18 of 36, it gives 17 different units"),
        (FirstOfAll(), "a unit is drawn in 100% of draws, and 50% is stated"),
        (Dicing(), "something beside the keys is random"),
        (SureOfItself(), "and 100% is stated"),
        (Zeroes(), "not every unit has a probability above 0"),
        (InTurn(), "a unit comes to arm 0 in 100% of draws, and 50% is stated"),
        (OneArmTooMany(), "arms that there are not"),
        (Dice(), "something beside the keys is random"),
    ],
    ids=lambda value: getattr(value, "key", None),
)
def test_a_broken_promise_is_named(part, fault):
    with pytest.raises(AssertionError, match=fault):
        contract_checks(part)
