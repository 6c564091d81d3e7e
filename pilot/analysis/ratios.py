"""Ratios with their uncertainty: of sums, of means, and of a difference to its standard deviation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from pilot.analysis.moments import FloatArray, Joint
from pilot.analysis.noncentral import noncentral_t
from pilot.analysis.tails import log_t_upper, t_quantile, two_sided
from pilot.errors import InputError

_REFUTED = 1e6
"""How far beyond its limit the distance of a ratio is taken to be where it has no variance."""

Spread = Callable[[float], tuple[FloatArray, FloatArray]]
"""Variances of the independent parts of `numerator - ratio * denominator`, and their degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two estimates.

    Attributes:
        estimate: The ratio.
        low, high: Its interval.
        log_p: Logarithm of the two-sided p value of the ratio the test asked about.
        statistic, df: Of that test.
        standard_error: By the delta method; of the logarithm where the interval was made there.
    """

    estimate: float
    low: float
    high: float
    log_p: float
    statistic: float
    df: float
    standard_error: float


@dataclass(frozen=True, eq=False, slots=True)
class ArmRatios:
    """Two arms' ratios of sums, linearised.

    Attributes:
        ratios: Of control and of the pilot arm.
        below: The arms' mean denominators.
        m2: Centred sums of squares of `(y - ratio x) / mean x` by (arm, stratum).
        weights: Of the strata; they sum to 1.
    """

    ratios: FloatArray
    below: FloatArray
    m2: FloatArray
    weights: FloatArray


def arm_ratios(joint: Joint, weights: npt.ArrayLike) -> ArmRatios | None:
    """Each arm's ratio of sums, such as revenue per order, with the values that carry its error to first order.

    An arm's ratio is `R = sum w y / sum w x` over its strata's means. Its error is that of the mean of
    `(y - R x) / mean x` over the units: they are the sample, not the orders.

    Args:
        joint: Moments of numerator and denominator, in this order, of control and of the pilot arm.
        weights: Of the strata; they need not sum to 1.

    Returns:
        The ratios, or None where a cell is empty or a denominator does not sum to more than 0.

    Reference: Deng, Knoblich and Lu 2018, KDD; Cochran 1977, Sampling Techniques, 6.11 (combined ratio estimator).
    """
    share = np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    if (joint.n == 0).any():
        return None
    means = np.einsum("s,asj->aj", share, joint.mean)
    below = means[:, 1]
    if (below <= 0).any():
        return None
    ratios = means[:, 0] / below
    turn = np.stack([1 / below, -ratios / below], axis=1)
    m2 = np.maximum(np.einsum("asij,ai,aj->as", joint.cross, turn, turn), 0.0)
    m2[m2 < 1e-14 * joint.cross[..., 0, 0] / below[:, None] ** 2] = 0.0  # a constant ratio leaves rounding only
    return ArmRatios(ratios, below, m2, share)


def ratio_spread(above: tuple[float, float], below: tuple[float, float], correlation: float) -> float:
    """Standard deviation of `(y - R x) / mean x`, the values that carry the error of a ratio of sums: for `Expected.sd`.

    Args:
        above: Mean and standard deviation of what stands above the line, over units.
        below: Mean and standard deviation of what stands below it.
        correlation: Of the two, over units.

    Raises:
        InputError: The mean below is not above 0, a spread is below 0, the correlation is none, or no spread is left.

    Reference: Cochran 1977, Sampling Techniques, 2.11.
    """
    if not 0 < below[0] < math.inf or min(above[1], below[1]) < 0 or not -1 <= correlation <= 1:
        raise InputError(
            "a ratio needs a mean above 0 below its line, spreads of 0 or more and a correlation from -1 to 1",
            place="below",
        )
    turned = above[0] / below[0] * below[1]
    variance = above[1] ** 2 - 2 * correlation * above[1] * turned + turned**2
    if variance <= 1e-14 * above[1] ** 2:
        raise InputError("the ratio would be the same for all, so there is no spread to plan with", place="correlation")
    return math.sqrt(variance) / below[0]


def mean_variances(n: npt.ArrayLike, m2: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """Variances that the cells (arm, stratum) add to their arms' weighted means; each with n above 1."""
    sizes, share = np.asarray(n, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    return np.asarray((share / share.sum()) ** 2 * np.asarray(m2) / (sizes - 1) / sizes)


def log_ratio(means: npt.ArrayLike, variances: npt.ArrayLike, df: npt.ArrayLike, level: float = 0.95) -> Ratio | None:
    """Ratio of the pilot arm's mean to control's, with an interval made on the logarithm.

    Args:
        means: Of control and of the pilot arm.
        variances: Of these means by (arm, part), the parts being independent.
        df: Degrees of freedom of the parts' variances.
        level: Two-sided confidence level.

    Returns:
        The ratio, tested against 1; None where a mean is not above 0 or there is no variance.

    Reference: Deng, Knoblich and Lu 2018, KDD; Cox 1990, Statistics in Medicine 9:1487 (delta method).
    """
    control, pilot = (float(value) for value in np.asarray(means))
    if min(control, pilot) <= 0:
        return None
    parts = np.asarray(variances, dtype=np.float64).reshape(2, -1) / np.array([[control], [pilot]]) ** 2
    variance = float(parts.sum())
    if variance <= 0:
        return None
    freedom = _satterthwaite(parts.ravel(), np.asarray(df, dtype=np.float64).ravel())
    error, centre = math.sqrt(variance), math.log(pilot / control)
    half = t_quantile((1 + level) / 2, freedom) * error
    log_p = two_sided(log_t_upper(abs(centre / error), freedom))
    return Ratio(
        math.exp(centre), math.exp(centre - half), math.exp(centre + half), log_p, centre / error, freedom, error
    )


def fieller(
    numerator: float, denominator: float, spread: Spread, level: float = 0.95, *, null: float = 0.0
) -> Ratio | None:
    """Ratio of two estimates with Fieller's interval: all ratios `r` at which `numerator - r denominator` may be 0.

    The degrees of freedom are Satterthwaite's at each `r`, so the interval for a ratio of means excludes 1 exactly when
    Welch's test rejects at its level.

    Args:
        numerator: Estimate above the line.
        denominator: Estimate below the line.
        spread: Variances of independent parts of `numerator - r * denominator` at `r`, with degrees of freedom.
        level: Two-sided confidence level.
        null: The ratio that is tested.

    Returns:
        The ratio; None where the denominator is not clear of 0 at this level, so that the interval would be endless, or
        there is no variance.

    Reference: Fieller 1954, JRSS B 16:175; Tamhane and Logan 2004, Statistics in Medicine 23:2865 (unequal variances).
    """
    if denominator == 0:
        return None
    estimate = numerator / denominator

    def distance(ratio: float) -> tuple[float, float, float]:
        variances, df = spread(ratio)
        variance, freedom = float(variances.sum()), _satterthwaite(variances, df)
        return (numerator - ratio * denominator) / math.sqrt(variance), freedom, variance

    def excess(ratio: float) -> float:
        if float(spread(ratio)[0].sum()) <= 0:
            return _REFUTED  # nothing varies there, and the estimate is elsewhere
        t, freedom, _ = distance(ratio)
        return abs(t) - t_quantile((1 + level) / 2, freedom)

    if min(float(spread(point)[0].sum()) for point in (estimate, null)) <= 0:
        return None
    step = math.sqrt(distance(estimate)[2]) / abs(denominator)
    limits = [_crossing(excess, estimate, side * step) for side in (-1, 1)]
    if None in limits:
        return None
    low, high = (limit for limit in limits if limit is not None)
    t, freedom, _ = distance(null)
    t = t if denominator > 0 else -t
    return Ratio(estimate, low, high, two_sided(log_t_upper(abs(t), freedom)), t, freedom, step)


def hedges_g(means: tuple[float, float], squares: tuple[float, float], n: tuple[int, int]) -> tuple[float, float]:
    """(g, d): the difference of means in pooled standard deviations, with and without the small-sample factor.

    Args:
        means: Of control and of the pilot arm.
        squares: Their centred sums of squares.
        n: Their units.

    Raises:
        InputError: Fewer than three units, or no spread.

    Reference: Hedges 1981, Journal of Educational Statistics 6:107.
    """
    df = sum(n) - 2
    if df < 1 or min(n) < 1 or sum(squares) <= 0:
        raise InputError("a standardised difference needs three units and a spread")
    d = (means[1] - means[0]) / math.sqrt(sum(squares) / df)
    return small_sample_factor(df) * d, d


def small_sample_factor(df: float) -> float:
    """Hedges' exact factor `G(df / 2) / (sqrt(df / 2) G((df - 1) / 2))`, near `1 - 3 / (4 df - 1)`; above df 1."""
    if df <= 1:
        return 0.0
    return math.exp(float(gammaln(df / 2) - gammaln((df - 1) / 2)) - 0.5 * math.log(df / 2))


def noncentral_interval(d: float, n: tuple[int, int], level: float = 0.95) -> tuple[float, float]:
    """Interval of a standardised difference: the noncentralities under which its t value is a tail of `(1 - level) / 2`.

    Args:
        d: The difference in pooled standard deviations.
        n: Units of the two arms.
        level: Two-sided confidence level.

    Reference: Hedges and Olkin 1985, Statistical Methods for Meta-Analysis, ch. 5; exact for normal values of equal spread.
    """
    from scipy.optimize import brentq

    df, scale = sum(n) - 2, math.sqrt(n[0] * n[1] / sum(n))
    t, tail = d * scale, (1 - level) / 2

    def limit(chance: float) -> float:
        width = 10.0 * (1 + abs(t) / math.sqrt(2 * df))
        return float(brentq(lambda centre: noncentral_t(t, df, centre) - chance, t - width, t + width, xtol=1e-12))

    return limit(1 - tail) / scale, limit(tail) / scale


def _satterthwaite(variances: FloatArray, df: FloatArray) -> float:
    total = variances.sum()
    return float(1 / ((variances / total) ** 2 / df).sum())


def _crossing(excess: Callable[[float], float], start: float, step: float) -> float | None:
    """Where a function that is below 0 at `start` first rises above 0 in the direction of `step`; None if nowhere."""
    from scipy.optimize import brentq

    inner = start
    for _ in range(60):
        outer = start + step
        if excess(outer) > 0:
            return float(brentq(excess, *sorted((inner, outer)), xtol=1e-13 * max(1.0, abs(outer)), rtol=1e-13))
        inner, step = outer, step * 1.6
    return None
