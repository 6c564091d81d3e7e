"""Who is erased is forgotten by the files that imports leave as well: lists of refused rows, and uploads."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from pilot.config import current
from pilot.customers.cells import unmarked
from pilot.customers.intake import uploads
from pilot.customers.intake.folders import root
from pilot.customers.intake.rejects import delimiter_of, private, rows_of
from pilot.customers.models import Import
from pilot.db import db
from pilot.errors import StateError

_BETWEEN = re.compile(r"[;,\t|\"]")
_PACKED = (b"\x1f\x8b", b"PK", b"PAR1", b"\xff\xfe", b"\xfe\xff")
"""How files begin in which the bytes of a text do not stand as they are."""
_BLOCK = 1 << 20


def none_waiting(ref: str) -> None:
    """Let pass if no import that is not finished would bring the customer back.

    Raises:
        StateError: One tells of it.
    """
    unfinished = sa.select(Import.id, Import.staged).where(Import.staged.is_not(None))
    for number, staged in db.session.execute(unfinished):
        if any(_holds(path, ref) for path in (current().data_dir / str(staged)).glob("*.csv")):
            raise StateError(
                f"import {number} is not finished and tells of customer {ref}",
                remedy=f"Go on with import {number}, or undo it; then erase the customer",
            )


def forget(ref: str) -> int:
    """Take the rows of a customer number out of all kept lists of refused rows, and remove uploads that hold it.

    An upload that was ordered to be taken in stays: it is the newest word. One that cannot be searched is removed.

    Returns:
        How many lists were written anew, and uploads removed.
    """
    lists = sum(_without(path, ref) for path in root().glob("*-rejects.csv"))
    held = (upload for upload in uploads.idle() if any(_holds(path, ref) for path in _files(upload.folder)))
    removed = 0
    for upload in list(held):
        shutil.rmtree(upload.folder, ignore_errors=True)
        removed += 1
    return lists + removed


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _without(path: Path, ref: str) -> bool:
    """Take rows out of a list of refused rows; whether there were any. A list that cannot be read is emptied."""
    try:
        header, *rows = rows_of(path)
        kept = [row for row in rows if not any(_tells(cell, ref) for cell in row[1:])]
    except (ValueError, csv.Error):
        header, rows, kept = [], [[]], []
    if len(kept) == len(rows):
        return False
    draft = path.with_suffix(".draft")
    with open(draft, "w", encoding="utf-8-sig", newline="", opener=private) as out:
        writer = csv.writer(out, delimiter=delimiter_of(path))
        writer.writerows([header, *kept])
    draft.replace(path)
    return True


def _tells(cell: str, ref: str) -> bool:
    """Whether the number is this cell, or one of the cells of a row that could not be split."""
    text = unmarked(cell).strip()
    return text == ref or ref in (part.strip() for part in _BETWEEN.split(text))


def _holds(path: Path, ref: str) -> bool:
    """Whether the number may stand in a file: it does, or nobody can tell."""
    wanted = {ref.encode(code, "replace") for code in ("utf-8", "cp1250", "cp1252", "cp852")}
    before = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if not before and (block.startswith(_PACKED) or b"\x00" in block):
                return True
            if any(sign in before + block for sign in wanted):
                return True
            before = block[-max(map(len, wanted)) :]
    return False
