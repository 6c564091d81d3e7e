"""The contract of assignment designs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.parts import Part

SPARE_KEYS = 16
"""Random keys an assignment design gets beside those of units and strata."""


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
            strata: Stratum of each unit, in the order of refs: 0, 1, ... with none left out.
            shares: Share of each arm, control first; they sum to one.
            keys: Random keys: one per unit, then one per stratum, then `SPARE_KEYS` for whatever else is decided
                by chance. Nothing else may be random.
        """
