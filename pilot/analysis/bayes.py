"""Posterior laws of a difference: of two shares (beta), and of two means (normal). Those of mean ratings are in `dirichlet`.

Beta posteriors are integrated numerically: the pieces of the integral end at quantiles of both laws, close together in
the tails, so that neither a steep nor a flat posterior loses digits.

Reference: Gelman et al. 2013, Bayesian Data Analysis, ch. 2 and 5; Spiegelhalter, Freedman and Parmar 1994, JRSS A 157:357.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
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
