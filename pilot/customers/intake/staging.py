"""Any source as one table of raw text in the data engine, its records in the order of the source.

What is read is always one text file of our own below the data folder, so that nobody can change it meanwhile and an
interrupted import reads exactly the same again. A delimited file is copied as it is and split by the data engine, if
that finds as many records as there are lines. Every other source, and every file with line breaks within cells, blank
lines or rows of another width, goes through Python record by record and is written anew, each record with its line
number and what is wrong with it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pilot.customers.importers import Cell, DelimitedText, Reading, Record, Row, RowError, Table
from pilot.customers.intake.delimited import blocks
from pilot.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TYPED = "\x02"
"""Stands before a cell that was no text in its source: its way of writing is ours, and decides nothing."""
MEMORY_LIMIT = "512MB"
THREADS = 4
_LONGEST_LINE = 1 << 17
"""Bytes. Python's reader takes no longer cells, so longer lines are left to it."""
_LONGEST_ROW = 1 << 18
"""Characters in all cells. Written in UTF-8, or in JSON with a fault, it is a line that the engine takes."""
_OWN = ("line", "fault", "cells")
"""The columns before the cells in a file that was written anew."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """The text file that is read, and how it is laid out.

    Attributes:
        name: File name below the folder.
        header: The source's own names of its columns, for people.
        width: Number of columns of cells.
        delimiter: What separates them.
        own: Whether it was written anew: with line number, fault and the original cells before the cells.
        typed: Whether cells may carry `TYPED`.
        derived: Whether the cells are not those of the source, which then stand in `cells`.
        tidy: Whether there is no odd blank and no control character in any cell.
    """

    name: str
    header: tuple[str, ...]
    width: int
    delimiter: str = ","
    own: bool = True
    typed: bool = False
    derived: bool = False
    tidy: bool = False

    def document(self) -> dict[str, Any]:
        """As plain values, to be stored."""
        return asdict(self)

    @classmethod
    def restore(cls, document: dict[str, Any]) -> StagedFile:
        """What `document` gave."""
        return cls(**{**document, "header": tuple(document["header"])})


@dataclass(frozen=True, slots=True)
class Staged:
    """The table `staged` in an engine: columns `c0`, `c1` and so on, never NULL; its rowid is the order of the source."""

    engine: DuckDBPyConnection
    file: StagedFile
    rows: int

    @property
    def line(self) -> str:
        """SQL for the line a record begins on."""
        return "staged.line" if self.file.own else "staged.rowid + 2"

    @property
    def sound(self) -> str:
        """SQL for whether the record could be split into its cells."""
        return "fault = ''" if self.file.own else "true"

    def different(self, cell: str) -> str:
        """The table of the different cells of a column in all sound records, under its own name, with their `rows`."""
        table = f"different_{cell}"
        self.engine.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {table} AS "  # noqa: S608 - names of our own
            f"SELECT {cell}, count(*) AS rows FROM staged WHERE {self.sound} GROUP BY ALL"
        )
        return table

    def digest(self) -> str:
        """A fingerprint of header and cells, whatever the order of the records: of a query nobody can tell that."""
        cells = ", ".join(f"c{number}" for number in range(self.file.width))
        told = self.engine.execute(
            f"SELECT count(*), sum(md5_number_lower(cells)::HUGEINT), sum(md5_number_upper(cells)::HUGEINT) "  # noqa: S608
            f"FROM (SELECT concat_ws(chr(31), {cells}) AS cells FROM staged)"
        ).fetchall()[0]
        return hashlib.sha256(json.dumps([self.file.header, *map(str, told)]).encode()).hexdigest()

    def original(self) -> str:
        """SQL for the list of the fault (JSON, or empty), the original cells as JSON (or empty) and the cells."""
        own = ("fault", "cells") if self.file.own else ("''", "''")
        return ", ".join((*own, *(f"c{number}" for number in range(self.file.width))))


@contextmanager
def engine(folder: Path, *, threads: int = THREADS) -> Iterator[DuckDBPyConnection]:
    """A data engine of our own in memory, which spills into this folder what does not fit.

    Args:
        folder: Where to.
        threads: How many it may use. Where every row goes through Python afterwards, more than one only cost more.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder / "spill"),
        "threads": min(threads, os.cpu_count() or 1),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        yield connection


def stage(connection: DuckDBPyConnection, source: Table | Reading, folder: Path, place: str) -> Staged:
    """Read a source into the table `staged`, by way of a text file in this folder.

    Args:
        connection: The engine.
        source: What an importer opened.
        folder: Where the text file is written, as `source.csv`.
        place: What the source is called, for errors.

    Raises:
        InputError: There is no record in it, or it is damaged.
    """
    file = None
    if isinstance(source, Table) and source.text is not None:
        file = _copied(connection, source.text, source.header, folder)
    if file is None:
        path = folder / "source.csv"
        file = _table_rows(source, path) if isinstance(source, Table) else _reading_rows(source, path)
        load(connection, file, folder)
    rows = _count(connection)
    if not rows:
        raise InputError("the file has a header but no rows", place=place, remedy="Export it again")
    return Staged(connection, file, rows)


def load(connection: DuckDBPyConnection, file: StagedFile, folder: Path) -> Staged:
    """Read the text file of an earlier `stage` into the table `staged` again."""
    cells = [f"c{number}" for number in range(file.width)]
    types: list[str] = [f"'{name}': 'VARCHAR'" for name in ((*_OWN, *cells) if file.own else cells)]
    own = "line::BIGINT AS line, coalesce(fault, '') AS fault, coalesce(cells, '') AS cells, " if file.own else ""
    given = ", ".join(f"coalesce({name}, '') AS {name}" for name in cells)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {own}{given} FROM read_csv($path, auto_detect=false, "  # noqa: S608
        f"header=false, skip=$skip, delim=$delimiter, quote='\"', escape='\"', strict_mode=true, null_padding=false, "
        f"ignore_errors=false, comment='', encoding='utf-8', compression='none', max_line_size=$longest, new_line='\\n', "
        f"columns={{{', '.join(types)}}})",
        {
            "path": str(folder / file.name),
            "skip": 0 if file.own else 1,
            "delimiter": file.delimiter,
            "longest": _LONGEST_LINE * (16 if file.own else 1),
        },
    )
    return Staged(connection, file, _count(connection))


def _count(connection: DuckDBPyConnection) -> int:
    found: int = connection.execute("SELECT count(*) FROM staged").fetchall()[0][0]
    return found


def text_of(cell: Cell) -> str:
    """A cell as staged text: its own where it is text, else `TYPED` and a way of writing that needs no guessing."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell if not cell.startswith(TYPED) else f"\x01{cell[1:]}"  # such a control character is refused later
    if isinstance(cell, bool):
        return f"{TYPED}{'true' if cell else 'false'}"
    if isinstance(cell, datetime):
        return f"{TYPED}{cell.date() if not (cell.hour or cell.minute or cell.second) else cell.strftime('%Y-%m-%d %H:%M:%S')}"
    if isinstance(cell, date):
        return f"{TYPED}{cell.isoformat()}"
    number = Decimal(repr(cell)) if isinstance(cell, float) else Decimal(cell)
    if not number.is_finite():
        return ""
    text = f"{number:f}"
    return f"{TYPED}{text.rstrip('0').rstrip('.') if '.' in text else text}"


def _copied(
    connection: DuckDBPyConnection, text: DelimitedText, header: tuple[str, ...], folder: Path
) -> StagedFile | None:
    """The file as it is, in UTF-8, if the engine splits it just as Python would; None if that is not sure."""
    import duckdb

    tidiness = _Tidiness(text.delimiter)
    with (folder / "source.csv").open("wb") as out:
        for block in blocks(text):
            out.write(block)
            tidiness.look(block)
    file = StagedFile("source.csv", header, len(header), text.delimiter, own=False, tidy=tidiness.holds)
    try:
        load(connection, file, folder)
    except duckdb.Error:
        return None
    return file if _count(connection) == text.lines - text.skip else None


class _Tidiness:
    """Finds out, block by block, whether no cell of a file needs cleaning.

    That is: no quotes, no controls, no blank beside another or at the edge of a cell. Letters that begin as the odd
    blanks of Unicode do count as such: what is said to be tidy is.
    """

    _BLANK, _EDGE, _ODD = 1, 2, 8

    def __init__(self, delimiter: str) -> None:
        kinds = bytearray(256)
        for code in (*range(32), 34, 127, 0xC2, 0xE1, 0xE2, 0xE3):
            kinds[code] = self._ODD
        kinds[32] = self._BLANK
        kinds[10] = kinds[ord(delimiter)] = self._EDGE
        self._kinds, self._last, self.holds = bytes(kinds), b"\n", True

    def look(self, block: bytes) -> None:
        """Look at the next block. Once something was found, no more is looked at."""
        if not self.holds:
            return
        import numpy as np

        kinds = np.frombuffer((self._last + block).translate(self._kinds), dtype=np.uint8)
        self._last = block[-1:]
        # a blank times a blank is 1, times an edge 2; an edge times an edge is 4; all else is nothing
        self.holds = int(kinds.max()) < self._ODD and not bool(((kinds[1:] * kinds[:-1]) & 3).any())


def _table_rows(table: Table, path: Path) -> StagedFile:
    width = len(table.header)
    typed = False
    with _writer(path) as writer:
        for record in table.records():
            cells = [text_of(cell) for cell in record.cells]
            fault = fault_of(record, width)
            if sum(map(len, cells)) > _LONGEST_ROW:
                fault, cells = f"the row is longer than {_LONGEST_ROW:,} characters", []
            if fault:
                bare = [cell.removeprefix(TYPED) for cell in cells]
                reason = json.dumps([record.column, ";".join(bare)[:200], fault])
                writer.writerow((record.line, reason, json.dumps(bare), *[""] * width))
            else:
                typed = typed or any(cell.startswith(TYPED) for cell in cells)
                writer.writerow((record.line, "", "", *cells[:width]))
    return StagedFile(path.name, table.header, width, typed=typed)


def fault_of(record: Record, width: int) -> str:
    """What keeps a record from being one of a table of this many columns; nothing if it is."""
    found = len(record.cells)
    if record.fault:
        reason = record.fault
    elif found < width or (found > width and any(record.cells[width:])):
        reason = f"the row has {found} columns, the header has {width}"
    else:
        return ""
    if record.last_line > record.line:
        reason += f"; lines {record.line} to {record.last_line} were read as one row"
    return reason


def _reading_rows(reading: Reading, path: Path) -> StagedFile:
    """Rows by our own field names. Which fields there are is known with the first row."""
    names: tuple[str, ...] = ()
    early: list[RowError] = []
    with _writer(path) as writer:
        for row in reading.rows:
            if isinstance(row, Row) and not names:
                names = tuple(row.values)
                writer.writerows(_error_row(error, len(names)) for error in early)
            if isinstance(row, RowError):
                early.append(row) if not names else writer.writerow(_error_row(row, len(names)))
            else:
                original = json.dumps(list(row.cells)) if row.cells else ""
                writer.writerow((row.line, "", original, *(row.values.get(name, "") for name in names)))
        if not names:
            names = ("ref",)
            writer.writerows(_error_row(error, 1) for error in early)
    return StagedFile(path.name, names, len(names), derived=True)


def _error_row(error: RowError, width: int) -> Sequence[object]:
    fault = json.dumps([error.column, error.value, error.reason])
    return (error.line, fault, json.dumps(list(error.cells)), *[""] * width)


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    out: IO[str]
    with path.open("w", encoding="utf-8", newline="") as out:
        yield csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)


def fetched(connection: DuckDBPyConnection, sql: str, parameters: Any = None, size: int = 5000) -> Iterator[Any]:
    """The rows of an answer, a few thousand at a time."""
    answer = connection.execute(sql, parameters)
    while rows := answer.fetchmany(size):
        yield from rows


def keep(
    connection: DuckDBPyConnection,
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    folder: Path,
    *,
    nullable: Sequence[str] = (),
) -> None:
    """Make a table of text from rows that Python worked out, by way of a file: they may be many.

    An empty text is NULL in the columns that are `nullable`.
    """
    path = folder / f"{name}.csv"
    with _writer(path) as writer:
        writer.writerows(rows)
    types = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    given = ", ".join(column if column in nullable else f"coalesce({column}, '') AS {column}" for column in columns)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {given} FROM read_csv($path, auto_detect=false, "  # noqa: S608
        f"header=false, delim=',', quote='\"', escape='\"', comment='', new_line='\\n', columns={{{types}}})",
        {"path": str(path)},
    )
    path.unlink()
