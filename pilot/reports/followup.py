"""The follow-up: what became of the orders of those rolled out, against those who were held out by chance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa

from pilot import config
from pilot.analysis import Comparison, Evidence, Moments, NotEnoughData, Scale, StratifiedDifference
from pilot.customers.models import Customer
from pilot.customers.orderstore import Measure, store
from pilot.db import db
from pilot.errors import StateError
from pilot.experiments.models import Experiment, RolloutStep, RolloutUnit

ARMS = ("held-out", "rolled-out")

_MEASURES = {
    "revenue": (Measure.REVENUE, Scale.MONEY),
    "orders": (Measure.ORDERS, Scale.COUNT),
    "retained": (Measure.RETAINED, Scale.BINARY),
}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What is known of the roll-out so far.

    Attributes:
        since: First day that counts: the day after the newest step.
        until: First day after those that count.
        held_out, rolled_out: Customers compared. Who was in the pilot arm is in neither: chance did not decide about it
            at the roll-out. Nor are those whose step is still to come.
        found: Revenue, number of orders, and whether a customer ordered at all.
    """

    since: date
    until: date
    held_out: int
    rolled_out: int
    found: tuple[Comparison | NotEnoughData, ...]


def follow_up(experiment: Experiment) -> FollowUp:
    """Compare those who were held out with those whom chance put on a step that was taken, whoever handled them in the end.

    Raises:
        StateError: No step of the roll-out was taken, nobody is held out, or a day has yet to pass.
    """
    query = sa.select(RolloutStep).where(RolloutStep.experiment_id == experiment.id).order_by(RolloutStep.number.desc())
    newest = db.session.scalar(query.limit(1))
    if newest is None:
        raise StateError(
            f"{experiment.key} is not rolled out",
            remedy=f"Take the first step: pilot experiment rollout {experiment.key}",
        )
    since = newest.at.astimezone(ZoneInfo(config.current().timezone)).date() + timedelta(days=1)
    until = config.today()
    if until <= since:
        raise StateError("no day has passed since the newest step of the roll-out", remedy=f"Wait until after {since}")
    units = _units(experiment, newest.number)
    sizes = [sum(arm == name for _, arm, _ in units) for name in ARMS]
    if not sizes[0]:
        raise StateError("nobody is held out of this roll-out", remedy="Its plan gives ladder.hold_out = 0")
    found = tuple(_compared(name, units, since, until) for name in _MEASURES)
    return FollowUp(since, until, sizes[0], sizes[1], found)


def _units(experiment: Experiment, newest: int) -> list[tuple[str, str, str]]:
    rows = (
        sa.select(Customer.ref, RolloutUnit.step, RolloutUnit.stratum)
        .join(Customer, Customer.id == RolloutUnit.customer_id)
        .where(RolloutUnit.experiment_id == experiment.id, RolloutUnit.step <= newest, RolloutUnit.probability < 1)
        .order_by(Customer.id)
    )
    return [(ref, ARMS[step > 0], stratum) for ref, step, stratum in db.session.execute(rows)]


def _compared(name: str, units: list[tuple[str, str, str]], since: date, until: date) -> Comparison | NotEnoughData:
    measure, scale = _MEASURES[name]
    strata = tuple(sorted({stratum for _, _, stratum in units}))
    shape = (len(ARMS), len(strata))
    n, mean, m2 = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.zeros(shape)
    for row in store().moments(units, measure, since, until):
        place = ARMS.index(row.arm), strata.index(row.stratum)
        n[place], mean[place], m2[place] = row.n, row.mean, row.m2
    evidence = Evidence(name, scale, True, ARMS, strata=strata, assigned=n, moments=Moments(n, mean, m2))
    return StratifiedDifference().compare(evidence, ARMS[1])
