"""Taking a file in: good rows into the base or the order store, bad ones into a file with their reasons."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.customers.bulk import batches, upsert
from pilot.customers.importers import RowError
from pilot.customers.intake.checks import CustomerRecord
from pilot.customers.models import Customer, Import
from pilot.customers.orderstore import store
from pilot.db import Transaction, db, transaction
from pilot.errors import InputError, StateError
from pilot.events import ImportFinished

Record = TypeVar("Record")

ERRORS_KEPT = 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+][0-9.,]+")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a file.

    Attributes:
        import_id: Number of the import that holds these rows; None where nothing was taken over.
        kind: `customers`, `orders` or `touches`.
        accepted: Rows taken over, new or changed; in a dry run, that would be.
        unchanged: Rows that were there already, just so.
        rejected: Rows refused.
        how: How the file was read.
        errors: The first refusals.
        rejects_file: Where all of them are written, if they are.
    """

    import_id: int | None
    kind: str
    accepted: int
    unchanged: int
    rejected: int
    how: dict[str, Any]
    errors: list[RowError]
    rejects_file: Path | None


@dataclass(frozen=True, slots=True)
class Source:
    """The file being taken in: who does it, what it is, which importer reads it and how."""

    actor: Actor
    kind: str
    path: Path
    sha256: str
    importer: str
    how: dict[str, Any]

    def entry(self) -> Import:
        """The import as it is stored, with nothing taken over yet."""
        return Import(
            kind=self.kind,
            filename=self.path.name[:255],
            sha256=self.sha256,
            importer=self.importer,
            reading=self.how,
            actor=self.actor.name,
            at=clock.now(),
            accepted=0,
            unchanged=0,
            rejected=0,
        )


@dataclass(slots=True)
class Sieve:
    """Lets good rows pass and keeps the refused ones: counts, the first few, and all of them in a file.

    Attributes:
        path: The file being read.
        strict: Whether one refused row refuses the whole file.
        rejects: Where to write refused rows, or None.
        header: The file's names of the cells of a row.
    """

    path: Path
    strict: bool
    rejects: Path | None
    header: Sequence[str] = ()
    passed: int = 0
    refused: int = 0
    errors: list[RowError] = field(default_factory=list)
    _out: IO[str] | None = None

    def __enter__(self) -> Self:
        if self.rejects is not None and self.rejects.resolve() == self.path.resolve():
            raise InputError(
                "the refused rows would overwrite the file itself",
                place=str(self.rejects),
                remedy="Choose another file for them",
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._out is not None:
            self._out.close()

    def sift(self, records: Iterable[Record | RowError]) -> Iterator[Record]:
        """The good ones, lazily.

        Raises:
            InputError: At the end, if `strict` and a row was refused.
        """
        for found in records:
            if isinstance(found, RowError):
                self._refuse(found)
            else:
                self.passed += 1
                yield found
        if self.strict and self.refused:
            first = self.errors[0]
            what = f"{first.column} {first.value!r}: " if first.column else ""
            listed = f" (all refused rows: {self.rejects})" if self._out is not None else ""
            raise InputError(
                f"{what}{first.reason}. {self.refused:,} of {self.passed + self.refused:,} rows cannot be taken over, "
                "so none is",
                place=f"{self.path.name}, line {first.line}",
                remedy=f"Correct the file{listed}, or take the good rows by importing without --strict",
            )

    def result(
        self, source: Source, import_id: int | None, accepted: int, unchanged: int, how: dict[str, Any] | None = None
    ) -> ImportResult:
        """What became of the file."""
        written = self.rejects if self._out is not None else None
        return ImportResult(
            import_id, source.kind, accepted, unchanged, self.refused, how or source.how, self.errors, written
        )

    def _refuse(self, error: RowError) -> None:
        self.refused += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)
        if self.rejects is None:
            return
        if self._out is None:
            self.rejects.parent.mkdir(parents=True, exist_ok=True)
            self._out = self.rejects.open("w", encoding="utf-8-sig", newline="")
            csv.writer(self._out).writerow(("line", "column", "value", "reason", *map(_inert, self.header)))
        told = (error.column, error.value, error.reason, *error.cells)
        csv.writer(self._out).writerow((error.line, *map(_inert, told)))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", place=str(path), remedy="Check path and permissions"
        ) from error


def earlier(kind: str, sha256: str) -> Import | None:
    """The import that took in these very facts, if there is one."""
    return db.session.scalar(
        sa.select(Import).where(Import.kind == kind, Import.sha256 == sha256, Import.fact_file.is_not(None))
    )


def take_customers(
    source: Source, records: Iterable[CustomerRecord | RowError], sieve: Sieve, *, dry_run: bool
) -> ImportResult:
    """Add new customers and correct changed ones, all in one transaction. Fields the file lacks stay as they are."""
    if dry_run:
        return sieve.result(source, None, *_pass_customers(sieve.sift(records), lambda changed: None))
    with transaction() as work:
        entry = source.entry()
        work.session.add(entry)
        work.session.flush()
        accepted, unchanged = _pass_customers(sieve.sift(records), lambda changed: _write(changed, entry.id))
        if not accepted:
            work.session.delete(entry)
            return sieve.result(source, None, 0, unchanged)
        entry.unchanged = unchanged
        _finish(work, source, entry, accepted, sieve.refused)
        return sieve.result(source, entry.id, accepted, unchanged)


def take_facts(source: Source, records: Iterable[Any], sieve: Sieve, *, dry_run: bool) -> ImportResult:
    """Write orders or touches to a file of the order store, durably, then name it in a committed import."""
    good = sieve.sift(records)
    first = next(good, None)
    if dry_run or first is None:
        for _ in good:
            pass  # counted as they pass
        return sieve.result(source, None, sieve.passed, 0)
    facts = store()
    name = facts.add(source.kind, chain([first], good))
    try:
        with transaction() as work:
            how = {**source.how, "customers_not_in_base": _strangers(facts.refs(name))}
            entry = source.entry()
            entry.reading, entry.fact_file = how, name
            work.session.add(entry)
            work.session.flush()
            _finish(work, source, entry, sieve.passed, sieve.refused)
            return sieve.result(source, entry.id, sieve.passed, 0, how)
    except IntegrityError as error:
        raise StateError(
            "somebody else has just imported the same file", place=source.path.name, remedy="There is nothing to do"
        ) from error


def _finish(work: Transaction, source: Source, entry: Import, accepted: int, rejected: int) -> None:
    entry.accepted, entry.rejected = accepted, rejected
    record(
        source.actor,
        "imported",
        f"import:{entry.id}",
        kind=source.kind,
        file=source.path.name,
        sha256=source.sha256,
        accepted=accepted,
        rejected=rejected,
    )
    work.emit(ImportFinished(entry.id, source.kind, accepted, rejected))


def _pass_customers(
    records: Iterable[CustomerRecord], write: Callable[[list[CustomerRecord]], None]
) -> tuple[int, int]:
    """Write those that are new or changed; the numbers of written and unchanged ones."""
    accepted = unchanged = 0
    for batch in batches(records, 500):
        refs = [found.ref for found in batch]
        digests = sa.select(Customer.ref, Customer.digest).where(Customer.ref.in_(refs))
        known = {row.ref: row.digest for row in db.session.execute(digests)}
        changed = [found for found in batch if known.get(found.ref) != found.digest]
        write(changed)
        accepted += len(changed)
        unchanged += len(batch) - len(changed)
    return accepted, unchanged


def _write(changed: list[CustomerRecord], import_id: int) -> None:
    if not changed:
        return
    at = clock.now()
    rows = [
        {"ref": found.ref, **found.fields, "digest": found.digest, "import_id": import_id, "updated_at": at}
        for found in changed
    ]
    upsert(Customer, rows, "ref", (name for name in rows[0] if name != "ref"))


def _strangers(refs: Iterable[str]) -> int:
    """How many of these customers are not in the base (yet)."""
    missing = 0
    for batch in batches(refs, 500):
        known = db.session.scalar(sa.select(sa.func.count()).where(Customer.ref.in_(batch)))
        missing += len(batch) - (known or 0)
    return missing


def _inert(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula; a mere number is none."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
