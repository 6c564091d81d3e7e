"""Differences of weighted means: with the weights of a survey, and with weights for those who did not answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, t_record, with_rows
from pilot.analysis.effects import Level, lacking
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import MeanDifference, layers, mean_difference
from pilot.analysis.moments import FloatArray, IntArray, Rows
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import percent
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, joined, left_out
from pilot.analysis.surveyweights import Design, as_one, kish
from pilot.errors import InputError

WIDE = 1.5
"""From this design effect of the weights on they cost a third of the answers."""

HEAVY = 5.0
"""Weights above so many times their mean let single customers decide."""

FEW_CLUSTERS = 5
"""Below this number of clusters per arm the variance between them is hardly known."""

Effect = Annotated[float, Field(ge=1, le=100)]


@dataclass(frozen=True)
class SurveyWeighted(Analysis):
    """Difference of the arms' weighted means, with the survey's weights, strata and clusters.

    The finite population never narrows it: that would take the handling's effect for known (see the page).

    Args:
        design_effect: For planning only: how much weights and clusters are expected to widen the variance.
        level: Two-sided confidence level.
    """

    key = "survey-weighted"
    label = "Difference of weighted means (survey design)"
    needs = frozenset({Need.ROWS, Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    columns = frozenset({"weights", "clusters"})
    scales = frozenset(Scale) - {Scale.TIME}
    reference = "Cochran 1977, Sampling Techniques; Lumley 2010, Complex Surveys; Lohr 2022, Sampling"
    sizes = "difference of means"

    design_effect: Effect = 1.0
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_rows(every, every.rows))
        rows, weight = pair.rows, weights_of(pair)
        found = lacking(pair) or _contrast(pair, rows, weight)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        checks = (
            review.sizes(pair),
            *review.spread(pair),
            *review.ceiling(pair),
            *left_out(pair),
            *found.checks,
            *weight_checks(pair, *by_arm(rows.arm, weight)),
            *review.response(pair),
            *left_aside(every, pair, "a value of a covariate"),
        )
        record = t_record(
            self,
            pair,
            found.difference,
            level=self.level,
            method=f"Difference of weighted means, Taylor linearisation over {found.what}, Satterthwaite's t",
            measure="difference of weighted means",
            checks=checks,
            details=sizes_of(pair, rows.arm, weight),
        )
        return replace(record, sentence=f"weighted, {record.sentence}")

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. Each arm counts for its number over `design_effect`."""
        return mean_power(effect, expected.spreads, (n[0] / self.design_effect, n[1] / self.design_effect), self.level)


def weights_of(pair: Pair) -> FloatArray:
    """Weights of the units.

    Raises:
        InputError: There are none.
    """
    if pair.rows.weight is None:
        raise InputError(
            "the analysis needs weights", place=pair.evidence.outcome, remedy="Name their column with --weight"
        )
    return pair.rows.weight


def sizes_of(pair: Pair, arm: IntArray, weight: FloatArray) -> dict[str, float | None]:
    """What the weights changed: the difference without them, and how many answers each arm is worth."""
    control, pilot = pair.summaries()
    effective = [kish(weight[arm == row])[0] for row in (0, 1)]
    return {
        "unweighted difference": (pilot.mean or 0.0) - (control.mean or 0.0),
        f"effective size of {pair.control}": effective[0],
        f"effective size of {pair.arm}": effective[1],
    }


@dataclass(frozen=True, slots=True)
class _Contrast:
    difference: MeanDifference
    what: str
    checks: tuple[Check, ...]


def _contrast(pair: Pair, rows: Rows, weight: FloatArray) -> _Contrast | str:
    """The difference of weighted means, or the reason why there is none."""
    arms = [rows.arm == row for row in (0, 1)]
    means = [float(np.average(rows.value[own], weights=weight[own])) for own in arms]
    scores = np.where(arms[1], 1.0, -1.0) * weight * (rows.value - np.where(arms[1], means[1], means[0]))
    for own in arms:
        scores[own] /= weight[own].sum()
    found = spread_of(pair, rows, weight, scores)
    if isinstance(found, str):
        return found
    difference = MeanDifference(means[1] - means[0], found.standard_error, found.df, (means[0], means[1]))
    return _Contrast(difference, found.what, found.checks)


@dataclass(frozen=True, slots=True)
class Spread:
    """The uncertainty of a contrast of two arms of a weighted sample.

    Attributes:
        standard_error: Of the contrast, above 0.
        df: Satterthwaite's degrees of freedom.
        what: What varies inside what, in words.
        stratum: The stratum of each unit, thin ones joined.
        checks: Few clusters, and strata that were joined.
    """

    standard_error: float
    df: float
    what: str
    stratum: IntArray
    checks: tuple[Check, ...]


def spread_of(pair: Pair, rows: Rows, weight: FloatArray, scores: FloatArray) -> Spread | str:
    """How uncertain a sum of linearised scores is, or the reason why that cannot be said.

    Clusters that are in one arm only vary inside arm and stratum, those with customers in both arms inside strata.
    """
    control, pilot = (rows.cluster[rows.arm == row] if rows.cluster is not None else np.zeros(0) for row in (0, 1))
    shared = bool(np.isin(control, pilot).any())
    number = _clusters(pair, rows, shared)
    lack = _single(pair, number)
    if lack:
        return lack
    empty = np.zeros(number.shape)
    thin = layers(number, empty, empty, np.ones(number.shape[1]), pair.evidence.strata).joined
    layer = as_one([pair.evidence.strata.index(label) for label in thin], rows.stratum)
    parts, df = Design(weight, layer if shared else 2 * layer + rows.arm, rows.cluster).parts(scores[:, None])
    variances = parts[:, 0, 0]
    variance = float(variances.sum())
    if variance <= 0:
        return f"inside strata all {pair.units} of each arm are equal, so there is no spread to measure uncertainty by"
    spread = variances > 0
    freedom = variance**2 / float((variances[spread] ** 2 / df[spread]).sum())
    what = "clusters" if rows.cluster is not None else pair.units
    names = ([] if shared else ["arms"]) + (["strata"] if pair.stratified else [])
    words = f"{what} inside {' and '.join(names) or 'the sample'}"
    return Spread(math.sqrt(variance), freedom, words, layer, (*_few(rows, number), *_merged(pair, thin)))


def _clusters(pair: Pair, rows: Rows, shared: bool) -> IntArray:
    """Clusters (customers where there are none) by (arm, stratum); where arms share them, by stratum in both rows."""
    arms, strata = pair.n.shape
    cell = rows.stratum if shared else rows.arm * strata + rows.stratum
    if rows.cluster is None:
        return np.bincount(cell, minlength=arms * strata).reshape(arms, strata)
    seen = np.unique(rows.cluster * arms * strata + cell) % (arms * strata)
    number = np.bincount(seen, minlength=arms * strata).reshape(arms, strata)
    return np.array([number[0], number[0]]) if shared else number


def _single(pair: Pair, number: IntArray) -> str:
    for name, clusters in zip((pair.control, pair.arm), number.sum(axis=1).tolist(), strict=True):
        if clusters < 2:
            return f"{name} has a single cluster; a spread needs at least two"
    return ""


def _few(rows: Rows, number: IntArray) -> list[Check]:
    if rows.cluster is None:
        return []
    smallest = int(number.sum(axis=1).min())
    text = f"The smaller arm has {smallest:,} clusters"
    if smallest >= FEW_CLUSTERS:
        return [Check("few clusters", float(smallest), "pass", f"{text}.")]
    return [
        Check(
            "few clusters", float(smallest), "warn", f"{text}; below {FEW_CLUSTERS} the interval is only a rough guide."
        )
    ]


def _merged(pair: Pair, labels: Sequence[str]) -> list[Check]:
    """Strata that are one for the variance only: the estimate is made of weights."""
    return joined(pair, labels, why="fewer than 2 customers or clusters in an arm", what="joined for the variance")


def by_arm(arm: IntArray, weight: FloatArray) -> tuple[FloatArray, IntArray]:
    """Weights by (arm, unit), and 1 where there is such a unit in the arm."""
    own = np.array([arm == 0, arm == 1])
    return np.where(own, weight, 0.0), own.astype(np.int64)


def weight_checks(pair: Pair, weights: FloatArray, counts: IntArray) -> list[Check]:
    """Whether weights are so unequal that they cost much, or that single customers decide.

    Args:
        pair: The arms.
        weights: By (arm, group).
        counts: Customers of each group.
    """
    effects = [kish(weights[row], counts[row])[1] for row in (0, 1)]
    row = int(np.argmax(effects))
    text = f"Unequal weights widen the variance of {(pair.control, pair.arm)[row]} by a factor of {effects[row]:.2f} (Kish)"
    checks = [Check("unequal weights", effects[row], "pass" if effects[row] <= WIDE else "warn", f"{text}.")]
    relative = weights / ((weights * counts).sum(axis=1) / counts.sum(axis=1))[:, None] * (counts > 0)
    heavy = int(counts[relative > HEAVY].sum())
    text = f"The largest weight is {relative.max():.1f} times the mean weight of its arm"
    if heavy:
        text += f"; {heavy:,} above {HEAVY:g} times: trim the weights, or compare with and without"
    return [*checks, Check("extreme weights", float(relative.max()), "warn" if heavy else "pass", f"{text}.")]


@dataclass(frozen=True)
class WeightedResponse(Analysis):
    """Difference of means in which each answer also stands for those of its arm and stratum who did not answer.

    It repairs response that is random inside arm and stratum, and nothing else: see `tipping-point`.

    Args:
        level: Two-sided confidence level.
    """

    key = "weighted-response"
    label = "Difference of means weighted for nonresponse"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale) - {Scale.TIME}
    reference = "Oh and Scheuren 1983; Little and Rubin 2019, Statistical Analysis with Missing Data, section 3.3"
    sizes = "difference of means"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        assigned = assigned_of(pair)
        lack = lacking(pair)
        if lack:
            return NotEnoughData(self.key, evidence.outcome, arm, lack)
        found = layers(pair.n, pair.mean, pair.m2, assigned.sum(axis=0), pair.evidence.strata)
        difference = mean_difference(found.n, found.mean, found.m2, found.weights)
        if difference is None:
            reason = (
                f"inside strata all {pair.units} of each arm are equal, so there is no spread to measure uncertainty by"
            )
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        plain = [float(pair.n[row] @ pair.mean[row] / pair.n[row].sum()) for row in (0, 1)]
        rates = pair.n.sum(axis=1) / assigned.sum(axis=1)
        checks = (
            review.sizes(pair),
            *review.spread(pair),
            *review.ceiling(pair),
            *review.cells(pair, found),
            *review.response(pair),
            *weight_checks(pair, found.weights / found.n, found.n),
        )
        moved = difference.estimate - (plain[1] - plain[0])
        record = t_record(
            self,
            pair,
            difference,
            level=self.level,
            method=f"Weighting classes, arm by stratum ({found.n.shape[1]} strata), to the assigned customers; Satterthwaite's t",
            measure="difference of weighted means",
            checks=checks,
            details={
                "unweighted difference": plain[1] - plain[0],
                "moved by weighting": moved,
                f"response rate of {pair.control}": float(rates[0]),
                f"response rate of {pair.arm}": float(rates[1]),
            },
            after=f"{percent(round(float(rates[1]), 3))} and {percent(round(float(rates[0]), 3))} of the assigned customers answered",
        )
        return replace(record, sentence=f"weighted for nonresponse, {record.sentence}")

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`: that of a difference of means of those who answer."""
        return mean_power(effect, expected.spreads, n, self.level)


def assigned_of(pair: Pair) -> IntArray:
    """Customers by (arm, stratum), answered or not.

    Raises:
        InputError: They are unknown, or fewer than the answers.
    """
    if pair.assigned is None:
        raise InputError(
            "it is not known how many customers were assigned",
            place=pair.evidence.outcome,
            remedy="Use --assigned if every row of the file is an assigned customer and an empty outcome is a missing answer",
        )
    if (pair.n > pair.assigned).any():
        raise InputError(
            "there are more answers than assigned customers",
            place=pair.evidence.outcome,
            remedy="Count each customer once",
        )
    return pair.assigned
