"""How likely each verdict of the decision rule is, before a pilot starts.

The rule: roll out where satisfaction is shown not to be worse by the margin or more *and* cost is shown to be lower; do
not where satisfaction is shown to be worse by more than the margin, *or* cost to be higher; otherwise inconclusive.
"Shown" is a limit of a two-sided interval.

Each single chance is exact for normal values (noncentral t). Two of them together are joined by the normal law of
the two estimates, whose correlation is that of the customers' own values, thinned where not all of them answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from pilot.analysis.noncentral import noncentral_t
from pilot.analysis.sizing import smallest_size
from pilot.analysis.tails import t_quantile
from pilot.errors import InputError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


@dataclass(frozen=True, slots=True)
class ExpectedOutcome:
    """What is expected of one outcome.

    Attributes:
        effect: The true difference, pilot minus control.
        sd: Standard deviation in control, and in the pilot arm unless `sd_pilot` says otherwise.
        n: Units of control and of the pilot arm that are analysed.
        sd_pilot: Standard deviation in the pilot arm.
    """

    effect: float
    sd: float
    n: tuple[float, float]
    sd_pilot: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be expected.

        Raises:
            InputError: The effect is not finite, a spread is not above 0, or an arm has not two units, or no finite number.
        """
        if not math.isfinite(self.effect):
            raise InputError(f"an effect of {self.effect:g} cannot be expected", place="effect", remedy="Give a number")
        if not all(0 < spread < math.inf for spread in self.spreads):
            raise InputError("a spread is above 0", place="sd")
        if not all(2 <= units < math.inf for units in self.n):
            raise InputError("a spread needs at least two units in each arm", place="n", remedy="Plan more units")

    @property
    def spreads(self) -> tuple[float, float]:
        """Standard deviations of control and of the pilot arm."""
        return self.sd, self.sd if self.sd_pilot is None else self.sd_pilot

    @property
    def variances(self) -> tuple[float, float]:
        """Variances of the two means."""
        control, pilot = (spread**2 / units for spread, units in zip(self.spreads, self.n, strict=True))
        return control, pilot

    def above(self, threshold: float, level: float) -> float:
        """The chance that the whole interval lies above a threshold."""
        variances = self.variances
        error = math.sqrt(sum(variances))
        df = error**4 / sum(part**2 / (units - 1) for part, units in zip(variances, self.n, strict=True))
        return noncentral_t(-t_quantile((1 + level) / 2, df), df, -(self.effect - threshold) / error)

    def mirrored(self) -> ExpectedOutcome:
        """The same with the opposite sign."""
        return replace(self, effect=-self.effect)


@dataclass(frozen=True, slots=True)
class VerdictChances:
    """Chances of the three verdicts; they sum to 1."""

    roll_out: float
    do_not: float
    inconclusive: float

    def __str__(self) -> str:
        """The chances in words."""
        chances = (f"{100 * chance:.0f} %" for chance in (self.roll_out, self.do_not, self.inconclusive))
        return "roll out {}, do not {}, inconclusive {}".format(*chances)


def verdict_chances(
    satisfaction: ExpectedOutcome,
    cost: ExpectedOutcome,
    margin: float,
    *,
    correlation: float = 0.0,
    level: float = 0.95,
) -> VerdictChances:
    """How likely each verdict is, if what is expected is true.

    Args:
        satisfaction: The outcome that must not get worse; more is better.
        cost: The outcome that must get lower.
        margin: How much worse satisfaction may be: a positive number.
        correlation: Of satisfaction and cost among the customers of an arm.
        level: Two-sided level of the intervals whose limits count.

    Raises:
        InputError: The margin, the correlation or the level is out of its range.
    """
    _check(margin, correlation, level)
    shared = _correlation(satisfaction, cost, correlation)
    kept, worse = satisfaction.above(-margin, level), satisfaction.mirrored().above(margin, level)
    cheaper, dearer = cost.mirrored().above(0.0, level), cost.above(0.0, level)
    roll_out = _both(kept, cheaper, -shared)
    do_not = worse + dearer - _both(worse, dearer, -shared)
    return VerdictChances(roll_out, do_not, max(0.0, 1 - roll_out - do_not))


def size_to_roll_out(
    satisfaction: ExpectedOutcome,
    cost: ExpectedOutcome,
    margin: float,
    *,
    chance: float = 0.8,
    correlation: float = 0.0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Units of control and of the pilot arm with a satisfaction value, unrounded, at which roll-out has this chance.

    The arms keep the proportions of `satisfaction.n`, and cost is known of as many more customers as in `cost.n`.

    Raises:
        InputError: As for `verdict_chances`; or no number of units is enough.
    """
    known = [more / fewer for more, fewer in zip(cost.n, satisfaction.n, strict=True)]

    def chance_at(n: tuple[float, float]) -> float:
        costed = (n[0] * known[0], n[1] * known[1])
        return verdict_chances(
            replace(satisfaction, n=n), replace(cost, n=costed), margin, correlation=correlation, level=level
        ).roll_out

    share = satisfaction.n[1] / sum(satisfaction.n)
    return smallest_size(chance_at, share, chance, place="chance")


def both_below(first: float, second: float, correlation: float) -> float:
    """The chance that two standard normal variables lie below two values, by Plackett's integral.

    Args:
        first: Upper limit of the first variable.
        second: That of the second.
        correlation: Of the two, from -1 to 1.

    Reference: Plackett 1954, Biometrika 41:351; Drezner and Wesolowsky 1990, J. Statist. Comput. Simul. 35:101.
    """
    if correlation >= 1:
        return float(ndtr(min(first, second)))
    if correlation <= -1:
        return max(0.0, float(ndtr(first) - ndtr(-second)))
    if math.isinf(first) or math.isinf(second):
        return float(ndtr(first) * ndtr(second))
    half = math.asin(correlation) / 2
    angle = half * (1 + _NODES)
    exponent = (first**2 + second**2 - 2 * first * second * np.sin(angle)) / (2 * np.cos(angle) ** 2)
    return float(ndtr(first) * ndtr(second) + half * (_WEIGHTS @ np.exp(-exponent)) / (2 * math.pi))


def _both(first: float, second: float, correlation: float) -> float:
    """The chance of two successes with these chances, whose estimates are correlated."""
    joint = both_below(float(ndtri(first)), float(ndtri(second)), correlation)
    return min(first, second, max(0.0, first + second - 1, joint))


def _correlation(satisfaction: ExpectedOutcome, cost: ExpectedOutcome, correlation: float) -> float:
    """Correlation of the two estimates: whoever has both values, the smaller number, contributes to both."""
    arms = zip(satisfaction.spreads, cost.spreads, satisfaction.n, cost.n, strict=True)
    shared = sum(first * second * min(n, m) / (n * m) for first, second, n, m in arms)
    return correlation * shared / math.sqrt(sum(satisfaction.variances) * sum(cost.variances))


def _check(margin: float, correlation: float, level: float) -> None:
    checks: tuple[tuple[str, float, Callable[[float], bool], str], ...] = (
        ("margin", margin, lambda value: 0 < value < math.inf, "It is a positive number"),
        ("correlation", correlation, lambda value: -1 <= value <= 1, "It lies between -1 and 1"),
        ("level", level, lambda value: 0.5 < value < 1, "It lies between 0.5 and 1, mostly at 0.95"),
    )
    for name, value, holds, remedy in checks:
        if not holds(value):
            raise InputError(f"{value:g} is no {name}", place=name, remedy=remedy)
