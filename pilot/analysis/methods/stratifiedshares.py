"""Shares compared inside strata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import layers
from pilot.analysis.methods.shares import empty_arm, size, tested, yes_of
from pilot.analysis.moments import FloatArray
from pilot.analysis.pairs import Pair
from pilot.analysis.scores import difference_interval, difference_z
from pilot.analysis.sentences import effect, measured, reading, sentence
from pilot.analysis.sharepower import score_power
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import NO_COMMON_STRATUM, inside_strata, joined, left_out, strata_weights
from pilot.analysis.stratifiedshares import (
    CommonEffect,
    common_difference,
    common_odds_ratio,
    common_ratio,
    mantel_haenszel_z,
    odds_homogeneity,
)

Measure = Literal["difference", "ratio", "odds"]
Weights = Literal["mantel-haenszel", "population"]

UNLIKE = 0.05
"""Below this p value of homogeneity the common odds ratio is only an average of unlike ones."""

_METHODS: dict[str, tuple[Callable[..., CommonEffect | None], str, str, str]] = {
    "difference": (common_difference, "difference of shares", "difference", "Sato's variance"),
    "ratio": (common_ratio, "ratio of shares", "common risk ratio", "Greenland-Robins variance"),
    "odds": (common_odds_ratio, "odds ratio", "common odds ratio", "Robins-Breslow-Greenland variance"),
}


class OfStrata(Analysis):
    """What the analyses of shares by strata have in common."""

    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.BINARY})
    sizes = "difference of shares"

    level: float

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; as of the score test without strata, which gain little for shares."""
        return score_power(expected.centre, effect, n, self.level)


@dataclass(frozen=True)
class MantelHaenszel(OfStrata):
    """Shares compared inside strata, as one common difference, ratio or odds ratio.

    The p value is that of the Cochran-Mantel-Haenszel test without continuity correction, whatever the measure.

    Args:
        measure: `difference`, `ratio` or `odds`.
        level: Two-sided confidence level.
    """

    key = "mantel-haenszel"
    label = "Shares by strata (Mantel-Haenszel)"
    reference = "Mantel and Haenszel 1959, JNCI 22:719; Sato 1989, Biometrics 45:1323; Greenland and Robins 1985, 41:55"

    measure: Measure = "difference"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        yes, n = by_stratum(pair)
        estimator, measure, words, variance = _METHODS[self.measure]
        found = estimator(yes, n)
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, self._lacking(pair))
        low, high = found.interval(self.level)
        if self.measure == "difference":
            opening, null = effect(pair, found.estimate, low, high, self.level), 0.0
        else:
            opening, null = measured(pair, words, found.estimate, low, high, self.level), 1.0
        alike = odds_homogeneity(yes, n)
        return record(
            self,
            pair,
            arms=pair.summaries(_weighted(yes, n) if self.measure == "difference" else None),
            checks=(size(pair), *left_out(pair), *_homogeneity(pair, yes, n), *review.response(pair)),
            method=f"Mantel-Haenszel {words}, {variance}; Cochran-Mantel-Haenszel test without continuity correction",
            measure=measure,
            estimate=found.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=None if found.logarithmic else found.standard_error,
            details={
                "strata with both arms": float((n > 0).all(axis=0).sum()),
                "Breslow-Day": None if alike is None else alike.breslow_day,
                "Breslow-Day-Tarone": None if alike is None else alike.tarone,
                "homogeneity p": None if alike is None else alike.p_value,
                **({"standard error of the logarithm": found.standard_error} if found.logarithmic else {}),
            },
            sentence=sentence(opening, reading(pair, low, high, null)),
            **tested(mantel_haenszel_z(yes, n)),
        )

    def _lacking(self, pair: Pair) -> str:
        reason = empty_arm(pair)
        if reason:
            return reason
        if not (pair.n > 0).all(axis=0).any():
            return NO_COMMON_STRATUM
        if self.measure == "difference":
            return f"inside each stratum all {pair.units} gave the same answer, so there is no spread to measure uncertainty by"
        return f"too few {pair.units} said yes or no for a ratio; use stratified-miettinen-nurminen"


@dataclass(frozen=True)
class StratifiedMiettinenNurminen(OfStrata):
    """Difference of shares inside strata with the score interval, which always agrees with its test.

    Args:
        weights: `mantel-haenszel` for the sharpest common difference: its test is then Cochran, Mantel and Haenszel's;
            `population` for the difference in the population, weighted as in `stratified-difference`.
        level: Two-sided confidence level.
    """

    key = "stratified-miettinen-nurminen"
    label = "Difference of shares by strata (Miettinen-Nurminen)"
    on_scale = True
    reference = "Miettinen and Nurminen 1985, Statistics in Medicine 4:213"

    weights: Weights = "mantel-haenszel"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        found = strata_of_shares(pair, self.weights)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        low, high = found.interval(self.level)
        return record(
            self,
            pair,
            arms=pair.summaries(found.shares),
            checks=(size(pair), *found.checks, *review.response(pair)),
            method=f"Stratified Miettinen-Nurminen score interval and score test, {found.words}",
            measure="difference of shares",
            estimate=found.estimate,
            low=low,
            high=high,
            level=self.level,
            sentence=sentence(effect(pair, found.estimate, low, high, self.level), reading(pair, low, high)),
            **tested(found.z()),
        )


@dataclass(frozen=True, eq=False)
class StrataOfShares:
    """Yes and units of the strata in which both arms have units, with weights, and what became of the others.

    Attributes:
        yes, n: By (arm, stratum), control first.
        weights: Of the strata.
        words: What the weights are.
        checks: Strata that were left out or joined.
    """

    yes: FloatArray
    n: FloatArray
    weights: FloatArray
    words: str
    checks: tuple[Check, ...]

    @property
    def shares(self) -> FloatArray:
        """Weighted shares of control and of the pilot arm."""
        return np.asarray((self.yes / self.n) @ self.weights / self.weights.sum())

    @property
    def estimate(self) -> float:
        """Weighted difference of shares."""
        control, pilot = self.shares
        return float(pilot - control)

    def interval(self, level: float) -> tuple[float, float]:
        """Score interval of the weighted difference."""
        return difference_interval(self.yes, self.n, level, weights=self.weights)

    def z(self, difference: float = 0.0, *, corrected: bool = True) -> float:
        """Distance of the weighted difference from a supposed one, in standard errors."""
        return difference_z(self.yes, self.n, difference, weights=self.weights, corrected=corrected)


def strata_of_shares(pair: Pair, weights: Weights) -> StrataOfShares | str:
    """The strata a weighted difference of shares is made of, or the reason why there is none.

    Args:
        pair: The arms, inside strata.
        weights: Of the strata.

    Raises:
        InputError: The outcome has other values than 0 and 1.
    """
    reason = empty_arm(pair)
    if reason:
        return reason
    yes, n = by_stratum(pair)
    if not (n > 0).all(axis=0).any():
        return NO_COMMON_STRATUM
    if weights == "population" and pair.stratified:
        share, source = strata_weights(pair)
        found = layers(pair.n, pair.mean, pair.m2, share, pair.evidence.strata)
        words = f"{_strata(found.n.shape[1])} weighted by {source}"
        return StrataOfShares(
            np.rint(found.n * found.mean),
            found.n.astype(np.float64),
            found.weights,
            words,
            (*left_out(pair), *joined(pair, found.joined, gap=found.gap)),
        )
    words = f"{_strata(n.shape[1])} by Mantel-Haenszel weights"
    harmonic = n.prod(axis=0) / n.sum(axis=0)
    return StrataOfShares(yes, n, harmonic, words, tuple(left_out(pair)))


def by_stratum(pair: Pair) -> tuple[FloatArray, FloatArray]:
    """Yes and units by (arm, stratum), control first.

    Raises:
        InputError: The outcome has other values than 0 and 1.
    """
    yes_of(pair)
    yes = pair.counts[:, :, [level == 1.0 for level in pair.evidence.levels]].sum(axis=2)
    return yes.astype(np.float64), pair.counts.sum(axis=2).astype(np.float64)


def _weighted(yes: FloatArray, n: FloatArray) -> FloatArray:
    """Shares of the arms by Mantel-Haenszel weights."""
    weights = n.prod(axis=0) / n.sum(axis=0)
    return np.asarray((yes / n) @ weights / weights.sum())


def _homogeneity(pair: Pair, yes: FloatArray, n: FloatArray) -> list[Check]:
    alike = odds_homogeneity(yes, n)
    if alike is None:
        return []
    text = f"The odds ratios of {alike.df + 1} strata are alike (Breslow-Day-Tarone p {alike.p_value:.2g})"
    if alike.p_value >= UNLIKE:
        return [Check("homogeneity", alike.p_value, "pass", f"{text}.")]
    text = text.replace("are alike", "differ")
    return [Check("homogeneity", alike.p_value, "warn", f"{text}: the common value is an average of unlike ones.")]


def _strata(count: int) -> str:
    return "1 stratum" if count == 1 else f"{count} strata"
