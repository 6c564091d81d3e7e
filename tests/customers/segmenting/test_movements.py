import json
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor, trail
from pilot.customers.commands import movements
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.segmenting import alerts
from pilot.customers.segmenting.movements import (
    Decided,
    Wanted,
    approve,
    counted,
    decline,
    find,
    proposed,
    register_holds,
)
from pilot.customers.segmenting.segments import Flow, preview
from pilot.customers.service import evaluate_segments, keep_current, segments, set_segments
from pilot.db import db
from pilot.errors import Forbidden, NotFound, StateError
from pilot.events import CustomerMoved, Event, HandlingChanged, ValuableCustomerSlows
from pilot.plugins.manager import plugins

from ..moving import DAY, KEY, SMALL, channels, places, profiled

SETTLED = [KEY, {**SMALL, "settle_days": 10}]
APPROVED = [KEY, {**SMALL, "approval": True}]


def later(days: int) -> date:
    return DAY + timedelta(days=days)


@pytest.fixture
def heard(app: Flask) -> list[Event]:
    """What observers are told."""
    from pilot.api import hookimpl

    events: list[Event] = []

    class Observer:
        @hookimpl
        def on_event(self, event: Event) -> None:
            events.append(event)

    plugins().manager.register(Observer(), "observer")
    return events


@pytest.fixture
def running(app: Flask) -> Iterator[set[str]]:
    """Refs of the customers whom the running experiment `spring` holds."""
    refs: set[str] = set()
    before = app.extensions["pilot.holds"]
    register_holds(app, lambda: sa.select(Customer.id, sa.literal("spring")).where(Customer.ref.in_(refs)))
    yield refs
    app.extensions["pilot.holds"] = before


def states() -> list[tuple[str, str | None, str]]:
    return [(row["ref"], row["after"], row["state"]) for row in reversed(find(Wanted()))]


def test_who_flaps_stays_until_the_new_segment_has_matched_for_its_days(app: Flask, operator: Actor) -> None:
    set_segments(operator, SETTLED)
    profiled(DAY, {"A": 6000})
    for day, revenue in ((1, 4900), (5, 5100), (8, 4900), (12, 5000), (13, 4999)):
        assert profiled(later(day), {"A": revenue}).moved == 0
    assert profiled(later(22), {"A": 4800}).waiting == 1  # nine days
    assert profiled(later(23), {"A": 4700}).moved == 1
    assert places() == {"A": "small"}
    assert db.session.scalars(sa.select(CustomerProfile.segment_since)).all() == [later(23)]
    assert profiled(later(24), {"A": 5000}).moved == 1  # into the key customers at once


def test_the_days_are_those_of_the_profiles_and_not_of_the_clock(app: Flask, operator: Actor) -> None:
    def told() -> list[tuple[object, ...]]:
        return [(row["as_of"], row["before"], row["after"], row["facts"]) for row in find(Wanted())]

    set_segments(operator, SETTLED)
    for ref, year in (("A", 2027), ("B", 2031)):
        with clock.travelling(clock.now().replace(year=year)):
            profiled(DAY, {ref: 6000})
            for day in (1, 5, 11):
                profiled(later(day), {ref: 4900 - day})
    first, second = told()
    assert first == second
    assert first[:3] == (later(11), "key", "small")


def test_profiles_of_an_earlier_day_begin_to_count_anew(app: Flask, operator: Actor) -> None:
    set_segments(operator, SETTLED)
    profiled(DAY, {"A": 6000})
    profiled(later(20), {"A": 4000})
    assert profiled(later(5), {"A": 4000}).moved == 0
    assert profiled(later(14), {"A": 4000}).moved == 0
    assert profiled(later(15), {"A": 4000}).moved == 1


def test_a_band_lets_stay_but_not_in(app: Flask, operator: Actor) -> None:
    set_segments(operator, [{**KEY, "settings": {"amount": 5000, "band": 0.1}}, SMALL])
    profiled(DAY, {"A": 5000, "B": 4999})
    assert profiled(later(1), {"A": 4500, "B": 4999}).counts == {"key": 1, "small": 1}
    profiled(later(2), {"A": 4499.99, "B": 5000})
    assert places() == {"A": "small", "B": "key"}


def test_why_is_told_with_the_values_before_the_candidate_was_one(app: Flask, operator: Actor) -> None:
    set_segments(operator, SETTLED)
    profiled(DAY, {"A": 6000})
    profiled(later(1), {"A": 4900})
    profiled(later(11), {"A": 4850})
    profiled(later(12), {"A": 5210})
    back, out = find(Wanted())
    assert out["facts"] == {"revenue_year": {"before": 6000.0, "after": 4850.0}}
    assert back["facts"] == {"revenue_year": {"before": 4850.0, "after": 5210.0}}
    assert (out["reason"], back["reason"]) == ("everyone else", "revenue of the last twelve months at least 5,000")
    assert db.session.scalars(sa.select(CustomerProfile.candidate_facts)).all() == [None]


def test_why_names_the_conditions_that_were_met_and_no_others(app: Flask, operator: Actor) -> None:
    slow = {"rule": "activity-is", "settings": {"states": ["slowing"]}}
    big = {"rule": "revenue-at-least", "settings": {"amount": 2000}}
    south = {"rule": "region-is", "settings": {"values": ["Bari"]}}
    both = {"rule": "all-of", "settings": {"rules": [slow, big]}}
    calm = {"rule": "not", "settings": {"rules": [{"rule": "orders-at-least", "settings": {"orders": 3}}]}}
    watch = {**KEY, "rule": "any-of", "settings": {"rules": [south, both, calm]}}
    set_segments(operator, [watch, SMALL])
    steady = {"revenue_year": 2912.8, "region": "Lecce", "frequency": 5}
    profiled(DAY, {"A": steady, "B": {**steady, "region": "Bari"}, "C": steady})
    profiled(later(1), {"A": {"activity": "slowing"}, "B": {}, "C": {"frequency": 1}})
    few, slows = find(Wanted())
    assert slows["ref"] == "A"
    assert list(slows["facts"].items()) == [
        ("activity", {"before": "active", "after": "slowing"}),
        ("revenue_year", {"before": 2912.8, "after": 2912.8}),
    ]
    assert few["facts"] == {"frequency": {"before": 5, "after": 1}}
    profiled(later(2), {"A": {"activity": "slowing", "revenue_year": 100.0}})
    # out of it: it is neither in the south nor calm, and of the two conditions that go together one fails
    assert find(Wanted())[0]["facts"] == {
        "region": {"before": "Lecce", "after": "Lecce"},
        "revenue_year": {"before": 2912.8, "after": 100.0},
        "frequency": {"before": 5, "after": 5},
    }


def test_facts_hold_no_names_or_addresses(app: Flask, operator: Actor) -> None:
    rules = [
        {"rule": "field-missing", "settings": {"field": "phone"}},
        {"rule": "region-is", "settings": {"values": ["Bari"]}},
    ]
    set_segments(operator, [{**KEY, "rule": "any-of", "settings": {"rules": rules}}, SMALL])
    profiled(DAY, {"A": {"phone": "+39 080 1234", "region": "Bari"}})
    profiled(later(1), {"A": {"region": "Lecce"}})
    assert [row["facts"] for row in find(Wanted())] == [{"region": {"before": "Lecce", "after": "Lecce"}}]


def test_who_enters_for_the_first_time_is_handled_by_the_segments_channel(app: Flask, operator: Actor) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 10})
    assert channels() == {"A": "field-rep", "B": "service-desk"}
    assert find(Wanted()) == []


def test_without_approval_the_handling_follows_at_once(app: Flask, operator: Actor, heard: list[Event]) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 10})
    heard.clear()
    profiled(later(1), {"A": 4000, "B": 10})
    assert channels() == {"A": "service-desk", "B": "service-desk"}
    assert [type(event) for event in heard] == [CustomerMoved, HandlingChanged]
    assert heard[1] == HandlingChanged(heard[0].customer_id, "field-rep", "service-desk")  # type: ignore[attr-defined]


def test_a_proposal_waits_for_operations(app: Flask, operator: Actor, heard: list[Event]) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 6000, "C": 6000})
    profiled(later(1), {"A": 1, "B": 1, "C": 6000})
    assert counted(Wanted()) == {"proposed": 2, "held": 0, "applied": 0, "declined": 0, "overtaken": 0}
    assert channels()["A"] == "field-rep"
    first, second = proposed(Wanted())
    with pytest.raises(Forbidden):
        approve(Actor("reader", frozenset({"viewer"})), [first])
    heard.clear()
    assert approve(operator, [first]) == Decided(1)
    assert decline(operator, [second]) == Decided(1)
    assert channels() == {"A": "service-desk", "B": "field-rep", "C": "field-rep"}
    assert [type(event) for event in heard] == [HandlingChanged]
    assert states() == [("A", "small", "applied"), ("B", "small", "declined")]
    assert {row["decided_by"] for row in find(Wanted())} == {operator.name}
    assert [entry.action for entry in trail("base")][-2:] == ["movements approved", "movements declined"]
    assert profiled(later(2), {"A": 1, "B": 1}).moved == 0  # declined is not proposed again


def test_what_is_decided_is_decided(app: Flask, operator: Actor) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 6000})
    profiled(later(1), {"A": 1, "B": 1})
    first, second = proposed(Wanted())
    approve(operator, [first])
    with pytest.raises(StateError, match="none of these movements waits"):
        decline(operator, [first])
    with pytest.raises(NotFound, match="no movement 999"):
        approve(operator, [second, 999])
    assert approve(operator, [first, second]) == Decided(1)


def test_a_later_movement_overtakes_an_undecided_one(app: Flask, operator: Actor) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000})
    profiled(later(1), {"A": 1})
    profiled(later(2), {"A": 6000})
    assert states() == [("A", "small", "overtaken"), ("A", "key", "applied")]
    assert channels() == {"A": "field-rep"}


def test_a_running_experiment_holds_the_handling_and_its_end_lets_go(
    app: Flask, operator: Actor, running: set[str]
) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 6000})
    running.add("A")
    profiled(later(1), {"A": 1, "B": 1})
    assert states() == [("A", "small", "held"), ("B", "small", "applied")]
    assert [row["experiment"] for row in find(Wanted("held"))] == ["spring"]
    assert channels() == {"A": "field-rep", "B": "service-desk"}
    evaluate_segments(operator)
    assert counted(Wanted())["held"] == 1
    running.clear()
    evaluate_segments(operator)
    assert states()[0] == ("A", "small", "applied")
    assert channels()["A"] == "service-desk"


def test_what_is_let_go_waits_for_approval_where_its_segment_says_so(
    app: Flask, operator: Actor, running: set[str]
) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 6000})
    running.update("AB")
    profiled(later(1), {"A": 1, "B": 1})
    assert decline(operator, [find(Wanted("held"))[0]["id"]]) == Decided(1)
    running.clear()
    with clock.travelling(clock.now().replace(year=2026, month=3, day=2)):
        assert keep_current() is False
    assert states() == [("A", "small", "proposed"), ("B", "small", "declined")]


def test_a_movement_that_changes_no_handling_is_neither_held_nor_proposed(
    app: Flask, operator: Actor, running: set[str]
) -> None:
    set_segments(operator, [KEY, {**SMALL, "channel": "field-rep", "approval": True}])
    profiled(DAY, {"A": 6000, "B": 6000})
    running.add("A")
    profiled(later(1), {"A": 1, "B": 1})
    assert {row["state"] for row in find(Wanted())} == {"applied"}


def test_who_was_drawn_since_the_proposal_keeps_the_arm(app: Flask, operator: Actor, running: set[str]) -> None:
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 6000})
    profiled(later(1), {"A": 1, "B": 1})
    running.add("A")
    assert approve(operator, proposed(Wanted())) == Decided(1, held=1)
    assert states() == [("A", "small", "held"), ("B", "small", "applied")]
    assert channels() == {"A": "field-rep", "B": "service-desk"}


def test_out_of_a_segment_that_was_deleted_one_crosses_at_once(app: Flask, operator: Actor) -> None:
    set_segments(operator, [KEY, {**SMALL, "settle_days": 30}])
    profiled(DAY, {"A": 6000})
    set_segments(operator, [{**SMALL, "settle_days": 30}])
    assert evaluate_segments(operator).moved == 1
    assert places() == {"A": "small"}


def test_the_preview_is_what_the_evaluation_then_does(app: Flask, operator: Actor) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 7000, "C": 10})
    set_segments(operator, [{**KEY, "settings": {"amount": 6500}}, {**SMALL, "settle_days": 5}])
    assert preview(segments()) == [Flow("key", "small", 1, first=False, due=False)]
    set_segments(operator, [{**KEY, "settings": {"amount": 6500}}, SMALL])
    assert preview(segments()) == [Flow("key", "small", 1, first=False, due=True)]
    assert places()["A"] == "key"
    assert evaluate_segments(operator).moved == 1
    assert preview(segments()) == []


def test_movements_are_found_by_state_segment_and_day(app: Flask, operator: Actor) -> None:
    set_segments(operator, [{**KEY, "approval": True}, SMALL, {**SMALL, "key": "rest"}])
    profiled(DAY, {"A": 6000, "B": 10})
    profiled(later(1), {"A": 10, "B": 10})
    profiled(later(9), {"A": 10, "B": 6000})
    assert [row["ref"] for row in find(Wanted())] == ["B", "A"]
    assert [row["ref"] for row in find(Wanted(), limit=1)] == ["B"]
    assert [row["ref"] for row in find(Wanted(), after=find(Wanted())[0]["id"])] == ["A"]
    assert [row["ref"] for row in find(Wanted(since=later(2)))] == ["B"]
    assert [row["ref"] for row in find(Wanted(state="applied"))] == ["A"]
    assert find(Wanted(segment="rest")) == []
    assert counted(Wanted(since=later(2)))["proposed"] == 1


def test_a_valuable_customer_who_falls_quiet_is_told_of_once(app: Flask, operator: Actor, heard: list[Event]) -> None:
    def told() -> list[tuple[str, str]]:
        return [(event.before, event.after) for event in heard if isinstance(event, ValuableCustomerSlows)]

    def day(number: int, first: str, second: str = "active") -> None:
        ranks = {ref: {"activity": "active", "value_rank": place} for place, ref in enumerate("ABCDEF", 1)}
        ranks["A"]["activity"], ranks["C"]["activity"], ranks["B"]["activity"] = first, first, second
        profiled(later(number), ranks)  # a fifth of six customers, rounded up, are A and B

    set_segments(operator, [SMALL])
    for number, state in enumerate(("active", "slowing", "slowing", "lapsed")):
        day(number, state)
    assert told() == [("active", "slowing")]
    assert [row.ref for row in alerts.quiet()] == ["A"]
    assert alerts.counted() == {"slowing": 0, "lapsed": 1, "lost": 0}
    day(4, "active")
    day(5, "slowing", "lapsed")
    assert told() == [("active", "slowing"), ("active", "slowing"), ("active", "lapsed")]
    assert [row.ref for row in alerts.quiet(after=1)] == ["B"]


def test_the_daily_job_runs_once_a_day_and_can_be_switched_off(sqlite_app: Flask, operator: Actor) -> None:
    assert keep_current() is False  # nothing to profile
    set_segments(operator, [SMALL])
    profiled(DAY, {"A": 6000})
    config = sqlite_app.extensions["pilot.config"]
    days: list[date] = []

    def ran() -> int:
        keep_current()
        return sum(entry.action == "profiled" for entry in trail("base"))

    with clock.travelling(clock.now().replace(year=2026, month=3, day=9)):
        sqlite_app.extensions["pilot.config"] = config.model_copy(update={"daily_profiles": False})
        assert ran() == 0
        sqlite_app.extensions["pilot.config"] = config
        assert (ran(), ran()) == (1, 1)
        days += db.session.scalars(sa.select(CustomerProfile.as_of))
    assert days == [date(2026, 3, 9)]


def test_the_command_lists_and_decides_as_the_page_does(sqlite_app: Flask, operator: Actor) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(movements, arguments, catch_exceptions=False)

    assert run().stdout == "There is no such movement.\n"
    set_segments(operator, APPROVED)
    profiled(DAY, {"A": 6000, "B": 6000})
    profiled(later(1), {"A": 4900, "B": 1})
    first, second = proposed(Wanted())
    assert "revenue_year 6,000 → 4,900" in run().stdout
    assert (
        run("--approve", str(first), "--decline", str(second)).stderr == "1 movement approved.\n1 movement declined.\n"
    )
    told = json.loads(run("--json", "--since", later(1).isoformat()).stdout)
    assert told["counts"] == counted(Wanted())
    assert [(row["id"], row["state"]) for row in told["movements"]] == [(second, "declined"), (first, "applied")]
    assert json.loads(run("--json", "--state", "held").stdout)["movements"] == []
    with pytest.raises(StateError, match="none of these movements waits"):
        run("--approve", str(first))
