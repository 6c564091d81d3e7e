"""Two shares: intervals for each, and for their difference.

Reference: Newcombe 1998, Statistics in Medicine 17:857 and 17:873; Agresti and Caffo 2000, The American Statistician 54:280.
"""

from __future__ import annotations

import math

from scipy.special import betaincinv

from pilot.analysis.scores import difference_interval
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

YesOf = tuple[int, int]
"""Units with a yes, and all units, of one arm."""


def wilson(yes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of one share.

    Reference: Wilson 1927, JASA 22:209; as method 3 in Newcombe 1998, Statistics in Medicine 17:857.

    Raises:
        InputError: There is no unit, or more yes than units.
    """
    _check(yes, n)
    z2 = normal_quantile((1 + level) / 2) ** 2
    centre = (yes + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (yes * (n - yes) / n + z2 / 4)) / (n + z2)
    return (0.0 if yes == 0 else centre - half), (1.0 if yes == n else centre + half)


def clopper_pearson(yes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of one share: it covers the true one at least as often as it says, mostly more often.

    Reference: Clopper and Pearson 1934, Biometrika 26:404.

    Raises:
        InputError: There is no unit, or more yes than units.
    """
    _check(yes, n)
    tail = (1 - level) / 2
    low = 0.0 if yes == 0 else float(betaincinv(yes, n - yes + 1, tail))
    high = 1.0 if yes == n else 1 - float(betaincinv(n - yes, yes + 1, tail))
    return low, high


def newcombe(pilot: YesOf, control: YesOf, level: float = 0.95) -> tuple[float, float]:
    """Hybrid score interval of a difference of shares, pilot minus control, without continuity correction.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.
        level: Two-sided confidence level.

    Reference: Newcombe 1998, Statistics in Medicine 17:873, method 10.

    Raises:
        InputError: An arm has no unit, or more yes than units.
    """
    (low1, high1), (low0, high0) = wilson(*pilot, level), wilson(*control, level)
    p1, p0 = pilot[0] / pilot[1], control[0] / control[1]
    low = p1 - p0 - math.hypot(p1 - low1, high0 - p0)
    high = p1 - p0 + math.hypot(high1 - p1, p0 - low0)
    return low, high


def miettinen_nurminen(pilot: YesOf, control: YesOf, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a difference of shares, pilot minus control.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.
        level: Two-sided confidence level.

    Reference: Miettinen and Nurminen 1985, Statistics in Medicine 4:213.

    Raises:
        InputError: An arm has no unit, or more yes than units.
    """
    _check(*pilot)
    _check(*control)
    return difference_interval((control[0], pilot[0]), (control[1], pilot[1]), level)


def agresti_caffo(pilot: YesOf, control: YesOf, level: float = 0.95) -> tuple[float, float]:
    """Normal interval of a difference of shares after one yes and one no are added to each arm, within -1 and 1.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.
        level: Two-sided confidence level.

    Reference: Agresti and Caffo 2000, The American Statistician 54:280.

    Raises:
        InputError: An arm has no unit, or more yes than units.
    """
    _check(*pilot)
    _check(*control)
    p1, p0 = ((yes + 1) / (n + 2) for yes, n in (pilot, control))
    error = math.sqrt(p1 * (1 - p1) / (pilot[1] + 2) + p0 * (1 - p0) / (control[1] + 2))
    half = normal_quantile((1 + level) / 2) * error
    return max(-1.0, p1 - p0 - half), min(1.0, p1 - p0 + half)


def score_z(pilot: YesOf, control: YesOf) -> float:
    """Difference of two shares in standard errors under no difference; its square is Pearson's chi-square.

    0 where nobody, or everybody, said yes.
    """
    (yes1, n1), (yes0, n0) = pilot, control
    share = (yes1 + yes0) / (n1 + n0)
    variance = share * (1 - share) * (1 / n1 + 1 / n0)
    return (yes1 / n1 - yes0 / n0) / math.sqrt(variance) if variance > 0 else 0.0


def _check(yes: int, n: int) -> None:
    if not 0 <= yes <= n or n == 0:
        raise InputError(f"{yes} yes of {n} is no share")
