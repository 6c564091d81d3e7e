"""What missing answers could hide: bounds on a difference, and how bad they must be to overturn it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError


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
        reach = _root(lambda c: float(ndtr(c + shift) - ndtr(-c)) - level, 0.0, normal_quantile((1 + level) / 2) + 1e-9)
        return self.low - reach * self.errors[0], self.high + reach * self.errors[1]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Lee's bounds and how they were made.

    Attributes:
        bounds: Of the difference, pilot minus control, among those who would answer in either arm.
        share: Which part of the answers was cut off.
        arm: Row of the arm that was trimmed, the one that answered more; 0 is control.
    """

    bounds: Bounds
    share: float
    arm: int


def lee_bounds(counts: npt.ArrayLike, levels: npt.ArrayLike, assigned: npt.ArrayLike) -> Trimmed:
    """Bounds on the difference of means among those who would answer in either arm.

    The arm that answered more is cut by its surplus, once from the top and once from the bottom. Equal answers at the
    cut are cut in part, which makes the mean of what is left exact for ratings. The variance is Lee's; in it, the spread of
    the trimmed mean is that of the answers drawn in to the level at the cut.

    Args:
        counts: Answers by (arm, level), control first; each arm has at least one.
        levels: The levels, ascending.
        assigned: Units of control and of the pilot arm.

    Reference: Lee 2009, Review of Economic Studies 76:1071, propositions 1a and 3.

    Raises:
        InputError: An arm has no answer, or more answers than units.
    """
    table, values = np.asarray(counts, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    units = np.asarray(assigned, dtype=np.float64)
    answers = table.sum(axis=1)
    if not (answers > 0).all() or (answers > units).any():
        raise InputError("each arm needs an answer, and no more answers than units", place="counts")
    rates = answers / units
    if rates[0] == rates[1]:  # then either arm is on the verge of being cut, and the wider errors count
        cuts = [_cut(table, values, units, arm) for arm in (0, 1)]
        lower, upper = (max(cut.errors[end] for cut in cuts) for end in (0, 1))
        return Trimmed(Bounds(cuts[0].low, cuts[0].high, (lower, upper)), 0.0, 0)
    arm = int(rates[1] > rates[0])
    return Trimmed(_cut(table, values, units, arm), 1 - float(rates[1 - arm] / rates[arm]), arm)


def _cut(table: FloatArray, values: FloatArray, units: FloatArray, arm: int) -> Bounds:
    """The bounds if the surplus of this arm is cut."""
    answers = table.sum(axis=1)
    rates = answers / units
    kept = float(rates[1 - arm] / rates[arm])
    rate_variance = kept**2 * float(((1 - rates) / (rates * units)).sum())
    other = table[1 - arm]
    centre = float(other @ values / answers[1 - arm])
    spread = float(other @ (values - centre) ** 2 / answers[1 - arm]) / answers[1 - arm]
    ends = []
    for order in (slice(None), slice(None, None, -1)):
        mean, own = _trimmed_mean(table[arm][order], values[order], kept, rate_variance)
        ends.append((mean, math.sqrt(own + spread)))
    (lowest, first), (highest, second) = ends
    highest = max(lowest, highest)  # they are equal but for rounding where nothing is cut
    if arm == 1:
        return Bounds(lowest - centre, highest - centre, (first, second))
    return Bounds(centre - highest, centre - lowest, (second, first))


def _trimmed_mean(counts: FloatArray, values: FloatArray, kept: float, rate_variance: float) -> tuple[float, float]:
    """Mean of the first part of the answers, in the order given, and its variance.

    Args:
        counts: Answers by level.
        values: The levels, in the order in which they are kept.
        kept: Which part is kept.
        rate_variance: Variance of `kept`.
    """
    n = counts.sum()
    part = np.diff(np.minimum(np.concatenate([[0.0], np.cumsum(counts) / n]), kept))
    mean = float(part @ values / kept)
    cut = float(values[np.flatnonzero(part > 1e-15)[-1]])
    drawn = np.minimum(values, cut) if values[0] <= values[-1] else np.maximum(values, cut)
    spread = float(counts @ (drawn - counts @ drawn / n) ** 2 / n)
    return mean, spread / (n * kept**2) + rate_variance * ((cut - mean) / kept) ** 2


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
