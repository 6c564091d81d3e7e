"""How bad the missing answers must be to overturn a conclusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import MeanDifference, layers
from pilot.analysis.methods.missing import End, ends, with_joined
from pilot.analysis.methods.surveyweights import assigned_of
from pilot.analysis.missing import Incomplete, tipping_shift
from pilot.analysis.missingpower import tipping_power
from pilot.analysis.moments import IntArray
from pilot.analysis.noncentral import mean_power
from pilot.analysis.normalpower import margin_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import amount, effect, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, strata_weights
from pilot.analysis.tails import p_value

Positive = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A conclusion, and in which direction missing answers of the pilot arm could overturn it.

    Attributes:
        holds: Whether it holds for a difference.
        worse: 1 if higher answers work against it, -1 if lower ones do.
        words: The conclusion.
    """

    holds: Callable[[MeanDifference], bool]
    worse: int
    words: str


@dataclass(frozen=True, slots=True)
class _Tip:
    """Where the conclusion tips; None where it never does.

    Attributes:
        shift: Shift of the pilot arm's missing answers alone.
        mean: Their mean there.
        customers: How many of them would have to give the answer at the end of the scale.
        both: Shift of the pilot arm's missing answers if those of control move as far the other way.
        end: The answer at the end of the scale.
        missing: Missing answers of the pilot arm.
        answered: The mean that the missing answers would have if they were like those given.
    """

    shift: float | None
    mean: float | None
    customers: int | None
    both: float | None
    end: float
    missing: int
    answered: float


@dataclass(frozen=True)
class TippingPoint(Analysis):
    """How far the answers that are missing in the pilot arm must lie from those given before the conclusion falls.

    With a margin the conclusion is that the pilot arm is not worse by the margin; without one, that the whole interval
    lies on one side of no difference.

    Args:
        margin: Non-inferiority margin, a positive number on the outcome's scale.
        plausible: Largest shift that is plausible, fixed beforehand; it passes if the conclusion stands up to it.
        lowest: Lowest value there can be; 0 for yes or no, else by default the lowest that was given.
        highest: Highest value there can be; 1 for yes or no, else by default the highest that was given.
        level: Two-sided confidence level.
    """

    key = "tipping-point"
    label = "Missing answers that would overturn the result"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY})
    reference = "White, Carpenter and Horton 2018, Statistica Sinica 28:1985; Cro et al. 2020, Stat. Med. 39:2815"
    sizes = "difference of means of those who answer; with a margin, positive where the pilot arm is better"

    margin: Positive | None = None
    plausible: Positive | None = None
    lowest: End | None = None
    highest: End | None = None
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. Estimate and interval take missing answers as like those given."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        assigned = assigned_of(pair)
        lack = lacking(pair)
        if lack:
            return NotEnoughData(self.key, evidence.outcome, arm, lack)
        scale, checks = ends(pair, self.lowest, self.highest)
        weights, source = strata_weights(pair)
        strata = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
        units = with_joined(assigned, pair, strata).astype(np.float64)
        answers = Incomplete(strata.n.astype(np.float64), strata.mean, strata.m2, units, strata.weights)
        plain = answers.shifted(0.0, 0.0)
        if plain is None:
            reason = (
                f"inside strata all {pair.units} of each arm are equal, so there is no spread to measure uncertainty by"
            )
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        claim = self._claim(pair, plain)
        tip = None if claim is None else _tip(answers, claim, scale, plain)
        weighting = f", {strata.n.shape[1]} strata weighted by {source}" if strata.n.shape[1] > 1 else ""
        return self._record(
            pair,
            plain,
            tip,
            claim,
            (assigned - pair.n).sum(axis=1),
            checks=(review.sizes(pair), *review.cells(pair, strata), *checks, *review.response(pair)),
            method=f"Delta adjustment of the missing answers{weighting}; Satterthwaite's t",
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that it passes: that the conclusion is reached and stands up to `plausible`; see `Analysis.power`.

        The effect is one among those who answer; with a margin, positive is better. `n` are answers, and `expected.response`
        says of how many. Without `plausible` it is the chance that the conclusion is reached. The ends of the scale are not
        thought of.
        """
        if self.plausible is not None:
            return tipping_power(expected, effect, n, self.level, self.plausible, self.margin)
        if self.margin is None:
            return mean_power(effect, expected.spreads, n, self.level)
        return margin_power(effect, self.margin, expected.spreads, n, self.level)

    def _claim(self, pair: Pair, plain: MeanDifference) -> _Claim | None:
        """What the interval says if missing answers are like those given; None where it says nothing."""
        name, better = pair.evidence.outcome, pair.evidence.higher_is_better
        low, high = plain.interval(self.level)
        if self.margin is not None:
            edge, word = (-self.margin, "lower") if better else (self.margin, "higher")
            words = f"{name} is not {word} by {amount(pair, self.margin)} or more in {pair.arm}"
            above = better
        elif low <= 0 <= high:
            return None
        else:
            edge, above = 0.0, low > 0
            words = f"{name} is {'higher' if above else 'lower'} in {pair.arm} than in {pair.control}"

        def holds(difference: MeanDifference) -> bool:
            limits = difference.interval(self.level)
            return limits[0] > edge if above else limits[1] < edge

        claim = _Claim(holds, -1 if above else 1, words)
        return claim if holds(plain) else None

    def _record(
        self,
        pair: Pair,
        plain: MeanDifference,
        tip: _Tip | None,
        claim: _Claim | None,
        missing: IntArray,
        *,
        checks: tuple[Check, ...],
        method: str,
    ) -> Comparison:
        low, high = plain.interval(self.level)
        edge = 0.0 if self.margin is None else -self.margin if pair.evidence.higher_is_better else self.margin
        log_p = plain.log_p if self.margin is None else plain.log_p_beyond(edge)
        return record(
            self,
            pair,
            arms=pair.summaries(np.asarray(plain.means)),
            checks=(*checks, *self._check(pair, tip)),
            method=method,
            measure="difference of means",
            estimate=plain.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=plain.standard_error,
            statistic=(plain.estimate - edge) / plain.standard_error,
            df=plain.df,
            p_value=p_value(log_p),
            log_p=log_p,
            alternative="two-sided" if self.margin is None else f"{'greater' if edge < 0 else 'less'} than {edge:g}",
            margin=self.margin,
            passed=self._passed(tip),
            details=_details(pair, tip, missing),
            sentence=sentence(
                effect(pair, plain.estimate, low, high, self.level), *self._words(pair, tip, claim, low, high)
            ),
        )

    def _passed(self, tip: _Tip | None) -> bool | None:
        if self.plausible is None:
            return None
        return tip is not None and (tip.shift is None or abs(tip.shift) > self.plausible)

    def _check(self, pair: Pair, tip: _Tip | None) -> list[Check]:
        if tip is None or self.plausible is None or tip.shift is None:
            return []
        text = f"The conclusion tips at a shift of {amount(pair, abs(tip.shift))}"
        if abs(tip.shift) > self.plausible:
            return [Check("tipping point", tip.shift, "pass", f"{text}, more than is plausible.")]
        text = f"{text}, and shifts up to {amount(pair, self.plausible)} are plausible: it rests on who answered."
        return [Check("tipping point", tip.shift, "warn", text)]

    def _words(self, pair: Pair, tip: _Tip | None, claim: _Claim | None, low: float, high: float) -> tuple[str, ...]:
        if tip is None or claim is None:
            if self.margin is not None:
                return ("the margin is not ruled out even if missing answers are like those given, so nothing can tip",)
            return (reading(pair, low, high), "so there is no conclusion that missing answers could overturn")
        if tip.missing == 0:
            return (f"no answer of {pair.arm} is missing",)
        if tip.shift is None or tip.mean is None:
            return (
                f"that {claim.words} would hold even if all {tip.missing:,} missing answers of {pair.arm} were {tip.end:g}",
            )
        side = "below" if tip.shift < 0 else "above"
        return (
            f"that {claim.words} would no longer hold if the {tip.missing:,} missing answers of {pair.arm} were "
            f"{amount(pair, tip.mean)} on average, {amount(pair, abs(tip.shift))} {side} those given, "
            f"or if {tip.customers:,} of them were {tip.end:g} and the rest like those given",
        )


def _details(pair: Pair, tip: _Tip | None, missing: IntArray) -> dict[str, float | None]:
    return {
        f"missing in {pair.control}": float(missing[0]),
        f"missing in {pair.arm}": float(missing[1]),
        "tipping shift": None if tip is None else tip.shift,
        "tipping mean": None if tip is None else tip.mean,
        "tipping customers": None if tip is None or tip.customers is None else float(tip.customers),
        "tipping shift, both arms": None if tip is None else tip.both,
    }


def _tip(answers: Incomplete, claim: _Claim, scale: tuple[float, float], plain: MeanDifference) -> _Tip:
    """Where a conclusion that holds tips."""
    missing = answers.missing[1]
    number = int(missing.sum())
    end = scale[0] if claim.worse < 0 else scale[1]
    answered = float(missing @ answers.mean[1] / number) if number else plain.means[1]
    furthest = end - answered

    def holds(control: float, pilot: float) -> bool:
        found = answers.shifted(control, pilot)
        return found is not None and claim.holds(found)

    shift = None if number == 0 or furthest == 0 else tipping_shift(lambda far: holds(0.0, far), furthest)
    both = None if furthest == 0 else tipping_shift(lambda far: holds(-far, far), furthest)
    if shift is None:
        return _Tip(None, None, None, both, end, number, answered)
    customers = math.ceil(shift / furthest * number - 1e-9)
    return _Tip(shift, answered + shift, customers, both, end, number, answered)
