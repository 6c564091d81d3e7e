"""Who works on an import of customers, and until when: so that none is done twice at once, and none waits for the dead.

An import is entered with a lease, renewed with every page. Whoever works on it also holds a lock in its folder, which
the system takes from a process that ends, however it ends. Where the lock is free the import was interrupted, whatever
its lease says. Should two processes ever believe that an import is theirs, its cursor tells the second one that it is
not (`merging.Merge`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pilot import clock, config
from pilot.customers.models import Import
from pilot.db import db, transaction
from pilot.errors import StateError

LEASE = timedelta(minutes=5)
"""Where the lock cannot tell, on another machine, an import that says nothing for so long was interrupted."""
_LOCK = "owner"


@contextmanager
def held(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[bool]:
    """Hold the lock of a folder, if nobody else does; whether that is so. What is not there cannot be held."""
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def busy_until(entry: Import) -> datetime | None:
    """Until when an import must be taken to be worked on; None where nobody works on it."""
    if entry.state != "running" or entry.lease_until is None or entry.lease_until <= clock.now():
        return None
    with held(folder_of(entry), fcntl.LOCK_SH) as free:  # those who only look do not stand in each other's way
        return None if free else entry.lease_until


def interrupted(entry: Import) -> bool:
    """Whether an import was begun, is not finished, and nobody works on it."""
    return entry.state == "running" and busy_until(entry) is None


def folder_of(entry: Import) -> Path:
    """Where its checked rows wait to be taken over."""
    return config.current().data_dir / str(entry.staged)


def told(moment: datetime) -> str:
    """The end of a lease as people read it: `14:35 UTC, in 4 minutes`."""
    minutes = max(1, round((moment - clock.now()).total_seconds() / 60))
    return f"{moment:%H:%M} UTC, in {minutes} minute{'s' if minutes > 1 else ''}"


def remedy(entry: Import) -> str:
    """What a person can do about an import that is not finished."""
    until = busy_until(entry)
    if until is None:
        return f"Go on with it (pilot import --resume {entry.id}) or undo it (pilot import --undo {entry.id})"
    return f"Wait until that is done. Should it say nothing until {told(until)}, it can be gone on with or undone then"


def none_running(name: str) -> None:
    """Let pass if no import of customers is under way or interrupted.

    Raises:
        StateError: One is.
    """
    entry = db.session.scalar(sa.select(Import).where(Import.kind == "customers", Import.state == "running"))
    if entry is None:
        return
    since = f"{entry.at:%Y-%m-%d %H:%M} UTC"
    how_far = f"{entry.accepted + entry.unchanged:,} of {entry.total or 0:,} rows are done"
    if interrupted(entry):
        reason = f"import {entry.id} of {entry.filename}, begun by {entry.actor} at {since}, was interrupted"
    else:
        reason = f"{entry.actor} is importing customers from {entry.filename} since {since}"
    raise StateError(f"{reason}; {how_far}", place=name, remedy=remedy(entry))


@contextmanager
def claimed(entry: Import) -> Iterator[None]:
    """Hold an interrupted import, to go on with it.

    Raises:
        StateError: It is not one, or somebody is going on with it already.
    """
    with held(folder_of(entry)) as free:
        _claim(entry, free=free)
        yield


def _claim(entry: Import, *, free: bool) -> None:
    now = clock.now()
    ours = [Import.id == entry.id, Import.state == "running"]
    if not free:
        ours.append(Import.lease_until <= now)
    with transaction() as work:
        taken: Any = work.session.execute(sa.update(Import).where(*ours).values(lease_until=now + LEASE))
        if not taken.rowcount:
            running = entry.state == "running"
            raise StateError(
                f"import {entry.id} is being worked on" if running else f"import {entry.id} is {entry.state}",
                remedy=remedy(entry) if running else "Only an interrupted import can be gone on with",
            )
        work.session.refresh(entry)
