"""The results of a closed experiment as its page shows them: words and figures, ready to be printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from pilot.analysis import Comparison, NotEnoughData
from pilot.reports import telling, wording
from pilot.reports.decision import ArmVerdict, Condition
from pilot.reports.material import Material, Result
from pilot.reports.wording import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison of one outcome. `reading` says it in a sentence; without an estimate it is all there is."""

    method: str
    pilot_arm: str
    control: str
    pilot: str
    difference: str
    interval: str
    reading: str
    planned: bool


@dataclass(frozen=True, slots=True)
class Block:
    """One outcome of the plan with its comparisons."""

    outcome: str
    role: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Held:
    """One condition of the decision rule: its text, its figures, and whether it is met, refuted or open."""

    text: str
    figures: str
    state: str
    state_name: str


@dataclass(frozen=True, slots=True)
class ArmReading:
    """The verdict on one pilot arm."""

    label: str
    headline: str
    conditions: Sequence[Held]
    caveats: Sequence[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything an experiment's page says of its results. `verdict` is None before the decision.

    `gaps` are sentences about facts that are missing altogether.
    """

    verdict: str | None
    verdict_name: str
    gaps: Sequence[str]
    arms: Sequence[ArmReading]
    blocks: Sequence[Block]


def read(material: Material) -> Reading:
    """Put the results of an experiment into words, in the language of the page."""
    decision = material.decision
    return Reading(
        verdict=decision.verdict if decision else None,
        verdict_name=telling.verdict_name(decision.verdict if decision else None),
        gaps=telling.gaps(material),
        arms=[_arm(material, arm) for arm in decision.arms] if decision else [],
        blocks=[
            Block(wording.short(outcome.label), _role(outcome.role), [_row(material, item) for item in found])
            for outcome in material.plan.outcomes
            if (found := material.of(outcome.key))
        ],
    )


def _arm(material: Material, arm: ArmVerdict) -> ArmReading:
    return ArmReading(
        material.arm_label(arm.arm),
        telling.headline(material.plan, arm),
        [_held(material, condition) for condition in arm.conditions],
        telling.caveats(material.plan, arm),
    )


def _held(material: Material, condition: Condition) -> Held:
    outcome, figures = material.outcome(condition.outcome), material.figures(condition.outcome)
    label = wording.short(outcome.label) if outcome else condition.outcome
    if condition.name == "not_worse" and figures:
        text = _(
            "“%(outcome)s” is not worse by more than %(margin)s",
            outcome=label,
            margin=figures.value(abs(condition.threshold)),
        )
    elif condition.name == "not_worse":
        text = _("“%(outcome)s” is not worse by more than the agreed margin", outcome=label)
    else:
        text = _("“%(outcome)s” is lower", outcome=label)
    names = {"met": _("Met"), "refuted": _("Refuted"), "open": _("Open")}
    return Held(text, _evidence(condition, figures), condition.state, names[condition.state])


def _evidence(condition: Condition, figures: Figures | None) -> str:
    if condition.reason or figures is None:
        return condition.reason[:1].upper() + condition.reason[1:]
    text: str = _(
        "Difference %(difference)s, interval %(interval)s",
        difference=figures.difference(condition.estimate),
        interval=figures.interval(condition.low, condition.high),
    )
    return text


def _row(material: Material, result: Result) -> Row:
    found, figures = result.found, Figures.of(result.evidence)
    reading = telling.effect(material, result)
    arm = material.arm_label(result.arm)
    if isinstance(found, NotEnoughData):
        return Row(result.analysis, arm, "", "", "", "", reading, result.planned)
    means = {summary.arm: figures.value(summary.mean) for summary in found.arms}
    return Row(
        found.method,
        arm,
        means[found.control],
        means[found.arm],
        figures.difference(found.estimate),
        _interval(found, figures),
        reading,
        result.planned,
    )


def _interval(found: Comparison, figures: Figures) -> str:
    if found.low is None and found.high is None:
        return ""
    text: str = _(
        "%(level)s interval %(interval)s",
        level=wording.level(found.level),
        interval=figures.interval(found.low, found.high),
    )
    return text


def _role(role: str) -> str:
    return str({"primary": _("Primary"), "secondary": _("Secondary"), "guardrail": _("Guardrail")}[role])
