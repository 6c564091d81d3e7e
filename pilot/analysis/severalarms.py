"""Three and more arms: tests of all of them together, and the laws behind intervals that hold for several arms at once.

Tails of the studentised range and of Dunnett's maximum are integrals over the common spread and one normal variable, by
Gauss and Legendre's rule; they are computed from above, never as one less a chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, chndtr, gammainccinv, gammaincinv, gammaln, ndtr

from pilot.analysis.moments import FloatArray
from pilot.analysis.noncentral import f_power, two_sided_power
from pilot.analysis.tables import log_chi_square_upper
from pilot.analysis.tails import log_f_upper, log_t_upper

_OUTSIDE = 1e-17
"""Chance of a spread outside the range of integration, at each end."""

_MANY = 1e6
"""Degrees of freedom from which on a spread counts as known."""

_NORMAL_RANGE = 9.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)

_TINY = 1e-10
"""Below this a tail is bounded by the sum of its parts (Bonferroni), which is then close and never too small."""


@dataclass(frozen=True, slots=True)
class Omnibus:
    """A test that all arms are alike.

    Attributes:
        statistic: F or chi-square.
        df: Degrees of freedom: of the numerator, and of the denominator if there is one.
        log_p: Natural logarithm of the p value.
    """

    statistic: float
    df: tuple[float, ...]
    log_p: float


def welch_anova(n: npt.ArrayLike, mean: npt.ArrayLike, m2: npt.ArrayLike) -> Omnibus | None:
    """Welch's test that the means of several arms are equal, whatever their spreads.

    Args:
        n: Units by arm.
        mean: Their means.
        m2: Their centred sums of squares.

    Returns:
        The test; None where an arm has fewer than two units or no spread.

    Reference: Welch 1951, Biometrika 38:330.
    """
    size, centre, squares = (np.asarray(values, dtype=np.float64) for values in (n, mean, m2))
    if len(size) < 2 or (size < 2).any() or (squares <= 0).any():
        return None
    groups, weights = len(size), size * (size - 1) / squares
    share = weights / weights.sum()
    between = float(weights @ (centre - share @ centre) ** 2) / (groups - 1)
    lost = float(((1 - share) ** 2 / (size - 1)).sum()) / (groups**2 - 1)
    statistic, df = between / (1 + 2 * (groups - 2) * lost), 1 / (3 * lost)
    return Omnibus(statistic, (groups - 1.0, df), log_f_upper(statistic, groups - 1, df) if statistic > 0 else 0.0)


def kruskal_wallis(counts: npt.ArrayLike) -> Omnibus | None:
    """Kruskal and Wallis' rank test that several arms are distributed alike, ties corrected for.

    Args:
        counts: Units by (arm, level), levels ascending.

    Returns:
        The test; None where fewer than two arms have units, or all values are equal.

    Reference: Kruskal and Wallis 1952, JASA 47:583.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) > 0]
    both = table.sum(axis=0)
    if len(table) < 2 or (both > 0).sum() < 2:
        return None
    total, size = float(both.sum()), table.sum(axis=1)
    around = np.cumsum(both) - both / 2 - total / 2
    between = float((size * ((table @ around) / size) ** 2).sum())
    spread = float(both @ around**2) / (total - 1)
    statistic = between / spread
    return Omnibus(statistic, (len(table) - 1.0,), log_chi_square_upper(statistic, len(table) - 1))


def log_range_upper(q: float, groups: int, df: float) -> float:
    """Logarithm of the chance that the studentised range of `groups` means exceeds `q`.

    Reference: Tukey 1953; Miller 1981, Simultaneous Statistical Inference, section 2.1.
    """
    z, normal = _normal_grid()
    below = ndtr(z)

    def exceeded(width: FloatArray) -> FloatArray:
        kept = np.clip(ndtr(z - width) / below, 0.0, 1.0 - 1e-16)
        beyond = -np.expm1((groups - 1) * np.log1p(-kept)) * below ** (groups - 1)
        return np.asarray(groups * (beyond @ normal))

    pairs = groups * (groups - 1) / 2
    return _log_tail(exceeded, q, df, math.log(2 * pairs) + log_t_upper(q / math.sqrt(2), df))


def log_dunnett_upper(t: float, sizes: Sequence[float], df: float) -> float:
    """Logarithm of the chance that the largest of several t variables against a common control exceeds `t` in size.

    Args:
        t: The value, not below 0.
        sizes: Units of control, then of the other arms.
        df: Degrees of freedom of the common variance.

    Reference: Dunnett 1955, JASA 50:1096.
    """
    z, normal = _normal_grid()
    control, others = sizes[0], np.asarray(sizes[1:], dtype=np.float64)
    loads = np.sqrt(others / (others + control))
    rests = np.sqrt(control / (others + control))

    def exceeded(width: FloatArray) -> FloatArray:
        log_inside = np.zeros(np.broadcast_shapes(width.shape, z.shape))
        for load, rest in zip(loads, rests, strict=True):
            outside = ndtr((load * z - width) / rest) + ndtr(-(load * z + width) / rest)
            log_inside += np.log1p(-np.minimum(outside, 1.0 - 1e-16))
        return np.asarray(-np.expm1(log_inside) @ normal)

    return _log_tail(exceeded, t, df, math.log(2 * len(others)) + log_t_upper(t, df))


def upper_quantile(log_tail: Callable[[float], float], chance: float) -> float:
    """The value that a variable exceeds with this chance, from the logarithm of its upper tail."""
    from scipy.optimize import brentq

    high = 4.0
    while log_tail(high) > math.log(chance):
        high *= 2
    return float(brentq(lambda value: log_tail(value) - math.log(chance), 1e-6, high, xtol=1e-12, rtol=1e-13))


@lru_cache(maxsize=64)
def range_quantile(groups: int, df: float, level: float) -> float:
    """How far two of `groups` means may lie apart, in standard errors of their difference, until one pair stands out."""
    known = min(df, _MANY)
    return upper_quantile(lambda t: log_range_upper(math.sqrt(2) * t, groups, known), 1 - level)


@lru_cache(maxsize=64)
def dunnett_quantile(sizes: tuple[float, ...], df: float, level: float) -> float:
    """How far an arm may lie from control, in standard errors of the difference, until one stands out.

    Args:
        sizes: Units of control, then of the other arms.
        df: Degrees of freedom of the common variance.
        level: Confidence level for all arms together.
    """
    return upper_quantile(lambda t: log_dunnett_upper(t, sizes, min(df, _MANY)), 1 - level)


def dunnett_power(
    effect: float, spreads: tuple[float, float], n: tuple[float, float], pilots: int, level: float
) -> float:
    """The chance that Dunnett's interval shows the difference of one pilot arm from control.

    Args:
        effect: The true difference.
        spreads: Standard deviations of control and of every pilot arm; the test takes them for one.
        n: Units of control and of every pilot arm.
        pilots: Number of pilot arms.
        level: Confidence level of all intervals together.

    Reference: Dunnett 1955, JASA 50:1096; Hsu 1996, Multiple Comparisons, appendix C.
    """
    df = n[0] + pilots * n[1] - pilots - 1
    if min(n) <= 1:
        return 0.0
    common = ((n[0] - 1) * spreads[0] ** 2 + pilots * (n[1] - 1) * spreads[1] ** 2) / df
    variance = spreads[0] ** 2 / n[0] + spreads[1] ** 2 / n[1]
    believed = math.sqrt(common * (1 / n[0] + 1 / n[1]) / variance)
    edge = dunnett_quantile((n[0], *[n[1]] * pilots), df, level) * believed
    return two_sided_power(edge, df, abs(effect) / math.sqrt(variance))


def welch_anova_power(means: npt.ArrayLike, spreads: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> float:
    """The chance that Welch's test shows that means of several arms are not all equal, by the noncentral F law.

    Args:
        means: True means by arm.
        spreads: Their standard deviations, above 0.
        n: Their units, above 1 each.
        level: Confidence level of the test.

    Reference: Jan and Shieh 2014, British J. Mathematical and Statistical Psychology 67:72.
    """
    size, spread = np.asarray(n, dtype=np.float64), np.asarray(spreads, dtype=np.float64)
    expected = welch_anova(size, means, (size - 1) * spread**2)
    if expected is None:
        return 0.0
    weights, centre = size / spread**2, np.asarray(means, dtype=np.float64)
    deviations = centre - weights @ centre / weights.sum()
    df, within = expected.df
    return f_power(float(weights @ deviations**2), df, within, level)


def kruskal_wallis_power(shares: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> float:
    """The chance that Kruskal and Wallis' test shows that several arms are not distributed alike.

    By the noncentral chi-square law, with the statistic of the expected counts as its noncentrality.

    Args:
        shares: Expected shares of the levels by (arm, level), levels ascending; each arm's sum to 1.
        n: Units by arm.
        level: Confidence level of the test.

    Reference: Fan, Zhang and Zhang 2011, Biometrics 67:213.
    """
    counts = np.asarray(shares, dtype=np.float64) * np.asarray(n, dtype=np.float64)[:, None]
    expected = kruskal_wallis(counts)
    if expected is None:
        return 0.0
    (df,) = expected.df
    return 1 - float(chndtr(chdtri(df, 1 - level), df, expected.statistic))


def _log_tail(exceeded: Callable[[FloatArray], FloatArray], edge: float, df: float, bound: float) -> float:
    """Average of a tail over the law of the common spread; where it is tiny, the logarithm of its upper bound."""
    spread, density = _spread_grid(df)
    tail = float(density @ exceeded(edge * spread[:, None]))
    return min(math.log(tail), bound, 0.0) if tail > _TINY else min(bound, math.log(_TINY))


def _normal_grid() -> tuple[FloatArray, FloatArray]:
    z = _NORMAL_RANGE * _NODES
    return z, _NORMAL_RANGE * _WEIGHTS * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _spread_grid(df: float) -> tuple[FloatArray, FloatArray]:
    """Values of an estimated standard deviation over the true one, and their weights."""
    low = math.sqrt(2 * float(gammaincinv(df / 2, _OUTSIDE)) / df)
    high = math.sqrt(2 * float(gammainccinv(df / 2, _OUTSIDE)) / df)
    s = (high + low) / 2 + (high - low) / 2 * _NODES
    log_density = (
        math.log(2) + df / 2 * math.log(df / 2) - float(gammaln(df / 2)) + (df - 1) * np.log(s) - df * s**2 / 2
    )
    return s, (high - low) / 2 * _WEIGHTS * np.exp(log_density)
