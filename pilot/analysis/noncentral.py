"""The noncentral laws of t and F: the power of tests of means, and intervals of standardised differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, fdtri, gammaln, nctdtr

from pilot.analysis.tails import t_quantile

_CERTAIN = 1e6
"""A noncentrality from which on an F test of any use shows its effect."""


def noncentral_t(t: float, df: float, centre: float) -> float:
    """The chance that a noncentral t variable is at most `t`.

    Args:
        t: The value.
        df: Degrees of freedom.
        centre: Noncentrality.
    """
    chance = float(nctdtr(df, centre, t))
    if math.isfinite(chance):
        return chance
    return 0.0 if t < centre else 1.0  # it is undefined only where a tail underflows


def two_sided_power(edge: float, df: float, centre: float, *, continuity: float = 0.0) -> float:
    """The chance that a noncentral t variable lies beyond `edge` on either side.

    Args:
        edge: What the test takes for too far, above 0.
        df: Degrees of freedom.
        centre: Noncentrality, not below 0: the true effect in standard errors.
        continuity: What the steps of a discrete statistic take off its distance on either side, in standard errors.
    """
    return noncentral_t(-edge, df, continuity - centre) + noncentral_t(-edge, df, continuity + centre)


def t_power(
    effect: float,
    variances: tuple[float, float],
    df: tuple[float, float],
    level: float,
    *,
    continuity: float = 0.0,
    edge: Callable[[float], float] | None = None,
) -> float:
    """The chance that a two-sided test of a difference of two independent estimates shows `effect`.

    By the noncentral t law with Satterthwaite's degrees of freedom; both tails count.

    Args:
        effect: The true difference.
        variances: Of the two estimates.
        df: Degrees of freedom of their variances.
        level: Two-sided confidence level of the test.
        continuity: What the steps of a discrete statistic take off the difference on either side, in its units.
        edge: The critical value for degrees of freedom; that of t at `level` if not given.

    Reference: Julious 2004, Statistics in Medicine 23:1921; Moser, Stevens and Watts 1989, Comm. Statist. A 18:3963.
    """
    if min(df) <= 0:
        return 0.0
    variance = sum(variances)
    freedom = variance**2 / sum(part**2 / own for part, own in zip(variances, df, strict=True))
    error = math.sqrt(variance)
    critical = edge(freedom) if edge else t_quantile((1 + level) / 2, freedom)
    return two_sided_power(critical, freedom, abs(effect) / error, continuity=continuity / error)


def mean_power(
    effect: float,
    spreads: tuple[float, float],
    n: tuple[float, float],
    level: float,
    *,
    continuity: float = 0.0,
    edge: Callable[[float], float] | None = None,
) -> float:
    """The chance that Welch's test shows a difference of means.

    Args:
        effect: The true difference.
        spreads: Standard deviations of control and of the pilot arm.
        n: Units of control and of the pilot arm.
        level: Two-sided confidence level of the test.
        continuity: See `t_power`.
        edge: See `t_power`.
    """
    control, pilot = (spread**2 / size for spread, size in zip(spreads, n, strict=True))
    return t_power(effect, (control, pilot), (n[0] - 1, n[1] - 1), level, continuity=continuity, edge=edge)


def f_power(centre: float, df: float, within: float, level: float) -> float:
    """The chance that an F test shows something: a Poisson mixture of beta tails, for each chance of half the centre.

    Args:
        centre: Noncentrality: squared true deviations, each over its variance.
        df: Degrees of freedom of the numerator.
        within: Those of the denominator.
        level: Confidence level of the test.

    Reference: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, ch. 8.
    """
    if centre >= _CERTAIN:
        return 1.0
    half, edge = centre / 2, float(fdtri(df, within, level))
    reach = 10 * math.sqrt(half) + 40
    terms = np.arange(max(0, int(half - reach)), int(half + reach) + 1)
    chances = np.exp(terms * math.log(half) - half - gammaln(terms + 1)) if half > 0 else (terms == 0).astype(float)
    return float(chances @ betainc(within / 2, df / 2 + terms, within / (within + df * edge)))
