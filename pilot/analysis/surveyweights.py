"""Estimates from a sample with weights, strata, clusters and a finite population, by Taylor linearisation.

A comparison of arms must not be narrowed by the finite population: see `docs/analyses/survey-weighted.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, fdtrc

from pilot.analysis.entries import check_length, numbers_of
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import t_quantile
from pilot.errors import InputError


@dataclass(frozen=True, eq=False)
class Design:
    """How a sample was drawn; every array has one entry per unit.

    Attributes:
        weight: How many of the population the unit stands for, above 0.
        stratum: Number of its stratum; None for one stratum.
        cluster: Number of its cluster inside the stratum; None where units were drawn singly.
        population: Clusters (units where there are none) that the unit's stratum has in the population; None for a
            population so large that it does not matter.
        part: Number of the part of its cluster that was drawn at a second stage; None where single units were drawn there.
        parts_there: Parts (units) that the unit's cluster has in the population; None where clusters were taken whole, or
            so few of all clusters that the second stage does not matter. It needs `population`.
    """

    weight: FloatArray
    stratum: IntArray | None = None
    cluster: IntArray | None = None
    population: FloatArray | None = None
    part: IntArray | None = None
    parts_there: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse weights that stand for nobody, and a second stage without a first.

        Raises:
            InputError: A weight is not a finite number above 0, columns differ in length, or there are parts of clusters
                without clusters.
        """
        for place in ("stratum", "cluster", "population", "part", "parts_there"):
            if (column := getattr(self, place)) is not None:
                check_length(column, len(self.weight), place)
        if self.parts_there is not None and (self.cluster is None or self.population is None):
            raise InputError("a second stage needs clusters and their number in the population", place="parts_there")
        if not (np.isfinite(self.weight) & (self.weight > 0)).all():
            raise InputError("a weight is not a finite number above 0", place="weight", remedy="Leave such rows out")

    @property
    def strata(self) -> IntArray:
        """The stratum of each unit."""
        return np.zeros(len(self.weight), dtype=np.int64) if self.stratum is None else self.stratum

    def parts(self, scores: FloatArray) -> tuple[FloatArray, IntArray]:
        """What each stratum adds to the covariance of the sum of scores, and its degrees of freedom.

        The second stage adds, for each cluster, the covariance inside it times the share of clusters that was drawn.

        Args:
            scores: Weighted and linearised values by (unit, quantity).

        Returns:
            Covariances by (stratum, quantity, quantity), and the clusters of each stratum less one.

        Raises:
            InputError: A stratum has one cluster only, and it is not all of it; or a cluster one part; or more of them were
                drawn than there are.

        Reference: Cochran 1977, chapter 10; Lumley 2010, Complex Surveys, section 2.2.
        """
        layers, layer = np.unique(self.strata, return_inverse=True)
        first = _Stage.of(scores, layer, self.cluster, self.population)
        first.check_drawn(layers, "stratum", "unit" if self.cluster is None else "cluster", "population")
        found = first.covariance(layers, "stratum", "unit" if self.cluster is None else "cluster")
        if self.parts_there is not None:
            second = _Stage.of(scores, first.unit, self.part, self.parts_there)
            second.check_drawn(first.label, "cluster", "unit" if self.part is None else "part", "parts_there")
            inside = second.covariance(first.label, "cluster", "unit" if self.part is None else "part")
            found = found + _summed((1 - first.left)[first.own][:, None, None] * inside, first.own, len(layers))
        return found, np.bincount(first.own, minlength=len(layers)) - 1


@dataclass(frozen=True, eq=False)
class _Stage:
    """One stage of a draw: units, what they sum to, and how much of their groups they leave undrawn.

    Attributes:
        unit: The drawn unit that each row belongs to.
        own: Group of each drawn unit.
        label: What the design calls each drawn unit.
        totals: Sums of the scores by drawn unit.
        left: Share of each group that was not drawn; below 0 or nan where the group cannot be so small.
    """

    unit: IntArray
    own: IntArray
    label: IntArray
    totals: FloatArray
    left: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, group: IntArray, label: IntArray | None, there: FloatArray | None) -> _Stage:
        unit, own, first, totals = np.arange(len(group)), group, np.arange(len(group)), scores
        names = first if label is None else label
        if label is not None:
            labels, number = np.unique(label, return_inverse=True)
            pairs, first, unit = np.unique(group * len(labels) + number, return_index=True, return_inverse=True)
            own, totals = pairs // len(labels), _summed(scores, unit, len(pairs))
        left = np.ones(int(group.max(initial=-1)) + 1)
        if there is not None:
            known = there[first]
            left[own] = 1 - np.bincount(own)[own] / np.where(known > 0, known, np.nan)
        return cls(unit, own, names[first], totals, left)

    def check_drawn(self, labels: npt.NDArray[np.generic], group: str, unit: str, place: str) -> None:
        """Refuse groups of which more was drawn than there is.

        Raises:
            InputError: There is such a group, or nobody knows how large it is.
        """
        if (wrong := ~(self.left >= 0)).any():
            raise InputError(
                f"in {group} {labels[wrong][0]} more {unit}s were drawn than there are",
                place=place,
                remedy=f"Give the {unit}s that each {group} has in the population, for every row",
            )

    def covariance(self, labels: npt.NDArray[np.generic], group: str, unit: str) -> FloatArray:
        """Of the groups' sums, by (group, quantity, quantity).

        Raises:
            InputError: A group has one unit only, and it is not all of it.
        """
        size = np.bincount(self.own, minlength=len(self.left))
        if (lonely := (size < 2) & (self.left > 0)).any():
            remedy = (
                "Join it with another stratum" if group == "stratum" else "Leave out parts_there, or draw two of each"
            )
            raise InputError(f"{group} {labels[lonely][0]} has one {unit} only", place=group, remedy=remedy)
        centred = self.totals - (_summed(self.totals, self.own, len(size)) / size[:, None])[self.own]
        products = _summed(centred[:, :, None] * centred[:, None, :], self.own, len(size))
        return np.asarray((self.left * size / np.maximum(size - 1, 1))[:, None, None] * products)


def _summed(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
    found = np.zeros((groups, *values.shape[1:]))
    np.add.at(found, group, values)
    return found


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number about the population.

    Attributes:
        value: The number.
        standard_error: Its standard error.
        df: Clusters less strata.
    """

    value: float
    standard_error: float
    df: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided t interval.

        Raises:
            InputError: There are no degrees of freedom.
        """
        if self.df < 1:
            raise InputError("there is no more than one cluster in any stratum", place="cluster")
        half = t_quantile((1 + level) / 2, self.df) * self.standard_error
        return self.value - half, self.value + half


def total(values: npt.ArrayLike, design: Design, domain: npt.ArrayLike | None = None) -> Estimate:
    """The population's total.

    Args:
        values: One for each unit.
        design: How they were drawn.
        domain: Which units belong to the part of the population that is meant; all by default.

    Reference: Cochran 1977, Sampling Techniques, ch. 5 and 9; Lumley 2010, Complex Surveys.

    Raises:
        InputError: The design has a stratum with one cluster; or a column has a value that is not finite, or another length.
    """
    scores = _column(values, design, "values") * _inside(domain, design)
    return _estimate(float(scores.sum()), scores, design)


def ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, design: Design, domain: npt.ArrayLike | None = None
) -> Estimate:
    """The ratio of two totals, such as revenue per order.

    Args:
        numerator: One value for each unit.
        denominator: Another.
        design: How they were drawn.
        domain: Which units belong to the part of the population that is meant; all by default.

    Raises:
        InputError: The denominator's total is 0, or as for `total`.
    """
    above, below = _column(numerator, design, "numerator"), _column(denominator, design, "denominator")
    weight = _inside(domain, design)
    whole = float(weight @ below)
    if whole == 0:
        raise InputError("the denominator sums to 0", place="denominator")
    value = float(weight @ above) / whole
    return _estimate(value, weight * (above - value * below) / whole, design)


def mean(values: npt.ArrayLike, design: Design, domain: npt.ArrayLike | None = None) -> Estimate:
    """The population's mean: the ratio of the total to the number of units. Arguments as for `total`.

    Raises:
        InputError: The domain is empty, or as for `total`.
    """
    return ratio(_column(values, design, "values"), np.ones(len(design.weight)), design, domain)


def _column(values: npt.ArrayLike, design: Design, place: str) -> FloatArray:
    check_length(values, len(design.weight), place)
    return numbers_of(values, place, remedy="Fill it in; a unit that shall not count is left out by the domain")


def _inside(domain: npt.ArrayLike | None, design: Design) -> FloatArray:
    if domain is None:
        return design.weight
    check_length(domain, len(design.weight), "domain")
    return np.where(np.asarray(domain, dtype=bool), design.weight, 0.0)


def _estimate(value: float, scores: FloatArray, design: Design) -> Estimate:
    parts, df = design.parts(scores[:, None])
    return Estimate(value, math.sqrt(float(parts.sum())), int(df.sum()))


def kish(weights: npt.ArrayLike, counts: npt.ArrayLike = 1) -> tuple[float, float]:
    """The effective number of units `(sum w)^2 / sum w^2`, and how much unequal weights widen the variance of a mean.

    Args:
        weights: Of the units, or of groups of them.
        counts: Units that share each weight.

    Raises:
        InputError: A weight or a count is not finite, or below 0; none is above 0; or their numbers differ.

    Reference: Kish 1965, Survey Sampling, section 11.7.
    """
    weight, units = numbers_of(weights, "weights", least=0.0), numbers_of(counts, "counts", least=0.0)
    if units.ndim > 0:
        check_length(units, weight.size, "counts", of="weights")
    units = np.broadcast_to(units, weight.shape)
    if not (units * weight).sum() > 0:
        raise InputError("no weight is above 0", place="weights", remedy="Give the weights of units that count")
    effective = float((units * weight).sum() ** 2 / (units * weight**2).sum())
    return effective, float(units.sum()) / effective


def design_effect(values: npt.ArrayLike, design: Design) -> float:
    """The variance of the weighted mean against that of as many units drawn singly, with replacement.

    Raises:
        InputError: All values are equal, or as for `total`.
    """
    numbers = _column(values, design, "values")
    found = mean(numbers, design)
    n = len(numbers)
    spread = float(design.weight @ (numbers - found.value) ** 2 / design.weight.sum()) * n / (n - 1)
    if spread == 0:
        raise InputError("all values are equal", place="values")
    return found.standard_error**2 / (spread / n)


@dataclass(frozen=True, slots=True)
class RaoScott:
    """A test that two answers are independent, corrected for the design.

    Attributes:
        pearson: Pearson's chi-square of the weighted table, scaled to the number of units.
        df: Its degrees of freedom without a design.
        effect: Mean of the generalised design effects; the first-order corrected chi-square is `pearson / effect`.
        f: The second-order corrected statistic.
        f_df: Its degrees of freedom.
    """

    pearson: float
    df: int
    effect: float
    f: float
    f_df: tuple[float, float]

    @property
    def p_value(self) -> float:
        """P value of `f`."""
        return float(fdtrc(*self.f_df, self.f))

    @property
    def first_order_p(self) -> float:
        """P value of the first-order corrected chi-square."""
        return float(chdtrc(self.df, self.pearson / self.effect))


def rao_scott(rows: npt.ArrayLike, columns: npt.ArrayLike, design: Design) -> RaoScott:
    """Test whether two answers with few values are independent in the population.

    Args:
        rows: One answer for each unit.
        columns: The other.
        design: How they were drawn.

    Reference: Rao and Scott 1984, Annals of Statistics 12:46; the F form of Thomas and Rao 1987.

    Raises:
        InputError: An answer has one value only, the columns differ in length, or the design has a stratum with one cluster.
    """
    for place, answers in (("rows", rows), ("columns", columns)):
        check_length(answers, len(design.weight), place)
    levels, row = np.unique(np.asarray(rows), return_inverse=True)
    others, column = np.unique(np.asarray(columns), return_inverse=True)
    height, width = len(levels), len(others)
    if min(height, width) < 2:
        raise InputError("an answer has one value only", place="rows" if height < 2 else "columns")
    cells = np.zeros((len(design.weight), height * width))
    cells[np.arange(len(cells)), row * width + column] = 1
    whole = design.weight.sum()
    share = design.weight @ cells / whole
    parts, df = design.parts(design.weight[:, None] * (cells - share) / whole)
    expected = np.outer(share.reshape(height, width).sum(axis=1), share.reshape(height, width).sum(axis=0)).ravel()
    n = len(cells)
    pearson = n * float(((share - expected) ** 2 / expected).sum())
    contrast = np.kron(_contrasts(height), _contrasts(width)) * np.where(
        share > 0, 1 / np.where(share > 0, share, 1), 0
    )
    plain = (contrast * share) @ contrast.T / n
    effects = np.linalg.solve(plain, contrast @ parts.sum(axis=0) @ contrast.T)
    trace = float(np.trace(effects))
    first = trace**2 / float(np.trace(effects @ effects))
    independent = (height - 1) * (width - 1)
    return RaoScott(pearson, independent, trace / independent, pearson / trace, (first, first * int(df.sum())))


def _contrasts(levels: int) -> FloatArray:
    """Rows that sum to 0: each level but the first against the mean of all."""
    found = np.eye(levels)[1:] - 1 / levels
    return np.asarray(found, dtype=np.float64)


def as_one(labels: Sequence[int], stratum: IntArray) -> IntArray:
    """The strata with those of these labels made one, so that a variance can be had.

    Args:
        labels: Numbers of the strata to be joined.
        stratum: The stratum of each unit.
    """
    if not labels:
        return stratum
    return np.where(np.isin(stratum, labels), min(labels), stratum)
