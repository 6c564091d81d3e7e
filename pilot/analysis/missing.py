"""What missing answers could hide: bounds on a difference, and how bad they must be to overturn it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from pilot.analysis.entries import check_ascending, check_length, numbers_of
from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

_ROUNDING = 1e-9
"""How many more answers than units, as a share, are taken for rounding of planned numbers."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range in which a difference lies, and the standard errors of its two ends."""

    low: float
    high: float
    errors: tuple[float, float]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that covers the true difference, wherever it lies between the bounds, with this confidence.

        It is shorter than one that covers both bounds at once.

        Reference: Imbens and Manski 2004, Econometrica 72:1845.
        """
        width = max(self.high - self.low, 0.0)
        widest = max(self.errors)
        if widest == 0:
            return self.low, self.high
        shift = width / widest
        missed = 1 - level  # held against the tails themselves, which keep their digits at a high level
        furthest = -normal_quantile(missed / 2) + 1e-6
        reach = _root(lambda c: missed - float(ndtr(-c - shift) + ndtr(-c)), 0.0, furthest)
        return self.low - reach * self.errors[0], self.high + reach * self.errors[1]


@dataclass(frozen=True, eq=False)
class Trimmed:
    """Lee's bounds and how they were made.

    Attributes:
        bounds: Of the difference, pilot minus control, among those who would answer in either arm.
        estimate: The difference of those who answered, weighted as the bounds are.
        weights: By stratum, its share of those who would answer in either arm; they sum to 1.
        shares: By stratum, which part of the answers of an arm was cut off.
        arms: By stratum, the row of that arm, which answered more; 0 is control.
        spreads: Standard errors of the bounds if the response rates were known.
    """

    bounds: Bounds
    estimate: float
    weights: FloatArray
    shares: FloatArray
    arms: IntArray
    spreads: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _End:
    """One of the two bounds in a stratum.

    Attributes:
        value: The bound.
        spread: Variance that the answers give it.
        slope: Its change with the logarithm of the share that is kept.
    """

    value: float
    spread: float
    slope: float


def lee_bounds(
    counts: npt.ArrayLike, levels: npt.ArrayLike, assigned: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Trimmed:
    """Bounds on the difference of means among those who would answer in either arm.

    In each stratum the arm that answered more is cut by its surplus, once from the top and once from the bottom. Equal
    answers at the cut are cut in part, which makes the mean of what is left exact for ratings. Strata are weighted by how
    many would answer in either arm: their weight times the smaller response rate. The variance is Lee's; in it, the spread
    of the trimmed mean is that of the answers drawn in to the level at the cut. The rates' own errors move the cuts and the
    weights of the strata together.

    Args:
        counts: Answers by (arm, level) or (arm, stratum, level), control first; each arm has at least one in each stratum.
        levels: The levels, ascending.
        assigned: Units by arm or by (arm, stratum).
        weights: Of the strata in the population, taken as known; they need not sum to 1.

    Reference: Lee 2009, Review of Economic Studies 76:1071, propositions 1a, 1b and 3; Semenova 2020, Generalized Lee
    bounds, arXiv:2008.12720 (each stratum has its own direction).

    Raises:
        InputError: An arm has no answer, or more answers than units; a number is not finite or below 0, levels do not ascend,
            the tables do not fit each other, or no stratum has a weight.
    """
    table, values, units, population = _tables(counts, levels, assigned, weights)
    answers = table.sum(axis=2)
    if not (answers > 0).all() or (answers > units * (1 + _ROUNDING)).any():
        raise InputError(
            "each arm needs an answer, and no more answers than units",
            place="counts",
            remedy="Leave out strata without answers, and count every customer who was assigned",
        )
    rates = np.minimum(answers / units, 1.0)
    share = population * rates.min(axis=0)
    share = share / share.sum()
    doubt = (1 - rates) / answers  # variance of the logarithm of a rate
    ends = [_ends(table[:, s], values, rates[:, s], doubt[:, s]) for s in range(len(share))]
    (low, first, known), (high, second, also) = (_weighted([pair[end] for pair in ends], share) for end in (0, 1))
    difference = (table[1] @ values / answers[1] - table[0] @ values / answers[0]) @ share
    cut = 1 - rates.min(axis=0) / rates.max(axis=0)
    bounds = Bounds(low, max(low, high), (first, second))  # they are equal but for rounding where nothing is cut
    return Trimmed(bounds, float(difference), share, cut, (rates[1] > rates[0]).astype(np.int64), (known, also))


def _tables(
    counts: npt.ArrayLike, levels: npt.ArrayLike, assigned: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Answers by (arm, stratum, level), levels, units by (arm, stratum) and weights of strata, all looked through."""
    values = numbers_of(levels, "levels")
    check_ascending(values)
    table, units = numbers_of(counts, "counts", least=0.0), numbers_of(assigned, "assigned", least=0.0)
    if table.ndim not in (2, 3) or (len(table), table.shape[-1]) != (2, len(values)):
        raise InputError(
            f"there must be a number for each of two arms and {len(values)} levels",
            place="counts",
            remedy="Give answers by arm, or by arm and stratum, and level",
        )
    table = table.reshape(2, -1, len(values))
    strata = table.shape[1]
    if units.size != 2 * strata or len(units) != 2:
        raise InputError(
            f"there must be a number for each of two arms and {strata} strata",
            place="assigned",
            remedy="Give the units of each arm and stratum",
        )
    population = np.ones(strata) if weights is None else numbers_of(weights, "weights", least=0.0)
    check_length(population, strata, "weights", of="strata")
    if not population.sum() > 0:
        raise InputError(
            "no stratum has a weight", place="weights", remedy="Give one stratum at least a weight above 0"
        )
    return table, values, units.reshape(2, strata), population


def _weighted(ends: Sequence[tuple[_End, FloatArray]], share: FloatArray) -> tuple[float, float, float]:
    """The weighted sum of the strata's bounds, its standard error, and that error if the response rates were known.

    Args:
        ends: The bound in each stratum, with the variances of the logarithms of the smaller and of the larger rate.
        share: Weights of the strata, which are proportional to the smaller rates.
    """
    value, spread, slope = (np.array([getattr(end, name) for end, _ in ends]) for name in ("value", "spread", "slope"))
    smaller, larger = np.array([doubt for _, doubt in ends]).T
    bound = float(share @ value)
    variance = spread + (slope + value - bound) ** 2 * smaller + slope**2 * larger
    return bound, math.sqrt(float(share**2 @ variance)), math.sqrt(float(share**2 @ spread))


def _ends(table: FloatArray, values: FloatArray, rates: FloatArray, doubt: FloatArray) -> list[tuple[_End, FloatArray]]:
    """Lower and upper bound in a stratum, each with the variances of the log rates, that of the smaller rate first."""
    cuts = {arm: _cut(table, values, rates, arm) for arm in (0, 1) if rates[arm] >= rates[1 - arm]}
    found = []
    for end in (0, 1):  # with equal rates either arm is on the verge of being cut, and the wider error counts
        arm = max(cuts, key=lambda row: cuts[row][end].spread + cuts[row][end].slope ** 2 * doubt.sum())
        found.append((cuts[arm][end], doubt[[1 - arm, arm]]))
    return found


def _cut(table: FloatArray, values: FloatArray, rates: FloatArray, arm: int) -> tuple[_End, _End]:
    """Lower and upper bound if the surplus of this arm is cut."""
    kept = float(rates[1 - arm] / rates[arm])
    other = table[1 - arm]
    size = float(other.sum())
    centre = float(other @ values / size)
    spread = float(other @ (values - centre) ** 2 / size) / size
    orders = (slice(None), slice(None, None, -1))
    (lowest, first), (highest, second) = (_trimmed_mean(table[arm][order], values[order], kept) for order in orders)
    if arm == 1:
        (low, cut_low), (high, cut_high), sign = (lowest, first), (highest, second), 1
    else:
        (low, cut_low), (high, cut_high), sign = (highest, second), (lowest, first), -1
    return (
        _End(sign * (low - centre), cut_low[0] + spread, sign * cut_low[1]),
        _End(sign * (high - centre), cut_high[0] + spread, sign * cut_high[1]),
    )


def _trimmed_mean(counts: FloatArray, values: FloatArray, kept: float) -> tuple[float, tuple[float, float]]:
    """Mean of the first part of the answers, in the order given; its variance, and its change with the log of that part.

    Args:
        counts: Answers by level.
        values: The levels, in the order in which they are kept.
        kept: Which part is kept.
    """
    n = counts.sum()
    part = np.diff(np.minimum(np.concatenate([[0.0], np.cumsum(counts) / n]), kept))
    mean = float(part @ values / kept)
    cut = float(values[np.flatnonzero(part > 1e-15)[-1]])
    drawn = np.minimum(values, cut) if values[0] <= values[-1] else np.maximum(values, cut)
    spread = float(counts @ (drawn - counts @ drawn / n) ** 2 / n)
    return mean, (spread / float(n * kept**2), cut - mean)


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Answers and missing answers by (arm, stratum), control first, with the weights of the strata.

    Attributes:
        n, mean, m2: Moments of the answers; at least two in each cell.
        assigned: Units, answered or not.
        weights: Share of each stratum in the population; they sum to 1.
    """

    n: FloatArray
    mean: FloatArray
    m2: FloatArray
    assigned: FloatArray
    weights: FloatArray

    @property
    def missing(self) -> FloatArray:
        """Missing answers by (arm, stratum)."""
        return self.assigned - self.n

    def shifted(self, control: float, pilot: float) -> MeanDifference | None:
        """The difference if missing answers lie so much above those given in the same arm and stratum.

        Missing answers are taken as the mean of their cell plus the shift; the variance is that of the answers' mean,
        with their number as it is, plus that of the share that is missing times the shift.

        Args:
            control: Shift in control.
            pilot: Shift in the pilot arm.

        Returns:
            The difference, or None where the answers have no spread.

        Reference: White, Carpenter and Horton 2018, Statistica Sinica 28:1985; Cro et al. 2020, Stat. Med. 39:2815.
        """
        plain = mean_difference(self.n, self.mean, self.m2, self.weights)
        if plain is None:
            return None
        shift = np.array([[control], [pilot]])
        share = self.missing / self.assigned
        moved = (share * shift) @ self.weights
        extra = self.weights**2 * shift**2 * share * (1 - share) / self.assigned
        error = math.hypot(plain.standard_error, math.sqrt(float(extra.sum())))
        means = (plain.means[0] + float(moved[0]), plain.means[1] + float(moved[1]))
        return MeanDifference(means[1] - means[0], error, plain.df, means)


def tipping_shift(holds: Callable[[float], bool], furthest: float) -> float | None:
    """The smallest shift, from 0 in the direction of `furthest`, at which a conclusion no longer holds.

    Args:
        holds: Whether the conclusion holds at a shift; it holds at 0.
        furthest: The largest shift that is tried.

    Returns:
        The shift, or None where the conclusion holds even at the furthest.
    """
    if holds(furthest):
        return None
    held, lost = 0.0, furthest
    for _ in range(200):
        middle = (held + lost) / 2
        if middle in (held, lost):
            break
        held, lost = (middle, lost) if holds(middle) else (held, middle)
    return lost


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-14))
