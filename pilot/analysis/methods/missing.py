"""What the missing answers could hide: bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import narrowed
from pilot.analysis.effects import Level, record, strata_weights
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import Layers, MeanDifference, layers, mean_difference
from pilot.analysis.methods.surveyweights import assigned_of
from pilot.analysis.missing import Bounds, lee_bounds
from pilot.analysis.moments import IntArray
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import between, percent, reading, sentence
from pilot.errors import InputError

End = Annotated[float, Field(allow_inf_nan=False)]

SMALL_FOR_TRIMMING = 100
"""Below this number of answers per arm the interval covers 93 instead of 95 % where the truth lies at a bound."""

CLEARLY = 1.96
"""Standard errors from which on a response rate of a stratum is said to differ between arms."""


@dataclass(frozen=True)
class LeeBounds(Analysis):
    """Between which values the difference lies among customers who would answer in either arm.

    It assumes that the handling moves answering in one direction only: nobody who would answer in the arm with fewer
    answers would not in the other. Ignores strata.

    Args:
        level: Two-sided confidence level of the interval for the difference.
    """

    key = "lee-bounds"
    label = "Bounds for missing answers (Lee)"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Lee 2009, Review of Economic Studies 76:1071; Imbens and Manski 2004, Econometrica 72:1845"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate is the difference of those who answered; the interval is for the bounds."""
        pair = Pair.of(self, evidence, arm)
        assigned, counts = assigned_of(pair), pair.counts.sum(axis=1)
        for name, answers in zip((pair.control, pair.arm), counts.sum(axis=1).tolist(), strict=True):
            if answers < 2:
                return NotEnoughData(self.key, evidence.outcome, arm, f"{name} has fewer than two {pair.units}")
        found = lee_bounds(counts, evidence.levels, assigned.sum(axis=1))
        if max(found.bounds.errors) == 0:
            reason = f"all {pair.units} are equal, so there is no spread to measure uncertainty by"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        control, pilot = counts @ np.asarray(evidence.levels) / counts.sum(axis=1)
        checks = (
            _size(pair),
            *review.balance(narrowed(pair, assigned, pair.mean, pair.m2), "manski-bounds"),
            *_one_direction(pair, assigned, found.arm),
            *review.response(pair),
        )
        return _of_bounds(
            self,
            pair,
            found.bounds,
            float(pilot - control),
            level=self.level,
            checks=checks,
            method=f"Lee's trimming bounds, {percent(round(found.share, 4))} of the {pair.units} of "
            f"{(pair.control, pair.arm)[found.arm]} cut off; interval of Imbens and Manski",
            words="among customers who would answer in either arm",
            details={"trimmed share": found.share, **_rates(pair, assigned)},
        )


def _size(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= SMALL_FOR_TRIMMING:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check(
        "small n", float(smallest), "warn", f"{text}; below {SMALL_FOR_TRIMMING} the interval is a little too narrow."
    )


def _one_direction(pair: Pair, assigned: IntArray, more: int) -> list[Check]:
    """Strata in which the other arm clearly answered more, against the assumption of one direction."""
    if not pair.stratified:
        return []
    units = np.maximum(assigned, 1)
    rates = pair.n / units
    error = np.sqrt((rates * (1 - rates) / units).sum(axis=0))
    surplus = (rates[more] - rates[1 - more]) * (assigned > 0).all(axis=0)
    against = surplus < -CLEARLY * np.maximum(error, 1e-9)
    names = [label or "(none)" for label, clear in zip(pair.evidence.strata, against, strict=True) if clear]
    if not names:
        return [Check("one direction", 0.0, "pass", "In no stratum did the other arm clearly answer more.")]
    text = f"In these strata the other arm answered more, which these bounds do not allow for: {', '.join(names)}."
    return [Check("one direction", float(len(names)), "warn", text)]


@dataclass(frozen=True)
class ManskiBounds(Analysis):
    """Between which values the difference lies, whatever those who did not answer would have said.

    One end gives every missing answer of the pilot arm the lowest value and of control the highest, the other end the
    reverse. By strata wherever there are any.

    Args:
        lowest: Lowest value there can be; 0 for yes or no, else by default the lowest that was given.
        highest: Highest value there can be; 1 for yes or no, else by default the highest that was given.
        level: Two-sided confidence level of the interval for the difference.
    """

    key = "manski-bounds"
    label = "Bounds for missing answers (worst case)"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY})
    reference = "Horowitz and Manski 2000, JASA 95:77; Imbens and Manski 2004, Econometrica 72:1845"

    lowest: End | None = None
    highest: End | None = None
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate takes missing answers as like those given in their arm and stratum."""
        pair = Pair.of(self, evidence, arm)
        assigned = assigned_of(pair)
        for name, answers in zip((pair.control, pair.arm), pair.sizes, strict=True):
            if not answers:
                return NotEnoughData(self.key, evidence.outcome, arm, f"{name} has no {pair.units}")
        (low, high), checks = ends(pair, self.lowest, self.highest)
        fills = ((high, low), (None, None), (low, high))
        found = [_filled(pair, assigned, control, pilot) for control, pilot in fills]
        lowest, middle, highest = (item[0] for item in found)
        if lowest is None or highest is None:
            reason = "with the missing answers filled in there is no spread to measure uncertainty by, or an arm is too small"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        bounds = Bounds(lowest.estimate, highest.estimate, (lowest.standard_error, highest.standard_error))
        strata = found[0][1]
        return _of_bounds(
            self,
            pair,
            bounds,
            (bounds.low + bounds.high) / 2 if middle is None else middle.estimate,
            level=self.level,
            checks=(review.sizes(pair), *checks, *review.cells(narrowed(pair, assigned, pair.mean, pair.m2), strata)),
            method=f"Worst-case bounds, missing answers at {low:g} and {high:g}"
            f"{f', {strata.n.shape[1]} strata' if strata.n.shape[1] > 1 else ''}; interval of Imbens and Manski",
            words="whatever the missing answers are",
            details=_rates(pair, assigned),
        )


def ends(pair: Pair, lowest: float | None, highest: float | None) -> tuple[tuple[float, float], list[Check]]:
    """The ends of the scale, and a check where they are only the ends of what was given.

    Raises:
        InputError: There is no answer to take them from, or answers lie outside.
    """
    levels = (0.0, 1.0) if pair.evidence.scale is Scale.BINARY else pair.evidence.levels
    if not levels and (lowest is None or highest is None):
        raise InputError(
            "the ends of the scale are not known", place=pair.evidence.outcome, remedy="Set lowest and highest"
        )
    low, high = (levels[0] if lowest is None else lowest), (levels[-1] if highest is None else highest)
    given = [level for level, number in zip(levels, pair.counts.sum(axis=(0, 1)), strict=False) if number]
    if (given and not low <= min(given) <= max(given) <= high) or low >= high:
        raise InputError(
            f"answers lie outside {low:g} to {high:g}",
            place=pair.evidence.outcome,
            remedy="Set lowest and highest anew",
        )
    if pair.evidence.scale is Scale.BINARY or (lowest is not None and highest is not None):
        return (low, high), []
    text = f"The scale is taken to run from {low:g} to {high:g}, the lowest and highest level there is."
    return (low, high), [Check("ends of the scale", None, "pass", text)]


def _filled(
    pair: Pair, assigned: IntArray, control: float | None, pilot: float | None
) -> tuple[MeanDifference | None, Layers]:
    """The difference with missing answers at a value, or where that is None at the mean of their cell or arm."""
    missing = assigned - pair.n
    average = (pair.n * pair.mean).sum(axis=1, keepdims=True) / np.maximum(pair.n.sum(axis=1, keepdims=True), 1)
    own = np.where(pair.n > 0, pair.mean, average)
    value = np.array(
        [own[row] if end is None else np.full(own.shape[1], end) for row, end in enumerate((control, pilot))]
    )
    units = np.maximum(assigned, 1)
    mean = (pair.n * pair.mean + missing * value) / units
    m2 = pair.m2 + pair.n * missing / units * (pair.mean - value) ** 2
    strata = layers(assigned, mean, m2, strata_weights(pair)[0], pair.evidence.strata)
    return mean_difference(strata.n, strata.mean, strata.m2, strata.weights), strata


def _rates(pair: Pair, assigned: IntArray) -> dict[str, float | None]:
    rates = pair.n.sum(axis=1) / assigned.sum(axis=1)
    return {f"response rate of {name}": float(rate) for name, rate in zip((pair.control, pair.arm), rates, strict=True)}


def _of_bounds(
    analysis: Analysis,
    pair: Pair,
    bounds: Bounds,
    estimate: float,
    *,
    level: float,
    checks: Sequence[Check],
    method: str,
    words: str,
    details: dict[str, float | None],
) -> Comparison:
    """The record of bounds; nothing is tested, so there is no p value.

    Args:
        analysis: Whose they are.
        pair: The arms.
        bounds: The bounds.
        estimate: The difference of those who answered.
        level: Two-sided confidence level.
        checks: Assumptions looked at.
        method: One line naming the method.
        words: For whom the bounds hold.
        details: Further numbers by name.
    """
    low, high = bounds.interval(level)
    return record(
        analysis,
        pair,
        arms=pair.summaries(),
        checks=checks,
        method=method,
        measure="difference of means, bounded for missing answers",
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        alternative="none",
        details={"lower bound": bounds.low, "upper bound": bounds.high, **details},
        sentence=sentence(
            f"{words}, {between(pair, (bounds.low, bounds.high), low, high, level)}", reading(pair, low, high)
        ),
    )
