"""The exact permutation test of a rating."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.inversion import permutation_interval
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.permutation import PermutationLaw, exact_permutation
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import p_text, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata
from pilot.analysis.tails import p_value


@dataclass(frozen=True)
class ExactPermutation(Analysis):
    """Exact test of a difference in mean rating: all ways to shuffle the arms inside the strata, counted.

    Two-sided p: twice the smaller tail, the observed result included.

    Args:
        interval: `t` takes estimate and interval of `stratified-difference` (of `welch` where there are no strata),
            weighted to the population. `exact` inverts the test: all shifts it leaves open, around the difference in
            which strata weigh `n1 n0 / (n1 + n0)`; it says yes or no to 0 just as the p value does.
        level: Two-sided confidence level of the interval.
    """

    key = "exact-permutation"
    label = "Exact permutation test of a rating"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Pitman 1937, JRSS Suppl. 4:119; Streitberg and Roehmel 1986, Statistical Software Newsletter 12:10"
    sizes = "difference of means"

    interval: Literal["t", "exact"] = "t"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        law = exact_permutation(pair.counts, evidence.levels)
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        if law.sd == 0:
            reason = "no stratum has both arms and two different values, so there is nothing to shuffle"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        if self.interval == "exact":
            return self._inverted(pair, law, found)
        difference = found.difference
        limits = difference.interval(self.level)
        numbers = {"arms": found.arms, "standard_error": difference.standard_error}
        return self._record(pair, law, found, difference.estimate, limits, found.method, numbers)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; an approximation: that of Welch's test, which this test is as answers grow.

        The observed result counts as part of its tail, which costs half of the step from one sum of ratings to the next.
        The step is the smallest between the expected `levels`; without them it is taken for 0, and the power comes out
        a little too high: by 3 points at 60 answers per arm, by 1.5 at 200.
        """
        step = min((later - sooner for sooner, later in pairwise(sorted(expected.levels))), default=0.0)
        return mean_power(effect, expected.spreads, n, self.level, continuity=step / 2 * (1 / n[0] + 1 / n[1]))

    def _inverted(self, pair: Pair, law: PermutationLaw, found: Effect) -> Comparison | NotEnoughData:
        open_shifts = permutation_interval(pair.counts, pair.evidence.levels, self.level)
        if open_shifts.low is None or open_shifts.high is None:
            reason = f"with so few {pair.units} no shift at all can be ruled out"
            return NotEnoughData(self.key, pair.evidence.outcome, pair.arm, reason)
        estimate = (law.total - law.expected) / float((pair.n.prod(axis=0) / np.maximum(pair.n.sum(axis=0), 1)).sum())
        how = "shifts the test leaves open" if open_shifts.exact else "shifts left open, by the normal law at this size"
        limits = (open_shifts.low, open_shifts.high)
        return self._record(pair, law, found, estimate, limits, how, {"arms": pair.summaries()})

    def _record(
        self,
        pair: Pair,
        law: PermutationLaw,
        found: Effect,
        estimate: float,
        limits: tuple[float, float],
        interval: str,
        numbers: dict[str, Any],
    ) -> Comparison:
        shuffle = "inside strata" if pair.stratified else "of all"
        low, high = limits
        return record(
            self,
            pair,
            checks=found.checks,
            method=f"Exact permutation test, shuffles {shuffle}; interval: {interval}",
            measure="difference of means",
            estimate=estimate,
            low=low,
            high=high,
            level=self.level,
            statistic=law.z,
            p_value=p_value(law.log_p),
            log_p=law.log_p,
            alternative="two-sided (twice the smaller tail)",
            sentence=sentence(
                in_words(pair, estimate, low, high, self.level),
                reading(pair, low, high),
                f"exact permutation p {p_text(law.log_p)}",
            ),
            **numbers,
        )
