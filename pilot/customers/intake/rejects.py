"""The refused rows of a file: their number, the first few, and all of them in a file with their reasons."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pilot.customers.cells import inert, unmarked
from pilot.customers.importers import Record, RowError, Table
from pilot.errors import InputError

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

    def none_allowed(self, place: str, good: int, listed: Path | None) -> None:
        """Let pass a file without refused rows.

        Raises:
            InputError: There is one.
        """
        if not self.count:
            return
        first = self.errors[0]
        what = f"{first.column} {first.value!r}: " if first.column else ""
        where = f" (all refused rows: {listed})" if listed is not None else ""
        raise InputError(
            f"{what}{first.reason}. {self.count:,} of {good + self.count:,} rows cannot be taken over, so none is",
            place=f"{place}, line {first.line}",
            remedy=f"Correct the file{where}, or take the good rows by importing without --strict",
        )

    def _keep(self, error: RowError) -> None:
        self.count += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)


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
