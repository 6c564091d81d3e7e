"""The life of an import: staged, understood, checked, taken over, finished, or interrupted and gone on with."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers.importers import Reading, Table
from pilot.customers.intake import staging
from pilot.customers.intake.factrows import fact_rows, strangers
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.folders import PLAN, folder_of_its_own, keep_rejects, root, write_plan
from pilot.customers.intake.merging import LEASE, Merge, Progress
from pilot.customers.intake.rejects import Rejects
from pilot.customers.intake.requests import ImportResult, Request
from pilot.customers.intake.sieve import Sieve
from pilot.customers.intake.staging import StagedFile
from pilot.customers.intake.understanding import (
    Overrules,
    Understanding,
    as_made,
    columns,
    evidence_of,
    understand,
)
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.customers.orderstore import store
from pilot.db import db, transaction
from pilot.errors import InputError, StateError
from pilot.events import ImportFinished

_PACKED = "COMPRESSION zstd, COMPRESSION_LEVEL 1"
"""The least of its levels: it takes half of the time of the usual one, and packs names and numbers as small."""
_AFTER = "after"
"""In the reading of an import of customers: what the base was told and was like when it was done."""


def earlier(kind: str, sha256: str) -> Import | None:
    """The import that took in these very facts, if there is one."""
    return db.session.scalar(
        sa.select(Import).where(Import.kind == kind, Import.sha256 == sha256, Import.fact_file.is_not(None))
    )


def nothing_new(request: Request) -> Import | None:
    """The import that took in this very file of customers, read just so, if nothing has touched the base since.

    That is: no other import of customers began, nobody corrected a customer, and none went or came.
    """
    last = db.session.scalar(sa.select(Import).where(Import.kind == "customers").order_by(Import.id.desc()).limit(1))
    if last is None or (last.state, last.sha256, last.importer) != ("done", request.sha256, request.importer):
        return None
    if last.reading.get(_AFTER) != _mark_of(request.overrules, _customers()):
        return None
    corrected = sa.select(CustomerChange.id).where(CustomerChange.import_id.is_(None), CustomerChange.at >= last.at)
    return last if db.session.scalar(corrected.limit(1)) is None else None


def _mark_of(overrules: Overrules, customers: int) -> dict[str, Any]:
    """What must be the same for the same file to change nothing: what was said of it, and how many customers there are."""
    return {"overrules": {**asdict(overrules), "columns": dict(overrules.columns)}, "customers": customers}


def _customers() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(Customer)) or 0


def check_reading(known: Import, overrules: Overrules) -> None:
    """Let pass a file that was taken in before if it is to be read just as it was then.

    Raises:
        InputError: It is to be read in another way; what was taken over would stand as it is.
    """
    before = known.reading.get(_AFTER)
    if before is not None and before["overrules"] != _mark_of(overrules, 0)["overrules"]:
        raise InputError(
            f"import {known.id} took this file in already, told to read it in another way",
            place=known.filename,
            remedy=f"Undo that first (pilot import --undo {known.id}), then import it again",
        )


def same_again(known: Import) -> ImportResult:
    """What is told of a file that was taken in before."""
    rows = known.accepted + known.unchanged
    reading = {name: value for name, value in known.reading.items() if name != _AFTER}
    return ImportResult(known.id, known.kind, 0, rows, known.rejected, reading, [], None)


def take(request: Request, source: Table | Reading) -> ImportResult:
    """Take a source in: good rows into the base or the order store, bad ones into a file with their reasons.

    Raises:
        InputError: The source cannot be understood, or `strict` and a row was refused. Nothing is taken over then.
        StateError: Another import of customers is under way, or was interrupted.
    """
    if request.kind == "customers":
        if (known := nothing_new(request)) is not None:
            return same_again(known)
        if not request.dry_run:
            _none_running(request.name)
    threads = 1 if request.kind == "customers" else staging.THREADS
    with folder_of_its_own() as folder, staging.engine(folder, threads=threads) as engine:
        sieve = _sifted(request, source, engine, folder)
        if not request.sha256:
            request = replace(request, sha256=sieve.staged.digest())
            if (known := earlier(request.kind, request.sha256)) is not None:
                return same_again(known)
        rejects = Rejects(folder / "rejects.csv")
        rejects.write(sieve.refused(), source.header)
        listed = _hand_over(rejects, request)
        good = sieve.count()
        if not good and not rejects.count:
            raise InputError("the file has a header but no rows", place=request.name, remedy="Export it again")
        if request.strict:
            rejects.none_allowed(request.name, good, listed)
        if request.kind == "customers":
            return _take_customers(request, sieve, rejects, good, listed)
        return _take_facts(request, sieve, rejects, good, listed)


def go_on(actor: Actor, entry: Import, progress: Progress) -> ImportResult:
    """Go on with an interrupted import of customers where it stopped.

    Raises:
        StateError: It is not one, or somebody is going on with it already.
    """
    _claim(entry)
    folder = root().parent / str(entry.staged)
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    with staging.engine(folder, threads=1) as engine:
        staged = staging.load(engine, StagedFile.restore(plan["file"]), folder)
        understanding = Understanding.restore(plan["understanding"], FIELDS[entry.kind])
        sieve = Sieve(staged, understanding, entry.kind, folder, date.fromisoformat(plan["today"]))
        merge = Merge(sieve, entry.id, entry.actor, plan["good"], entry.cursor, entry.accepted, entry.changed)
        _run(merge, progress)
    return _finished(actor, entry, merge, folder)


def _sifted(request: Request, source: Table | Reading, engine: Any, folder: Path) -> Sieve:
    fields = FIELDS[request.kind]
    if isinstance(source, Reading):
        staged = staging.stage(engine, source, folder, request.name)
        understood = as_made(source.how, staged.file.header, fields)
    else:
        places = columns(fields, source.header, request.overrules.columns, request.name)
        staged = staging.stage(engine, source, folder, request.name)
        understood = understand(source, fields, places, evidence_of(staged, fields, places), request.overrules)
    return Sieve(staged, understood, request.kind, folder, config.today())


def _take_customers(request: Request, sieve: Sieve, rejects: Rejects, good: int, listed: Path | None) -> ImportResult:
    how = sieve.understanding.how
    if request.dry_run or not good:
        merge = Merge(sieve, None, request.actor.name, good)
        merge.run(request.progress)
        return _result(request, None, merge, rejects, how, listed)
    write_plan(sieve, good)
    entry = _enter(request, how, good, rejects, sieve.folder)
    merge = Merge(sieve, entry.id, request.actor.name, good)
    _run(merge, request.progress)
    finished = _finished(request.actor, entry, merge, sieve.folder, request.overrules)
    return _result(request, finished.import_id, merge, rejects, how, listed)


def _result(
    request: Request,
    entry_id: int | None,
    merge: Merge,
    rejects: Rejects,
    how: dict[str, Any],
    listed: Path | None,
) -> ImportResult:
    return ImportResult(
        entry_id,
        request.kind,
        merge.accepted,
        merge.unchanged,
        rejects.count,
        how,
        rejects.errors,
        listed,
        merge.changed,
    )


def _run(merge: Merge, progress: Progress) -> None:
    """Whatever stops it, the import can be gone on with at once."""
    try:
        merge.run(progress)
    except StateError:
        raise
    except BaseException:
        with transaction() as work:
            work.session.execute(
                sa.update(Import)
                .where(Import.id == merge.entry_id, Import.state == "running")
                .values(lease_until=clock.now())
            )
        raise


def _enter(request: Request, how: dict[str, Any], good: int, rejects: Rejects, folder: Path) -> Import:
    """Enter an import of customers as running.

    Raises:
        StateError: Another one is.
    """
    try:
        with transaction() as work:
            _none_running(request.name)
            entry = _entry(request, how, rejects)
            entry.state, entry.total, entry.accepted = "running", good, 0
            entry.lease_until = clock.now() + LEASE
            entry.staged = f"{folder.parent.name}/{folder.name}"
            work.session.add(entry)
    except IntegrityError as error:
        raise StateError(
            "somebody else has just begun to import customers", place=request.name, remedy="Wait until that is done"
        ) from error
    return entry


def _entry(request: Request, how: dict[str, Any], rejects: Rejects) -> Import:
    return Import(
        kind=request.kind,
        filename=request.name[:255],
        sha256=request.sha256,
        importer=request.importer,
        reading={**how, _AFTER: _mark_of(request.overrules, 0)},
        actor=request.actor.name,
        at=clock.now(),
        accepted=0,
        unchanged=0,
        rejected=rejects.count,
        upload=request.upload or None,
    )


def _finished(
    actor: Actor, entry: Import, merge: Merge, folder: Path, overrules: Overrules | None = None
) -> ImportResult:
    """Close an import of which all is taken over. One that changed nothing is none."""
    entry_id: int | None = entry.id
    kept = keep_rejects(folder, entry.id)
    with transaction() as work:
        work.session.refresh(entry)
        if merge.accepted:
            entry.state, entry.staged, entry.lease_until, entry.rejects = "done", None, None, kept
            if overrules is not None:
                entry.reading = {**entry.reading, _AFTER: _mark_of(overrules, _customers())}
            _tell(work, actor, entry)
        else:
            entry_id = None
            work.session.delete(entry)
    rejected, how = entry.rejected, entry.reading
    shutil.rmtree(folder, ignore_errors=True)
    if entry_id is None and kept:
        (root().parent / kept).unlink(missing_ok=True)
    return ImportResult(entry_id, "customers", merge.accepted, merge.unchanged, rejected, how, [], None, merge.changed)


def _take_facts(request: Request, sieve: Sieve, rejects: Rejects, good: int, listed: Path | None) -> ImportResult:
    """Write orders or touches to a file of the order store, durably, then name it in a committed import."""
    how = sieve.understanding.how
    if request.dry_run or not good:
        return ImportResult(None, request.kind, good, 0, rejects.count, how, rejects.errors, listed)
    how = {**how, "customers_not_in_base": strangers(sieve)}
    rows = sieve.folder / "rows.parquet"
    sieve.staged.engine.execute(
        f"COPY ({fact_rows(sieve)}) TO '{str(rows).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, {_PACKED})"
    )
    request.progress(good, good)
    name = store().take(request.kind, rows)
    try:
        with transaction() as work:
            entry = _entry(request, how, rejects)
            entry.fact_file, entry.total, entry.accepted = name, good, good
            work.session.add(entry)
            work.session.flush()
            entry.rejects = keep_rejects(sieve.folder, entry.id)
            _tell(work, request.actor, entry)
            entry_id = entry.id
    except IntegrityError as error:
        raise StateError(
            "somebody else has just imported the same file", place=request.name, remedy="There is nothing to do"
        ) from error
    return ImportResult(entry_id, request.kind, good, 0, rejects.count, how, rejects.errors, listed)


def _tell(work: Any, actor: Actor, entry: Import) -> None:
    record(
        actor,
        "imported",
        f"import:{entry.id}",
        kind=entry.kind,
        file=entry.filename,
        sha256=entry.sha256,
        accepted=entry.accepted,
        rejected=entry.rejected,
    )
    work.emit(ImportFinished(entry.id, entry.kind, entry.accepted, entry.rejected))


def _none_running(name: str) -> None:
    """Let pass if no import of customers is under way or interrupted.

    Raises:
        StateError: One is.
    """
    entry = db.session.scalar(sa.select(Import).where(Import.kind == "customers", Import.state == "running"))
    if entry is None:
        return
    done, since = entry.accepted + entry.unchanged, f"{entry.at:%Y-%m-%d %H:%M} UTC"
    how_far = f"{done:,} of {entry.total or 0:,} rows are done"
    if entry.lease_until is not None and entry.lease_until > clock.now():
        raise StateError(
            f"{entry.actor} is importing customers from {entry.filename} since {since}; {how_far}",
            place=name,
            remedy="Wait until that is done",
        )
    raise StateError(
        f"import {entry.id} of {entry.filename}, begun by {entry.actor} at {since}, was interrupted; {how_far}",
        place=name,
        remedy=f"Go on with it (pilot import --resume {entry.id}) or undo it (pilot import --undo {entry.id}) first",
    )


def _claim(entry: Import) -> None:
    now = clock.now()
    with transaction() as work:
        told: Any = work.session.execute(
            sa.update(Import)
            .where(Import.id == entry.id, Import.state == "running", Import.lease_until <= now)
            .values(lease_until=now + LEASE)
        )
        if not told.rowcount:
            running = entry.state == "running"
            raise StateError(
                f"import {entry.id} is being worked on" if running else f"import {entry.id} is {entry.state}",
                remedy="Wait until that is done" if running else "Only an interrupted import can be gone on with",
            )
        work.session.refresh(entry)


def _hand_over(rejects: Rejects, request: Request) -> Path | None:
    """A copy of the refused rows where the person wants it."""
    if request.rejects is None or not rejects.count:
        return None
    request.rejects.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(rejects.path, request.rejects)
    return request.rejects
