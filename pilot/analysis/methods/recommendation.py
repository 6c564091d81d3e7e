"""The difference of net promoter scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.permutation import PermutationLaw, exact_permutation
from pilot.analysis.recommendation import POINTS, recoded
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import p_text, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata
from pilot.analysis.tails import p_value
from pilot.errors import InputError


@dataclass(frozen=True)
class NpsDifference(Analysis):
    """Difference of net promoter scores in points, with the multinomial variance; by strata wherever there are any.

    Answers 9 and 10 count as 100, 7 and 8 as 0, 0 to 6 as -100; the score is their mean. Answers coded so already are taken as they are.

    Args:
        level: Two-sided confidence level.
        test: Which p value is reported: of the interval's `t` law, or the `exact` permutation one; the details have the other.
    """

    key = "nps-difference"
    label = "Difference of net promoter scores"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING})
    reference = "Rocks 2016, The American Statistician 70:365; Welch 1947, Biometrika 34:28"
    sizes = "difference of net promoter scores, in points"

    level: Level = 0.95
    test: Literal["t", "exact"] = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`.

        Raises:
            InputError: Also where the answers do not run from 0 to 10.
        """
        Pair.of(self, evidence, arm)
        scored = _scored(evidence)
        pair = inside_strata(Pair.of(self, scored, arm))
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            reason = f"{found} (as detractors, passives and promoters)"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        return self._record(pair, found, exact_permutation(pair.counts, POINTS))

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that a difference of `effect` points is shown, by the noncentral t law; see `Analysis.power`.

        The spread is that of the expected shares of the answers from 0 to 10, or of -100, 0 and 100; else `sd`, in points.

        Raises:
            InputError: No spread is expected, or the score would leave -100 to 100.
        """
        planned = _points(expected) if expected.levels else expected
        if planned.levels and abs(planned.centre + effect) > max(POINTS):
            raise InputError(f"a score of {planned.centre + effect:g} cannot be planned for", place="effect")
        return mean_power(effect, planned.spreads, n, self.level)

    def _record(self, pair: Pair, found: Effect, law: PermutationLaw) -> Comparison:
        difference = found.difference
        low, high = difference.interval(self.level)
        exact = self.test == "exact"
        log_p = law.log_p if exact else difference.log_p
        tested = "; exact permutation p" if exact else ""
        return record(
            self,
            pair,
            arms=found.arms,
            checks=[check for check in found.checks if check.name != "ceiling"],
            method=f"{found.method}, of -100, 0 and 100 for detractors, passives and promoters{tested}",
            measure="difference of net promoter scores",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=law.z if exact else difference.t,
            df=None if exact else difference.df,
            p_value=p_value(log_p),
            log_p=log_p,
            alternative="two-sided (twice the smaller tail)" if exact else "two-sided",
            details={**_shares(pair), "t p": p_value(difference.log_p), "exact permutation p": p_value(law.log_p)},
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                reading(pair, low, high),
                f"exact permutation p {p_text(law.log_p)}" if exact else "",
            ),
        )


def _scored(evidence: Evidence) -> Evidence:
    """The same evidence with the answers recoded to points."""
    if evidence.counts is None:
        raise InputError("the analysis needs counts, which this evidence lacks", place=evidence.outcome)
    return Evidence.from_counts(
        evidence.outcome,
        evidence.scale,
        evidence.arms,
        POINTS,
        recoded(evidence.counts, evidence.levels, place=evidence.outcome),
        strata=evidence.strata,
        higher_is_better=evidence.higher_is_better,
        assigned=evidence.assigned,
        population=evidence.population,
        excluded=evidence.excluded,
    )


def _points(expected: Expected) -> Expected:
    """What is expected, in points."""
    of_group = np.eye(len(expected.levels), dtype=np.int64)
    groups = recoded(of_group, expected.levels, place="levels")
    shares = np.asarray(expected.shares) @ groups
    return Expected(
        sd=expected.sd,
        sd_pilot=expected.sd_pilot,
        levels=POINTS,
        shares=tuple(shares.tolist()),
        share=expected.share,
        explained=expected.explained,
        events=expected.events,
    )


def _shares(pair: Pair) -> dict[str, float | None]:
    """Promoters and detractors as shares of each arm's answers, without regard to strata."""
    counts = pair.counts.sum(axis=1)
    found: dict[str, float | None] = {}
    for name, row in (("control", counts[0]), ("pilot", counts[1])):
        found[f"promoters, {name}"] = float(row[2] / row.sum())
        found[f"detractors, {name}"] = float(row[0] / row.sum())
    return found
