"""Retention on a day, and days up to a day, from Kaplan-Meier curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.methods.times import Retention, Times, few_events, follow_up
from pilot.analysis.moments import FloatArray
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import joined, strata_weights
from pilot.analysis.survival import Curve, kaplan_meier, normal_power
from pilot.analysis.tails import log_normal_upper, normal_quantile, p_value, two_sided
from pilot.errors import InputError

SMALL_FOR_CURVES = 50
"""Below this number of customers per arm Greenwood's interval is too narrow: 6.7 % false alarms at 20, 5.6 at 60."""

SPARSE_FOR_CURVES = 25
"""The same for an arm of a stratum: four strata of 10 give 7 % false alarms, of 25 give 6, of 50 give 5."""

Day = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _size_of_curves(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} customers"
    if smallest >= SMALL_FOR_CURVES:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check("small n", float(smallest), "warn", f"{text}; below {SMALL_FOR_CURVES} the interval is too narrow.")


@dataclass(frozen=True, slots=True)
class _Contrast:
    """A difference of what two curves say, stratum by stratum, weighted."""

    values: tuple[float, float]
    variance: float
    checks: tuple[Check, ...]
    method: str


def _contrast(
    times: Times, day: float, by_strata: bool, value: Callable[[Curve], tuple[float, float]]
) -> _Contrast | str:
    """The weighted difference, or the reason why there is none.

    Args:
        times: Times and events.
        day: The day which every curve must reach.
        by_strata: Whether to compare inside strata and weight them to the population.
        value: What is read off a curve, with its variance.
    """
    pair = times.pair
    weights, source = strata_weights(pair)
    groups = _groups(times, day, weights) if by_strata and pair.stratified else [None]
    curves = [[kaplan_meier(*times.cell(row, group)) for group in groups] for row in (0, 1)]
    for row, name in enumerate((pair.control, pair.arm)):
        if not all(curve.reaches(day) for curve in curves[row]):
            last = max(curve.last for curve in curves[row])
            return f"no customer of {name} was observed until day {day:g}; the longest time is {last:g} days"
    share = np.array([1.0 if group is None else weights[group].sum() for group in groups])
    share = share / share.sum()
    found = np.array([[value(curve) for curve in own] for own in curves])
    variance = float((share**2 * found[..., 1]).sum())
    if variance <= 0:
        return f"by day {day:g} no customer or every customer had the event, so there is no spread to measure uncertainty by"
    checks = _checks_of_cells(times, groups, found[..., 1])
    method = f", {len(groups)} strata weighted by {source}" if len(groups) > 1 else ""
    control, pilot = (float(own @ share) for own in found[..., 0])
    return _Contrast((control, pilot), variance, checks, method)


def _groups(times: Times, day: float, weights: FloatArray) -> list[list[int]]:
    """Strata as they can be compared: those that an arm does not reach the day in are joined, with the smallest other."""
    strata = [place for place in range(len(weights)) if times.pair.n[:, place].any() or weights[place] > 0]
    reached = {place: _reached(times, day, [place]) for place in strata}
    together = [place for place in strata if not reached[place]]
    others = sorted((place for place in strata if reached[place]), key=lambda place: int(times.pair.n[:, place].sum()))
    while together and others and (len(together) < 2 or not _reached(times, day, together)):
        together.append(others.pop(0))
    return [[place] for place in sorted(others)] + ([sorted(together)] if together else [])


def _reached(times: Times, day: float, strata: Sequence[int]) -> bool:
    cells = [times.cell(row, strata) for row in (0, 1)]
    return all(len(time) >= 2 and kaplan_meier(time, seen).reaches(day) for time, seen in cells)


def _checks_of_cells(times: Times, groups: Sequence[list[int] | None], variances: FloatArray) -> tuple[Check, ...]:
    checks = []
    pair = times.pair
    if groups == [None]:
        checks += review.balance(pair, "by_strata=true")
    for group in (group for group in groups if group is not None and len(group) > 1):
        labels = [pair.evidence.strata[place] for place in group]
        checks += joined(pair, labels, why="too few customers in an arm, or none observed so long,")
    checks += _sparse(times, groups)
    empty = int((variances <= 0).sum())
    if empty:
        where = "an arm" if len(groups) == 1 else f"{empty:,} of {variances.size:,} arms of strata"
        text = f"In {where} no customer, or every customer, had the event by then: the interval is too narrow."
        checks.append(Check("zero variance", float(empty), "warn", text))
    return tuple(checks)


def _sparse(times: Times, groups: Sequence[list[int] | None]) -> list[Check]:
    """Strata so small that Greenwood's variances in them are too small, and that adds up."""
    if len(groups) < 2:
        return []
    smallest = min(int(times.pair.n[:, group].sum(axis=1).min()) for group in groups if group)
    text = f"The smallest arm of a stratum has {smallest:,} customers"
    if smallest >= SPARSE_FOR_CURVES:
        return [Check("sparse strata", float(smallest), "pass", f"{text}.")]
    text = f"{text}; below {SPARSE_FOR_CURVES} the interval is too narrow: join strata, or set by_strata=false."
    return [Check("sparse strata", float(smallest), "warn", text)]


@dataclass(frozen=True)
class KaplanMeier(Retention):
    """Difference of retention on a fixed day: the share of customers without the event, also where follow-up differs.

    Args:
        day: The day on which retention is compared.
        event: Covariate that says whether the event was seen (1) or nobody looked any more (0); the only one by default.
        by_strata: Whether to compare inside strata and weight them to the population.
        level: Two-sided confidence level.
    """

    key = "kaplan-meier"
    label = "Difference of retention on a day (Kaplan-Meier)"
    reference = "Kaplan and Meier 1958, JASA 53:457; Greenwood 1926"
    sizes = "difference of retention"

    day: Day
    event: str = ""
    by_strata: bool = True
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        times = self.times(evidence, arm)
        found = self.lacking(times) or _contrast(times, self.day, self.by_strata, lambda curve: curve.at(self.day))
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        what = "retention" if evidence.higher_is_better else "share without the event"
        shown = replace(
            times.pair,
            evidence=replace(evidence, outcome=f"{what} at day {self.day:g} ({evidence.outcome})", scale=Scale.BINARY),
        )
        return _of_contrast(
            self,
            times,
            found,
            shown,
            level=self.level,
            checks=(_size_of_curves(times.pair), *few_events(times, self.day)),
            method=f"Kaplan-Meier difference on day {self.day:g}, Greenwood's variance{found.method}",
            measure="difference of retention",
            details=self._details(times),
        )

    def _details(self, times: Times) -> dict[str, float | None]:
        details: dict[str, float | None] = {}
        for row, name in enumerate((times.pair.control, times.pair.arm)):
            time, seen = times.cell(row)
            curve = kaplan_meier(time, seen)
            details[f"events of {name}"] = float((seen & (time <= self.day)).sum())
            details[f"observed on the day, {name}"] = float((time >= self.day).sum())
            if curve.reaches(self.day):
                low, high = curve.interval(self.day, self.level) or (None, None)
                details |= {
                    f"retention of {name}": curve.at(self.day)[0],
                    f"low of {name}": low,
                    f"high of {name}": high,
                }
        return details

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `expected.mean` is the retention of control; nobody is lost from sight before the day."""
        control, pilot = expected.centre, expected.centre + effect
        if not (0 < control < 1 and 0 < pilot < 1):
            raise InputError(f"a retention of {pilot:g} is no share", place="effect", remedy="Choose a smaller effect")
        variance = control * (1 - control) / n[0] + pilot * (1 - pilot) / n[1]
        return normal_power(effect / math.sqrt(variance), self.level)


@dataclass(frozen=True)
class RestrictedMeanTime(Retention):
    """Difference of the mean days without the event up to a fixed day: right also where hazards are not proportional.

    Args:
        day: The day up to which days are counted.
        event: Covariate that says whether the event was seen (1) or nobody looked any more (0); the only one by default.
        by_strata: Whether to compare inside strata and weight them to the population.
        level: Two-sided confidence level.
    """

    key = "restricted-mean-time"
    label = "Difference of mean days up to a day"
    reference = "Royston and Parmar 2013, BMC Medical Research Methodology 13:152"
    sizes = "difference of restricted mean days"

    day: Day
    event: str = ""
    by_strata: bool = True
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        times = self.times(evidence, arm)
        found = self.lacking(times) or _contrast(
            times, self.day, self.by_strata, lambda curve: curve.restricted_mean(self.day)
        )
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        named = replace(evidence, outcome=f"mean {evidence.outcome} up to day {self.day:g}")
        control, pilot = times.events
        return _of_contrast(
            self,
            times,
            found,
            replace(times.pair, evidence=named),
            level=self.level,
            checks=(_size_of_curves(times.pair), *few_events(times)),
            method=f"Area under the Kaplan-Meier curve up to day {self.day:g}, Greenwood's variance{found.method}",
            measure="difference of restricted mean times",
            details={f"events of {times.pair.control}": float(control), f"events of {times.pair.arm}": float(pilot)},
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `expected.sd` is that of the days up to `day`; nobody is lost from sight before."""
        control, pilot = expected.spreads
        return normal_power(effect / math.sqrt(control**2 / n[0] + pilot**2 / n[1]), self.level)


def _of_contrast(
    analysis: Analysis,
    times: Times,
    found: _Contrast,
    shown: Pair,
    *,
    level: float,
    checks: Sequence[Check],
    **parts: Any,
) -> Comparison:
    """The record of a contrast of curves.

    Args:
        analysis: Whose it is.
        times: Times and events.
        found: The contrast.
        shown: The pair as the sentence should speak of it.
        level: Two-sided confidence level.
        checks: Further assumptions looked at.
        parts: Method, measure and details.
    """
    estimate = found.values[1] - found.values[0]
    standard_error = math.sqrt(found.variance)
    half = normal_quantile((1 + level) / 2) * standard_error
    low, high = estimate - half, estimate + half
    z = estimate / standard_error
    log_p = two_sided(log_normal_upper(abs(z)))
    return record(
        analysis,
        times.pair,
        arms=times.summaries(found.values),
        checks=(*checks, *follow_up(times), *found.checks, *times.checks),
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        standard_error=standard_error,
        statistic=z,
        p_value=p_value(log_p),
        log_p=log_p,
        sentence=sentence(effect(shown, estimate, low, high, level), reading(shown, low, high)),
        **parts,
    )
