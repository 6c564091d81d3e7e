"""Comparisons by rank: the win probability, with tests that need no distances between ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.pairs import Pair
from pilot.analysis.ranks import Form, Ranks, WinProbability, compare_ranks, win_probability
from pilot.analysis.rankscores import ExactRanks, exact_ranks, hodges_lehmann
from pilot.analysis.sentences import measured, percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import log_normal_upper, normal_quantile, p_value
from pilot.errors import InputError

MANY_TIES = 0.5
"""From this share of tied pairs on, ranks hardly tell the arms apart."""

FORMS = {"t": "t law on its own scale", "logit": "t law on the logit scale"}

Counted = tuple[FloatArray, IntArray]
"""Values, ascending, and units by (arm, stratum, value)."""


class Ranked(Analysis):
    """What the analyses of ranks share: the win probability with its interval."""

    needs = frozenset({Need.COUNTS, Need.ROWS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT, Scale.MONEY, Scale.NUMBER})

    level: float
    form: Form

    def asks(self, scale: Scale) -> frozenset[Need]:
        """See `Analysis.asks`. Counts tell all of a rating, rows are needed for amounts."""
        return asked(self.needs, scale)

    def _record(
        self,
        pair: Pair,
        ranks: Ranks,
        found: WinProbability,
        *,
        checks: Sequence[Check],
        method: str,
        each: float | None = None,
        **numbers: Any,
    ) -> Comparison:
        """The comparison; `each` is the level of this interval where `level` is that of several together."""
        low, high = found.interval(each or self.level, self.form)
        extra = {**win_details(ranks), **numbers.pop("details", {})}
        words = measured(pair, "win probability", found.estimate, low, high, self.level)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(
                review.sizes(pair),
                *review.ceiling(pair),
                *_ties(extra["share of ties"]),
                *checks,
                *review.response(pair),
            ),
            method=method,
            measure="win probability",
            estimate=found.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=None if found.separated else found.standard_error,
            details=extra,
            sentence=sentence(words, reading(pair, low, high, 0.5), numbers.pop("closing", "")),
            **numbers,
        )


class Planned(Ranked):
    """An analysis of ranks that plans sizes."""

    sizes = "win probability above one half"

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that the test shows a win probability of one half plus `effect`; see `Analysis.power`.

        Noether's formula. The spread under no difference is that without ties, or with the ties of the expected shares.

        Reference: Noether 1987, JASA 82:645.

        Raises:
            InputError: The win probability would not lie between 0 and 1.
        """
        if not -0.5 < effect < 0.5:
            raise InputError(f"a win probability of {0.5 + effect:g} cannot be planned for", place="effect")
        tied = sum(share**3 for share in expected.shares)
        if tied >= 1:
            raise InputError("all is expected on one level, so there are no ranks", place="shares")
        error = math.sqrt((1 - expected.explained) * (1 - tied) * (n[0] + n[1]) / (12 * n[0] * n[1]))
        return math.exp(log_normal_upper(normal_quantile((1 + self.level) / 2) - abs(effect) / error))


@dataclass(frozen=True)
class MannWhitney(Planned):
    """Whether one arm's values tend to be higher: the rank test with ties corrected for. Ignores strata.

    The estimate is the win probability, the chance that a pilot customer's value is higher than one of control's, ties
    split evenly; its interval is that of `brunner-munzel`. The Hodges-Lehmann shift stands in the details.

    Args:
        level: Two-sided confidence level.
        test: `normal` law without continuity correction, with `continuity` correction, or `exact` permutation law.
        form: Whether the interval is symmetric on the win probability's own scale (`t`) or on that of its `logit`.
    """

    key = "mann-whitney"
    label = "Ranks (Mann-Whitney)"
    reference = "Mann and Whitney 1947, Ann. Math. Statist. 18:50; Hodges and Lehmann 1963, Ann. Math. Statist. 34:598"

    level: Level = 0.95
    test: Literal["normal", "continuity", "exact"] = "normal"
    form: Form = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        ((values, counts),) = counted(pair, by_strata=False)
        ranks, found = ranked([counts])
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        shift = hodges_lehmann(values, counts[:, 0], self.level)
        names = ("Hodges-Lehmann shift", "Hodges-Lehmann low", "Hodges-Lehmann high")
        numbers = (None, None, None) if shift is None else (shift.estimate, shift.low, shift.high)
        law, log_p, statistic = self._tested(ranks, found, counts)
        return self._record(
            pair,
            ranks,
            found,
            checks=(*separation(pair, found), *review.balance(pair, "van-elteren")),
            method=f"Mann-Whitney, ties corrected, {law}; interval: {interval_name(found, self.form)}",
            statistic=statistic,
            log_p=log_p,
            p_value=p_value(log_p),
            details=dict(zip(names, numbers, strict=True)),
            alternative="two-sided (twice the smaller tail)",
        )

    def _tested(self, ranks: Ranks, found: WinProbability, counts: IntArray) -> tuple[str, float, float]:
        """The law in words, the logarithm of p, and the statistic."""
        if self.test == "exact":
            exact = exact_ranks(counts)
            return exact_name(exact), exact.law.log_p, exact.law.z
        if self.test == "continuity":
            return "normal law with continuity correction", found.log_p_ranks(0.5 / float(ranks.pairs[0])), found.z
        return "normal law without continuity correction", found.log_p_ranks(), found.z


@dataclass(frozen=True)
class BrunnerMunzel(Planned):
    """The win probability with a test and interval that let the arms differ in spread and shape. Ignores strata.

    Where one arm lies wholly above the other, no spread is to be seen: then p is that of the exact permutation test of
    ranks and the interval Newcombe's, which a warning says.

    Args:
        level: Two-sided confidence level.
        form: `t` for test and interval on the win probability's own scale, `logit` for both on that of its log odds.
    """

    key = "brunner-munzel"
    label = "Win probability (Brunner-Munzel)"
    reference = (
        "Brunner and Munzel 2000, Biom. J. 42:17; Brunner, Vandemeulebroecke and Muetze 2021, Stat. Med. 40:4578"
    )

    level: Level = 0.95
    form: Form = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        ((_, counts),) = counted(pair, by_strata=False)
        ranks, found = ranked([counts])
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        checks = (*separation(pair, found), *review.balance(pair, "van-elteren"))
        if found.separated:
            return self._separated(pair, ranks, found, counts, checks)
        log_p = found.log_p(self.form)
        return self._record(
            pair,
            ranks,
            found,
            checks=checks,
            method=f"Brunner-Munzel, {FORMS[self.form]}",
            statistic=found.t(self.form),
            df=found.df,
            log_p=log_p,
            p_value=p_value(log_p),
        )

    def _separated(
        self, pair: Pair, ranks: Ranks, found: WinProbability, counts: IntArray, checks: Sequence[Check]
    ) -> Comparison:
        log_p = exact_ranks(counts).law.log_p
        return self._record(
            pair,
            ranks,
            found,
            checks=checks,
            method=f"Complete separation: exact permutation p; interval: {interval_name(found, self.form)}",
            statistic=found.z,
            log_p=log_p,
            p_value=p_value(log_p),
            alternative="two-sided (twice the smaller tail)",
        )


def asked(needs: frozenset[Need], scale: Scale) -> frozenset[Need]:
    """Counts or rows, whichever does for the scale; both for numbers of things, which may be few or many."""
    if scale is Scale.COUNT:
        return needs
    return needs - {Need.ROWS if scale in (Scale.RATING, Scale.BINARY) else Need.COUNTS}


def counted(pair: Pair, *, by_strata: bool) -> list[Counted]:
    """Counts of both arms by value: as the evidence has them, or made from its rows, stratum by stratum.

    Args:
        pair: The arms.
        by_strata: Whether strata are kept apart.

    Raises:
        InputError: The evidence has neither counts nor rows.
    """
    if pair.evidence.counts is not None:
        counts = pair.counts if by_strata else pair.counts.sum(axis=1, keepdims=True)
        return [(np.asarray(pair.evidence.levels, dtype=np.float64), counts)]
    rows = pair.rows
    apart = by_strata and len(rows.stratum) > 0
    strata = [rows.stratum == number for number in np.unique(rows.stratum)] if apart else [slice(None)]
    return [_distinct(rows.arm[part], rows.value[part]) for part in strata]


def _distinct(arm: IntArray, value: FloatArray) -> Counted:
    values, position = np.unique(value, return_inverse=True)
    counts = np.stack([np.bincount(position[arm == row], minlength=len(values)) for row in (0, 1)])
    return values, counts[:, None, :].astype(np.int64)


def ranked(tables: Sequence[IntArray]) -> tuple[Ranks, WinProbability | None]:
    """Ranks and win probability; no win probability where an arm has fewer than two units, or all values are tied."""
    ranks = Ranks.joined([compare_ranks(counts) for counts in tables])
    found = win_probability(ranks)
    if found is None or found.null_error == 0 or (ranks.n.sum(axis=1) < 2).any():
        return ranks, None
    return ranks, found


def lacking(pair: Pair) -> str:
    """Why two arms cannot be compared by rank."""
    for name, n in zip((pair.control, pair.arm), pair.sizes, strict=True):
        if n == 0:
            return f"{name} has no {pair.units}"
        if n == 1:
            return f"{name} has only one of the {pair.units}; a comparison of ranks needs at least two"
    if not (pair.n > 0).all(axis=0).any():
        return "no stratum has both arms, so nothing can be compared inside strata"
    inside = " inside the strata that have both arms" if pair.stratified else ""
    return f"all {pair.units} of both arms are equal{inside}, so there are no ranks"


def win_details(ranks: Ranks) -> dict[str, float | None]:
    """Win odds and the shares of wins, ties and losses among pairs, over strata by van Elteren's weights."""
    weights = ranks.weights / ranks.weights.sum()
    pairs = np.maximum(ranks.pairs, 1)
    wins, ties, losses = (float(weights @ (part / pairs)) for part in (ranks.wins, ranks.ties, ranks.losses))
    odds = (wins + ties / 2) / (losses + ties / 2) if losses + ties > 0 else None
    return {"win odds": odds, "share of wins": wins, "share of ties": ties, "share of losses": losses}


def exact_name(exact: ExactRanks) -> str:
    """The exact law in words, and whether scores were rounded for it."""
    return "exact permutation law" + (" of scores rounded to 1/1,000 of their range" if exact.rounded else "")


def interval_name(found: WinProbability, form: Form) -> str:
    """The interval in words."""
    return "Newcombe's method 5" if found.separated else f"Brunner-Munzel, {FORMS[form]}"


def separation(pair: Pair, found: WinProbability) -> list[Check]:
    """A warning where one arm lies wholly above the other, in every stratum."""
    if not found.separated:
        return []
    if 0 < found.estimate < 1:
        text = "In every stratum one arm lies wholly above the other"
    else:
        first, second = (pair.arm, pair.control) if found.estimate == 1 else (pair.control, pair.arm)
        text = f"All {pair.units} of {first} lie above all of {second}"
    return [
        Check("separation", found.estimate, "warn", f"{text}: the spread is unseen, and the interval is a rough one.")
    ]


def _ties(share: float | None) -> list[Check]:
    if share is None:
        return []
    text = f"{percent(round(share, 3))} of the pairs are ties"
    if share < MANY_TIES:
        return [Check("ties", share, "pass", f"{text}.")]
    return [Check("ties", share, "warn", f"{text}: ranks can hardly show a difference there.")]
