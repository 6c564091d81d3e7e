"""Use cases of taking in: files and databases, going on where one stopped, undoing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Unpack

import sqlalchemy as sa

from pilot.accounts.service import Actor
from pilot.customers.intake import imports as intake
from pilot.customers.intake import undoing
from pilot.customers.intake.merging import Progress
from pilot.customers.intake.opening import opened
from pilot.customers.intake.queries import read_query
from pilot.customers.intake.requests import Asked, ImportResult, Request, check_rejects, digest_of, silent
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.undoing import UndoPreview
from pilot.customers.models import Import
from pilot.customers.people import listkeys
from pilot.db import db
from pilot.errors import NotFound

__all__ = [
    "KINDS",
    "ImportResult",
    "Overrules",
    "UndoPreview",
    "import_file",
    "import_of",
    "import_source",
    "imports",
    "resume_import",
    "undo_import",
    "undo_preview",
]

KINDS = ("customers", "orders", "touches")


def import_file(
    actor: Actor,
    kind: str,
    path: Path,
    *,
    mapping: dict[str, str] | None = None,
    importer: str | None = None,
    **asked: Unpack[Asked],
) -> ImportResult:
    """Take a file into the base. The same file again changes nothing, unless the base has changed since.

    Orders and touches are taken in as one act. Customers are, page by page, in an import that can be gone on with
    where it was interrupted (`resume_import`) or undone (`undo_import`).

    Args:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        path: The file.
        mapping: Their column by our field name, for columns that are not found by themselves.
        importer: Key of the importer; by default the one that recognises the file.
        asked: How, by the names of `Request`.

    Raises:
        InputError: The file cannot be read. Nothing is taken over then.
        CheckFailed: `strict`, and a row was refused. Nothing is taken over then.
        StateError: Another import of customers is running or was interrupted, or somebody else imported the same
            file at the same moment.
    """
    actor.require("operations")
    told = asked.get("overrules") or Overrules()
    if mapping:
        told = dataclasses.replace(told, columns={**told.columns, **mapping})
    chosen = opened(kind, path, told, importer)
    check_rejects(path, asked.get("rejects"))
    asked["overrules"] = told
    request = Request(actor, kind, path.name, chosen.key, digest_of(path), **asked)
    return intake.take(request, lambda: chosen.read(path, kind))


def import_source(actor: Actor, kind: str, source: str, **asked: Unpack[Asked]) -> ImportResult:
    """Take in what a configured database answers (`PILOT_SOURCES`), as `import_file` does a file.

    The same rows again change nothing, in whatever order they come.

    Raises:
        InputError: There is no such source or query, the database does not answer, or what `import_file` raises.
        CheckFailed: As `import_file` raises it.
        StateError: As `import_file` raises it.
    """
    actor.require("operations")
    request = Request(actor, kind, source, "database", "", **asked)
    request.overrules.check()
    return intake.take(request, lambda: read_query(source, kind))


def resume_import(actor: Actor, import_id: int, *, progress: Progress = silent) -> ImportResult:
    """Go on with an interrupted import of customers where it stopped. Rows that are done are not looked at again.

    Raises:
        NotFound: There is no such import.
        StateError: It was not interrupted, or somebody is going on with it already.
    """
    actor.require("operations")
    return intake.go_on(actor, import_of(import_id), progress)


def undo_import(actor: Actor, import_id: int) -> int:
    """Take an import back as one act: customers it made go, those it changed are as before, its facts count no more.

    What a person has changed since stays as it is.

    Returns:
        How many customers went or changed back, or how many rows of facts count no more.

    Raises:
        NotFound: There is no such import.
        StateError: It is undone already or still running, a later import changed the same customers, or a customer it
            made is part of a pilot.
    """
    actor.require("operations")
    done = undoing.undo(actor, import_of(import_id))
    listkeys.catch_up()  # who went is found by no search any more
    return done


def undo_preview(actor: Actor, import_id: int) -> UndoPreview:
    """What `undo_import` would take with it now, exactly; nothing is changed.

    Raises:
        NotFound: There is no such import.
        StateError: Undoing it would be refused, for the reason it says.
    """
    actor.require("operations")
    return undoing.preview(import_of(import_id))


def imports(limit: int = 50, before: int | None = None) -> list[Import]:
    """The newest imports; with `before`, those older than that one."""
    query = sa.select(Import).order_by(Import.id.desc()).limit(limit)
    return list(db.session.scalars(query if before is None else query.where(Import.id < before)))


def import_of(import_id: int) -> Import:
    """One import, as it stands now.

    Raises:
        NotFound: There is none of this number.
    """
    entry = db.session.get(Import, import_id, populate_existing=True)
    if entry is None:
        raise NotFound(f"there is no import {import_id}", remedy="List them with pilot import --list")
    return entry
