"""Use cases of taking in: files and databases, going on where one stopped, undoing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import sqlalchemy as sa

from pilot.accounts.service import Actor
from pilot.customers.intake import imports as intake
from pilot.customers.intake.merging import Progress
from pilot.customers.intake.opening import opened
from pilot.customers.intake.queries import read_query
from pilot.customers.intake.requests import ImportResult, Request, check_rejects, digest_of, silent
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.undoing import undo
from pilot.customers.models import Import
from pilot.db import db
from pilot.errors import NotFound

__all__ = [
    "KINDS",
    "ImportResult",
    "Overrules",
    "import_file",
    "import_of",
    "import_source",
    "imports",
    "resume_import",
    "undo_import",
]

KINDS = ("customers", "orders", "touches")


def import_file(
    actor: Actor,
    kind: str,
    path: Path,
    *,
    mapping: dict[str, str] | None = None,
    importer: str | None = None,
    overrules: Overrules | None = None,
    strict: bool = False,
    dry_run: bool = False,
    rejects: Path | None = None,
    progress: Progress = silent,
    upload: str = "",
) -> ImportResult:
    """Take a file into the base. The same file again changes nothing.

    Orders and touches are taken in as one act. Customers are, page by page, in an import that can be gone on with
    where it was interrupted (`resume_import`) or undone (`undo_import`).

    Args:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        path: The file.
        mapping: Their column by our field name, for columns that are not found by themselves.
        importer: Key of the importer; by default the one that recognises the file.
        overrules: What else of the file is known and not to be found out.
        strict: Take all rows or none; by default the good ones are taken and the bad ones refused.
        dry_run: Only say what would happen.
        rejects: Where to write refused rows with their reasons, as CSV; the file is made with the first of them.
        progress: Hears how many rows are done, and of how many.
        upload: The upload whose order this is.

    Raises:
        InputError: The file cannot be read, or `strict` and a row was refused. Nothing is taken over then.
        StateError: Another import of customers is running or was interrupted, or somebody else imported the same
            file at the same moment.
    """
    actor.require("operations")
    told = overrules or Overrules()
    if mapping:
        told = dataclasses.replace(told, columns={**told.columns, **mapping})
    chosen = opened(kind, path, told, importer)
    sha256 = digest_of(path)
    known = intake.earlier(kind, sha256)
    if known is not None and not dry_run:
        intake.check_reading(known, told)
        return intake.same_again(known)
    check_rejects(path, rejects)
    request = Request(actor, kind, path.name, chosen.key, sha256, told, strict, dry_run, rejects, progress, upload)
    return intake.take(request, chosen.read(path, kind))


def import_source(
    actor: Actor,
    kind: str,
    source: str,
    *,
    overrules: Overrules | None = None,
    strict: bool = False,
    dry_run: bool = False,
    rejects: Path | None = None,
    progress: Progress = silent,
    upload: str = "",
) -> ImportResult:
    """Take in what a configured database answers (`PILOT_SOURCES`), as `import_file` does a file.

    The same rows again change nothing, in whatever order they come.

    Raises:
        InputError: There is no such source or query, the database does not answer, or what `import_file` raises.
        StateError: As `import_file` raises it.
    """
    actor.require("operations")
    told = overrules or Overrules()
    told.check()
    request = Request(actor, kind, source, "database", "", told, strict, dry_run, rejects, progress, upload)
    return intake.take(request, read_query(source, kind))


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
    return undo(actor, import_of(import_id))


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
