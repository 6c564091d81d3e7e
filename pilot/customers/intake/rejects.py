"""The refused rows of a file: their number, the first few, and all of them in a file with their reasons."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pilot.customers.cells import inert
from pilot.customers.importers import RowError
from pilot.errors import InputError

ERRORS_KEPT = 20


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
            writer.writerow(("line", "column", "value", "reason", *map(inert, header)))
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
