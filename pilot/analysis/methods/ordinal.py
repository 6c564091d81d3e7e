"""Proportional odds: one odds ratio for a rating."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.ordinal import ProportionalOdds, Unfit, proportional_odds
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import measured, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import NO_COMMON_STRATUM, inside_strata, left_out
from pilot.analysis.tables import log_chi_square_upper
from pilot.analysis.tails import log_normal_upper, normal_quantile, p_value
from pilot.errors import InputError

SMALL_ARM = 50
"""Below this number of answers per arm the error of the test rises to 6 % and more."""

SMALL_STRATUM = 10
"""Below this number of answers per stratum on average, fixed effects of strata push the odds ratio away from 1."""

NOT_PROPORTIONAL = 0.05
"""Alarm level of the check that one odds ratio serves all thresholds."""


@dataclass(frozen=True)
class ProportionalOddsModel(Analysis):
    """One odds ratio for all thresholds of a rating, strata as fixed effects. Above 1, the pilot arm rates higher.

    Args:
        level: Two-sided confidence level.
        interval: `profile` likelihood with the likelihood ratio test, or `wald` with Wald's test.
    """

    key = "proportional-odds"
    label = "Proportional odds"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY})
    reference = "McCullagh 1980, JRSS B 42:109; Whitehead 1993, Statistics in Medicine 12:2257, for sizes"
    sizes = "log odds ratio"

    level: Level = 0.95
    interval: Literal["profile", "wald"] = "profile"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`.

        Raises:
            InputError: Also where there are too many strata.
        """
        pair = inside_strata(Pair.of(self, evidence, arm))
        for name, n in zip((pair.control, pair.arm), pair.sizes, strict=True):
            if n < 2:
                reason = f"{name} has {'only one of the' if n else 'no'} {pair.units}"
                return NotEnoughData(self.key, evidence.outcome, arm, reason)
        if not (pair.n > 0).all(axis=0).any():
            return NotEnoughData(self.key, evidence.outcome, arm, NO_COMMON_STRATUM)
        found = proportional_odds(pair.counts)
        if isinstance(found, Unfit):
            return NotEnoughData(self.key, evidence.outcome, arm, f"{found.value}; {_INSTEAD[found]}")
        return self._record(pair, found)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that a log odds ratio of `effect` is shown, by Whitehead's formula; see `Analysis.power`.

        Raises:
            InputError: No shares of the levels are expected.
        """
        if not expected.shares:
            raise InputError("the expected shares of the levels are needed", place="shares")
        below = np.cumsum(expected.shares)[:-1]
        odds = below / np.maximum(1 - below, 1e-300) * math.exp(-effect)
        pilot = np.diff(np.concatenate([[0.0], odds / (1 + odds), [1.0]]))
        control = np.asarray(expected.shares)
        mixed = (n[0] * control + n[1] * pilot) / (n[0] + n[1])
        information = n[0] * n[1] / (3 * (n[0] + n[1])) * (1 - float((mixed**3).sum())) / (1 - expected.explained)
        return math.exp(log_normal_upper(normal_quantile((1 + self.level) / 2) - abs(effect) * math.sqrt(information)))

    def _record(self, pair: Pair, found: ProportionalOdds) -> Comparison | NotEnoughData:
        wald = self.interval == "wald"
        limits = found.wald_interval(self.level) if wald else found.profile_interval(self.level)
        if limits is None:
            return NotEnoughData(self.key, pair.evidence.outcome, pair.arm, _NO_LIMIT)
        estimate, low, high = (math.exp(value) for value in (found.beta, *limits))
        log_p = found.log_p(wald=wald)
        strata = " with strata as fixed effects" if len(found.strata) else ""
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(_size(pair), *_proportional(found), *_strata(pair, found), *review.response(pair)),
            method=f"Proportional odds{strata}; {'Wald' if wald else 'profile likelihood'} interval and test",
            measure="odds ratio",
            estimate=estimate,
            low=low,
            high=high,
            level=self.level,
            statistic=found.wald_z if wald else found.root,
            p_value=p_value(log_p),
            log_p=log_p,
            details=_details(found),
            sentence=sentence(
                measured(pair, "odds ratio", estimate, low, high, self.level), reading(pair, low, high, 1.0)
            ),
        )


_NO_LIMIT = "the likelihood is too flat to find the limits of its interval: set interval to wald, or use brunner-munzel"

_INSTEAD = {
    Unfit.ONE_LEVEL: "a model needs at least two different values",
    Unfit.SEPARATED: "use brunner-munzel or exact-rank-permutation",
    Unfit.STRATA: "join strata, or use van-elteren",
}


def _details(found: ProportionalOdds) -> dict[str, float | None]:
    statistic, df = found.proportional
    return {
        "log odds ratio": found.beta,
        "standard error of the log odds ratio": found.standard_error,
        "Wald p": p_value(found.log_p(wald=True)),
        "likelihood ratio chi-square": found.root**2,
        "likelihood ratio p": p_value(found.log_p()),
        "proportionality chi-square": statistic,
        "proportionality degrees of freedom": float(df),
        **{f"threshold {place}": float(value) for place, value in enumerate(found.thresholds, start=1)},
    }


def _size(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= SMALL_ARM:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check("small n", float(smallest), "warn", f"{text}; below {SMALL_ARM} the interval is a little too narrow.")


def _proportional(found: ProportionalOdds) -> list[Check]:
    statistic, df = found.proportional
    if df == 0:
        return []
    p = p_value(log_chi_square_upper(max(statistic, 0.0), df))
    text = f"Score test that one odds ratio serves all thresholds: p {p:.2g}"
    if p >= NOT_PROPORTIONAL:
        return [Check("proportional odds", p, "pass", f"{text}.")]
    return [
        Check("proportional odds", p, "warn", f"{text}; it does not fit well, brunner-munzel does not assume this.")
    ]


def _strata(pair: Pair, found: ProportionalOdds) -> list[Check]:
    checks = left_out(pair)
    if found.left_out:
        text = f"{found.left_out:,} strata with one value at the end of the scale only tell nothing and were left out."
        checks.append(Check("uninformative strata", float(found.left_out), "warn", text))
    if len(found.strata):
        each = sum(pair.sizes) / (len(found.strata) + 1)
        text = f"A stratum has {each:.1f} {pair.units} on average"
        enough = each >= SMALL_STRATUM
        more = "." if enough else "; so many effects push the odds ratio away from 1: van-elteren fits better."
        checks.append(Check("sparse strata", each, "pass" if enough else "warn", f"{text}{more}"))
    return checks
