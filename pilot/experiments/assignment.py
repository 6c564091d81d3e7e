"""The contract of assignment designs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pilot.experiments.sampling import Design, Floats, Frame, Ints, Keys


@dataclass(frozen=True, eq=False)
class Allocation:
    """Arm per unit (index into the shares) and the probability with which the unit got it."""

    arms: Ints
    probabilities: Floats


class AssignmentDesign(Design):
    """Allocates sampled units to arms."""

    @abstractmethod
    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Allocate every unit to an arm.

        Args:
            units: The units drawn, in the order of refs; every stratum and cluster of it has some.
            shares: Share of each arm, control first; they sum to one.
            keys: As a sampling design gets them.

        Raises:
            InputError: The design cannot work with these units or shares.
        """

    def faults(self) -> list[str]:
        """Whether every unit gets each arm as often as stated, by the keys alone; tried on a small frame."""
        from pilot.experiments.designtrial import assignment_faults

        return assignment_faults(self)
