"""Cox's proportional hazards model with Efron's ties, stratified, and the check that hazards are proportional."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.survival import checked, kaplan_meier
from pilot.analysis.tails import normal_quantile

_ROUNDS = 50
_CONVERGED = 1e-12
_NOTHING, _NOWHERE = 1e-300, -1e9
_SEPARATED = 15.0
"""Standard deviations of the linear score beyond which the likelihood has no maximum, only a slope that flattens."""


@dataclass(frozen=True, slots=True, eq=False)
class Cox:
    """A fitted model.

    Attributes:
        coefficients: Logarithms of the hazard ratios, one for each column.
        covariance: Of the coefficients, the inverse of the observed information.
        robust: The same where units of a cluster are alike, by Lin and Wei's sandwich; None without clusters.
        log_likelihood: Partial, at no effect and at the maximum.
        proportional: p value for each column that its ratio does not change with time; the last is for all together.
        events: Events that were seen.
    """

    coefficients: FloatArray
    covariance: FloatArray
    robust: FloatArray | None
    log_likelihood: tuple[float, float]
    proportional: FloatArray
    events: int
    _fit: _Fit

    def profile_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Values of the first coefficient that the partial likelihood ratio test does not refute.

        Reference: Venzon and Moolgavkar 1988, Applied Statistics 37:87.
        """
        return self._limit(level, -1), self._limit(level, 1)

    def signed_root(self) -> float:
        """Signed root of the partial likelihood ratio against no effect of the first column: standard normal if there is none."""
        ratio = 2 * (self.log_likelihood[1] - self._fit.profiled(0.0))
        return math.copysign(math.sqrt(max(ratio, 0.0)), self.coefficients[0])

    def _limit(self, level: float, side: int) -> float:
        from scipy.optimize import brentq

        drop, fit = normal_quantile((1 + level) / 2) ** 2 / 2, self._fit
        height, best = self.log_likelihood[1], float(fit.beta[0])

        def excess(distance: float) -> float:
            return height - drop - fit.profiled(best + side * distance) if distance else -drop

        far = 2 * math.sqrt(2 * drop * self.covariance[0, 0]) * float(fit.spread[0])
        while excess(far) < 0:
            far *= 2
        return (best + side * float(brentq(excess, 0.0, far, xtol=1e-10))) / float(fit.spread[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One stratum with its units in descending order of time.

    Attributes:
        units: Their places among all units.
        x: Covariates by (unit, column).
        ends: For each day with events, the number of units at risk.
        dead: Units with an event, grouped by day.
        starts: Where each day begins in `dead`.
        day: For each event, the place of its day.
        tied: For each event, which share of the day's events Efron takes out of the risk set.
        clock: The day as the check of proportionality counts it, by place.
    """

    units: IntArray
    x: FloatArray
    ends: IntArray
    dead: IntArray
    starts: IntArray
    day: IntArray
    tied: FloatArray
    clock: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """What one stratum says at given coefficients.

    Attributes:
        log_likelihood: Partial.
        score, information: By day.
        risk: Each unit's relative hazard.
        total, mean: For each event, the sum of the risk set's hazards and its mean of the covariates.
    """

    log_likelihood: float
    score: FloatArray
    information: FloatArray
    risk: FloatArray
    total: FloatArray
    mean: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Strata and the maximum found in them, with columns in units of `spread`."""

    layers: Sequence[_Layer]
    beta: FloatArray
    spread: FloatArray

    def profiled(self, value: float) -> float:
        """The largest log-likelihood where the first coefficient is this."""
        start = np.concatenate([[value], self.beta[1:]])
        found = _maximum(self.layers, start, np.arange(1, len(start)))
        return _NOWHERE if found is None else _height(found[1])


def cox(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    x: npt.ArrayLike,
    stratum: npt.ArrayLike | None = None,
    cluster: npt.ArrayLike | None = None,
) -> Cox | None:
    """Fit hazards that are proportional to `exp(x b)` inside each stratum, by Newton's method.

    Args:
        time: Days, one for each unit.
        event: Whether the event was seen then (1), or nobody looked any more (0).
        x: Covariates by (unit, column).
        stratum: Numbers of the strata, each with a baseline of its own.
        cluster: Numbers of the clusters, for a robust covariance beside the usual one.

    Returns:
        The model, or None where the events do not determine it: no events, columns that depend on each other, or
        separation.

    Reference: Cox 1972, JRSS B 34:187; Efron 1977, JASA 72:557; Grambsch and Therneau 1994, Biometrika 81:515, in the
    form of the score test for `x` times one minus the Kaplan-Meier share just before the event; Lin and Wei 1989, JASA
    84:1074, for clusters.

    Raises:
        InputError: As for `kaplan_meier`.
    """
    days, seen = checked(time, event)
    columns = np.asarray(x, dtype=np.float64).reshape(len(days), -1)
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    if not seen.any() or not (spread > 0).all():
        return None
    layer = np.zeros(len(days), dtype=np.int64) if stratum is None else np.asarray(stratum)
    layers = _layers(days, seen, centred / spread, layer)
    nothing, every = np.zeros(columns.shape[1]), np.arange(columns.shape[1])
    found = _maximum(layers, nothing, every) if layers else None
    if found is None:
        return None
    beta, terms = found
    covariance = np.linalg.inv(sum(term.information.sum(axis=0) for term in terms))
    scale = np.outer(spread, spread)
    return Cox(
        beta / spread,
        covariance / scale,
        None if cluster is None else _sandwich(layers, beta, covariance, np.asarray(cluster)) / scale,
        (_height([_terms(layer, nothing) for layer in layers]), _height(terms)),
        _proportional(layers, terms),
        int(seen.sum()),
        _Fit(layers, beta, spread),
    )


def _layers(
    days: FloatArray, seen: npt.NDArray[np.bool_], x: FloatArray, stratum: npt.NDArray[np.generic]
) -> list[_Layer]:
    """The strata in which an event was seen."""
    curve = kaplan_meier(days, seen)
    found = []
    for label in np.unique(stratum[seen]):
        own = np.flatnonzero(stratum == label)
        order = own[np.argsort(-days[own], kind="stable")]
        time, dead = days[order], np.flatnonzero(seen[order])
        moments, starts, counts = np.unique(-time[dead], return_index=True, return_counts=True)
        ends = np.searchsorted(-time, moments, side="right")
        before = np.searchsorted(curve.time, -moments, side="left")
        clock = 1 - np.concatenate([[1.0], curve.share])[before]
        rank = np.arange(len(dead)) - np.repeat(starts, counts)
        found.append(
            _Layer(
                order,
                x[order],
                ends,
                dead,
                starts,
                np.repeat(np.arange(len(ends)), counts),
                rank / np.repeat(counts, counts),
                clock,
            )
        )
    return found


def _terms(layer: _Layer, beta: FloatArray) -> _Terms:
    linear = layer.x @ beta
    shift = float(linear.max())
    risk = np.exp(linear - shift)
    first = risk[:, None] * layer.x
    second = first[:, :, None] * layer.x[:, None, :]
    total, mean, product = (
        np.cumsum(part, axis=0)[layer.ends - 1][layer.day]
        - layer.tied.reshape(-1, *[1] * (part.ndim - 1))
        * np.add.reduceat(part[layer.dead], layer.starts, axis=0)[layer.day]
        for part in (risk, first, second)
    )
    total = np.maximum(total, _NOTHING)  # far from the maximum a risk set may weigh less than a number holds
    mean = mean / total[:, None]
    spread = product / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return _Terms(
        float((linear[layer.dead] - shift - np.log(total)).sum()),
        np.add.reduceat(layer.x[layer.dead] - mean, layer.starts, axis=0),
        np.add.reduceat(spread, layer.starts, axis=0),
        risk,
        total,
        mean,
    )


def _height(terms: Sequence[_Terms]) -> float:
    return sum(term.log_likelihood for term in terms)


def _maximum(layers: Sequence[_Layer], start: FloatArray, free: IntArray) -> tuple[FloatArray, list[_Terms]] | None:
    """The coefficients of the maximum over the free ones with its terms; None where there is none."""
    beta, terms = start, [_terms(layer, start) for layer in layers]
    for _ in range(_ROUNDS if len(free) else 0):
        height = _height(terms)
        information = sum(term.information.sum(axis=0) for term in terms)[np.ix_(free, free)]
        if np.linalg.cond(information) > 1e12 or not np.trace(information) > 1e-9:
            return None
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(information, sum(term.score.sum(axis=0) for term in terms)[free])
        beta, terms = _climb(layers, beta, step, height)
        if np.abs(beta[free]).max() > _SEPARATED:
            return None
        if abs(_height(terms) - height) <= _CONVERGED * (abs(height) + 1) and np.abs(step).max() < 1e-8:
            return beta, terms
    return None if len(free) else (beta, terms)


def _climb(
    layers: Sequence[_Layer], beta: FloatArray, step: FloatArray, height: float
) -> tuple[FloatArray, list[_Terms]]:
    """Go a Newton step, halved until it does not lead down."""
    for halvings in range(30):
        there = beta + step / 2**halvings
        terms = [_terms(layer, there) for layer in layers]
        if _height(terms) >= height - 1e-10 * (abs(height) + 1):
            break
    return there, terms


def _sandwich(
    layers: Sequence[_Layer], beta: FloatArray, covariance: FloatArray, cluster: npt.NDArray[np.generic]
) -> FloatArray:
    """Covariance from the clusters' sums of score residuals."""
    number = np.unique(cluster, return_inverse=True)[1]
    sums = np.zeros((int(number.max()) + 1, len(beta)))
    for layer in layers:
        np.add.at(sums, number[layer.units], _residuals(layer, beta))
    return np.asarray(covariance @ sums.T @ sums @ covariance)


def _residuals(layer: _Layer, beta: FloatArray) -> FloatArray:
    """Each unit's part of the score: its own events, less what was to be expected while it was at risk.

    With Efron's ties a unit with an event is at risk in its own day's terms by the share that is left of it.

    Reference: Therneau and Grambsch 2000, Modeling Survival Data, sections 4.2 and 7.2.
    """
    terms = _terms(layer, beta)
    rate, lean = 1 / terms.total[:, None], terms.mean / terms.total[:, None]

    def by_day(part: FloatArray) -> FloatArray:
        return np.asarray(np.add.reduceat(part, layer.starts, axis=0))

    def while_at_risk(part: FloatArray) -> FloatArray:
        until = np.cumsum(by_day(part)[::-1], axis=0)[::-1]  # days run backwards
        first = np.searchsorted(layer.ends, np.arange(len(layer.x)), side="right")
        return np.concatenate([until, np.zeros_like(until[:1])])[first]

    found = -terms.risk[:, None] * (layer.x * while_at_risk(rate) - while_at_risk(lean))
    tied = layer.tied[:, None]
    own = layer.x[layer.dead]
    found[layer.dead] += own - (by_day(terms.mean) / by_day(np.ones_like(tied)))[layer.day]
    found[layer.dead] += terms.risk[layer.dead, None] * (
        own * by_day(tied * rate)[layer.day] - by_day(tied * lean)[layer.day]
    )
    return found


def _proportional(layers: Sequence[_Layer], terms: Sequence[_Terms]) -> FloatArray:
    """Score tests that the coefficients do not change with the clock: one for each column, then all together."""
    clock = np.concatenate([layer.clock for layer in layers])
    score = np.concatenate([term.score for term in terms])
    information = np.concatenate([term.information for term in terms])
    if len(np.unique(clock)) < 2:
        return np.ones(score.shape[1] + 1)
    clock = (clock - clock.mean()) / clock.std()
    plain, cross, square = (np.tensordot(clock**power, information, axes=1) for power in (0, 1, 2))
    trend = clock @ score
    rest = square - cross @ np.linalg.solve(plain, cross)
    width = len(trend)
    singles = [_single(trend, plain, cross, square, column) for column in range(width)]
    together = chdtrc(width, max(float(trend @ np.linalg.pinv(rest) @ trend), 0.0))
    return np.array([*singles, together])


def _single(trend: FloatArray, plain: FloatArray, cross: FloatArray, square: FloatArray, column: int) -> float:
    spare = square[column, column] - cross[column] @ np.linalg.solve(plain, cross[column])
    return float(chdtrc(1, trend[column] ** 2 / spare)) if spare > 1e-12 * square[column, column] else 1.0
