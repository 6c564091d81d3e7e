"""The roll-out: a ladder of steps on which chance puts every customer of the frame, and a part that is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers import service as customers
from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db, transaction
from pilot.errors import InputError, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, RolloutStep, RolloutUnit, Unit
from pilot.experiments.plan import Ladder, Plan

HELD_OUT = 0
"""Stands where otherwise the number of a step stands."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What one step did: customers handed over now, kept where they are, and how many are held out."""

    number: int
    share: float
    handed_over: int
    waiting: int
    """Due, but held by another experiment, or no longer of the plan's segments."""
    held_out: int


def place_of(seed: str, ref: str, ladder: Ladder) -> tuple[int, float]:
    """The step at which chance lets a customer be handled the new way (0: held out), and the probability of it.

    The customer's number and the seed of the draw make a number between 0 and 1, spread evenly. Below the hold-out's share
    it is held out; the rest is divided by the ladder, so that who is taken at a step stays taken at the next.
    """
    digest = hashlib.sha256(f"{seed}|rollout|{ref}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < ladder.hold_out:
        return HELD_OUT, ladder.hold_out
    rest = (position - ladder.hold_out) / (1 - ladder.hold_out)
    spans = list(pairwise((0.0, *ladder.shares)))
    number = next((place for place, (_, until) in enumerate(spans, start=1) if rest < until), len(spans))
    since, until = spans[number - 1]
    return number, (1 - ladder.hold_out) * (until - since)


def steps(experiment_id: int) -> list[RolloutStep]:
    """The steps that were taken, in order."""
    query = sa.select(RolloutStep).where(RolloutStep.experiment_id == experiment_id)
    return list(db.session.scalars(query.order_by(RolloutStep.number)))


def roll_out(actor: Actor, key: str, number: int | None = None, arm: str = "") -> Rolled:
    """Take a step of the roll-out: its customers are handled by the pilot arm's channel from now on.

    The first step notes the roll-out and lets chance put every customer of the frame on the ladder; customers of the pilot
    arm are taken at once. The last one gives the segments the new channel. Repeating the newest step hands over those who
    could not be before, and harms nobody.

    Args:
        actor: Of operations.
        key: Of the experiment, decided to be rolled out.
        number: Of the step, from 1; the next one if None.
        arm: Which pilot arm; the first one if empty.

    Raises:
        InputError: There is no such step or arm.
        StateError: The decision is another one, an earlier step was not taken, or its days are not over.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = experiments.get(key)
        plan, before = experiments.plan_of(experiment), steps(experiment.id)
        wanted = _step(plan, before, number)
        chosen = before[0].arm if before else _arm(plan, arm)
        if not before:
            experiments.roll_out(actor, key)
            work.session.execute(sa.insert(RolloutUnit), list(_ladder(experiment, plan, chosen)))
        share = plan.ladder.shares[wanted - 1]
        if wanted > len(before):
            at = clock.now()
            step = {"number": wanted, "share": share, "arm": chosen, "actor": actor.name, "at": at}
            work.session.add(RolloutStep(experiment_id=experiment.id, **step))
        channel = next(item.channel for item in plan.arms if item.key == chosen)
        done, waiting = _hand_over(experiment, plan, wanted, channel)
        if wanted == len(plan.ladder.shares):
            customers.give_segments(actor, plan.population.segments, channel)
        record(actor, "rolled out", f"experiment:{key}", step=wanted, share=share, customers=done, waiting=waiting)
        held = sa.select(sa.func.count()).where(
            RolloutUnit.experiment_id == experiment.id, RolloutUnit.step == HELD_OUT
        )
        return Rolled(wanted, share, done, waiting, work.session.scalar(held) or 0)


def _step(plan: Plan, before: list[RolloutStep], number: int | None) -> int:
    last, count = len(before), len(plan.ladder.shares)
    wanted = number if number is not None else min(last + 1, count)
    if not 1 <= wanted <= count:
        raise InputError(f"there is no step {wanted}", place="step", remedy=f"The ladder of the plan has {count} steps")
    if wanted > last + 1 or wanted < last:
        raise StateError(
            f"step {wanted} is not the next: {last} of {count} were taken", remedy=f"Take step {min(last + 1, count)}"
        )
    if before and wanted == last + 1:
        taken = before[-1].at.astimezone(ZoneInfo(config.current().timezone)).date()
        due = taken + timedelta(days=plan.ladder.days_between)
        if config.today() < due:
            raise StateError(
                f"the plan leaves {plan.ladder.days_between} days between two steps: step {wanted} is due on {due}",
                remedy="Wait for that day, and look at the guardrails meanwhile",
            )
    return wanted


def _arm(plan: Plan, arm: str) -> str:
    pilots = [item.key for item in plan.arms[1:]]
    if arm and arm not in pilots:
        raise InputError(f"there is no pilot arm {arm!r}", place="arm", remedy=f"Pilot arms: {', '.join(pilots)}")
    return arm or pilots[0]


def _ladder(experiment: Experiment, plan: Plan, arm: str) -> Iterator[dict[str, object]]:
    """A row for every customer of the frame who is still there."""
    until: date = config.today() + timedelta(days=plan.ladder.hold_days)
    ids = {ref: number for number, ref in db.session.execute(sa.select(Customer.id, Customer.ref))}
    pilot = set(
        db.session.scalars(sa.select(Unit.customer_id).where(Unit.experiment_id == experiment.id, Unit.arm == arm))
    )
    for ref, stratum in experiments.frame_strata(experiment):
        if ref not in ids:
            continue
        in_pilot = ids[ref] in pilot
        step, chance = (1, 1.0) if in_pilot else place_of(str(experiment.seed), ref, plan.ladder)
        yield {
            "experiment_id": experiment.id,
            "customer_id": ids[ref],
            "stratum": stratum,
            "step": step,
            "probability": chance,
            "held_until": until if step == HELD_OUT else None,
        }


def _hand_over(experiment: Experiment, plan: Plan, number: int, channel: str) -> tuple[int, int]:
    """How many customers were handed over, and how many of those due have to wait."""
    due = (
        RolloutUnit.experiment_id == experiment.id,
        RolloutUnit.step.between(1, number),
        RolloutUnit.taken_at.is_(None),
    )
    present = sa.select(CustomerProfile.customer_id).where(CustomerProfile.segment.in_(plan.population.segments))
    ready = db.session.scalars(sa.select(RolloutUnit.customer_id).where(*due, RolloutUnit.customer_id.in_(present)))
    customers.change_channel(list(ready), channel)
    now_there = sa.select(Customer.id).where(Customer.channel == channel)
    taking = sa.update(RolloutUnit).where(
        *due, RolloutUnit.customer_id.in_(present), RolloutUnit.customer_id.in_(now_there)
    )
    values = taking.values(taken_at=clock.now()).execution_options(synchronize_session=False)
    done = int(db.session.execute(values).rowcount)  # type: ignore[attr-defined]
    waiting = db.session.scalar(sa.select(sa.func.count()).select_from(RolloutUnit).where(*due))
    return done, waiting or 0
