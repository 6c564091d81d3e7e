"""Ratios: of two sums, such as cost per order, and of the arms' means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import (
    common_checks,
    joined_strata,
    left_aside,
    t_record,
    with_covariates,
)
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import layers, mean_difference
from pilot.analysis.moments import FloatArray, Joint
from pilot.analysis.noncentral import mean_power, t_power
from pilot.analysis.pairs import Pair
from pilot.analysis.ratios import (
    ArmRatios,
    Ratio,
    arm_ratios,
    fieller,
    log_ratio,
    mean_variances,
)
from pilot.analysis.sentences import reading, relative, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, strata_weights
from pilot.analysis.tails import p_value
from pilot.errors import InputError

DELTA_ARM = 100
"""Below this number of customers per arm the delta method is a rough guide: 6.9 % false alarms at 30."""


@dataclass(frozen=True)
class RatioOfSums(Analysis):
    """Difference of two arms' ratios of sums, such as cost per order, with the customer as the unit (delta method).

    Strata are weighted as in `stratified-difference`, above and below the line.

    Args:
        denominator: The covariate below the line; may stay empty where there is one only.
        estimand: `difference` of the two ratios, or their `relative` change in shares of control's ratio.
        level: Two-sided confidence level.
    """

    key = "ratio"
    label = "Ratio of sums (delta method)"
    needs = frozenset({Need.MOMENTS, Need.JOINT, Need.ASSIGNED})
    scales = frozenset({Scale.MONEY, Scale.COUNT})
    reference = "Deng, Knoblich and Lu 2018, KDD; Cochran 1977, Sampling Techniques, 6.11"
    sizes = "difference of the ratios, or their relative change where that is the estimand"

    denominator: str = ""
    estimand: Literal["difference", "relative"] = "difference"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_covariates(every, _with_denominator(every, self.denominator)))
        joint = _with_denominator(pair, self.denominator)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        weights, source = strata_weights(pair)
        joint, joined = joined_strata(pair, joint, weights)
        ratios = arm_ratios(joint, joined.weights)
        if ratios is None:
            reason = f"{joint.columns[1]} does not sum to more than 0 in both arms"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        named = replace(pair, evidence=replace(pair.evidence, outcome=f"{evidence.outcome} per {joint.columns[1]}"))
        strata = f" over {joint.n.shape[1]} strata weighted by {source}" if pair.stratified else ""
        checks = [*left_aside(every, pair, f"a value of {joint.columns[1]}"), _delta_size(pair), *review.response(pair)]
        checks += review.cells(pair, joined) if pair.stratified else []
        found = self._relative if self.estimand == "relative" else self._difference
        result = found(named, joint, ratios, f"Ratio of sums{strata}", checks)
        return replace(result, outcome=evidence.outcome)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by the delta method.

        `expected.sd` is the standard deviation of `(y - R x) / mean x` over customers, which `ratio_spread` gives.
        The relative change also needs control's ratio as `expected.mean`; `effect` is then a share of it.

        Raises:
            InputError: The spread is missing, for a relative change also the ratio; or one would not be above 0.
        """
        if self.estimand == "relative":
            return _relative_power(expected, effect, n, self.level)
        return mean_power(effect, expected.spreads, n, self.level)

    def _difference(
        self, pair: Pair, joint: Joint, ratios: ArmRatios, method: str, checks: Sequence[Check]
    ) -> Comparison | NotEnoughData:
        centred = np.repeat(ratios.ratios[:, None], joint.n.shape[1], axis=1)
        difference = mean_difference(joint.n, centred, ratios.m2, ratios.weights)
        if difference is None:
            return _no_spread(self, pair)
        return t_record(
            self,
            pair,
            difference,
            level=self.level,
            method=f"{method}, delta method, Satterthwaite's t",
            measure="difference of ratios of sums",
            checks=checks,
            details=_ratio_details(pair, ratios),
        )

    def _relative(
        self, pair: Pair, joint: Joint, ratios: ArmRatios, method: str, checks: Sequence[Check]
    ) -> Comparison | NotEnoughData:
        if (ratios.ratios <= 0).any():
            reason = "a ratio is not above 0, so there is no relative change"
            return NotEnoughData(self.key, pair.evidence.outcome, pair.arm, reason)
        variances = mean_variances(joint.n, ratios.m2, ratios.weights)
        found = log_ratio(ratios.ratios, variances, joint.n - 1, self.level)
        if found is None:
            return _no_spread(self, pair)
        return _relative_record(
            self,
            pair,
            found,
            level=self.level,
            means=ratios.ratios,
            method=f"{method}, relative change by the delta method on the logarithm, Satterthwaite's t",
            measure="relative change of a ratio of sums",
            checks=checks,
            details=_ratio_details(pair, ratios),
        )


@dataclass(frozen=True)
class RelativeChange(Analysis):
    """How many percent the pilot arm's mean lies above control's.

    Args:
        interval: `log-delta`, symmetric on the logarithm; or `fieller`, which holds where control's mean is uncertain.
        level: Two-sided confidence level.
    """

    key = "relative-change"
    label = "Relative change of the mean"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.MONEY, Scale.COUNT})
    reference = "Deng, Knoblich and Lu 2018, KDD; Fieller 1954, JRSS B 16:175"
    sizes = "relative change of the mean"

    interval: Literal["log-delta", "fieller"] = "log-delta"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        weights, source = strata_weights(pair)
        joined = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
        means = joined.mean @ joined.weights
        found = self._found(means, mean_variances(joined.n, joined.m2, joined.weights), joined.n.astype(np.float64) - 1)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found.format(control=pair.control))
        strata = f" over {joined.n.shape[1]} strata weighted by {source}" if pair.stratified else ""
        how = "Fieller's interval" if self.interval == "fieller" else "delta method on the logarithm"
        return _relative_record(
            self,
            pair,
            found,
            level=self.level,
            means=means,
            method=f"Ratio of means{strata} less 1, {how}, Satterthwaite's t",
            measure="relative change of the mean",
            checks=(*common_checks(pair), *(review.cells(pair, joined) if pair.stratified else [])),
            details={"difference of means": float(means[1] - means[0])},
        )

    def _found(self, means: FloatArray, variances: FloatArray, df: FloatArray) -> Ratio | str:
        if means[0] <= 0:
            return "the mean of {control} is not above 0, so there is no relative change"
        if self.interval == "log-delta":
            found = log_ratio(means, variances, df, self.level)
            return found or "a mean is not above 0, or nothing varies inside the strata; try interval = fieller"
        freedom = df.ravel()

        def spread(ratio: float) -> tuple[FloatArray, FloatArray]:
            return np.concatenate([ratio**2 * variances[0], variances[1]]), freedom

        found = fieller(float(means[1]), float(means[0]), spread, self.level, null=1.0)
        return found or "the mean of {control} is not clear of 0, so that a relative change has no bounds"

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `effect` is a share of control's mean, such as 0.05; needs mean and spread.

        Raises:
            InputError: Mean or spread is missing, or one of the means would not be above 0.
        """
        return _relative_power(expected, effect, n, self.level)


def _relative_power(expected: Expected, effect: float, n: tuple[float, float], level: float) -> float:
    """On the logarithm, with the spread of each arm as a share of its own mean or ratio."""
    control = expected.centre
    pilot = control * (1 + effect)
    if min(control, pilot) <= 0:
        raise InputError("a relative change needs means above 0", place="mean")
    relative_spreads = [spread / mean for spread, mean in zip(expected.spreads, (control, pilot), strict=True)]
    variances = [spread**2 / size for spread, size in zip(relative_spreads, n, strict=True)]
    return t_power(math.log1p(effect), (variances[0], variances[1]), (n[0] - 1, n[1] - 1), level)


def _relative_record(
    analysis: Analysis,
    pair: Pair,
    found: Ratio,
    *,
    level: float,
    means: FloatArray,
    method: str,
    measure: str,
    checks: Sequence[Check],
    details: dict[str, float | None],
) -> Comparison:
    change, low, high = (value - 1 for value in (found.estimate, found.low, found.high))
    return record(
        analysis,
        pair,
        arms=pair.summaries(means),
        checks=checks,
        method=method,
        measure=measure,
        estimate=change,
        low=low,
        high=high,
        level=level,
        statistic=found.statistic,
        df=found.df,
        p_value=p_value(found.log_p),
        log_p=found.log_p,
        details={"ratio": found.estimate, **details},
        sentence=sentence(relative(pair, change, low, high, level), reading(pair, low, high)),
    )


def _with_denominator(pair: Pair, wanted: str) -> Joint:
    joint = pair.joint
    name = pair.named(wanted, joint.columns[1:], "what stands below the line")
    kept = [0, joint.columns.index(name, 1)]
    return Joint((joint.columns[0], name), joint.n, joint.mean[..., kept], joint.cross[..., kept, :][..., kept])


def _no_spread(analysis: Analysis, pair: Pair) -> NotEnoughData:
    reason = f"the ratio is the same for all {pair.units} of an arm, so there is no spread to measure uncertainty by"
    return NotEnoughData(analysis.key, pair.evidence.outcome, pair.arm, reason)


def _arms(pair: Pair) -> list[tuple[int, str]]:
    return [(0, pair.control), (1, pair.arm)]


def _ratio_details(pair: Pair, ratios: ArmRatios) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for row, name in _arms(pair):
        found[f"ratio in {name}"] = float(ratios.ratios[row])
        found[f"mean denominator in {name}"] = float(ratios.below[row])
    return found


def _delta_size(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= DELTA_ARM:
        return Check("small n", float(smallest), "pass", f"{text}.")
    text = f"{text}; below {DELTA_ARM} the interval of a ratio is only a rough guide, and mostly too narrow."
    return Check("small n", float(smallest), "warn", text)
