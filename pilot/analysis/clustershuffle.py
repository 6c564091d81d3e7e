"""The permutation test of whole clusters, exact where they are few enough to count every assignment.

Another assignment swaps some pilot clusters for as many control clusters of the same stratum. The pilot arm's sum then
changes by `added - dropped`. All sums of dropped ones, and all of added ones, are listed once and sorted, by how many there are
of each stratum; the number of assignments beyond a threshold is then a matter of looking up one list in the other: `2^16`
entries each for 16 against 16 clusters, not 601 million assignments (Horowitz and Sahni 1974, JACM 21:277, meet in the middle).

If the handling adds `d` to every pilot cluster, an assignment with `k` clusters swapped changes the sum by `added - dropped + k d`:
the same lists give the p value of every `d`, and so the interval of all `d` that are not refuted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import two_sided

MOST_LISTED = 17
"""Clusters of one arm up to which all their sums are listed; above, assignments are drawn at random."""

_TIE = 1e-9
"""Sums nearer than this share of the values' range are equal."""


@dataclass(frozen=True, slots=True)
class ClusterLaw:
    """Where the observed difference stands among all assignments of clusters.

    Attributes:
        estimate: Difference of the arms' means over clusters, pilot minus control; over strata weighted by
            `n1 n0 / (n1 + n0)`, as the sum is.
        low, high: All shifts that neither tail refutes at the level; None where no shift can be refuted.
        log_upper, log_lower: Logarithms of the chances of a sum at least, and at most, as large as the observed one.
        log_assignments: Logarithm of the number of assignments.
        draws: Random assignments the tails rest on; 0 where all were counted.
    """

    estimate: float
    low: float | None
    high: float | None
    log_upper: float
    log_lower: float
    log_assignments: float
    draws: int

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value: twice the smaller tail, the observed assignment included, at most 1."""
        return two_sided(min(self.log_upper, self.log_lower))


def cluster_permutation(
    values: npt.ArrayLike,
    arm: npt.ArrayLike,
    stratum: npt.ArrayLike,
    level: float = 0.95,
    *,
    draws: int = 100_000,
    seed: int = 1,
) -> ClusterLaw | None:
    """Permutation test of clusters, each with one value (mostly its mean), shuffled inside strata.

    Args:
        values: One per cluster.
        arm: 0 for control, 1 for the pilot arm.
        stratum: Numbers of the clusters' strata; all equal where there are none.
        level: Two-sided confidence level of the interval.
        draws: Random assignments where an arm has more than `MOST_LISTED` clusters to shuffle.
        seed: Of these.

    Returns:
        The law, or None where there is one assignment only or all values of a stratum are equal.

    Reference: Fisher 1935, The Design of Experiments; Gail et al. 1996, Statistics in Medicine 15:1069 (clusters).
    """
    table = _Table.of(np.asarray(values, np.float64), np.asarray(arm, np.int64), np.asarray(stratum, np.int64))
    if table is None:
        return None
    pilot, control = (np.bincount(table.stratum[table.arm == side], minlength=table.strata) for side in (1, 0))
    log_total = log_assignments(pilot, control)
    if max(int(pilot.sum()), int(control.sum())) <= MOST_LISTED:
        tails, drawn = _listed(table, log_total), 0
    else:
        tails, drawn = _sampled(table, draws, np.random.default_rng(seed)), draws
    upper, lower = tails(0.0)
    threshold = math.log((1 - level) / 2) + 1e-9  # a tail of exactly this size refutes
    low = _limit(lambda shift: tails(shift)[0] > threshold)
    high = _limit(lambda shift: tails(-shift)[1] > threshold)
    return ClusterLaw(
        table.estimate,
        None if low is None else low * table.scale,
        None if high is None else -high * table.scale,
        upper,
        lower,
        log_total,
        drawn,
    )


def log_assignments(pilot: IntArray, control: IntArray) -> float:
    """Logarithm of the number of ways to assign clusters, given how many each arm has by stratum."""
    return sum(math.log(math.comb(int(a + b), int(a))) for a, b in zip(pilot, control, strict=True))


Tails = Callable[[float], tuple[float, float]]
"""Logarithms of the upper and lower tail if the pilot clusters are shifted by this much, in units of the range."""


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """Clusters of strata with both arms, values centred by stratum and in units of their range."""

    values: FloatArray
    arm: IntArray
    stratum: IntArray
    strata: int
    scale: float
    estimate: float

    @classmethod
    def of(cls, values: FloatArray, arm: IntArray, stratum: IntArray) -> _Table | None:
        both = np.intersect1d(stratum[arm == 0], stratum[arm == 1])
        kept = np.isin(stratum, both)
        values, arm = values[kept], arm[kept]
        _, groups = np.unique(stratum[kept], return_inverse=True)
        if not len(both):
            return None
        size, pilot = np.bincount(groups), np.bincount(groups, arm)
        centred = values - (np.bincount(groups, values) / size)[groups]
        scale = float(np.ptp(centred))
        if scale <= 1e-13 * float(np.abs(values).max()):
            return None
        weight = pilot * (size - pilot) / size
        estimate = float((centred * arm).sum() / weight.sum())
        return cls(centred / scale, arm, groups, len(both), scale, estimate)


def _listed(table: _Table, log_total: float) -> Tails:
    """Tails by counting all assignments."""
    sizes = np.bincount(table.stratum) + 1
    radix = np.concatenate([[1.0], np.cumprod(sizes[:-1], dtype=np.float64)])
    dropped, added = (_sums(table, radix, side) for side in (1, 0))
    codes = np.intersect1d(dropped[1], added[1])
    room = 2.0 * (len(table.values) + 2)
    (down, group, _), (up, places, swapped) = (_matching(part, codes) for part in (dropped, added))
    key = np.sort(group * room + down)
    ends = np.searchsorted(group, np.arange(len(codes) + 1))
    group_low, group_high, base = ends[places], ends[places + 1], places * room
    tie = max(_TIE, 8 * np.finfo(np.float64).eps * len(codes) * room)

    def tails(shift: float) -> tuple[float, float]:
        edge = np.clip(up + swapped * shift, -room / 2.1, room / 2.1) + base
        above = (np.searchsorted(key, edge + tie, side="right") - group_low).sum()
        below = (group_high - np.searchsorted(key, edge - tie, side="left")).sum()
        return min(0.0, math.log(above) - log_total), min(0.0, math.log(below) - log_total)

    return tails


def _sums(table: _Table, radix: FloatArray, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums of all subsets of one arm's clusters, a code of how many they have of each stratum, and how many in all."""
    sums, codes, numbers = np.zeros(1), np.zeros(1), np.zeros(1)
    own = table.arm == side
    for value, stratum in zip(table.values[own], table.stratum[own], strict=True):
        sums = np.concatenate([sums, sums + value])
        codes = np.concatenate([codes, codes + radix[stratum]])
        numbers = np.concatenate([numbers, numbers + 1])
    return sums, codes, numbers


def _matching(
    part: tuple[FloatArray, FloatArray, FloatArray], codes: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """The subsets with a counterpart in the other arm, in the order of their codes."""
    sums, own, numbers = part
    kept = np.isin(own, codes)
    place = np.searchsorted(codes, own[kept])
    order = np.argsort(place, kind="stable")
    return sums[kept][order], place[order], numbers[kept][order]


def _sampled(table: _Table, draws: int, rng: np.random.Generator) -> Tails:
    """Tails from random assignments, the observed one always among them."""
    order = np.argsort(table.stratum, kind="stable")
    values, arm, stratum = table.values[order], table.arm[order], table.stratum[order]
    rank_of_arm = np.sort(stratum + np.where(arm == 1, 0.0, 0.5))  # in each stratum the first ones become pilot
    chosen_rank = rank_of_arm == stratum
    gain, swapped = np.zeros(draws), np.zeros(draws)
    for block in np.array_split(np.arange(draws), 1 + draws * len(values) // 2_000_000):
        shuffled = np.argsort(rng.random((len(block), len(values))) + stratum, axis=1)[:, chosen_rank]
        gain[block] = values[shuffled].sum(axis=1) - values[arm == 1].sum()
        swapped[block] = (arm[shuffled] == 0).sum(axis=1)

    def tails(shift: float) -> tuple[float, float]:
        moved = gain + swapped * shift
        above, below = int((moved >= -_TIE).sum()), int((moved <= _TIE).sum())
        return math.log((above + 1) / (draws + 1)), math.log((below + 1) / (draws + 1))

    return tails


def _limit(kept: Callable[[float], bool]) -> float | None:
    """The smallest shift, between -2 and 2, that is not refuted; None where no shift is."""
    low, high = -2.0, 2.0
    if kept(low):
        return None
    while high - low > 1e-11:
        middle = (low + high) / 2
        low, high = (low, middle) if kept(middle) else (middle, high)
    return high
