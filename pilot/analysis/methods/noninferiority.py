"""Not worse by more than a margin, and no different by more than a margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.methods.shares import size
from pilot.analysis.methods.stratifiedshares import StrataOfShares, Weights, strata_of_shares
from pilot.analysis.normalpower import equivalence_power, margin_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import against_margin, percent, sentence, within_margin
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sharepower import score_power
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import blocked, holds, inside_strata, likeness
from pilot.analysis.tails import log_normal_upper, p_value

Margin = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
"""How much worse is still acceptable: a positive number on the outcome's scale."""


class AgainstMargin(Analysis):
    """What the non-inferiority analyses share: where the margin lies, and when they pass."""

    margin: float
    level: float

    def _edge(self, evidence: Evidence) -> float:
        """The worsening by the margin, as a difference."""
        return -self.margin if evidence.higher_is_better else self.margin

    def _passes(self, evidence: Evidence) -> Callable[[float, float], bool]:
        """Whether limits of a difference lie within the margin."""
        return lambda low, high: low > -self.margin if evidence.higher_is_better else high < self.margin

    def _tested(self, evidence: Evidence, log_p: float | None, statistic: float | None) -> dict[str, Any]:
        """Test against a true difference of the margin, and what it is called."""
        side = "greater" if evidence.higher_is_better else "less"
        return {
            "statistic": statistic,
            "log_p": log_p,
            "p_value": None if log_p is None else p_value(log_p),
            "alternative": f"{side} than {self._edge(evidence):g}",
            "margin": self.margin,
            "level": self.level,
        }

    @property
    def _limit(self) -> str:
        return f"non-inferiority, one-sided {percent((1 + self.level) / 2)} limit"


@dataclass(frozen=True)
class NonInferiority(AgainstMargin):
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
    on_scale = True
    scales = frozenset(Scale)
    reference = "Piaggio et al. 2012, JAMA 308:2594"
    sizes = "difference of means, positive where the pilot arm is better"

    margin: Margin
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is one-sided, against a true difference of the margin or worse."""
        found = effect(Pair.of(self, evidence, arm), by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        pair, difference, edge = found.pair, found.difference, self._edge(evidence)
        low, high = difference.interval(self.level)
        checks = (*found.checks, *likeness(pair, found.checks))
        return record(
            self,
            pair,
            arms=found.arms,
            checks=checks,
            method=f"{found.method}; {self._limit}",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            standard_error=difference.standard_error,
            df=difference.df,
            passed=holds(checks, low, high, self._passes(evidence)),
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                against_margin(pair, low, high, self.margin),
                blocked(checks, low, high, self._passes(evidence)),
            ),
            **self._tested(
                evidence, difference.log_p_beyond(edge), (difference.estimate - edge) / difference.standard_error
            ),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by the noncentral t law. What counts is the distance `effect + margin`."""
        return margin_power(effect, self.margin, expected.spreads, n, self.level)


@dataclass(frozen=True)
class NonInferiorityShares(AgainstMargin):
    """Whether the pilot arm's share is not worse than control's by more than a margin, by the score test.

    The interval is Miettinen and Nurminen's, inside strata wherever there are any, and passes as in `non-inferiority`.
    The p value is that of the same test; Farrington and Manning's, without N / (N - 1), stands in the details.

    Args:
        margin: How much worse is still acceptable: a share between 0 and 1, such as 0.05 for 5 percentage points.
        weights: Of the strata: `mantel-haenszel`, or `population` as in `stratified-difference`.
        level: Two-sided confidence level of the interval.
    """

    key = "non-inferiority-shares"
    label = "Share not worse by more than a margin"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset({Scale.BINARY})
    reference = "Farrington and Manning 1990, Statistics in Medicine 9:1447; Miettinen and Nurminen 1985, 4:213"
    sizes = "difference of shares, positive where the pilot arm is better"

    margin: Annotated[float, Field(gt=0, lt=1)]
    weights: Weights = "mantel-haenszel"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is one-sided, against a true difference of the margin or worse."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        found = strata_of_shares(pair, self.weights)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        low, high = found.interval(self.level)
        checks = (size(pair), *found.checks, *review.response(pair), *likeness(pair, found.checks))
        edge, sign = self._edge(evidence), 1 if evidence.higher_is_better else -1
        z = found.z(edge)
        return record(
            self,
            pair,
            arms=pair.summaries(found.shares),
            checks=checks,
            method=f"Miettinen-Nurminen score interval{_strata(pair, found)}; {self._limit}",
            measure="difference of shares",
            estimate=found.estimate,
            low=low,
            high=high,
            passed=holds(checks, low, high, self._passes(evidence)),
            details={
                "Farrington-Manning p": p_value(log_normal_upper(sign * found.z(edge, corrected=False))),
            },
            sentence=sentence(
                in_words(pair, found.estimate, low, high, self.level),
                against_margin(pair, low, high, self.margin),
                blocked(checks, low, high, self._passes(evidence)),
            ),
            **self._tested(evidence, log_normal_upper(sign * z), z),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; Farrington and Manning's. `expected.mean` is the share of the better answer in control."""
        return score_power(expected.centre, effect, n, self.level, self.margin)


@dataclass(frozen=True)
class Equivalence(Analysis):
    """Whether the arms' means differ by less than a margin on either side: two one-sided t tests.

    It passes only if the whole interval lies strictly inside the margin. At the default level of 90 % each of the two
    tests is at 5 %. By strata wherever there are any.

    Args:
        margin: How much of a difference is still acceptable: a positive number on the outcome's scale.
        level: Two-sided confidence level of the interval.
    """

    key = "equivalence"
    label = "No different by more than a margin"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale)
    reference = "Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657"
    sizes = "difference of means"

    margin: Margin
    level: Level = 0.9

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is the larger of the two one-sided ones."""
        found = effect(Pair.of(self, evidence, arm), by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        pair, difference = found.pair, found.difference
        low, high = difference.interval(self.level)
        checks = (*found.checks, *likeness(pair, found.checks))
        log_p = max(difference.log_p_beyond(edge) for edge in (-self.margin, self.margin))
        return record(
            self,
            pair,
            arms=found.arms,
            checks=checks,
            method=f"{found.method}; two one-sided tests at {percent((1 - self.level) / 2)}",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=(self.margin - abs(difference.estimate)) / difference.standard_error,
            df=difference.df,
            p_value=p_value(log_p),
            log_p=log_p,
            alternative=f"between {-self.margin:g} and {self.margin:g}",
            margin=self.margin,
            passed=holds(checks, low, high, self._passes),
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                within_margin(pair, low, high, self.margin),
                blocked(checks, low, high, self._passes),
            ),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by Owen's integral. It falls as `effect` grows, so there is no smallest one it shows."""
        return equivalence_power(effect, self.margin, expected.spreads, n, self.level)

    def _passes(self, low: float, high: float) -> bool:
        return low > -self.margin and high < self.margin


def _strata(pair: Pair, found: StrataOfShares) -> str:
    return f", {found.words}" if pair.stratified else ""
