"""Parts: every built-in one keeps the contract, and a part that breaks it is told so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask_babel import Babel

from pilot.errors import InputError, PluginError
from pilot.parts import Part, Registry
from pilot.plugins.manager import Plugins
from pilot.testing import contract_checks

SETTINGS: dict[str, dict[str, Any]] = {
    "choice": {"options": [{"key": "phone", "text": {"en": "By phone"}}, {"key": "mail", "text": {"en": "By mail"}}]},
    "likert-grid": {"statements": [{"key": "fast", "text": {"en": "They are fast"}}]},
    "equivalence": {"margin": 0.2},
    "kaplan-meier": {"day": 90},
    "non-inferiority": {"margin": 0.2},
    "non-inferiority-ranks": {"margin": 0.1},
    "non-inferiority-shares": {"margin": 0.1},
    "normal-posterior": {"prior_sd": 0.5},
    "rerandomised": {"by": ["revenue_year"], "acceptance": 0.1},
    "rerandomised-difference": {"acceptance": 0.01},
    "restricted-mean-time": {"day": 90},
    "winsorised-difference": {"cap": 100},
    "activity-is": {"states": ["lapsed", "lost"]},
    "all-of": {"rules": [{"rule": "revenue-below", "settings": {"amount": 5, "band": 0.1}}, {"rule": "everyone"}]},
    "any-of": {"rules": [{"rule": "not", "settings": {"rules": [{"rule": "everyone"}]}}]},
    "contribution-at-least": {"amount": 5, "band": 0.2},
    "contribution-below": {"amount": 5, "band": 0.2},
    "cost-at-least": {"amount": 50, "band": 0.1},
    "field-missing": {"field": "phone"},
    "interval-change-at-least": {"factor": 1.5, "band": 0.1},
    "language-is": {"values": ["it"]},
    "last-order-at-least": {"days": 90, "band": 0.1},
    "last-order-at-most": {"days": 90, "band": 0.1},
    "not": {"rules": [{"rule": "value-rank-at-most", "settings": {"customers": 3}}]},
    "orders-at-least": {"orders": 10, "band": 0.1},
    "orders-at-most": {"orders": 10, "band": 0.1},
    "potential-at-least": {"amount": 100, "band": 0.1},
    "region-is": {"values": ["Bari", "Łódź"]},
    "revenue-at-least": {"amount": 500},
    "revenue-below": {"amount": 500.5, "band": 0.1},
    "revenue-between": {"amount": 100, "below": 500, "band": 0.1},
    "sales-rep-is": {"values": ["Rossi"]},
    "sector-is": {"values": ["retail"]},
    "size-is": {"values": ["1-9"]},
    "value-rank-at-most": {"customers": 10, "band": 0.1},
    "value-share-at-most": {"share": 0.2, "band": 0.1},
    "smtp": {"host": "mail.example.com"},
    "survey-score": {"question": "csat"},
    "survey-share": {"question": "csat", "at_least": 4},
}
"""Settings of parts that cannot do without."""

BUILTIN = [
    pytest.param(part, id=f"{kind}-{part.key}")
    for plugins in [Plugins(load_entry_points=False)]
    for kind in plugins.registry.kinds()
    for part in plugins.all(kind)
]


@pytest.fixture
def _plugins_at_hand() -> Iterator[None]:
    """What a part that is made of other parts needs to find them: an application, without its database."""
    bare = Flask("bare")
    Babel(bare)
    bare.extensions["pilot.plugins"] = Plugins(load_entry_points=False)
    with bare.app_context():
        yield


@pytest.mark.usefixtures("_plugins_at_hand")
@pytest.mark.parametrize("part", BUILTIN)
def test_every_built_in_part_keeps_the_contract(part: type[Part]) -> None:
    contract_checks(part.restore(SETTINGS.get(part.key, {})))


@dataclass(frozen=True)
class Rule(Part):
    key: ClassVar[str] = "at-most"
    label: ClassVar[str] = "At most"

    limit: int
    names: tuple[str, ...] = ()


def test_settings_survive_storing() -> None:
    rule = Rule(3, ("a", "b"))
    assert rule.settings() == {"limit": 3, "names": ["a", "b"]}
    assert Rule.restore(rule.settings()) == rule


@pytest.mark.parametrize(
    ("settings", "place", "words"),
    [
        ({"limit": 1, "lmit": 2}, "plan.toml: rule.lmit", "Settings of at-most: limit, names"),
        ({}, "plan.toml: rule.limit", "required"),
        ({"limit": "many"}, "plan.toml: rule.limit", "integer"),
        ({"limit": 1, "names": ["a", 2]}, "plan.toml: rule.names.1", "string"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(settings: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Rule.restore(settings, place="plan.toml: rule")
    assert caught.value.place == place
    assert words in str(caught.value)


def test_an_unknown_part_is_answered_with_what_there_is() -> None:
    registry = Registry()
    registry.add("segment_rules", [Rule], "mine")
    with pytest.raises(InputError, match=r"unknown segment rule 'at-mots'.*Did you mean 'at-most'"):
        registry.get("segment_rules", "at-mots")


def test_two_plugins_cannot_have_the_same_key() -> None:
    registry = Registry()
    registry.add("segment_rules", [Rule], "mine")
    with pytest.raises(PluginError, match=r"plugin 'yours'.*'at-most'.*plugin 'mine'"):
        registry.add("segment_rules", [Rule], "yours")


class Plain(Part):
    key = "plain"
    label = "Plain"


@dataclass
class Thawed(Part):
    key: ClassVar[str] = "thawed"
    label: ClassVar[str] = "Thawed"


@dataclass(frozen=True)
class Nameless(Part):
    limit: int = 1


@pytest.mark.parametrize("part", [Plain, Thawed, Nameless, Rule(1), object])
def test_what_is_no_part_is_refused_at_the_start(part: Any) -> None:
    with pytest.raises(PluginError, match="plugin 'mine'"):
        Registry().add("segment_rules", [part], "mine")


@dataclass(frozen=True)
class Shouting(Part):
    key: ClassVar[str] = "At_Most"
    label: ClassVar[str] = " "


@dataclass(frozen=True)
class Unwritable(Part):
    key: ClassVar[str] = "unwritable"
    label: ClassVar[str] = "Unwritable"

    limit: float = field(default=float("nan"))


@dataclass(frozen=True)
class Forgetful(Part):
    key: ClassVar[str] = "forgetful"
    label: ClassVar[str] = "Forgetful"

    limit: int = 1

    def settings(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Lenient(Part):
    key: ClassVar[str] = "lenient"
    label: ClassVar[str] = "Lenient"

    @classmethod
    def restore(cls, settings: Any, *, place: str = "") -> Lenient:
        return cls()


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (Plain(), "frozen"),
        (Thawed(), "frozen"),
        (Nameless(), "no label"),
        (Shouting(), "key is not lower case.*no label"),
        (Unwritable(), "not plain JSON"),
        (Forgetful(limit=2), "another part"),
        (Lenient(), "accepted in silence"),
    ],
)
def test_an_author_is_told_which_promise_is_broken(part: Part, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        contract_checks(part)


def test_a_part_without_its_methods_is_found_out() -> None:
    from pilot.api import SegmentRule

    @dataclass(frozen=True)
    class Unfinished(SegmentRule):
        key: ClassVar[str] = "unfinished"
        label: ClassVar[str] = "Unfinished"

    with pytest.raises(AssertionError, match="it lacks condition; it lacks sentence"):
        contract_checks(Unfinished())
