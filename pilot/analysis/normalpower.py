"""Power of t tests of two means against a margin: non-inferiority and equivalence. That of a difference is `noncentral`'s.

The arms may have different spreads; the degrees of freedom are then Welch's at the expected spreads.

Reference: Julious 2004, Statistics in Medicine 23:1921; Owen 1965, Biometrika 52:437; Schuirmann 1987, Journal of
Pharmacokinetics and Biopharmaceutics 15:657.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from pilot.analysis.noncentral import noncentral_t
from pilot.analysis.tails import t_quantile
from pilot.errors import InputError

_NODES = 80
"""Points of the quadrature over the estimated spread, on each side of a kink."""

_REACH = 12.0
"""How many of its standard deviations the estimated spread may lie off the true one."""


def margin_power(
    effect: float, margin: float, spreads: tuple[float, float], n: tuple[float, float], level: float
) -> float:
    """The chance that the one-sided limit on the worse side lies inside the margin.

    Args:
        effect: The true difference; positive is better.
        margin: How much worse is acceptable, as a positive number: what counts is `effect + margin`.
        spreads: Standard deviations of control and of the pilot arm.
        n: Their units, at least 2 each; fractions are allowed.
        level: Confidence level of the two-sided interval whose limit it is.

    Raises:
        InputError: An arm has fewer than two units.
    """
    error, df = _error(spreads, n)
    return noncentral_t(-t_quantile((1 + level) / 2, df), df, -(effect + margin) / error)


def equivalence_power(
    effect: float, margin: float, spreads: tuple[float, float], n: tuple[float, float], level: float
) -> float:
    """The chance that the whole interval lies inside the margin on both sides.

    Args:
        effect: The true difference.
        margin: How much of a difference is acceptable, as a positive number.
        spreads: Standard deviations of control and of the pilot arm.
        n: Their units, at least 2 each; fractions are allowed.
        level: Confidence level of the interval; 0.9 for two one-sided tests at 5 %.

    Raises:
        InputError: An arm has fewer than two units.
    """
    error, df = _error(spreads, n)
    return two_one_sided_power((effect + margin) / error, (margin - effect) / error, df, level)


def two_one_sided_power(below: float, above: float, df: float, level: float) -> float:
    """The chance that two one-sided t tests both succeed: Owen's integral over the estimated spread.

    Args:
        below: Distance of the true value from the lower margin, in standard errors.
        above: Its distance from the upper margin.
        df: Degrees of freedom of the spread.
        level: Confidence level of the two-sided interval that both tests make up.
    """
    quantile = t_quantile((1 + level) / 2, df)
    half = _REACH / math.sqrt(2 * df)
    lowest, highest = max(0.0, 1 - half), 1 + half
    kink = min(max((below + above) / (2 * quantile), lowest), highest)  # a wider spread never passes
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    ends = np.array([[lowest, kink], [kink, highest]])
    middle, width = ends.mean(axis=1)[:, None], np.diff(ends) / 2
    ratio = np.maximum((middle + width * nodes).ravel(), 1e-300)
    log_density = (df - 1) * np.log(ratio) - df * (ratio - 1) * (ratio + 1) / 2
    mass = (width * weights).ravel() * np.exp(log_density - log_density.max())
    passing = ndtr(above - quantile * ratio) - ndtr(quantile * ratio - below)
    return min(1.0, float(mass @ np.maximum(passing, 0.0) / mass.sum()))


def _error(spreads: tuple[float, float], n: tuple[float, float]) -> tuple[float, float]:
    """Standard error of the difference, and Welch's degrees of freedom."""
    if min(n) < 2:
        raise InputError("a spread needs at least two units in each arm", place="n", remedy="Plan more units")
    variances = [spread**2 / units for spread, units in zip(spreads, n, strict=True)]
    total = sum(variances)
    df = 1 / sum((part / total) ** 2 / (units - 1) for part, units in zip(variances, n, strict=True))
    return math.sqrt(total), df
