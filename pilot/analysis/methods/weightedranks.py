"""Ranks compared with the weights, strata and clusters of a survey."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, with_rows
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.methods.ranks import MannWhitney, lacking
from pilot.analysis.methods.surveyweights import Effect, Spread, by_arm, spread_of, weight_checks, weights_of
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import measured, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, left_out
from pilot.analysis.surveyweights import Design
from pilot.analysis.tails import p_value, t_quantile
from pilot.analysis.weightedranks import RankTest, design_rank_test, win_scores

SEPARATED = "one arm lies wholly above the other, so the spread of ranks is unseen; use brunner-munzel"


@dataclass(frozen=True)
class WeightedRanks(Analysis):
    """The chance that a pilot customer's value is higher than one of control's, in the population, and the design-based rank test.

    Ties are split evenly. Weights, strata and clusters are those of the survey, as in `survey-weighted`.

    Args:
        level: Two-sided confidence level.
        design_effect: For planning only: how much weights and clusters are expected to widen the variance.
    """

    key = "weighted-ranks"
    label = "Ranks of a weighted survey"
    needs = frozenset({Need.ROWS, Need.MOMENTS, Need.ASSIGNED})
    columns = frozenset({"weights", "clusters"})
    scales = frozenset(Scale) - {Scale.TIME}
    reference = "Lumley and Scott 2013, Biometrika 100:831; Brunner and Munzel 2000, Biom. J. 42:17"
    sizes = MannWhitney.sizes

    level: Level = 0.95
    design_effect: Effect = 1.0

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is Lumley and Scott's; the interval holds also where the arms differ."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_rows(every, every.rows))
        rows, weight = pair.rows, weights_of(pair)
        if min(pair.sizes) < 2 or not (pair.n > 0).all(axis=0).any():
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        chance, scores = win_scores(rows.value, rows.arm, weight)
        found = spread_of(pair, rows, weight, scores)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, SEPARATED if chance in (0.0, 1.0) else found)
        tested = design_rank_test(rows.value, rows.arm, Design(weight, found.stratum, rows.cluster))
        checks = (
            review.sizes(pair),
            *left_out(pair),
            *found.checks,
            *weight_checks(pair, *by_arm(rows.arm, weight)),
            *review.response(pair),
            *left_aside(every, pair, "a value of a covariate"),
        )
        return self._record(pair, chance, found, tested, checks)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. As `mann-whitney`, where each arm counts for its number over `design_effect`."""
        unweighted = n[0] / self.design_effect, n[1] / self.design_effect
        return MannWhitney(level=self.level).power(expected, effect, unweighted)

    def _record(
        self, pair: Pair, chance: float, found: Spread, tested: RankTest | None, checks: tuple[Check, ...]
    ) -> Comparison:
        half = t_quantile((1 + self.level) / 2, found.df) * found.standard_error
        low, high = max(chance - half, 0.0), min(chance + half, 1.0)
        words = measured(pair, "win probability", chance, low, high, self.level)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=checks,
            method=f"Design-based rank test (Lumley and Scott); interval: placements over {found.what}, Satterthwaite's t",
            measure="win probability",
            estimate=chance,
            low=low,
            high=high,
            level=self.level,
            standard_error=found.standard_error,
            details={"difference of mean ranks": chance - 0.5, "interval df": found.df},
            sentence=sentence(f"weighted, {words}", reading(pair, low, high, 0.5)),
            **_numbers(tested),
        )


def _numbers(tested: RankTest | None) -> dict[str, float]:
    """Statistic and p value; none where the design leaves no degree of freedom."""
    if tested is None:
        return {}
    log_p = tested.log_p
    return {"statistic": tested.t, "df": float(tested.df), "p_value": p_value(log_p), "log_p": log_p}
