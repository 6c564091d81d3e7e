"""The difference of two means."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import p_value


class _DifferenceOfMeans(Analysis):
    """What `welch` and `stratified-difference` share."""

    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale)
    sizes = "difference of means"

    level: float

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by the noncentral t law, with what strata explain taken off the spread."""
        return mean_power(effect, expected.spreads, n, self.level)

    def _compare(self, evidence: Evidence, arm: str, *, by_strata: bool) -> Comparison | NotEnoughData:
        found = effect(Pair.of(self, evidence, arm), by_strata=by_strata)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        pair, difference = found.pair, found.difference
        low, high = difference.interval(self.level)
        return record(
            self,
            pair,
            arms=found.arms,
            checks=found.checks,
            method=found.method,
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=difference.t,
            df=difference.df,
            p_value=p_value(difference.log_p),
            log_p=difference.log_p,
            sentence=sentence(in_words(pair, difference.estimate, low, high, self.level), reading(pair, low, high)),
        )


@dataclass(frozen=True)
class Welch(_DifferenceOfMeans):
    """Difference of two means with a t interval that lets the arms have different spreads. Ignores strata.

    Args:
        level: Two-sided confidence level.
    """

    key = "welch"
    label = "Difference of means (Welch)"
    reference = "Welch 1947, Biometrika 34:28"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        return self._compare(evidence, arm, by_strata=False)


@dataclass(frozen=True)
class StratifiedDifference(_DifferenceOfMeans):
    """Difference of means inside strata, weighted to the population: the default after a stratified design.

    Weights are the frame's units by stratum where known, else the assigned ones, else the values themselves.

    Args:
        level: Two-sided confidence level.
    """

    key = "stratified-difference"
    label = "Difference of means by strata"
    reference = "Imbens and Rubin 2015, Causal Inference, ch. 9; Miratrix, Sekhon and Yu 2013, JRSS B 75:369"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        return self._compare(evidence, arm, by_strata=True)
