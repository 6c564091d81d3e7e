"""Sealing a plan, amending it with a reason, and the draw.

A sealed plan never changes. An amendment is a new version beside it, with a reason; the draw says which version it was
made from. After the draw only what has no part in it can be amended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import sqlalchemy as sa
from flask import current_app

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.db import Transaction, db, transaction
from pilot.errors import CheckFailed, PlanError, StateError
from pilot.experiments import baseline
from pilot.experiments.difference import changes
from pilot.experiments.draw import drawn_rows, seed_of
from pilot.experiments.eligibility import Eligible, eligible, keep, sealed_frame
from pilot.experiments.keeping import keep_units
from pilot.experiments.models import Experiment, PlanVersion
from pilot.experiments.plan import Plan, canonical, from_canonical, text_hash
from pilot.experiments.preflight import check
from pilot.experiments.sampling import ALGORITHM
from pilot.experiments.states import locked, move, one_line, subject

MAX_PUBLIC_VALUE = 200
MAX_REASON = 500
FIXED_BY_THE_DRAW = ("key", "population", "sampling", "assignment", "arms", "survey", "survey_version", "survey_digest")
"""Sections of the plan that no amendment changes once customers are drawn."""

SurveyLookup = Callable[[str], tuple[int, str] | None]
"""From the key of a survey to the number and digest of its newest version, or None if there is none."""


def seal(actor: Actor, key: str) -> Experiment:
    """Freeze the plan under its hash, with the newest version of its survey, and the frame under its digest.

    A plan that could not be drawn is not sealed: the draw is rehearsed and thrown away.

    Raises:
        PlanError: The plan no longer fits the installation, its survey is missing, or the frame is too small.
        StateError: It is not a draft.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = locked(key, "sealed")
        _freeze(work, actor, experiment, plan_of(experiment), reason=None)
        details = {name: getattr(experiment, name) for name in ("plan_hash", "frame_digest", "frame_size")}
        move(work, actor, experiment, "sealed", **details)
    return experiment


def amend(actor: Actor, key: str, reason: str, plan: Plan | None = None, place: str = "") -> Experiment:
    """Put a new version of the plan beside the sealed one.

    Before the draw everything but the key can be amended, and the frame is taken anew; so without a plan this is the way on
    after the customer base has changed. After the draw the frame stays, and so do the sections of `FIXED_BY_THE_DRAW`.

    Args:
        actor: Of operations.
        key: Of the experiment.
        reason: Why; it is printed with the deviations of the report.
        plan: The plan as it shall be from now on; by default as it is.
        place: What errors call it, e.g. `plan.toml`.

    Raises:
        InputError: The reason is empty, too long or not on one line.
        PlanError: As `seal`; or the amendment changes what cannot be changed any more, or nothing.
        StateError: It is a draft, or closed already.
    """
    actor.require("operations")
    why = one_line(reason, "the reason", MAX_REASON)
    with transaction() as work:
        experiment = locked(key, "amended")
        standing = plan_of(experiment)
        wanted = _amended(experiment, standing, plan, place)
        before = experiment.plan_hash
        if experiment.state == "sealed":
            _freeze(work, actor, experiment, wanted, reason=why)
        else:
            _keep_version(work, actor, experiment, wanted, why)
        told = [asdict(change) for change in changes(standing, plan_of(experiment))]
        record(actor, "amended", subject(key), reason=why, before=before, after=experiment.plan_hash, changes=told)
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
    value = one_line(public_value, "the public value", MAX_PUBLIC_VALUE)
    with transaction() as work:
        experiment = locked(key, "drawn")
        plan = plan_of(experiment)
        _check_future(plan, f"plan of {key}")
        frame, customer_ids = sealed_frame(experiment, plan)
        experiment.public_value, experiment.algorithm = value, ALGORITHM
        experiment.drawn_version = versions(experiment)[-1].number
        experiment.seed = seed_as_derived(experiment)
        rows = list(drawn_rows(plan, frame, experiment.seed))
        keep_units(experiment, rows, dict(zip(frame.refs, customer_ids, strict=True)))
        sizes = Counter(arm for _ref, _stratum, arm, _inclusion, _probability in rows)
        move(work, actor, experiment, "drawn", public_value=value, seed=experiment.seed, arms=dict(sizes))
    return experiment


def plan_of(experiment: Experiment) -> Plan:
    """The plan of an experiment as it stands; of a sealed one only if it is still the one that was sealed or amended.

    Raises:
        CheckFailed: The stored plan was edited behind the product's back.
    """
    place = f"plan of {experiment.key}"
    if experiment.plan_hash is not None:
        _check_hash(experiment.plan, experiment.plan_hash, place)
    return from_canonical(experiment.plan, place)


def versions(experiment: Experiment) -> list[PlanVersion]:
    """The plan as it was sealed and every amendment, in order; none of a draft."""
    query = sa.select(PlanVersion).where(PlanVersion.experiment_id == experiment.id).order_by(PlanVersion.number)
    return list(db.session.scalars(query))


def plan_drawn(experiment: Experiment) -> Plan:
    """The plan that the draw was made from.

    Raises:
        CheckFailed: It was edited behind the product's back.
        StateError: Nothing has been drawn.
    """
    return plan_in(_version_drawn(experiment))


def plan_in(version: PlanVersion) -> Plan:
    """The plan of a version.

    Raises:
        CheckFailed: It was edited behind the product's back.
    """
    place = f"version {version.number} of the plan"
    _check_hash(version.plan, version.plan_hash, place)
    return from_canonical(version.plan, place)


def seed_as_derived(experiment: Experiment) -> str:
    """The seed as it follows from the plan that was drawn from, the frame and the public value."""
    plan_hash = _version_drawn(experiment).plan_hash
    return seed_of(plan_hash, str(experiment.frame_digest), str(experiment.public_value))


def _version_drawn(experiment: Experiment) -> PlanVersion:
    for version in versions(experiment):
        if version.number == experiment.drawn_version:
            return version
    if experiment.drawn_version is None:
        raise StateError(f"nothing has been drawn in {experiment.key}", remedy="Seal and draw it first")
    raise CheckFailed(
        f"version {experiment.drawn_version} of the plan is gone",
        place=f"plan of {experiment.key}",
        remedy="Restore the database from a backup",
    )


def fit_to_seal(plan: Plan, place: str) -> tuple[Plan, Eligible]:
    """The plan as it would be sealed now, and its frame; nothing is kept.

    Raises:
        PlanError: It could not be sealed; see `seal`.
    """
    complete = _with_survey(check(plan, place), place)
    _check_future(complete, place)
    current_app.extensions["pilot.plan_check"](complete, place)
    found = eligible(complete)
    _check_size(complete, found, place)
    drawn_rows(complete, found.frame, "rehearsal")
    return complete, found


def _freeze(work: Transaction, actor: Actor, experiment: Experiment, plan: Plan, *, reason: str | None) -> None:
    """Check a plan once more, take its frame, and keep both."""
    complete, found = fit_to_seal(plan, f"plan of {experiment.key}")
    experiment.frame_digest = keep(found.frame)
    experiment.baseline_digest = baseline.keep(complete, found.frame)
    experiment.frame_size = len(found.frame)
    experiment.eligibility = {"assessed": found.assessed, "steps": [asdict(step) for step in found.steps]}
    _keep_version(work, actor, experiment, complete, reason)


def _keep_version(work: Transaction, actor: Actor, experiment: Experiment, plan: Plan, reason: str | None) -> None:
    experiment.name, experiment.plan = plan.name, canonical(plan)
    experiment.plan_hash = text_hash(experiment.plan)
    number = len(versions(experiment)) + 1
    work.session.add(
        PlanVersion(
            experiment_id=experiment.id,
            number=number,
            plan=experiment.plan,
            plan_hash=experiment.plan_hash,
            frame_digest=str(experiment.frame_digest),
            reason=reason,
            actor=actor.name,
            at=clock.now(),
        )
    )


def _as_sealed(plan: Plan, standing: Plan) -> Plan:
    """A plan out of a file with the version of the survey that the seal wrote, if it names the same survey and no version."""
    if plan.survey != standing.survey or plan.survey_version is not None:
        return plan
    frozen = {"survey_version": standing.survey_version, "survey_digest": standing.survey_digest}
    return plan.model_copy(update=frozen)


def _amended(experiment: Experiment, standing: Plan, plan: Plan | None, place: str) -> Plan:
    """The plan as it shall be, if it may be so."""
    drawn = experiment.state != "sealed"
    if plan is None:
        if drawn:
            raise StateError(
                f"the customers of {experiment.key} are drawn: its frame stays", remedy="Give the amended plan"
            )
        return standing
    wanted = check(_as_sealed(plan, standing), place)
    changed = changes(standing, wanted)
    if not changed:
        raise PlanError("nothing in the plan is changed", place=place, remedy="Amend it only where it changes")
    fixed = FIXED_BY_THE_DRAW if drawn else ("key",)
    for change in changed:
        if change.place.split(".")[0].split("[")[0] in fixed:
            raise PlanError(
                "the draw was made from this: it cannot be amended any more"
                if drawn
                else "an experiment keeps its key",
                place=f"{place}: {change.place}" if place else change.place,
                remedy="Stop this experiment with a reason and plan another",
            )
    return wanted


def _check_hash(plan: str, plan_hash: str, place: str) -> None:
    if text_hash(plan) != plan_hash:
        raise CheckFailed(
            "the stored plan is not the one that was sealed: its hash differs",
            place=place,
            remedy="Restore the database from a backup",
        )


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


def _check_size(plan: Plan, found: Eligible, place: str) -> None:
    eligible_now = len(found.frame)
    if plan.sampling.size > eligible_now:
        out = [f"{step.left_out:,} {step.reason.replace('_', ' ')}" for step in found.steps if step.left_out]
        why = f", and left out are {', '.join(out)}" if out else ""
        raise PlanError(
            f"{plan.sampling.size:,} customers are to be drawn, but only {eligible_now:,} are eligible: the segments have "
            f"{found.assessed:,}{why}",
            place=f"{place}: sampling.size",
            remedy=f"Draw at most {eligible_now:,}, or add segments to population.segments",
        )
