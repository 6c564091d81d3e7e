"""Proportional odds: the cumulative logit model of a rating, from counts, with strata as fixed effects.

`logit P(rating <= j) = threshold_j - stratum - beta * pilot`, so `exp(beta)` above 1 means that the pilot arm rates higher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import log_normal_upper, normal_quantile, two_sided
from pilot.errors import InputError

MAX_STRATA = 200
"""Strata up to which each has an effect of its own."""

_STEPS = 200
_FARTHEST = 25.0
"""Beyond this log odds ratio, threshold or shift of a stratum a maximum is taken to lie at infinity."""

_CONVERGED = 1e-9

_SMALLEST = 1e-140
"""Chances below this, met on the way only, are taken as this: its square still has a reciprocal."""

_CLOSE = 1e-4
"""How far the log likelihood at a limit may be from the height that it should have."""

_NOWHERE = -1e100
"""Stands for a likelihood of zero in a root search, which cannot use infinity."""


class Unfit(Enum):
    """Why the model has no finite estimate."""

    ONE_LEVEL = "fewer than two levels, or only one arm, have units"
    SEPARATED = "the values of one arm lie so wholly above those of the other that the odds ratio is not finite"
    STRATA = "the strata hardly share values, so their effects are not finite"


@dataclass(frozen=True, eq=False)
class ProportionalOdds:
    """A fitted model.

    Attributes:
        beta: Log odds ratio, pilot against control.
        standard_error: Of `beta`, from the observed information.
        log_likelihood: At the maximum, without binomial coefficients.
        log_likelihood_null: The same for `beta` 0.
        thresholds: Log odds of a rating at or below each level but the last, control, first stratum.
        strata: Shifts of the other strata.
        levels: Levels that occur, and are in the model.
        left_out: Strata left out, because all of their values are the lowest or the highest one.
        proportional: Score test that the odds ratio is the same at all thresholds: chi-square and degrees of freedom.
    """

    beta: float
    standard_error: float
    log_likelihood: float
    log_likelihood_null: float
    thresholds: FloatArray
    strata: FloatArray
    levels: int
    left_out: int
    proportional: tuple[float, int]
    _model: _Model

    @property
    def wald_z(self) -> float:
        """Log odds ratio in standard errors."""
        return self.beta / self.standard_error

    @property
    def root(self) -> float:
        """Signed square root of the likelihood ratio statistic of no difference."""
        return math.copysign(math.sqrt(max(2 * (self.log_likelihood - self.log_likelihood_null), 0.0)), self.beta)

    def log_p(self, *, wald: bool = False) -> float:
        """Logarithm of the two-sided p value of no difference, by the likelihood ratio or by Wald's test."""
        return two_sided(log_normal_upper(abs(self.wald_z if wald else self.root)))

    def wald_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the log odds ratio by its standard error."""
        half = normal_quantile((1 + level) / 2) * self.standard_error
        return self.beta - half, self.beta + half

    def profile_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Log odds ratios that the likelihood ratio test does not refute.

        Returns:
            The limits, or None where the likelihood cannot be followed as far as one of them.

        Reference: Venzon and Moolgavkar 1988, Applied Statistics 37:87.
        """
        low, high = self._limit(level, -1), self._limit(level, 1)
        return None if low is None or high is None else (low, high)

    def _limit(self, level: float, side: int) -> float | None:
        from scipy.optimize import brentq

        drop, model = normal_quantile((1 + level) / 2) ** 2 / 2, self._model
        start = np.concatenate([self.thresholds, self.strata])

        def excess(distance: float) -> float:
            beta = self.beta + side * distance
            return self.log_likelihood - drop - model.profiled(beta, start) if distance else -drop

        far = 2 * math.sqrt(2 * drop) * self.standard_error
        while excess(far) < 0:
            far *= 2
        root = float(brentq(excess, 0.0, far, xtol=1e-9))
        # where the fit breaks off, the search ends at that place, at which the likelihood has not fallen by `drop`
        return self.beta + side * root if abs(excess(root)) < _CLOSE else None


def proportional_odds(counts: npt.ArrayLike) -> ProportionalOdds | Unfit:
    """Fit the model by Newton's method.

    Left out are levels that do not occur, and strata with only the lowest or only the highest value, which tell nothing.

    Args:
        counts: Units by (arm, stratum, level), control first, levels ascending.

    Returns:
        The model, or why it has no finite estimate.

    Raises:
        InputError: There are more than `MAX_STRATA` strata.

    Reference: McCullagh 1980, JRSS B 42:109; Peterson and Harrell 1990, Applied Statistics 39:205, for the score test.
    """
    table, left_out = _informative(np.asarray(counts, dtype=np.int64))
    if table.shape[2] < 2 or not table.sum(axis=(1, 2)).all():
        return Unfit.ONE_LEVEL
    if table.shape[1] > MAX_STRATA:
        raise InputError(f"{table.shape[1]:,} strata are too many for fixed effects", remedy="Use van-elteren")
    model = _Model(table.astype(np.float64))
    null, full = model.fit(model.start(), 0.0), model.fit(model.start(), None)
    if null is None:
        return Unfit.STRATA
    if full is None or abs(full[-1]) > _FARTHEST:
        return Unfit.SEPARATED
    if np.abs(full[:-1]).max() > _FARTHEST:
        return Unfit.STRATA
    value, _, curve = model.derivatives(full)
    cut = table.shape[2] - 1
    return ProportionalOdds(
        beta=float(full[-1]),
        standard_error=math.sqrt(float(np.linalg.inv(-curve)[-1, -1])),
        log_likelihood=value,
        log_likelihood_null=model.derivatives(null)[0],
        thresholds=full[:cut],
        strata=full[cut:-1],
        levels=cut + 1,
        left_out=left_out,
        proportional=model.proportionality(full),
        _model=model,
    )


@dataclass(frozen=True, eq=False)
class _Model:
    """The likelihood of a table; parameters are the thresholds, the other strata's shifts, and `beta`."""

    table: FloatArray

    def start(self) -> FloatArray:
        shares = np.cumsum(self.table.sum(axis=(0, 1)))
        return np.concatenate([logit(shares[:-1] / shares[-1]), np.zeros(self.table.shape[1])])

    def fit(self, start: FloatArray, beta: float | None) -> FloatArray | None:
        """The parameters of largest likelihood, `beta` held at a value or free; None if there are no finite ones."""
        point = start.copy()
        free = np.arange(len(point) if beta is None else len(point) - 1)
        if beta is not None:
            point[-1] = beta
        value, slope, curve = self.derivatives(point)
        for _ in range(_STEPS):
            try:
                step = np.asarray(np.linalg.solve(-curve[np.ix_(free, free)], slope[free]), dtype=np.float64)
            except np.linalg.LinAlgError:
                return None
            if float(slope[free] @ step) < _CONVERGED**2 * max(1.0, abs(value)):
                return point
            following, found = self._stepped(point, free, step, value)
            if found is None or np.abs(following).max() > 2 * _FARTHEST:
                return None
            point, (value, slope, curve) = following, found
        return None

    def _stepped(
        self, point: FloatArray, free: IntArray, step: FloatArray, value: float
    ) -> tuple[FloatArray, tuple[float, FloatArray, FloatArray] | None]:
        """A step along Newton's direction, halved until thresholds stay in order and the likelihood does not fall."""
        for halving in range(40):
            following = point.copy()
            following[free] += step * 0.5**halving
            if (np.diff(following[: self.table.shape[2] - 1]) > 0).all():
                found = self.derivatives(following)
                if found[0] >= value - 1e-10 * max(1.0, abs(value)):
                    return following, found
        return point, None

    def profiled(self, beta: float, start: FloatArray) -> float:
        """The largest log likelihood at a value of `beta`; hopelessly small where there is no finite maximum."""
        found = self.fit(np.append(start, beta), beta)
        return _NOWHERE if found is None else self.derivatives(found)[0]

    def derivatives(self, point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log likelihood, gradient and matrix of second derivatives."""
        upper, design = self._cumulative(point)
        share, first, second = _differences(upper)
        weight = np.where(self.table > 0, self.table / share, 0.0)
        total = float(np.where(self.table > 0, self.table * np.log(share), 0.0).sum())
        toward = _with_design(first, design)
        gradient = np.einsum("ask,askp->p", weight, toward)
        curve = np.einsum("asj,asjp,asjq->pq", _folded(weight, second), design, design)
        curve -= np.einsum("ask,askp,askq->pq", weight / share, toward, toward)
        return total, gradient, curve

    def proportionality(self, point: FloatArray) -> tuple[float, int]:
        """Score test against an odds ratio of its own at each threshold: chi-square and degrees of freedom."""
        upper, design = self._cumulative(point)
        cut = design.shape[2]
        if cut < 2:
            return 0.0, 0
        own = np.zeros((*design.shape[:3], cut - 1))
        own[1, :, np.arange(1, cut), np.arange(cut - 1)] = -1.0
        wide = np.concatenate([design, own], axis=3)
        share, first, _ = _differences(upper)
        toward = _with_design(first, wide)
        gradient = np.einsum("ask,askp->p", np.where(self.table > 0, self.table / share, 0.0), toward)
        size = self.table.sum(axis=2, keepdims=True)
        information = np.einsum("ask,askp,askq->pq", size / share, toward, toward)
        return float(gradient @ np.linalg.solve(information, gradient)), cut - 1

    def _cumulative(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Linear predictors by (arm, stratum, threshold), and their derivatives by parameter."""
        _, strata, levels = self.table.shape
        design = np.zeros((2, strata, levels - 1, len(point)))
        design[:, :, np.arange(levels - 1), np.arange(levels - 1)] = 1.0
        for stratum in range(1, strata):
            design[:, stratum, :, levels - 2 + stratum] = -1.0
        design[1, :, :, -1] = -1.0
        return design @ point, design


def _differences(upper: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Chances of the levels, and the first and second derivatives of the cumulative ones."""
    edge = np.zeros((*upper.shape[:2], 1))
    below, above = expit(upper), expit(-upper)
    low, high = np.concatenate([edge, below], axis=2), np.concatenate([below, edge + 1], axis=2)
    rest = np.concatenate([above, edge], axis=2)
    over = np.concatenate([edge + 1, above], axis=2)
    share = np.where(low < 0.5, high - low, over - rest)
    first = below * above
    return np.maximum(share, _SMALLEST), first, first * (above - below)


def _with_design(first: FloatArray, design: FloatArray) -> FloatArray:
    """Derivatives of the levels' chances by parameter."""
    moved = first[..., None] * design
    edge = np.zeros_like(moved[:, :, :1])
    return np.asarray(np.concatenate([moved, edge], axis=2) - np.concatenate([edge, moved], axis=2))


def _folded(weight: FloatArray, second: FloatArray) -> FloatArray:
    """What the curvature of each threshold adds to that of the likelihood."""
    return np.asarray((weight[..., :-1] - weight[..., 1:]) * second)


def _informative(table: IntArray) -> tuple[IntArray, int]:
    """The table without levels that do not occur, and without strata at one end of the scale; and how many those are."""
    filled = table[:, table.sum(axis=(0, 2)) > 0]
    kept = filled
    while True:
        kept = kept[:, :, kept.sum(axis=(0, 1)) > 0]
        both = kept.sum(axis=0)
        inside = (both[:, 0] < both.sum(axis=1)) & (both[:, -1] < both.sum(axis=1)) if kept.size else np.zeros(0, bool)
        if inside.all():
            return kept, filled.shape[1] - kept.shape[1]
        kept = kept[:, inside]
