"""Plugins: found, collected, kept apart by application, and told what happened. A bad one stops the start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa
from flask import Blueprint, Flask

from pilot.api import Event, ImportFinished, OutboxMessage, SegmentRule, hookimpl
from pilot.app import create_app
from pilot.config import Config
from pilot.db import db
from pilot.errors import PluginError
from pilot.plugins.manager import Plugins


@dataclass(frozen=True)
class Never(SegmentRule):
    """Nobody."""

    key: ClassVar[str] = "never"
    label: ClassVar[str] = "Never"

    def condition(self) -> sa.ColumnElement[bool]:
        return sa.false()

    def sentence(self) -> str:
        return "nobody"


class WithRule:
    @hookimpl
    def register_segment_rules(self) -> list[type[SegmentRule]]:
        return [Never]


def test_a_plugin_adds_its_parts_to_the_built_in_ones() -> None:
    plugins = Plugins([WithRule()], load_entry_points=False)
    keys = [part.key for part in plugins.all("segment_rules")]
    assert "never" in keys
    assert "everyone" in keys
    assert plugins.build("segment_rules", "never", {}) == Never()


def test_each_application_has_plugins_of_its_own() -> None:
    Plugins([WithRule()], load_entry_points=False)
    assert "never" not in [part.key for part in Plugins(load_entry_points=False).all("segment_rules")]


def test_a_misspelt_hook_stops_the_start_with_its_name() -> None:
    class Misspelt:
        @hookimpl
        def register_segment_rule(self) -> list[type[SegmentRule]]:
            return [Never]

    with pytest.raises(PluginError, match=r"register_segment_rule.*Misspelt"):
        Plugins([Misspelt()], load_entry_points=False)


def test_a_taken_key_stops_the_start_with_both_names() -> None:
    class Twin:
        @hookimpl
        def register_segment_rules(self) -> list[type[SegmentRule]]:
            return [Never]

    with pytest.raises(PluginError, match=r"'Twin'.*'never'.*'WithRule'"):
        Plugins([WithRule(), Twin()], load_entry_points=False)


def test_one_plugin_cannot_be_given_twice() -> None:
    plugin = WithRule()
    with pytest.raises(PluginError, match="'WithRule' cannot be registered"):
        Plugins([plugin, plugin], load_entry_points=False)


def _install(folder: Path, code: str) -> None:
    """An installed distribution with a module and its entry point, as pip leaves them."""
    (folder / "strange_rules.py").write_text(code)
    info = folder / "strange_rules-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-rules\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[pilot.plugins]\nstrange = strange_rules\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "strange_rules", raising=False)
    return tmp_path


def test_an_installed_plugin_is_found_by_its_entry_point(packages: Path) -> None:
    _install(
        packages,
        """
from dataclasses import dataclass
from pilot.api import SegmentRule, hookimpl
import sqlalchemy as sa

@dataclass(frozen=True)
class Strange(SegmentRule):
    key = "strange"
    label = "Strange"
    def condition(self): return sa.true()
    def sentence(self): return "strange"

@hookimpl
def register_segment_rules():
    return [Strange]
""",
    )
    found = {plugin.name: plugin for plugin in Plugins().info()}["strange"]
    assert found.version == "2.5"
    assert found.hooks == ("register_segment_rules",)
    assert found.parts == ("segment_rules: strange",)


def test_an_installed_plugin_that_cannot_be_loaded_stops_the_start(packages: Path) -> None:
    _install(packages, "import a_module_that_is_not_there\n")
    with pytest.raises(PluginError, match="a_module_that_is_not_there"):
        Plugins()


EVENT = ImportFinished(1, "customers", 10, 0)


def test_every_observer_hears_an_event_even_if_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    class Failing:
        @hookimpl
        def on_event(self, event: Event) -> None:
            raise RuntimeError

    class Listening:
        @hookimpl
        def on_event(self, event: Event) -> None:
            heard.append(event)

    Plugins([Listening(), Failing()], load_entry_points=False).publish(EVENT)
    assert heard == [EVENT]
    assert "plugin Failing failed to observe ImportFinished" in caplog.text


def test_the_first_reason_not_to_send_wins() -> None:
    def holding(reason: str | None) -> object:
        class Holding:
            @hookimpl
            def suppress_delivery(self, message: OutboxMessage) -> str | None:
                return reason

        return Holding()

    message = OutboxMessage()
    plugins = Plugins([holding(None)], load_entry_points=False)
    assert plugins.reason_to_suppress(message) is None
    plugins.manager.register(holding("on holiday"))
    assert plugins.reason_to_suppress(message) == "on holiday"


def test_pages_of_a_plugin_lie_below_its_name(config: Callable[..., Config]) -> None:
    pages = Blueprint("weather", __name__)
    pages.add_url_rule("/today", view_func=lambda: "rain")

    class Weather:
        __name__ = "weather"

        @hookimpl
        def register_blueprints(self) -> list[Blueprint]:
            return [pages]

    app: Flask = create_app(config(), plugins=[Weather()])
    try:
        assert app.test_client().get("/x/weather/today").text == "rain"
    finally:
        with app.app_context():
            db.engine.dispose()
