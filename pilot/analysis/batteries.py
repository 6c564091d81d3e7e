"""Several questions about one thing: their score, and how far it can be relied on."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri

from pilot.analysis.moments import FloatArray
from pilot.errors import InputError

_LEAST = 0.005
"""Smallest unique variance of an item; a fit that lies on it is improper (Heywood case)."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a battery.

    Attributes:
        values: Mean of the answered items, for the units that have a score.
        scored: Which units these are.
        answered: Items answered by each unit.
    """

    values: FloatArray
    scored: npt.NDArray[np.bool_]
    answered: npt.NDArray[np.int64]


def battery_scores(
    items: npt.ArrayLike, scale: tuple[float, float], *, reverse: Collection[int] = (), minimum: int | None = None
) -> Scores:
    """The mean of the answered items, for everybody who answered enough of them.

    Args:
        items: Answers by (unit, item); not a number where one is missing.
        scale: Lowest and highest answer.
        reverse: Items in which a low answer is a good one; they are turned round first.
        minimum: Items a unit must have answered; by default half of them, rounded up.

    Raises:
        InputError: An answer lies outside the scale, there is no such item, or `minimum` does not fit.
    """
    answers = _answers(items)
    width = answers.shape[1]
    low, high = scale
    given = ~np.isnan(answers)
    if not ((answers[given] >= low) & (answers[given] <= high)).all():
        raise InputError(f"an answer lies outside {low:g} to {high:g}", place="items", remedy="Correct the scale")
    if not all(0 <= item < width for item in reverse):
        raise InputError(f"there are items 0 to {width - 1} only", place="reverse")
    least = math.ceil(width / 2) if minimum is None else minimum
    if not 1 <= least <= width:
        raise InputError(f"of {width} items {least} cannot be asked for", place="minimum")
    turned = answers.copy()
    turned[:, list(reverse)] = low + high - turned[:, list(reverse)]
    number = given.sum(axis=1)
    scored = number >= least
    total = np.where(given, turned, 0.0).sum(axis=1)
    return Scores(total[scored] / number[scored], scored, number.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Alpha:
    """Cronbach's alpha.

    Attributes:
        value: Of the plain score.
        standardised: Of the score of standardised items.
        low, high: Feldt's interval.
        n: Units with all items answered.
        left_out: Units that lack one.
        without: Alpha without each item; empty where there are two only.
        item_rest: Correlation of each item with the sum of the others.
    """

    value: float
    standardised: float
    low: float
    high: float
    n: int
    left_out: int
    without: FloatArray
    item_rest: FloatArray


def cronbach_alpha(items: npt.ArrayLike, level: float = 0.95) -> Alpha:
    """Cronbach's alpha: at least this share of the score's variance is common to the items, if errors are independent.

    Args:
        items: Answers by (unit, item), all in the same direction; units that lack one are left out and counted.
        level: Two-sided confidence level.

    Reference: Cronbach 1951, Psychometrika 16:297; Feldt, Woodruff and Salih 1987, Applied Psychological
    Measurement 11:93.

    Raises:
        InputError: There are fewer than two items or three complete units, or an item has no spread.
    """
    answers = _answers(items)
    whole, left_out = _complete(answers)
    covariance = np.cov(whole.T)
    n, width = whole.shape
    value = _alpha(covariance)
    spread = np.sqrt(np.diag(covariance))
    df = (n - 1.0, (n - 1.0) * (width - 1))
    tail = (1 - level) / 2
    others = [[item for item in range(width) if item != place] for place in range(width)]
    without = [_alpha(covariance[np.ix_(rest, rest)]) for rest in others] if width > 2 else []
    rest = whole.sum(axis=1, keepdims=True) - whole
    return Alpha(
        value,
        _alpha(covariance / np.outer(spread, spread)),
        1 - (1 - value) * float(fdtri(*df, 1 - tail)),
        1 - (1 - value) * float(fdtri(*df, tail)),
        n,
        left_out,
        np.array(without),
        np.array([_correlation(whole[:, place], rest[:, place]) for place in range(width)]),
    )


def _alpha(covariance: FloatArray) -> float:
    width = len(covariance)
    return float(width / (width - 1) * (1 - np.trace(covariance) / covariance.sum()))


def _correlation(one: FloatArray, other: FloatArray) -> float:
    """Correlation; 0 where the sum of the other items has no spread."""
    return float(np.corrcoef(one, other)[0, 1]) if other.std() > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Omega:
    """McDonald's omega of a battery with one common factor.

    Attributes:
        value: Share of the score's variance that the factor explains, in the model: `(sum l)^2 / ((sum l)^2 + sum u)`.
        observed: The same over the variance that was observed, `1 - sum u / V`, as some programs print it.
        loadings: Of the standardised items.
        unique: Their unique variances.
        improper: Whether an item's unique variance went to its limit: then one factor does not describe the battery.
        n: Units with all items answered.
        left_out: Units that lack one.
    """

    value: float
    observed: float
    loadings: FloatArray
    unique: FloatArray
    improper: bool
    n: int
    left_out: int


def mcdonald_omega(items: npt.ArrayLike, *, standardised: bool = False) -> Omega:
    """McDonald's omega, from one factor by maximum likelihood.

    Args:
        items: Answers by (unit, item), all in the same direction; units that lack one are left out and counted.
        standardised: Whether the score is that of standardised items.

    Reference: McDonald 1999, Test Theory, ch. 6; Joereskog 1967, Psychometrika 32:443.

    Raises:
        InputError: There are fewer than three items or complete units, or an item has no spread.
    """
    answers = _answers(items)
    if answers.shape[1] < 3:
        raise InputError("one factor needs at least three items", place="items", remedy="Use alpha for two")
    whole, left_out = _complete(answers)
    covariance = np.cov(whole.T)
    spread = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(spread, spread)
    loadings, unique = one_factor(correlation)
    scale = np.ones(len(spread)) if standardised else spread
    common, rest = float((loadings * scale).sum()) ** 2, float((unique * scale**2).sum())
    total = float(correlation.sum() if standardised else covariance.sum())
    return Omega(
        common / (common + rest),
        1 - rest / total,
        loadings,
        unique,
        bool((unique <= _LEAST * 1.0001).any()),
        len(whole),
        left_out,
    )


def one_factor(correlation: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Loadings and unique variances of one factor by maximum likelihood; the sum of the loadings is not below 0.

    Args:
        correlation: Of the items, positive definite.

    Reference: Joereskog 1967, Psychometrika 32:443; Lawley and Maxwell 1971, Factor Analysis as a Statistical Method.

    Raises:
        InputError: Items repeat each other, so that the matrix has no inverse.
    """
    from scipy.optimize import minimize

    matrix = np.asarray(correlation, dtype=np.float64)
    if np.linalg.eigvalsh(matrix)[0] < 1e-10:
        raise InputError("items repeat each other", place="items", remedy="Leave one of them out")

    def misfit(unique: FloatArray) -> tuple[float, FloatArray]:
        root = np.sqrt(unique)
        values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
        loadings = root * vectors[:, -1] * math.sqrt(max(values[-1] - 1, 0.0))
        model = np.outer(loadings, loadings) + np.diag(unique)
        small = values[:-1]
        return float((small - np.log(small) - 1).sum()), np.diag(model - matrix) / unique**2

    start = (1 - 0.5 / len(matrix)) / np.diag(np.linalg.inv(matrix))
    fit = minimize(
        misfit,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(_LEAST, 1.0)] * len(matrix),
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000, "maxfun": 20_000},
    )
    unique = np.asarray(fit.x, dtype=np.float64)
    root = np.sqrt(unique)
    values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
    loadings = root * vectors[:, -1] * math.sqrt(max(values[-1] - 1, 0.0))
    return np.asarray(loadings * (1 if loadings.sum() >= 0 else -1), dtype=np.float64), unique


def _answers(items: npt.ArrayLike) -> FloatArray:
    answers = np.asarray(items, dtype=np.float64)
    if answers.ndim != 2 or answers.shape[1] < 2:
        raise InputError("a battery has at least two items", place="items", remedy="Give answers by unit and item")
    return answers


def _complete(answers: FloatArray) -> tuple[FloatArray, int]:
    """The units with all items answered, and how many others there are.

    Raises:
        InputError: Too few are left, or an item has no spread among them.
    """
    whole = answers[~np.isnan(answers).any(axis=1)]
    if len(whole) < 3:
        raise InputError("fewer than three units answered all items", place="items")
    if not (whole.std(axis=0) > 0).all():
        raise InputError("all answers to an item are equal", place="items", remedy="Leave the item out")
    if whole.sum(axis=1).std() == 0:
        raise InputError("all sums over the items are equal", place="items", remedy="Turn reversed items round")
    return whole, len(answers) - len(whole)
