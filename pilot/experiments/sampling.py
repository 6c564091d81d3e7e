"""The contract of sampling designs, and the random numbers of a draw."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.parts import Part

ALGORITHM = "philox-keys/1"
"""Name and version of `random_keys`; stored with each draw."""


def random_keys(seed: str, purpose: str, size: int) -> npt.NDArray[np.uint64]:
    """`size` independent 64-bit numbers, the same on every machine and version of numpy.

    The raw stream of the counter-based Philox4x64-10 generator (Salmon et al. 2011), keyed with the first
    16 bytes (little-endian) of SHA-256 of `seed`, a vertical bar and `purpose`.
    """
    digest = hashlib.sha256(f"{seed}|{purpose}".encode()).digest()
    keys: npt.NDArray[np.uint64] = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(size)
    return keys


@dataclass(frozen=True, eq=False)
class Frame:
    """All eligible customers in the order of their refs (as UTF-8 bytes), with their stratum.

    Attributes:
        refs: Customer refs, ascending, without duplicates.
        strata: Index into `labels`, per unit.
        labels: Stratum labels, ascending.
    """

    refs: tuple[str, ...]
    strata: npt.NDArray[np.int64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Number of eligible customers."""
        return len(self.refs)


@dataclass(frozen=True, eq=False)
class Sample:
    """Units drawn: positions in the frame, ascending, and each one's probability of having been drawn."""

    positions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


class SamplingDesign(Part):
    """Draws a sample from a frame."""

    @abstractmethod
    def draw(self, frame: Frame, size: int, keys: npt.NDArray[np.uint64]) -> Sample:
        """Draw exactly `size` units, using one random key per unit of the frame and nothing else random.

        Raises:
            InputError: The frame is too small, or the design cannot meet `size`.
        """
