"""Not worse by more than a margin, by rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.methods.noninferiority import AgainstMargin
from pilot.analysis.methods.ranks import asked, counted, lacking, ranked
from pilot.analysis.pairs import Pair
from pilot.analysis.ranks import Form, WinProbability
from pilot.analysis.sentences import measured, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import blocked, holds, inside_strata, left_out, likeness
from pilot.analysis.tails import log_normal_upper, log_t_upper, normal_quantile


@dataclass(frozen=True)
class NonInferiorityRanks(AgainstMargin):
    """Whether the win probability is not below one half by more than a margin: no distances between ratings needed.

    The interval is that of `brunner-munzel`, inside strata wherever there are any, and passes as in `non-inferiority`.

    Args:
        margin: How far the win probability may lie on the worse side of one half: between 0 and 0.5, such as 0.05.
        form: Whether the interval is symmetric on the win probability's own scale (`t`) or on that of its `logit`.
        level: Two-sided confidence level of the interval.
    """

    key = "non-inferiority-ranks"
    label = "Win probability not worse by more than a margin"
    needs = frozenset({Need.COUNTS, Need.ROWS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT, Scale.MONEY, Scale.NUMBER})
    reference = "Brunner and Munzel 2000, Biometrical Journal 42:17; Piaggio et al. 2012, JAMA 308:2594"
    sizes = "win probability above one half, positive where the pilot arm is better"

    margin: Annotated[float, Field(gt=0, lt=0.5)]
    form: Form = "t"
    level: Level = 0.95

    def asks(self, scale: Scale) -> frozenset[Need]:
        """See `Analysis.asks`. Counts tell all of a rating, rows are needed for amounts."""
        return asked(self.needs, scale)

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is one-sided, against a true win probability at the margin or worse."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        _, found = ranked([counts for _, counts in counted(pair, by_strata=True)])
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        low, high = found.interval(self.level, self.form)
        log_p, statistic = self._test(evidence, found)
        tested = self._tested(evidence, log_p, statistic)
        side, edge = tested["alternative"].split(" ")[0], 0.5 + self._edge(evidence)
        strata, lost = " inside strata" if pair.stratified else "", left_out(pair)
        checks = (review.sizes(pair), *_separation(found), *lost, *review.response(pair), *likeness(pair, lost, 1.0))
        distances = low - 0.5, high - 0.5
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=checks,
            method=f"Brunner-Munzel{strata}, {self.form} interval; {self._limit}",
            measure="win probability",
            estimate=found.estimate,
            low=low,
            high=high,
            standard_error=None if found.separated else found.standard_error,
            df=None if found.separated else found.df,
            passed=holds(checks, *distances, self._passes(evidence)),
            sentence=sentence(
                measured(pair, "win probability", found.estimate, low, high, self.level),
                self._reading(evidence, *distances),
                blocked(checks, *distances, self._passes(evidence)),
            ),
            **{**tested, "alternative": f"{side} than {edge:g}"},
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by Noether's formula, with the spread that ranks have where the arms do not differ."""
        tied = sum(share**3 for share in expected.shares)
        error = math.sqrt((1 - expected.explained) * (1 - tied) * sum(n) / (12 * n[0] * n[1]))
        if error == 0:
            return float(effect > -self.margin)
        return math.exp(log_normal_upper(normal_quantile((1 + self.level) / 2) - (effect + self.margin) / error))

    def _test(self, evidence: Evidence, found: WinProbability) -> tuple[float | None, float | None]:
        """One-sided log p and t at the margin; none where the arms are separated, so that no spread is seen."""
        if found.separated or not 0 < found.estimate < 1:
            return None, None
        edge, estimate, error = 0.5 + self._edge(evidence), found.estimate, found.standard_error
        if self.form == "logit":
            error /= estimate * (1 - estimate)
            edge, estimate = (math.log(share / (1 - share)) for share in (edge, estimate))
        t = (estimate - edge) / error
        return log_t_upper(t if evidence.higher_is_better else -t, found.df), t

    def _reading(self, evidence: Evidence, low: float, high: float) -> str:
        worst, best = (low, high) if evidence.higher_is_better else (-high, -low)
        if worst > -self.margin and best < 0:
            return (
                f"the whole interval lies on the worse side of one half, yet by less than the margin of {self.margin:g}"
            )
        if worst > -self.margin:
            return f"even its worse end stays within the margin of {self.margin:g} from one half"
        if best < -self.margin:
            return f"the whole interval lies beyond the margin of {self.margin:g} on the worse side"
        return f"a true value that is worse by the margin of {self.margin:g} or more is not ruled out"


def _separation(found: WinProbability) -> list[Check]:
    if not found.separated:
        return []
    text = "Where both arms have values, one lies wholly above the other: the spread is unseen, and nothing is tested."
    return [Check("separation", found.estimate, "warn", text)]
