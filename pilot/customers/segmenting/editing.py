"""Changing one segment at a time: each change is saved as the whole order of segments, as one act."""

from __future__ import annotations

from typing import Any

from pilot.accounts.service import Actor
from pilot.customers import service
from pilot.customers.segmenting.movements import Outcome
from pilot.db import transaction
from pilot.errors import NotFound, StateError


def definitions() -> list[dict[str, Any]]:
    """The segments in order of precedence, as a person writes them."""
    names = ("key", "name", "rule", "settings", "channel", "settle_days", "approval")
    return [{name: getattr(segment, name) for name in names} for segment in service.segments()]


def definition(key: str) -> dict[str, Any]:
    """One segment as a person writes it.

    Raises:
        NotFound: There is none of this key.
    """
    for found in definitions():
        if found["key"] == key:
            return found
    raise NotFound(f"there is no segment {key!r}", remedy="See the list of segments")


def save(actor: Actor, changed: dict[str, Any], *, new: bool) -> Outcome:
    """Put a segment in the place of the one with its key, or add it: last, but before one that takes everyone.

    Returns:
        How many customers in it got a movement because its handling has changed, and what became of it.

    Raises:
        InputError: Rule, channel or a setting does not fit; nothing is changed then.
        NotFound: It was deleted meanwhile.
    """
    with transaction():
        standing = definitions()
        if new:
            closing = bool(standing) and standing[-1]["rule"] == "everyone"
            standing.insert(len(standing) - closing, changed)
        else:
            standing[standing.index(definition(changed["key"]))] = changed
        return service.set_segments(actor, standing)


def move(actor: Actor, key: str, step: int) -> None:
    """Let a segment take precedence over its neighbour (-1), or the other way round (1); at the end it stays.

    Raises:
        NotFound: There is no such segment.
    """
    with transaction():
        standing = definitions()
        place = standing.index(definition(key))
        other = min(max(place + step, 0), len(standing) - 1)
        standing.insert(other, standing.pop(place))
        service.set_segments(actor, standing)


def delete(actor: Actor, key: str) -> None:
    """Delete a segment. Its customers stay in it until the next evaluation puts them elsewhere.

    Raises:
        NotFound: There is no such segment.
        StateError: It is the last one.
    """
    with transaction():
        gone = definition(key)
        left = [other for other in definitions() if other != gone]
        if not left:
            raise StateError("the last segment cannot be deleted", remedy="Change it, or add another one first")
        service.set_segments(actor, left)
