"""Parts: the one shape of everything a plugin can add.

A part is a frozen dataclass with `key` and `label` as class attributes and its settings as fields. From the
fields alone the host checks settings, stores them as JSON and restores the part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pilot.errors import InputError, PluginError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Part:
    """Base class of parts. Subclasses are decorated with `@dataclass(frozen=True)`.

    Attributes:
        key: Stable identifier, unique within its kind, as written in plans: lower case with hyphens.
        label: English name for people; pages translate it.
    """

    key: ClassVar[str]
    label: ClassVar[str]

    def settings(self) -> dict[str, Any]:
        """The part's settings as plain JSON values, complete with defaults."""
        settings: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        return settings

    @classmethod
    def restore(cls, settings: Mapping[str, Any], *, place: str = "") -> Self:
        """The part with these settings.

        Args:
            settings: Values by field name, as in a plan or as `settings()` returned them.
            place: Where the settings stand, for the error.

        Raises:
            InputError: A setting is unknown, missing or of the wrong kind; the place names it.
        """
        from pydantic import ValidationError

        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in settings:
            if name not in names:
                known = ", ".join(names) or "it has none"
                raise InputError(
                    f"{cls.key} has no setting {name!r}",
                    place=f"{place}.{name}".strip("."),
                    remedy=f"Settings of {cls.key}: {known}",
                )
        try:
            part: Self = _adapter(cls).validate_python(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in (place, *first["loc"]) if step != "")
            reason = first["msg"].removeprefix("Value error, ")
            raise InputError(
                reason[0].lower() + reason[1:], place=where, remedy=f"Correct this setting of {cls.key}"
            ) from error
        return part

    def faults(self) -> list[str]:
        """What this part breaks of the promises of its kind, a clause for each; `pilot.testing` asks for it."""
        return []


class Registry:
    """Parts by kind and key. A kind is the name of the collecting hook without `register_`.

    Iterating a kind gives its parts in the order of registration.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, tuple[type[Part], str]]] = {}

    def add(self, kind: str, parts: Iterable[type[Part]], plugin: str) -> None:
        """Take over the parts of one plugin.

        Raises:
            PluginError: A part has no key, is not a frozen dataclass, or its key is taken.
        """
        shelf = self._parts.setdefault(kind, {})
        for part in parts:
            _check_shape(part, plugin)
            if part.key in shelf:
                raise PluginError(
                    f"plugin {plugin!r} registers {kind} key {part.key!r}, "
                    f"which plugin {shelf[part.key][1]!r} already has"
                )
            shelf[part.key] = (part, plugin)

    def kinds(self) -> list[str]:
        """All kinds that have been offered parts."""
        return list(self._parts)

    def all(self, kind: str) -> list[type[Part]]:
        """The part classes of one kind."""
        return [part for part, _ in self._parts.get(kind, {}).values()]

    def owner(self, kind: str, key: str) -> str:
        """Name of the plugin that registered this part."""
        return self._parts[kind][key][1]

    def get(self, kind: str, key: str, *, place: str = "") -> type[Part]:
        """The part class of this kind and key.

        Raises:
            InputError: There is none; the remedy lists what there is.
        """
        shelf = self._parts.get(kind, {})
        if key not in shelf:
            near = get_close_matches(key, shelf, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"unknown {_singular(kind)} {key!r}",
                place=place,
                remedy=f"{hint}Installed: {', '.join(shelf) or 'none'}",
            )
        return shelf[key][0]


_adapters: dict[type[Part], TypeAdapter[Any]] = {}


def _adapter(part: type[Part]) -> TypeAdapter[Any]:
    """What checks and writes the settings of a part; made once, since that takes milliseconds."""
    from pydantic import TypeAdapter

    if part not in _adapters:
        _adapters[part] = TypeAdapter(part)
    return _adapters[part]


def _singular(kind: str) -> str:
    return kind.replace("_", " ").removesuffix("s") if kind != "analyses" else "analysis"


def _check_shape(part: type[Part], plugin: str) -> None:
    name = getattr(part, "__name__", repr(part))
    if not (isinstance(part, type) and issubclass(part, Part)):
        raise PluginError(f"plugin {plugin!r} registers {name}, which is not a subclass of Part")
    if not isinstance(getattr(part, "key", None), str) or not isinstance(getattr(part, "label", None), str):
        raise PluginError(f"part {name} of plugin {plugin!r} lacks a key or a label")
    params = getattr(part, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise PluginError(f"part {name} of plugin {plugin!r} is not a frozen dataclass")
