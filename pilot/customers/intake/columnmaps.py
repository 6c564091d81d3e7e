"""What people said of the columns of a file, remembered for the next one with the same header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import sqlalchemy as sa

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.intake.understanding import Overrules
from pilot.customers.models import ColumnMap
from pilot.db import db, transaction

_READING = ("encoding", "delimiter", "decimal", "days", "sheet")


def digest_of(header: Sequence[str]) -> str:
    """A fingerprint of the names of columns, in their order."""
    return hashlib.sha256(json.dumps(list(header), ensure_ascii=False).encode()).hexdigest()


def remembered(kind: str, digest: str) -> ColumnMap | None:
    """What was said of the last file of this kind with this header; None if nobody has."""
    return db.session.scalar(sa.select(ColumnMap).where(ColumnMap.kind == kind, ColumnMap.header_digest == digest))


def remember(actor: Actor, kind: str, digest: str, overrules: Overrules) -> None:
    """Keep what is said of a file, in the place of what was said of the last one with this header."""
    actor.require("operations")
    with transaction() as work:
        entry = work.session.scalar(
            sa.select(ColumnMap).where(ColumnMap.kind == kind, ColumnMap.header_digest == digest).with_for_update()
        )
        if entry is None:
            entry = ColumnMap(kind=kind, header_digest=digest)
            work.session.add(entry)
        entry.columns = dict(overrules.columns)
        entry.reading = {name: value for name in _READING if (value := getattr(overrules, name))}
        entry.actor, entry.at = actor.name, clock.now()


def overrules_of(entry: ColumnMap) -> Overrules:
    """What was said, as it is said of a file."""
    told = {name: str(value) for name, value in entry.reading.items() if name in _READING}
    return Overrules(columns=entry.columns, **told)
