"""Exact tests of two shares: Fisher's given the total of yes, Boschloo's and Barnard's without that condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pilot.analysis.effects import Level
from pilot.analysis.fisher import TwoSided, conditional_odds_ratio, exact_odds_interval, fisher_test
from pilot.analysis.methods.shares import OfShares, difference_numbers
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect, p_text, reading, sentence
from pilot.analysis.sharepower import fisher_power
from pilot.analysis.shares import YesOf, miettinen_nurminen
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import p_value
from pilot.analysis.unconditional import barnard, boschloo
from pilot.analysis.unconditionalinterval import MOST, unconditional_interval

Interval = Literal["exact", "score"]
"""How the interval beside an unconditional test is made."""

_SCORE = "Miettinen-Nurminen score interval of the difference"

_DEFINITIONS: dict[str, str] = {
    "as-probable": "two-sided (all tables no more probable than the observed one",
    "doubled": "two-sided (twice the smaller tail",
}


class ExactTest(OfShares):
    """What the exact tests share: the interval beside an exact p value."""

    on_scale = True

    def _exact(
        self,
        pair: Pair,
        control: YesOf,
        pilot: YesOf,
        log_p: float,
        kind: str,
        limits: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        low, high = limits or miettinen_nurminen(pilot, control, self.level)
        numbers = difference_numbers(pair, control, pilot, (low, high), self.level)
        words = effect(pair, numbers["estimate"], low, high, self.level)
        return {
            **numbers,
            "p_value": p_value(log_p),
            "log_p": log_p,
            "sentence": sentence(words, reading(pair, low, high), f"{kind} p {p_text(log_p)}"),
        }


class _Unconditional(ExactTest):
    """What `boschloo` and `barnard` share."""

    interval: Interval

    def _with_interval(self, pair: Pair, control: YesOf, pilot: YesOf, log_p: float, name: str) -> dict[str, Any]:
        limits, how = None, _SCORE
        if self.interval == "exact" and pilot[1] + control[1] <= MOST:
            limits = unconditional_interval(pilot, control, self.level)
            how = "differences that the unconditional exact score test leaves open (Agresti-Min)"
        elif self.interval == "exact":
            how += f", since there are more than {MOST} customers"
        return {
            **self._exact(pair, control, pilot, log_p, f"{name} exact", limits),
            "method": f"{name} unconditional exact test; interval: {how}",
        }


@dataclass(frozen=True)
class Fisher(ExactTest):
    """Fisher's exact test of two shares, given how many said yes in all. Ignores strata.

    The difference has Miettinen and Nurminen's interval, which can disagree with this cautious p value in borderline
    cases. The conditional odds ratio with its exact interval stands in the details.

    Args:
        level: Two-sided confidence level.
        two_sided: Which tables count: all no more probable than the observed one (`as-probable`), or twice the smaller
            tail (`doubled`).
        mid: Whether tables as extreme as the observed one count by half only: less cautious, no longer strictly exact.
    """

    key = "fisher"
    label = "Fisher's exact test of shares"
    reference = "Fisher 1935, JRSS 98:39; Lancaster 1961, JASA 56:223"

    level: Level = 0.95
    two_sided: TwoSided = "as-probable"
    mid: bool = False

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; by Casagrande, Pike and Smith's approximation, or the score test's for mid-p."""
        if self.mid:
            return super().power(expected, effect, n)
        return fisher_power(expected.centre, effect, n, self.level)

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        test = fisher_test(pilot, control, self.two_sided)
        low, high = exact_odds_interval(pilot, control, self.level)
        kind = "Fisher's mid" if self.mid else "Fisher's exact"
        return {
            **self._exact(pair, control, pilot, test.log_mid_p if self.mid else test.log_p, kind),
            "method": f"{kind} test; interval: {_SCORE}",
            "alternative": _DEFINITIONS[self.two_sided] + (", ties by half)" if self.mid else ")"),
            "details": {
                "exact p": p_value(test.log_p),
                "mid-p": p_value(test.log_mid_p),
                "conditional odds ratio": conditional_odds_ratio(pilot, control),
                "odds ratio low": low,
                "odds ratio high": high,
            },
        }


@dataclass(frozen=True)
class Boschloo(_Unconditional):
    """Boschloo's exact test of two shares: at least as sharp as Fisher's, and never wrong too often. Ignores strata.

    Tables are ordered by Fisher's p, and p is the chance of one at least as extreme at the common share that makes it
    largest. The interval is as exact, but orders tables by the score statistic: the two can disagree in borderline cases.

    Args:
        interval: `exact`, by inversion of the unconditional score test, up to 100 customers, and beyond as `score`: Miettinen
            and Nurminen's.
        level: Two-sided confidence level.
    """

    key = "boschloo"
    label = "Boschloo's exact test of shares"
    reference = "Boschloo 1970, Statistica Neerlandica 24:1; Agresti and Min 2001, Biometrics 57:963"

    interval: Interval = "exact"
    level: Level = 0.95

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        return {
            **self._with_interval(pair, control, pilot, boschloo(pilot, control), "Boschloo's"),
            "alternative": "two-sided (tables ordered by Fisher's two-sided p)",
        }


@dataclass(frozen=True)
class Barnard(_Unconditional):
    """Barnard's exact test of two shares, tables ordered by the pooled z. Ignores strata.

    p is the chance of a table at least as extreme at the common share that makes it largest. The interval is all differences
    that the same test does not refute.

    Args:
        interval: `exact`, by inversion of the unconditional score test, up to 100 customers, and beyond as `score`: Miettinen
            and Nurminen's.
        level: Two-sided confidence level.
    """

    key = "barnard"
    label = "Barnard's exact test of shares"
    reference = "Barnard 1947, Biometrika 34:123; Suissa and Shuster 1985, JRSS A 148:317; Agresti and Min 2001, Biometrics 57:963"

    interval: Interval = "exact"
    level: Level = 0.95

    def _numbers(self, pair: Pair, control: YesOf, pilot: YesOf) -> dict[str, Any]:
        return {
            **self._with_interval(pair, control, pilot, barnard(pilot, control), "Barnard's"),
            "alternative": "two-sided (tables ordered by the pooled z)",
        }
