"""Posterior laws of a difference: of two shares (beta), of two mean ratings (Dirichlet), of two means (normal).

Beta posteriors are integrated numerically: the pieces of the integral end at quantiles of both laws, close together in
the tails, so that neither a steep nor a flat posterior loses digits. Dirichlet posteriors have exact moments; their
quantiles come from seeded draws, and the error of these is given.

Reference: Gelman et al. 2013, Bayesian Data Analysis, ch. 2, 3 and 5; Spiegelhalter, Freedman and Parmar 1994, JRSS A 157:357.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betaincinv, ndtr

from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile

_TAILS = np.array([1e-15, 1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.15, 0.3])
_STEPS = np.concatenate([_TAILS, [0.5], 1 - _TAILS[::-1]])
"""Probabilities at whose quantiles the pieces of an integral end."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, slots=True)
class BetaDifference:
    """Pilot minus control, where each share follows its own beta law.

    Attributes:
        pilot: Parameters (a, b) of the pilot arm's law: a counts yes, b counts no. From 0.25 on all integrals are good to
            6 digits.
        control: Those of control's.
    """

    pilot: tuple[float, float]
    control: tuple[float, float]

    @property
    def mean(self) -> float:
        """Expected difference."""
        return self.pilot[0] / sum(self.pilot) - self.control[0] / sum(self.control)

    @property
    def sd(self) -> float:
        """Standard deviation of the difference."""
        return math.sqrt(sum(a * b / ((a + b) ** 2 * (a + b + 1)) for a, b in (self.pilot, self.control)))

    def above(self, threshold: float = 0.0) -> float:
        """The chance that the difference exceeds a threshold."""
        ends = betainc(*self.control, np.clip(_share_at(self.pilot, _STEPS) - threshold, 0, 1))
        kinks = betainc(*self.control, np.clip([-threshold, 1 - threshold], 0, 1))
        chance, weight = _pieces(np.concatenate([_STEPS, ends, kinks]))
        shares = _share_at(self.control, chance)
        return float(weight @ betaincc(*self.pilot, np.clip(shares + threshold, 0, 1)))

    def quantile(self, probability: float) -> float:
        """The difference that is not exceeded with this probability."""
        from scipy.optimize import brentq

        return float(brentq(lambda d: 1 - self.above(d) - probability, -1.0, 1.0, xtol=1e-10))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval with equal chances beyond either end."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def expected_loss(self) -> float:
        """Expected fall of the share if the pilot arm is chosen; a rise counts as 0.

        That of choosing control is this plus the expected difference.
        """
        ends = np.concatenate([_share_at(law, _STEPS) for law in (self.pilot, self.control)])
        share, weight = _pieces(ends)
        return float(weight @ (betainc(*self.pilot, share) * betaincc(*self.control, share)))


@dataclass(frozen=True, slots=True)
class NormalDifference:
    """A difference that follows a normal law."""

    mean: float
    sd: float

    def above(self, threshold: float = 0.0) -> float:
        """The chance that the difference exceeds a threshold."""
        return float(ndtr((self.mean - threshold) / self.sd))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval with equal chances beyond either end."""
        half = normal_quantile((1 + level) / 2) * self.sd
        return self.mean - half, self.mean + half

    def expected_loss(self) -> float:
        """Expected size of a fall; a rise counts as 0."""
        z = self.mean / self.sd
        return max(0.0, self.sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - self.mean * float(ndtr(-z)))


def normal_posterior(estimate: float, standard_error: float, prior_mean: float, prior_sd: float) -> NormalDifference:
    """What a normal prior and an estimate with known standard error say together: both, weighted by precision.

    Args:
        estimate: The observed difference.
        standard_error: Its standard error, above 0.
        prior_mean: Expected difference before the data; 0 is sceptical.
        prior_sd: Its standard deviation, above 0.
    """
    own, before = 1 / standard_error**2, 1 / prior_sd**2
    return NormalDifference((own * estimate + before * prior_mean) / (own + before), 1 / math.sqrt(own + before))


@dataclass(frozen=True, slots=True)
class DrawnDifference:
    """A difference of mean ratings: exact moments, and draws sorted from lowest to highest.

    Attributes:
        mean, sd: Exact.
        draws: Sorted.
    """

    mean: float
    sd: float
    draws: FloatArray

    def above(self, threshold: float = 0.0) -> float:
        """The share of draws beyond a threshold; ties count by half."""
        left, right = (np.searchsorted(self.draws, threshold, side=side) for side in ("left", "right"))
        return 1 - float(left + right) / (2 * len(self.draws))

    def chance_error(self, chance: float) -> float:
        """Monte Carlo standard error of a chance."""
        return math.sqrt(chance * (1 - chance) / len(self.draws))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval with equal chances beyond either end."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def limit_error(self, level: float = 0.95) -> float:
        """Monte Carlo standard error of the less certain limit, from how densely draws lie about it."""
        tail = (1 - level) / 2
        step = self.chance_error(tail)
        around = np.quantile(
            self.draws, np.clip([[tail - step, tail + step], [1 - tail - step, 1 - tail + step]], 0, 1)
        )
        return float(np.diff(around, axis=1).max() / 2)

    def expected_loss(self) -> float:
        """Expected size of a fall; a rise counts as 0."""
        return float(np.maximum(-self.draws, 0).mean())


def dirichlet_difference(
    counts: npt.ArrayLike, levels: npt.ArrayLike, prior: float = 1.0, *, draws: int = 100_000, seed: int = 1
) -> DrawnDifference:
    """The difference of mean ratings, where the shares of the levels follow a Dirichlet law in each arm.

    Arms take turns with two streams of random numbers: swapping them mirrors the draws exactly.

    Args:
        counts: Answers by (arm, level), control first.
        levels: Values of the levels.
        prior: Answers that the prior is worth in each arm, spread evenly over the levels; above 0.
        draws: Draws from the posterior, in all.
        seed: Of the random numbers.
    """
    table, values = np.asarray(counts, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    centre = float(values.mean())
    laws = table + prior / len(values)
    means, variances = zip(*(_moments(law, values - centre) for law in laws), strict=True)
    half = (draws + 1) // 2
    streams = [[_drawn(law, values - centre, half, (seed, stream)) for stream in (0, 1)] for law in laws]
    (control0, control1), (pilot0, pilot1) = streams
    found = np.sort(np.concatenate([pilot1 - control0, pilot0 - control1]))
    return DrawnDifference(means[1] - means[0], math.sqrt(sum(variances)), found)


def _moments(law: FloatArray, values: FloatArray) -> tuple[float, float]:
    share = law / law.sum()
    mean = float(share @ values)
    return mean, float(share @ (values - mean) ** 2) / (float(law.sum()) + 1)


def _drawn(law: FloatArray, values: FloatArray, draws: int, seed: tuple[int, int]) -> FloatArray:
    weights = np.random.default_rng(seed).standard_gamma(law, size=(draws, len(law)))
    return np.asarray(weights @ values / weights.sum(axis=1))


def _share_at(law: tuple[float, float], chance: FloatArray) -> FloatArray:
    """The share not exceeded with a chance. scipy's inverse fails at some chances near 0, whose weight is nothing."""
    found = np.asarray(betaincinv(*law, chance))
    found[np.isnan(found) & (chance < 1e-9)] = 0.0
    return found


def _pieces(ends: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of an integral from 0 to 1 that is smooth between these ends."""
    cuts = np.unique(np.concatenate([[0.0], np.clip(ends, 0, 1), [1.0]]))
    middle, half = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts) / 2
    return (middle[:, None] + half[:, None] * _NODES).ravel(), (half[:, None] * _WEIGHTS).ravel()
