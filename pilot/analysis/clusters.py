"""Units that come in clusters (a sales rep's customers): robust errors, intraclass correlation, design effect.

All of it needs the clusters' moments only: residuals inside a cluster and arm sum to nothing in every estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pilot.analysis.means import MeanDifference
from pilot.analysis.moments import Clusters, FloatArray, IntArray

_ZERO = 1e-10
"""An eigenvalue of an adjustment matrix below this is 0: a stratum's fixed effect leaves nothing of the cluster."""


@dataclass(frozen=True, eq=False, slots=True)
class WholeClusters:
    """One entry per cluster, none of which has units in two arms.

    Attributes:
        arm: 0 for control, 1 for the pilot arm.
        stratum: Position of the cluster's stratum, or -1 where its units lie in several.
        n, mean, m2: Its units, their mean and centred sum of squares.
    """

    arm: IntArray
    stratum: IntArray
    n: IntArray
    mean: FloatArray
    m2: FloatArray


def cluster_robust(clusters: Clusters, *, by_strata: bool = True, simple: bool = False) -> MeanDifference | None:
    """Difference of arm means over units, with the standard error of clusters that are independent of each other.

    It is the coefficient of the arm in a least-squares regression on arm and, where there are several, strata as fixed
    effects. CR2: each cluster's residuals are multiplied by `(I - H)^(-1/2)`, which makes the variance unbiased if units
    are independent after all; degrees of freedom by Bell and McCaffrey under the same working model.

    Args:
        clusters: Moments by cluster; a cluster may have units in both arms and in several strata.
        by_strata: Whether strata are fixed effects.
        simple: CR1 instead: factor `J / (J - 1)` for J clusters, and J - 1 degrees of freedom.

    Returns:
        The difference, or None where the arms cannot be told from the strata, there are fewer than two clusters, or no
        spread.

    Reference: Bell and McCaffrey 2002, Survey Methodology 28:169; Pustejovsky and Tipton 2018, JBES 36:672.
    """
    _, label = np.unique(clusters.label, return_inverse=True)
    number = int(label.max(initial=-1)) + 1
    root = np.sqrt(clusters.n.astype(np.float64))
    plain = design_of(clusters, by_strata=by_strata)
    design = plain * root[:, None]
    if number < 2 or not _estimable(design):
        return None
    inside = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    slopes = inside @ (design.T @ (root * clusters.mean))
    residual = root * (clusters.mean - plain @ slopes)
    plain_pull: FloatArray = design @ inside[:, -1]
    pull = plain_pull * math.sqrt(number / (number - 1)) if simple else _adjusted(label, design, inside, plain_pull)
    scores = np.bincount(label, pull * residual)
    variance = float((scores**2).sum())
    scale = float(np.abs(clusters.mean).max())
    if variance <= (1e-13 * scale) ** 2 * float((pull**2).sum()):
        return None
    df = number - 1.0 if simple else _bell_mccaffrey(label, design, inside, pull)
    estimate = float(slopes[-1])
    share = clusters.n / clusters.n.sum()
    control = float(share @ clusters.mean) - estimate * float(share @ clusters.arm)
    return MeanDifference(estimate, math.sqrt(variance), df, (control, control + estimate))


def whole_clusters(clusters: Clusters) -> WholeClusters | None:
    """Clusters as single entries, or None where one has units in both arms."""
    _, first, label = np.unique(clusters.label, return_index=True, return_inverse=True)
    if (clusters.arm != clusters.arm[first][label]).any():
        return None
    size = np.bincount(label, clusters.n)
    mean = np.bincount(label, clusters.n * clusters.mean) / size
    squares: FloatArray = clusters.m2 + clusters.n * (clusters.mean - mean[label]) ** 2
    m2 = np.bincount(label, squares).astype(np.float64)
    several = np.bincount(label, clusters.stratum != clusters.stratum[first][label]) > 0
    stratum = np.where(several, -1, clusters.stratum[first])
    return WholeClusters(clusters.arm[first], stratum, size.astype(np.int64), mean, m2)


def intraclass_correlation(clusters: Clusters) -> float | None:
    """How alike units of a cluster are: the share of the variance inside arms that lies between clusters.

    The analysis-of-variance estimator, pooled over the arms; it can be below 0. None where it is undefined: no arm with
    two clusters, no cluster with two units, or no variance.

    Reference: Donner and Klar 2000, Design and Analysis of Cluster Randomization Trials, 6.2.
    """
    key = clusters.label * (int(clusters.arm.max(initial=0)) + 1) + clusters.arm
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    arm = clusters.arm[first]
    size = np.bincount(group, clusters.n)
    mean = np.bincount(group, clusters.n * clusters.mean) / np.maximum(size, 1)
    within = float((clusters.m2 + clusters.n * (clusters.mean - mean[group]) ** 2).sum())
    units = np.bincount(arm, size)
    centre = np.bincount(arm, size * mean) / np.maximum(units, 1)
    between = float((size * (mean - centre[arm]) ** 2).sum())
    df_between = len(size) - int((units > 0).sum())
    df_within = int(size.sum()) - len(size)
    if df_between < 1 or df_within < 1 or between + within <= 0:
        return None
    alike = (size.sum() - float((np.bincount(arm, size**2)[units > 0] / units[units > 0]).sum())) / df_between
    over, inner = between / df_between, within / df_within
    return float((over - inner) / (over + (alike - 1) * inner))


def design_effect(mean_size: float, icc: float, variation: float = 0.0) -> float:
    """How many times larger the variance of a mean is than that of as many independent units.

    Args:
        mean_size: Units per cluster.
        icc: Intraclass correlation.
        variation: Coefficient of variation of the clusters' sizes.

    Reference: Eldridge, Ashby and Kerry 2006, Int. J. Epidemiology 35:1292; Donner and Klar 2000, 5.2.
    """
    return 1 + ((1 + variation**2) * mean_size - 1) * icc


def design_of(clusters: Clusters, *, by_strata: bool) -> FloatArray:
    """Indicators of the strata, or a constant, and last the arm; one row per entry."""
    _, stratum = np.unique(clusters.stratum if by_strata else np.zeros_like(clusters.stratum), return_inverse=True)
    design = np.zeros((len(stratum), int(stratum.max(initial=-1)) + 2))
    design[np.arange(len(stratum)), stratum] = 1.0
    design[:, -1] = clusters.arm
    return design


def _estimable(design: FloatArray) -> bool:
    strata, arm = design[:, :-1], design[:, -1]
    left = arm - strata @ ((strata.T @ arm) / (strata**2).sum(axis=0))
    return bool((left**2).sum() > _ZERO * max(float((arm**2).sum()), 1e-300))


def _adjusted(label: IntArray, design: FloatArray, inside: FloatArray, pull: FloatArray) -> FloatArray:
    """`(I - H)^(-1/2)` of each cluster times its part of `pull`."""
    room = 1 - np.einsum("ei,ij,ej->e", design, inside, design)
    found = np.where(room > _ZERO, pull / np.sqrt(np.maximum(room, _ZERO)), 0.0)
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label))
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        if end - start > 1:
            entries = order[start:end]
            values, vectors = np.linalg.eigh(np.eye(end - start) - design[entries] @ inside @ design[entries].T)
            power = np.where(values > _ZERO, 1 / np.sqrt(np.maximum(values, _ZERO)), 0.0)
            found[entries] = (vectors * power) @ (vectors.T @ pull[entries])
    return found


def _bell_mccaffrey(label: IntArray, design: FloatArray, inside: FloatArray, pull: FloatArray) -> float:
    """Degrees of freedom of the variance, if units were independent with equal spread."""
    own = np.bincount(label, pull**2)
    sums = np.column_stack([np.bincount(label, column * pull) for column in design.T])
    shared = np.einsum("ci,ij,cj->c", sums, inside, sums)
    between = sums.T @ sums @ inside
    squares = float((own**2).sum() - 2 * own @ shared + np.trace(between @ between))
    return float((own - shared).sum()) ** 2 / squares
