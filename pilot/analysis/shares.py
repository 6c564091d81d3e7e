"""Two shares: Wilson's interval for each, Newcombe's for their difference."""

from __future__ import annotations

import math

from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError


def wilson(yes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of one share.

    Reference: Wilson 1927, JASA 22:209; as method 3 in Newcombe 1998, Statistics in Medicine 17:857.

    Raises:
        InputError: There is no unit, or more yes than units.
    """
    if not 0 <= yes <= n or n == 0:
        raise InputError(f"{yes} yes of {n} is no share")
    z2 = normal_quantile((1 + level) / 2) ** 2
    centre = (yes + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (yes * (n - yes) / n + z2 / 4)) / (n + z2)
    return (0.0 if yes == 0 else centre - half), (1.0 if yes == n else centre + half)


def newcombe(pilot: tuple[int, int], control: tuple[int, int], level: float = 0.95) -> tuple[float, float]:
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


def score_z(pilot: tuple[int, int], control: tuple[int, int]) -> float:
    """Difference of two shares in standard errors under no difference; its square is Pearson's chi-square.

    0 where nobody, or everybody, said yes.
    """
    (yes1, n1), (yes0, n0) = pilot, control
    share = (yes1 + yes0) / (n1 + n0)
    variance = share * (1 - share) * (1 / n1 + 1 / n0)
    return (yes1 / n1 - yes0 / n0) / math.sqrt(variance) if variance > 0 else 0.0
