"""What a trial says that was looked at more than once: after it stopped, and at every look.

Reference: Jennison and Turnbull 2000, Group Sequential Methods, chapters 8 and 9; Tsiatis, Rosner and Mehta 1984,
Biometrics 40:797.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.special import ndtri_exp

from pilot.analysis.sequential import FARTHEST, Bounds, Spending, root, spending_bounds, states
from pilot.analysis.tails import log_t_upper
from pilot.errors import InputError

_LEAST = math.log(1e-100)
"""Logarithm of the smallest error for which bounds are looked for."""


@dataclass(frozen=True, slots=True)
class StoppedTrial:
    """What a trial says in which bounds were looked at until it ended, in the stagewise ordering of results.

    Earlier crossing counts as more extreme than any later result. Without earlier looks it is the plain t test.

    Attributes:
        p_value: Of no effect, on as many sides as the bounds have.
        estimate: Median-unbiased: as likely too large as too small.
        low, high: Interval.
    """

    p_value: float
    estimate: float
    low: float
    high: float


def stopped_trial(
    bounds: Bounds,
    look: int,
    estimate: float,
    standard_error: float,
    *,
    df: float = math.inf,
    level: float = 0.95,
) -> StoppedTrial:
    """Inference after the last look that was taken, whether a bound was crossed there or not.

    Args:
        bounds: The looks that were taken, and perhaps later ones.
        look: Number of the last one taken, from 1.
        estimate: The effect found at it.
        standard_error: Of the estimate.
        df: Degrees of freedom of the standard error; the t statistic counts as the normal one with the same tail.
        level: Two-sided confidence level.

    Raises:
        InputError: There is no such look.

    Reference: Tsiatis, Rosner and Mehta 1984, Biometrics 40:797; Jennison and Turnbull 2000, chapter 8.
    """
    if not 1 <= look <= len(bounds.information):
        raise InputError(f"there is no look {look}", place="look", remedy=f"Looks: 1 to {len(bounds.information)}")
    taken = Bounds(bounds.information[:look], bounds.upper[:look], bounds.sides)
    reached = math.sqrt(taken.information[-1])

    def upper_tail(effect: float) -> float:
        pivot = normal_score((estimate - effect) / standard_error, df)
        drift = effect / standard_error / reached
        return _stagewise(taken, pivot + drift * reached, drift)

    def limit(tail: float) -> float:
        return _bracketed(lambda effect: upper_tail(effect) - tail, estimate, standard_error)

    score = normal_score(estimate / standard_error, df)
    p = _stagewise(taken, score, 0.0) if bounds.sides == 1 else min(1.0, 2 * _stagewise(taken, abs(score), 0.0))
    return StoppedTrial(p, limit(0.5), limit((1 - level) / 2), limit((1 + level) / 2))


def repeated_p(
    kind: Spending,
    shares: Sequence[float],
    z: float,
    sides: int = 2,
    information: Sequence[float] | None = None,
) -> float:
    """The smallest error of a whole design at which `z` crosses the bound of the last of these looks.

    It holds at every look, whether the trial stops there or not.

    Args:
        kind: How the error is spent.
        shares: Share of the planned information at each look so far.
        z: Standardised effect at the last of them.
        sides: 1 or 2.
        information: As for `spending_bounds`.

    Raises:
        InputError: A number is out of its range.

    Reference: Jennison and Turnbull 2000, 9.2.
    """
    reached, most = (abs(z) if sides == 2 else z), math.log(0.499 * sides)

    def excess(log_error: float) -> float:
        return reached - spending_bounds(kind, shares, math.exp(log_error), sides, information).upper[-1]

    if excess(most) <= 0:
        return 1.0
    if excess(_LEAST) >= 0:
        return math.exp(_LEAST)
    return math.exp(root(excess, _LEAST, most))


def normal_score(t: float, df: float) -> float:
    """The standard normal value whose tail is that of a t value; at most 37 away from 0."""
    if math.isinf(df):
        return max(-FARTHEST, min(FARTHEST, t))
    return math.copysign(min(FARTHEST, -float(ndtri_exp(log_t_upper(abs(t), df)))), t)


def _stagewise(bounds: Bounds, z: float, drift: float) -> float:
    """The chance of a result at least as far up as `z` at the last of these looks."""
    above = below = 0.0
    last = len(bounds.information) - 1
    for look, state in enumerate(states(bounds, drift)):
        if look == last:
            return above + state.above(z) if z > 0 else 1 - below - state.below(z)
        above += state.above(bounds.upper[look])
        below += state.below(-bounds.upper[look]) if bounds.sides == 2 else 0.0
    raise AssertionError("a design has a last look")


def _bracketed(function: Callable[[float], float], centre: float, scale: float) -> float:
    low, high = centre - scale, centre + scale
    while function(low) > 0:
        low -= scale
        scale *= 2
    while function(high) < 0:
        high += scale
        scale *= 2
    return root(function, low, high)
