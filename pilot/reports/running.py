"""What an experiment's page says beside its flow: where arms went apart, what was agreed, looks taken, staff and roll-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import gettext as _

from pilot.experiments import service as experiments
from pilot.experiments.agreed import look_days
from pilot.experiments.models import Experiment, RolloutStep
from pilot.experiments.plan import Plan
from pilot.handling import rollout
from pilot.reports import looks, ratios, service, staffing, tabletelling, telling, wording
from pilot.reports.ratios import StepRatio
from pilot.reports.staffing import Estimate
from pilot.reports.tabletelling import TableRow


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of the flow in words; `counts` by arm, control first."""

    name: str
    counts: tuple[int, ...]
    p: str
    state: str


@dataclass(frozen=True, slots=True)
class LookLine:
    """One look before the close, planned or taken or both."""

    name: str
    day: date | None
    taken: datetime | None
    reading: Sequence[str]
    deviation: str


@dataclass(frozen=True, slots=True)
class StaffLine:
    """What one channel took with the customers of an arm, and would take with everybody."""

    arm: str
    channel: str
    minutes: str
    people: str


@dataclass(frozen=True, slots=True)
class Running:
    """Everything of an experiment's page that is about running it. `staff` is None as long as results are closed."""

    steps: Sequence[StepLine]
    broken: bool
    reading: str
    table: Sequence[TableRow]
    looks: Sequence[LookLine]
    staff: Sequence[StaffLine] | None
    rollout: Sequence[RolloutStep]


def read(experiment: Experiment) -> Running:
    """Put it into words, in the language of the page."""
    plan = experiments.plan_of(experiment)
    found = service.flow_steps(experiment)
    broken = ratios.first_broken(found)
    return Running(
        steps=[_step(item) for item in found],
        broken=broken is not None,
        reading=ratios.in_words(experiment, broken) if found else "",
        table=tabletelling.rows(plan, experiment.decision),
        looks=_looks(experiment, plan),
        staff=_staff(experiment, plan) if experiment.state in service.OPENED else None,
        rollout=rollout.steps(experiment.id),
    )


def _step(item: StepRatio) -> StepLine:
    return StepLine(telling.step_name(item.step), item.counts, wording.p_value(item.p), item.state)


def _looks(experiment: Experiment, plan: Plan) -> list[LookLine]:
    found = looks.taken(experiment.id)
    planned = {item.number: item for item in found if item.number is not None}
    lines = []
    for number, day in enumerate(look_days(plan), start=1):
        item = planned.get(number)
        name = _("Look %(number)s", number=number)
        lines.append(LookLine(name, day, item.at if item else None, _reading(plan, item.findings) if item else [], ""))
    for item in found:
        if item.number is None:
            name, reading = _("Outside the plan"), _reading(plan, item.findings)
            lines.append(LookLine(name, None, item.at, reading, item.reason or ""))
    return lines


def _reading(plan: Plan, findings: Sequence[dict[str, object]]) -> list[str]:
    labels = {arm.key: arm.label for arm in plan.arms}
    return [
        f"{labels[str(finding['arm'])]}: {text}"
        for finding in findings
        for text in tabletelling.conditions(plan, finding["conditions"])
    ]


def _staff(experiment: Experiment, plan: Plan) -> list[StaffLine]:
    labels = {arm.key: arm.label for arm in plan.arms}
    return [
        StaffLine(labels[item.arm], item.channel, _estimate(item.minutes), _estimate(item.people))
        for item in staffing.staff(experiment)
    ]


def _estimate(found: Estimate) -> str:
    if found.low is None or found.high is None:
        text: str = _("%(value)s (no interval)", value=wording.number(found.value))
        return text
    value, low, high = (wording.number(number) for number in (found.value, found.low, found.high))
    return str(_("%(value)s (%(low)s to %(high)s)", value=value, low=low, high=high))
