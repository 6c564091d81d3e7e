"""Exact law of a rank sum, and shifts between two arms, from counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.permutation import MAX_STEPS, PermutationLaw, exact_permutation
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

ROUNDED_STEPS = 1_000
"""Steps to which scores are rounded that need more than `MAX_STEPS`."""

MAX_CELLS = 40_000
"""Largest number of strata times different scores for which the exact law is computed."""

_MOST_DIFFERENCES = 4_000_000
"""Pairs of values whose differences are listed; beyond, their order statistics are searched."""

MAX_VALUES = 100_000
"""Different values per arm up to which a shift is looked for."""

_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class ExactRanks:
    """The exact permutation law of the van Elteren rank sum, of the Wilcoxon one without strata.

    Attributes:
        law: Where the observed sum stands, in steps of the scores.
        rounded: Whether scores were rounded to `ROUNDED_STEPS` steps; the law of the rounded ones is exact.
    """

    law: PermutationLaw
    rounded: bool


def exact_ranks(counts: npt.ArrayLike) -> ExactRanks:
    """Exact permutation law of the sum of the pilot arm's ranks; ties have their midrank.

    Arms are shuffled inside the strata. The score of a unit is its midrank in its stratum over one more than the units
    there, which are van Elteren's weights. Scores on a lattice of at most `MAX_STEPS` steps are kept as they are: up to
    about 1,000 units without strata. Others are rounded to `ROUNDED_STEPS` steps: that leaves the test exact, and changes a
    unit's score by at most a 2,000th of their range.

    Args:
        counts: Units by (arm, stratum, level), control first, levels ascending.

    Returns:
        The law; where no stratum has both arms and two different values both tails are 1.

    Raises:
        InputError: There are too many strata and scores.

    Reference: van Elteren 1960, Bulletin of the ISI 37:351; Streitberg and Roehmel 1986.
    """
    table = np.asarray(counts, dtype=np.int64)
    sizes = table.sum(axis=2)
    table = table[:, (sizes > 0).all(axis=0) & ((table.sum(axis=0) > 0).sum(axis=1) > 1)]
    if table.shape[1] == 0:
        return ExactRanks(PermutationLaw(0.0, 0.0, 0.0, 0.0, 0.0), rounded=False)
    steps, rounded = _scores(table.sum(axis=0))
    used = table.sum(axis=0) > 0
    levels, position = np.unique(steps[used], return_inverse=True)
    if len(levels) * table.shape[1] > MAX_CELLS:
        raise InputError("too many strata and values for an exact law of ranks", remedy="Use van-elteren")
    spread = np.zeros((2, table.shape[1], len(levels)), dtype=np.int64)
    rows = np.nonzero(used)[0]
    for arm in (0, 1):
        np.add.at(spread[arm], (rows, position), table[arm][used])
    return ExactRanks(exact_permutation(spread, levels.tolist()), rounded)


def _scores(both: IntArray) -> tuple[IntArray, bool]:
    """Scores by (stratum, level) as whole steps above the lowest of their stratum, and whether they were rounded."""
    size = both.sum(axis=1)
    twice = 2 * (np.cumsum(both, axis=1) - both) + both + 1
    lowest = np.where(both > 0, twice, _LARGEST).min(axis=1)
    above = np.where(both > 0, twice - lowest[:, None], 0)
    common = math.lcm(*(int(n) + 1 for n in size))
    if common * int(above.max()) < _LARGEST:
        steps = above * np.asarray([common // (int(n) + 1) for n in size], dtype=np.int64)[:, None]
        steps //= np.gcd.reduce(steps, axis=None)
        if steps.max() <= MAX_STEPS:
            return steps, False
    share = np.where(both > 0, twice / (2 * (size + 1.0))[:, None] - 0.5, 0.0)  # around 0: turning the scale mirrors it
    steps = np.rint(share * (ROUNDED_STEPS / (share.max(axis=1) - share.min(axis=1)).max())).astype(np.int64)
    return np.where(both > 0, steps - np.where(both > 0, steps, ROUNDED_STEPS).min(axis=1, keepdims=True), 0), True


@dataclass(frozen=True, slots=True)
class Shift:
    """Hodges and Lehmann's shift: the median of all differences between a pilot and a control unit.

    Attributes:
        estimate: The shift, pilot minus control.
        low, high: Limits, the order statistics of the differences that the rank test without ties leaves open.
    """

    estimate: float
    low: float
    high: float


def hodges_lehmann(values: npt.ArrayLike, counts: npt.ArrayLike, level: float = 0.95) -> Shift | None:
    """The shift between two arms, without strata.

    Args:
        values: Ascending.
        counts: Units by (arm, value), control first; no arm is empty.
        level: Two-sided confidence level of the limits.

    Returns:
        The shift; None where an arm has more than `MAX_VALUES` different values.

    Reference: Hodges and Lehmann 1963, Annals of Mathematical Statistics 34:598; Hollander and Wolfe 1999, section 4.3.
    """
    points, table = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.int64)
    if (table > 0).sum(axis=1).max() > MAX_VALUES:
        return None
    n0, n1 = (int(n) for n in table.sum(axis=1))
    pairs = n0 * n1
    reach = normal_quantile((1 + level) / 2) * math.sqrt(pairs * (n0 + n1 + 1) / 12)
    lowest = max(1, math.floor(pairs / 2 - reach))
    ranks = [(pairs + 1) // 2, pairs // 2 + 1, lowest, pairs + 1 - lowest]
    lower, upper, low, high = _differences(points, table, ranks)
    return Shift((lower + upper) / 2, low, high)


def _differences(values: FloatArray, counts: IntArray, ranks: list[int]) -> list[float]:
    """The differences pilot minus control that have these ranks, counted from 1, among all pairs."""
    (x0, w0), (x1, w1) = ((values[row > 0], row[row > 0]) for row in counts)
    if len(x0) * len(x1) <= _MOST_DIFFERENCES:
        gaps, weights = (x1[:, None] - x0).ravel(), (w1[:, None] * w0).ravel()
        order = np.argsort(gaps, kind="stable")
        place = np.searchsorted(np.cumsum(weights[order]), ranks)
        return [float(gap) for gap in gaps[order][place]]
    total = np.concatenate([np.cumsum(w0[::-1])[::-1], [0]])
    return [_searched(x0, total, x1, w1, rank) for rank in ranks]


def _searched(x0: FloatArray, at_least: IntArray, x1: FloatArray, w1: IntArray, rank: int) -> float:
    """The difference of this rank by bisection, to the last digits that a difference holds."""
    low, high = float(x1[0] - x0[-1]), float(x1[-1] - x0[0])
    for _ in range(80):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        below = int(w1 @ at_least[np.searchsorted(x0, x1 - middle)])
        low, high = (low, middle) if below >= rank else (middle, high)
    return high
