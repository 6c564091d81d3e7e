"""Experiments: plan, seal, draw and the moves from state to state. Each move is one transaction with its guard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers.models import Customer
from pilot.db import Transaction, db, transaction
from pilot.errors import CheckFailed, InputError, NotFound, PlanError, StateError
from pilot.events import ExperimentMoved
from pilot.experiments import notice
from pilot.experiments.draw import carry_out, seed_of
from pilot.experiments.eligibility import eligible, keep, sealed_frame, stored_frame
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan, canonical, from_canonical, text_hash
from pilot.experiments.preflight import check
from pilot.experiments.sampling import ALGORITHM, Frame
from pilot.faults import suggestion
from pilot.mail.models import OutboxMessage
from pilot.mail.service import Content, Withhold, queue_many

VERDICTS = ("roll_out", "do_not", "inconclusive")
MAX_PUBLIC_VALUE = 200
MAX_REASON = 500

PlanCheck = Callable[[Plan, str], None]
"""Raises `PlanError` with the place if the plan cannot be carried out."""

SurveyLookup = Callable[[str], tuple[int, str] | None]
"""From the key of a survey to the number and digest of its newest version, or None if there is none."""


@dataclass(frozen=True, slots=True)
class _Move:
    """How a state is reached: from which ones, when it is dated, and what to tell who comes from elsewhere."""

    before: tuple[str, ...]
    stamp: str
    remedy: str


_MOVES = {
    "sealed": _Move(("draft",), "sealed_at", "A plan is sealed once; give a changed plan a new key"),
    "drawn": _Move(("sealed",), "drawn_at", "Only a sealed plan is drawn, and only once; `pilot replay` repeats it"),
    "running": _Move(("drawn",), "started_at", "Handling starts once, after the draw"),
    "closed": _Move(("running",), "closed_at", "Only a running experiment can be closed"),
    "decided": _Move(("closed",), "decided_at", "The decision is made once, after the experiment was closed"),
    "rolled_out": _Move(("decided",), "rolled_out_at", "A roll-out needs a decision"),
    "stopped": _Move(
        ("draft", "sealed", "drawn", "running"), "stopped_at", "Only what has not been closed can be stopped"
    ),
}


class UnitRow(NamedTuple):
    """One customer of an experiment. `id` is that of the unit, `ref` the customer's number."""

    id: int
    customer_id: int
    ref: str
    stratum: str
    arm: str
    inclusion_probability: float
    arm_probability: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One stratum: its customers in the frame, and how many of them each arm was given, control first."""

    label: str
    population: int
    assigned: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A draw done again: how many units were compared, and one sentence for every difference."""

    equal: bool
    differences: list[str]
    units: int


def register_plan_check(app: Flask, check: PlanCheck) -> None:
    """Say what else has to hold of a plan before the seal, for rooms that lie above experiments."""
    app.extensions["pilot.plan_check"] = check


def register_survey_lookup(app: Flask, lookup: SurveyLookup) -> None:
    """Say how the seal finds the survey a plan names; surveys lie above experiments and are not imported here."""
    app.extensions["pilot.survey_lookup"] = lookup


def held_customers() -> sa.Select[int, str]:
    """A query of the customers who keep their arm for now, each with the key of its experiment."""
    held = sa.select(Unit.customer_id, Experiment.key).join(Experiment, Experiment.id == Unit.experiment_id)
    return held.where(Experiment.state.in_(("drawn", "running")))


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
        found = _find(plan.key, lock=True)
        if found is not None and found.state != "draft":
            raise StateError(
                f"the experiment {plan.key} is {found.state}: nothing in its plan changes any more",
                place=f"{place}: key" if place else "key",
                remedy="Give the new plan another key",
            )
        experiment = found or Experiment(key=plan.key, state="draft", created_at=clock.now())
        experiment.name, experiment.plan = complete.name, canonical(complete)
        work.session.add(experiment)
        _flush_new(work, plan.key)
        record(actor, "revised" if found else "created", _subject(plan.key), plan=text_hash(experiment.plan))
    return experiment


def get(key: str) -> Experiment:
    """The experiment of this key.

    Raises:
        NotFound: There is none.
    """
    found = _find(key)
    if found is None:
        keys = db.session.scalars(sa.select(Experiment.key))
        raise NotFound(f"there is no experiment {key!r}", remedy=suggestion(key, keys, "Experiments"))
    return found


def all_experiments() -> list[Experiment]:
    """All experiments, newest first."""
    return list(db.session.scalars(sa.select(Experiment).order_by(Experiment.id.desc())))


def plan_of(experiment: Experiment) -> Plan:
    """The plan of an experiment; of a sealed one only if it is still the one that was sealed.

    Raises:
        CheckFailed: The stored plan was edited after the seal.
    """
    place = f"plan of {experiment.key}"
    if experiment.plan_hash is not None and text_hash(experiment.plan) != experiment.plan_hash:
        raise CheckFailed(
            "the stored plan is not the one that was sealed: its hash differs",
            place=place,
            remedy="Restore the database from a backup",
        )
    return from_canonical(experiment.plan, place)


def seal(actor: Actor, key: str) -> Experiment:
    """Freeze the plan under its hash, with the newest version of its survey, and the frame under its digest.

    A plan that could not be drawn is not sealed: the draw is rehearsed and thrown away.

    Raises:
        PlanError: The plan no longer fits the installation, its survey is missing, or the frame is too small.
        StateError: It is not a draft.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = _locked(key, "sealed")
        place = f"plan of {key}"
        plan = _with_survey(check(plan_of(experiment), place), place)
        _check_future(plan, place)
        current_app.extensions["pilot.plan_check"](plan, place)
        found = eligible(plan)
        frame = found.frame
        _check_size(plan, frame, place)
        for _ in carry_out(plan, frame, "rehearsal"):
            pass
        experiment.plan = canonical(plan)
        experiment.plan_hash = text_hash(experiment.plan)
        experiment.frame_digest = keep(frame)
        experiment.frame_size = len(frame)
        experiment.eligibility = {"assessed": found.assessed, "steps": [asdict(step) for step in found.steps]}
        details = {name: getattr(experiment, name) for name in ("plan_hash", "frame_digest", "frame_size")}
        _move(work, actor, experiment, "sealed", **details)
    return experiment


def draw(actor: Actor, key: str, public_value: str) -> Experiment:
    """Draw the sample and assign the arms, once and for all.

    Args:
        actor: Of operations.
        key: Of the experiment.
        public_value: Something nobody in the company controls and everybody can look up afterwards; with the
            hash of the plan and the digest of the frame it makes the seed.

    Raises:
        CheckFailed: The frame is no longer the one that was sealed; the error counts who joined and left.
        InputError: The public value is empty, too long or not on one line.
        StateError: It is not sealed, or drawn already.
    """
    actor.require("operations")
    value = _one_line(public_value, "the public value", MAX_PUBLIC_VALUE)
    with transaction() as work:
        experiment = _locked(key, "drawn")
        plan = plan_of(experiment)
        _check_future(plan, f"plan of {key}")
        frame, customer_ids = sealed_frame(experiment, plan)
        experiment.public_value, experiment.algorithm = value, ALGORITHM
        experiment.seed = _seed(experiment)
        rows = [
            {
                "experiment_id": experiment.id,
                "customer_id": customer_ids[unit.ref],
                "stratum": unit.stratum,
                "arm": unit.arm,
                "inclusion_probability": unit.inclusion_probability,
                "arm_probability": unit.arm_probability,
            }
            for unit in carry_out(plan, frame, experiment.seed)
        ]
        work.session.execute(sa.insert(Unit), rows)
        sizes = Counter(row["arm"] for row in rows)
        _move(work, actor, experiment, "drawn", public_value=value, seed=experiment.seed, arms=dict(sizes))
    return experiment


def start(actor: Actor, key: str) -> Experiment:
    """Let the handling period begin. `pilot.handling.service.start` calls this and opens the cases.

    Raises:
        StateError: It is not drawn, has started already, or the handling period of its plan is not now.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = _locked(key, "running")
        calendar = plan_of(experiment).calendar
        if not calendar.start <= config.today() < calendar.end:
            raise StateError(
                f"the plan lets handling in {key} run from {calendar.start} to the day before {calendar.end}",
                remedy="Wait for that day, or stop the experiment and plan another",
            )
        _move(work, actor, experiment, "running")
    return experiment


def close(actor: Actor, key: str) -> Experiment:
    """End the experiment: results may be looked at from now on. `pilot.handling.service.finish` calls this.

    Raises:
        StateError: It is not running, or its plan still lets customers answer.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = _locked(key, "closed")
        until = plan_of(experiment).calendar.survey_until
        if config.today() < until:
            raise StateError(
                f"customers of {key} can answer until {until}: results stay closed until then",
                remedy="Wait for that day, or stop the experiment with a reason",
            )
        _move(work, actor, experiment, "closed")
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
        experiment = _locked(key, "decided")
        experiment.verdict, experiment.decision = verdict, dict(decision)
        _move(work, actor, experiment, "decided", verdict=verdict)
    return experiment


def roll_out(actor: Actor, key: str) -> Experiment:
    """Note that the company rolls out what the pilot tried.

    Raises:
        StateError: It is not decided, or the decision is another one.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = _locked(key, "rolled_out")
        if experiment.verdict != "roll_out":
            raise StateError(
                f"the decision on {key} is {experiment.verdict}, not roll_out",
                remedy="Only a pilot that was decided to be rolled out can be",
            )
        _move(work, actor, experiment, "rolled_out")
    return experiment


def stop(actor: Actor, key: str, reason: str) -> Experiment:
    """End the experiment before its time, for good. Its notices and surveys that are still queued are not sent.

    Raises:
        InputError: The reason is empty, too long or not on one line.
        StateError: It is closed or stopped already.
    """
    actor.require("operations")
    why = _one_line(reason, "the reason", MAX_REASON)
    with transaction() as work:
        experiment = _locked(key, "stopped")
        experiment.stop_reason = why
        _move(work, actor, experiment, "stopped", reason=why)
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
        plan_of(experiment)  # nothing goes out under another plan
        found = db.session.execute(sa.select(Unit.id, Unit.customer_id).where(Unit.experiment_id == experiment.id))
        rows = [(unit_id, f"notice:{experiment.id}:{unit_id}", customer_id) for unit_id, customer_id in found]
        queued = queue_many("notice", rows, experiment.id)
        record(actor, "notified", _subject(key), queued=queued)
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
    language = customer.language if customer.language in config.LANGUAGES else config.current().language
    return notice.write(plan_of(experiment), customer.name, language)


def units(experiment: Experiment) -> list[UnitRow]:
    """The customers drawn into an experiment, in the order of their refs as bytes."""
    rows = db.session.execute(
        sa.select(
            Unit.id,
            Unit.customer_id,
            Customer.ref,
            Unit.stratum,
            Unit.arm,
            Unit.inclusion_probability,
            Unit.arm_probability,
        )
        .join(Customer, Customer.id == Unit.customer_id)
        .where(Unit.experiment_id == experiment.id)
    )
    return sorted((UnitRow(*row) for row in rows), key=lambda unit: unit.ref)


def pilot_names() -> dict[str, str]:
    """The names of the experiments that customers were drawn into, by key, the newest first."""
    drawn = sa.select(Experiment.key, Experiment.name).where(Experiment.drawn_at.is_not(None))
    return {row.key: row.name for row in db.session.execute(drawn.order_by(Experiment.id.desc()))}


def pilot_members(key: str) -> sa.Select[int]:
    """The ids of the customers who were drawn into an experiment, as a query."""
    return sa.select(Unit.customer_id).join(Experiment).where(Experiment.key == key)


def layers(experiment: Experiment) -> list[Layer]:
    """The strata of a sealed experiment's frame, in the order of their labels; before the draw all arms are empty.

    Raises:
        CheckFailed: The plan or the frame's file was changed.
        StateError: It is not sealed.
    """
    frame = stored_frame(experiment)
    sizes = Counter(frame.strata.tolist())
    counts = sa.select(Unit.stratum, Unit.arm, sa.func.count()).where(Unit.experiment_id == experiment.id)
    assigned = {(stratum, arm): n for stratum, arm, n in db.session.execute(counts.group_by(Unit.stratum, Unit.arm))}
    arms = [arm.key for arm in plan_of(experiment).arms]
    return [
        Layer(label, sizes[number], {arm: assigned.get((label, arm), 0) for arm in arms})
        for number, label in enumerate(frame.labels)
    ]


def replay(key: str) -> ReplayResult:
    """Repeat the draw from the sealed plan, the stored frame and the public value, and compare every unit.

    Raises:
        StateError: Nothing has been drawn.
    """
    experiment = get(key)
    if experiment.drawn_at is None:
        raise StateError(f"nothing has been drawn in {key}", remedy="Seal and draw it first")
    stored = {unit.ref: unit for unit in units(experiment)}
    try:
        differences = [*_origin_differences(experiment), *_unit_differences(experiment, stored)]
    except CheckFailed as error:
        differences = [str(error)]
    return ReplayResult(not differences, differences, len(stored))


def _origin_differences(experiment: Experiment) -> Iterable[str]:
    if experiment.algorithm != ALGORITHM:
        yield f"drawn with {experiment.algorithm}, repeated with {ALGORITHM}"
    if experiment.seed != _seed(experiment):
        yield "the stored seed does not follow from plan hash, frame digest and public value"


def _unit_differences(experiment: Experiment, stored: Mapping[str, UnitRow]) -> Iterable[str]:
    left = dict(stored)
    for unit in carry_out(plan_of(experiment), stored_frame(experiment), _seed(experiment)):
        was = left.pop(unit.ref, None)
        if was is None:
            yield f"customer {unit.ref}: drawn again, but not stored"
            continue
        for name in ("stratum", "arm", "inclusion_probability", "arm_probability"):
            before, after = getattr(was, name), getattr(unit, name)
            if before != after:
                yield f"customer {unit.ref}: {name.replace('_', ' ')} stored {before}, drawn again {after}"
    for ref in left:
        yield f"customer {ref}: stored, but not drawn again"


def _find(key: str, *, lock: bool = False) -> Experiment | None:
    query = sa.select(Experiment).where(Experiment.key == key)
    return db.session.scalar(query.with_for_update() if lock else query)


def _locked(key: str, after: str) -> Experiment:
    """The experiment, held until the transaction ends, if it may move to this state."""
    get(key)
    experiment = db.session.scalars(
        sa.select(Experiment).where(Experiment.key == key).with_for_update().execution_options(populate_existing=True)
    ).one()
    move = _MOVES[after]
    if experiment.state not in move.before:
        raise StateError(f"the experiment {key} is {experiment.state}", remedy=move.remedy)
    return experiment


def _move(work: Transaction, actor: Actor, experiment: Experiment, after: str, **details: Any) -> None:
    before, experiment.state = experiment.state, after
    setattr(experiment, _MOVES[after].stamp, clock.now())
    record(actor, after, _subject(experiment.key), **details)
    work.emit(ExperimentMoved(experiment.id, before, after))


def _simple_move(actor: Actor, key: str, after: str) -> Experiment:
    actor.require("operations")
    with transaction() as work:
        experiment = _locked(key, after)
        _move(work, actor, experiment, after)
    return experiment


def _flush_new(work: Transaction, key: str) -> None:
    try:
        work.session.flush()
    except IntegrityError as error:
        raise StateError(f"somebody else has just created {key}", remedy="Look at it before you replace it") from error


def _with_survey(plan: Plan, place: str) -> Plan:
    lookup: SurveyLookup = current_app.extensions["pilot.survey_lookup"]
    found = lookup(plan.survey)
    if found is None:
        raise PlanError(
            f"there is no survey {plan.survey!r}",
            place=f"{place}: survey",
            remedy="Import it with `pilot survey import FILE`, or correct the key",
        )
    version, digest = found
    if plan.survey_version not in (None, version):
        raise PlanError(
            f"the plan asks for version {plan.survey_version} of survey {plan.survey!r}, the newest is {version}",
            place=f"{place}: survey_version",
            remedy="Leave survey_version out: the seal writes it",
        )
    return plan.model_copy(update={"survey_version": version, "survey_digest": digest})


def _check_future(plan: Plan, place: str) -> None:
    """What is sealed or drawn after the period began could have been chosen by its outcome."""
    if config.today() > plan.calendar.start:
        raise PlanError(
            f"handling began on {plan.calendar.start}, and today is {config.today()}",
            place=f"{place}: calendar.start",
            remedy="Seal and draw before handling begins: give later dates",
        )


def _check_size(plan: Plan, frame: Frame, place: str) -> None:
    if plan.sampling.size > len(frame):
        raise PlanError(
            f"{plan.sampling.size:,} customers are to be drawn, but only {len(frame):,} are eligible",
            place=f"{place}: sampling.size",
            remedy=f"Draw at most {len(frame):,}, or add segments to population.segments",
        )


def _seed(experiment: Experiment) -> str:
    return seed_of(str(experiment.plan_hash), str(experiment.frame_digest), str(experiment.public_value))


def _one_line(text: str, what: str, longest: int) -> str:
    line = text.strip()
    if not line or len(line) > longest or not line.isprintable():
        raise InputError(f"{what} is empty, too long or not on one line", remedy=f"Give 1 to {longest} characters")
    return line


def _subject(key: str) -> str:
    return f"experiment:{key}"
