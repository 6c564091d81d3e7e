"""Comparisons by rank inside strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.effects import Level
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.methods.ranks import Planned, counted, exact_name, interval_name, lacking, ranked, separation
from pilot.analysis.moments import IntArray
from pilot.analysis.pairs import Pair
from pilot.analysis.ranks import Form
from pilot.analysis.rankscores import ExactRanks, exact_ranks
from pilot.analysis.sentences import p_text
from pilot.analysis.strata import inside_strata, left_out
from pilot.analysis.tails import p_value


@dataclass(frozen=True)
class VanElteren(Planned):
    """The rank test inside strata with their locally best weights, and the win probability by the same weights.

    Without strata it is `mann-whitney`. The exact permutation p stands in the details where it is cheap.

    Args:
        level: Two-sided confidence level.
        form: Whether the interval is symmetric on the win probability's own scale (`t`) or on that of its `logit`.
    """

    key = "van-elteren"
    label = "Ranks by strata (van Elteren)"
    reference = "van Elteren 1960, Bulletin of the ISI 37:351; Brunner and Munzel 2000, Biom. J. 42:17"

    level: Level = 0.95
    form: Form = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        tables = [counts for _, counts in counted(pair, by_strata=True)]
        ranks, found = ranked(tables)
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        log_p, strata = found.log_p_ranks(), int((ranks.pairs > 0).sum())
        exact = _cheap_law(tables)
        return self._record(
            pair,
            ranks,
            found,
            checks=(*separation(pair, found), *left_out(pair)),
            method=f"Van Elteren, {strata} {'stratum' if strata == 1 else 'strata'}, normal law; interval: {interval_name(found, self.form)}",
            statistic=found.z,
            log_p=log_p,
            p_value=p_value(log_p),
            details={"exact permutation p": None if exact is None else p_value(exact.law.log_p)},
        )


@dataclass(frozen=True)
class ExactRankPermutation(Planned):
    """Exact rank test: all ways to shuffle the arms inside the strata, counted; tied values share their rank.

    The statistic is van Elteren's, Wilcoxon's without strata. Two-sided p: twice the smaller tail, the observed result
    included. Estimate and interval are those of `van-elteren`.

    Args:
        level: Two-sided confidence level of the interval.
        form: Whether the interval is symmetric on the win probability's own scale (`t`) or on that of its `logit`.
    """

    key = "exact-rank-permutation"
    label = "Exact permutation test of ranks"
    scales = frozenset({Scale.RATING, Scale.BINARY, Scale.COUNT})
    reference = "Wilcoxon 1945, Biometrics 1:80; Streitberg and Roehmel 1986, Statistical Software Newsletter 12:10"

    level: Level = 0.95
    form: Form = "t"

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`.

        Raises:
            InputError: Also where there are too many strata and values for an exact law.
        """
        pair = inside_strata(Pair.of(self, evidence, arm))
        ranks, found = ranked([pair.counts])
        if found is None:
            return NotEnoughData(self.key, evidence.outcome, arm, lacking(pair))
        exact = exact_ranks(pair.counts)
        shuffle = "inside strata" if pair.stratified else "of all"
        return self._record(
            pair,
            ranks,
            found,
            checks=(*separation(pair, found), *left_out(pair)),
            method=f"Ranks, {exact_name(exact)}, shuffles {shuffle}; interval: {interval_name(found, self.form)}",
            statistic=exact.law.z,
            log_p=exact.law.log_p,
            p_value=p_value(exact.law.log_p),
            alternative="two-sided (twice the smaller tail)",
            closing=f"exact permutation p {p_text(exact.law.log_p)}",
        )


def _cheap_law(tables: Sequence[IntArray]) -> ExactRanks | None:
    if len(tables) > 1 or tables[0].shape[1] * tables[0].shape[2] > 200:
        return None
    return exact_ranks(tables[0])
