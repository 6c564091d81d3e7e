"""Rehearsals of stored plans: asked for at the terminal or on a page, carried out at once or by a job.

What was asked for, how far it is and what came out are rows, so that a rehearsal survives a restart: it is begun again,
and gives the same, because its seed is written down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from pilot import clock, jobs
from pilot.accounts.service import Actor, record
from pilot.analysis import Analysis
from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db, transaction
from pilot.errors import InputError, PilotError
from pilot.experiments.eligibility import MEASURES
from pilot.experiments.expectations import baseline
from pilot.experiments.models import Experiment, RehearsalRun
from pilot.experiments.past import frame_of, judge_of
from pilot.experiments.plan import Plan, text_hash
from pilot.experiments.rehearsal import TIMES, Design, Rehearsal, rehearse
from pilot.experiments.sampling import Floats, Frame
from pilot.experiments.sealing import plan_of
from pilot.experiments.states import get, subject
from pilot.plugins.manager import plugins

JOB = "rehearsals"
MOST = 10_000
"""More times tell nothing new."""
_STEP = 25
"""How many times lie between two notes of how far it is."""


def at_once(
    actor: Actor,
    key: str,
    times: int = TIMES,
    seed: str = "1",
    effects: Mapping[str, float] | None = None,
    done: Callable[[int], None] = lambda number: None,
) -> Rehearsal:
    """Rehearse the plan of an experiment now, as it stands, and keep what came out.

    Args:
        actor: Of operations or an analyst.
        key: Of the experiment.
        times: How often.
        seed: Another seed, other draws.
        effects: True differences to be planted, by outcome; by default those that are planned for.
        done: Is told how often it was done so far.

    Raises:
        InputError: A number is out of range, or an outcome cannot have this effect.
        PlanError: The plan cannot be drawn: no profiles, too few customers.
    """
    run = _enter(actor, key, times, seed, effects or {})
    number = run.id
    try:
        result = _carry_out(get(key), run, done)
    except BaseException as error:
        _finish(number, failure=str(error) if isinstance(error, PilotError) else "?")
        raise
    _finish(number, result=result.as_json(), done=times)
    return result


def ask(actor: Actor, key: str, times: int = TIMES, seed: str = "1") -> RehearsalRun:
    """Have the plan of an experiment rehearsed by a job. What is being rehearsed already is not asked for twice.

    Raises:
        InputError: A number is out of range.
    """
    standing = newest(key)
    if standing is not None and open_(standing):
        actor.require("operations", "analyst")
        return standing
    run = _enter(actor, key, times, seed, {})
    jobs.nudge(JOB)
    return run


def newest(key: str) -> RehearsalRun | None:
    """The rehearsal that was asked for last; None if none ever was."""
    query = sa.select(RehearsalRun).where(RehearsalRun.experiment_id == get(key).id)
    return db.session.scalar(query.order_by(RehearsalRun.number.desc()).limit(1))


def open_(run: RehearsalRun) -> bool:
    """Whether it waits or is under way."""
    return run.result is None and run.failure is None


def still_holds(run: RehearsalRun, experiment: Experiment) -> bool:
    """Whether the plan is still the one that was rehearsed."""
    return run.plan_hash == text_hash(experiment.plan)


def work_off() -> bool:
    """Carry out the oldest rehearsal that waits. A job; true if more may be waiting."""
    waiting = sa.select(RehearsalRun).where(RehearsalRun.result.is_(sa.null()), RehearsalRun.failure.is_(None))
    run = db.session.scalar(waiting.order_by(RehearsalRun.id).limit(1))
    if run is None:
        return False
    number, times = run.id, run.times
    experiment = db.session.get_one(Experiment, run.experiment_id)
    try:
        result = _carry_out(experiment, run, lambda done: _note(number, done, times))
    except PilotError as error:
        _finish(number, failure=str(error))
    except Exception:
        _finish(number, failure="?")
        raise
    else:
        _finish(number, result=result.as_json(), done=times)
    return True


def _enter(actor: Actor, key: str, times: int, seed: str, effects: Mapping[str, float]) -> RehearsalRun:
    actor.require("operations", "analyst")
    if not 1 <= times <= MOST:
        raise InputError(f"{times:,} times cannot be", place="times", remedy=f"Give a number from 1 to {MOST:,}")
    if not seed or len(seed) > 40 or not seed.isprintable():
        raise InputError("the seed is empty, too long or not on one line", place="seed", remedy="Give a short word")
    wrong = next((name for name, value in effects.items() if not math.isfinite(value)), None)
    if wrong is not None:
        raise InputError("an effect is a finite number", place=f"effect {wrong}", remedy="Correct it")
    with transaction() as work:
        experiment = get(key)
        work.session.execute(sa.select(Experiment.id).where(Experiment.id == experiment.id).with_for_update())
        last = work.session.scalar(
            sa.select(sa.func.max(RehearsalRun.number)).where(RehearsalRun.experiment_id == experiment.id)
        )
        run = RehearsalRun(
            experiment_id=experiment.id,
            number=(last or 0) + 1,
            plan_hash=text_hash(experiment.plan),
            times=times,
            seed=seed,
            effects=dict(effects),
            done=0,
            asked_by=actor.name,
            asked_at=clock.now(),
        )
        work.session.add(run)
        work.session.flush()
        record(actor, "rehearsed", subject(key), plan=run.plan_hash, times=times, seed=seed)
    return run


def _carry_out(experiment: Experiment, run: RehearsalRun, done: Callable[[int], None]) -> Rehearsal:
    design = _design(experiment, plan_of(experiment))
    return rehearse(design, run.times, run.seed, run.effects, done)


def _design(experiment: Experiment, plan: Plan) -> Design:
    frame = frame_of(experiment, plan)
    analyses: dict[str, list[Analysis]] = {}
    for planned in plan.analyses:
        part: Analysis = plugins().build(
            "analyses", planned.analysis.part, planned.analysis.settings, place=planned.outcome
        )
        analyses.setdefault(planned.outcome, []).append(part)
    baselines = [baseline(plan, outcome, frame) for outcome in plan.outcomes]
    return Design(plan, frame, baselines, analyses, _measures(frame), judge_of())


def _measures(frame: Frame) -> dict[str, Floats]:
    """What the profiles tell of everybody in the frame, in numbers; what differs between nobody tells nothing."""
    names = [name for name in MEASURES if name in CustomerProfile.__table__.columns]
    query = sa.select(Customer.ref, *(getattr(CustomerProfile, name) for name in names)).join(
        CustomerProfile, CustomerProfile.customer_id == Customer.id
    )
    places = {ref: place for place, ref in enumerate(frame.refs)}
    table = np.full((len(frame), len(names)), np.nan)
    for ref, *values in db.session.execute(query):
        if ref in places:
            table[places[ref]] = [np.nan if value is None else float(value) for value in values]
    found = zip(names, table.T, strict=True)
    return {name: column for name, column in found if len(np.unique(column[~np.isnan(column)])) > 1}


def _note(number: int, done: int, times: int) -> None:
    if done % _STEP == 0 and done < times:
        _finish(number, done=done)


def _finish(number: int, **values: Any) -> None:
    with transaction() as work:
        work.session.execute(sa.update(RehearsalRun).where(RehearsalRun.id == number).values(**values))
