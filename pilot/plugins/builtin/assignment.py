"""Built-in assignment designs: how the customers drawn are divided into arms.

All chance comes from the random keys, raw 64-bit numbers, so an assignment is the same on every machine and with
every version of numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pilot.analysis.apportionment import apportion
from pilot.analysis.rerandomisation import Criterion, acceptance_threshold
from pilot.api import (
    Allocation,
    AssignmentDesign,
    Floats,
    Frame,
    InputError,
    Ints,
    Keys,
    by_chance,
    by_chance_within,
    grouped,
    hookimpl,
    ranks,
)

LARGEST_BLOCK = 20
PATIENCE = 30
"""Rerandomisation gives up after this many times the number of attempts it should need: by chance never (e^-30)."""
LARGEST_MATCHED = 20_000
"""Units of one stratum that can be matched by several measures: distances of all pairs are computed."""


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

    What a stratum leaves over after whole blocks (`remainder`) is settled `overall`, as above, or in each `stratum`
    alone: then every stratum has a ring of its own, and the totals are those of the strata together.
    """

    key = "stratified-blocks"
    label = "Stratified, balanced in every stratum"

    remainder: Literal["overall", "stratum"] = "overall"

    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Line up strata and units by their keys; the next key turns the ring."""
        number, layers = len(units), len(units.labels)
        if self.remainder == "stratum":
            return _by_stratum(units, shares, keys)
        rank = ranks(by_chance(keys[number : number + layers]))
        line = by_chance_within(keys[:number], rank[units.strata], layers)
        return _lay(line, shares, int(keys[number + layers]))


@dataclass(frozen=True)
class Complete(AssignmentDesign):
    """Exact totals, without regard to strata."""

    key = "complete"
    label = "Complete, without strata"

    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Line up all units by their keys; the spare keys are not needed."""
        return _lay(by_chance(keys[: len(units)]), shares, 0)


@dataclass(frozen=True)
class MatchedPairs(AssignmentDesign):
    """Units alike in some measures are parted by chance: pairs for two equal arms, small groups for others.

    Within each stratum the unit farthest from the middle is put together with those nearest to it, again and again. With one
    measure that is by its order; with several, by distance in standard deviations. Each group gives every arm its share
    of places. What strata leave over is parted among the arms in turn, from a random arm on.
    """

    key = "matched-pairs"
    label = "Matched pairs"

    by: Annotated[tuple[str, ...], Field(min_length=1)] = ("revenue_year",)

    def measures(self) -> Sequence[str]:
        """What they are alike in."""
        return self.by

    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Put units into a line in which neighbours are alike, and part it block by block."""
        block = _block(shares)
        values = np.column_stack([_filled(units.measures[name]) for name in self.by])
        groups = [
            own[_alike(values[own], len(block), units.labels[number])]
            for number, own in enumerate(np.split(*_stratum_parts(units)))
        ]
        return _part(groups, block, shares, len(units), keys, keys[len(units) + len(units.labels) :])


@dataclass(frozen=True)
class ClusterAssignment(AssignmentDesign):
    """Whole clusters go to an arm together, those of about the same size parted by chance.

    A cluster belongs to the stratum that most of its units are in. Within a stratum clusters of similar size form blocks
    that give every arm its share of places; what strata leave over is parted among the arms in turn, from a random arm on.
    """

    key = "clusters"
    label = "Whole clusters"
    wants_clusters = True

    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Line up the clusters by stratum and size, and part the line block by block."""
        heads, block = units.heads(), _block(shares)
        number = len(heads)
        if number < 2 * len(block):
            raise InputError(
                f"{number} clusters are too few for {len(shares)} arms",
                place="assignment",
                remedy=f"At least {2 * len(block)} are needed: choose a field with more, smaller clusters",
            )
        sizes = np.bincount(units.together(), minlength=number)
        line = grouped(by_chance(keys[heads]), _ranks_of(-sizes), number)
        home = _homes(units)
        groups = [line[home[line] == stratum] for stratum in range(len(units.labels))]
        found = _part(groups, block, shares, number, keys[heads], keys[len(units) + len(units.labels) :])
        return Allocation(found.arms[units.together()], found.probabilities[units.together()])


@dataclass(frozen=True)
class Rerandomised(AssignmentDesign):
    """Two equal arms, drawn again and again until they are alike in some measures.

    Each attempt is stratified by blocks; one is accepted if the Mahalanobis distance of the arms' means within strata is at most
    what the stated share of all assignments keeps (Morgan and Rubin 2012). A unit of whom a measure is not known counts with
    its mean. Analyse with `rerandomised-difference` and the same measures and acceptance.
    """

    key = "rerandomised"
    label = "Rerandomised until alike"

    by: Annotated[tuple[str, ...], Field(min_length=1)]
    acceptance: Annotated[float, Field(ge=0.0001, le=0.5)]

    def measures(self) -> Sequence[str]:
        """What the arms are to be alike in."""
        return self.by

    def assign(self, units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
        """Take the first attempt that is accepted; attempt i has keys of its own, from a spare key."""
        if len(shares) != 2 or shares[0] != shares[1]:
            raise InputError(
                "rerandomisation is for two arms with equal shares: with others a unit's probability is not its share",
                place="assignment",
                remedy="Give both arms share = 0.5, or use matched-pairs",
            )
        columns = np.column_stack([_filled(units.measures[name]) for name in self.by])
        own = int(keys[len(units) + len(units.labels)])
        for attempt in range(math.ceil(PATIENCE / self.acceptance)):
            arms = self._attempt(units, np.random.Philox(key=own + (attempt << 64)).random_raw(len(keys)))
            criterion = Criterion.of(columns, arms, units.strata)
            limit = acceptance_threshold(self.acceptance, criterion.covariates)
            if criterion.distances(arms)[0] <= limit:
                return Allocation(arms, np.full(len(units), 0.5))
        raise InputError(
            f"no assignment was alike enough in {math.ceil(PATIENCE / self.acceptance):,} attempts",
            place="assignment.settings.acceptance",
            remedy="Raise it, or name fewer measures",
        )

    @staticmethod
    def _attempt(units: Frame, keys: Keys) -> Ints:
        """A stratified assignment; which arm has the odd unit is decided by chance too, so that both are equally likely."""
        arms = StratifiedBlocks().assign(units, (0.5, 0.5), keys).arms
        return arms if int(keys[-1]) & 1 else 1 - arms


def _lay(line: Ints, shares: Sequence[float], turn: int) -> Allocation:
    """Lay the ring of arms, begun at place `turn`, along the line of units."""
    units = len(line)
    totals = apportion(units, shares)
    arms = np.empty(units, dtype=np.int16)  # narrow while it is written all over the place
    arms[line] = np.roll(_ring(totals), -(turn % units))
    return Allocation(arms.astype(np.int64), (np.array(totals) / units)[arms])


def _ring(totals: Sequence[int]) -> npt.NDArray[np.int16]:
    """Arms in turn, each as often as its total says and spread evenly.

    The k-th of an arm's n stands at (k + 1/2) / n, before those of later arms that stand there too. Its place in the ring is
    how many stand before it: k of its own, and of each other arm as many as the comparison of integers says.
    """
    ring = np.zeros(sum(totals), dtype=np.int16)
    for arm, total in enumerate(totals[1:], 1):
        place = np.arange(total)
        odd = 2 * place + 1
        for other, others in enumerate(totals):
            if other == arm or not others or not total:
                continue
            ahead = odd * others - total
            place += ahead // (2 * total) + 1 if other < arm else -(-ahead // (2 * total))
        ring[place] = arm
    return ring


def _by_stratum(units: Frame, shares: Sequence[float], keys: Keys) -> Allocation:
    """A ring of its own for every stratum; its key decides where it begins, and which arm has a remainder."""
    number = len(units)
    line = by_chance_within(keys[:number], units.strata, len(units.labels))
    arms = np.empty(number, dtype=np.int64)
    for own, key in zip(np.split(line, np.cumsum(units.sizes())[:-1]), keys[number:].tolist(), strict=False):
        arms[own] = _places(len(own), shares, key)
    return Allocation(arms, np.array(shares)[arms])


def _places(number: int, shares: Sequence[float], key: int) -> Ints:
    """Arms for so many units in random order: each share of them rounded down or up, every unit's with its share's chance.

    The points u, u + 1, ... on a line of the arms' widths (Cox 1987), with u from the key.
    """
    ends = np.cumsum(np.array(shares) * number)
    ends[-1] = number
    counts = np.diff(np.floor(ends + (key >> 11) * 2.0**-53), prepend=0.0).astype(np.int64)
    return np.repeat(np.arange(len(shares)), counts)


def _block(shares: Sequence[float]) -> Ints:
    """The smallest number of places that can be parted in these shares, as arms.

    Raises:
        InputError: None up to `LARGEST_BLOCK` can.
    """
    parts = [Fraction(share).limit_denominator(LARGEST_BLOCK) for share in shares]
    size = math.lcm(*(part.denominator for part in parts))
    close = all(abs(float(part) - share) < 0.0005 for part, share in zip(parts, shares, strict=True))
    if sum(parts) != 1 or size > LARGEST_BLOCK or not close:
        raise InputError(
            f"no group of up to {LARGEST_BLOCK} can be parted in these shares",
            place="arms",
            remedy="Give shares such as 1/2, 1/3, 1/4 or 2/3, or use stratified-blocks",
        )
    return np.repeat(np.arange(len(parts)), [int(part * size) for part in parts])


def _part(
    groups: Sequence[Ints], block: Ints, shares: Sequence[float], number: int, keys: Keys, spare: Keys
) -> Allocation:
    """Part each group's line block by block; what they leave over, in random order, in turn.

    Args:
        groups: Lines of units, neighbours alike.
        block: Arms of one block.
        shares: As planned.
        number: Of all units.
        keys: One per unit: its place in its block is decided by it.
        spare: Of which the first turns the pattern for what is left over.
    """
    size = len(block)
    whole = [own[: len(own) // size * size] for own in groups]
    blocked = np.concatenate(whole).reshape(-1, size)
    arms = np.empty(number, dtype=np.int64)
    order = np.argsort(keys[blocked], axis=1, kind="stable")
    np.put_along_axis(placed := np.empty_like(blocked), order, np.broadcast_to(block, blocked.shape), axis=1)
    arms[blocked] = placed
    left = np.concatenate([own[len(own) // size * size :] for own in groups])
    left = left[by_chance(keys[left])]
    arms[left] = _ring(np.bincount(block).tolist())[(np.arange(len(left)) + int(spare[0]) % size) % size]
    exact = np.bincount(block, minlength=len(shares)) / size
    return Allocation(arms, exact[arms])


def _alike(values: Floats, size: int, label: str) -> Ints:
    """The units of a stratum in a line in which each `size` neighbours are alike."""
    if values.shape[1] == 1 or len(values) <= size:
        return np.argsort(values[:, 0], kind="stable")
    if len(values) > LARGEST_MATCHED:
        raise InputError(
            f"stratum {label!r} has {len(values):,} customers, too many to match by several measures",
            place="assignment.settings.by",
            remedy=f"Match by one measure, or stratify so that no stratum has more than {LARGEST_MATCHED:,}",
        )
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    rest, line = np.argsort(-(scaled**2).sum(axis=1), kind="stable"), []
    while len(rest) > size:
        distance = ((scaled[rest] - scaled[rest[0]]) ** 2).sum(axis=1)
        nearest = np.sort(np.argsort(distance, kind="stable")[:size])
        line.extend(rest[nearest].tolist())
        rest = np.delete(rest, nearest)
    return np.array([*line, *rest.tolist()], dtype=np.int64)


def _stratum_parts(units: Frame) -> tuple[Ints, Ints]:
    """The places of all units stratum by stratum, and where to cut them."""
    return grouped(np.arange(len(units)), units.strata, len(units.labels)), np.cumsum(units.sizes())[:-1]


def _homes(units: Frame) -> Ints:
    """The stratum that most units of each cluster are in; the first of equals."""
    layers = len(units.labels)
    pairs, counts = np.unique(units.together() * layers + units.strata, return_counts=True)
    order = np.lexsort((pairs, -counts))
    homes = np.full(len(units.cluster_labels), -1)
    homes[(pairs[order] // layers)[::-1]] = (pairs[order] % layers)[::-1]
    return homes


def _filled(values: Floats) -> Floats:
    """A measure with its mean where it is not known."""
    known = values[~np.isnan(values)]
    return np.where(np.isnan(values), math.fsum(known) / len(known) if len(known) else 0.0, values)


def _ranks_of(values: Ints) -> Ints:
    """Values as 0, 1, ... in their order; equal ones alike."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


@hookimpl
def register_assignment_designs() -> list[type[AssignmentDesign]]:
    """Assignment designs of the product."""
    return [StratifiedBlocks, Complete, MatchedPairs, ClusterAssignment, Rerandomised]
