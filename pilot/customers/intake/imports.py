"""The life of an import: staged, understood, checked, taken over, finished, or interrupted and gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.customers.importers import Origin, Reading, Table
from pilot.customers.intake import staging
from pilot.customers.intake.continuing import continuation, hold, origin_of, told_otherwise
from pilot.customers.intake.evidence import evidence_of
from pilot.customers.intake.factrows import fact_rows, strangers
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.folders import PLAN, folder_of_its_own, keep_rejects, root, write_plan
from pilot.customers.intake.lease import LEASE, claimed, folder_of, none_running
from pilot.customers.intake.merging import Merge, Progress
from pilot.customers.intake.rejects import Rejects, sign_of
from pilot.customers.intake.repeats import again, marked_done, same_again, told_of, with_mark
from pilot.customers.intake.requests import ImportResult, Request
from pilot.customers.intake.sieve import Sieve
from pilot.customers.intake.staging import StagedFile
from pilot.customers.intake.understanding import Understanding, as_made, columns, understand
from pilot.customers.models import Import
from pilot.customers.orderstore import store
from pilot.db import db, transaction
from pilot.errors import InputError, StateError
from pilot.events import ImportFinished

_PACKED = "COMPRESSION zstd, COMPRESSION_LEVEL 1"
"""The least of its levels: it takes half of the time of the usual one, and packs names and numbers as small."""


def take(request: Request, read: Callable[[], Table | Reading]) -> ImportResult:
    """Take a source in: good rows into the base or the order store, bad ones into a file with their reasons.

    Raises:
        InputError: The source cannot be understood. Nothing is taken over then.
        CheckFailed: `strict`, and a row was refused. Nothing is taken over then.
        StateError: Another import of customers is under way, or was interrupted.
    """
    if request.sha256:
        if isinstance(known := again(request), Import):
            return same_again(known)
        request = known
    if request.kind == "customers" and not request.dry_run:
        none_running(request.name)
    threads = 1 if request.kind == "customers" else staging.THREADS
    with folder_of_its_own() as folder, staging.engine(folder, threads=threads) as engine:
        source = read()
        sieve = _sifted(request, source, engine, folder)
        if not request.sha256:
            if isinstance(known := again(replace(request, sha256=sieve.staged.digest())), Import):
                return same_again(known)
            request = known
        work = _checked(request, sieve, source)
        return _take_customers(work) if request.kind == "customers" else _take_facts(work)


@dataclass(frozen=True, slots=True)
class _Work:
    """A checked source: what was asked, its rows, how many of them are good, and those refused."""

    request: Request
    sieve: Sieve
    good: int
    rejects: Rejects
    listed: Path | None
    origin: Origin | None

    def result(self, entry_id: int | None, **counts: Any) -> ImportResult:
        """What became of it."""
        how, rejects = self.sieve.understanding.how, self.rejects
        told = {"rejected": rejects.count, "how": how, "errors": rejects.errors, "rejects_file": self.listed}
        return ImportResult(entry_id, self.request.kind, **{"accepted": self.good, "unchanged": 0, **told, **counts})


def _checked(request: Request, sieve: Sieve, source: Table | Reading) -> _Work:
    """Tell good rows from bad ones.

    Raises:
        InputError: There are no rows at all.
        CheckFailed: `strict`, and a row was refused.
    """
    origin, sign = origin_of(request, source, sieve), sign_of(sieve.understanding.how.get("delimiter", ""))
    rejects = Rejects(sieve.folder / "rejects.csv", origin, sign)
    rejects.write(sieve.refused(), source.header)
    listed = rejects.hand_over(request.rejects)
    good = sieve.count()
    if not good and not rejects.count:
        raise InputError("the file has a header but no rows", place=request.name, remedy="Export it again")
    if request.strict:
        rejects.none_allowed(request.name, good, listed)
    return _Work(request, sieve, good, rejects, listed, source.origin if isinstance(source, Table) else None)


def go_on(actor: Actor, entry: Import, progress: Progress) -> ImportResult:
    """Go on with an interrupted import of customers where it stopped.

    Raises:
        StateError: It is not one, or somebody is going on with it already.
    """
    folder = folder_of(entry)
    with claimed(entry), staging.engine(folder, threads=1) as engine:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        staged = staging.load(engine, StagedFile.restore(plan["file"]), folder)
        understanding = Understanding.restore(plan["understanding"], FIELDS[entry.kind])
        sieve = Sieve(staged, understanding, entry.kind, folder, date.fromisoformat(plan["today"]))
        done = {name: getattr(entry, name) for name in ("cursor", "accepted", "changed", "kept", "replaced")}
        merge = Merge(sieve, entry.id, entry.actor, plan["good"], plan["overwrite"], **done)
        _run(merge, progress)
        rejected, how = entry.rejected, told_of(entry)
        entry_id = _finish(actor, entry, merge)
    return ImportResult(
        entry_id, entry.kind, rejected=rejected, how=how, errors=[], rejects_file=None, **merge.counts()
    )


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


def _take_customers(work: _Work) -> ImportResult:
    request, sieve, good = work.request, work.sieve, work.good
    merge = Merge(sieve, None, request.actor.name, good, request.overwrite)
    if request.dry_run or not good:
        merge.run(request.progress)
        return work.result(None, **merge.counts())
    write_plan(sieve, good, overwrite=request.overwrite)
    entry = _enter(work)
    merge.entry_id = entry.id
    _run(merge, request.progress)
    return work.result(_finish(request.actor, entry, merge), **merge.counts())


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


def _enter(work: _Work) -> Import:
    """Enter an import of customers as running.

    Raises:
        StateError: Another one is.
    """
    folder, name = work.sieve.folder, work.request.name
    try:
        with transaction() as act:
            none_running(name)
            entry = _entry(work)
            entry.state = "running"
            entry.lease_until = clock.now() + LEASE
            entry.staged = f"{folder.parent.name}/{folder.name}"
            act.session.add(entry)
    except IntegrityError as error:
        raise StateError(
            "somebody else has just begun to import customers", place=name, remedy="Wait until that is done"
        ) from error
    return entry


def _entry(work: _Work, mark: Mapping[str, Any] = MappingProxyType({})) -> Import:
    request = work.request
    return Import(
        kind=request.kind,
        filename=request.name[:255],
        sha256=request.sha256,
        importer=request.importer,
        reading=with_mark(work.sieve.understanding.how, request, mark),
        actor=request.actor.name,
        at=clock.now(),
        total=work.good,
        accepted=0,
        unchanged=0,
        rejected=work.rejects.count,
        upload=request.upload or None,
        repeat=request.repeat,
    )


def _finish(actor: Actor, entry: Import, merge: Merge) -> int | None:
    """Close an import of which all is taken over; its number.

    The same file again that changed nothing is none. Another one that only found customers as they stand is kept: it
    told of them as well, so none of them goes when an earlier import is undone.
    """
    folder = merge.sieve.folder
    entry_id: int | None = entry.id
    kept = keep_rejects(folder, entry.id)
    with transaction() as work:
        work.session.refresh(entry)
        if merge.accepted or not _stands(entry):
            entry.state, entry.staged, entry.lease_until, entry.rejects = "done", None, None, kept
            entry.reading = marked_done(entry)
            _tell(work, actor, entry)
        else:
            entry_id = None
            work.session.delete(entry)
    shutil.rmtree(folder, ignore_errors=True)
    if entry_id is None and kept:
        (root().parent / kept).unlink(missing_ok=True)
    return entry_id


def _stands(entry: Import) -> bool:
    """Whether an import of the very same customers stands."""
    same = sa.select(Import.id).where(
        Import.kind == entry.kind, Import.sha256 == entry.sha256, Import.id != entry.id, Import.state == "done"
    )
    return db.session.scalar(same.limit(1)) is not None


def _take_facts(work: _Work) -> ImportResult:
    """Write orders or touches to a file of the order store, durably, then name it in a committed import."""
    request, sieve, good = work.request, work.sieve, work.good
    if not good:
        return work.result(None)
    how, rows = sieve.understanding.how, sieve.folder / "rows.parquet"
    how["customers_not_in_base"] = strangers(sieve)
    continued = continuation(request, work.origin, sieve)
    if continued.of is not None:
        how["continues"] = continued.of
    if not request.dry_run or store().holds(request.kind):
        _write_facts(sieve, rows)
        how |= told_otherwise(request.kind, rows, continued.of)
    if request.dry_run:
        return work.result(None)
    request.progress(good, good)
    name = store().take(request.kind, rows)
    try:
        with transaction() as act:
            hold(continued.of)
            entry = _entry(work, continued.mark)
            entry.fact_file, entry.accepted, entry.continues = name, good, continued.of
            act.session.add(entry)
            act.session.flush()
            entry.rejects = keep_rejects(sieve.folder, entry.id)
            _tell(act, request.actor, entry)
            entry_id = entry.id
    except IntegrityError as error:  # the file that it wrote is named by nothing, and is swept
        raise StateError(
            "somebody else has just imported the same file", place=request.name, remedy="There is nothing to do"
        ) from error
    return work.result(entry_id)


def _write_facts(sieve: Sieve, rows: Path) -> None:
    sieve.staged.engine.execute(
        f"COPY ({fact_rows(sieve)}) TO '{str(rows).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, {_PACKED})"
    )


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
