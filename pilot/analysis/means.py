"""Differences of means with t intervals, plain or by strata, from n, mean and centred sum of squares alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray, IntArray, pooled
from pilot.analysis.tails import log_t_upper, t_quantile, two_sided

_ROUNDING = 1e-15
"""A standard error below this share of the means is the rounding of equal values."""


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A difference of means, pilot minus control, with its uncertainty.

    Attributes:
        estimate: The difference.
        standard_error: Of the difference, above 0.
        df: Welch-Satterthwaite degrees of freedom.
        means: The two means it is the difference of, control first; weighted as the estimate is.
    """

    estimate: float
    standard_error: float
    df: float
    means: tuple[float, float]

    @property
    def t(self) -> float:
        """The difference in standard errors."""
        return self.estimate / self.standard_error

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value of no difference."""
        return two_sided(log_t_upper(abs(self.t), self.df))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval."""
        half = t_quantile((1 + level) / 2, self.df) * self.standard_error
        return self.estimate - half, self.estimate + half

    def log_p_beyond(self, threshold: float) -> float:
        """Logarithm of the one-sided p value that the difference lies on zero's side of `threshold`."""
        distance = self.estimate - threshold
        return log_t_upper((distance if threshold < 0 else -distance) / self.standard_error, self.df)


@dataclass(frozen=True, slots=True)
class Layers:
    """Moments by (arm, stratum) with the strata's weights, after strata too thin for a variance were joined.

    Attributes:
        n, mean, m2: Moments; control in row 0.
        weights: Share of each stratum in the population; they sum to 1.
        joined: Labels of the strata that were joined into the last one; empty if none was.
        gap: Share by which the arms differ in their make-up of the joined strata: what joining them leaves uncompared.
    """

    n: IntArray
    mean: FloatArray
    m2: FloatArray
    weights: FloatArray
    joined: tuple[str, ...] = ()
    gap: float = 0.0


def mean_difference(
    n: npt.ArrayLike, mean: npt.ArrayLike, m2: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> MeanDifference | None:
    """The difference of two means, or the weighted sum of the differences inside strata.

    The variance is `sum w^2 (s1^2 / n1 + s0^2 / n0)`, each arm and stratum with its own spread, and the degrees of
    freedom are Satterthwaite's over all these cells. One stratum gives Welch's test.

    Args:
        n: Values by arm, or by (arm, stratum); control first.
        mean: Their means.
        m2: Their centred sums of squares.
        weights: Of the strata; they need not sum to 1.

    Returns:
        The difference, or None where a cell has fewer than two values or no value differs from its cell's mean.

    Reference: Welch 1947, Biometrika 34:28; Satterthwaite 1946, Biometrics Bulletin 2:110; Imbens and Rubin 2015, ch. 9.
    """
    sizes, means, squares = (np.asarray(a, dtype=np.float64).reshape(2, -1) for a in (n, mean, m2))
    share = np.ones(sizes.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    if (sizes < 2).any():
        return None
    cells = share**2 * squares / (sizes - 1) / sizes
    variance = float(cells.sum())
    if variance <= (_ROUNDING * float(np.abs(means).max())) ** 2:
        return None
    control, pilot = (float(value) for value in means @ share)
    relative = cells / variance
    df = 1 / float((relative**2 / (sizes - 1)).sum())
    return MeanDifference(pilot - control, math.sqrt(variance), df, (control, pilot))


def layers(
    n: npt.ArrayLike, mean: npt.ArrayLike, m2: npt.ArrayLike, weights: npt.ArrayLike, labels: Sequence[str]
) -> Layers:
    """Join strata in which an arm has fewer than two values, so that none of them is silently dropped.

    They become one stratum with the sum of their weights; while that is still too thin, it takes in the smallest other.
    """
    sizes, means, squares = np.asarray(n), np.asarray(mean), np.asarray(m2)
    share = np.asarray(weights, dtype=np.float64)
    thin: npt.NDArray[np.bool_] = np.asarray((sizes < 2).any(axis=0))
    while thin.any() and not thin.all() and (sizes[:, thin].sum(axis=1) < 2).any():
        thin[np.argmin(np.where(thin, np.iinfo(np.int64).max, sizes.sum(axis=0)))] = True
    if thin.sum() < 2:
        return Layers(sizes, means, squares, share / share.sum())
    merged = np.array([pooled(sizes[row, thin], means[row, thin], squares[row, thin]) for row in (0, 1)])
    return Layers(
        np.column_stack([sizes[:, ~thin], merged[:, 0].astype(np.int64)]),
        np.column_stack([means[:, ~thin], merged[:, 1]]),
        np.column_stack([squares[:, ~thin], merged[:, 2]]),
        np.append(share[~thin], share[thin].sum()) / share.sum(),
        tuple(label for label, gone in zip(labels, thin, strict=True) if gone),
        make_up_gap(sizes[:, thin]),
    )


def make_up_gap(n: IntArray) -> float:
    """Share of an arm that would have to change its stratum for both arms to be made up alike; n by (arm, stratum)."""
    control, pilot = n / n.sum(axis=1, keepdims=True)
    return float(np.abs(pilot - control).sum() / 2)
