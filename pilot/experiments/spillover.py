"""What ties customers of different arms together, so that one arm's handling could reach the other.

Found after the draw, before the start, and again every day while the pilot runs: the base changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pilot import clock
from pilot.accounts.service import SYSTEM, record
from pilot.customers.models import Customer
from pilot.customers.service import shared_values
from pilot.db import db, transaction
from pilot.errors import StateError
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.sealing import plan_drawn
from pilot.experiments.states import subject

REASONS = ("legal_entity", "domain", "address", "phone", "name", "sales_rep")
"""What customers of two arms can share: tax number, mail domain, street and postcode, phone, name and city, rep."""
JOB = "spillover"
MOST_TIES = 50
"""Of each reason, so many groups are listed, the largest first."""
MOST_REFS = 6


@dataclass(frozen=True, slots=True)
class Tie:
    """Customers of several arms who share something.

    Attributes:
        value: What they share, as it was compared.
        arms: How many of them are in each arm.
        refs: The numbers of the first of them.
    """

    value: str
    arms: Mapping[str, int]
    refs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Spill:
    """All ties of one kind.

    Attributes:
        reason: One of `REASONS`.
        groups: How many different values are shared across arms.
        customers: How many customers share them.
        expected: Whether it is so by design: a rep looks after customers of all arms, unless reps were assigned whole.
        ties: The largest, at most `MOST_TIES`.
    """

    reason: str
    groups: int
    customers: int
    expected: bool
    ties: Sequence[Tie]


def find(experiment: Experiment) -> list[Spill]:
    """Everything that customers of two arms share, as the base is now; reasons without any are left out.

    Raises:
        CheckFailed: The plan was edited behind the product's back.
        StateError: Nothing has been drawn.
    """
    if experiment.drawn_at is None:
        raise StateError(f"nothing has been drawn in {experiment.key}", remedy="Seal and draw it first")
    whole_reps = plan_drawn(experiment).sampling.cluster == "sales_rep"
    found = (_spill(experiment, reason, key, whole_reps=whole_reps) for reason, key in _keys().items())
    return [spill for spill in found if spill.groups]


def told(spill: Spill) -> str:
    """A sentence for people at a terminal."""
    what = {
        "legal_entity": "tax number",
        "domain": "mail domain",
        "address": "address",
        "phone": "phone number",
        "name": "name and city",
        "sales_rep": "sales rep",
    }[spill.reason]
    judged = "as planned" if spill.expected else "decide what to do before it starts, or tell both alike"
    return f"{spill.customers:,} customers of different arms share {spill.groups:,} x a {what}: {judged}"


def counts(found: Sequence[Spill]) -> dict[str, Any]:
    """The numbers of what was found, by reason, as plain JSON."""
    return {spill.reason: {"groups": spill.groups, "customers": spill.customers} for spill in found}


def check(experiment: Experiment, at: datetime) -> list[Spill]:
    """Look anew and note the result with the experiment, in the caller's transaction; a change goes into the trail."""
    found = find(experiment)
    numbers = counts(found)
    before = (experiment.spillover or {}).get("counts", {})
    if numbers != before:
        record(SYSTEM, "spill-over changed", subject(experiment.key), before=before, after=numbers)
    experiment.spillover = {"at": at.isoformat(), "counts": numbers}
    return found


def check_running() -> bool:
    """The daily look at every experiment that is drawn or runs; a job, which never has more to do."""
    now = clock.now()
    due = sa.select(Experiment.id).where(Experiment.state.in_(("drawn", "running")))
    for number in db.session.scalars(due).all():
        with transaction() as work:
            experiment = work.session.get(Experiment, number, with_for_update=True, populate_existing=True)
            if experiment is None or experiment.state not in ("drawn", "running"):
                continue
            last = (experiment.spillover or {}).get("at", "")
            if last[:10] != now.date().isoformat():
                check(experiment, now)
    return False


def _keys() -> dict[str, sa.ColumnElement[Any]]:
    """What is compared, by reason; NULL or "" where there is nothing to compare."""
    phone: sa.ColumnElement[Any] = sa.func.coalesce(Customer.phone, "")
    for sign in " -/.()":
        phone = sa.func.replace(phone, sign, "")
    named = sa.case(
        (
            sa.func.coalesce(Customer.city, "") != "",
            sa.func.lower(sa.func.trim(Customer.name)) + sa.literal(" · ") + sa.func.lower(Customer.city),
        ),
        else_="",
    )
    return {**shared_values(), "phone": phone, "name": named, "sales_rep": sa.func.coalesce(Customer.sales_rep, "")}


def _spill(experiment: Experiment, reason: str, key: sa.ColumnElement[Any], *, whole_reps: bool) -> Spill:
    own = (
        sa.select(key.label("value"), Unit.arm, Customer.ref)
        .join(Customer, Customer.id == Unit.customer_id)
        .where(Unit.experiment_id == experiment.id, key != "")
        .subquery()
    )
    size = sa.func.count().label("customers")
    shared = sa.select(own.c.value, size).group_by(own.c.value).having(sa.func.count(own.c.arm.distinct()) > 1)
    groups = db.session.execute(shared.order_by(size.desc(), own.c.value)).all()
    largest = [value for value, _size in groups[:MOST_TIES]]
    rows = db.session.execute(sa.select(own).where(own.c.value.in_(largest)).order_by(own.c.ref)).all()
    ties = [_tie(value, [(arm, ref) for found, arm, ref in rows if found == value]) for value in largest]
    expected = reason == "sales_rep" and not whole_reps
    return Spill(reason, len(groups), sum(size for _value, size in groups), expected, ties)


def _tie(value: str, members: Sequence[tuple[str, str]]) -> Tie:
    arms: dict[str, int] = {}
    for arm, _ref in members:
        arms[arm] = arms.get(arm, 0) + 1
    return Tie(value, dict(sorted(arms.items())), [ref for _arm, ref in members[:MOST_REFS]])
