"""The chance that a posterior will be clear enough, for one assumed truth: planning of the Bayesian analyses.

The truth is fixed, as for the power of a test; it is not averaged over a prior. Clear enough means that the chance of being
better, or of not being worse by a margin, reaches the wanted one: then the credible interval lies on the better side.

Reference: Spiegelhalter, Abrams and Myles 2004, Bayesian Approaches to Clinical Trials, ch. 6.5 (hybrid predictions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy.special import bdtr, bdtrc, betaincc, betaincinv, betaln, expit, gammaln, log_expit, logit, ndtr

from pilot.analysis.bayes import normal_posterior
from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

MOST_COUNTED = 20_000
"""Answers per arm up to which all tables are counted, where that is cheap or needed."""

NORMAL_FROM = 250.0
"""Binomial variance of the number of yes from which on, in both arms, the normal law is good to 2 percentage points."""

_CUT, _TINY, _STRIDE = 1e-9, 1e-300, 8
_PLACES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A posterior before the data are there, by the normal law.

    Attributes:
        mean: Where its mean is expected.
        sd: Its standard deviation.
        sampling_sd: How much its mean varies from sample to sample.
    """

    mean: float
    sd: float
    sampling_sd: float

    def minus(self, other: Foreseen) -> Foreseen:
        """The difference of two independent ones."""
        return Foreseen(
            self.mean - other.mean, math.hypot(self.sd, other.sd), math.hypot(self.sampling_sd, other.sampling_sd)
        )

    def chance_to_reach(self, wanted: float, margin: float = 0.0) -> float:
        """The chance that the posterior gives at least the `wanted` one to a value above minus `margin`."""
        return float(ndtr((self.mean + margin - normal_quantile(wanted) * self.sd) / self.sampling_sd))


def foreseen_normal(effect: float, standard_error: float, prior_mean: float, prior_sd: float) -> Foreseen:
    """The posterior of a difference with a normal prior. With the standard error known it is exact.

    Args:
        effect: The true difference.
        standard_error: Of the observed difference.
        prior_mean: Expectation before the data.
        prior_sd: Standard deviation before the data.
    """
    law = normal_posterior(effect, standard_error, prior_mean, prior_sd)
    return Foreseen(law.mean, law.sd, law.sd**2 / standard_error)


def foreseen_mean(truth: tuple[float, float], n: float, worth: float, prior: tuple[float, float]) -> Foreseen:
    """The posterior of a mean of levels with a Dirichlet prior, or of a share with a beta prior.

    Args:
        truth: True mean and standard deviation of the answers.
        n: Answers.
        worth: Answers that the prior is worth.
        prior: Mean and standard deviation of the levels under the prior.
    """
    both = n + worth
    mean = (n * truth[0] + worth * prior[0]) / both
    within = n * truth[1] ** 2 + worth * prior[1] ** 2 + n * worth / both * (truth[0] - prior[0]) ** 2
    return Foreseen(mean, math.sqrt(within / both / (both + 1)), math.sqrt(n) * truth[1] / both)


def is_counted(truth: tuple[float, float], n: tuple[float, float]) -> bool:
    """Whether the chance is found by counting all tables, instead of by the normal law.

    Args:
        truth: True shares of control and of the pilot arm.
        n: Their answers.
    """
    rare = min(units * share * (1 - share) for share, units in zip(truth, n, strict=True)) < NORMAL_FROM
    return rare and max(n) <= MOST_COUNTED


def counted_chance(
    truth: tuple[float, float], n: tuple[int, int], prior: tuple[float, float], wanted: float, margin: float = 0.0
) -> float:
    """The chance that beta posteriors give at least the `wanted` one to a difference above minus `margin`.

    Counted over all tables of yes and no, but for those of control whose tails have a chance below 1e-9.

    Args:
        truth: True shares of control and of the pilot arm.
        n: Answers of control and of the pilot arm.
        prior: Yes and no answers that the prior is worth, in each arm.
        wanted: The chance that is enough.
        margin: How much worse is acceptable.
    """
    counts = np.arange(n[0] + 1)
    within = counts[(bdtr(counts, n[0], truth[0]) > _CUT) & (bdtrc(counts - 1, n[0], truth[0]) > _CUT)]
    least = _least_yes(int(within[0]), int(within[-1]), n, prior, wanted, margin)
    chance = np.exp(
        gammaln(n[0] + 1)
        - gammaln(within + 1)
        - gammaln(n[0] - within + 1)
        + within * math.log(truth[0])
        + (n[0] - within) * math.log1p(-truth[0])
    )
    return float(chance @ np.where(least > 0, bdtrc(np.maximum(least - 1, 0), n[1], truth[1]), 1.0))


@lru_cache(maxsize=32)
def _least_yes(
    first: int, last: int, n: tuple[int, int], prior: tuple[float, float], wanted: float, margin: float
) -> FloatArray:
    """How many yes the pilot arm needs, by control's from `first` to `last`; one more than its answers if none do."""
    yes = np.arange(first, last + 1, dtype=np.float64)[:, None]
    shares, weights = _nodes(yes + prior[0], n[0] - yes + prior[1])
    edges = np.clip(shares - margin, 0.0, 1.0)
    rows = np.arange(len(yes))
    every = np.unique(np.append(rows[::_STRIDE], rows[-1]))
    search = partial(_searched, n=n[1], prior=prior, wanted=wanted)
    some = search(edges[every], weights[every], np.zeros(len(every)), np.full(len(every), n[1] + 1.0))
    after = np.searchsorted(every, rows)  # it never falls where control has more yes, so neighbours bound it
    return search(edges, weights, some[np.searchsorted(every, rows, side="right") - 1], some[after])


def _searched(
    edges: FloatArray,
    weights: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    n: int,
    prior: tuple[float, float],
    wanted: float,
) -> FloatArray:
    """The fewest yes of `n`, from `low` to `high` by row, with which enough of the weight lies above its edge."""
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        own = middle[:, None]
        above = (weights * betaincc(own + prior[0], np.maximum(n - own, 0.0) + prior[1], edges)).sum(axis=1)
        enough = above >= wanted
        low, high = np.where(enough | (low >= high), low, middle + 1), np.where(enough, middle, high)
    return low


def _nodes(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shares and weights of integrals over beta laws, one a row, over log odds: there each law is smooth."""
    low = logit(np.maximum(betaincinv(a, b, _CUT), _TINY))
    high = -logit(np.maximum(betaincinv(b, a, _CUT), _TINY))
    odds = (low + high) / 2 + (high - low) / 2 * _PLACES
    weight = np.exp(a * log_expit(odds) + b * log_expit(-odds) - betaln(a, b)) * _WEIGHTS
    return np.asarray(expit(odds)), np.asarray(weight / weight.sum(axis=1, keepdims=True))


def smallest_total(enough: Callable[[int], bool], start: int) -> int:
    """A number of answers that is enough while one fewer is not, found from a start nearby."""
    step = max(start // 32, 1)
    low, high = 1, start
    if enough(start):
        while high > 2 and enough(max(high - step, 2)):
            high, step = max(high - step, 2), 2 * step
        low = max(high - step, 1)
    else:
        while not enough(high + step):
            high, step = high + step, 2 * step
        low, high = high, high + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def inside_scale(mean: float, levels: tuple[float, ...]) -> None:
    """Refuse a mean that no answers can have.

    Raises:
        InputError: It does not lie between the ends of the scale.
    """
    if not levels[0] < mean < levels[-1]:
        raise InputError(f"a mean of {mean:g} is not between {levels[0]:g} and {levels[-1]:g}", place="effect")
