"""A pilot that is really drawn and run holds the handling of its customers, and its end lets it go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.people.erasing import erase
from pilot.customers.segmenting.movements import Wanted, approve, find, proposed
from pilot.customers.service import evaluate_segments, keep_current, set_segments
from pilot.db import db, transaction
from pilot.errors import StateError
from pilot.experiments.models import Experiment, Unit

SMALL = {"key": "small", "name": "Small", "rule": "revenue-below", "settings": {"amount": 5000}, "channel": "field-rep"}
LARGE = {"key": "large", "name": "Large", "rule": "everyone", "channel": "service-desk"}


@pytest.fixture(autouse=True)
def _no_daily_profiles(base: Flask) -> None:
    """There are no orders here to make profiles from."""
    settings = base.extensions["pilot.config"]
    base.extensions["pilot.config"] = settings.model_copy(update={"daily_profiles": False})


def drawn() -> list[int]:
    return list(db.session.scalars(sa.select(Unit.customer_id).order_by(Unit.customer_id)))


def sells(*customers: int) -> None:
    """Let these buy so much that they are no small customers any more."""
    with transaction() as work:
        work.session.execute(
            sa.update(CustomerProfile).where(CustomerProfile.customer_id.in_(customers)).values(revenue_year=9000.0)
        )


def channel(customer: int) -> str | None:
    return db.session.scalar(sa.select(Customer.channel).where(Customer.id == customer))


def states() -> dict[int, tuple[str, str | None]]:
    return {row["customer_id"]: (row["state"], row["experiment"]) for row in find(Wanted(), limit=None)}


@pytest.mark.parametrize("approval", [False, True])
def test_a_customer_who_crosses_while_the_pilot_runs_is_held_until_it_closes(
    base: Flask, operator: Actor, bring_to: Callable[[str], Experiment], approval: bool
) -> None:
    set_segments(operator, [SMALL, {**LARGE, "approval": approval}])
    with transaction() as work:
        work.session.execute(sa.update(Customer).values(channel="field-rep"))
    bring_to("running")
    inside, also = drawn()[:2]
    outside = min(set(range(1, 201)) - set(drawn()))
    sells(inside, also, outside)
    evaluate_segments(operator)
    free = ("proposed" if approval else "applied", None)
    assert states() == {inside: ("held", "desk-2026"), also: ("held", "desk-2026"), outside: free}
    assert channel(inside) == "field-rep", "its arm"
    keep_current()
    assert states()[inside] == ("held", "desk-2026")

    close(operator)
    keep_current()
    assert set(states().values()) == {free}
    if approval:
        assert channel(inside) == "field-rep"
        approve(operator, proposed(Wanted()))
    assert [channel(number) for number in (inside, also, outside)] == ["service-desk"] * 3


def test_a_segment_that_changes_its_handling_waits_for_the_pilot_too(
    base: Flask, operator: Actor, bring_to: Callable[[str], Experiment]
) -> None:
    set_segments(operator, [SMALL])
    bring_to("running")
    moved = set_segments(operator, [{**SMALL, "channel": "service-desk"}])
    assert (moved.applied, moved.proposed, moved.held) == (140, 0, 60)
    found = states()
    assert {found[number] for number in drawn()} == {("held", "desk-2026")}
    assert [state for state, _ in found.values()].count("applied") == 140
    close(operator)
    keep_current()
    assert {channel(number) for number in drawn()} == {"service-desk"}
    assert db.session.scalar(sa.select(Segment.channel)) == "service-desk"


def test_a_customer_of_a_pilot_is_not_erased(
    base: Flask, operator: Actor, bring_to: Callable[[str], Experiment]
) -> None:
    bring_to("drawn")
    with pytest.raises(StateError, match="part of a pilot"):
        erase(operator, f"C{drawn()[0]:04}")
    assert db.session.get(Customer, drawn()[0]) is not None


def close(operator: Actor) -> None:
    """End the pilot after its last survey day, as `bring_to` does."""
    from pilot.experiments import service

    clock.travel(clock.now() + timedelta(days=112))
    service.close(operator, "desk-2026")
