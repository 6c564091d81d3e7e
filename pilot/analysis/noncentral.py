"""The noncentral t law: the power of t tests, and intervals of standardised differences."""

from __future__ import annotations

import math

from scipy.special import nctdtr

from pilot.analysis.tails import t_quantile


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


def t_power(effect: float, variances: tuple[float, float], df: tuple[float, float], level: float) -> float:
    """The chance that a two-sided test of a difference of two independent estimates shows `effect`.

    By the noncentral t law with Satterthwaite's degrees of freedom; both tails count.

    Args:
        effect: The true difference.
        variances: Of the two estimates.
        df: Degrees of freedom of their variances.
        level: Two-sided confidence level of the test.

    Reference: Julious 2004, Statistics in Medicine 23:1921; Moser, Stevens and Watts 1989, Comm. Statist. A 18:3963.
    """
    if min(df) <= 0:
        return 0.0
    variance = sum(variances)
    freedom = variance**2 / sum(part**2 / own for part, own in zip(variances, df, strict=True))
    edge, centre = t_quantile((1 + level) / 2, freedom), abs(effect) / math.sqrt(variance)
    return noncentral_t(-edge, freedom, -centre) + noncentral_t(-edge, freedom, centre)


def mean_power(effect: float, spreads: tuple[float, float], n: tuple[float, float], level: float) -> float:
    """The chance that Welch's test shows a difference of means.

    Args:
        effect: The true difference.
        spreads: Standard deviations of control and of the pilot arm.
        n: Units of control and of the pilot arm.
        level: Two-sided confidence level of the test.
    """
    control, pilot = (spread**2 / size for spread, size in zip(spreads, n, strict=True))
    return t_power(effect, (control, pilot), (n[0] - 1, n[1] - 1), level)
