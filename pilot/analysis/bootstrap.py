"""Bootstrap intervals of a difference of means or quantiles, resampling units inside arms and strata.

A resample is never a list of units where less will do. Of few values at equal steps its sum is drawn at once from its exact law,
of other distinct values it is their multinomial counts. Of one sample's quantile it is two order statistics of uniform
numbers, which are beta variables. The jackknife behind BCa is a closed form. None of this grows as units do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.resampledsums import SumLaw
from pilot.errors import InputError

_FEW = 1_000
"""Distinct values up to which resamples are drawn as counts of them."""

_BLOCK = 4_000_000
"""Numbers held in memory at once."""


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Distinct values, ascending, and how often each occurs; at least one."""

    values: FloatArray
    counts: IntArray

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Sample:
        """The sample of these values.

        Raises:
            InputError: There is none.
        """
        distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        if not len(distinct):
            raise InputError("a sample needs at least one value")
        return cls(distinct, counts)

    @property
    def n(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(self.counts @ self.values) / self.n

    def central(self, power: int) -> float:
        """Sum of this power of their distances from the mean."""
        return float(self.counts @ (self.values - self.mean) ** power)

    def at(self, ranks: npt.ArrayLike) -> FloatArray:
        """Values at these ranks, from 0."""
        places = np.searchsorted(np.cumsum(self.counts), np.asarray(ranks), side="right")
        return np.asarray(self.values[np.minimum(places, len(self.values) - 1)])

    def quantile(self, share: float) -> float:
        """The value below which this share lies, between two neighbours by linear interpolation (type 7)."""
        rank, part = _rank(self.n, share)
        return float((1 - part) * self.at(rank) + part * self.at(rank + 1))


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """An interval by the bootstrap.

    Attributes:
        estimate: The statistic of the sample itself.
        low, high: The interval; the estimate may lie outside it where the statistic jumps.
        standard_error: Standard deviation of the resampled statistics.
        bias: Normal quantile of the share of resamples below the estimate.
        acceleration: How fast the standard error changes with the estimate.
        low_error, high_error: Monte Carlo standard errors of the two limits; 0 without resampling.
        corrected: Whether the correction could be made; if not, the limits are plain percentiles.
        distinct: Different values the resampled statistic took.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    bias: float
    acceleration: float
    low_error: float
    high_error: float
    corrected: bool
    distinct: int


def mean_draws(
    arms: Sequence[Sequence[Sample]], weights: npt.ArrayLike, draws: int, rng: np.random.Generator
) -> FloatArray:
    """Resampled differences of weighted means, pilot minus control.

    Args:
        arms: The strata's samples of control and of the pilot arm.
        weights: Of the strata; they need not sum to 1.
        draws: How many.
        rng: Source of chance.
    """
    share = np.asarray(weights, dtype=np.float64)
    found = np.zeros(draws)
    for sign, strata in zip((-1.0, 1.0), arms, strict=True):
        for weight, sample in zip(share / share.sum(), strata, strict=True):
            found += sign * weight * _resampled_means(sample, draws, rng)
    return found


def quantile_draws(strata: Sequence[Sample], share: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """Resampled quantiles of one arm, resampled inside its strata.

    With one stratum the two order statistics are drawn themselves: the places of `n` resampled units are `n` uniform
    numbers, of which the one of rank `k` is a beta variable with parameters `k + 1` and `n - k`.

    Args:
        strata: The strata's samples.
        share: Which quantile.
        draws: How many.
        rng: Source of chance.
    """
    n = sum(sample.n for sample in strata)
    rank, part = _rank(n, share)
    if len(strata) == 1:
        first = rng.beta(rank + 1, n - rank, draws)
        places = [first] if part == 0 else [first, first + (1 - first) * rng.beta(1, n - rank - 1, draws)]
        values = [strata[0].at(np.minimum((place * n).astype(np.int64), n - 1)) for place in places]
        return values[0] if part == 0 else (1 - part) * values[0] + part * values[1]
    levels = np.unique(np.concatenate([sample.values for sample in strata]))
    found = np.empty(draws)
    for block in _blocks(draws, min(len(levels), n) + n * (len(levels) > _FEW)):
        found[block] = _stratified_quantiles(strata, levels, (rank, part), len(block), rng)
    return found


def mean_acceleration(arms: Sequence[Sequence[Sample]], weights: npt.ArrayLike) -> float:
    """Acceleration of a difference of weighted means: the jackknife's in closed form, a sixth of its skewness.

    Reference: Efron 1987, JASA 82:171, formula 7.3 for several samples as in Davison and Hinkley 1997, 5.3.
    """
    return _mean_skewness(arms, weights)[1] / 6


def quantile_acceleration(samples: Sequence[Sample], share: float) -> float:
    """Acceleration of a difference of quantiles by the jackknife, which takes three values only in each arm.

    Args:
        samples: Control and pilot arm.
        share: Which quantile.
    """
    cubes = squares = 0.0
    for sign, sample in zip((-1.0, 1.0), samples, strict=True):
        n = sample.n
        if n < 3:
            return 0.0
        rank, part = _rank(n - 1, share)
        x0, x1, x2 = sample.at([rank, min(rank + 1, n - 1), min(rank + 2, n - 1)])
        without = np.array([(1 - part) * x1 + part * x2, (1 - part) * x0 + part * x2, (1 - part) * x0 + part * x1])
        times = np.array([rank + 1, 1, n - rank - 2])
        influence = sign * (n - 1) * (float(times @ without) / n - without)
        cubes += float(times @ influence**3) / n**3
        squares += float(times @ influence**2) / n**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def interval_of(
    estimate: float, resampled: FloatArray, level: float = 0.95, *, acceleration: float | None = None
) -> BootstrapInterval | None:
    """The interval that resampled statistics support.

    Args:
        estimate: The statistic of the sample.
        resampled: Of the resamples.
        level: Two-sided confidence level.
        acceleration: For the bias-corrected and accelerated interval (BCa); None for plain percentiles.

    Returns:
        The interval, or None where all resamples give the same.

    Reference: Efron 1987, JASA 82:171; Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 14.
    """
    ordered = np.sort(resampled)
    scale = float(np.abs(ordered[[0, -1]]).max())
    if ordered[-1] - ordered[0] <= 1e-13 * scale:
        return None
    draws, slack = len(ordered), 1e-12 * scale
    below, up_to = np.searchsorted(ordered, estimate - slack), np.searchsorted(ordered, estimate + slack, side="right")
    share = float(below + up_to) / (2 * draws)
    corrected = acceleration is not None and 0 < share < 1
    bias, rate = (float(ndtri(share)), acceleration or 0.0) if corrected else (0.0, 0.0)
    spread = math.sqrt(share * (1 - share) / draws) / _density(bias) if corrected else 0.0
    limits = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = _endpoint(bias, rate, float(ndtri(tail)))
        chance = float(ndtr(z))
        error = math.hypot(math.sqrt(chance * (1 - chance) / draws) / _density(z), 2 * spread)
        limits += [[_quantile(ordered, float(share)) for share in (chance, ndtr(z - error), ndtr(z + error))]]
    (low, *around_low), (high, *around_high) = limits
    return BootstrapInterval(
        estimate=float(estimate),
        low=low,
        high=high,
        standard_error=float(ordered.std(ddof=1)),
        bias=bias,
        acceleration=rate,
        low_error=(around_low[1] - around_low[0]) / 2,
        high_error=(around_high[1] - around_high[0]) / 2,
        corrected=corrected or acceleration is None,
        distinct=1 + int((np.diff(ordered) > slack).sum()),
    )


def mean_endpoints(
    arms: Sequence[Sequence[Sample]], weights: npt.ArrayLike, level: float = 0.95
) -> BootstrapInterval | None:
    """The BCa interval of a difference of weighted means without a single resample, from three moments.

    The law of the resampled difference follows from its cumulants: by the Edgeworth and Cornish-Fisher expansions with
    skewness `g`, bias and acceleration are both `g / 6`, and its quantiles are `z + g (z^2 - 1) / 6`. What is left out is of
    the order of 1 / n against the interval's half width.

    Args:
        arms: The strata's samples of control and of the pilot arm.
        weights: Of the strata; they need not sum to 1.
        level: Two-sided confidence level.

    Returns:
        The interval, or None where nothing varies.

    Reference: Hall 1988, Annals of Statistics 16:927; DiCiccio and Efron 1996, Statistical Science 11:189.
    """
    error, skewness = _mean_skewness(arms, weights)
    if error == 0:
        return None
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    control, pilot = (float(share @ [sample.mean for sample in strata]) for strata in arms)
    limits = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = _endpoint(skewness / 6, skewness / 6, float(ndtri(tail)))
        limits.append(pilot - control + error * (z + skewness * (z * z - 1) / 6))
    return BootstrapInterval(
        pilot - control, limits[0], limits[1], error, skewness / 6, skewness / 6, 0.0, 0.0, corrected=True, distinct=0
    )


def _mean_skewness(arms: Sequence[Sequence[Sample]], weights: npt.ArrayLike) -> tuple[float, float]:
    """Standard deviation and skewness of the resampled difference of means."""
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    squares = cubes = 0.0
    for sign, strata in zip((-1.0, 1.0), arms, strict=True):
        for weight, sample in zip(share, strata, strict=True):
            squares += weight**2 * sample.central(2) / sample.n**2
            cubes += sign * weight**3 * sample.central(3) / sample.n**3
    return (math.sqrt(squares), float(cubes / squares**1.5)) if squares > 0 else (0.0, 0.0)


def _resampled_means(sample: Sample, draws: int, rng: np.random.Generator) -> FloatArray:
    law = SumLaw.of(sample.values, sample.counts) if len(sample.values) <= _FEW else None
    if law is not None:
        return law.means(draws, rng)
    n, found = sample.n, np.empty(draws)
    if len(sample.values) <= _FEW:
        for block in _blocks(draws, len(sample.values)):
            found[block] = rng.multinomial(n, sample.counts / n, size=len(block)) @ sample.values / n
        return found
    every = np.repeat(sample.values, sample.counts)
    for block in _blocks(draws, n):
        found[block] = every[rng.integers(0, n, size=(len(block), n))].mean(axis=1)
    return found


def _stratified_quantiles(
    strata: Sequence[Sample], levels: FloatArray, rank: tuple[int, float], draws: int, rng: np.random.Generator
) -> FloatArray:
    place, part = rank
    if len(levels) > _FEW:
        drawn = [
            np.repeat(sample.values, sample.counts)[rng.integers(0, sample.n, size=(draws, sample.n))]
            for sample in strata
        ]
        ordered = np.sort(np.concatenate(drawn, axis=1), axis=1)
        return np.asarray((1 - part) * ordered[:, place] + part * ordered[:, min(place + 1, ordered.shape[1] - 1)])
    counts = np.zeros((draws, len(levels)), dtype=np.int64)
    for sample in strata:
        where = np.searchsorted(levels, sample.values)
        counts[:, where] += rng.multinomial(sample.n, sample.counts / sample.n, size=draws)
    below = np.cumsum(counts, axis=1)
    low, high = (levels[np.minimum((below <= k).sum(axis=1), len(levels) - 1)] for k in (place, place + 1))
    return np.asarray((1 - part) * low + part * high)


def _rank(n: int, share: float) -> tuple[int, float]:
    """Rank below a quantile, from 0, and how far it lies towards the next."""
    place = (n - 1) * share
    rank = min(int(place + 1e-9), n - 1)
    return rank, max(place - rank, 0.0) if place - rank > 1e-9 else 0.0


def _endpoint(bias: float, rate: float, z: float) -> float:
    moved = bias + z
    return bias + moved / max(1 - rate * moved, 1e-6)


def _quantile(ordered: FloatArray, share: float) -> float:
    """Of numbers in order, type 7."""
    rank, part = _rank(len(ordered), share)
    return float((1 - part) * ordered[rank] + part * ordered[min(rank + 1, len(ordered) - 1)])


def _density(z: float) -> float:
    return max(math.exp(-z * z / 2) / math.sqrt(2 * math.pi), 1e-12)


def _blocks(draws: int, each: int) -> list[IntArray]:
    return list(np.array_split(np.arange(draws), 1 + draws * max(each, 1) // _BLOCK))
