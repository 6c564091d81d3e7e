"""Three and more arms: each pilot arm against control, with intervals that hold for all comparisons at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.methods.ranks import Planned, ranked
from pilot.analysis.methods.ranks import lacking as lacking_ranks
from pilot.analysis.moments import FloatArray, IntArray, pooled
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.ranks import Form
from pilot.analysis.rankscores import exact_ranks
from pilot.analysis.reach import AllArms
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import reading, sentence
from pilot.analysis.severalarms import (
    Omnibus,
    dunnett_power,
    kruskal_wallis,
    log_dunnett_upper,
    log_range_upper,
    range_quantile,
    upper_quantile,
    welch_anova,
)
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import p_value

UNEQUAL_SPREAD = 2.0
"""From this ratio of the largest to the smallest standard deviation on, a common one misleads."""


@dataclass(frozen=True, eq=False)
class _Family:
    """All arms with at least two units, over all strata; those with fewer take no part."""

    arms: tuple[str, ...]
    n: IntArray
    mean: FloatArray
    m2: FloatArray
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> _Family:
        moments = evidence.moments
        groups = (
            [] if moments is None else [pooled(*rows) for rows in zip(moments.n, moments.mean, moments.m2, strict=True)]
        )
        table = np.array(groups, dtype=np.float64).reshape(-1, 3)
        used = table[:, 0] >= 2
        names = np.array(evidence.arms)
        n, mean, m2 = table[used].T
        return cls(tuple(names[used].tolist()), n.astype(np.int64), mean, m2, tuple(names[~used].tolist()))

    def checks(self, pair: Pair) -> list[Check]:
        """Arms that take no part."""
        if not self.left_out:
            return []
        text = f"Arms with fewer than two {pair.units} take no part: {', '.join(self.left_out)}."
        return [Check("arms left out", float(len(self.left_out)), "warn", text)]


class _Means(AllArms):
    """What the comparisons of means of several arms share."""

    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.MONEY, Scale.COUNT})
    sizes = "difference of means of one pilot arm"

    level: float

    def _record(
        self,
        pair: Pair,
        family: _Family,
        difference: MeanDifference,
        *,
        quantile: float,
        log_p: float,
        checks: Sequence[Check],
        method: str,
        alternative: str,
        closing: str,
    ) -> Comparison:
        half = quantile * difference.standard_error
        low, high = difference.estimate - half, difference.estimate + half
        common = (review.sizes(pair), *review.spread(pair), *review.ceiling(pair), *review.rare(pair))
        more = (*review.balance(pair), *review.response(pair))
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(*common, *family.checks(pair), *checks, *more),
            method=method,
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=difference.t,
            df=difference.df,
            p_value=p_value(log_p),
            log_p=log_p,
            alternative=alternative,
            details=_details(welch_anova(family.n, family.mean, family.m2), len(family.arms)),
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level), reading(pair, low, high), closing
            ),
        )


@dataclass(frozen=True)
class WelchAnova(_Means):
    """Difference of means from control, with an interval that holds for all pairs of arms at once (Games-Howell).

    The arms may have different spreads. Welch's test that all means are equal stands in the details. With two arms it is
    `welch`. Ignores strata.

    Args:
        level: Two-sided confidence level of all intervals together.
    """

    key = "welch-anova"
    label = "Means of several arms (Welch, Games-Howell)"
    reference = "Welch 1951, Biometrika 38:330; Games and Howell 1976, Journal of Educational Statistics 1:113"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is adjusted for all pairs of arms."""
        pair = Pair.of(self, evidence, arm)
        reason, family = lacking(pair), _Family.of(evidence)
        difference = None if reason else _unequal(pair)
        if difference is None:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        groups = len(family.arms)

        def log_tail(t: float) -> float:
            return log_range_upper(math.sqrt(2) * t, groups, difference.df)

        return self._record(
            pair,
            family,
            difference,
            quantile=upper_quantile(log_tail, 1 - self.level),
            log_p=min(0.0, log_tail(abs(difference.t))),
            checks=(),
            method=f"Games-Howell, {groups} arms, unequal variances",
            alternative="two-sided, adjusted for all pairs of arms",
            closing=_together(groups * (groups - 1) // 2),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the chance that the interval of one pilot arm shows `effect`, by the noncentral t law.

        `expected.pilots` is their number. That Welch's F shows some difference is another question: `welch_anova_power`.
        """
        groups = expected.pilots + 1
        return mean_power(
            effect, expected.spreads, n, self.level, edge=lambda df: range_quantile(groups, df, self.level)
        )


@dataclass(frozen=True)
class Dunnett(_Means):
    """Difference of means from control, with an interval that holds for all pilot arms at once (Dunnett).

    It takes the spread to be the same in all arms. With two arms it is Student's t test. Ignores strata.

    Args:
        level: Two-sided confidence level of all intervals together.
    """

    key = "dunnett"
    label = "Several arms against control (Dunnett)"
    reference = "Dunnett 1955, JASA 50:1096; Dunnett 1964, Biometrics 20:482"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is adjusted for all pilot arms."""
        pair = Pair.of(self, evidence, arm)
        reason, family = lacking(pair), _Family.of(evidence)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        difference, sizes = _equal(family, pair), family.n.tolist()

        def log_tail(t: float) -> float:
            return log_dunnett_upper(t, sizes, difference.df)

        return self._record(
            pair,
            family,
            difference,
            quantile=upper_quantile(log_tail, 1 - self.level),
            log_p=min(0.0, log_tail(abs(difference.t))),
            checks=_spreads(family),
            method=f"Dunnett, {_arms(len(sizes) - 1)} against control, one variance for all",
            alternative="two-sided, adjusted for all pilot arms",
            closing=_together(len(sizes) - 1),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the chance that the interval of one pilot arm shows `effect`, by the noncentral t law.

        `expected.pilots` is their number, and `n[1]` the units of each.
        """
        return dunnett_power(effect, expected.spreads, n, expected.pilots, self.level)


@dataclass(frozen=True)
class KruskalWallis(Planned, AllArms):
    """Win probability against control, with an interval that holds for all pilot arms at once.

    Interval and p value are those of `brunner-munzel`, Bonferroni-adjusted for the pilot arms. Kruskal and Wallis' test that
    all arms are distributed alike stands in the details. Ignores strata.

    Args:
        level: Two-sided confidence level of all intervals together.
        form: `t` for test and interval on the win probability's own scale, `logit` for both on that of its log odds.
    """

    key = "kruskal-wallis"
    label = "Ranks of several arms (Kruskal-Wallis)"
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Kruskal and Wallis 1952, JASA 47:583; Brunner and Munzel 2000, Biom. J. 42:17"

    level: Level = 0.95
    form: Form = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is adjusted for all pilot arms."""
        pair = Pair.of(self, evidence, arm)
        counts = pair.counts.sum(axis=1, keepdims=True)
        ranks, found = ranked([counts])
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking_ranks(pair))
        family = _Family.of(evidence)
        others = len(family.arms) - 1
        one = exact_ranks(counts).law.log_p if found.separated else found.log_p(self.form)
        log_p = min(0.0, one + math.log(others))
        every = [counts[0, 0], *(Pair.of(self, evidence, name).counts[1].sum(axis=0) for name in family.arms[1:])]
        tested = "exact permutation p" if found.separated else "Brunner-Munzel"
        return self._record(
            pair,
            ranks,
            found,
            each=1 - (1 - self.level) / others,
            checks=(*family.checks(pair), *review.balance(pair, "van-elteren")),
            method=f"{tested}, Bonferroni over {_arms(others)} against control",
            statistic=found.z if found.separated else found.t(self.form),
            df=None if found.separated else found.df,
            log_p=log_p,
            p_value=p_value(log_p),
            alternative="two-sided, adjusted for all pilot arms",
            details=_details(kruskal_wallis(np.stack(every)), len(family.arms)),
            closing=_together(others),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the chance that one pilot arm shows `effect`, by Noether's formula at its own level.

        `expected.pilots` is the number of pilot arms. That Kruskal and Wallis' test shows some difference between the arms is
        another question: `kruskal_wallis_power`.
        """
        each = replace(self, level=1 - (1 - self.level) / expected.pilots)
        return Planned.power(each, expected, effect, n)


def _unequal(pair: Pair) -> MeanDifference | None:
    n, mean, m2 = zip(*(pooled(pair.n[row], pair.mean[row], pair.m2[row]) for row in (0, 1)), strict=True)
    return mean_difference(n, mean, m2)


def _equal(family: _Family, pair: Pair) -> MeanDifference:
    """The difference of two arms with the spread of all arms together."""
    rows = [family.arms.index(name) for name in (pair.control, pair.arm)]
    df = float(family.n.sum() - len(family.n))
    error = math.sqrt(float(family.m2.sum()) / df * float((1 / family.n[rows]).sum()))
    control, pilot = (float(mean) for mean in family.mean[rows])
    return MeanDifference(pilot - control, error, df, (control, pilot))


def _spreads(family: _Family) -> list[Check]:
    spreads = np.sqrt(family.m2 / (family.n - 1))
    if spreads.min() == 0:
        return [Check("equal spread", None, "warn", "An arm shows no spread, yet one variance is taken for all arms.")]
    ratio = float(spreads.max() / spreads.min())
    text = f"The largest standard deviation of an arm is {ratio:.2g} times the smallest"
    if ratio < UNEQUAL_SPREAD:
        return [Check("equal spread", ratio, "pass", f"{text}.")]
    return [Check("equal spread", ratio, "warn", f"{text}, yet one variance is taken for all; use welch-anova.")]


def _details(omnibus: Omnibus | None, arms: int) -> dict[str, float | None]:
    """The test of all arms together; None where it is undefined."""
    if omnibus is None:
        return {"arms": float(arms), "omnibus statistic": None, "omnibus p": None}
    names = ("omnibus degrees of freedom", "omnibus denominator degrees of freedom")
    return {
        "arms": float(arms),
        "omnibus statistic": omnibus.statistic,
        **dict(zip(names, omnibus.df, strict=False)),
        "omnibus p": p_value(omnibus.log_p),
    }


def _arms(number: int) -> str:
    return f"{number} arm" if number == 1 else f"{number} arms"


def _together(comparisons: int) -> str:
    return f"the interval holds for {comparisons} comparisons of arms at once" if comparisons > 1 else ""
