"""Differences of shares."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect, reading, sentence
from pilot.analysis.shares import newcombe, score_z
from pilot.analysis.tails import log_normal_upper, p_value, two_sided
from pilot.errors import InputError


@dataclass(frozen=True)
class Newcombe(Analysis):
    """Difference of two shares with an interval that stays right near 0 and 100 %. Ignores strata.

    The p value is that of the score test (Pearson's chi-square without continuity correction), two-sided.

    Args:
        level: Two-sided confidence level.
    """

    key = "newcombe"
    label = "Difference of shares (Newcombe)"
    needs = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.BINARY})
    reference = "Newcombe 1998, Statistics in Medicine 17:873, method 10"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        pair = Pair.of(self, evidence, arm)
        control, pilot = yes_of(pair)
        for name, (_, n) in ((pair.control, control), (pair.arm, pilot)):
            if n == 0:
                return NotEnoughData(self.key, evidence.outcome, arm, f"{name} has no {pair.units}")
        estimate = pilot[0] / pilot[1] - control[0] / control[1]
        low, high = newcombe(pilot, control, self.level)
        z = score_z(pilot, control)
        log_p = two_sided(log_normal_upper(abs(z)))
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(_size(pair), *review.balance(pair), *review.response(pair)),
            method="Newcombe's hybrid score interval; score test (chi-square without continuity correction)",
            measure="difference of shares",
            estimate=estimate,
            low=low,
            high=high,
            level=self.level,
            statistic=z,
            p_value=p_value(log_p),
            log_p=log_p,
            sentence=sentence(effect(pair, estimate, low, high, self.level), reading(pair, low, high)),
        )


def yes_of(pair: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
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


def _size(pair: Pair) -> Check:
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= review.SMALL_ARM:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check(
        "small n", float(smallest), "warn", f"{text}; the interval holds, but so few show large differences only."
    )
