"""The decision rule: not worse by more than the margin, and cheaper. Pure: comparisons in, verdict out.

What the outcomes show are states, and the decision table of the plan says what follows from them. For the usual table
both halves must hold, each at the full level (an intersection-union test needs no correction: Berger 1982).
All inequalities are strict: a limit exactly on the margin does not pass. A blocking failure of validity, or too many
customers who are not compared like with like, can turn a yes into "inconclusive"; neither makes a yes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from pilot.analysis import Comparison, NotEnoughData
from pilot.analysis.strata import holds, unlike
from pilot.errors import StateError
from pilot.experiments.agreed import row_of
from pilot.experiments.plan import USUAL_TABLE, DecisionRow, Plan

Verdict = Literal["roll_out", "do_not", "inconclusive"]
State = Literal["met", "refuted", "open"]

_QUALITY = {"met": "not_worse", "refuted": "worse", "open": "unclear"}
_COST = {"met": "cheaper", "refuted": "dearer", "open": "unclear"}
"""What the decision table calls the states of the two halves."""

POWER = 0.8
"""Probability of a clear answer that `needed` aims at."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One half of the rule held against its numbers. All differences are pilot minus control.

    Attributes:
        name: `not_worse` or `cheaper`.
        outcome: Key of the outcome.
        analysis: Key of the analysis whose interval decides; empty if there is none.
        estimate, low, high: Difference and its limits; a limit that is None is open.
        threshold: The difference that must not be reached: the margin on the harmful side, or 0.
        state: `met` (the whole interval lies on the good side of the threshold), `refuted` (the whole
            interval lies on the bad side) or `open`.
        reason: Why there is no interval, or why it does not count; empty otherwise.
        needed: Customers per arm (answers, for a survey outcome) that would meet the condition with a
            probability of 80 % at the observed spread; None where no number can be given.
    """

    name: str
    outcome: str
    analysis: str
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float
    state: State
    reason: str = ""
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """The rule applied to one pilot arm.

    Attributes:
        arm: Its key.
        verdict: What the table says, or `inconclusive` where an alarm stands against a roll-out.
        conditions: Both halves of the rule.
        alarms: Steps of the flow whose sample ratio is off.
        guardrails: The guardrails that have a margin, held against it.
        row: Number of the row of the decision table that stood for these states, from 1; None of older decisions.
        note: What the table says beside its verdict.
    """

    arm: str
    verdict: Verdict
    conditions: tuple[Condition, ...]
    alarms: tuple[str, ...] = ()
    guardrails: tuple[Condition, ...] = ()
    row: int | None = None
    note: str = ""

    @property
    def broken(self) -> tuple[Condition, ...]:
        """The guardrails that are shown to be worse by more than their margin."""
        return tuple(item for item in self.guardrails if item.state == "refuted")

    @property
    def blocked(self) -> bool:
        """Whether only an alarm stands between this arm and a roll-out."""
        return bool(self.alarms) and all(condition.state == "met" for condition in self.conditions) and not self.broken


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of the experiment, and how each pilot arm came to its own.

    Attributes:
        level: Two-sided confidence level of all intervals in it.
        runs: Ids of the analysis runs it rests on.
    """

    verdict: Verdict
    level: float
    arms: tuple[ArmVerdict, ...]
    runs: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """The decision that `as_json` wrote."""
        arms = tuple(
            ArmVerdict(
                arm["arm"],
                arm["verdict"],
                tuple(Condition(**condition) for condition in arm["conditions"]),
                tuple(arm["alarms"]),
                tuple(Condition(**condition) for condition in arm.get("guardrails", ())),
                arm.get("row"),
                arm.get("note", ""),
            )
            for arm in data["arms"]
        )
        return cls(data["verdict"], data["level"], arms, tuple(data["runs"]))


def not_worse(
    outcome: str, found: Comparison | NotEnoughData, margin: float, *, higher_is_better: bool = True
) -> Condition:
    """Whether the pilot arm is not worse than control by more than `margin` (positive, on the outcome's scale)."""
    return _hold("not_worse", outcome, found, 1 if higher_is_better else -1, margin, expected=0.0)


def cheaper(outcome: str, found: Comparison | NotEnoughData) -> Condition:
    """Whether the pilot arm's figure is lower than control's."""
    expected = found.estimate if isinstance(found, Comparison) else None
    return _hold("cheaper", outcome, found, -1, 0.0, expected=expected)


def judge(
    arm: str,
    conditions: Sequence[Condition],
    alarms: Sequence[str] = (),
    guardrails: Sequence[Condition] = (),
    table: tuple[DecisionRow, ...] = USUAL_TABLE,
) -> ArmVerdict:
    """The verdict on one pilot arm, by the row of the decision table that stands for what was found.

    Args:
        arm: Key of the pilot arm.
        conditions: `not_worse` and `cheaper`, in this order.
        alarms: Steps of the flow that stand against a roll-out.
        guardrails: Guardrails with a margin, each as by `not_worse`.
        table: Of the plan; each combination of states has exactly one row.
    """
    quality, cost = conditions
    broken = any(item.state == "refuted" for item in guardrails)
    number = row_of(table, _QUALITY[quality.state], _COST[cost.state], "broken" if broken else "held")
    row = table[number - 1]
    verdict: Verdict = "inconclusive" if row.verdict == "roll_out" and alarms else row.verdict
    return ArmVerdict(arm, verdict, tuple(conditions), tuple(alarms), tuple(guardrails), number, row.note)


def on_arm(plan: Plan, arm: str, found: Sequence[Comparison | NotEnoughData], alarms: Sequence[str] = ()) -> ArmVerdict:
    """The rule of a plan on the comparisons of one pilot arm.

    Raises:
        StateError: The plan names an outcome without a margin, so it can decide nothing.
    """
    outcome = plan.outcome(plan.decision.not_worse)
    if outcome.margin is None:
        raise StateError(f"outcome {outcome.key!r} has no margin", remedy="Its plan can decide nothing")
    quality = _deciding(plan, found, outcome.key, arm)
    cost = _deciding(plan, found, plan.decision.cheaper, arm)
    conditions = [
        not_worse(outcome.key, quality, outcome.margin, higher_is_better=outcome.higher_is_better),
        cheaper(plan.decision.cheaper, cost),
    ]
    guardrails = [
        not_worse(item.key, _deciding(plan, found, item.key, arm), item.margin, higher_is_better=item.higher_is_better)
        for item in plan.outcomes
        if item.role == "guardrail" and item.margin is not None
    ]
    return judge(arm, conditions, alarms, guardrails, plan.decision.rows)


def overall(arms: Iterable[ArmVerdict], level: float, runs: Iterable[int] = ()) -> Decision:
    """The verdict of the experiment: several pilot arms must agree, which needs no correction for their number."""
    judged = tuple(arms)
    verdicts = {arm.verdict for arm in judged}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "inconclusive"
    return Decision(verdict, level, judged, tuple(runs))


def deciding(
    outcome: str, found: Sequence[Comparison | NotEnoughData], level: float
) -> Comparison | NotEnoughData | None:
    """Which of an outcome's planned comparisons decides.

    The first non-inferiority comparison at the rule's level, else the first with an interval at that level,
    else the first that says why there is too little data, else None.
    """
    usable = [
        item
        for item in found
        if isinstance(item, Comparison)
        and item.outcome == outcome
        and item.estimate is not None
        and (item.low is not None or item.high is not None)
        and math.isclose(item.level, level)
    ]
    with_margin = [item for item in usable if item.margin is not None]
    lacking = [item for item in found if isinstance(item, NotEnoughData) and item.outcome == outcome]
    ranked: list[Comparison | NotEnoughData] = [*with_margin, *usable, *lacking]
    return ranked[0] if ranked else None


def _deciding(
    plan: Plan, found: Sequence[Comparison | NotEnoughData], outcome: str, arm: str
) -> Comparison | NotEnoughData:
    reason = f"no planned analysis gives an interval at the level of the rule, {plan.decision.level:g}"
    return deciding(outcome, found, plan.decision.level) or NotEnoughData("", outcome, arm, reason)


def needed(spread: tuple[float, float], distance: float, level: float) -> int | None:
    """Customers per arm that show, with probability `POWER`, that a true difference clears a threshold.

    Args:
        spread: Standard deviations of the two arms.
        distance: From the true difference to the threshold, positive on the good side.
        level: Two-sided confidence level of the interval.

    Returns:
        The number by the normal approximation, or None where the threshold is not cleared at any size.
    """
    if distance <= 0:
        return None
    normal = NormalDist()
    z = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(POWER)
    return max(2, math.ceil(z**2 * (spread[0] ** 2 + spread[1] ** 2) / distance**2))


def _hold(
    name: str,
    outcome: str,
    found: Comparison | NotEnoughData,
    sign: int,
    margin: float,
    *,
    expected: float | None,
) -> Condition:
    threshold = -sign * margin if margin else 0.0
    if isinstance(found, NotEnoughData):
        return Condition(name, outcome, "", None, None, None, threshold, "open", found.reason)
    low, high = _better(found, sign)
    state: State = "met" if low > -margin else "refuted" if high < -margin else "open"
    if state == "met" and not holds(found.checks, low, high, lambda least, _: least > -margin):
        figures = (found.analysis, found.estimate, found.low, found.high)
        return Condition(name, outcome, *figures, threshold, "open", unlike(found.checks))
    more = None if state != "open" or expected is None else _needed(found, sign * expected + margin)
    return Condition(
        name, outcome, found.analysis, found.estimate, found.low, found.high, threshold, state, needed=more
    )


def _better(found: Comparison, sign: int) -> tuple[float, float]:
    """The limits turned so that more is better; an open limit is infinite."""
    low = -math.inf if found.low is None else found.low
    high = math.inf if found.high is None else found.high
    return (low, high) if sign > 0 else (-high, -low)


def _needed(found: Comparison, distance: float) -> int | None:
    control, pilot = (next((a.sd for a in found.arms if a.arm == name), None) for name in (found.control, found.arm))
    return None if control is None or pilot is None else needed((control, pilot), distance, found.level)
