"""Experiments: plan, seal, draw and the moves from state to state. Each move is one transaction with its guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import sqlalchemy as sa
from flask import Flask

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import InputError, StateError
from pilot.experiments import drafts, notice, sealing, spillover
from pilot.experiments.drafts import unfinished
from pilot.experiments.models import Experiment, RolloutUnit, Unit
from pilot.experiments.plan import Plan
from pilot.experiments.preflight import check
from pilot.experiments.replaying import ReplayResult, replay
from pilot.experiments.sealing import MAX_REASON, SurveyLookup, draw, plan_drawn, plan_of, versions
from pilot.experiments.states import get, locked, move, one_line, subject
from pilot.experiments.units import Layer, UnitRow, frame_strata, layers, units
from pilot.mail.models import OutboxMessage
from pilot.mail.service import Content, Withhold, queue_many

__all__ = [
    "VERDICTS",
    "Layer",
    "ReplayResult",
    "UnitRow",
    "all_experiments",
    "amend",
    "close",
    "compose_notice",
    "create",
    "draw",
    "frame_strata",
    "get",
    "held_customers",
    "layers",
    "notify",
    "pilot_members",
    "pilot_names",
    "plan_drawn",
    "plan_of",
    "record_decision",
    "register_plan_check",
    "register_survey_lookup",
    "replay",
    "roll_out",
    "seal",
    "spillover_told",
    "start",
    "stop",
    "unfinished",
    "units",
    "versions",
    "waiting_for_draw",
]

VERDICTS = ("roll_out", "do_not", "inconclusive")

PlanCheck = Callable[[Plan, str], None]
"""Raises `PlanError` with the place if the plan cannot be carried out."""


def register_plan_check(app: Flask, check: PlanCheck) -> None:
    """Say what else has to hold of a plan before the seal, for rooms that lie above experiments."""
    app.extensions["pilot.plan_check"] = check


def register_survey_lookup(app: Flask, lookup: SurveyLookup) -> None:
    """Say how the seal finds the survey a plan names; surveys lie above experiments and are not imported here."""
    app.extensions["pilot.survey_lookup"] = lookup


def held_customers() -> sa.CompoundSelect[int, str]:
    """A query of the customers who keep their handling for now, in an arm or held out of a roll-out.

    Each comes with the key of its experiment.
    """
    held = sa.select(Unit.customer_id, Experiment.key).join(Experiment, Experiment.id == Unit.experiment_id)
    held_out = sa.select(RolloutUnit.customer_id, Experiment.key).join(Experiment)
    return sa.union_all(
        held.where(Experiment.state.in_(("drawn", "running"))), held_out.where(RolloutUnit.held_until > config.today())
    )


def waiting_for_draw(day: date) -> list[str]:
    """The keys of the experiments that were planned or sealed on the profiles of this day and are not drawn yet."""
    undrawn = sa.select(Experiment).where(Experiment.state.in_(("draft", "sealed"))).order_by(Experiment.id)
    return [found.key for found in db.session.scalars(undrawn) if plan_of(found).population.as_of == day]


def create(actor: Actor, plan: Plan, place: str = "") -> Experiment:
    """Keep a plan as a draft. A draft of the same key is replaced.

    Args:
        actor: Of operations.
        plan: The plan, not yet checked against this installation.
        place: What errors call it, e.g. `plan.toml`.

    Raises:
        PlanError: It names something that does not exist here; the place names the key.
        StateError: The experiment is sealed already.
    """
    actor.require("operations")
    with transaction() as work:
        complete = check(plan, place)
        experiment = drafts.keep(work, actor, complete, place)
        drafts.forget(plan.key)
    return experiment


def seal(actor: Actor, key: str) -> Experiment:
    """Freeze the plan, its survey and its frame under their hashes; see `sealing.seal`.

    Raises:
        PlanError: The plan no longer fits the installation, its survey is missing, or the frame is too small.
        StateError: It is not a draft, or something in its plan is still missing or wrong.
    """
    with transaction():
        drafts.finish(actor, key)
        experiment = sealing.seal(actor, key)
        drafts.forget(key)
    return experiment


def amend(actor: Actor, key: str, reason: str, plan: Plan | None = None, place: str = "") -> Experiment:
    """Put a new version of the plan beside the sealed one; see `sealing.amend`. Drafts of other amendments are dropped.

    Raises:
        InputError: The reason is empty, too long or not on one line.
        PlanError: As `seal`; or the amendment changes what cannot be changed any more, or nothing.
        StateError: It is a draft, or closed already.
    """
    with transaction():
        experiment = sealing.amend(actor, key, reason, plan, place)
        drafts.forget(key)
    return experiment


def all_experiments() -> list[Experiment]:
    """All experiments, newest first."""
    return list(db.session.scalars(sa.select(Experiment).order_by(Experiment.id.desc())))


def start(actor: Actor, key: str) -> Experiment:
    """Let the handling period begin. `pilot.handling.service.start` calls this and opens the cases.

    Raises:
        StateError: It is not drawn, has started already, or the handling period of its plan is not now.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = locked(key, "running")
        plan = plan_of(experiment)
        notice.require_texts(experiment, plan)
        calendar = plan.calendar
        if not calendar.start <= config.today() < calendar.end:
            raise StateError(
                f"the plan lets handling in {key} run from {calendar.start} to the day before {calendar.end}",
                remedy="Wait for that day, or stop the experiment and plan another",
            )
        found = spillover.check(experiment, clock.now())
        move(work, actor, experiment, "running", shared=spillover.counts(found))
    return experiment


def spillover_told(key: str) -> list[str]:
    """A sentence for each kind of thing that customers of different arms share, other than as planned.

    Raises:
        StateError: Nothing has been drawn.
    """
    return [spillover.told(spill) for spill in spillover.find(get(key)) if not spill.expected]


def close(actor: Actor, key: str) -> Experiment:
    """End the experiment: results may be looked at from now on. `pilot.handling.service.finish` calls this.

    Raises:
        StateError: It is not running, or its plan still lets customers answer.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = locked(key, "closed")
        until = plan_of(experiment).calendar.survey_until
        if config.today() < until:
            raise StateError(
                f"customers of {key} can answer until {until}: results stay closed until then",
                remedy="Wait for that day, or stop the experiment with a reason",
            )
        move(work, actor, experiment, "closed")
    return experiment


def record_decision(actor: Actor, key: str, verdict: str, decision: Mapping[str, Any]) -> Experiment:
    """Keep what the decision rule of the plan came to.

    Args:
        actor: Of operations.
        key: Of the experiment.
        verdict: One of `VERDICTS`.
        decision: The rule's conditions with their numbers, as plain JSON.

    Raises:
        StateError: It is not closed, or decided already.
    """
    actor.require("operations")
    if verdict not in VERDICTS:
        raise InputError(f"unknown verdict {verdict!r}", remedy=f"Verdicts: {', '.join(VERDICTS)}")
    with transaction() as work:
        experiment = locked(key, "decided")
        experiment.verdict, experiment.decision = verdict, dict(decision)
        move(work, actor, experiment, "decided", verdict=verdict)
    return experiment


def roll_out(actor: Actor, key: str) -> Experiment:
    """Note that the company rolls out what the pilot tried.

    Raises:
        StateError: It is not decided, or the decision is another one.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = locked(key, "rolled_out")
        if experiment.verdict != "roll_out":
            raise StateError(
                f"the decision on {key} is {experiment.verdict}, not roll_out",
                remedy="Only a pilot that was decided to be rolled out can be",
            )
        move(work, actor, experiment, "rolled_out")
    return experiment


def stop(actor: Actor, key: str, reason: str) -> Experiment:
    """End the experiment before its time, for good. Its notices and surveys that are still queued are not sent.

    Raises:
        InputError: The reason is empty, too long or not on one line.
        StateError: It is closed or stopped already.
    """
    actor.require("operations")
    why = one_line(reason, "the reason", MAX_REASON)
    with transaction() as work:
        experiment = locked(key, "stopped")
        experiment.stop_reason = why
        move(work, actor, experiment, "stopped", reason=why)
    return experiment


def notify(actor: Actor, key: str) -> int:
    """Queue the notice to every customer of every arm. Doing it again queues nobody twice.

    Returns:
        How many messages are new.

    Raises:
        StateError: The experiment is not drawn, or over.
        CheckFailed: The stored plan is not the one that was sealed.
    """
    actor.require("operations")
    with transaction():
        experiment = get(key)
        if experiment.state not in ("drawn", "running"):
            raise StateError(
                f"the experiment {key} is {experiment.state}",
                remedy="Notices go out after the draw, until it is closed",
            )
        notice.require_texts(experiment, plan_of(experiment))  # nothing goes out under another plan
        found = db.session.execute(sa.select(Unit.id, Unit.customer_id).where(Unit.experiment_id == experiment.id))
        rows = [(unit_id, f"notice:{experiment.id}:{unit_id}", customer_id) for unit_id, customer_id in found]
        queued = queue_many("notice", rows, experiment.id)
        record(actor, "notified", subject(key), queued=queued)
    return queued


def compose_notice(message: OutboxMessage) -> Content | Withhold:
    """What a queued notice says, in the customer's language, or why it is not sent after all."""
    found = db.session.execute(
        sa.select(Customer, Experiment)
        .join(Unit, Unit.customer_id == Customer.id)
        .join(Experiment, Experiment.id == Unit.experiment_id)
        .where(Unit.id == message.subject_id)
    ).one_or_none()
    if found is None:
        return Withhold("the customer is not part of the experiment")
    customer, experiment = found
    if experiment.state not in ("drawn", "running"):
        return Withhold(f"the experiment is {experiment.state}")
    if customer.opted_out_at is not None:
        return Withhold("the customer has opted out")
    if not customer.email:
        return Withhold("the customer has no e-mail address")
    return notice.write(plan_of(experiment), customer.name, notice.language_of(customer.language))


def pilot_names() -> dict[str, str]:
    """The names of the experiments that customers were drawn into, by key, the newest first."""
    drawn = sa.select(Experiment.key, Experiment.name).where(Experiment.drawn_at.is_not(None))
    return {row.key: row.name for row in db.session.execute(drawn.order_by(Experiment.id.desc()))}


def pilot_members(key: str) -> sa.Select[int]:
    """The ids of the customers who were drawn into an experiment, as a query."""
    return sa.select(Unit.customer_id).join(Experiment).where(Experiment.key == key)
