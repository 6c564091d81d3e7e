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
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import Layers, MeanDifference, layers, mean_difference
from pilot.analysis.methods.surveyweights import assigned_of
from pilot.analysis.missing import Bounds, Trimmed, lee_bounds
from pilot.analysis.missingpower import lee_power, manski_power
from pilot.analysis.moments import IntArray
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import between, percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import NO_COMMON_STRATUM, inside_strata, strata_weights
from pilot.errors import InputError

End = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]

SMALL_FOR_TRIMMING = 100
"""Below this number of answers per arm the interval covers 93 instead of 95 % where the truth lies at a bound."""

CLEARLY = 1.96
"""Standard errors from which on a response rate of a stratum is said to differ between arms."""


@dataclass(frozen=True)
class LeeBounds(Analysis):
    """Between which values the difference lies among customers who would answer in either arm.

    It assumes that the handling moves answering in one direction only: nobody who would answer in the arm with fewer
    answers would not in the other. By strata wherever there are any; each may then have its own direction.

    Args:
        level: Two-sided confidence level of the interval for the difference.
    """

    key = "lee-bounds"
    label = "Bounds for missing answers (Lee)"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Lee 2009, Review of Economic Studies 76:1071; Imbens and Manski 2004, Econometrica 72:1845"
    sizes = "difference of means of those who answer"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate is the difference of those who answered; the interval is for the bounds."""
        every = Pair.of(self, evidence, arm)
        assigned_of(every)
        pair = inside_strata(every)
        for name, answers in zip((pair.control, pair.arm), pair.sizes, strict=True):
            if answers < 2:
                return NotEnoughData(self.key, evidence.outcome, arm, f"{name} has fewer than two {pair.units}")
        if not (pair.n > 0).all(axis=0).any():
            return NotEnoughData(self.key, evidence.outcome, arm, NO_COMMON_STRATUM)
        weights, source = strata_weights(pair)
        strata = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
        counts, assigned = (with_joined(table, pair, strata) for table in (pair.counts, assigned_of(pair)))
        found = lee_bounds(counts, pair.evidence.levels, assigned, strata.weights)
        if max(found.bounds.errors) == 0:
            reason = f"all {pair.units} are equal, so there is no spread to measure uncertainty by"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        checks = (
            _size(pair),
            *(review.cells(pair, strata) if pair.stratified else ()),
            *_directions(pair, strata, assigned, found),
            *review.response(pair),
        )
        cut = _cut_off(pair, strata, found)
        parts = [f"{percent(round(share, 4))} of the {pair.units} of {name}" for name, share in cut.items()]
        return _of_bounds(
            self,
            pair,
            found.bounds,
            found.estimate,
            level=self.level,
            checks=checks,
            method=f"Lee's trimming bounds{_weighting(strata, source)}, {' and '.join(parts)} cut off; "
            "interval of Imbens and Manski",
            words="among customers who would answer in either arm",
            details={
                **{f"trimmed share of {name}": share for name, share in cut.items()},
                **_rates(pair, assigned),
            },
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that the interval excludes 0, for an effect among those who answer; see `Analysis.power`.

        `expected.response` says how many answer, levels and shares what (of yes and no, the mean); `n` are answers. Strata
        are not thought of. With unlike response rates a small effect is never shown.
        """
        return lee_power(expected, effect, n, self.level)


def with_joined(table: IntArray, pair: Pair, strata: Layers) -> IntArray:
    """Numbers by (arm, stratum) or (arm, stratum, level), with the same strata joined."""
    thin = np.isin(pair.evidence.strata, strata.joined)
    if not thin.any():
        return table
    return np.concatenate([table[:, ~thin], table[:, thin].sum(axis=1, keepdims=True)], axis=1)


def _weighting(strata: Layers, source: str) -> str:
    number = strata.n.shape[1]
    return f" in {number} strata weighted by {source} who would answer in either arm" if number > 1 else ""


def _cut_off(pair: Pair, strata: Layers, found: Trimmed) -> dict[str, float]:
    """Share of the answers of each arm that was cut off; of the only arm that was cut where there is but one."""
    cut = np.array([((found.arms == row) * found.shares * strata.n[row]).sum() for row in (0, 1)])
    shares = dict(zip((pair.control, pair.arm), (cut / strata.n.sum(axis=1)).tolist(), strict=True))
    some = {name: share for name, share in shares.items() if share > 0}
    return some or shares


def _size(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= SMALL_FOR_TRIMMING:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check(
        "small n", float(smallest), "warn", f"{text}; below {SMALL_FOR_TRIMMING} the interval is a little too narrow."
    )


def _directions(pair: Pair, strata: Layers, assigned: IntArray, found: Trimmed) -> list[Check]:
    """Strata in which the other arm answered more than in most, and whether that is more than chance.

    Args:
        pair: The arms.
        strata: Their strata, thin ones joined.
        assigned: Units by arm and stratum, so joined.
        found: The bounds.
    """
    names = [label or "(none)" for label in pair.evidence.strata if label not in strata.joined]
    names += ["those joined"] if strata.joined else []
    if len(names) < 2:
        return []
    rates = strata.n / assigned
    error = np.sqrt((rates * (1 - rates) / assigned).sum(axis=0))
    surplus = rates[1] - rates[0]
    most = 1 if float((found.weights * surplus).sum()) > 0 else -1
    other = [name for name, gap in zip(names, most * surplus, strict=True) if gap < 0]
    clear = bool((most * surplus < -CLEARLY * np.maximum(error, 1e-9)).any())
    if not other:
        return [Check("one direction", 0.0, "pass", "In no stratum did the other arm answer more.")]
    listed = ", ".join(other[:5]) + (f" and {len(other) - 5:,} more" if len(other) > 5 else "")
    text = f"In these strata the other arm answered more, so its answers were cut there: {listed}"
    if not clear:
        return [Check("one direction", float(len(other)), "pass", f"{text}; that may be chance.")]
    text += "; the handling is then assumed to move answering in one direction inside each stratum only."
    return [Check("one direction", float(len(other)), "warn", text)]


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
    sizes = "difference of means of those who answer"

    lowest: End | None = None
    highest: End | None = None
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate takes missing answers as like those given in their arm and stratum."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(every, assigned_of(every))
        assigned = assigned_of(pair)
        for name, answers in zip((pair.control, pair.arm), pair.sizes, strict=True):
            if not answers:
                return NotEnoughData(self.key, evidence.outcome, arm, f"{name} has no {pair.units}")
        if not (assigned > 0).all(axis=0).any():
            return NotEnoughData(self.key, evidence.outcome, arm, NO_COMMON_STRATUM)
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

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that the interval excludes 0, for an effect among those who answer; see `Analysis.power`.

        `expected.response` says how many answer, levels and shares what (of yes and no, the mean); `n` are answers. An effect
        smaller than the bounds are apart is never shown.
        """
        return manski_power(expected, effect, n, self.level, (self.lowest, self.highest))


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
