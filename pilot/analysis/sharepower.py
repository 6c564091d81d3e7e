"""Power of tests of two shares: the score test against no difference or a margin, and Fisher's exact test."""

from __future__ import annotations

import math

from pilot.analysis.scores import restricted_shares
from pilot.analysis.tails import log_normal_upper, normal_quantile
from pilot.errors import InputError


def score_power(
    control: float, effect: float, n: tuple[float, float], level: float, margin: float | None = None
) -> float:
    """The chance that the score test shows a difference, or rules out a worsening by the margin.

    The variance under the hypothesis is that of the expected shares at their restricted maximum likelihood.

    Args:
        control: Share of yes expected in control.
        effect: True difference of shares; with a margin, positive is better.
        n: Units of control and of the pilot arm; fractions are allowed.
        level: Confidence level of the two-sided interval; with a margin one of its limits is used.
        margin: How much worse is acceptable, as a positive number; None to show a difference.

    Reference: Farrington and Manning 1990, Statistics in Medicine 9:1447, method 3.

    Raises:
        InputError: A share is not between 0 and 1.
    """
    pilot = control + effect
    check_shares(control, pilot)
    edge = 0.0 if margin is None else -margin
    null = restricted_shares((control * n[0], pilot * n[1]), n, edge)
    error = math.sqrt(sum(share * (1 - share) / units for share, units in zip((control, pilot), n, strict=True)))
    wide = math.sqrt(sum(float(share * (1 - share)) / units for share, units in zip(null, n, strict=True)))
    needed = normal_quantile((1 + level) / 2) * wide
    distance = effect - edge
    power = _above((needed - distance) / error)
    return power if margin is not None else power + _above((needed + distance) / error)


def fisher_power(control: float, effect: float, n: tuple[float, float], level: float) -> float:
    """The chance that Fisher's exact test shows a difference, to a good approximation.

    It is that of the score test with as many units fewer as the continuity correction costs.

    Reference: Casagrande, Pike and Smith 1978, Biometrics 34:483; Fleiss, Tytun and Ury 1980, Biometrics 36:343.

    Raises:
        InputError: A share is not between 0 and 1.
    """
    check_shares(control, control + effect)
    ratio = n[1] / n[0]
    cost = (ratio + 1) / (ratio * max(abs(effect), 1e-12))
    left = n[0] - cost + cost**2 / (4 * n[0])
    if cost >= 2 * n[0] or left <= 0:
        return 0.0
    return score_power(control, effect, (left, left * ratio), level)


def check_shares(control: float, pilot: float) -> None:
    """Refuse expected shares that leave no spread.

    Raises:
        InputError: A share is not between 0 and 1.
    """
    for share in (control, pilot):
        if not 0 < share < 1:
            raise InputError(f"an expected share of {share:g} is not between 0 and 1", place="mean")


def _above(z: float) -> float:
    return math.exp(log_normal_upper(z))
