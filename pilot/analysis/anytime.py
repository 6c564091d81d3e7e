"""Intervals and p values that stay valid however often, and whenever, the results are looked at.

Both methods average the likelihood ratio against no difference over normally distributed effects, and differ in how
wide that mixture is: a spread of the effects that is fixed beforehand (the mixture sequential probability ratio test),
or one that follows the data so that the interval is narrowest at a planned number of units (asymptotic confidence
sequences).

Reference: Robbins 1970, Annals of Mathematical Statistics 41:1397; Johari, Koomen, Pekelis and Walsh 2017, KDD;
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics 52:2613.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import lambertw


@dataclass(frozen=True, slots=True)
class AlwaysValid:
    """What a normal mixture says of an effect at one look among any number of looks.

    Attributes:
        estimate: The effect.
        standard_error: Of the estimate, above 0.
        ratio: Variance of the mixture over that of the estimate, above 0.
    """

    estimate: float
    standard_error: float
    ratio: float

    @property
    def log_likelihood_ratio(self) -> float:
        """Logarithm of the average likelihood ratio against no effect."""
        z = self.estimate / self.standard_error
        return z * z * self.ratio / (2 * (1 + self.ratio)) - math.log1p(self.ratio) / 2

    @property
    def log_p(self) -> float:
        """Logarithm of the p value of no effect: the chance that it is ever below 5 % is at most 5 %."""
        return min(0.0, -self.log_likelihood_ratio)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval; the chance that it ever misses the true effect is at most `1 - level`."""
        half = self.bound(level) * self.standard_error
        return self.estimate - half, self.estimate + half

    def bound(self, level: float = 0.95) -> float:
        """How many standard errors the estimate must lie off no effect."""
        inside = math.log1p(self.ratio) - 2 * math.log1p(-level)
        return math.sqrt((1 + self.ratio) / self.ratio * inside)


def mixture_test(estimate: float, standard_error: float, spread: float) -> AlwaysValid:
    """The mixture sequential probability ratio test.

    Args:
        estimate: The effect.
        standard_error: Of the estimate, above 0.
        spread: Standard deviation of the effects that are averaged over, fixed beforehand: about the size to be found.
    """
    return AlwaysValid(estimate, standard_error, (spread / standard_error) ** 2)


def confidence_sequence(
    estimate: float, standard_error: float, units: float, narrowest: float, level: float = 0.95
) -> AlwaysValid:
    """The asymptotic confidence sequence that is narrowest, in standard errors, at a planned number of units.

    Args:
        estimate: The effect.
        standard_error: Of the estimate, above 0.
        units: Units so far.
        narrowest: Units at which the interval shall be narrowest.
        level: Its level.
    """
    return AlwaysValid(estimate, standard_error, units / narrowest * _best_ratio(level))


def _best_ratio(level: float) -> float:
    """The mixture ratio with the smallest bound: the root of `r = log(1 + r) - 2 log(alpha)`."""
    alpha = 1 - level
    return -float(lambertw(-(alpha**2) / math.e, -1).real) - 1
