"""Spreadsheets as tables: XLSX, XLSM, XLS and ODS, read by a child process that cannot take this one down."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from pilot.customers.importers import Cell, Record, Table
from pilot.customers.intake import sheets
from pilot.customers.intake.rejects import as_it_was
from pilot.errors import InputError

MOST_UNPACKED = 200_000_000
MOST_RATIO = 100
_PATIENCE = 120
"""Seconds after which the child is ended, whatever it does."""
_ZIP, _OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_AS_CSV = "Save the sheet alone as a new workbook, or as CSV (UTF-8), and import that"


def is_workbook(path: Path) -> bool:
    """Whether the file begins like a spreadsheet and not like text."""
    try:
        with path.open("rb") as raw:
            start = raw.read(4)
    except OSError:
        return False
    return start == _OLD or (start == _ZIP and _holds_sheets(path))


def read_workbook(path: Path, sheet: str | None = None) -> Table:
    """One sheet as a table: the first visible one that holds anything, or the one asked for.

    The header is the first row with at least two cells. Numbers and days keep their types.

    Raises:
        InputError: The file is no workbook, is damaged or protected, unpacks to too much, or has no such sheet or
            table in it.
    """
    _check_archive(path)
    told, rows = _first_rows(path, sheet)
    header, line = _header(path, rows)
    how: dict[str, Any] = {"sheet": told["sheet"]}
    if len(told["sheets"]) > 1:
        how["other_sheets"] = [name for name in told["sheets"] if name != told["sheet"]]
    return as_it_was(Table(header, how, lambda: _records(path, told["sheet"], line, len(header))))


def _first_rows(path: Path, sheet: str | None) -> tuple[dict[str, Any], list[tuple[int, list[Cell]]]]:
    with _rows(path, sheet) as lines:
        told = json.loads(next(lines))
        rows = [_row(line) for _, line in zip(range(50), lines, strict=False)]
    return told, rows


def _header(path: Path, rows: list[tuple[int, list[Cell]]]) -> tuple[tuple[str, ...], int]:
    for line, cells in rows:
        names = [str(cell).strip() if cell is not None else "" for cell in cells]
        while names and not names[-1]:
            names.pop()
        if sum(map(bool, names)) > 1:
            return tuple(names), line
    raise InputError(
        "no row of the sheet has two cells, so there is no header",
        place=path.name,
        remedy="Give the columns names in one row above the data",
    )


def _records(path: Path, sheet: str, header_line: int, width: int) -> Iterator[Record]:
    with _rows(path, sheet) as lines:
        next(lines)
        for line in lines:
            number, cells = _row(line)
            if number > header_line:
                yield Record(number, number, _fitted(cells, width))


def _fitted(cells: list[Cell], width: int) -> list[Cell]:
    """As many cells as the header has; empty ones beyond are no part of the table."""
    while len(cells) > width and cells[-1] is None:
        cells.pop()
    return cells + [None] * (width - len(cells))


def _row(line: str) -> tuple[int, list[Cell]]:
    number, cells = json.loads(line)
    return number, [_cell(cell) for cell in cells]


def _cell(told: Any) -> Cell:
    if not isinstance(told, dict):
        return told  # type: ignore[no-any-return]
    kind, value = next(iter(told.items()))
    return Decimal(value) if kind == "n" else date.fromisoformat(value) if kind == "d" else bool(value)


@contextmanager
def _rows(path: Path, sheet: str | None) -> Iterator[IO[str]]:
    """The lines that the child writes.

    Raises:
        InputError: It found something wrong, or had to be ended.
    """
    with tempfile.TemporaryDirectory(prefix="pilot-") as folder:
        rows = Path(folder) / "rows.jsonl"
        command = [sys.executable, "-m", sheets.__name__, str(path.resolve()), str(rows), *([sheet] if sheet else [])]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise InputError(
                f"the workbook was not read within {_PATIENCE} seconds", place=path.name, remedy=_AS_CSV
            ) from None
        if child.returncode == sheets.WRONG:
            raise InputError(f"the workbook cannot be read: {child.stderr.strip()}", place=path.name, remedy=_AS_CSV)
        if child.returncode:
            raise InputError("the workbook takes more memory or time than it may", place=path.name, remedy=_AS_CSV)
        with rows.open(encoding="utf-8") as lines:
            yield lines


def _holds_sheets(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"xl/workbook.xml", "content.xml"} & set(archive.namelist()) != set()
    except zipfile.BadZipFile:
        return True  # a damaged one: to be said when it is read


def _check_archive(path: Path) -> None:
    """Refuse what would unpack to more than is reasonable, before anything is unpacked.

    Raises:
        InputError: It would, or the archive is damaged.
    """
    with path.open("rb") as raw:
        if raw.read(4) != _ZIP:
            return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile as error:
        raise InputError(f"the workbook is damaged: {error}", place=path.name, remedy="Fetch it again") from error
    unpacked, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
    if unpacked > MOST_UNPACKED or unpacked > MOST_RATIO * max(packed, 10_000):
        raise InputError(
            f"the workbook would unpack to {unpacked / 1e6:,.0f} MB, {unpacked / max(packed, 1):,.0f} times its size",
            place=path.name,
            remedy=_AS_CSV,
        )
