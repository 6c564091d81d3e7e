"""What the pages show of experiments: one line each in the list, and everything known on an experiment's own page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from flask_babel import LazyString, lazy_gettext
from flask_babel import gettext as _

from pilot import config, web
from pilot.accounts.models import AuditEntry
from pilot.accounts.service import trail
from pilot.db import db
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan
from pilot.mail import service as mail
from pilot.reports import service as reports
from pilot.reports.flow import Flow
from pilot.reports.models import AnalysisRun
from pilot.surveys import service as surveys
from pilot.surveys.models import Invitation, Response, Wave

STATE_NAMES: Mapping[str, LazyString] = {
    "draft": lazy_gettext("Draft"),
    "sealed": lazy_gettext("Sealed"),
    "drawn": lazy_gettext("Drawn"),
    "running": lazy_gettext("Running"),
    "closed": lazy_gettext("Closed"),
    "decided": lazy_gettext("Decided"),
    "rolled_out": lazy_gettext("Rolled out"),
    "stopped": lazy_gettext("Stopped"),
}
OPENED = ("closed", "decided", "rolled_out")
"""States in which results may be seen."""

_ACTIONS: Mapping[str, LazyString] = {
    "created": lazy_gettext("Plan loaded"),
    "revised": lazy_gettext("Plan revised"),
    "sealed": lazy_gettext("Plan sealed"),
    "drawn": lazy_gettext("Sample drawn and arms assigned"),
    "notified": lazy_gettext("Notices queued"),
    "running": lazy_gettext("Handling started"),
    "survey opened": lazy_gettext("Survey sent out"),
    "reminded": lazy_gettext("Reminders queued"),
    "survey closed": lazy_gettext("Survey closed"),
    "closed": lazy_gettext("Pilot closed"),
    "analysed": lazy_gettext("Arms compared"),
    "decided": lazy_gettext("Decision taken by the rule"),
    "rolled_out": lazy_gettext("Rolled out"),
    "stopped": lazy_gettext("Pilot stopped"),
}

MAIL_KINDS: Mapping[str, LazyString] = {
    "notice": lazy_gettext("Notices"),
    "invitation": lazy_gettext("Invitations"),
    "reminder": lazy_gettext("Reminders"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How many customers an arm has; `place` is the arm's place in the plan, control being 0."""

    arm: str
    place: int
    label: str
    customers: int


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be done next, as a sentence, and the command that does it (empty: nothing but waiting)."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One experiment in the list. `rate` is None where nobody has been invited."""

    key: str
    name: str
    state: str
    sizes: Sequence[Size]
    rate: float | None
    next: Next


@dataclass(frozen=True, slots=True)
class Step:
    """One state on the way: when it was reached, and whether it lies behind, is the present one, or lies ahead."""

    name: LazyString
    reached: datetime | None
    stand: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of one arm's invitations."""

    size: Size
    dispositions: Mapping[str, int]

    @property
    def invited(self) -> int:
        """All invitations of the arm."""
        return sum(self.dispositions.values())

    @property
    def rate(self) -> float | None:
        """Complete answers among all invitations (AAPOR 2023, RR1); None where there are none."""
        return self.dispositions["complete"] / self.invited if self.invited else None


@dataclass(frozen=True, slots=True)
class Mails:
    """How many messages of one kind are in which state."""

    label: LazyString
    waiting: int
    sent: int
    failed: int
    uncertain: int
    withdrawn: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.waiting + self.sent + self.failed + self.uncertain + self.withdrawn


@dataclass(frozen=True, slots=True)
class Board:
    """Everything the experiment's page shows."""

    experiment: Experiment
    plan: Plan
    steps: Sequence[Step]
    next: Next
    flow: Sequence[tuple[Size, Flow]]
    answers: Sequence[Answers]
    mails: Sequence[Mails]
    trail: Sequence[AuditEntry]

    @property
    def handled_until(self) -> date:
        """The last day of the handling."""
        return self.plan.calendar.end - timedelta(days=1)


def overview() -> list[Line]:
    """All experiments, the newest first, in a number of queries that does not grow with them."""
    every = experiments.all_experiments()
    sizes, answers, waved, analysed = _sizes(), _answers(), _with(Wave), _with(AnalysisRun)
    lines = []
    for experiment in sorted(every, key=lambda item: item.created_at, reverse=True):
        plan = experiments.plan_of(experiment)
        complete, invited = answers.get(experiment.id, (0, 0))
        lines.append(
            Line(
                experiment.key,
                experiment.name,
                experiment.state,
                [size for size in _labelled(plan, sizes[experiment.id]) if size.customers],
                complete / invited if invited else None,
                next_step(experiment, plan, waved=experiment.id in waved, analysed=experiment.id in analysed),
            )
        )
    return lines


def board(experiment: Experiment) -> Board:
    """The page of one experiment, without results."""
    plan = experiments.plan_of(experiment)
    flow = {item.arm: item for item in reports.flow(experiment.id)}
    sizes = _labelled(plan, {arm: item.assigned for arm, item in flow.items()})
    answers = [
        Answers(size, found) for size, found in zip(sizes, surveys.dispositions(experiment.id).values(), strict=True)
    ]
    waved = any(arm.invited for arm in answers)
    return Board(
        experiment=experiment,
        plan=plan,
        steps=steps(experiment),
        next=next_step(experiment, plan, waved=waved, analysed=experiment.id in _with(AnalysisRun)),
        flow=[(size, flow[size.arm]) for size in sizes] if experiment.drawn_at else [],
        answers=answers if waved else [],
        mails=[mails for kind in MAIL_KINDS if (mails := _mails(experiment.id, kind)).total],
        trail=trail(f"experiment:{experiment.key}"),
    )


def steps(experiment: Experiment) -> list[Step]:
    """The way from draft to decision; of a stopped experiment, as far as it came."""
    reached = {
        "draft": experiment.created_at,
        "sealed": experiment.sealed_at,
        "drawn": experiment.drawn_at,
        "running": experiment.started_at,
        "closed": experiment.closed_at,
        "decided": experiment.decided_at,
    }
    return [
        Step(STATE_NAMES[state], at, "now" if state == experiment.state else "done" if at else "ahead")
        for state, at in reached.items()
    ]


def action_name(action: str) -> str:
    """An act of the audit trail in the page's language; one that is not known here as it was recorded."""
    return str(_ACTIONS.get(action, action.capitalize()))


def next_step(experiment: Experiment, plan: Plan, *, waved: bool, analysed: bool) -> Next:
    """What is to be done next, by the state and the calendar.

    Args:
        experiment: In any state.
        plan: Its plan.
        waved: Whether the survey has been sent out.
        analysed: Whether the arms have been compared.
    """
    key = experiment.key
    match experiment.state:
        case "draft":
            return Next(_("Read the plan once more and seal it"), f"pilot experiment seal {key}")
        case "sealed":
            value = _("VALUE")
            return Next(
                _("Draw the sample with a value nobody here controls"),
                f"pilot experiment draw {key} --public-value {value}",
            )
        case "drawn":
            return Next(_("Send the notices and start the handling"), f"pilot experiment start {key}")
        case "running":
            return _while_running(key, plan, waved=waved)
        case "closed" if not analysed:
            return Next(_("Compare the arms"), f"pilot analyse {key}")
        case "closed":
            return Next(_("Apply the decision rule"), f"pilot experiment decide {key}")
        case "decided" if experiment.verdict == "roll_out":
            return Next(_("Take the first step of the roll-out"), f"pilot experiment rollout {key}")
        case "decided":
            return Next(_("Read the report and act on the decision"))
    return Next("")


def _while_running(key: str, plan: Plan, *, waved: bool) -> Next:
    today, calendar = config.today(), plan.calendar
    if not waved and today < calendar.end:
        return Next(_("Handling runs until %(day)s", day=web.day(calendar.end - timedelta(days=1))))
    if not waved:
        return Next(_("Send out the survey"), f"pilot survey wave {key}")
    if today <= calendar.survey_until:
        return Next(
            _("Answers come in until %(day)s", day=web.day(calendar.survey_until)), f"pilot survey remind {key}"
        )
    return Next(_("Close the pilot to see its results"), f"pilot experiment close {key}")


def _labelled(plan: Plan, customers: Mapping[str, int]) -> list[Size]:
    return [Size(arm.key, place, arm.label, customers.get(arm.key, 0)) for place, arm in enumerate(plan.arms)]


def _mails(experiment_id: int, kind: str) -> Mails:
    states = mail.counts(experiment_id, kind)
    waiting = sum(states[state] for state in ("queued", "claimed", "handing_over"))
    return Mails(MAIL_KINDS[kind], waiting, *(states[state] for state in ("sent", "failed", "uncertain", "withdrawn")))


def _sizes() -> dict[int, dict[str, int]]:
    """Customers per experiment and arm."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    rows = sa.select(Unit.experiment_id, Unit.arm, sa.func.count()).group_by(Unit.experiment_id, Unit.arm)
    for experiment_id, arm, customers in db.session.execute(rows):
        found[experiment_id][arm] = customers
    return found


def _answers() -> dict[int, tuple[int, int]]:
    """Complete answers and invitations per experiment."""
    rows = (
        sa.select(Wave.experiment_id, sa.func.count(Response.completed_at), sa.func.count(Invitation.id))
        .join(Invitation, Invitation.wave_id == Wave.id)
        .outerjoin(Response, Response.invitation_id == Invitation.id)
        .group_by(Wave.experiment_id)
    )
    return {experiment_id: (complete, invited) for experiment_id, complete, invited in db.session.execute(rows)}


def _with(model: type[Wave] | type[AnalysisRun]) -> set[int]:
    """Experiments that have at least one such row."""
    return set(db.session.scalars(sa.select(model.experiment_id).distinct()))
