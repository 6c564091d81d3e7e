"""Differences of changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, narrowed, t_record, with_covariates
from pilot.analysis.effects import Effect, Level, effect, lacking
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import Joint
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata

APART = 0.25
"""Arms further apart than this before the pilot, in standard deviations, started from different places."""


@dataclass(frozen=True)
class DifferenceInDifferences(Analysis):
    """How much more the pilot arm changed than control did, with the customer as the unit.

    The difference of mean changes, by strata as in `stratified-difference`. It is what a regression on arm, period and their
    product gives with errors clustered by customer.

    Args:
        before: The covariate with the customer's value before the pilot; may stay empty where there is one only.
        level: Two-sided confidence level.
    """

    key = "difference-in-differences"
    label = "Difference in differences"
    needs = frozenset({Need.MOMENTS, Need.JOINT, Need.ASSIGNED})
    scales = frozenset(Scale) - {Scale.TIME}
    reference = (
        "Card and Krueger 1994, American Economic Review 84:772; Bertrand, Duflo and Mullainathan 2004, QJE 119:249"
    )
    sizes = "difference of mean changes"

    before: str = ""
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        joint = every.joint
        name = every.named(self.before, joint.columns[1:], "the value before the pilot")
        pair = inside_strata(with_covariates(every, joint))
        joint = pair.joint
        changes = _changes(pair, joint, joint.columns.index(name, 1))
        reason = lacking(changes)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, f"of the changes since {name}: {reason}")
        found = effect(changes, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, f"of the changes since {name}: {found}")
        before, apart = _before(pair, joint, joint.columns.index(name, 1))
        means = [summary.mean for summary in pair.summaries()]
        control, pilot = found.difference.means
        details: dict[str, float | None] = {
            f"mean before in {pair.control}": before[0],
            f"mean before in {arm}": before[1],
            f"mean after in {pair.control}": means[0],
            f"mean after in {arm}": means[1],
            f"mean change in {pair.control}": control,
            f"mean change in {arm}": pilot,
        }
        checks = [check for check in found.checks if check.name not in ("ceiling", "rare events")]
        named = replace(pair, evidence=replace(pair.evidence, outcome=f"the change of {evidence.outcome} since {name}"))
        result = t_record(
            self,
            named,
            found.difference,
            level=self.level,
            method=f"Difference of changes since {name}; {found.method}",
            measure="difference of mean changes",
            arms=pair.summaries(),
            checks=(*left_aside(every, pair, f"a value of {name}"), *checks, _start(pair, apart)),
            details=details,
        )
        return replace(result, outcome=evidence.outcome)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the spread is that of the customers' changes."""
        return mean_power(effect, expected.spreads, n, self.level)


def _changes(pair: Pair, joint: Joint, column: int) -> Pair:
    """The pair seen through its changes since before."""
    cross = joint.cross
    m2 = cross[..., 0, 0] - 2 * cross[..., 0, column] + cross[..., column, column]
    rounding = 1e-14 * (cross[..., 0, 0] + cross[..., column, column])
    m2 = np.where(m2 > rounding, m2, 0.0)
    return narrowed(pair, joint.n, joint.mean[..., 0] - joint.mean[..., column], m2)


def _before(pair: Pair, joint: Joint, column: int) -> tuple[tuple[float, float], float | None]:
    """The arms' means before, and their distance in standard deviations."""
    (n0, mean0, cross0), (n1, mean1, cross1) = (joint.pooled(row) for row in (0, 1))
    spread = np.sqrt((cross0[column, column] + cross1[column, column]) / max(n0 + n1 - 2, 1))
    gap = float(mean1[column] - mean0[column])
    return (float(mean0[column]), float(mean1[column])), gap / float(spread) if spread > 0 else None


def _start(pair: Pair, apart: float | None) -> Check:
    if apart is None or abs(apart) <= APART:
        return Check("start", apart, "pass", "The arms started from about the same place.")
    text = f"Before the pilot the arms lay {abs(apart):.2f} standard deviations apart: they may have drifted together anyway."
    return Check("start", apart, "warn", text)
