"""Handling follows the segment, also when the segment's own handling changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.commands import movements as command
from pilot.customers.segmenting.movements import Outcome, Wanted, approve, decline, find, proposed
from pilot.customers.service import evaluate_segments, set_segments

from ..moving import DAY, KEY, SMALL, channels, places, profiled

MOVED = [KEY, {**SMALL, "channel": "field-rep"}]


def told() -> list[tuple[str, str, str, str, str]]:
    names = ("ref", "state", "channel_before", "channel_after", "reason")
    return [tuple(row[name] for name in names) for row in reversed(find(Wanted()))]  # type: ignore[misc]


def test_the_handling_of_those_in_a_segment_follows_at_once(app: Flask, operator: Actor) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 10, "C": 20})
    assert set_segments(operator, [KEY, SMALL]) == Outcome()
    assert set_segments(operator, MOVED) == Outcome(applied=2)
    why = "the handling of Small changed from Service desk to Field rep"
    assert told() == [(ref, "applied", "service-desk", "field-rep", why) for ref in "BC"]
    assert [(row["before"], row["after"], row["as_of"]) for row in find(Wanted())] == [("small", "small", DAY)] * 2
    assert channels() == dict.fromkeys("ABC", "field-rep")
    assert evaluate_segments(operator).moved == 0
    assert places() == {"A": "key", "B": "small", "C": "small"}


def test_a_segment_that_asks_for_approval_lets_each_wait(app: Flask, operator: Actor) -> None:
    set_segments(operator, [KEY, {**SMALL, "approval": True}])
    profiled(DAY, {"B": 10, "C": 20})
    set_segments(operator, [KEY, {**SMALL, "approval": True, "channel": "field-rep"}])
    assert channels() == dict.fromkeys("BC", "service-desk")
    first, second = proposed(Wanted())
    approve(operator, [first])
    decline(operator, [second])
    assert channels() == {"B": "field-rep", "C": "service-desk"}
    assert profiled(DAY + timedelta(1), {"B": 10, "C": 20}).moved == 0
    assert len(told()) == 2, "what was declined is not proposed again"


def test_changing_it_back_overtakes_what_was_proposed(app: Flask, operator: Actor) -> None:
    approved = {**SMALL, "approval": True}
    set_segments(operator, [approved])
    profiled(DAY, {"B": 10})
    set_segments(operator, [{**approved, "channel": "field-rep"}])
    assert set_segments(operator, [approved]) == Outcome()
    assert [state for _, state, *_ in told()] == ["overtaken"]
    assert channels() == {"B": "service-desk"}


def test_what_has_not_changed_is_no_reason(app: Flask, operator: Actor) -> None:
    def key(amount: int) -> dict[str, Any]:
        active = {"rule": "activity-is", "settings": {"states": ["active"]}}
        return {
            **KEY,
            "rule": "all-of",
            "settings": {"rules": [active, {"rule": "revenue-at-least", "settings": {"amount": amount}}]},
        }

    set_segments(operator, [key(5000), SMALL])
    profiled(DAY, {"A": 6000, "B": 9000})
    profiled(DAY + timedelta(1), {"A": 4000, "B": 9000})
    set_segments(operator, [key(9500), SMALL])
    evaluate_segments(operator)
    by_rule, by_fact = find(Wanted())
    assert by_fact["facts"] == {"revenue_year": {"before": 6000.0, "after": 4000.0}}
    assert by_rule["facts"] == {"revenue_year": {"before": 9000.0, "after": 9000.0}}, "the rule changed, no fact did"
    printed = app.test_cli_runner().invoke(command, []).output
    assert "9,000 → 9,000" not in printed
    assert "revenue_year 9,000" in printed
