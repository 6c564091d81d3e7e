"""The refused rows of a file: their number, the first few, and all of them in a file with their reasons."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pilot.customers.cells import inert, unmarked
from pilot.customers.importers import Record, RowError, Table
from pilot.errors import CheckFailed

ERRORS_KEPT = 20
_OWN = ("refused line", "refused column", "refused value", "refused because")
"""Our columns before those of the source. None is called as any field may be, and by them we know our own file again."""


@dataclass(slots=True)
class Rejects:
    """What was refused of one file.

    Attributes:
        path: The file of refused rows; it is made with the first of them.
        count: How many rows were refused.
        errors: The first of them.
    """

    path: Path
    count: int = 0
    errors: list[RowError] = field(default_factory=list)

    def write(self, refused: Iterable[RowError], header: Sequence[str]) -> None:
        """Write all refused rows below the source's own names of their cells."""
        rows = iter(refused)
        first = next(rows, None)
        if first is None:
            return
        with self.path.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.writer(out)
            writer.writerow((*_OWN, *map(inert, header)))
            for error in chain([first], rows):
                self._keep(error)
                writer.writerow(_told(error))

    def hand_over(self, to: Path | None) -> Path | None:
        """Copy them to where the person wants them, who alone may read them there; where, None if there are none."""
        if to is None or not self.count:
            return None
        to.parent.mkdir(parents=True, exist_ok=True)
        copy_private(self.path, to)
        return to

    def none_allowed(self, place: str, good: int, listed: Path | None) -> None:
        """Let pass a file without refused rows.

        Raises:
            CheckFailed: There is one.
        """
        if not self.count:
            return
        first = self.errors[0]
        what = f"{first.column} {first.value!r}: " if first.column else ""
        where = f" (all refused rows: {listed})" if listed is not None else ""
        raise CheckFailed(
            f"{what}{first.reason}. {self.count:,} of {good + self.count:,} rows cannot be taken over, so none is",
            place=f"{place}, line {first.line}",
            remedy=f"Correct the file{where}, or take the good rows by importing without --strict",
        )

    def _keep(self, error: RowError) -> None:
        self.count += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)


def copy_private(source: Path, to: Path) -> None:
    """Copy a file that holds data of people: only its owner may read the copy, whatever stood there before."""
    with source.open("rb") as read, open(to, "wb", opener=_privately) as written:
        os.fchmod(written.fileno(), 0o600)
        shutil.copyfileobj(read, written)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _told(error: RowError) -> Sequence[object]:
    return (error.line, *map(inert, (error.column, error.value, error.reason, *error.cells)))


def as_it_was(table: Table) -> Table:
    """A file of refused rows, corrected, as the table they came from: without our columns and marks. Others as they are."""
    if table.header[: len(_OWN)] != _OWN:
        return table

    def records() -> Iterator[Record]:
        for record in table.records():
            cells = [unmarked(cell) if isinstance(cell, str) else cell for cell in record.cells[len(_OWN) :]]
            yield record._replace(cells=cells)

    return replace(table, header=tuple(map(unmarked, table.header[len(_OWN) :])), records=records, text=None)
