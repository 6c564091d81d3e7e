"""Looks at results before the close: at the planned times by the bounds that pay for them, or with a reason as a deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta

import sqlalchemy as sa

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.analysis import Analysis, Comparison, NotEnoughData
from pilot.db import db, transaction
from pilot.errors import InputError, NotFound, StateError
from pilot.experiments import service as experiments
from pilot.experiments.agreed import AT_LOOKS, look_days, look_shares, share_of_time
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan
from pilot.plugins.manager import plugins
from pilot.reports import decision as rule
from pilot.reports.models import Look
from pilot.reports.outcomes import Scope
from pilot.reports.tasks import evidence_of, scope_of

MAX_REASON = 500


def taken(experiment_id: int) -> list[Look]:
    """The looks at an experiment that were taken, oldest first."""
    return list(db.session.scalars(sa.select(Look).where(Look.experiment_id == experiment_id).order_by(Look.id)))


def look(actor: Actor, key: str, reason: str = "") -> Look:
    """Hold the deciding outcomes against the rule before the close, and keep what was seen. Every look is recorded.

    Args:
        actor: Of operations or an analyst.
        key: Of the experiment, running.
        reason: Why to look though the plan does not pay for it; empty for a planned look.

    Returns:
        The look with its findings.

    Raises:
        InputError: The reason is too long or not on one line.
        StateError: It does not run, or the plan pays for no look now and no reason is given.
    """
    actor.require("operations", "analyst")
    why = reason.strip()
    if len(why) > MAX_REASON or (why and not why.isprintable()):
        raise InputError("the reason is too long or not on one line", remedy=f"Give 1 to {MAX_REASON} characters")
    with transaction() as work:
        locked = sa.select(Experiment).where(Experiment.id == experiments.get(key).id).with_for_update()
        experiment = work.session.scalars(locked.execution_options(populate_existing=True)).one()
        if experiment.state != "running":
            raise StateError(
                f"the experiment {key} is {experiment.state}",
                remedy="Looks are taken while it runs; after the close there is `pilot analyse`",
            )
        plan, before = experiments.plan_of(experiment), taken(experiment.id)
        number = _due(plan, before, unplanned=bool(why))
        found = Look(
            experiment_id=experiment.id,
            number=number,
            reason=why or None,
            information=share_of_time(plan, config.today()),
            plan_hash=experiment.plan_hash,
            findings=_findings(experiment, plan, number, before),
            actor=actor.name,
            at=clock.now(),
        )
        work.session.add(found)
        record(actor, "looked", f"experiment:{key}", look=number, reason=why or None)
    return found


def _due(plan: Plan, before: Sequence[Look], *, unplanned: bool) -> int | None:
    """The number of the planned look that is due and was not taken; None where a reason stands for it.

    Raises:
        StateError: There is none, and no reason either; or a planned one is due, which needs none.
    """
    today, days = config.today(), look_days(plan)
    due = sum(day <= today for day in days)
    is_new = due > 0 and due not in {item.number for item in before}
    if is_new and unplanned:
        raise StateError(f"look {due} of the plan is due: it needs no reason", remedy="Take it without one")
    if is_new or unplanned:
        return due if is_new else None
    if not days:
        reason = "its plan pays for no look before the close"
    elif due == len(days):
        reason = "every look its plan pays for was taken"
    else:
        reason = f"the next look its plan pays for is on {days[due]}"
    raise StateError(
        f"the results of {plan.key} are closed: {reason}",
        remedy="Wait, or give the reason for a look outside the plan with --reason; it is printed as a deviation",
    )


def _findings(
    experiment: Experiment, plan: Plan, number: int | None, before: Sequence[Look]
) -> list[dict[str, object]]:
    end = min(config.today(), plan.calendar.end)
    scope = replace(scope_of(experiment, plan), end=max(end, plan.calendar.start + timedelta(days=1)))
    keys = dict.fromkeys((plan.decision.not_worse, plan.decision.cheaper))
    arms: dict[str, list[Comparison | NotEnoughData]] = {arm: [] for arm in scope.arms[1:]}
    for key in keys:
        for arm, found in _compared(scope, plan, key, _analyses(plan, key, number, before)):
            arms[arm].append(found)
    judged = (rule.on_arm(plan, arm, found) for arm, found in arms.items())
    return [{"arm": item.arm, "conditions": [asdict(condition) for condition in item.conditions]} for item in judged]


def _compared(
    scope: Scope, plan: Plan, outcome: str, analyses: Sequence[Analysis]
) -> list[tuple[str, Comparison | NotEnoughData]]:
    """An outcome nothing is known of yet, such as a survey before its first wave, is too little data."""
    try:
        evidence = evidence_of(scope, plan, plan.outcome(outcome), analyses)
    except NotFound as error:
        return [(arm, NotEnoughData("", outcome, arm, error.reason)) for arm in scope.arms[1:]]
    return [(arm, analysis.compare(evidence, arm)) for analysis in analyses for arm in scope.arms[1:]]


def _analyses(plan: Plan, outcome: str, number: int | None, before: Sequence[Look]) -> list[Analysis]:
    """By the bound of this look; of one that is not paid for, the analyses of the plan as they are."""
    if number is None or plan.looks is None:
        chosen = [item.analysis for item in plan.analyses if item.outcome == outcome]
        return [plugins().build("analyses", item.part, item.settings, place=outcome) for item in chosen]
    shares = look_shares(plan)
    settings = {
        "looks": len(shares),
        "look": number,
        "information": shares,
        "spending": plan.looks.spending,
        "level": plan.decision.level,
    }
    return [plugins().build("analyses", AT_LOOKS, settings, place=outcome)]
