"""Two arms compared by rank, from counts: win probability, its spread with and without a difference, and its tests.

The win probability is the chance that a customer of the pilot arm has a higher value than one of control, ties split
evenly. All functions take counts by (arm, stratum, level), control first, levels ascending; amounts of money become
counts of their distinct values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import log_normal_upper, log_t_upper, normal_quantile, t_quantile, two_sided

Form = Literal["t", "logit"]
"""On which scale an interval of a win probability is symmetric: its own, or that of the log odds."""

_EDGE = 1e-12


@dataclass(frozen=True, eq=False)
class Ranks:
    """What ranks tell of two arms inside each stratum. Arrays are by stratum, or by (arm, stratum), control first.

    Attributes:
        n: Units.
        wins, ties, losses: Pairs of a pilot unit with a control unit in which the pilot one is higher, equal, lower.
        m2: Centred sums of squares of the placements: of each unit's share of wins against the other arm.
        null_variance: Of the win probability where the arms do not differ, given the ties.
    """

    n: FloatArray
    wins: FloatArray
    ties: FloatArray
    losses: FloatArray
    m2: FloatArray
    null_variance: FloatArray

    @property
    def pairs(self) -> FloatArray:
        """Pairs of a pilot unit with a control unit."""
        return np.asarray(self.n[0] * self.n[1])

    @property
    def win_probability(self) -> FloatArray:
        """Wins and half of the ties as a share of the pairs; one half where there is no pair."""
        pairs = self.pairs
        return np.where(pairs > 0, (self.wins + self.ties / 2) / np.maximum(pairs, 1), 0.5)

    @property
    def weights(self) -> FloatArray:
        """Van Elteren's locally best weights of the strata, `n1 n0 / (n1 + n0 + 1)`; 0 where an arm is empty."""
        return np.asarray(self.pairs / (self.n.sum(axis=0) + 1))

    @classmethod
    def joined(cls, parts: Sequence[Ranks]) -> Ranks:
        """The strata of all parts."""
        names = ("n", "wins", "ties", "losses", "m2", "null_variance")
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names))


@dataclass(frozen=True, slots=True)
class WinProbability:
    """A win probability, over strata if there are any, with its uncertainty.

    Attributes:
        estimate: The win probability.
        standard_error: From the spread of the placements; 0 where in every stratum one arm is wholly above the other.
        df: Satterthwaite's degrees of freedom.
        null_error: Standard error where the arms do not differ, given the ties.
        widest_error: The same without ties: the largest it can be.
        units: Units of both arms together, of the strata that have both.
    """

    estimate: float
    standard_error: float
    df: float
    null_error: float
    widest_error: float
    units: int

    @property
    def separated(self) -> bool:
        """Whether no placement varies, so that the standard error tells nothing."""
        return self.standard_error == 0

    @property
    def z(self) -> float:
        """Distance from one half in standard errors where the arms do not differ: the Mann-Whitney or van Elteren z."""
        return (self.estimate - 0.5) / self.null_error

    def log_p_ranks(self, continuity: float = 0.0) -> float:
        """Logarithm of the two-sided p value of that z, by the normal law.

        Args:
            continuity: How far the win probability is moved towards one half before.
        """
        gap = max(abs(self.estimate - 0.5) - continuity, 0.0)
        return two_sided(log_normal_upper(gap / self.null_error))

    def t(self, form: Form = "t") -> float:
        """Distance from one half in standard errors, on the scale of `form`; undefined under separation."""
        if form == "t":
            return (self.estimate - 0.5) / self.standard_error
        return _logit(self.estimate) / self._logit_error

    def log_p(self, form: Form = "t") -> float:
        """Logarithm of the two-sided p value of that distance, by the t law; undefined under separation."""
        return two_sided(log_t_upper(abs(self.t(form)), self.df))

    def interval(self, level: float = 0.95, form: Form = "t") -> tuple[float, float]:
        """The two-sided confidence interval, inside 0 to 1; under separation that of `separation_interval`."""
        if self.separated or not 0 < self.estimate < 1:
            return self.separation_interval(level)
        quantile = t_quantile((1 + level) / 2, self.df)
        if form == "t":
            half = quantile * self.standard_error
            return max(0.0, self.estimate - half), min(1.0, self.estimate + half)
        centre, half = _logit(self.estimate), quantile * self._logit_error
        return _expit(centre - half), _expit(centre + half)

    def separation_interval(self, level: float = 0.95) -> tuple[float, float]:
        """An interval that needs no observed spread: score limits with the variance that a win probability implies.

        The variance at a win probability `w` is that of exponential values, scaled to the strata's weights. It ignores
        ties, so the interval is rather too wide.

        Reference: Newcombe 2006, Statistics in Medicine 25:559, method 5.
        """
        from scipy.optimize import brentq

        z, extra = normal_quantile((1 + level) / 2), self.units / 2 - 1

        def excess(w: float) -> float:
            shape = 12 * w * (1 - w) * (1 + extra * ((1 - w) / (2 - w) + w / (1 + w))) / (self.units + 1)
            return (w - self.estimate) ** 2 - z**2 * self.widest_error**2 * shape

        inside = min(max(self.estimate, _EDGE), 1 - _EDGE)  # at 0 and 1 the estimate itself is a root
        low = 0.0 if self.estimate <= 0 else float(brentq(excess, 0.0, inside, xtol=1e-14))
        high = 1.0 if self.estimate >= 1 else float(brentq(excess, inside, 1.0, xtol=1e-14))
        return low, high

    @property
    def _logit_error(self) -> float:
        return self.standard_error / (self.estimate * (1 - self.estimate))


def compare_ranks(counts: npt.ArrayLike) -> Ranks:
    """Rank two arms inside each stratum.

    Args:
        counts: Units by (arm, stratum, level), control first, levels ascending.
    """
    table = np.asarray(counts, dtype=np.float64)
    control, pilot = table
    n = table.sum(axis=2)
    below = np.cumsum(control, axis=1) - control
    above = n[1][:, None] - np.cumsum(pilot, axis=1)
    wins, ties = (pilot * below).sum(axis=1), (pilot * control).sum(axis=1)
    divisors = np.maximum(n[::-1], 1)[..., None]
    placements = np.stack([above + pilot / 2, below + control / 2]) / divisors
    centre = (wins + ties / 2) / np.maximum(n[0] * n[1], 1)
    m2 = (table * (placements - centre[:, None]) ** 2).sum(axis=2)
    losses = np.maximum(n[0] * n[1] - wins - ties, 0.0)
    return Ranks(n, wins, ties, losses, m2, _null_variance(control + pilot, n))


def win_probability(ranks: Ranks) -> WinProbability | None:
    """The win probability over all strata, by van Elteren's weights; None where no stratum has both arms.

    The variance is `sum w^2 (v1 / n1 + v0 / n0)` with `v` the variance of an arm's placements. A stratum in which an arm
    has a single unit shows no such variance: it adds the one it has where the arms do not differ.

    Reference: Brunner and Munzel 2000, Biometrical Journal 42:17; van Elteren 1960, Bulletin of the ISI 37:351.
    """
    used = ranks.pairs > 0
    if not used.any():
        return None
    n, share = ranks.n[:, used], ranks.weights[used] / ranks.weights[used].sum()
    null = share**2 * ranks.null_variance[used]
    size, thin = n.sum(axis=0), (n < 2).any(axis=0)
    cells = share**2 * ranks.m2[:, used] / np.maximum(n - 1, 1) / n
    parts = np.concatenate([cells[:, ~thin].ravel(), null[thin]])
    freedom = np.concatenate([(n - 1)[:, ~thin].ravel(), size[thin] - 1])
    variance = float(parts.sum())
    return WinProbability(
        estimate=_weighted(share, ranks, used),
        standard_error=math.sqrt(variance),
        df=variance**2 / float((parts**2 / freedom).sum()) if variance > 0 else float(freedom.sum()),
        null_error=math.sqrt(null.sum()),
        widest_error=math.sqrt(float((share**2 * (size + 1) / (12 * n[0] * n[1])).sum())),
        units=int(size.sum()),
    )


def _weighted(share: FloatArray, ranks: Ranks, used: npt.NDArray[np.bool_]) -> float:
    """The weighted win probability, from its smaller side, so that 0 and 1 are exact."""
    pairs = ranks.pairs[used]
    won = float(share @ ((ranks.wins + ranks.ties / 2)[used] / pairs))
    lost = float(share @ ((ranks.losses + ranks.ties / 2)[used] / pairs))
    return won if won <= lost else 1 - lost


def _null_variance(both: FloatArray, n: FloatArray) -> FloatArray:
    """Tie-corrected variance of the win probability in each stratum where the arms do not differ."""
    size, pairs = n.sum(axis=0), np.maximum(n[0] * n[1], 1)
    tied = (both**3 - both).sum(axis=1) / np.maximum(size * (size - 1), 1)
    varied = (both > 0).sum(axis=1) > 1
    return np.where(varied, (size + 1 - tied) / (12 * pairs), 0.0)


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
