"""Finding plugins, collecting their parts, and telling them what happened.

Each application has its own manager: tests and tools never share registrations.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy
from flask import Flask, current_app

from pilot import __version__
from pilot.errors import PluginError
from pilot.parts import Part, Registry
from pilot.plugins import hookspecs

if TYPE_CHECKING:
    from pilot.events import Event
    from pilot.mail.models import OutboxMessage

log = logging.getLogger(__name__)

ENTRY_POINTS = "pilot.plugins"
BUILTIN = (
    "analyses",
    "assignment",
    "channels",
    "combinations",
    "engines",
    "importers",
    "observers",
    "outcomes",
    "questions",
    "rules",
    "sampling",
    "sections",
    "traits",
    "transports",
)


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What is known of one plugin: its name, version, hooks, and parts as `kind: key` pairs."""

    name: str
    version: str
    hooks: tuple[str, ...]
    parts: tuple[str, ...]


class Plugins:
    """The plugins of one application and the parts they registered."""

    def __init__(self, extra: Iterable[object] = (), *, load_entry_points: bool = True) -> None:
        """Load built-ins, installed plugins and `extra` plugin objects, and collect their parts.

        Raises:
            PluginError: A plugin cannot be loaded, implements an unknown hook, or registers a bad part.
        """
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        for name in BUILTIN:
            self._register(importlib.import_module(f"pilot.plugins.builtin.{name}"), name)
        for plugin in extra:
            self._register(plugin, getattr(plugin, "__name__", type(plugin).__name__))
        if load_entry_points:
            self._load_entry_points()
        self._check_hooks()
        self.registry = self._collect()

    def get(self, kind: str, key: str, *, place: str = "") -> type[Any]:
        """The part class of this kind and key; see `Registry.get`."""
        return self.registry.get(kind, key, place=place)

    def all(self, kind: str) -> list[type[Any]]:
        """All part classes of one kind."""
        return self.registry.all(kind)

    def build(self, kind: str, key: str, settings: dict[str, Any], *, place: str = "") -> Any:
        """A part with its settings.

        Raises:
            InputError: The part or one of its settings does not exist or does not fit.
        """
        part: type[Part] = self.registry.get(kind, key, place=place)
        return part.restore(settings, place=place)

    def publish(self, event: Event) -> None:
        """Tell every observer of an event; one that fails is logged and the others still hear of it."""
        for impl in self.manager.hook.on_event.get_hookimpls():
            try:
                impl.function(event)
            except Exception:
                log.exception("plugin %s failed to observe %s", impl.plugin_name, type(event).__name__)

    def reason_to_suppress(self, message: OutboxMessage) -> str | None:
        """The first reason any plugin gives for not sending this message."""
        reason: str | None = self.manager.hook.suppress_delivery(message=message)
        return reason

    def info(self) -> list[PluginInfo]:
        """Name, version, hooks and parts of every plugin, built-ins first."""
        versions = {plugin: f"{distribution.version}" for plugin, distribution in self.manager.list_plugin_distinfo()}
        found = []
        for name, plugin in self.manager.list_name_plugin():
            hooks = tuple(sorted(caller.name for caller in self.manager.get_hookcallers(plugin) or []))
            parts = tuple(
                f"{kind}: {part.key}"
                for kind in self.registry.kinds()
                for part in self.registry.all(kind)
                if self.registry.owner(kind, part.key) == name
            )
            found.append(PluginInfo(name, versions.get(plugin, __version__), hooks, parts))
        return found

    def _register(self, plugin: object, name: str) -> None:
        try:
            self.manager.register(plugin, name)
        except ValueError as error:
            raise PluginError(f"plugin {name!r} cannot be registered: {error}") from error

    def _load_entry_points(self) -> None:
        try:
            self.manager.load_setuptools_entrypoints(ENTRY_POINTS)
        except Exception as error:
            raise PluginError(
                f"an installed plugin cannot be loaded: {error}",
                remedy="Repair or uninstall it; its name is in the traceback above this error",
            ) from error

    def _check_hooks(self) -> None:
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(str(error)) from error

    def _collect(self) -> Registry:
        registry = Registry()
        for name in sorted(vars(hookspecs)):
            if not name.startswith("register_") or name == "register_blueprints":
                continue
            for impl in getattr(self.manager.hook, name).get_hookimpls():
                parts: Any = impl.function()
                registry.add(name.removeprefix("register_"), parts, impl.plugin_name)
        return registry


def init_app(app: Flask, extra: Iterable[object] = ()) -> None:
    """Give this application its own plugins."""
    app.extensions["pilot.plugins"] = Plugins(extra)


def plugins() -> Plugins:
    """The plugins of the current application."""
    found: Plugins = current_app.extensions["pilot.plugins"]
    return found


def mount_blueprints(app: Flask) -> None:
    """Mount each plugin's pages below `/x/<plugin>/`."""
    found: Plugins = app.extensions["pilot.plugins"]
    for impl in found.manager.hook.register_blueprints.get_hookimpls():
        blueprints: Any = impl.function()
        for blueprint in blueprints:
            app.register_blueprint(blueprint, url_prefix=f"/x/{impl.plugin_name}{blueprint.url_prefix or ''}")
