"""Built-in sampling designs. All chance comes from the random keys, so a draw is the same on every machine.

Sums of measures are exactly rounded (`math.fsum`) or added one by one, so that no processor's way of adding shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pilot.analysis.allocation import cost_optimal
from pilot.analysis.apportionment import apportion
from pilot.api import (
    Floats,
    Frame,
    InputError,
    Keys,
    Sample,
    SamplingDesign,
    by_chance,
    by_chance_within,
    fraction,
    grouped,
    hookimpl,
    ranks,
)

Least = Annotated[int, Field(ge=0)]
PLACE = "sampling.design.settings"


@dataclass(frozen=True)
class StratifiedSample(SamplingDesign):
    """From every stratum in proportion to its size, by largest remainder; within a stratum by chance alone."""

    key = "stratified"
    label = "Stratified, proportional"

    minimum_per_stratum: Least = 0

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Take the first of each stratum in random order."""
        _check_size(frame, size)
        return _of_each(frame, self._per_stratum(frame.sizes().tolist(), size), keys)

    def _per_stratum(self, sizes: Sequence[int], size: int) -> list[int]:
        """How many from each: strata that would get less than the minimum get it, the others share the rest."""
        least = [min(self.minimum_per_stratum, available) for available in sizes]
        if sum(least) > size:
            raise _too_many(len(sizes), self.minimum_per_stratum, sum(least), size)
        sharing = list(range(len(sizes)))
        while True:
            rest = size - sum(least[i] for i in range(len(sizes)) if i not in set(sharing))
            shares = dict(zip(sharing, apportion(rest, [sizes[i] for i in sharing]), strict=True))
            below = [i for i in sharing if shares[i] < least[i]]
            if not below:
                return [shares.get(i, least[i]) for i in range(len(sizes))]
            sharing = [i for i in sharing if i not in below]


@dataclass(frozen=True)
class SimpleSample(SamplingDesign):
    """Every customer with the same probability, strata or not."""

    key = "simple"
    label = "Simple random"

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Take the first of all in random order."""
        _check_size(frame, size)
        return Sample(np.sort(by_chance(keys[: len(frame)])[:size]), np.full(size, size / len(frame)))


@dataclass(frozen=True)
class NeymanSample(SamplingDesign):
    """More from strata whose customers are less alike, and fewer where a customer costs more.

    In proportion to size times spread of a measure (Neyman 1934), divided by the root of the mean of a cost if one is named
    (Cochran 1977, 5.5), by largest remainder. A stratum that would be overfilled is taken whole. Customers of whom the measure is
    not known count for neither spread nor cost.
    """

    key = "neyman"
    label = "Stratified, by spread and cost"

    by: str = "revenue_year"
    cost: str = ""
    minimum_per_stratum: Annotated[int, Field(ge=1)] = 2

    def measures(self) -> Sequence[str]:
        """Spread and cost."""
        return [self.by, *([self.cost] if self.cost else [])]

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Take the first of each stratum in random order."""
        _check_size(frame, size)
        sizes = frame.sizes().tolist()
        least = sum(min(self.minimum_per_stratum, available) for available in sizes)
        if least > size:
            raise _too_many(len(sizes), self.minimum_per_stratum, least, size)
        known = _by_stratum(frame, self.by)
        spreads = [_spread(values) for values in known]
        costs = [1.0] * len(sizes)
        if self.cost:
            costs = [self._mean_cost(values, frame.labels[i]) for i, values in enumerate(_by_stratum(frame, self.cost))]
        wanted = cost_optimal(size, sizes, spreads, costs, minimum=self.minimum_per_stratum, labels=frame.labels)
        return _of_each(frame, wanted.tolist(), keys)

    def _mean_cost(self, values: Sequence[float], label: str) -> float:
        mean = math.fsum(values) / len(values) if values else 0.0
        if mean <= 0:
            raise InputError(
                f"in stratum {label!r} {self.cost} is not known or not above 0 on average",
                place=f"{PLACE}.cost",
                remedy="Choose another measure of cost, or stratify by fewer fields",
            )
        return mean


@dataclass(frozen=True)
class ClusterSample(SamplingDesign):
    """Customers cluster by cluster, each with the same probability, from every stratum in proportion to its size.

    The clusters of a stratum stand in a circle in random order. From a random place on, as many customers as are wanted
    are taken, so that the number is exact; at both ends a cluster may be taken in part.
    """

    key = "clusters"
    label = "Whole clusters"
    wants_clusters = True

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Open a window of the right length on the circle of each stratum."""
        _check_size(frame, size)
        sizes = frame.sizes()
        wanted = np.array(apportion(size, sizes.tolist()))
        units, layers = len(frame), len(sizes)
        rank = ranks(by_chance(keys[frame.heads()]))
        line = grouped(by_chance(keys[:units]), rank[frame.together()], len(rank))
        circles = grouped(line, frame.strata, layers)
        first = np.cumsum(sizes) - sizes
        place = np.arange(units) - np.repeat(first, sizes)
        starts = np.array([int(key) % number for key, number in zip(keys[units:], sizes.tolist(), strict=False)])
        inside = (place - np.repeat(starts, sizes)) % np.repeat(sizes, sizes) < np.repeat(wanted, sizes)
        positions = np.sort(circles[inside])
        return Sample(positions, (wanted / sizes)[frame.strata[positions]])


@dataclass(frozen=True)
class SystematicBySize(SamplingDesign):
    """Larger customers with more probability, in proportion to a measure; strata in turn, in each by chance.

    Systematic sampling with probability proportional to size (Madow 1949): the customers stand in a line, strata in
    random order and each stratum's customers too, everyone as wide as its probability; of a line of width n every
    point u, u + 1, u + 2, ... takes one. Whoever would be wider than 1 is certain. A measure below `least`, or not known,
    counts as `least`.
    """

    key = "systematic-by-size"
    label = "Systematic, by size"

    by: str = "revenue_year"
    least: Annotated[float, Field(gt=0)] = 1.0

    def measures(self) -> Sequence[str]:
        """The size."""
        return [self.by]

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Walk along the line in steps of 1 from a random start below 1."""
        _check_size(frame, size)
        units, layers = len(frame), len(frame.labels)
        rank = ranks(by_chance(keys[units : units + layers]))
        line = grouped(by_chance(keys[:units]), rank[frame.strata], layers)
        widths = inclusion_by_size(np.nan_to_num(np.maximum(frame.measures[self.by], self.least), nan=self.least), size)
        ends = np.cumsum(widths[line])
        ends *= size / ends[-1]
        ends[-1] = size
        hits = np.floor(ends + fraction(int(keys[units + layers])))
        taken = np.diff(hits, prepend=0.0) > 0
        positions = np.sort(line[taken])
        return Sample(positions, widths[positions])


def inclusion_by_size(sizes: Floats, number: int) -> Floats:
    """The probability of each unit in a sample of this number, in proportion to its size, and 1 at most."""
    widths, free = np.ones(len(sizes)), np.ones(len(sizes), dtype=bool)
    while True:
        rest = number - int((~free).sum())
        if not free.any() or not rest:
            return widths
        share = sizes * (rest / np.cumsum(np.where(free, sizes, 0.0))[-1])
        over = free & (share >= 1)
        if not over.any():
            return np.where(free, share, 1.0)
        free &= ~over


def _of_each(frame: Frame, wanted: Sequence[int], keys: Keys) -> Sample:
    """As many as wanted of each stratum: the first in random order."""
    sizes, numbers = frame.sizes(), np.array(wanted)
    line = by_chance_within(keys[: len(frame)], frame.strata, len(sizes))
    place = np.arange(len(frame)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    positions = np.sort(line[place < np.repeat(numbers, sizes)])
    return Sample(positions, (numbers / sizes)[frame.strata[positions]])


def _by_stratum(frame: Frame, measure: str) -> list[list[float]]:
    """The known values of a measure in each stratum."""
    values = frame.measures[measure]
    known = np.flatnonzero(~np.isnan(values))
    line = grouped(known, frame.strata, len(frame.labels))
    counts = np.bincount(frame.strata[known], minlength=len(frame.labels))
    return [part.tolist() for part in np.split(values[line], np.cumsum(counts)[:-1])]


def _spread(values: Sequence[float]) -> float:
    """The standard deviation, exactly rounded sums and all; 0 below two values."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _check_size(frame: Frame, size: int) -> None:
    if size > len(frame):
        raise InputError(
            f"{size:,} customers are to be drawn, but only {len(frame):,} are eligible",
            place="sampling.size",
            remedy=f"Draw at most {len(frame):,}, or add segments to population.segments",
        )


def _too_many(strata: int, minimum: int, needed: int, size: int) -> InputError:
    return InputError(
        f"{strata} strata with at least {minimum} each need {needed:,} customers, but only {size:,} are drawn",
        place=f"{PLACE}.minimum_per_stratum",
        remedy="Lower it, raise sampling.size, or stratify by fewer fields",
    )


@hookimpl
def register_sampling_designs() -> list[type[SamplingDesign]]:
    """Sampling designs of the product."""
    return [StratifiedSample, SimpleSample, NeymanSample, ClusterSample, SystematicBySize]
