"""Cox's proportional hazards model with Efron's ties, stratified, and the check that hazards are proportional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.survival import checked, kaplan_meier

_ROUNDS = 50
_CONVERGED = 1e-12
_SEPARATED = 15.0
"""Standard deviations of the linear score beyond which the likelihood has no maximum, only a slope that flattens."""


@dataclass(frozen=True, slots=True, eq=False)
class Cox:
    """A fitted model.

    Attributes:
        coefficients: Logarithms of the hazard ratios, one for each column.
        covariance: Of the coefficients, the inverse of the observed information.
        log_likelihood: Partial, at no effect and at the maximum.
        proportional: p value for each column that its ratio does not change with time; the last is for all together.
        events: Events that were seen.
    """

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: tuple[float, float]
    proportional: FloatArray
    events: int


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One stratum with its units in descending order of time.

    Attributes:
        x: Covariates by (unit, column).
        ends: For each day with events, the number of units at risk.
        dead: Units with an event, grouped by day.
        starts: Where each day begins in `dead`.
        day: For each event, the place of its day.
        tied: For each event, which share of the day's events Efron takes out of the risk set.
        clock: The day as the check of proportionality counts it, by place.
    """

    x: FloatArray
    ends: IntArray
    dead: IntArray
    starts: IntArray
    day: IntArray
    tied: FloatArray
    clock: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """What one stratum says at given coefficients: log-likelihood, and score and information by day."""

    log_likelihood: float
    score: FloatArray
    information: FloatArray


def cox(
    time: npt.ArrayLike, event: npt.ArrayLike, x: npt.ArrayLike, stratum: npt.ArrayLike | None = None
) -> Cox | None:
    """Fit hazards that are proportional to `exp(x b)` inside each stratum, by Newton's method.

    Args:
        time: Days, one for each unit.
        event: Whether the event was seen then (1), or nobody looked any more (0).
        x: Covariates by (unit, column).
        stratum: Numbers of the strata, each with a baseline of its own.

    Returns:
        The model, or None where the events do not determine it: no events, columns that depend on each other, or
        separation.

    Reference: Cox 1972, JRSS B 34:187; Efron 1977, JASA 72:557; Grambsch and Therneau 1994, Biometrika 81:515, in the
    form of the score test for `x` times one minus the Kaplan-Meier share just before the event.

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
    found = _maximum(layers, columns.shape[1]) if layers else None
    if found is None:
        return None
    start, beta, terms = found
    covariance = np.linalg.inv(sum(term.information.sum(axis=0) for term in terms))
    return Cox(
        beta / spread,
        covariance / np.outer(spread, spread),
        (start, sum(term.log_likelihood for term in terms)),
        _proportional(layers, terms),
        int(seen.sum()),
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
    mean = mean / total[:, None]
    spread = product / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return _Terms(
        float((linear[layer.dead] - shift - np.log(total)).sum()),
        np.add.reduceat(layer.x[layer.dead] - mean, layer.starts, axis=0),
        np.add.reduceat(spread, layer.starts, axis=0),
    )


def _maximum(layers: Sequence[_Layer], width: int) -> tuple[float, FloatArray, list[_Terms]] | None:
    """Log-likelihood at no effect, and the coefficients of the maximum with its terms; None where there is none."""
    beta = np.zeros(width)
    terms = [_terms(layer, beta) for layer in layers]
    start = height = sum(term.log_likelihood for term in terms)
    for _ in range(_ROUNDS):
        information = sum(term.information.sum(axis=0) for term in terms)
        if np.linalg.cond(information) > 1e12 or not np.trace(information) > 1e-9:
            return None
        step = np.linalg.solve(information, sum(term.score.sum(axis=0) for term in terms))
        beta, terms, climbed = _climb(layers, beta, step, height)
        if np.abs(beta).max() > _SEPARATED:
            return None
        if abs(climbed - height) <= _CONVERGED * (abs(height) + 1) and np.abs(step).max() < 1e-8:
            return start, beta, terms
        height = climbed
    return None


def _climb(
    layers: Sequence[_Layer], beta: FloatArray, step: FloatArray, height: float
) -> tuple[FloatArray, list[_Terms], float]:
    """Go a Newton step, halved until it does not lead down."""
    for halvings in range(30):
        there = beta + step / 2**halvings
        terms = [_terms(layer, there) for layer in layers]
        found = sum(term.log_likelihood for term in terms)
        if found >= height - 1e-10 * (abs(height) + 1):
            break
    return there, terms, found


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
