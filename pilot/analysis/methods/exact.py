"""The exact permutation test of a rating."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.pairs import Pair
from pilot.analysis.permutation import exact_permutation
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import p_text, reading, sentence
from pilot.analysis.tails import p_value


@dataclass(frozen=True)
class ExactPermutation(Analysis):
    """Exact test of a difference in mean rating: all ways to shuffle the arms inside the strata, counted.

    Two-sided p: twice the smaller tail, the observed result included. Estimate and interval are those of
    `stratified-difference` (of `welch` where there are no strata), which the method line says.

    Args:
        level: Two-sided confidence level of the interval.
    """

    key = "exact-permutation"
    label = "Exact permutation test of a rating"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Pitman 1937, JRSS Suppl. 4:119; Streitberg and Roehmel 1986, Statistical Software Newsletter 12:10"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        law = exact_permutation(pair.counts, evidence.levels)
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        if law.sd == 0:
            reason = "no stratum has both arms and two different values, so there is nothing to shuffle"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        difference = found.difference
        low, high = difference.interval(self.level)
        shuffle = "inside strata" if pair.stratified else "of all"
        return record(
            self,
            pair,
            arms=found.arms,
            checks=found.checks,
            method=f"Exact permutation test, shuffles {shuffle}; interval: {found.method}",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=law.z,
            p_value=p_value(law.log_p),
            log_p=law.log_p,
            alternative="two-sided (twice the smaller tail)",
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                reading(pair, low, high),
                f"exact permutation p {p_text(law.log_p)}",
            ),
        )
