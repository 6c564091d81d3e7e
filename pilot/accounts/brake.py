"""A brake on guessing: after so many failed attempts on an account, or from an address, nobody is listened to.

Attempts are counted before they are looked at, so a thousand at once get no further than a thousand in a row.
The count lives in the memory of one process; with several, each of them allows its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from threading import Lock

from pilot import clock

ATTEMPTS = 10
WINDOW = timedelta(minutes=15)
_CROWD = 10_000
"""So many keys are remembered at most; the oldest give way."""


class Brake:
    """Counts attempts per key: at most `attempts` within `window`."""

    def __init__(self, attempts: int = ATTEMPTS, window: timedelta = WINDOW) -> None:
        self.attempts, self.window = attempts, window
        self._seen: dict[str, deque[datetime]] = {}
        self._lock = Lock()

    def admit(self, keys: Iterable[str]) -> timedelta | None:
        """Count an attempt under all these keys.

        Returns:
            None if it may be looked at, else how long to wait. An attempt that is turned away does not count.
        """
        keys, now = list(keys), clock.now()
        with self._lock:
            waits = [self._recent(key, now)[0] for key in keys if len(self._recent(key, now)) >= self.attempts]
            if waits:
                return max(waits) + self.window - now
            for key in keys:
                self._seen.setdefault(key, deque()).append(now)
            while len(self._seen) > _CROWD:
                del self._seen[next(iter(self._seen))]
        return None

    def forgive(self, keys: Iterable[str]) -> None:
        """Take back the last attempt under these keys: it was a right one."""
        with self._lock:
            for key in keys:
                if self._seen.get(key):
                    self._seen[key].pop()

    def _recent(self, key: str, now: datetime) -> deque[datetime]:
        """The attempts under a key within the window; older ones are forgotten."""
        times = self._seen.get(key, deque())
        while times and times[0] <= now - self.window:
            times.popleft()
        return times


def neighbourhood(address: str | None) -> str:
    """The address as brakes see it: an IPv6 customer owns a whole /64, so that is one neighbour."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return address or "unknown"
    return str(found) if found.version == 4 else str(ip_network(f"{found}/64", strict=False))
