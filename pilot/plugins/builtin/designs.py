"""Built-in designs: how a sample is drawn and how it is divided into arms.

All chance comes from the random keys, raw 64-bit numbers, so a draw is the same on every machine and with
every version of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pilot.analysis.apportionment import apportion
from pilot.api import Allocation, AssignmentDesign, Frame, InputError, Sample, SamplingDesign, hookimpl

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class StratifiedSample(SamplingDesign):
    """From every stratum in proportion to its size, by largest remainder; within a stratum by chance alone."""

    key = "stratified"
    label = "Stratified, proportional"

    minimum_per_stratum: Annotated[int, Field(ge=0)] = 0

    def draw(self, frame: Frame, size: int, keys: Keys) -> Sample:
        """Take the customers with the smallest keys of each stratum."""
        _check_size(frame, size)
        sizes = np.bincount(frame.strata, minlength=len(frame.labels))
        wanted = np.array(self._per_stratum(sizes.tolist(), size))
        order = np.lexsort((keys, frame.strata))
        place = np.arange(len(frame)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        positions = np.sort(order[place < np.repeat(wanted, sizes)])
        return Sample(positions, (wanted / sizes)[frame.strata[positions]])

    def _per_stratum(self, sizes: Sequence[int], size: int) -> list[int]:
        """How many from each: strata that would get less than the minimum get it, the others share the rest."""
        least = [min(self.minimum_per_stratum, available) for available in sizes]
        if sum(least) > size:
            raise InputError(
                f"{len(sizes)} strata with at least {self.minimum_per_stratum} each need {sum(least):,} customers, "
                f"but only {size:,} are drawn",
                place="sampling.design.settings.minimum_per_stratum",
                remedy="Lower it, raise sampling.size, or stratify by fewer fields",
            )
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
        """Take the customers with the smallest keys."""
        _check_size(frame, size)
        positions = np.sort(np.argsort(keys, kind="stable")[:size])
        return Sample(positions, np.full(size, size / len(frame)))


@dataclass(frozen=True)
class StratifiedBlocks(AssignmentDesign):
    """Arms balanced inside every stratum, with exact totals over all of them.

    The units stand in one line, stratum by stratum, strata and the units in each in random order. Along it runs
    a fixed sequence of arms in which arm a, with n_a of N places, has its k-th place at (k + 1/2) / n_a; it
    begins at a random place and is closed to a ring.

    * Totals are those of the largest remainder, always.
    * The random beginning gives every unit arm a with probability n_a / N exactly.
    * In a stratum of m units arm a gets m n_a / N units, rounded down or up, when there are two arms. With A
      arms it is less than 1 + (A - 2) n_a / N away from that: in a stretch of the ring every arm has its own
      proportional number give or take less than one, and the stretch's length carries the others' share of it.
    """

    key = "stratified-blocks"
    label = "Stratified, balanced in every stratum"

    def assign(self, strata: Ints, shares: Sequence[float], keys: Keys) -> Allocation:
        """Line up strata and units by their keys; the next key turns the ring."""
        units, layers = len(strata), int(strata.max()) + 1
        rank = np.argsort(np.argsort(keys[units : units + layers], kind="stable"))
        return _lay(np.lexsort((keys[:units], rank[strata])), shares, int(keys[units + layers]))


@dataclass(frozen=True)
class Complete(AssignmentDesign):
    """Exact totals, without regard to strata."""

    key = "complete"
    label = "Complete, without strata"

    def assign(self, strata: Ints, shares: Sequence[float], keys: Keys) -> Allocation:
        """Line up all units by their keys; the spare keys are not needed."""
        return _lay(np.argsort(keys[: len(strata)], kind="stable"), shares, 0)


def _lay(line: npt.NDArray[np.intp], shares: Sequence[float], turn: int) -> Allocation:
    """Lay the ring of arms, begun at place `turn`, along the line of units."""
    units = len(line)
    totals = apportion(units, shares)
    places = np.concatenate([(np.arange(total) + 0.5) / total for total in totals if total])
    ring = np.repeat(np.arange(len(totals)), totals)[np.argsort(places, kind="stable")]
    arms = np.empty(units, dtype=np.int64)
    arms[line] = np.roll(ring, -(turn % units))
    return Allocation(arms, (np.array(totals) / units)[arms])


def _check_size(frame: Frame, size: int) -> None:
    if size > len(frame):
        raise InputError(
            f"{size:,} customers are to be drawn, but only {len(frame):,} are eligible",
            place="sampling.size",
            remedy=f"Draw at most {len(frame):,}, or add segments to population.segments",
        )


@hookimpl
def register_sampling_designs() -> list[type[SamplingDesign]]:
    """Sampling designs of the product."""
    return [StratifiedSample, SimpleSample]


@hookimpl
def register_assignment_designs() -> list[type[AssignmentDesign]]:
    """Assignment designs of the product."""
    return [StratifiedBlocks, Complete]
