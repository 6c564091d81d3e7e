"""Whether what is to be taken in was taken in before, so that it would change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from pilot.customers.intake.requests import ImportResult, Request
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import InputError

_AFTER = "after"
"""In the reading of an import: what it was told, and how many customers there are once it is done."""


def with_mark(how: Mapping[str, Any], request: Request, more: Mapping[str, Any]) -> dict[str, Any]:
    """How a source was read, and what must be the same for the same source to change nothing; `more` is kept with it."""
    customers = _customers() if request.kind == "customers" else 0
    return {**how, _AFTER: {**_told(request), "customers": customers, **more}}


def marked_done(entry: Import) -> dict[str, Any]:
    """The reading of an import of customers that is done: those there should be now, if none went meanwhile."""
    after = dict(entry.reading[_AFTER])
    return {**entry.reading, _AFTER: {**after, "customers": after["customers"] + entry.accepted - entry.changed}}


def _before(request: Request) -> Import | None:
    """The newest import that stands and took in these very facts, told to be read just so.

    Raises:
        InputError: They were told to be read in another way; what was taken over would stand as it is.
    """
    facts = sa.select(Import).where(
        Import.kind == request.kind, Import.sha256 == request.sha256, Import.fact_file.is_not(None)
    )
    known = db.session.scalar(facts.order_by(Import.id.desc()).limit(1))
    if known is None or known.reading.get(_AFTER, {}).get("overrules") in (None, _told(request)["overrules"]):
        return known
    if request.dry_run:
        return None
    raise InputError(
        f"import {known.id} took this file in already, told to read it in another way",
        place=known.filename,
        remedy=f"Undo that first (pilot import --undo {known.id}), then import it again",
    )


def _nothing_new(request: Request) -> Import | None:
    """The import that took in this very file of customers, read just so, if nothing has touched the base since.

    That is: no other import of customers began or was undone, nobody corrected a customer, and none went or came.
    """
    newest = sa.select(Import).where(Import.kind == "customers").order_by(Import.id.desc()).limit(1)
    last = db.session.scalar(newest)
    if last is None or (last.state, last.sha256, last.importer) != ("done", request.sha256, request.importer):
        return None
    if last.reading.get(_AFTER) != {**_told(request), "customers": _customers()}:
        return None
    corrected = sa.select(CustomerChange.id).where(CustomerChange.import_id.is_(None), CustomerChange.at >= last.at)
    undone = sa.select(Import.id).where(Import.kind == "customers", Import.undone_at >= last.at)
    touched = any(db.session.scalar(query.limit(1)) is not None for query in (corrected, undone))
    return None if touched else last


def again(request: Request) -> Import | Request:
    """The import because of which a request would change nothing; else the request, to be carried out.

    Orders and touches that were taken in before are taken in once more where a later import says otherwise of them, or
    customers of theirs were erased or renumbered since: then this is the newest word.

    Raises:
        InputError: They were taken in before, told to be read in another way.
    """
    if request.kind == "customers":
        return _nothing_new(request) or request
    known = _before(request)
    if known is None:
        return request
    if known.remaining is None and not store().contradicted(known.kind, known.id):
        return known
    return replace(request, repeat=known.repeat + 1)


def same_again(known: Import) -> ImportResult:
    """What is told of a file that was taken in before."""
    rows = known.accepted + known.unchanged
    return ImportResult(known.id, known.kind, 0, rows, known.rejected, told_of(known), [], None, kept=known.kept)


def told_of(entry: Import) -> dict[str, Any]:
    """How an import was read, for people."""
    return {name: value for name, value in entry.reading.items() if name != _AFTER}


def _told(request: Request) -> dict[str, Any]:
    """What was said of how a source is to be taken in."""
    overrules = {**asdict(request.overrules), "columns": dict(request.overrules.columns)}
    return {"overrules": overrules, "overwrite": request.overwrite}


def _customers() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(Customer)) or 0
