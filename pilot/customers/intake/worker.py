"""Carries out the orders that were given on pages: one after the other, each once, however often it is cut off."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import sqlalchemy as sa

from pilot import jobs
from pilot.accounts.service import Actor
from pilot.customers.intake import service, uploads
from pilot.customers.intake.lease import busy_until, interrupted
from pilot.customers.intake.requests import ImportResult
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.uploads import Upload
from pilot.customers.models import Import
from pilot.db import db
from pilot.errors import InputError, PilotError, StateError

log = logging.getLogger(__name__)

JOB = "imports"
TRY, TAKE, RESUME, UNDO = "try", "take", "resume", "undo"
"""What can be ordered: say what would happen, take over, go on with an interrupted import, take one back."""


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
    own = next((upload for upload in uploads.waiting() if upload.token == entry.upload), None)
    return own or _give(actor, RESUME, entry)


def give_undo(actor: Actor, entry: Import) -> Upload:
    """Order an import to be taken back; a job does it, for at a million customers it takes minutes.

    Returns:
        Where its outcome will stand: what was undone, or why it was refused.

    Raises:
        StateError: It was undone already, or somebody works on it.
    """
    actor.require("operations")
    if entry.state == "undone":
        raise StateError(f"import {entry.id} was undone already", remedy="There is nothing to do")
    if busy_until(entry) is not None:
        raise StateError(f"import {entry.id} is still running", remedy="Wait until it is done, then undo it")
    return _give(actor, UNDO, entry)


def undo_ordered(entry: Import) -> Upload | None:
    """The order to take an import back that waits or is being carried out."""
    return _ordered(UNDO, entry)


def _give(actor: Actor, what: str, entry: Import) -> Upload:
    """The order of this kind for an import: the one that waits already, or a new one."""
    upload = _ordered(what, entry)
    if upload is None:
        upload = uploads.keep_source("", entry.kind)
        upload.give_order({"what": what, "actor": actor.name, "import_id": entry.id})
    jobs.nudge(JOB)
    return upload


def _ordered(what: str, entry: Import) -> Upload | None:
    asked = {"what": what, "import_id": entry.id}
    return next((upload for upload in uploads.waiting() if asked.items() <= (upload.order or {}).items()), None)


def begun(upload: Upload) -> Import | None:
    """The import that carries out this order, once it was entered."""
    order = upload.order or {}
    if order.get("what") in (RESUME, UNDO):
        return db.session.get(Import, order["import_id"], populate_existing=True)
    query = sa.select(Import).where(Import.upload == upload.token).order_by(Import.id.desc()).limit(1)
    return db.session.scalar(query.execution_options(populate_existing=True))


def in_the_way(upload: Upload) -> Import | None:
    """Another import of customers that this one has to wait for."""
    if upload.kind != "customers" or (upload.order or {}).get("what") == UNDO:
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
        outcome = _refused(error)
    except Exception:
        log.exception("import of %s failed", upload.name)  # said once, rather than tried for ever
        outcome = {"error": {"reason": "", "place": upload.name, "remedy": ""}}
    upload.settle({"what": order["what"], **outcome})
    if order["what"] == TAKE and (outcome.get("import_id") or outcome.get("unchanged")):
        upload.spend()
    return True


def _outcome(actor: Actor, upload: Upload, order: dict[str, Any]) -> dict[str, Any]:
    entry = begun(upload)
    if order["what"] == UNDO:
        return _undone(actor, entry)
    if entry is not None and entry.state == "running":
        return _told(service.resume_import(actor, entry.id))
    if entry is not None:  # it was done, but the word of it was lost
        return {"import_id": entry.id}
    if order["what"] == RESUME:
        raise InputError("this import is no more", remedy="All its rows stood in the base already")
    taken = _taken(actor, upload, order)
    return {"import_id": taken.import_id} if taken.import_id and taken.accepted else _told(taken)


def _undone(actor: Actor, entry: Import | None) -> dict[str, Any]:
    """Take an import back. A refusal is final: what stands against it does not go by itself."""
    if entry is not None and entry.state != "undone":  # else it was done, but the word of it was lost
        try:
            service.undo_import(actor, entry.id)
        except StateError as error:
            return _refused(error)
    return {}


def _refused(error: PilotError) -> dict[str, Any]:
    return {"error": {"reason": error.reason, "place": error.place, "remedy": error.remedy}}


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
        "kept": taken.kept,
        "replaced": taken.replaced,
        "rejected": taken.rejected,
        "errors": [dataclasses.asdict(error) | {"cells": []} for error in taken.errors],
        "how": taken.how,
    }
