import re
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor, trail
from pilot.customers.intake.service import import_file
from pilot.customers.models import Customer, CustomerProfile, Movement
from pilot.customers.service import evaluate_segments, rebuild_profiles, segments, sentence, set_segments
from pilot.db import db
from pilot.errors import InputError
from pilot.events import CustomerMoved
from pilot.plugins.manager import plugins

from ..conftest import Write

KEY = {"key": "key", "name": "Key", "rule": "revenue-at-least", "settings": {"amount": 100}, "channel": "field-rep"}
TINY = {"key": "tiny", "name": "Tiny", "rule": "revenue-below", "settings": {"amount": 10}, "channel": "service-desk"}
REST = {"key": "rest", "name": "The rest", "rule": "everyone", "channel": "field-rep"}


@pytest.fixture
def moves(app: Flask) -> list[CustomerMoved]:
    """The movements told to observers."""
    from pilot.api import Event, hookimpl

    heard: list[CustomerMoved] = []

    class Observer:
        @hookimpl
        def on_event(self, event: Event) -> None:
            if isinstance(event, CustomerMoved):
                heard.append(event)

    plugins().manager.register(Observer(), "observer")
    return heard


def revenue(operator: Actor, write: Write, number: int, *amounts: str) -> None:
    """One order for each customer C0, C1, ...; an amount for each."""
    lines = [f"C{ref};{number}-{ref};2026-03-0{number};{amount}" for ref, amount in enumerate(amounts)]
    import_file(operator, "orders", write(f"o{number}.csv", "customer_ref;order_ref;ordered_on;amount", *lines))
    rebuild_profiles(operator, date(2026, 3, 31))


def base(operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C0;a", "C1;b", "C2;c"))
    revenue(operator, write, 1, "100", "10", "9,99")


def placed() -> dict[str, str | None]:
    rows = db.session.execute(sa.select(Customer.ref, CustomerProfile.segment).join(CustomerProfile))
    return {row[0]: row[1] for row in rows}


def test_the_first_rule_that_matches_wins(app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    set_segments(operator, [KEY, TINY, REST])
    found = evaluate_segments(operator)
    assert placed() == {"C0": "key", "C1": "rest", "C2": "tiny"}
    assert (found.counts, found.unmatched) == ({"key": 1, "tiny": 1, "rest": 1}, 0)
    set_segments(operator, [REST, KEY])
    assert evaluate_segments(operator).counts == {"rest": 3, "key": 0}


def test_entering_a_segment_for_the_first_time_is_no_movement(
    app: Flask, operator: Actor, write: Write, moves: list[CustomerMoved]
) -> None:
    base(operator, write)
    set_segments(operator, [KEY, TINY, REST])
    assert evaluate_segments(operator).moved == 0
    assert moves == []
    assert db.session.scalar(sa.select(sa.func.count(Movement.id))) == 0


def test_every_later_change_is_a_movement_and_is_told(
    app: Flask, operator: Actor, write: Write, moves: list[CustomerMoved]
) -> None:
    base(operator, write)
    set_segments(operator, [KEY, TINY])
    assert evaluate_segments(operator).unmatched == 1
    revenue(operator, write, 2, "0", "90", "0,01")
    assert placed() == {"C0": "key", "C1": "key", "C2": None}
    rebuild_profiles(operator, date(2026, 3, 1))
    rows = db.session.execute(
        sa.select(Customer.ref, Movement.before, Movement.after, Movement.reason).join(Customer).order_by(Movement.id)
    )
    assert [tuple(row) for row in rows] == [
        ("C2", "tiny", None, "no rule matches"),
        ("C1", "key", None, "no rule matches"),
        ("C2", None, "tiny", "revenue of the last twelve months below 10"),
    ]
    assert [(move.before, move.after) for move in moves] == [("tiny", None), ("key", None), (None, "tiny")]
    assert evaluate_segments(operator).moved == 0


def test_rules_are_told_in_words_and_kept_with_their_settings(app: Flask, operator: Actor) -> None:
    set_segments(operator, [{**KEY, "settings": {"amount": 20000}}, TINY, REST])
    assert [sentence(segment) for segment in segments()] == [
        "revenue of the last twelve months at least 20,000",
        "revenue of the last twelve months below 10",
        "everyone else",
    ]
    assert [segment.settings for segment in segments()] == [
        {"amount": 20000.0, "band": 0.0},
        {"amount": 10.0, "band": 0.0},
        {},
    ]
    assert [entry.action for entry in trail("base")] == ["segments set"]


@pytest.mark.parametrize(
    ("definitions", "complaint"),
    [
        ([{**KEY, "rule": "revenue-atleast"}], r"s\.toml: segments\[0\]\.rule: .*Did you mean 'revenue-at-least'"),
        (
            [{**KEY, "settings": {"amount": -1}}],
            r"s\.toml: segments\[0\]\.settings\.amount: input should be greater than 0",
        ),
        ([{**KEY, "settings": {"euro": 5}}], r"revenue-at-least has no setting 'euro'"),
        ([KEY, {**REST, "channel": "fax"}], r"s\.toml: segments\[1\]\.channel: unknown handling channel 'fax'"),
        ([KEY, {**REST, "key": "key"}], r"s\.toml: segments\[1\]\.key: two segments have the key 'key'"),
        ([{**KEY, "colour": "red"}], r"s\.toml: segments\[0\]\.colour: extra inputs are not permitted"),
        ([{"key": "x"}], r"s\.toml: segments\[0\]\.name: field required"),
        ([], r"s\.toml: there are no segments"),
    ],
)
def test_a_wrong_definition_is_refused_and_the_old_ones_stay(
    sqlite_app: Flask, operator: Actor, definitions: Sequence[dict[str, Any]], complaint: str
) -> None:
    set_segments(operator, [REST])
    with pytest.raises(InputError, match=complaint):
        set_segments(operator, definitions, place="s.toml")
    assert [segment.key for segment in segments()] == ["rest"]


def test_without_segments_there_is_nothing_to_evaluate(sqlite_app: Flask, operator: Actor) -> None:
    with pytest.raises(InputError, match="there are no segments yet"):
        evaluate_segments(operator)


def test_the_example_of_the_document_can_be_loaded_and_told_in_words(sqlite_app: Flask, operator: Actor) -> None:
    text = (Path(__file__).parents[3] / "docs" / "segments.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    set_segments(operator, tomllib.loads(example)["segments"])
    assert [(segment.key, segment.settle_days, segment.approval) for segment in segments()] == [
        ("key", 0, False),
        ("asleep", 14, True),
        ("small", 30, False),
    ]
    assert sentence(segments()[1]) == (
        "revenue of the last twelve months from 1,000 to below 20,000 and "
        "(activity: slowing / lapsed or last intervals at least 1.5 times those before)"
    )


def test_every_rule_is_in_the_document(sqlite_app: Flask) -> None:
    text = (Path(__file__).parents[3] / "docs" / "segments.md").read_text(encoding="utf-8")
    assert [part.key for part in plugins().all("segment_rules") if f"`{part.key}`" not in text] == []
