"""Two shares given how many said yes in all: Fisher's exact test, its mid-p, and the conditional odds ratio.

Given the total of yes, the pilot arm's yes follow a hypergeometric law, or Fisher's noncentral one where the odds ratio
is not 1. It is summed in logarithms over all values that carry weight, so that no p value is ever 0.

Reference: Fisher 1935, JRSS 98:39; Lancaster 1961, JASA 56:223; Cornfield 1956, Proc. Third Berkeley Symposium 4:135.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaln, logsumexp

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import two_sided

TwoSided = Literal["as-probable", "doubled"]
"""Which tables count against the hypothesis: all no more probable than the observed one, or twice the smaller tail."""

_REACH = 40
"""Standard deviations beyond the observed value after which tables carry no weight."""

_FAR = 700.0
"""Logarithm beyond which an odds ratio is taken for 0 or infinite."""

_TIE = 1e-7
"""Tables whose probabilities differ by less than this share are equally probable."""


@dataclass(frozen=True, slots=True)
class FisherTest:
    """Logarithms of Fisher's p values; `mid` counts tables as extreme as the observed one by half."""

    log_p: float
    log_mid_p: float


def fisher_test(pilot: tuple[int, int], control: tuple[int, int], definition: TwoSided = "as-probable") -> FisherTest:
    """Two-sided exact test that both shares are equal.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.
        definition: What is as extreme as the observed table.
    """
    values, log_mass = hypergeometric(pilot, control)
    mass = log_mass - logsumexp(log_mass)
    observed = values == pilot[0]
    if len(values) == 1:
        return FisherTest(0.0, 0.0)
    if definition == "as-probable":
        reference = mass[observed][0]
        equal = np.abs(mass - reference) <= _TIE
        beyond = (mass < reference) & ~equal
        return FisherTest(_log_sum(mass, beyond | equal), _half(mass, beyond, equal))
    tails = [(side, _log_sum(mass, side | observed)) for side in (values < pilot[0], values > pilot[0])]
    beyond, smaller = min(tails, key=lambda tail: tail[1])
    return FisherTest(two_sided(smaller), two_sided(min(_half(mass, side, observed) for side, _ in tails)))


def conditional_odds_ratio(pilot: tuple[int, int], control: tuple[int, int]) -> float | None:
    """The odds ratio that makes the observed table most probable, given the total of yes.

    Returns:
        0 where it is, None where it is infinite or no table but the observed one is possible.
    """
    values, log_mass = hypergeometric(pilot, control)
    if pilot[0] == values[-1]:
        return None
    if pilot[0] == values[0]:
        return 0.0

    def excess(log_odds: float) -> float:
        tilted = log_mass + log_odds * (values - pilot[0])
        weights = np.exp(tilted - tilted.max())
        return float(weights @ (values - pilot[0]) / weights.sum())

    return math.exp(_rising_root(excess))


def exact_odds_interval(
    pilot: tuple[int, int], control: tuple[int, int], level: float = 0.95
) -> tuple[float, float | None]:
    """Exact conditional interval of the odds ratio: both one-sided tests at half the error. None is infinite.

    Reference: Cornfield 1956; as in R's `fisher.test`.
    """
    values, log_mass = hypergeometric(pilot, control)
    tail = math.log((1 - level) / 2)

    def log_tail(log_odds: float, side: IntArray) -> float:
        tilted = log_mass + log_odds * (values - pilot[0])
        return float(logsumexp(tilted[side]) - logsumexp(tilted))

    low, high = 0.0, None
    if pilot[0] > values[0]:
        at_least = np.flatnonzero(values >= pilot[0])
        low = math.exp(_rising_root(lambda t: log_tail(t, at_least) - tail))
    if pilot[0] < values[-1]:
        at_most = np.flatnonzero(values <= pilot[0])
        high = math.exp(_rising_root(lambda t: tail - log_tail(t, at_most)))
    return low, high


def hypergeometric(pilot: tuple[int, int], control: tuple[int, int]) -> tuple[IntArray, FloatArray]:
    """Possible yes of the pilot arm given the total, and the logarithms of their probabilities up to a constant.

    Values so far out that they carry no weight beside the observed one are left out.
    """
    (yes, n1), (rest, n0) = pilot, control
    total = yes + rest
    first, last = max(0, total - n0), min(n1, total)
    share = n1 / (n1 + n0)
    spread = math.sqrt(max(total * share * (1 - share) * (1 - total / (n1 + n0)), 0.25))
    centre = total * share
    reach = 2 * abs(yes - centre) + _REACH * (spread + 1)
    values = np.arange(max(first, math.floor(centre - reach)), min(last, math.ceil(centre + reach)) + 1)
    others = total - values
    log_mass = -sum(gammaln(part + 1.0) for part in (values, n1 - values, others, n0 - others))
    return values, np.asarray(log_mass - np.max(log_mass))


def _log_sum(mass: FloatArray, chosen: np.ndarray) -> float:
    return min(0.0, float(logsumexp(mass[chosen])))


def _half(mass: FloatArray, beyond: np.ndarray, equal: np.ndarray) -> float:
    weights = beyond + 0.5 * equal
    return min(0.0, float(logsumexp(mass[weights > 0], b=weights[weights > 0])))


def _rising_root(function: Callable[[float], float]) -> float:
    from scipy.optimize import brentq

    low, high, step = -1.0, 1.0, 2.0
    while function(low) > 0 and low > -_FAR:
        low, step = low - step, 2 * step
    step = 2.0
    while function(high) < 0 and high < _FAR:
        high, step = high + step, 2 * step
    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-14))
