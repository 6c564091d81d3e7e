"""Carries out the orders that were given on pages: one after the other, each once, however often it is cut off."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import sqlalchemy as sa

from pilot import clock, jobs
from pilot.accounts.service import Actor
from pilot.customers.intake import service, uploads
from pilot.customers.intake.requests import ImportResult
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.uploads import Upload
from pilot.customers.models import Import
from pilot.db import db
from pilot.errors import InputError, PilotError, StateError

log = logging.getLogger(__name__)

JOB = "imports"
TRY, TAKE, RESUME = "try", "take", "resume"
"""What can be ordered: say what would happen, take over, go on with an interrupted import."""


def give(actor: Actor, upload: Upload, what: str, overrules: Overrules, *, strict: bool = False) -> None:
    """Order a file or source to be tried or taken over; a job does it."""
    actor.require("operations")
    told = {**dataclasses.asdict(overrules), "columns": dict(overrules.columns)}
    upload.give_order({"what": what, "actor": actor.name, "overrules": told, "strict": strict})
    jobs.nudge(JOB)


def give_resumption(actor: Actor, entry: Import) -> Upload:
    """Order an interrupted import to be gone on with.

    Returns:
        Where its outcome will stand: the very upload it came from, if it came from one.

    Raises:
        StateError: It was not interrupted.
    """
    actor.require("operations")
    if not interrupted(entry):
        raise StateError(f"import {entry.id} was not interrupted", remedy="There is nothing to go on with")
    for upload in uploads.waiting():
        order = upload.order or {}
        if upload.token == entry.upload or order.get("import_id") == entry.id:
            jobs.nudge(JOB)
            return upload
    upload = uploads.keep_source("", entry.kind)
    upload.give_order({"what": RESUME, "actor": actor.name, "import_id": entry.id})
    jobs.nudge(JOB)
    return upload


def interrupted(entry: Import) -> bool:
    """Whether an import was begun, is not finished, and nobody works on it."""
    return entry.state == "running" and (entry.lease_until is None or entry.lease_until <= clock.now())


def begun(upload: Upload) -> Import | None:
    """The import that carries out this order, once it was entered."""
    order = upload.order or {}
    if order.get("what") == RESUME:
        return db.session.get(Import, order["import_id"], populate_existing=True)
    query = sa.select(Import).where(Import.upload == upload.token).order_by(Import.id.desc()).limit(1)
    return db.session.scalar(query.execution_options(populate_existing=True))


def in_the_way(upload: Upload) -> Import | None:
    """Another import of customers that this one has to wait for."""
    if upload.kind != "customers":
        return None
    entry = db.session.scalar(sa.select(Import).where(Import.kind == "customers", Import.state == "running"))
    return entry if entry is not None and entry.id != getattr(begun(upload), "id", None) else None


def work_off() -> bool:
    """Carry out the oldest order that can be. A job; true if more may be waiting."""
    for upload in uploads.waiting():
        if _carried_out(upload):
            return True
    uploads.sweep()
    return False


def _carried_out(upload: Upload) -> bool:
    """Do what is ordered; false if it has to wait for another import."""
    order = upload.order or {}
    actor = Actor(str(order["actor"]), frozenset({"operations"}))
    try:
        outcome = _outcome(actor, upload, order)
    except StateError as error:
        log.info("import of %s waits: %s", upload.name, error)
        return False
    except PilotError as error:
        outcome = {"error": {"reason": error.reason, "place": error.place, "remedy": error.remedy}}
    except Exception:
        log.exception("import of %s failed", upload.name)  # said once, rather than tried for ever
        outcome = {"error": {"reason": "", "place": upload.name, "remedy": ""}}
    upload.settle({"what": order["what"], **outcome})
    if order["what"] == TAKE and (outcome.get("import_id") or outcome.get("unchanged")):
        upload.spend()
    return True


def _outcome(actor: Actor, upload: Upload, order: dict[str, Any]) -> dict[str, Any]:
    entry = begun(upload)
    if entry is not None and entry.state == "running":
        return _told(service.resume_import(actor, entry.id))
    if entry is not None:  # it was done, but the word of it was lost
        return {"import_id": entry.id}
    if order["what"] == RESUME:
        raise InputError("this import is no more", remedy="All its rows stood in the base already")
    taken = _taken(actor, upload, order)
    return {"import_id": taken.import_id} if taken.import_id and taken.accepted else _told(taken)


def _taken(actor: Actor, upload: Upload, order: dict[str, Any]) -> ImportResult:
    settings: dict[str, Any] = {
        "overrules": Overrules(**order["overrules"]),
        "strict": bool(order["strict"]),
        "dry_run": order["what"] == TRY,
        "rejects": upload.rejects,
        "upload": upload.token,
    }
    if upload.source:
        return service.import_source(actor, upload.kind, upload.source, **settings)
    if upload.path is None:
        raise InputError("the file is no longer here", place=upload.name, remedy="Upload it again")
    return service.import_file(actor, upload.kind, upload.path, **settings)


def _told(taken: ImportResult) -> dict[str, Any]:
    """What became of it, as plain values."""
    return {
        "import_id": taken.import_id,
        "accepted": taken.accepted,
        "changed": taken.changed,
        "unchanged": taken.unchanged,
        "rejected": taken.rejected,
        "errors": [dataclasses.asdict(error) | {"cells": []} for error in taken.errors],
        "how": taken.how,
    }
