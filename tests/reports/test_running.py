"""Running a pilot: sample ratio at every step, looks, staff, follow-up, opting out over the whole chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from scipy.stats import fisher_exact

from pilot import clock
from pilot.accounts.service import Actor, trail
from pilot.analysis import Comparison
from pilot.config import current
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.handling import rollout
from pilot.handling import service as handling
from pilot.mail.models import OutboxMessage
from pilot.reports import followup, looks, ratios, service, staffing
from pilot.reports.flow import Flow

from ..experiments.conftest import base, bring_to, document  # noqa: F401
from .conftest import import_rows

BringTo = Callable[[str], Experiment]
TOUCH = ("customer_ref", "happened_on", "channel", "kind", "minutes", "cost")
ORDER = ("customer_ref", "order_ref", "ordered_on", "amount", "cancelled")


@pytest.fixture
def _spring() -> Iterator[None]:
    with clock.travelling(datetime(2026, 4, 1, 9, tzinfo=UTC)):
        yield


@pytest.fixture
def running(_spring: None, sqlite_app: Flask, base: Flask, bring_to: BringTo, operator: Actor) -> Experiment:  # noqa: F811
    """60 customers on the first day of handling, their notices sent."""
    key = bring_to("drawn").key
    experiments.notify(operator, key)
    mark("sent")
    handling.start(operator, key)
    return experiments.get(key)


def mark(state: str, *where: sa.ColumnElement[bool]) -> None:
    with transaction() as work:
        work.session.execute(sa.update(OutboxMessage).where(*where).values(state=state))


def customers_of(arm: str) -> list[int]:
    return list(db.session.scalars(sa.select(Unit.customer_id).where(Unit.arm == arm).order_by(Unit.id)))


def refs_of(arm: str) -> list[str]:
    return [unit.ref for unit in experiments.units(experiments.get("desk-2026")) if unit.arm == arm]


def states(experiment: Experiment) -> dict[str, str]:
    return {item.step: item.state for item in service.flow_steps(experiment)}


def test_a_sound_pilot_is_as_assigned_at_every_step_so_far(running: Experiment) -> None:
    assert states(running) == {
        "assigned": "fine",
        "notified": "fine",
        "bounced": "none",
        "handled": "fine",
        "invited": "none",
        "complete": "none",
    }


def test_the_first_broken_step_is_named_in_words(running: Experiment) -> None:
    lost = customers_of("pilot")[:20]
    mark("failed", OutboxMessage.customer_id.in_(lost))
    found = service.flow_steps(running)
    broken = ratios.first_broken(found)
    assert broken is not None
    assert (broken.step, broken.counts, broken.arm) == ("notified", (30, 10), "pilot")
    assert "“notified”: Service desk 10, As today 30 customers" in ratios.in_words(running, broken)


def test_the_p_value_is_the_exact_one_within_a_stratum(running: Experiment) -> None:
    with transaction() as work:  # one stratum, so that it is Fisher's test
        work.session.execute(sa.update(Unit).values(stratum="north"))
    lost = customers_of("pilot")[:5]
    mark("failed", OutboxMessage.customer_id.in_(lost))
    found = next(item for item in service.flow_steps(running) if item.step == "notified")
    # equal arms: the law is symmetric, twice the tail is Fisher's two-sided p
    assert found.p == pytest.approx(fisher_exact([[0, 30], [5, 25]]).pvalue)


def test_who_is_looked_after_by_the_other_channel_as_well_is_not_handled_as_assigned(
    running: Experiment, operator: Actor, tmp_path: Path
) -> None:
    rows = [
        (ref, "2026-04-01", "field-rep", "visit", 20, "30.00") for ref in [*refs_of("control"), *refs_of("pilot")[:18]]
    ]
    import_rows(operator, tmp_path, "touches", TOUCH, rows)
    broken = ratios.first_broken(service.flow_steps(running))
    assert broken is not None
    assert (broken.step, broken.counts) == ("handled", (30, 12))


def test_an_arm_without_anybody_is_never_passed_over(running: Experiment) -> None:
    with transaction() as work:
        gone = customers_of("pilot")
        work.session.execute(sa.delete(Unit).where(Unit.customer_id.in_(gone)))
    broken = ratios.first_broken(service.flow_steps(running))
    assert broken is not None
    assert (broken.step, broken.counts, broken.arm) == ("assigned", (30, 0), "pilot")
    assert [flow.assigned for flow in service.flow(running.id)] == [30, 0]


# --- looks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_looks(document: dict[str, Any]) -> None:  # noqa: F811
    """Looks after a quarter and a half of the time: 29 April and 27 May."""
    final = {"looks": 3, "look": 3, "information": [0.25, 0.5, 1.0]}
    document["looks"] = {"shares": [0.25, 0.5]}
    document["analyses"] = [
        {"outcome": key, "analysis": {"part": "group-sequential", "settings": final}}
        for key in ("satisfaction", "cost")
    ]


def cost_rows(day: str) -> list[tuple[object, ...]]:
    """The desk costs 10 to 13 a head, the rep 60 to 63."""
    return [
        (ref, day, channel, "call", 10, f"{amount + place % 4}.00")
        for arm, channel, amount in (("control", "field-rep", 60), ("pilot", "service-desk", 10))
        for place, ref in enumerate(refs_of(arm))
    ]


def test_results_stay_closed_where_the_plan_pays_for_no_look(running: Experiment, operator: Actor) -> None:
    with pytest.raises(StateError, match="its plan pays for no look before the close"):
        looks.look(operator, running.key)
    assert looks.taken(running.id) == []


def test_a_planned_look_is_taken_once_by_its_own_bound(
    with_looks: None, running: Experiment, operator: Actor, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="the next look its plan pays for is on 2026-04-29"):
        looks.look(operator, running.key)
    clock.travel(datetime(2026, 5, 27, 9, tzinfo=UTC))
    import_rows(operator, tmp_path, "touches", TOUCH, cost_rows("2026-04-10"))
    found = looks.look(operator, running.key)
    assert (found.number, found.information, found.reason) == (2, 0.5, None)
    quality, cost = found.findings[0]["conditions"]
    assert (cost["analysis"], cost["state"]) == ("group-sequential", "met")
    assert quality["state"] == "open"  # nobody was asked yet
    # the bound of O'Brien and Fleming's kind at looks of 0.25 and 0.5 is 2.963 at the second (Lan and DeMets 1983,
    # by R's gsDesign 3.6), against 2.0 of a single look: the interval is wider by that
    half = (cost["high"] - cost["low"]) / 2
    assert half > 1.4 * 2.0 * (1.118 * (2 / 30) ** 0.5)  # standard deviation of 0, 1, 2, 3 evenly: 1.118
    assert trail(f"experiment:{running.key}")[-1].action == "looked"
    with pytest.raises(StateError, match="every look its plan pays for was taken"):
        looks.look(operator, running.key)


def test_an_unplanned_look_takes_a_reason_and_is_a_deviation(running: Experiment, operator: Actor) -> None:
    found = looks.look(operator, running.key, "The desk lost half its staff")
    assert (found.number, found.approved_by) == (None, None)
    assert trail(f"experiment:{running.key}")[-1].details["reason"] == "The desk lost half its staff"


# --- the whole chain ---------------------------------------------------------------------------------------------


def test_the_deviating_look_is_printed_in_the_report(closed_pilot: str, sqlite_app: Flask, operator: Actor) -> None:
    from pilot.reports import document as documents
    from pilot.reports.models import Look

    service.analyse(operator, closed_pilot)
    experiment = experiments.get(closed_pilot)
    values = {"plan_hash": "", "findings": [], "actor": "a", "at": clock.now(), "information": 0.5}
    with transaction() as work:
        work.session.add(Look(experiment_id=experiment.id, reason="Half the desk was ill", **values))
    assert "looked at outside the plan: Half the desk was ill" in documents.write(service.material(experiment, "en"))


def test_an_amendment_after_the_draw_is_printed_in_the_report(
    closed_pilot: str, sqlite_app: Flask, operator: Actor
) -> None:
    from pilot.experiments.models import PlanVersion
    from pilot.reports import document as documents

    service.analyse(operator, closed_pilot)
    experiment = experiments.get(closed_pilot)
    assert "the plan was amended" not in documents.write(service.material(experiment, "en"))
    (sealed,) = experiments.versions(experiment)
    same = {
        name: getattr(sealed, name) for name in ("experiment_id", "plan", "plan_hash", "frame_digest", "actor", "at")
    }
    with transaction() as work:
        work.session.add(PlanVersion(number=2, reason="August begins with holidays", **same))
    page = documents.write(service.material(experiment, "en"))
    assert "after the draw, the plan was amended (version 2): August begins with holidays" in page


def test_who_opts_out_gets_no_mail_and_is_counted_to_the_end(
    running: Experiment, operator: Actor, tmp_path: Path
) -> None:
    ref = refs_of("pilot")[0]
    handling.opt_out(operator, running.key, ref)
    message = db.session.scalars(
        sa.select(OutboxMessage).join(Customer, Customer.id == OutboxMessage.customer_id).where(Customer.ref == ref)
    ).one()
    assert experiments.compose_notice(message).reason == "the customer has opted out"  # type: ignore[union-attr]
    pilot = next(flow for flow in service.flow(running.id) if flow.arm == "pilot")
    assert (pilot.assigned, pilot.handled) == (30, 29)
    # the bill of one whom the desk called before it opted out counts in the arm
    import_rows(operator, tmp_path, "touches", TOUCH, [(ref, "2026-04-01", "service-desk", "call", 9, "90.00")])
    from pilot.reports.tasks import evidence_of, scope_of

    plan = experiments.plan_of(running)
    evidence = evidence_of(scope_of(running, plan), plan, plan.outcome("cost"), [])
    assert evidence.moments is not None
    assert evidence.moments.pooled(1)[:2] == (30, pytest.approx(3.0))


def test_staff_for_everybody_is_the_minutes_of_the_frame(closed_pilot: str, sqlite_app: Flask) -> None:
    found = {item.arm: item for item in staffing.staff(experiments.get(closed_pilot))}
    # a visit of 45 minutes, or two calls of 8, in 13 weeks, with everybody; 200 customers; 1,500 productive minutes a week
    assert found["control"].minutes.value == pytest.approx(45 / 13)
    assert found["pilot"].people.value == pytest.approx(16 / 13 * 200 / 1500)
    assert found["pilot"].people.low == pytest.approx(found["pilot"].people.high)  # all took the same
    assert current().productive_minutes == 1500


def test_minutes_stay_closed_until_the_close(running: Experiment) -> None:
    with pytest.raises(StateError, match="minutes are results"):
        staffing.staff(running)


def test_the_follow_up_compares_those_whom_chance_held_out(
    closed_pilot: str, sqlite_app: Flask, operator: Actor, tmp_path: Path
) -> None:
    service.decide(operator, closed_pilot)
    clock.travel(datetime(2026, 8, 1, 9, tzinfo=UTC))
    rollout.roll_out(operator, closed_pilot)
    since = date(2026, 8, 2)
    units = followup._units(experiments.get(closed_pilot), 1)
    rows = [(ref, f"F{ref}", "2026-09-01", "150.00" if arm == "held-out" else "250.00", "") for ref, arm, _ in units]
    clock.travel(datetime(2026, 12, 1, 9, tzinfo=UTC))
    import_rows(operator, tmp_path, "orders", ORDER, rows)
    found = followup.follow_up(experiments.get(closed_pilot))
    sizes = [sum(arm == name for _, arm, _ in units) for name in followup.ARMS]
    assert (found.since, [found.held_out, found.rolled_out]) == (since, sizes)
    assert min(sizes) > 0
    revenue = found.found[0]
    assert not isinstance(revenue, Comparison) or revenue.estimate == pytest.approx(100.0)
    assert not set(refs_of_pilot()) & {ref for ref, _, _ in units}


def refs_of_pilot() -> list[str]:
    return [unit.ref for unit in experiments.units(experiments.get("desk")) if unit.arm == "pilot"]


def test_flow_of_a_material_made_by_hand_has_nobody_handled() -> None:
    assert Flow("control", "", 600, 591, 7, 1, 1, 588, 9, 2, 1, 246, 234).handled == 0
    assert np.isclose(ratios.ALARM, 0.001 / 7)
