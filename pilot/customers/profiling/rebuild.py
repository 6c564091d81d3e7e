"""Making all profiles anew, asked for on a page: at once for a small base, as a job with progress for a large one.

That somebody asked stands in the audit trail, so it survives a restart; how far the work is stands in a small file,
because on SQLite nobody else can write while the profiles are written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from pilot import jobs
from pilot.accounts.models import AuditEntry
from pilot.accounts.service import Actor, record
from pilot.config import current
from pilot.customers import service
from pilot.customers.profiling import freshness
from pilot.db import db, transaction
from pilot.errors import PilotError

AT_ONCE = 20_000
"""Up to so many customers nobody needs to wait for a job."""
JOB = "profiles"
_ASKED, _FAILED = "profiles asked for", "profiles failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the last wish for new profiles stands.

    Attributes:
        asked_at: When somebody asked for them, if they are not made yet.
        written: How many are written so far.
        customers: How many there will be.
        failure: Why the last attempt failed; empty if it did not.
    """

    asked_at: datetime | None = None
    written: int = 0
    customers: int = 0
    failure: str = ""


def ask(actor: Actor) -> bool:
    """Have all profiles made anew, as of the sensible day.

    Returns:
        Whether it is done already; False if a job does it.
    """
    actor.require("operations")
    if service.customer_count() <= AT_ONCE:
        service.rebuild_profiles(actor, freshness.sensible_day())
        return True
    with transaction():
        record(actor, _ASKED, "base")
    jobs.nudge(JOB)
    return False


def work_off() -> bool:
    """Make the profiles that were asked for. A job; it never has more to do."""
    wish = _last()
    if wish is None or wish.action != _ASKED:
        return False
    asker = Actor(wish.actor, frozenset({"operations"}))
    total = service.customer_count()
    try:
        service.rebuild_profiles(asker, freshness.sensible_day(), wrote=lambda written: _note(written, total))
    except Exception as error:
        with transaction():
            record(asker, _FAILED, "base", reason=str(error) if isinstance(error, PilotError) else "")
        raise
    finally:
        _file().unlink(missing_ok=True)
    return False


def standing() -> Standing:
    """Whether new profiles are being made, and how far that is."""
    wish = _last()
    if wish is None or wish.action not in (_ASKED, _FAILED):
        return Standing()
    if wish.action == _FAILED:
        return Standing(failure=wish.details.get("reason") or "?")
    try:
        noted = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not begun, or just being written
        noted = {}
    return Standing(wish.at, noted.get("written", 0), noted.get("customers", 0))


def _last() -> AuditEntry | None:
    query = sa.select(AuditEntry).where(
        AuditEntry.subject == "base", AuditEntry.action.in_((_ASKED, _FAILED, "profiled"))
    )
    return db.session.scalar(query.order_by(AuditEntry.id.desc()).limit(1))


def _file() -> Path:
    return current().data_dir / "profiles.json"


def _note(written: int, customers: int) -> None:
    _file().write_text(json.dumps({"written": written, "customers": customers}), encoding="utf-8")
