"""The contract of sampling designs, the frame they draw from, and the random numbers of a draw."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pilot.errors import InputError
from pilot.parts import Part

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

ALGORITHM = "philox-keys/2"
"""Name and version of `random_keys` and `by_chance`; stored with each draw."""

SPARE_KEYS = 16
"""Random keys a design gets beside those of units and strata."""

_DROPPED = 24
"""The lower bits of a key, which `by_chance` takes no notice of: the place of a unit fits into them."""


def random_keys(seed: str, purpose: str, size: int) -> Keys:
    """`size` independent 64-bit numbers, the same on every machine and version of numpy.

    The raw stream of the counter-based Philox4x64-10 generator (Salmon et al. 2011), keyed with the first
    16 bytes (little-endian) of SHA-256 of `seed`, a vertical bar and `purpose`.
    """
    digest = hashlib.sha256(f"{seed}|{purpose}".encode()).digest()
    keys: Keys = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(size)
    return keys


def by_chance(keys: Keys) -> Ints:
    """The places 0, 1, ... in random order: by the upper 40 bits of their keys, equal ones by place."""
    if len(keys) > 1 << _DROPPED:
        return np.argsort(keys >> np.uint64(_DROPPED), kind="stable")
    mask = np.uint64((1 << _DROPPED) - 1)
    packed = keys & ~mask
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()  # sorting the keys with their places in them takes a quarter of the time of sorting the places by key
    return (packed & mask).astype(np.int64)


def grouped(line: Ints, group: Ints, groups: int) -> Ints:
    """A line of units brought group by group, each group in the order of the line.

    Args:
        line: Places of units.
        group: Group of every unit, from 0.
        groups: How many groups there are.
    """
    ordered: Ints = line[np.argsort(group.astype(_narrow(groups))[line], kind="stable")]
    return ordered


def by_chance_within(keys: Keys, group: Ints, groups: int) -> Ints:
    """The places group by group, in random order in each: `grouped(by_chance(keys), group, groups)`, for less."""
    if len(keys) > 1 << _DROPPED:
        return grouped(by_chance(keys), group, groups)
    mask = np.uint64((1 << _DROPPED) - 1)
    order = np.argsort(group.astype(_narrow(groups)), kind="stable")
    packed = keys[order]
    packed &= ~mask
    packed |= order.view(np.uint64)
    first = 0
    for end in np.cumsum(np.bincount(group, minlength=groups)).tolist():
        packed[first:end].sort()  # one group at a time stays in the processor's cache
        first = end
    packed &= mask
    return packed.view(np.int64)


def ranks(line: Ints) -> Ints:
    """The place of each unit in a line."""
    found = np.empty(len(line), dtype=np.int64)
    found[line] = np.arange(len(line))
    return found


def _narrow(groups: int) -> type[np.integer[Any]]:
    """The type in which so many groups are sorted by counting instead of comparing, if there is one."""
    return np.uint8 if groups <= 1 << 8 else np.uint16 if groups <= 1 << 16 else np.int64


def fraction(key: int) -> float:
    """A number from 0 up to 1 (never 1) out of the upper 53 bits of a key."""
    return (key >> 11) * 2.0**-53


@dataclass(frozen=True, eq=False)
class Frame:
    """Units with what a design may look at, in the order of their refs (as UTF-8 bytes).

    Attributes:
        refs: Customer refs, ascending, without duplicates.
        strata: Index into `labels`, per unit.
        labels: Stratum labels, ascending.
        clusters: Index into `cluster_labels`, per unit; None where every unit stands alone.
        cluster_labels: What the units of a cluster share, ascending.
        measures: What is known of each unit in numbers, by the name of the field; nan where it is not known.
    """

    refs: Sequence[str]
    strata: Ints
    labels: Sequence[str]
    clusters: Ints | None = None
    cluster_labels: Sequence[str] = ()
    measures: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        """Number of units."""
        return len(self.strata)

    def sizes(self) -> Ints:
        """Number of units in each stratum."""
        return np.bincount(self.strata, minlength=len(self.labels))

    def together(self) -> Ints:
        """The cluster of each unit.

        Raises:
            InputError: There are no clusters.
        """
        if self.clusters is None:
            raise InputError(
                "this design needs units that stay together",
                place="sampling.cluster",
                remedy="Name the field they share, such as legal_entity",
            )
        return self.clusters

    def heads(self) -> Ints:
        """Position of the first unit of each cluster."""
        first = np.full(len(self.cluster_labels), len(self))
        np.minimum.at(first, self.together(), np.arange(len(self)))
        return first

    def at(self, positions: Ints) -> Frame:
        """The units at these positions (ascending) as a frame of their own: strata and clusters without any are gone."""
        strata, labels = _dense(self.strata[positions], self.labels)
        clusters, cluster_labels = None, self.cluster_labels
        if self.clusters is not None:
            clusters, cluster_labels = _dense(self.clusters[positions], self.cluster_labels)
        return Frame(
            [self.refs[position] for position in positions.tolist()],
            strata,
            labels,
            clusters,
            cluster_labels,
            {name: values[positions] for name, values in self.measures.items()},
        )


def _dense(codes: Ints, labels: Sequence[str]) -> tuple[Ints, list[str]]:
    present = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    place = np.zeros(len(labels), dtype=np.int64)
    place[present] = np.arange(len(present))
    return place[codes], [labels[number] for number in present.tolist()]


@dataclass(frozen=True, eq=False)
class Sample:
    """Units drawn: positions in the frame, ascending, and each one's probability of having been drawn."""

    positions: Ints
    probabilities: Floats


class Design(Part):
    """What sampling and assignment designs have in common: what they look at beside the strata."""

    wants_clusters: ClassVar[bool] = False
    """Whether it is of no use without clusters (`sampling.cluster` of the plan)."""

    def measures(self) -> Sequence[str]:
        """Names of the fields of the profile whose numbers it looks at; none by default."""
        return ()


class SamplingDesign(Design):
    """Draws a sample from a frame."""

    @abstractmethod
    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Draw exactly `size` units.

        Args:
            frame: Everybody who can be drawn.
            size: How many are.
            keys: Random keys: one per unit, then one per stratum, then `SPARE_KEYS` for whatever else is decided by
                chance. Nothing else may be random.

        Raises:
            InputError: The frame is too small, or the design cannot meet `size`.
        """

    def faults(self) -> list[str]:
        """Whether it draws as many as asked for, by its keys alone, each unit as often as it states; tried on a small frame."""
        from pilot.experiments.designtrial import sampling_faults

        return sampling_faults(self)
