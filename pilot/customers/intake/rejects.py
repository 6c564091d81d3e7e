"""The refused rows of a file: their number, the first few, and all of them in a file with their reasons."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pilot.customers.cells import inert, unmarked
from pilot.customers.importers import Origin, Record, RowError, Table
from pilot.customers.intake.fields import plain
from pilot.errors import CheckFailed, InputError

ERRORS_KEPT = 20
_OWN = {
    "en": ("refused line", "refused column", "refused value", "refused because", "refused from"),
    "it": ("riga rifiutata", "colonna rifiutata", "valore rifiutato", "rifiutata perché", "rifiutata da"),
    "pl": ("odrzucony wiersz", "odrzucona kolumna", "odrzucona wartość", "odrzucono, ponieważ", "odrzucono z"),
}
"""Our columns before those of the source, by language; kept files have the English ones. None is called as any field may
be, and by them we know our own file again, so they are no matter of catalogues."""
_WIDTH = len(_OWN["en"])
_ORIGIN = re.compile(r"file ([0-9a-f]{16})(?: (comma|point))?(?: (day|month|year))?")
"""With a word as well as digits, for digits alone a spreadsheet takes for a number."""


@dataclass(slots=True)
class Rejects:
    """What was refused of one file.

    Attributes:
        path: The file of refused rows; it is made with the first of them.
        origin: The file they are refused from.
        delimiter: What stands between its columns: the sign of the source, that the same program may open both.
        count: How many rows were refused.
        errors: The first of them.
    """

    path: Path
    origin: Origin
    delimiter: str = ","
    count: int = 0
    errors: list[RowError] = field(default_factory=list)

    def write(self, refused: Iterable[RowError], header: Sequence[str]) -> None:
        """Write all refused rows below the source's own names of their cells."""
        rows = iter(refused)
        first = next(rows, None)
        if first is None:
            return
        with self.path.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.writer(out, delimiter=self.delimiter)
            writer.writerow((*_OWN["en"], *map(inert, header)))
            for error in chain([first], rows):
                self._keep(error)
                writer.writerow(_told(error, self.origin))

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


def sign_of(delimiter: str) -> str:
    """The sign between columns that a source's own is called; a comma for a source that has none."""
    return {"semicolon": ";", "tab": "\t", "vertical bar": "|"}.get(delimiter, ",")


def copy_private(source: Path, to: Path) -> None:
    """Copy a file that holds data of people: only its owner may read the copy, whatever stood there before."""
    with source.open("rb") as read, open(to, "wb", opener=private) as written:
        os.fchmod(written.fileno(), 0o600)
        shutil.copyfileobj(read, written)


def rows_of(path: Path) -> Iterator[list[str]]:
    """The rows of a kept file of refused rows, the header first."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.reader(file, delimiter=delimiter_of(path))


def in_language(path: Path, language: str, words: Callable[[str], str]) -> Iterator[str]:
    """A kept file of refused rows as somebody who reads this language takes it away, some text at a time.

    Args:
        path: The kept file.
        language: That of the headers; of one that has none, English.
        words: Says a reason in that language.
    """
    rows = rows_of(path)
    header = [*_OWN.get(language, _OWN["en"]), *next(rows)[_WIDTH:]]
    out = io.StringIO("\ufeff", newline="")
    out.seek(0, io.SEEK_END)
    writer = csv.writer(out, delimiter=delimiter_of(path))
    writer.writerow(header)
    for number, (line, column, value, reason, *cells) in enumerate(rows):
        writer.writerow((line, column, value, inert(words(unmarked(reason))), *cells))
        if number % 500 == 499:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def delimiter_of(path: Path) -> str:
    """The sign behind the first of our columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.readline()[len(_OWN["en"][0])]


def private(path: str, flags: int) -> int:
    """An opener of files that only their owner may read."""
    return os.open(path, flags, 0o600)


def _told(error: RowError, origin: Origin) -> Sequence[object]:
    told = " ".join(filter(None, ("file", origin.source, origin.decimal, origin.days)))
    return (error.line, *map(inert, (error.column, error.value, error.reason, told, *error.cells)))


def as_it_was(table: Table) -> Table:
    """A file of refused rows, corrected, as the table they came from: without our columns and marks. Others as they are.

    Raises:
        InputError: A row does not say from which line of which file it was refused, or they are rows of several files.
    """
    ours = tuple(map(plain, table.header[:_WIDTH]))
    if ours not in [tuple(map(plain, names)) for names in _OWN.values()]:
        return table
    first = next((record for record in table.records() if not record.fault), None)
    told = _cell(first, _WIDTH - 1) if first is not None else ""
    found = _ORIGIN.fullmatch(told)
    if first is not None and found is None:
        raise _not_told(first, "it does not say which file this row was refused from")

    def records() -> Iterator[Record]:
        return (_as_refused(record, told) for record in table.records())

    origin = Origin(found[1], found[2] or "", found[3] or "") if found else None
    header = tuple(map(unmarked, table.header[_WIDTH:]))
    return replace(table, header=header, records=records, text=None, origin=origin)


def _as_refused(record: Record, origin: str) -> Record:
    """A corrected row, on the line it had in the file that it was refused from."""
    cells = [unmarked(cell) if isinstance(cell, str) else cell for cell in record.cells[_WIDTH:]]
    if record.fault:
        return record._replace(cells=cells)
    line, told = _cell(record, 0), _cell(record, _WIDTH - 1)
    if told != origin:
        raise _not_told(record, "this row was not refused from the same file as the first one")
    if not re.fullmatch("[0-9]{1,15}", line):
        raise _not_told(record, "it does not say on which line this row was refused")
    return record._replace(cells=cells, line=int(line), last_line=int(line) + record.last_line - record.line)


def _not_told(record: Record, reason: str) -> InputError:
    return InputError(
        reason,
        place=f"file of refused rows, line {record.line}",
        remedy="Import each file of refused rows by itself, with its first five columns as they were",
    )


def _cell(record: Record, index: int) -> str:
    """A cell of our columns as it was written, also where a spreadsheet made a number of it."""
    cell = record.cells[index] if index < len(record.cells) else ""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()
