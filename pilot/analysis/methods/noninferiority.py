"""Not worse by more than a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import against_margin, percent, sentence
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.tails import p_value


@dataclass(frozen=True)
class NonInferiority(Analysis):
    """Whether the pilot arm's mean is not worse than control's by more than a margin.

    It passes only if the one-sided confidence limit on the worse side (97.5 % at the default level, which is a limit
    of the two-sided 95 % interval) lies strictly inside the margin. By strata wherever there are any.

    Args:
        margin: How much worse is still acceptable: a positive number on the outcome's scale.
        level: Two-sided confidence level of the interval.
    """

    key = "non-inferiority"
    label = "Not worse by more than a margin"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset(Scale)
    reference = "Piaggio et al. 2012, JAMA 308:2594"

    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is one-sided, against a true difference of the margin or worse."""
        pair = Pair.of(self, evidence, arm)
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        difference = found.difference
        low, high = difference.interval(self.level)
        edge = -self.margin if evidence.higher_is_better else self.margin
        log_p = difference.log_p_beyond(edge)
        return record(
            self,
            pair,
            arms=found.arms,
            checks=found.checks,
            method=f"{found.method}; non-inferiority, one-sided {percent((1 + self.level) / 2)} limit",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=(difference.estimate - edge) / difference.standard_error,
            df=difference.df,
            p_value=p_value(log_p),
            log_p=log_p,
            alternative=f"{'greater' if evidence.higher_is_better else 'less'} than {edge:g}",
            margin=self.margin,
            passed=low > -self.margin if evidence.higher_is_better else high < self.margin,
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level), against_margin(pair, low, high, self.margin)
            ),
        )
