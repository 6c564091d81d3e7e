"""Reads one sheet of a workbook in a process of its own, whose memory and time are limited: files come from strangers.

    python -m pilot.customers.intake.sheets WORKBOOK ROWS [SHEET]

writes to ROWS a JSON line for the sheet, `{"sheet": "Orders", "sheets": ["Orders", "Notes"]}`, and one for each row:
`[line, [cell, ...]]`. Text stays text; what the workbook holds as a value of its own type is `{"n": "12.5"}`,
`{"d": "2026-03-31"}`, `{"b": true}`, and an empty cell null. What is wrong goes to stderr, exit code 3.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

MEMORY = 1_000_000_000
"""Bytes of address space, of which the interpreter itself takes about a tenth."""
SECONDS = 60
"""Of computing time."""
MOST_COLUMNS = 200
WRONG = 3
"""Exit code for a workbook that cannot be read, with the reason on stderr."""


def main(arguments: Sequence[str]) -> int:
    """Write the rows of a sheet; the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    from python_calamine import CalamineError, CalamineWorkbook

    book_path, rows_path, *asked = arguments
    try:
        with CalamineWorkbook.from_path(book_path) as book, Path(rows_path).open("w", encoding="utf-8") as out:
            _write(book, asked[0] if asked else None, out)
    except (CalamineError, _UnfitError, OSError, ValueError) as error:
        sys.stderr.write(str(error))
        return WRONG
    return 0


class _UnfitError(Exception):
    """The workbook has no such sheet, or one that is no table."""


def _write(book: Any, asked: str | None, out: TextIO) -> None:
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    sheets = [
        sheet.name
        for sheet in book.sheets_metadata
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
    ]
    if asked is not None and asked not in sheets:
        raise _UnfitError(f"there is no sheet {asked!r} among {', '.join(map(repr, sheets)) or 'none'}")
    for name in [asked] if asked is not None else sheets:
        sheet = book.get_sheet_by_name(name)
        if sheet.width > MOST_COLUMNS:
            raise _UnfitError(f"the sheet {name!r} has {sheet.width:,} columns, {MOST_COLUMNS} are the most")
        if sheet.height or asked is not None:
            out.write(json.dumps({"sheet": name, "sheets": sheets}) + "\n")
            _write_rows(sheet, out)
            return
    raise _UnfitError("no sheet of it holds anything")


def _write_rows(sheet: Any, out: TextIO) -> None:
    first = sheet.start[0] if sheet.start else 0
    for number, row in enumerate(sheet.to_python(skip_empty_area=True), first + 1):
        cells = [_told(cell) for cell in row]
        if any(cell is not None for cell in cells):
            out.write(json.dumps([number, cells]) + "\n")


def _told(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return {"b": cell}
    if isinstance(cell, datetime):
        return {"d": cell.date().isoformat()}
    if isinstance(cell, date):
        return {"d": cell.isoformat()}
    if isinstance(cell, (time, timedelta)):
        return str(cell)
    # fifteen digits are what a spreadsheet shows and means: 0.1 + 0.2 is 0.3 in it
    return {"n": f"{Decimal(format(cell, '.15g')):f}"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
