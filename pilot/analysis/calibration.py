"""Weights that make a sample agree with what is known of the population."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.analysis.surveyweights import Design, Estimate
from pilot.errors import InputError


def weighting_classes(assigned: npt.ArrayLike, answered: npt.ArrayLike) -> FloatArray:
    """How many of those assigned each answer stands for, class by class; 0 for a class without anybody.

    Args:
        assigned: Units of each class, in any shape.
        answered: Those with an answer.

    Reference: Oh and Scheuren 1983; Little and Rubin 2019, Statistical Analysis with Missing Data, section 3.3.

    Raises:
        InputError: A class has more answers than units, or units and no answer.
    """
    units, answers = np.asarray(assigned, dtype=np.float64), np.asarray(answered, dtype=np.float64)
    if (answers > units).any():
        raise InputError("more answers than assigned units", place="answered", remedy="Count each unit once")
    if ((units > 0) & (answers == 0)).any():
        raise InputError("nobody of a class answered", place="answered", remedy="Join it with another class")
    return np.asarray(units / np.maximum(answers, 1), dtype=np.float64)


def post_stratify(weights: npt.ArrayLike, cell: npt.ArrayLike, totals: npt.ArrayLike) -> FloatArray:
    """Weights scaled in each cell to the cell's number in the population.

    Args:
        weights: Of the units.
        cell: Number of each unit's cell, from 0.
        totals: The population's number by cell.

    Reference: Holt and Smith 1979, JRSS A 142:33.

    Raises:
        InputError: A cell of the population has no unit, or a unit is in none of the cells.
    """
    weight, place = np.asarray(weights, dtype=np.float64), np.asarray(cell)
    wanted = np.asarray(totals, dtype=np.float64)
    if len(place) and not 0 <= place.min() <= place.max() < len(wanted):
        raise InputError("a unit is in a cell that the population lacks", place="cell", remedy="Give its number too")
    found = np.bincount(place, weight, minlength=len(wanted))
    if ((found == 0) & (wanted > 0)).any():
        raise InputError("a cell of the population has no unit in the sample", place="cell", remedy="Join cells")
    return np.asarray(weight * (wanted / np.where(found > 0, found, 1))[place], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Raked:
    """Raked weights and how it went.

    Attributes:
        weights: Of the units.
        rounds: Rounds over all margins.
        gap: Largest relative difference between a margin and its total at the end.
        converged: Whether `gap` is within the tolerance.
        trimmed: Units whose weight lies on a limit.
        limits: Smallest and largest weight over their mean.
    """

    weights: FloatArray
    rounds: int
    gap: float
    converged: bool
    trimmed: int
    limits: tuple[float, float]


def rake(
    weights: npt.ArrayLike,
    margins: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    tolerance: float = 1e-9,
    rounds: int = 500,
    trim: tuple[float, float] = (0.0, math.inf),
) -> Raked:
    """Fit weights to several margins in turn until all agree.

    Args:
        weights: Of the units, to begin with.
        margins: For each, the number of each unit's level, from 0, and the population's number by level.
        tolerance: Relative gap at which a margin is met.
        rounds: Most rounds over all margins.
        trim: Least and most a weight may be, over the mean weight. Weights are cut after each round, and the rest makes
            up for it in the next; limits too narrow for the margins leave a gap, which the result says.

    Reference: Deming and Stephan 1940, Annals of Mathematical Statistics 11:427.

    Raises:
        InputError: A level of the population has no unit, or margins have different totals.
    """
    fitted = np.asarray(weights, dtype=np.float64)
    sums = [float(np.asarray(totals, dtype=np.float64).sum()) for _, totals in margins]
    if max(sums) - min(sums) > 1e-6 * max(sums):
        raise InputError("the margins have different totals", place="margins", remedy="Bring them to one total")
    gap, done = math.inf, 0
    low, high = (share * sums[0] / len(fitted) for share in trim)
    while gap > tolerance and done < rounds:
        for level, totals in margins:
            fitted = post_stratify(fitted, level, totals)
        fitted, done = np.clip(fitted, low, high), done + 1
        gap = max(_gap(fitted, level, totals) for level, totals in margins)
    centre = fitted.mean()
    limits = (float(fitted.min() / centre), float(fitted.max() / centre))
    return Raked(fitted, done, gap, gap <= tolerance, int(((fitted <= low) | (fitted >= high)).sum()), limits)


def _gap(weights: FloatArray, level: npt.ArrayLike, totals: npt.ArrayLike) -> float:
    wanted = np.asarray(totals, dtype=np.float64)
    found = np.bincount(np.asarray(level), weights, minlength=len(wanted))
    return float((np.abs(found - wanted) / np.where(wanted > 0, wanted, 1)).max())


def calibrate(
    weights: npt.ArrayLike, x: npt.ArrayLike, totals: npt.ArrayLike, *, distance: Literal["linear", "raking"] = "linear"
) -> FloatArray:
    """The weights nearest to the given ones whose sums of `x` are those of the population.

    Args:
        weights: Of the units.
        x: Known quantities by (unit, column); a column of ones for the number of units.
        totals: Their totals in the population.
        distance: `linear` is the regression estimator, and may give weights below 0; `raking` keeps them above 0.

    Reference: Deville and Saerndal 1992, JASA 87:376.

    Raises:
        InputError: The columns depend on each other, or no weights above 0 reach the totals.
    """
    weight, columns = np.asarray(weights, dtype=np.float64), np.asarray(x, dtype=np.float64)
    wanted = np.asarray(totals, dtype=np.float64)
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise InputError("the columns depend on each other", place="x", remedy="Leave one of them out")
    slope, factor = np.zeros(columns.shape[1]), np.ones(len(weight))
    for _ in range(1 if distance == "linear" else 100):
        short = wanted - columns.T @ (weight * factor)
        if np.abs(short).max() <= 1e-12 * np.abs(wanted).max():
            break
        slope = slope + np.linalg.lstsq((columns.T * (weight * factor)) @ columns, short, rcond=None)[0]
        factor = 1 + columns @ slope if distance == "linear" else np.exp(np.minimum(columns @ slope, 50.0))
    short = wanted - columns.T @ (weight * factor)
    if np.abs(short).max() > 1e-8 * np.abs(wanted).max():
        raise InputError("no weights above 0 reach the totals", place="totals", remedy="Use fewer columns")
    return np.asarray(weight * factor, dtype=np.float64)


def calibrated_mean(values: npt.ArrayLike, design: Design, x: npt.ArrayLike, calibrated: npt.ArrayLike) -> Estimate:
    """The mean under calibrated, raked or post-stratified weights; its variance is that of the residuals on `x`.

    What `x` explains of the values is known of the population, and adds nothing to the uncertainty.

    Args:
        values: One for each unit.
        design: How they were drawn, with the weights before calibration.
        x: The columns that the weights were fitted to; for margins and cells, their indicators.
        calibrated: The fitted weights.

    Reference: Deville and Saerndal 1992, JASA 87:376; Saerndal, Swensson and Wretman 1992, section 6.6.

    Raises:
        InputError: The design has a stratum with one cluster.
    """
    numbers, columns = np.asarray(values, dtype=np.float64), np.asarray(x, dtype=np.float64)
    fitted = np.asarray(calibrated, dtype=np.float64)
    whole = fitted.sum()
    value = float(fitted @ numbers / whole)
    root = np.sqrt(design.weight)
    gap = (numbers - value) / whole
    slope = np.linalg.lstsq(columns * root[:, None], gap * root, rcond=None)[0]
    parts, df = design.parts((fitted * (gap - columns @ slope))[:, None])
    return Estimate(value, math.sqrt(float(parts.sum())), int(df.sum()))


def indicators(*levels: npt.ArrayLike) -> FloatArray:
    """Columns of 1 and 0 by (unit, level) for margins or cells: all levels of the first, all but one of the others."""
    found = []
    for place, level in enumerate(levels):
        codes = np.asarray(level)
        found.append((codes[:, None] == np.unique(codes)[min(place, 1) :]).astype(np.float64))
    return np.column_stack(found)
