"""Differences of means adjusted for covariates: CUPED from moments, ANCOVA and Lin's regression from rows.

Strata are never columns of a design matrix here: values are centred inside them, which gives the same numbers at a
cost that does not grow with the square of the number of strata (Frisch, Waugh and Lovell).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pilot.analysis.means import MeanDifference, layers, mean_difference
from pilot.analysis.moments import FloatArray, IntArray, Joint, Rows

_REPEATED = 1e-9
"""A direction of the covariates with less than this share of the widest one's spread repeats others."""

_ALONE = 1e-9
"""A unit with 1 minus its leverage below this decides its own fitted value."""


@dataclass(frozen=True, eq=False, slots=True)
class Adjusted:
    """An adjusted difference.

    Attributes:
        difference: The difference; its means are the adjusted ones.
        slopes: One per covariate, or by (arm, covariate).
        explained: Share of the variance inside arms and strata that the covariates explain.
        used: Directions of the covariates that do not repeat others.
        alone: Units that decide their own fitted value, whose error cannot be seen.
    """

    difference: MeanDifference
    slopes: FloatArray
    explained: float
    used: int
    alone: int = 0


def cuped(
    joint: Joint, weights: npt.ArrayLike, labels: Sequence[str] = ("",), *, classic: bool = False
) -> Adjusted | None:
    """Difference of means of `y - theta x`, from moments alone.

    `theta` is the slope inside arms and strata, that of an analysis of covariance. The variance is that of
    `mean_difference` on the adjusted values, each arm and stratum with its own spread; it pays for the degrees of freedom
    of `theta`, and for its error by `s^2 gap' Sxx^-1 gap`, where `gap` is the arms' difference in covariates.
    With equal arms and no strata the standard error is exactly that of the classical analysis of covariance.

    Args:
        joint: Moments of outcome and covariates of control and of the pilot arm.
        weights: Of the strata; they need not sum to 1.
        labels: Of the strata.
        classic: Instead, as Deng et al. wrote it: `theta` over all units of both arms taken as one group, and Welch's
            test on the adjusted values as if `theta` were known.

    Returns:
        The difference, or None where there are too few units or no spread is left.

    Reference: Deng, Xu, Kohavi and Walker 2013, WSDM; Miratrix, Sekhon and Yu 2013, JRSS B 75:369.
    """
    filled = joint.n > 0
    cross = np.where(filled[..., None, None], joint.cross, 0.0)
    mean = np.where(filled[..., None], joint.mean, 0.0)
    if not filled.any():
        return None
    inside = cross.sum(axis=(0, 1))
    source = joint.pooled([0, 1])[2] if classic else inside
    inverse, used = _inverse(source[1:, 1:])
    slopes = inverse @ source[1:, 0]
    turn = np.concatenate([[1.0], -slopes])
    left = np.maximum(np.einsum("asij,i,j->as", cross, turn, turn), 0.0)
    left[left < 1e-14 * cross[..., 0, 0]] = 0.0  # an exact fit leaves rounding only
    centre = joint.pooled([0, 1])[1][1:]  # so that adjusted means stay on the scale of the outcome
    found = layers(joint.n, mean @ turn + slopes @ centre, left, weights, labels)
    difference = mean_difference(found.n, found.mean, found.m2, found.weights)
    if difference is not None and not classic:
        every = [layers(joint.n, mean[..., column], left, weights, labels) for column in range(1, mean.shape[2])]
        gap = np.array([(layer.mean[1] - layer.mean[0]) @ layer.weights for layer in every])
        difference = _paid(difference, found.n, float(found.m2.sum()), float(gap @ inverse @ gap), used)
    if difference is None:
        return None
    explained = 1 - float(turn @ inside @ turn) / float(inside[0, 0]) if inside[0, 0] > 0 else 0.0
    return Adjusted(difference, slopes, min(max(explained, 0.0), 1.0), used)


def ancova(rows: Rows, *, cubed: bool = False) -> Adjusted | None:
    """The coefficient of the pilot arm in a regression on arm, covariates and strata, with robust standard error.

    Args:
        rows: Units of control (arm 0) and of the pilot arm (arm 1).
        cubed: HC3 (residuals over `1 - h`) rather than HC2 (over its square root).

    Returns:
        The adjusted difference with `N - p` degrees of freedom, or None where they run out, no spread is left, or
        strata and covariates tell the arms apart.

    Reference: Freedman 2008, Advances in Applied Mathematics 40:180; MacKinnon and White 1985, J. Econometrics 29:305.
    """
    strata, size = _dense(rows.stratum)
    covariates = _columns(rows)
    basis, back = _basis(_centred(covariates, strata, size))
    arm, value = (_centred(column[:, None], strata, size) for column in (rows.arm.astype(np.float64), rows.value))
    arm, value = arm - basis @ (basis.T @ arm), value - basis @ (basis.T @ value)
    spread = float((arm**2).sum())
    df = len(rows.value) - len(size) - basis.shape[1] - 1
    if df < 1 or spread < _REPEATED * len(arm):
        return None
    estimate = float((arm * value).sum()) / spread
    residual = (value - estimate * arm)[:, 0]
    pull = arm[:, 0] / spread
    leverage = 1 / size[strata] + (basis**2).sum(axis=1) + arm[:, 0] * pull
    variance, alone = _robust(pull, residual, leverage, cubed=cubed)
    if variance <= _rounding(rows.value, pull):
        return None
    base = float(rows.value.mean()) - estimate * float(rows.arm.mean())
    difference = MeanDifference(estimate, math.sqrt(variance), float(df), (base, base + estimate))
    slopes = back @ (basis.T @ (rows.value - estimate * rows.arm))
    unadjusted = _centred(rows.value[:, None], rows.arm * len(size) + strata)
    return Adjusted(difference, slopes, _explained(residual, unadjusted), basis.shape[1], alone)


def lin(rows: Rows, weights: npt.ArrayLike, *, cubed: bool = False) -> Adjusted | None:
    """Lin's fully interacted regression: each arm has its own slopes and stratum means, compared at the same point.

    That point is the weighted mean over strata of the covariates of both arms. With the strata's own shares as weights
    this is the regression on arm, centred covariates and centred stratum indicators, and all products with the arm.

    Args:
        rows: Units of control (arm 0) and of the pilot arm (arm 1); both appear in every stratum.
        weights: Of the strata, by their number in `rows`; they need not sum to 1.
        cubed: HC3 (residuals over `1 - h`) rather than HC2 (over its square root).

    Returns:
        The adjusted difference with `N - p` degrees of freedom, or None where they run out in an arm, no spread is
        left, or an arm is missing in a stratum.

    Reference: Lin 2013, Annals of Applied Statistics 7:295.
    """
    strata, size = _dense(rows.stratum)
    share = np.asarray(weights, dtype=np.float64)[np.unique(rows.stratum)]
    share = share / share.sum()
    cell = rows.arm * len(size) + strata
    units = np.bincount(cell, minlength=2 * len(size)).reshape(2, -1)
    if (units == 0).any():
        return None
    covariates = _columns(rows)
    point = share @ _group_means(covariates, strata, size)
    fits = [_fit(rows, covariates, strata, point, share, arm) for arm in (0, 1)]
    df = sum(fit.df for fit in fits)
    variances = [_robust(fit.pull, fit.residual, fit.leverage, cubed=cubed) for fit in fits]
    variance = sum(part for part, _ in variances)
    pull = np.concatenate([fit.pull for fit in fits])
    if min(fit.df for fit in fits) < 1 or variance <= _rounding(rows.value, pull):
        return None
    control, pilot = (fit.mean for fit in fits)
    difference = MeanDifference(pilot - control, math.sqrt(variance), float(df), (control, pilot))
    residual = np.concatenate([fit.residual for fit in fits])
    explained = _explained(residual, _centred(rows.value[:, None], cell))
    slopes = np.array([fit.slopes for fit in fits])
    return Adjusted(difference, slopes, explained, max(fit.used for fit in fits), sum(alone for _, alone in variances))


@dataclass(frozen=True, eq=False, slots=True)
class _Fit:
    """One arm's regression on its strata and covariates. `mean` is `pull @ value`, its fitted mean at the point."""

    mean: float
    pull: FloatArray
    residual: FloatArray
    leverage: FloatArray
    slopes: FloatArray
    used: int
    df: int


def _fit(rows: Rows, covariates: FloatArray, strata: IntArray, point: FloatArray, share: FloatArray, arm: int) -> _Fit:
    own = rows.arm == arm
    group, value, columns = strata[own], rows.value[own], covariates[own]
    size = np.bincount(group, minlength=len(share))
    basis, back = _basis(_centred(columns, group, size))
    gap = point - share @ _group_means(columns, group, size)
    pull = (share / size)[group] + basis @ (back.T @ gap)
    centred = _centred(value[:, None], group, size)[:, 0]
    along = basis.T @ centred
    return _Fit(
        mean=float(pull @ value),
        pull=pull,
        residual=centred - basis @ along,
        leverage=1 / size[group] + (basis**2).sum(axis=1),
        slopes=back @ along,
        used=basis.shape[1],
        df=len(value) - len(size) - basis.shape[1],
    )


def _paid(difference: MeanDifference, n: IntArray, squares: float, distance: float, used: int) -> MeanDifference | None:
    """The difference with the price of its slopes: degrees of freedom, and their error times the arms' distance."""
    df = int(n.sum()) - n.size
    if df - used < 1:
        return None
    error = squares / (df - used)
    variance = difference.standard_error**2 * df / (df - used) + error * distance
    return replace(difference, standard_error=math.sqrt(variance), df=max(difference.df - used, 1.0))


def inverse_root(square: FloatArray) -> FloatArray:
    """Directions as columns, in which a vector of this covariance has variance 1; those that repeat others are left out."""
    scale = np.sqrt(np.diag(square))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(square / np.outer(scale, scale))
    kept = values > _REPEATED * max(float(values.max(initial=0.0)), 1e-300)
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]) / scale[:, None])


def _inverse(square: FloatArray) -> tuple[FloatArray, int]:
    """Inverse of a matrix of cross-products, and its rank; directions that repeat others are left out."""
    root = inverse_root(square)
    return root @ root.T, root.shape[1]


def _basis(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthonormal columns that span the same, and the matrix that turns their coefficients into slopes."""
    scale = np.sqrt((columns**2).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    left, values, right = np.linalg.svd(columns / scale, full_matrices=False)
    kept = values > math.sqrt(_REPEATED) * max(float(values.max(initial=0.0)), 1e-300)
    return left[:, kept], (right[kept].T / values[kept]) / scale[:, None]


def _columns(rows: Rows) -> FloatArray:
    if not rows.covariates:
        return np.zeros((len(rows.value), 0))
    return np.column_stack(list(rows.covariates.values()))


def _dense(groups: IntArray) -> tuple[IntArray, IntArray]:
    """Groups numbered from 0 without gaps, and their sizes."""
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    return number.reshape(-1), size


def _group_means(columns: FloatArray, groups: IntArray, size: IntArray) -> FloatArray:
    sums = [np.bincount(groups, column, minlength=len(size)) for column in columns.T]
    return np.array(sums).reshape(columns.shape[1], len(size)).T / size[:, None]


def _centred(columns: FloatArray, groups: IntArray, size: IntArray | None = None) -> FloatArray:
    """Columns less their means inside groups; a column that is constant there becomes exactly 0."""
    if size is None:
        groups, size = _dense(groups)
    found = columns - _group_means(columns, groups, size)[groups]
    negligible = np.abs(found).max(axis=0, initial=0.0) <= 1e-13 * np.abs(columns).max(axis=0, initial=0.0)
    found[:, negligible] = 0.0
    return np.asarray(found)


def _robust(pull: FloatArray, residual: FloatArray, leverage: FloatArray, *, cubed: bool) -> tuple[float, int]:
    """HC2 or HC3 variance of `pull @ value`, and the number of units whose error cannot be seen."""
    room = 1 - leverage
    seen = room > _ALONE
    part = (pull[seen] * residual[seen]) ** 2 / room[seen] ** (2 if cubed else 1)
    return float(part.sum()), int((~seen).sum())


def _rounding(value: FloatArray, pull: FloatArray) -> float:
    """A variance that rounding alone can leave."""
    return float(((pull * 1e-13 * np.abs(value).max(initial=0.0)) ** 2).sum())


def _explained(residual: FloatArray, unadjusted: FloatArray) -> float:
    total = float((unadjusted**2).sum())
    return min(max(1 - float((residual**2).sum()) / total, 0.0), 1.0) if total > 0 else 0.0
