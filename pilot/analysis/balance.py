"""Whether two arms are alike in what was known of them before, or among those who answered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray, Joint, pooled
from pilot.analysis.tables import log_chi_square_upper
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

SMALL, LARGE = 0.1, 0.25
"""A standardised difference above the first is worth a look; above the second the arms differ."""


@dataclass(frozen=True, slots=True)
class Standardised:
    """Two arms compared in one column.

    Attributes:
        difference: Of the means, pilot minus control, over the root of the mean of the two variances.
        standard_error: Of the standardised difference.
        variance_ratio: Variance of the pilot arm over that of control; None where control has none.
    """

    difference: float
    standard_error: float
    variance_ratio: float | None

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided interval."""
        half = normal_quantile((1 + level) / 2) * self.standard_error
        return self.difference - half, self.difference + half


def standardised(n: npt.ArrayLike, mean: npt.ArrayLike, m2: npt.ArrayLike) -> Standardised | None:
    """The standardised difference of means of two arms.

    Args:
        n: Units of control and of the pilot arm.
        mean: Their means.
        m2: Their centred sums of squares.

    Returns:
        The difference, or None where an arm has fewer than two units, or neither has any spread to measure it by.

    Reference: Austin 2009, Statistics in Medicine 28:3083; standard error of Hedges and Olkin 1985, ch. 5.
    """
    units, means, squares = (np.asarray(values, dtype=np.float64) for values in (n, mean, m2))
    if (units < 2).any():
        return None
    control, pilot = (float(value) for value in squares / (units - 1))
    gap, spread = float(means[1] - means[0]), math.sqrt((control + pilot) / 2)
    if spread == 0:
        return None
    difference = gap / spread
    error = math.sqrt(float((1 / units).sum()) + difference**2 / (2 * float(units.sum())))
    return Standardised(difference, error, pilot / control if control > 0 else None)


@dataclass(frozen=True, slots=True)
class Omnibus:
    """All columns together against what the assignment alone would give.

    Attributes:
        distance: Squared Mahalanobis distance of the arms, in the covariance that shuffling inside strata gives.
        df: Columns that say something of their own.
    """

    distance: float
    df: int

    @property
    def log_p(self) -> float:
        """Logarithm of the chance that the assignment alone gives a distance as large, by the chi-square law."""
        return log_chi_square_upper(self.distance, self.df) if self.df else 0.0


def mahalanobis(n: npt.ArrayLike, mean: npt.ArrayLike, cross: npt.ArrayLike) -> Omnibus | None:
    """Compare two arms in all columns at once, inside strata, by the law of the random assignment.

    Given who is in a stratum, each choice of its pilot units is equally likely; that gives the covariance of the
    differences exactly. Strata count by `n1 n0 / (n1 + n0)`.

    Args:
        n: Units by (arm, stratum), control first.
        mean: Means by (arm, stratum, column); anything where there are no units.
        cross: Centred sums of products by (arm, stratum, column, column).

    Returns:
        The distance, or None where no stratum has units of both arms.

    Reference: Hansen and Bowers 2008, Statistical Science 23:219.
    """
    units = np.asarray(n, dtype=np.float64)
    both = (units > 0).all(axis=0) & (units.sum(axis=0) > 1)
    if not both.any():
        return None
    units, means, products = units[:, both], np.asarray(mean)[:, both], np.asarray(cross)[:, both]
    whole = units.sum(axis=0)
    weight = units[0] * units[1] / whole
    gap = means[1] - means[0]
    total = products.sum(axis=0) + weight[:, None, None] * gap[:, :, None] * gap[:, None, :]
    covariance = ((weight / (whole - 1))[:, None, None] * total).sum(axis=0)
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    moved = (weight[:, None] * gap).sum(axis=0) / scale
    roots, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = roots > 1e-9 * max(float(roots.max()), 1e-300)
    along = axes[:, kept].T @ moved
    return Omnibus(float((along**2 / roots[kept]).sum()), int(kept.sum()))


@dataclass(frozen=True, slots=True)
class Response:
    """What answering did to the arms' likeness in one column.

    Attributes:
        column: Its name.
        assigned: Standardised difference of the arms among all assigned; None where it is undefined.
        answered: The same among those who answered.
        control: Mean of those who answered less the mean of all assigned, in standard deviations, in control.
        pilot: The same in the pilot arm.
    """

    column: str
    assigned: float | None
    answered: float | None
    control: float | None
    pilot: float | None


def response_balance(assigned: Joint, answered: Joint, arm: int = 1) -> tuple[Response, ...]:
    """Whether those who answered are like those assigned, and the arms still like each other, column by column.

    Args:
        assigned: Moments of the columns over all assigned units, by (arm, stratum).
        answered: Moments of the same columns over those who answered.
        arm: Row of the pilot arm.

    Raises:
        InputError: The two have different columns.
    """
    if assigned.columns != answered.columns:
        raise InputError("the two have different columns", place=", ".join(answered.columns))
    found = []
    for place, column in enumerate(assigned.columns):
        whole, part = (_moments(joint, (0, arm), place) for joint in (assigned, answered))
        shifts = []
        for (n, mean, m2), (k, own, _) in zip(whole, part, strict=True):
            spread = math.sqrt(m2 / (n - 1)) if n > 1 else 0.0
            shifts.append((own - mean) / spread if spread > 0 and k else None)
        ends = [standardised(*zip(*group, strict=True)) for group in (whole, part)]
        values = [None if end is None else end.difference for end in ends]
        found.append(Response(column, values[0], values[1], shifts[0], shifts[1]))
    return tuple(found)


def _moments(joint: Joint, arms: tuple[int, int], column: int) -> list[tuple[int, float, float]]:
    """(n, mean, m2) of one column in two arms, over all strata."""
    return [pooled(joint.n[arm], joint.mean[arm, :, column], joint.cross[arm, :, column, column]) for arm in arms]


@dataclass(frozen=True, slots=True)
class Distance:
    """Two distributions compared: the largest gap between their curves, and its p value."""

    gap: float
    p_value: float


def kolmogorov_smirnov(control: npt.ArrayLike, pilot: npt.ArrayLike) -> Distance:
    """The largest gap between the distribution functions of two samples.

    The p value is exact up to 10,000 pairs of sizes, where there are no ties; with ties it is on the safe side.

    Reference: Smirnov 1939; Hodges 1958, Arkiv foer Matematik 3:469. Computed by `scipy.stats.ks_2samp`.

    Raises:
        InputError: A sample is empty or holds what is not a finite number.
    """
    from scipy.stats import ks_2samp

    samples: list[FloatArray] = [np.asarray(values, dtype=np.float64) for values in (control, pilot)]
    for name, sample in zip(("control", "pilot"), samples, strict=True):
        if not len(sample) or not np.isfinite(sample).all():
            raise InputError("a sample is empty or holds what is not a finite number", place=name)
    method = "exact" if len(samples[0]) * len(samples[1]) <= 10_000 else "asymp"
    found = ks_2samp(*samples, method=method)
    return Distance(float(found.statistic), float(found.pvalue))
