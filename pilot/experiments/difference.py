"""Two plans side by side: what stands in one and not in the other, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pilot.experiments.plan import Plan


@dataclass(frozen=True, slots=True)
class Change:
    """One key of the plan that differs; None where it does not stand."""

    place: str
    before: Any
    after: Any


def changes(before: Plan, after: Plan) -> list[Change]:
    """What was changed, in the order of the plan. Arms and outcomes are compared by their key, other lists by place."""
    return compared(before.model_dump(mode="json"), after.model_dump(mode="json"))


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs between two documents in the shape of a plan; see `changes`."""
    return list(_compared("", before, after))


def _compared(place: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    old, new = _parts(before), _parts(after)
    if old is None or new is None:
        yield Change(place, before, after)
        return
    for name in dict.fromkeys([*old, *new]):
        yield from _compared(_joined(place, name, before), old.get(name), new.get(name))


def _parts(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list):
        keyed = value and all(isinstance(item, Mapping) and "key" in item for item in value)
        return {item["key"]: item for item in value} if keyed else dict(enumerate(value))
    return None


def _joined(place: str, name: Any, parent: Any) -> str:
    return f"{place}[{name}]" if isinstance(parent, list) else f"{place}.{name}".lstrip(".")
