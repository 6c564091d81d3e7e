"""Models of clustered units: a random cluster intercept by REML, and generalised estimating equations.

Both are weighted least squares in which a cluster of N units counts `N / (1 + ratio N)`-fold, with one unknown `ratio` of the
variance between clusters to that inside them. So both need only the clusters' moments, and cost nothing that grows with units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pilot.analysis.clusters import design_of
from pilot.analysis.means import MeanDifference
from pilot.analysis.moments import Clusters, FloatArray, IntArray

_WIDEST = 1e6
"""Ratio of the variance between clusters to that inside them beyond which none is left inside."""


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """A difference of arms from a model of clusters.

    Attributes:
        difference: The arm's coefficient.
        between, within: Variances between and inside clusters; None for estimating equations.
        correlation: Of two units of a cluster.
        boundary: Whether the variance between clusters was estimated as 0.
    """

    difference: MeanDifference
    between: float | None
    within: float | None
    correlation: float
    boundary: bool


@dataclass(frozen=True, eq=False, slots=True)
class Sums:
    """Clusters' entries (one per arm and stratum) prepared for weighted least squares.

    Attributes:
        design: Strata and, last, the arm, by entry.
        mean: By entry, less `centre`.
        n: Units of the entry.
        label: Number of its cluster, from 0.
        inner: Sum of squares inside entries.
        centre: Mean of all units.
    """

    design: FloatArray
    mean: FloatArray
    n: FloatArray
    label: IntArray
    inner: float
    centre: float

    @property
    def sizes(self) -> FloatArray:
        """Units of each cluster."""
        return np.bincount(self.label, self.n).astype(np.float64)

    @property
    def free(self) -> int:
        """Units less coefficients."""
        return int(self.n.sum()) - int(self.design.shape[1])

    def solved(self, ratio: float) -> tuple[FloatArray, FloatArray, float]:
        """(inverse of X'V^-1 X, coefficients, residual sum of squares), V in units of the variance inside clusters."""
        weight = ratio / (1 + ratio * self.sizes)
        sums = np.column_stack([np.bincount(self.label, self.n * column) for column in self.design.T])
        totals = np.bincount(self.label, self.n * self.mean)
        square = self.design.T @ (self.n[:, None] * self.design) - sums.T @ (weight[:, None] * sums)
        right = self.design.T @ (self.n * self.mean) - sums.T @ (weight * totals)
        inverse = np.asarray(np.linalg.inv(square), dtype=np.float64)
        slopes = inverse @ right
        left = self.mean - self.design @ slopes
        rest = self.inner + float(self.n @ left**2) - float(weight @ np.bincount(self.label, self.n * left) ** 2)
        return inverse, slopes, rest

    def difference(self, slopes: FloatArray, error: float, df: float) -> MeanDifference:
        """The last coefficient, with the arms' means at the average strata."""
        estimate, share = float(slopes[-1]), self.n / self.n.sum()
        control = self.centre + float(share @ self.mean) - estimate * float(share @ self.design[:, -1])
        return MeanDifference(estimate, error, df, (control, control + estimate))


def sums_of(clusters: Clusters, *, by_strata: bool) -> Sums:
    """Clusters prepared for weighted least squares.

    Args:
        clusters: Moments by cluster.
        by_strata: Whether strata are fixed effects.
    """
    label = np.unique(clusters.label, return_inverse=True)[1]
    n = clusters.n.astype(np.float64)
    centre = float(n @ clusters.mean) / float(n.sum())
    design = design_of(clusters, by_strata=by_strata)
    return Sums(design, clusters.mean - centre, n, label, float(clusters.m2.sum()), centre)


def mixed_model(clusters: Clusters, *, by_strata: bool = True, between_within: bool = False) -> ClusterModel | None:
    """Difference of arms with a random intercept for each cluster, variances by restricted maximum likelihood (REML).

    Args:
        clusters: Moments by cluster.
        by_strata: Whether strata are fixed effects.
        between_within: Degrees of freedom by counting (clusters less coefficients, where whole clusters were assigned)
            instead of Satterthwaite's. They are taken too where the variance between clusters is estimated as 0.

    Returns:
        The difference, or None where the arms cannot be told from the strata, degrees of freedom run out, or no variance
        is left inside clusters.

    Reference: Laird and Ware 1982, Biometrics 38:963; Kuznetsova, Brockhoff and Christensen 2017, J. Stat. Software 82(13).
    """
    sums = sums_of(clusters, by_strata=by_strata)
    counted = _counted_df(sums)
    if counted < 1 or sums.free < 1 or np.linalg.matrix_rank(sums.design) < sums.design.shape[1]:
        return None
    ratio = _least(lambda value: _deviance(sums, value))
    inverse, slopes, rest = sums.solved(ratio)
    within = rest / sums.free
    if ratio >= _WIDEST / 2 or rest <= 1e-12 * float(sums.n @ sums.mean**2 + sums.inner) or rest <= 0:
        return None
    boundary = ratio == 0
    error = math.sqrt(within * float(inverse[-1, -1]))
    df = counted if boundary or between_within else _satterthwaite(sums, ratio * within, within)
    correlation = ratio / (1 + ratio)
    return ClusterModel(sums.difference(slopes, error, df), ratio * within, within, correlation, boundary)


def estimating_equations(clusters: Clusters, *, by_strata: bool = True) -> ClusterModel | None:
    """Difference of arms by generalised estimating equations, all units of a cluster equally correlated.

    The correlation is estimated from the residuals' products (as geepack does); the standard error is robust, with Mancl and
    DeRouen's correction for few clusters, and t has as many degrees of freedom as clusters less coefficients.

    Args:
        clusters: Moments by cluster.
        by_strata: Whether strata are fixed effects.

    Returns:
        The difference, or None where the arms cannot be told from the strata, degrees of freedom run out, or nothing varies.

    Reference: Liang and Zeger 1986, Biometrika 73:13; Mancl and DeRouen 2001, Biometrics 57:126.
    """
    sums = sums_of(clusters, by_strata=by_strata)
    df = len(sums.sizes) - sums.design.shape[1]
    if df < 1 or sums.free < 1 or np.linalg.matrix_rank(sums.design) < sums.design.shape[1]:
        return None
    correlation = 0.0
    for _ in range(200):
        slopes = sums.solved(correlation / (1 - correlation))[1]
        following = _moment_correlation(sums, slopes)
        if following is None:
            return None
        if abs(following - correlation) < 1e-12:
            break
        correlation = following
    variance = robust_variance(sums, correlation)
    if variance <= 1e-26 * float(np.abs(sums.mean).max()) ** 2:
        return None
    slopes = sums.solved(correlation / (1 - correlation))[1]
    difference = sums.difference(slopes, math.sqrt(variance), float(df))
    return ClusterModel(difference, None, None, correlation, boundary=False)


def robust_variance(sums: Sums, correlation: float) -> float:
    """Mancl and DeRouen's variance of the arm's coefficient at this working correlation."""
    ratio = correlation / (1 - correlation)
    inverse, slopes, _ = sums.solved(ratio)
    root = np.sqrt(sums.n)
    design, residual = root[:, None] * sums.design, root * (sums.mean - sums.design @ slopes)
    scores = []
    for entries in np.split(np.argsort(sums.label, kind="stable"), np.cumsum(np.bincount(sums.label))[:-1]):
        own, along = design[entries], root[entries]
        solving = np.eye(len(entries)) - ratio / (1 + ratio * float(along @ along)) * np.outer(along, along)
        hat = own @ inverse @ own.T @ solving
        corrected = np.linalg.lstsq(np.eye(len(entries)) - hat, residual[entries], rcond=1e-10)[0]
        scores.append(float(inverse[-1] @ own.T @ solving @ corrected))
    return float(np.square(scores).sum())


def _deviance(sums: Sums, ratio: float) -> float:
    """Minus twice the restricted log likelihood at a ratio, at its best variance inside clusters, up to a constant."""
    inverse, _, rest = sums.solved(ratio)
    scale = np.log(1 + ratio * sums.sizes).sum() - np.linalg.slogdet(inverse)[1]
    return float(sums.free * math.log(max(rest, 1e-300)) + scale)


def _least(function: Callable[[float], float]) -> float:
    """The ratio from 0 to `_WIDEST` with the least value; 0 itself where no other is less."""
    from scipy.optimize import minimize_scalar

    grid = np.concatenate([[0.0], np.geomspace(1e-4, _WIDEST, 61)])
    values = [function(float(point)) for point in grid]
    best = int(np.argmin(values))
    low, high = math.sqrt(grid[max(best - 1, 0)]), math.sqrt(grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(
        lambda root: function(root * root), bounds=(low, high), method="bounded", options={"xatol": 1e-9}
    )
    ratio = float(found.x) ** 2
    return 0.0 if values[0] <= float(found.fun) or ratio < 1e-10 else ratio


def _satterthwaite(sums: Sums, between: float, within: float) -> float:
    """Degrees of freedom `2 f^2 / g'Ag`: `f` the variance of the coefficient, `g` its slope, `A` the variances' own covariance."""

    def variance(point: FloatArray) -> float:
        return float(point[1]) * float(sums.solved(float(point[0] / point[1]))[0][-1, -1])

    def deviance(point: FloatArray) -> float:
        ratio, inner = float(point[0] / point[1]), float(point[1])
        inverse, _, rest = sums.solved(ratio)
        logs = float(np.log(1 + ratio * sums.sizes).sum() - np.linalg.slogdet(inverse)[1])
        return sums.free * math.log(inner) + rest / inner + logs

    point = np.array([between, within])
    steps = np.minimum(0.02 * within, 0.2 * point)
    slope = _richardson(lambda shrink: _gradient(variance, point, steps * shrink))
    curve = _richardson(lambda shrink: _hessian(deviance, point, steps * shrink))
    spread = float(slope @ np.linalg.solve(curve / 2, slope))
    return 2 * variance(point) ** 2 / spread if spread > 0 else float(_counted_df(sums))


def _gradient(function: Callable[[FloatArray], float], point: FloatArray, steps: FloatArray) -> FloatArray:
    shifts = np.diag(steps)
    return np.array([(function(point + s) - function(point - s)) / (2 * h) for s, h in zip(shifts, steps, strict=True)])


def _hessian(function: Callable[[FloatArray], float], point: FloatArray, steps: FloatArray) -> FloatArray:
    shifts, found = np.diag(steps), np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            ends = [function(point + a * shifts[i] + b * shifts[j]) * a * b for a in (1, -1) for b in (1, -1)]
            found[i, j] = sum(ends) / (4 * steps[i] * steps[j])
    return found


def _richardson(derivative: Callable[[float], FloatArray]) -> FloatArray:
    """Central differences at a step and at half of it, with their leading error taken off."""
    return np.asarray((4 * derivative(0.5) - derivative(1.0)) / 3)


def _counted_df(sums: Sums) -> float:
    """Clusters less coefficients; where clusters have units in both arms, units less clusters and coefficients beside."""
    arm = sums.design[:, -1]
    whole = len(np.unique(np.column_stack([sums.label, arm]), axis=0)) == len(sums.sizes)
    if whole:
        return float(len(sums.sizes) - sums.design.shape[1])
    return float(int(sums.n.sum()) - len(sums.sizes) - sums.design.shape[1] + 1)


def _moment_correlation(sums: Sums, slopes: FloatArray) -> float | None:
    """Mean product of two residuals of a cluster, over their mean square; None where there are no such pairs."""
    left = sums.mean - sums.design @ slopes
    squares = sums.inner + float(sums.n @ left**2)
    products = (float((np.bincount(sums.label, sums.n * left) ** 2).sum()) - squares) / 2
    pairs = float((sums.sizes * (sums.sizes - 1)).sum()) / 2
    if pairs <= 0 or squares <= 0:
        return None
    found = products / pairs / (squares / float(sums.n.sum()))
    return float(min(max(found, -0.9 / float(sums.sizes.max())), 0.9999))
