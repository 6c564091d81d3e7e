"""Two shares: their difference, ratio and odds ratio. All ignore strata."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.pairs import Pair
from pilot.analysis.scores import difference_z, odds_interval, odds_z, ratio_interval, ratio_z
from pilot.analysis.sentences import effect, measured, reading, sentence
from pilot.analysis.sharepower import score_power
from pilot.analysis.shares import YesOf, miettinen_nurminen, newcombe, score_z
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import log_normal_upper, p_value, two_sided
from pilot.errors import InputError


class OfShares(Analysis):
    """What the analyses of two shares have in common."""

    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.BINARY})
    sizes = "difference of shares"

    level: float

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        control, pilot = yes_of(pair)
        reason = empty_arm(pair) or self._lacking(pair, control, pilot)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(size(pair), *review.balance(pair, "stratified-miettinen-nurminen"), *review.response(pair)),
            level=self.level,
            **self._numbers(pair, control, pilot),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by the score test, with the variance that the expected shares have under no difference."""
        return score_power(expected.centre, effect, n, self.level)

    def _lacking(self, pair: Pair, control: YesOf, pilot: YesOf) -> str:
        """Why the measure is undefined; empty if it is defined."""
        return ""

    @abstractmethod
    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        """Method, measure, estimate, interval, test and sentence."""


@dataclass(frozen=True)
class Newcombe(OfShares):
    """Difference of two shares with an interval that stays right near 0 and 100 %. Ignores strata.

    The p value is that of the score test (Pearson's chi-square without continuity correction), two-sided.

    Args:
        level: Two-sided confidence level.
    """

    key = "newcombe"
    label = "Difference of shares (Newcombe)"
    on_scale = True
    reference = "Newcombe 1998, Statistics in Medicine 17:873, method 10"

    level: Level = 0.95

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        return {
            **difference_numbers(pair, control, pilot, newcombe(pilot, control, self.level), self.level),
            **tested(score_z(pilot, control)),
            "method": "Newcombe's hybrid score interval; score test (chi-square without continuity correction)",
        }


@dataclass(frozen=True)
class MiettinenNurminen(OfShares):
    """Difference of two shares with the score interval, which always agrees with its test. Ignores strata.

    The p value is that of the score test with the factor N / (N - 1) in its variance: chi-square times (N - 1) / N.

    Args:
        level: Two-sided confidence level.
    """

    key = "miettinen-nurminen"
    label = "Difference of shares (Miettinen-Nurminen)"
    on_scale = True
    reference = "Miettinen and Nurminen 1985, Statistics in Medicine 4:213"

    level: Level = 0.95

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        (yes0, n0), (yes1, n1) = control, pilot
        return {
            **difference_numbers(pair, control, pilot, miettinen_nurminen(pilot, control, self.level), self.level),
            **tested(difference_z((yes0, yes1), (n0, n1))),
            "method": "Miettinen-Nurminen score interval and score test, no continuity correction",
        }


@dataclass(frozen=True)
class RiskRatio(OfShares):
    """How many times as large one share is as the other, with the score interval. Ignores strata.

    Args:
        level: Two-sided confidence level.
    """

    key = "risk-ratio"
    label = "Ratio of shares"
    reference = "Miettinen and Nurminen 1985, Statistics in Medicine 4:213; Koopman 1984, Biometrics 40:513"

    level: Level = 0.95

    def _lacking(self, pair: Pair, control: YesOf, pilot: YesOf) -> str:
        if control[0]:
            return ""
        return f"none of the {pair.units} of {pair.control} is a yes, so there is no ratio; use miettinen-nurminen"

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        yes, n = (control[0], pilot[0]), (control[1], pilot[1])
        ratio = (pilot[0] / pilot[1]) / (control[0] / control[1])
        return {
            **ratio_numbers(pair, "risk ratio", ratio, ratio_interval(yes, n, self.level), self.level),
            **tested(ratio_z(yes, n, 1.0)),
            "method": "Miettinen-Nurminen score interval of the ratio, score test, no continuity correction",
            "measure": "ratio of shares",
            "details": beside(control, pilot, self.level),
        }


@dataclass(frozen=True)
class OddsRatio(OfShares):
    """The odds of a yes in the pilot arm over those in control, with the score interval. Ignores strata.

    Args:
        level: Two-sided confidence level.
    """

    key = "odds-ratio"
    label = "Odds ratio"
    reference = (
        "Miettinen and Nurminen 1985, Statistics in Medicine 4:213; Agresti 2002, Categorical Data Analysis, 3.1"
    )

    level: Level = 0.95

    def _lacking(self, pair: Pair, control: YesOf, pilot: YesOf) -> str:
        if control[0] and pilot[0] < pilot[1]:
            return ""
        alone = f"{pair.control} is a yes" if not control[0] else f"{pair.arm} is a no"
        return f"none of the {pair.units} of {alone}, so there is no odds ratio; use miettinen-nurminen"

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        yes, n = (control[0], pilot[0]), (control[1], pilot[1])
        ratio = pilot[0] * (control[1] - control[0]) / (control[0] * (pilot[1] - pilot[0]))
        return {
            **ratio_numbers(pair, "odds ratio", ratio, odds_interval(yes, n, self.level), self.level),
            **tested(odds_z(yes, n, 1.0)),
            "method": "Miettinen-Nurminen score interval of the odds ratio, score test, no continuity correction",
            "measure": "odds ratio",
            "details": beside(control, pilot, self.level),
        }


def yes_of(pair: Pair) -> tuple[YesOf, YesOf]:
    """(yes, n) of control and of the pilot arm.

    Raises:
        InputError: The outcome has other values than 0 and 1.
    """
    levels = pair.evidence.levels
    if not set(levels) <= {0.0, 1.0}:
        raise InputError("a yes or no outcome has the values 0 and 1 only", place=pair.evidence.outcome)
    said_yes = pair.counts[:, :, [level == 1.0 for level in levels]].sum(axis=(1, 2))
    control, pilot = zip(said_yes.tolist(), pair.counts.sum(axis=(1, 2)).tolist(), strict=True)
    return control, pilot


def empty_arm(pair: Pair) -> str:
    """Which arm has nothing to compare; empty if both have."""
    for name, n in zip((pair.control, pair.arm), pair.counts.sum(axis=(1, 2)), strict=True):
        if n == 0:
            return f"{name} has no {pair.units}"
    return ""


def size(pair: Pair) -> Check:
    """Whether the arms are large enough to show more than large differences of shares."""
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= review.SMALL_ARM:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check(
        "small n", float(smallest), "warn", f"{text}; the interval holds, but so few show large differences only."
    )


def tested(z: float) -> dict[str, float]:
    """Statistic and two-sided p value of a standard normal test."""
    log_p = two_sided(log_normal_upper(abs(z)))
    return {"statistic": z, "p_value": p_value(log_p), "log_p": log_p}


def difference_numbers(
    pair: Pair, control: YesOf, pilot: YesOf, interval: tuple[float, float], level: float
) -> dict[str, Any]:
    """Measure, estimate, interval and sentence of a difference of shares."""
    estimate = pilot[0] / pilot[1] - control[0] / control[1]
    low, high = interval
    return {
        "measure": "difference of shares",
        "estimate": estimate,
        "low": low,
        "high": high,
        "sentence": sentence(effect(pair, estimate, low, high, level), reading(pair, low, high)),
    }


def ratio_numbers(pair: Pair, what: str, ratio: float, interval: tuple[float, float], level: float) -> dict[str, Any]:
    """Estimate, interval and sentence of a ratio."""
    low, high = interval
    words = measured(pair, what, ratio, low, high, level)
    return {
        "estimate": ratio,
        "low": low,
        "high": high,
        "sentence": sentence(words, reading(pair, low, high, 1.0)),
    }


def beside(control: YesOf, pilot: YesOf, level: float) -> Mapping[str, float]:
    """The difference of shares with its interval, to be read beside a ratio."""
    low, high = miettinen_nurminen(pilot, control, level)
    difference = pilot[0] / pilot[1] - control[0] / control[1]
    return {"difference of shares": difference, "difference low": low, "difference high": high}
