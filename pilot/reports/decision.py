"""The decision rule: not worse by more than the margin, and cheaper. Pure: comparisons in, verdict out.

Both halves must hold, each at the full level (an intersection-union test needs no correction: Berger 1982).
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

Verdict = Literal["roll_out", "do_not", "inconclusive"]
State = Literal["met", "refuted", "open"]

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
    """The rule applied to one pilot arm. `alarms` names the steps of the flow whose sample ratio is off."""

    arm: str
    verdict: Verdict
    conditions: tuple[Condition, ...]
    alarms: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether only an alarm stands between this arm and a roll-out."""
        return bool(self.alarms) and all(condition.state == "met" for condition in self.conditions)


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


def judge(arm: str, conditions: Sequence[Condition], alarms: Sequence[str] = ()) -> ArmVerdict:
    """The verdict on one pilot arm."""
    states = {condition.state for condition in conditions}
    verdict: Verdict = "inconclusive"
    if "refuted" in states:
        verdict = "do_not"
    elif states == {"met"} and not alarms:
        verdict = "roll_out"
    return ArmVerdict(arm, verdict, tuple(conditions), tuple(alarms))


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
