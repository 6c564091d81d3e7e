import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_babel import force_locale

from pilot.accounts.service import Actor
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import SegmentRule, rule_from
from pilot.customers.segmenting.segments import match, rule_of
from pilot.customers.service import segments, set_segments
from pilot.db import db
from pilot.errors import InputError
from pilot.testing import contract_checks

from .moving import DAY, KEY, SMALL, profiled

PEOPLE: dict[str, dict[str, Any]] = {
    "A": {"revenue_year": 9000.0, "frequency": 20, "recency_days": 3, "value_rank": 1, "region": "Bari"},
    "B": {"revenue_year": 5000.0, "frequency": 5, "recency_days": 90, "value_rank": 2, "activity": "slowing"},
    "C": {"revenue_year": 100.0, "frequency": 1, "recency_days": 200, "value_rank": 3, "activity": "lapsed"},
    "D": {"revenue_year": 0.0, "frequency": 0, "activity": "never", "phone": "123", "region": "Lecce"},
}
VALUES = {"contribution_year": -5.0, "cost_year": 250.0, "potential": 300.0, "interval_change": 2.5}


def rule(key: str, **settings: Any) -> SegmentRule:
    return rule_from({"rule": key, "settings": settings}, "")


def combined(key: str, *rules: SegmentRule) -> SegmentRule:
    return rule(key, rules=[{"rule": inner.key, "settings": inner.settings()} for inner in rules])


def taken(which: SegmentRule) -> str:
    query = sa.select(Customer.ref).join(CustomerProfile).where(which.condition()).order_by(Customer.ref)
    return "".join(db.session.scalars(query))


@pytest.fixture
def people(app: Flask, operator: Actor) -> None:
    set_segments(operator, [SMALL])
    profiled(DAY, {**PEOPLE, "B": {**PEOPLE["B"], **VALUES}})


@pytest.mark.usefixtures("people")
def test_each_rule_takes_whom_it_says() -> None:
    for key, settings, wanted in (
        ("revenue-below", {"amount": 5000}, "CD"),
        ("revenue-at-least", {"amount": 5000}, "AB"),
        ("revenue-between", {"amount": 100, "below": 5000}, "C"),
        ("orders-at-least", {"orders": 5}, "AB"),
        ("orders-at-most", {"orders": 1}, "CD"),
        ("last-order-at-least", {"days": 90}, "BC"),
        ("last-order-at-most", {"days": 90}, "AB"),
        ("contribution-below", {"amount": 0}, "B"),
        ("contribution-at-least", {"amount": 0.01}, ""),
        ("cost-at-least", {"amount": 250}, "B"),
        ("potential-at-least", {"amount": 300}, "B"),
        ("interval-change-at-least", {"factor": 2.5}, "B"),
        ("value-rank-at-most", {"customers": 2}, "AB"),
        ("value-share-at-most", {"share": 0.5}, "AB"),
        ("value-share-at-most", {"share": 0.51}, "ABC"),
        ("activity-is", {"states": ["slowing", "never"]}, "BD"),
        ("region-is", {"values": ["Bari", "Roma"]}, "A"),
        ("field-missing", {"field": "phone"}, "ABC"),
        ("everyone", {}, "ABCD"),
    ):
        assert taken(rule(key, **settings)) == wanted, key


@pytest.mark.usefixtures("people")
def test_rules_combine() -> None:
    silent, rich = rule("last-order-at-least", days=90), rule("revenue-at-least", amount=5000)
    assert taken(combined("all-of", silent, rich)) == "B"
    assert taken(combined("any-of", silent, rich)) == "ABC"
    assert taken(combined("all-of", combined("not", silent), combined("not", rich))) == "D"
    assert taken(combined("not", combined("any-of", silent, rich))) == "D"


@pytest.mark.usefixtures("people")
def test_of_whom_a_rule_knows_nothing_its_contrary_takes() -> None:
    assert taken(rule("last-order-at-least", days=90)) == "BC"
    assert taken(combined("not", rule("last-order-at-least", days=90))) == "AD"  # D never ordered


@pytest.mark.usefixtures("people")
def test_a_rule_is_counted_alone_and_behind_those_before_it() -> None:
    found = match(rule("orders-at-most", orders=5), [rule("activity-is", states=["lapsed"])])
    assert (found.matching, found.left, [row.ref for row in found.examples]) == (3, 2, ["B", "D"])


def test_a_band_widens_what_keeps_and_nothing_else(sqlite_app: Flask) -> None:
    narrow, wide = rule("revenue-below", amount=100, band=0.1), rule("revenue-below", amount=100)
    assert str(narrow.condition().compile(compile_kwargs={"literal_binds": True})).endswith("< 100.0")
    assert str(narrow.keeps().compile(compile_kwargs={"literal_binds": True})).endswith("< 110.00000000000001")
    assert str(wide.keeps().compile(compile_kwargs={"literal_binds": True})).endswith("< 100.0")


def test_the_contract_finds_a_rule_that_throws_members_out(sqlite_app: Flask) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Harsh(SegmentRule):
        key = "harsh"
        label = "Harsh"

        amount: float = 100.0

        def condition(self) -> sa.ColumnElement[bool]:
            return CustomerProfile.revenue_year >= self.amount

        def keeps(self) -> sa.ColumnElement[bool]:
            return CustomerProfile.revenue_year >= self.amount * 1.01

        def sentence(self) -> str:
            return "harsh"

    with pytest.raises(AssertionError, match=r"keeps\(\) lets \d+ of the profiles go that condition\(\) lets in"):
        contract_checks(Harsh())


def nested(*rules: Any) -> dict[str, Any]:
    return {**KEY, "rule": "all-of", "settings": {"rules": list(rules)}}


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        nested({"rule": "revenue-below", "settings": {"amount": -1}}),
        "segments[1].settings.rules[0].amount: input should be greater than 0",
    ),
    (
        nested({"rule": "not", "settings": {"rules": [{"rule": "revenue-blow"}]}}),
        "segments[1].settings.rules[0].rules[0].rule: unknown segment rule 'revenue-blow'",
    ),
    (nested(), "segments[1].settings.rules: tuple should have at least 1 item"),
    ({**KEY, "rule": "all-of", "settings": {}}, "segments[1].settings.rules: field required"),
    ({**KEY, "rule": "all-of", "settings": {"rules": "x"}}, "segments[1].settings.rules: input should be a valid"),
    (nested("everyone"), "segments[1].settings.rules[0]: this is not a rule"),
    (nested({"rule": "everyone", "with": 1}), "segments[1].settings.rules[0].with: a rule has no 'with'"),
    (nested({"rule": "everyone", "settings": 1}), "segments[1].settings.rules[0].settings: settings are names"),
    (
        {**KEY, "rule": "not", "settings": {"rules": [{"rule": "everyone"}] * 2}},
        "segments[1].settings.rules: tuple should have at most 1 item",
    ),
    (
        {**KEY, "rule": "revenue-between", "settings": {"amount": 5, "below": 5}},
        "segments[1].settings: the upper amount must be above the lower one",
    ),
    ({**KEY, "settle_days": -1}, "segments[1].settle_days: input should be greater than or equal to 0"),
]


def test_an_error_names_the_place_in_the_nest(sqlite_app: Flask, operator: Actor) -> None:
    for definition, complaint in WRONG:
        with pytest.raises(InputError, match=re.escape(complaint)):
            set_segments(operator, [SMALL, definition])
    assert segments() == []


def test_a_bottomless_nest_is_refused(sqlite_app: Flask, operator: Actor) -> None:
    inner: dict[str, Any] = {"rule": "everyone"}
    for _ in range(900):
        inner = {"rule": "not", "settings": {"rules": [inner]}}
    with pytest.raises(InputError, match="rules are nested too deep"):
        set_segments(operator, [nested(inner)])


def test_a_nest_is_stored_and_found_again(app: Flask, operator: Actor) -> None:
    inner = {"rule": "any-of", "settings": {"rules": [{"rule": "orders-at-most", "settings": {"orders": 1}}]}}
    set_segments(operator, [nested({"rule": "revenue-below", "settings": {"amount": 100, "band": 0.05}}, inner)])
    (segment,) = segments()
    assert segment.settings["rules"][0] == {"rule": "revenue-below", "settings": {"amount": 100.0, "band": 0.05}}
    assert taken(rule_of(segment)) == ""
    assert rule_of(segment).sentence() == "revenue of the last twelve months below 100 and at most 1 order"


def test_sentences_of_a_nest_show_what_belongs_together(sqlite_app: Flask) -> None:
    either = combined("any-of", rule("revenue-at-least", amount=1250.5), rule("last-order-at-least", days=90))
    both = combined("all-of", either, combined("not", rule("region-is", values=["Bari", "Roma"])))
    assert both.sentence() == (
        "(revenue of the last twelve months at least 1,250.5 or last order 90 days ago or longer) "
        "and not (region: Bari / Roma)"
    )


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "revenue of the last twelve months at least 1,250.5"),
        ("it", "fatturato degli ultimi dodici mesi di almeno 1.250,5"),
        ("pl", "przychód z ostatnich dwunastu miesięcy co najmniej 1\xa0250,5"),
    ],
)
def test_sentences_speak_the_language_of_the_page(sqlite_app: Flask, language: str, sentence: str) -> None:
    with force_locale(language):
        assert rule("revenue-at-least", amount=1250.5).sentence() == sentence
