"""Parquet files as tables, read by the data engine column by column in their own types."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pilot.config import current
from pilot.customers.importers import Cell, Record, Table
from pilot.customers.intake import staging
from pilot.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MAGIC = b"PAR1"
_PAGE = 5_000
_MOST_COLUMNS = 500
_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT", "GEOMETRY")
_AS_IT_IS = {"VARCHAR", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "DECIMAL"}
_AS_IT_IS |= {f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")}
_ZONED = "TIMESTAMP WITH TIME ZONE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_parquet(path: Path) -> bool:
    """Whether the file begins like a Parquet file."""
    try:
        with path.open("rb") as raw:
            return raw.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_parquet(path: Path) -> Table:
    """The file as a table: its schema is the header, its values keep their types.

    Raises:
        InputError: The file is damaged, or a column is nested or holds bytes.
    """
    with _opened(path) as engine:
        schema = engine.execute(
            "SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet($path))", {"path": _plain(path)}
        ).fetchall()
    _check(path, schema)
    select = ", ".join(_told(f"c{number}", kind) for number, (_, kind) in enumerate(schema))
    zoned = [number for number, (_, kind) in enumerate(schema) if kind == _ZONED]
    header = tuple(name.strip() for name, _ in schema)
    return Table(header, {"format": "Parquet"}, lambda: _records(path, select, zoned, len(header)), parquet=path)


def _check(path: Path, schema: Sequence[tuple[str, str]]) -> None:
    if len(schema) > _MOST_COLUMNS:
        raise InputError(
            f"the file has {len(schema):,} columns, {_MOST_COLUMNS} are the most",
            place=path.name,
            remedy="Write a file with the needed columns alone",
        )
    for name, kind in schema:
        if kind.endswith("]") or kind.startswith(_NESTED):
            raise InputError(
                f"the column {name!r} is nested ({kind.lower()[:60]}): a cell of it holds several values",
                place=path.name,
                remedy="Leave it out of the file, or write each of its values into a column of its own",
            )
        if kind == "BLOB":
            raise InputError(
                f"the column {name!r} holds bytes, not text",
                place=path.name,
                remedy="Leave it out of the file, or write it as text (UTF-8)",
            )


def _told(column: str, kind: str) -> str:
    """SQL for a column as Python is to have it."""
    if kind == _ZONED:
        return f"epoch_us({column})"
    if kind.startswith("TIMESTAMP"):
        return f"{column}::TIMESTAMP"
    if kind == "FLOAT":
        return f"{column}::VARCHAR::DOUBLE"  # its few digits, not those of its nearest double
    return column if kind.partition("(")[0] in _AS_IT_IS else f"{column}::VARCHAR"


def _records(path: Path, select: str, zoned: Sequence[int], width: int) -> Iterator[Record]:
    columns = ", ".join(f"c{number}" for number in range(width))
    with _opened(path) as engine:
        # The file's own names of its columns stay out of the statement.
        answer = engine.execute(
            f"SELECT {select} FROM read_parquet($path) AS file({columns})",  # noqa: S608
            {"path": _plain(path)},
        )
        number = 0
        while page := answer.fetchmany(_PAGE):
            for row in page:
                number += 1
                cells = list(row)
                for index in zoned:
                    cells[index] = _local_day(cells[index])
                if any(cell is not None and cell != "" for cell in cells):
                    yield Record(number, number, cells)


def _local_day(microseconds: int | None) -> Cell:
    """The day of a moment where the company is."""
    if microseconds is None:
        return None
    return (_EPOCH + timedelta(microseconds=microseconds)).astimezone(ZoneInfo(current().timezone)).date()


@contextmanager
def _opened(path: Path) -> Iterator[DuckDBPyConnection]:
    """An engine to read the file with.

    Raises:
        InputError: It cannot be read.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="pilot-") as folder, staging.engine(Path(folder)) as engine:
        try:
            yield engine
        except duckdb.Error as error:
            cause: Any = str(error).splitlines()[0]
            raise InputError(
                f"the file cannot be read to its end: {cause}",
                place=path.name,
                remedy="It is damaged or was cut off; fetch it again",
            ) from error


def _plain(path: Path) -> str:
    """The path with the signs escaped that the engine would take for a pattern of several files."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(path))
