"""Rerandomisation: assignments are drawn until the arms are alike in covariates, and analysed as drawn so.

The distance is Mahalanobis' `M`, inside strata with weights `n1 n0 / n` (see `pilot.analysis.balance.mahalanobis`). An
assignment is accepted if `M` is at most a threshold, which a share of all assignments, the *acceptance*, keep.

Reference: Morgan and Rubin 2012, Annals of Statistics 40:1263; Li, Ding and Rubin 2018, PNAS 115:9157; Wang, Wang and
Liu 2023, JASA 118:1295, for strata.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtr, gammaincinv, log_ndtr, stdtr

from pilot.analysis.moments import FloatArray, IntArray, Joint
from pilot.analysis.regression import inverse_root
from pilot.analysis.tails import log_t_upper
from pilot.errors import InputError

ROUNDING = 1e-9
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
_FARTHEST = 9.0
"""Beyond this a standard normal variable has no mass that counts, but in the farthest tails."""

_DEEPEST = 37.0
"""Beyond this its density is below what a number can hold."""


def acceptance_threshold(acceptance: float, covariates: int) -> float:
    """The largest Mahalanobis distance that this share of all assignments keeps, by the chi-square law.

    Args:
        acceptance: The share, above 0, up to 1; infinity at 1.
        covariates: Their number.

    Raises:
        InputError: There is no such share, or no covariate.
    """
    _check(acceptance, covariates)
    return 2 * float(gammaincinv(covariates / 2, acceptance)) if acceptance < 1 else math.inf


def kept_variance(acceptance: float, covariates: int) -> float:
    """What is left of the variance of a covariate's difference, as a share: Morgan and Rubin's `v_a`.

    Raises:
        InputError: There is no such share, or no covariate.
    """
    threshold = acceptance_threshold(acceptance, covariates)
    return float(chdtr(covariates + 2, threshold) / acceptance) if acceptance < 1 else 1.0


def _check(acceptance: float, covariates: int) -> None:
    if not 0 < acceptance <= 1:
        raise InputError(f"{acceptance:g} is no share of assignments", place="acceptance", remedy="Take 0.001 to 1")
    if covariates < 1:
        raise InputError("there must be a covariate", place="covariates")


@dataclass(frozen=True, slots=True)
class RerandomisedLaw:
    """The law of a difference of means in standard errors: `sqrt(1 - R2) e + sqrt(R2) L`, symmetric around 0.

    `L` is a standard normal vector's first component, given that the vector's squared length is at most the threshold.

    Attributes:
        acceptance: Share of the assignments that are accepted.
        covariates: Their number.
        r_squared: Share of the variance of the difference that the covariates explain.
        df: Degrees of freedom of the t law of `e`; infinity for the normal law.
    """

    acceptance: float
    covariates: int
    r_squared: float
    df: float = math.inf

    @property
    def variance(self) -> float:
        """Variance with a normal `e`; below 1, the variance without rerandomisation."""
        return 1 - (1 - kept_variance(self.acceptance, self.covariates)) * self.r_squared

    def upper(self, distance: float) -> float:
        """The chance of more than `distance`."""
        rest, weight = self._rests(distance)
        return float(weight @ (np.exp(log_ndtr(-rest)) if math.isinf(self.df) else stdtr(self.df, -rest)))

    def log_upper(self, distance: float) -> float:
        """Its logarithm, also where the chance itself is below what a number can hold."""
        rest, weight = self._rests(distance)
        logs = log_ndtr(-rest) if math.isinf(self.df) else np.array([log_t_upper(t, self.df) for t in rest.tolist()])
        return min(0.0, float(np.logaddexp.reduce(np.log(np.maximum(weight, 1e-300)) + logs)))

    def quantile(self, probability: float) -> float:
        """The value below which the difference lies with this probability.

        Raises:
            InputError: It is no probability.
        """
        from scipy.optimize import brentq

        if not 0 < probability < 1:
            raise InputError(f"{probability:g} is no probability", place="probability")
        tail, far = min(probability, 1 - probability), 1.0
        while self.upper(far) > tail:
            far *= 2
        found = float(brentq(lambda distance: self.upper(distance) - tail, 0.0, far, xtol=1e-12))
        return found if probability > 0.5 else -found

    def _rests(self, distance: float) -> tuple[FloatArray, FloatArray]:
        """What `e` must exceed at places of `L`, and their chances.

        Gauss and Legendre's places in the angle, in which the density of `L` is smooth; closer where the tail of `e` turns.
        """
        threshold = acceptance_threshold(self.acceptance, self.covariates)
        radius = min(math.sqrt(threshold), max(_FARTHEST, min(abs(distance), _DEEPEST)))
        part, other = math.sqrt(self.r_squared), math.sqrt(1 - self.r_squared)
        turn, width = (distance / part, _FARTHEST * other / part) if part > 0 else (0.0, radius)
        breaks = np.array([-radius, -_FARTHEST, _FARTHEST, turn - width, turn + width, radius])
        ends = np.arcsin(np.sort(np.clip(breaks / radius, -1, 1)))
        half = np.diff(ends) / 2
        angle = ((ends[:-1] + half)[:, None] + half[:, None] * _NODES).ravel()
        place = radius * np.sin(angle)
        others = chdtr(self.covariates - 1, np.maximum(threshold - place**2, 0.0)) if self.covariates > 1 else 1.0
        chance = (half[:, None] * _WEIGHTS).ravel() * np.cos(angle) * np.exp(-(place**2) / 2) * others
        return (distance - part * place) / other, np.asarray(chance / chance.sum())


@dataclass(frozen=True, eq=False)
class Criterion:
    """The Mahalanobis distance of assignments that put as many units of each stratum into the pilot arm.

    Attributes:
        scores: By (unit, direction): their sum over the pilot arm has variance 1 and is uncorrelated.
    """

    scores: FloatArray

    @classmethod
    def of(cls, covariates: npt.ArrayLike, arm: npt.ArrayLike, stratum: npt.ArrayLike | None = None) -> Criterion:
        """The criterion of a design.

        Args:
            covariates: By unit, or by (unit, covariate); no value is missing.
            arm: One assignment of the design, 1 for the pilot arm: how many units of each stratum it takes.
            stratum: The stratum of each unit, if there are any.

        Raises:
            InputError: No covariate says anything of its own, or a value is no finite number.
        """
        columns = np.asarray(covariates, dtype=np.float64).reshape(len(np.asarray(arm)), -1)
        if not np.isfinite(columns).all():
            raise InputError("a value is no finite number", place="covariates", remedy="Fill it in before the draw")
        pilot, groups = np.asarray(arm, dtype=np.float64), groups_of(stratum, len(columns))
        centred, covariance = np.zeros_like(columns), np.zeros((columns.shape[1], columns.shape[1]))
        for own in groups:
            if len(own) < 2:
                continue
            part = columns[own] - columns[own].mean(axis=0)
            share = float(pilot[own].mean())
            centred[own] = part
            covariance += share * (1 - share) * len(own) / (len(own) - 1) * part.T @ part
        root = inverse_root(covariance)
        if root.shape[1] == 0:
            raise InputError("no covariate differs between units that could change arms", place="covariates")
        return cls(centred @ root)

    @property
    def covariates(self) -> int:
        """Covariates that say something of their own: the degrees of freedom of the distance."""
        return int(self.scores.shape[1])

    def distances(self, arms: npt.ArrayLike) -> FloatArray:
        """The distance of each assignment.

        Args:
            arms: By (assignment, unit), or of one assignment by unit; 1 for the pilot arm.
        """
        moved = np.atleast_2d(np.asarray(arms, dtype=np.float64)) @ self.scores
        return np.asarray((moved**2).sum(axis=1))


def groups_of(stratum: npt.ArrayLike | None, size: int) -> list[IntArray]:
    """Places of the units of each stratum; of all units where there are no strata."""
    if stratum is None:
        return [np.arange(size)]
    labels = np.asarray(stratum)
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


@dataclass(frozen=True, slots=True)
class ExplainedDifference:
    """How much of the variance of a difference of means rerandomisation could take away.

    Attributes:
        r_squared: Share of its variance that the covariates explain through the assignment.
        covariates: Those that say something of their own.
    """

    r_squared: float
    covariates: int


def explained_difference(
    joint: Joint, weights: npt.ArrayLike, assigned: npt.ArrayLike | None = None
) -> ExplainedDifference | None:
    """The share of a weighted difference's variance that lies along the covariates' differences between the arms.

    It is shrunk for the covariates' number, as the adjusted R squared is. Customers who were assigned but are not analysed
    thin it out: what was balanced is the arms as they were assigned.

    Args:
        joint: Moments of the outcome and of covariates, by (arm, stratum); every cell has at least two units.
        weights: Of the strata in the difference; they need not sum to 1.
        assigned: Units by (arm, stratum) among which the arms were balanced; by default those of `joint`.

    Returns:
        The share, or None where nothing varies or too few units are left.
    """
    share = np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    n = joint.n.astype(np.float64)
    within = joint.cross / (n - 1)[..., None, None]
    variance = float((share**2 * within[..., 0, 0] / n).sum())
    if variance <= 0:
        return None
    spread = joint.cross[..., 1:, 1:].sum(axis=0) / (n.sum(axis=0) - 2)[:, None, None]
    seen, rank = _along(n, share, within[..., 1:, 0], spread)
    df = float((n - 1).sum())
    if df <= rank:
        return None
    full = 1 - (1 - min(seen / variance, 1.0)) * df / (df - rank)
    units = n if assigned is None else np.maximum(np.asarray(assigned, dtype=np.float64), n)
    kept = _along(units, share, within[..., 1:, 0], spread)[0] / seen if seen > 0 else 0.0
    return ExplainedDifference(min(max(full * kept, 0.0), 1 - ROUNDING), rank)


def _along(n: FloatArray, weights: FloatArray, slopes: FloatArray, spread: FloatArray) -> tuple[float, int]:
    """Variance of the difference along the balanced covariates, and the number of these.

    Args:
        n: Units that were balanced, by (arm, stratum).
        weights: Of the strata.
        slopes: Covariances of outcome and covariates by (arm, stratum, covariate).
        spread: Covariances of the covariates by (stratum, covariate, covariate).
    """
    balanced = n.prod(axis=0) / n.sum(axis=0)
    together = np.einsum("as,asc->c", weights * balanced / n, slopes)
    root = inverse_root(np.einsum("s,scd->cd", balanced, spread))
    return float(((together @ root) ** 2).sum()), root.shape[1]
