"""Tables of arms by answer: chi-square, trend, and the Cochran-Mantel-Haenszel test of ordered answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtri, chndtr

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import IntArray
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import NO_COMMON_STRATUM, inside_strata, left_out
from pilot.analysis.tables import (
    ChiSquare,
    ScoreDifference,
    Scores,
    ShareDifference,
    chi_square,
    largest_share_difference,
    score_difference,
)
from pilot.analysis.tails import p_value
from pilot.errors import InputError

MOST_SPARSE = 0.2
"""Largest share of cells with an expected count below 5 at which chi-square's law is trusted (Cochran 1954)."""

_COUNTED = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})


@dataclass(frozen=True)
class ChiSquareTest(Analysis):
    """Whether the answers are distributed differently at all, in whatever way. Ignores their order and strata.

    The estimate is the difference of shares at the level where the arms differ most; its interval holds for all levels
    at once. Cramer's V stands in the details: it has no direction.

    Args:
        level: Two-sided confidence level of all intervals together.
    """

    key = "chi-square"
    label = "Distribution of answers (chi-square)"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = _COUNTED
    reference = "Pearson 1900, Phil. Mag. 50:157; Agresti 2002, Categorical Data Analysis, section 3.2"
    sizes = "Cramer's V"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is that of all levels together."""
        pair = Pair.of(self, evidence, arm)
        counts = pair.counts.sum(axis=1)
        found = chi_square(counts)
        if found is None or min(pair.sizes) < 2:
            return NotEnoughData(self.key, evidence.outcome, arm, _nothing(pair))
        largest = largest_share_difference(counts, self.level)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(_sparse(found), *review.balance(pair, "cmh"), *review.response(pair)),
            method="Pearson's chi-square without continuity correction; Newcombe intervals, Bonferroni over the levels",
            measure="largest difference of shares",
            estimate=largest.estimate,
            low=largest.low,
            high=largest.high,
            level=self.level,
            statistic=found.statistic,
            df=float(found.df),
            p_value=p_value(found.log_p),
            log_p=found.log_p,
            alternative="any difference between the distributions",
            details=self._details(pair, counts, found, largest),
            sentence=sentence(_most(pair, largest, self.level), _open(largest)),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that chi-square shows a Cramer's V of `effect`, by the noncentral law; see `Analysis.power`.

        Reference: Cohen 1988, Statistical Power Analysis, chapter 7.

        Raises:
            InputError: No levels are expected, or V would not lie between 0 and 1.
        """
        if len(expected.levels) < 2:
            raise InputError("the number of levels is needed", place="levels")
        if abs(effect) > 1:
            raise InputError(f"{effect:g} is no Cramer's V", place="effect", remedy="It lies between 0 and 1")
        df = len(expected.levels) - 1
        edge = float(chdtri(df, 1 - self.level))
        return 1 - float(chndtr(edge, df, (n[0] + n[1]) * effect**2 / (1 - expected.explained)))

    def _details(
        self, pair: Pair, counts: IntArray, found: ChiSquare, largest: ShareDifference
    ) -> dict[str, float | None]:
        v, low, high = found.cramer_v(self.level)
        shares = counts / counts.sum(axis=1, keepdims=True)
        names = [f"difference of shares at {level:g}" for level in pair.evidence.levels]
        return {
            "level": pair.evidence.levels[largest.position],
            "Cramer's V": v,
            "Cramer's V low": low,
            "Cramer's V high": high,
            **dict(zip(names, (shares[1] - shares[0]).tolist(), strict=True)),
        }


class _Scored(Analysis):
    """What `trend` and `cmh` share."""

    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = _COUNTED
    sizes = "difference of means"

    level: float
    scores: Scores

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that a difference of mean scores is shown, as for Welch's test; see `Analysis.power`.

        Raises:
            InputError: Scores are ridits, or no spread is expected.
        """
        if self.scores == "ridits":
            raise InputError("ridits plan no sizes", place="scores", remedy="Plan with mann-whitney")
        return mean_power(effect, expected.spreads, n, self.level)

    def _record(
        self, pair: Pair, found: ScoreDifference, checks: Sequence[Check], method: str, **details: float
    ) -> Comparison:
        low, high = found.interval(self.level)
        ranked = self.scores == "ridits"
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(review.sizes(pair), *review.spread(pair), *checks, *review.response(pair)),
            method=f"{method}; interval: t law, unequal variances",
            measure="difference of mean ridits" if ranked else "difference of means",
            estimate=found.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=found.standard_error,
            statistic=found.z,
            df=found.df,
            p_value=p_value(found.log_p),
            log_p=found.log_p,
            alternative="two-sided (law of shuffled arms, normal)",
            details={"chi-square": found.z**2, **details},
            sentence=sentence(self._words(pair, found.estimate, low, high), reading(pair, low, high)),
        )

    def _words(self, pair: Pair, estimate: float, low: float, high: float) -> str:
        if self.scores == "levels":
            return in_words(pair, estimate, low, high, self.level)
        control, pilot = pair.sizes
        return (
            f"the mean ridit of {pair.evidence.outcome} is {abs(estimate):.3f} {'higher' if estimate > 0 else 'lower'} in "
            f"{pair.arm} than in {pair.control} ({percent(self.level)} interval {low:.3f} to {high:.3f}; "
            f"{pilot:,} and {control:,} {pair.units})"
        )


@dataclass(frozen=True)
class Trend(_Scored):
    """Whether the answers of one arm lie higher: linear-by-linear association, for yes or no Cochran and Armitage's. Ignores strata.

    The estimate is the slope of the score from control to the pilot arm, which is the difference of mean scores.

    Args:
        level: Two-sided confidence level.
        scores: What an answer counts for: its own value (`levels`), or its `ridits`, which are ranks from 0 to 1.
    """

    key = "trend"
    label = "Trend of answers (linear by linear)"
    reference = "Mantel 1963, JASA 58:690; Armitage 1955, Biometrics 11:375; Agresti 2002, section 3.4"

    level: Level = 0.95
    scores: Scores = "levels"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        reason = lacking(pair)
        found = None if reason else score_difference(pair.counts.sum(axis=1)[:, None], evidence.levels, self.scores)
        if found is None or found.standard_error == 0:
            return NotEnoughData(self.key, evidence.outcome, arm, reason or _nothing(pair))
        method = f"Linear-by-linear association, scores {self.scores}"
        checks = (*review.ceiling(pair), *review.balance(pair, "cmh"))
        return self._record(pair, found, checks, method, correlation=found.z / math.sqrt(sum(pair.sizes) - 1))


@dataclass(frozen=True)
class CochranMantelHaenszel(_Scored):
    """Whether the answers of one arm lie higher inside the strata: the mean score test, without continuity correction.

    The estimate is the difference of mean scores inside strata, weighted as the test weights them: by `n1 n0 / (n1 + n0)`.
    Strata may be sparse, down to one customer in each arm.

    Args:
        level: Two-sided confidence level.
        scores: What an answer counts for: its own value (`levels`), or its `ridits` in the stratum.
    """

    key = "cmh"
    label = "Answers by strata (Cochran-Mantel-Haenszel)"
    reference = "Mantel 1963, JASA 58:690; Landis, Heyman and Koch 1978, International Statistical Review 46:237"

    level: Level = 0.95
    scores: Scores = "levels"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        reason = lacking(pair)
        found = None if reason else score_difference(pair.counts, evidence.levels, self.scores)
        if found is None or found.standard_error == 0:
            return NotEnoughData(self.key, evidence.outcome, arm, reason or _nothing(pair))
        strata = f"{found.strata} {'stratum' if found.strata == 1 else 'strata'}"
        method = (
            f"Cochran-Mantel-Haenszel mean score test without continuity correction, {strata}, scores {self.scores}"
        )
        return self._record(pair, found, (*review.ceiling(pair), *left_out(pair)), method)


def _nothing(pair: Pair) -> str:
    """Why a table of two arms says nothing."""
    for name, n in zip((pair.control, pair.arm), pair.sizes, strict=True):
        if n < 2:
            return f"{name} has {'only one of the' if n else 'no'} {pair.units}"
    if not (pair.n > 0).all(axis=0).any():
        return NO_COMMON_STRATUM
    inside = " inside the strata" if pair.stratified else ""
    return (
        f"all {pair.units} are equal{inside}, or those of each arm are, so there is no spread to measure uncertainty by"
    )


def _sparse(found: ChiSquare) -> Check:
    text = f"{percent(round(found.sparse, 3))} of the cells have an expected count below 5, the smallest {found.smallest:.1f}"
    if found.sparse <= MOST_SPARSE and found.smallest >= 1:
        return Check("sparse table", found.smallest, "pass", f"{text}.")
    return Check(
        "sparse table",
        found.smallest,
        "warn",
        f"{text}: the p value is a rough guide; trend or exact-rank-permutation need no such counts.",
    )


def _most(pair: Pair, largest: ShareDifference, level: float) -> str:
    control, pilot = pair.sizes
    size = f"{100 * abs(largest.estimate):.1f} percentage points {'more' if largest.estimate > 0 else 'less'}"
    return (
        f"of all values of {pair.evidence.outcome} the arms differ most in {pair.evidence.levels[largest.position]:g}, which is "
        f"{size} frequent in {pair.arm} than in {pair.control} ({percent(level)} interval for all values together "
        f"{100 * largest.low:.1f} to {100 * largest.high:.1f}; {pilot:,} and {control:,} {pair.units})"
    )


def _open(largest: ShareDifference) -> str:
    if largest.low <= 0 <= largest.high:
        return "the interval includes no difference"
    return "the whole interval lies on one side of no difference"
