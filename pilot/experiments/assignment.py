"""The contract of assignment designs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.parts import Part


@dataclass(frozen=True, eq=False)
class Allocation:
    """Arm per unit (index into the shares) and the probability with which the unit got it."""

    arms: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


class AssignmentDesign(Part):
    """Allocates sampled units to arms."""

    @abstractmethod
    def assign(
        self, strata: npt.NDArray[np.int64], shares: Sequence[float], keys: npt.NDArray[np.uint64]
    ) -> Allocation:
        """Allocate every unit to an arm.

        Args:
            strata: Stratum index of each unit, in the order of refs.
            shares: Share of each arm, control first; they sum to one.
            keys: Random keys: one per unit, then 64 more for whatever else the design decides by chance.
        """
