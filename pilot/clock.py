"""The one clock. Nothing else in the product asks the system for the time of day.

Tests and the demo set it, so that a pilot of three months runs in a minute and leaves true-looking dates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_offset = timedelta(0)


def now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC) + _offset


def today(zone: str) -> date:
    """The present date in a time zone, by its IANA name."""
    return now().astimezone(ZoneInfo(zone)).date()


def travel(to: datetime) -> None:
    """Let the clock of this process read `to` now, and tick on from there."""
    global _offset
    _offset = to - datetime.now(UTC)


def reset() -> None:
    """Let the clock read the system's time again."""
    global _offset
    _offset = timedelta(0)


@contextmanager
def travelling(to: datetime) -> Iterator[None]:
    """Within the block the clock starts at `to`; afterwards it reads the system's time again."""
    travel(to)
    try:
        yield
    finally:
        reset()
