"""Opting out, the start with the right notice, and the roll-out in steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers import service as customers
from pilot.customers.models import Customer, Segment
from pilot.db import db, transaction
from pilot.errors import InputError, NotFound, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, RolloutUnit, Unit
from pilot.experiments.plan import Ladder
from pilot.handling import rollout
from pilot.handling.models import Case
from pilot.handling.service import open_cases, opt_out, start

BringTo = Callable[[str], Experiment]


def first(arm: str) -> tuple[int, str]:
    query = sa.select(Customer.id, Customer.ref).join(Unit, Unit.customer_id == Customer.id).where(Unit.arm == arm)
    row = db.session.execute(query.order_by(Customer.id).limit(1)).one()
    return row.id, row.ref


def own(language: str) -> dict[str, dict[str, str]]:
    return {language: {"subject": "Your new desk", "body": "Hello {customer}"}}


def test_who_opts_out_loses_the_treatment_and_keeps_the_arm(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    start(operator, key)
    number, ref = first("pilot")
    assert opt_out(operator, key, ref)
    assert not opt_out(operator, key, ref)
    case = db.session.scalars(sa.select(Case).where(Case.customer_id == number)).one()
    assert case.closed_at == case.opted_out_at is not None
    assert db.session.get_one(Customer, number).opted_out_at is not None  # what mail looks at
    assert len(experiments.units(experiments.get(key))) == 60
    assert open_cases(operator, experiments.get(key)) == 0  # repeating the start does not bring it back


def test_who_opts_out_before_the_start_is_never_handed_over(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    number, ref = first("pilot")
    opt_out(operator, key, ref)
    assert start(operator, key) == 59
    assert number not in set(db.session.scalars(sa.select(Case.customer_id)))


def test_only_a_customer_of_the_pilot_can_opt_out_of_it(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    drawn = sa.select(Unit.customer_id)
    stranger = db.session.scalars(sa.select(Customer.ref).where(Customer.id.not_in(drawn)).limit(1)).one()
    with pytest.raises(NotFound):
        opt_out(operator, key, stranger)


@pytest.mark.parametrize("act", ["notify", "start"])
def test_nobody_is_told_other_things_than_the_others(
    base: Flask, operator: Actor, bring_to: BringTo, document: dict[str, Any], act: str
) -> None:
    document["notice"] = own("it")
    key = bring_to("drawn").key
    with pytest.raises(StateError) as caught:
        (start if act == "start" else experiments.notify)(operator, key)
    counted = sa.select(sa.func.count()).select_from(Unit).join(Customer, Customer.id == Unit.customer_id)
    polish = db.session.scalar(counted.where(Customer.language == "pl"))
    english = db.session.scalar(counted.where(sa.or_(Customer.language == "en", Customer.language.is_(None))))
    assert f"{english} in 'en', {polish} in 'pl'" in caught.value.reason  # none known: the company's, English
    assert experiments.get(key).state == "drawn"


def test_texts_in_every_language_or_none_may_start(
    base: Flask, operator: Actor, bring_to: BringTo, document: dict[str, Any]
) -> None:
    document["notice"] = {**own("it"), **own("pl"), **own("en")}
    assert start(operator, bring_to("drawn").key) == 60


def test_chance_divides_customers_as_the_ladder_says() -> None:
    ladder = Ladder(hold_out=0.05)
    places = [rollout.place_of("5eed", f"C{number}", ladder) for number in range(20_000)]
    shares = [sum(step == wanted for step, _ in places) / 20_000 for wanted in range(4)]
    # 5 % held out, 10, 40 and 50 % of the rest; 4.5 standard errors of a share of 0.475 are 0.016
    assert shares == pytest.approx([0.05, 0.095, 0.38, 0.475], abs=0.016)
    assert {step: round(chance, 6) for step, chance in places} == {0: 0.05, 1: 0.095, 2: 0.38, 3: 0.475}
    # another ladder with the same first step takes the same customers at it
    other = Ladder(shares=(0.1, 1.0), hold_out=0.05)
    assert [step == 1 for step, _ in places] == [
        rollout.place_of("5eed", f"C{number}", other)[0] == 1 for number in range(20_000)
    ]


def channels() -> dict[str | None, int]:
    rows = db.session.execute(sa.select(Customer.channel, sa.func.count()).group_by(Customer.channel))
    return {row[0]: row[1] for row in rows}


@pytest.fixture
def decided(base: Flask, bring_to: BringTo, document: dict[str, Any]) -> str:
    """Decided to be rolled out; everybody is with the rep."""
    document["ladder"] = {"hold_out": 0.2, "days_between": 14, "hold_days": 100}
    key = bring_to("decided").key
    with transaction() as work:
        work.session.execute(sa.update(Customer).values(channel="field-rep"))
    return key


def test_the_roll_out_climbs_and_keeps_a_part_as_it_was(decided: str, operator: Actor) -> None:
    one = rollout.roll_out(operator, decided)
    with pytest.raises(StateError, match="step 2 is due on 2026-08-05"):
        rollout.roll_out(operator, decided, 2)
    clock.travel(datetime(2026, 8, 5, 9, tzinfo=UTC))
    two = rollout.roll_out(operator, decided, 2)
    taken = set(db.session.scalars(sa.select(Customer.id).where(Customer.channel == "service-desk")))
    clock.travel(datetime(2026, 8, 19, 9, tzinfo=UTC))
    three = rollout.roll_out(operator, decided)
    assert [step.number for step in (one, two, three)] == [1, 2, 3]
    assert channels() == {"service-desk": 200 - one.held_out, "field-rep": one.held_out}
    assert one.handed_over + two.handed_over + three.handed_over == 200 - one.held_out
    assert taken <= set(db.session.scalars(sa.select(Customer.id).where(Customer.channel == "service-desk")))
    assert db.session.scalars(sa.select(Segment.channel)).one() == "service-desk"
    pilot = db.session.scalars(sa.select(Unit.customer_id).where(Unit.arm == "pilot")).all()
    steps = db.session.execute(
        sa.select(RolloutUnit.step, RolloutUnit.probability).where(RolloutUnit.customer_id.in_(pilot))
    )
    assert {tuple(row) for row in steps} == {(1, 1.0)}


def test_who_is_held_out_stays_so_whatever_becomes_of_the_segment(decided: str, operator: Actor) -> None:
    rollout.roll_out(operator, decided)
    held = set(db.session.scalars(sa.select(RolloutUnit.customer_id).where(RolloutUnit.step == 0)))
    assert held
    assert customers.change_channel(held, "service-desk") == 0
    clock.travel(datetime(2026, 11, 1, 9, tzinfo=UTC))  # 22 July and 100 days are 30 October
    assert customers.change_channel(held, "service-desk") == len(held)


def test_repeating_a_step_hands_nobody_over_twice(decided: str, operator: Actor) -> None:
    assert rollout.roll_out(operator, decided).handed_over > 30
    again = rollout.roll_out(operator, decided, 1)
    assert (again.number, again.handed_over, again.waiting) == (1, 0, 0)


def test_a_step_that_is_none_is_refused(decided: str, operator: Actor) -> None:
    with pytest.raises(InputError):
        rollout.roll_out(operator, decided, 4)
    with pytest.raises(StateError, match="step 2 is not the next"):
        rollout.roll_out(operator, decided, 2)
    assert experiments.get(decided).state == "decided"
