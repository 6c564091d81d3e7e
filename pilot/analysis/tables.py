"""Tables of arms by level: chi-square, and the trend of scores, plain or by strata.

Counts are by (arm, level) or (arm, stratum, level), control first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chndtrinc, gammaincc, gammaln

from pilot.analysis.moments import FloatArray
from pilot.analysis.shares import newcombe
from pilot.analysis.tails import log_normal_upper, log_t_upper, t_quantile, two_sided

Scores = Literal["levels", "ridits"]
"""What a level counts for: its own value, or its ridit, the share of units below it and half of those on it."""

_DEEP = 1e-290
"""Below this a tail is computed by its logarithm."""


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """Pearson's chi-square of a table without its empty rows and columns.

    Attributes:
        statistic, df: Chi-square without continuity correction, and its degrees of freedom, at least 1.
        units: Units in the table.
        smallest: Smallest expected count.
        sparse: Share of cells with an expected count below 5.
    """

    statistic: float
    df: int
    units: int
    smallest: float
    sparse: float

    @property
    def log_p(self) -> float:
        """Logarithm of the p value."""
        return log_chi_square_upper(self.statistic, self.df)

    def cramer_v(self, level: float = 0.95) -> tuple[float, float, float]:
        """Cramer's V of a table with two rows, and its limits from the noncentral chi-square law.

        Reference: Cramer 1946, Mathematical Methods of Statistics, section 21.9; Smithson 2003, Confidence Intervals.
        """
        tail = (1 - level) / 2
        limits = (_noncentrality(self.statistic, self.df, probability) for probability in (1 - tail, tail))
        low, high = (min(1.0, math.sqrt(limit / self.units)) for limit in limits)
        return math.sqrt(self.statistic / self.units), low, high


@dataclass(frozen=True, slots=True)
class ShareDifference:
    """The level at which the shares of two arms differ most.

    Attributes:
        position: Of the level.
        estimate: Share in the pilot arm minus share in control.
        low, high: Limits that hold for all levels at once.
    """

    position: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """A difference of mean scores inside strata, pilot minus control, and its test.

    Attributes:
        estimate: Differences inside strata weighted by `n1 n0 / (n1 + n0)`.
        standard_error, df: From the spread inside the arms, with Satterthwaite's degrees of freedom; 0 if there is none.
        z: The sum of scores in standard deviations of its permutation law; its square is the Mantel-Haenszel chi-square.
        strata: Strata that have both arms.
    """

    estimate: float
    standard_error: float
    df: float
    z: float
    strata: int

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value of `z` by the normal law, without continuity correction."""
        return two_sided(log_normal_upper(abs(self.z)))

    @property
    def log_p_of_estimate(self) -> float:
        """Logarithm of the two-sided p value that belongs to the interval."""
        return two_sided(log_t_upper(abs(self.estimate / self.standard_error), self.df))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval by the t law."""
        half = t_quantile((1 + level) / 2, self.df) * self.standard_error
        return self.estimate - half, self.estimate + half


def chi_square(counts: npt.ArrayLike) -> ChiSquare | None:
    """Pearson's chi-square; None where fewer than two arms or two levels have units.

    Args:
        counts: Units by (arm, level).

    Reference: Agresti 2002, Categorical Data Analysis, section 3.2.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return None
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return ChiSquare(
        statistic=float(((table - expected) ** 2 / expected).sum()),
        df=(table.shape[0] - 1) * (table.shape[1] - 1),
        units=int(table.sum()),
        smallest=float(expected.min()),
        sparse=float((expected < 5).mean()),
    )


def largest_share_difference(counts: npt.ArrayLike, level: float = 0.95) -> ShareDifference:
    """The level whose share differs most between two arms, with Newcombe's limits made wide enough for all levels.

    The error is shared out among the levels that occur (Bonferroni); two levels are one comparison.

    Args:
        counts: Units by (arm, level), control first; no arm is empty.
        level: Confidence level of all intervals together.

    Reference: Newcombe 1998, Statistics in Medicine 17:873, method 10; Goodman 1964, Ann. Math. Statist. 35:716.
    """
    table = np.asarray(counts, dtype=np.int64)
    n = table.sum(axis=1)
    shares = table / n[:, None]
    gaps = shares[1] - shares[0]
    position = int(np.argmax(np.round(np.abs(gaps), 12)))
    used = int((table.sum(axis=0) > 0).sum())
    each = 1 - (1 - level) / (used if used > 2 else 1)
    control, pilot = ((int(table[row, position]), int(n[row])) for row in (0, 1))
    return ShareDifference(position, float(gaps[position]), *newcombe(pilot, control, each))


def score_difference(
    counts: npt.ArrayLike, levels: Sequence[float], scores: Scores = "levels"
) -> ScoreDifference | None:
    """The trend of a table: difference of mean scores inside strata, and the Mantel-Haenszel test of it.

    A stratum in which an arm has a single unit shows no spread of that arm: it adds the spread of both arms together.

    Args:
        counts: Units by (arm, stratum, level), control first.
        levels: The values of the levels, ascending.
        scores: What a level counts for; ridits are those of the stratum, both arms together.

    Returns:
        The difference, or None where no stratum has both arms and two different scores.

    Reference: Mantel 1963, JASA 58:690; Landis, Heyman and Koch 1978, International Statistical Review 46:237.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[:, (table.sum(axis=2) > 0).all(axis=0)]
    if table.shape[1] == 0:
        return None
    n, both, size = table.sum(axis=2), table.sum(axis=0), table.sum(axis=(0, 2))
    values = np.broadcast_to(np.asarray(levels, dtype=np.float64), both.shape) if scores == "levels" else ridits(both)
    centre = (both * values).sum(axis=1) / size
    around = values - centre[:, None]
    scatter = (both * around**2).sum(axis=1)
    means, weights = (table * around).sum(axis=2) / n, n[0] * n[1] / size
    gap = means[1] - means[0]
    permuted = float((weights * scatter / (size - 1)).sum())
    if permuted <= 0:
        return None
    squares = (table * (around - means[..., None]) ** 2).sum(axis=2)
    variance, df = _spread(n, squares, scatter, weights / weights.sum())
    return ScoreDifference(
        estimate=float(weights @ gap / weights.sum()),
        standard_error=math.sqrt(variance),
        df=df,
        z=float(weights @ gap) / math.sqrt(permuted),
        strata=table.shape[1],
    )


def ridits(both: FloatArray) -> FloatArray:
    """Ridit of each level in its stratum: the share of units below it, and half of those on it.

    Args:
        both: Units of both arms by (stratum, level), no stratum empty.
    """
    return np.asarray((np.cumsum(both, axis=1) - both / 2) / both.sum(axis=1, keepdims=True))


def log_chi_square_upper(x: float, df: float) -> float:
    """Logarithm of the chance that a chi-square variable with `df` degrees of freedom exceeds `x`."""
    tail = float(gammaincc(df / 2, x / 2))
    return math.log(tail) if tail > _DEEP else _log_incomplete_gamma(df / 2, x / 2)


def _log_incomplete_gamma(a: float, x: float) -> float:
    """Logarithm of the regularised upper incomplete gamma function far above its centre, by a continued fraction.

    Reference: Abramowitz and Stegun 1964, 6.5.31, in its even form, evaluated by Lentz's method.

    Args:
        a: Shape.
        x: Lower end of the integral, well above `a`.
    """
    b = x + 1 - a
    c, d = math.inf, 1 / b
    fraction = d
    for i in range(1, 1000):
        numerator = -i * (i - a)
        b += 2
        d, c = 1 / (numerator * d + b), b + numerator / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return a * math.log(x) - x - float(gammaln(a)) + math.log(fraction)


def _spread(n: FloatArray, squares: FloatArray, scatter: FloatArray, share: FloatArray) -> tuple[float, float]:
    """Variance of the weighted difference of means and Satterthwaite's degrees of freedom."""
    size, thin = n.sum(axis=0), (n < 2).any(axis=0)
    cells = share**2 * squares / np.maximum(n - 1, 1) / n
    pooled = share**2 * scatter / (size - 1) * size / (n[0] * n[1])
    parts = np.concatenate([cells[:, ~thin].ravel(), pooled[thin]])
    freedom = np.concatenate([(n - 1)[:, ~thin].ravel(), size[thin] - 1])
    variance = float(parts.sum())
    return variance, variance**2 / float((parts**2 / freedom).sum()) if variance > 0 else float(freedom.sum())


def _noncentrality(statistic: float, df: int, probability: float) -> float:
    """The noncentrality under which a chi-square variable stays below `statistic` with this probability; 0 if none."""
    if 1 - gammaincc(df / 2, statistic / 2) <= probability:
        return 0.0
    return float(chndtrinc(statistic, df, probability))
