"""The contract of importers: files in, lazy rows or row errors out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pilot.parts import Part


@dataclass(frozen=True, slots=True)
class Row:
    """One record as text, by the product's own field names (`ref`, `ordered_on`, ...), and its line in the file.

    However the file writes them, here numbers are plain (`-1234.50`), days are `yyyy-mm-dd`, and `cancelled` is
    `true`, `returned` (cancelled unless the amount is below zero) or empty. Whether the values make sense is not the importer's business. `cells` is the record as the file
    has it, for the person who has to correct it.
    """

    line: int
    values: Mapping[str, str]
    cells: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RowError:
    """One record that cannot be taken over: where it stands and why, and the whole record as the file has it."""

    line: int
    column: str
    value: str
    reason: str
    cells: Sequence[str] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """An opened file: how it was understood, and its rows, lazily."""

    how: dict[str, Any]
    """Encoding, delimiter, decimal sign, date order: stored with the import and shown to the person.

    `columns` says which column of theirs each field came from; errors of rows name that column.
    """
    rows: Iterator[Row | RowError]
    header: Sequence[str] = ()
    """The file's own names of the cells of each row."""


Cell = str | int | float | Decimal | bool | date | None
"""A cell as a file holds it: text, or a value of its own type where the file knows types."""


class Record(NamedTuple):
    """One record of a table: the lines it stands on, its cells, and what keeps it from being split into them, if anything.

    `column` is the file's own name of the column where that happens, if it is known.
    """

    line: int
    last_line: int
    cells: Sequence[Cell]
    fault: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that refused rows come from, and how it was read, where that was found out from all of its values.

    Attributes:
        source: First digits of its SHA-256.
        decimal: Its decimal sign, `comma` or `point`; empty where its numbers were no text.
        days: What stands first in its days: `day`, `month` or `year`; empty where they were no text.
    """

    source: str
    decimal: str = ""
    days: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under the file's own column names; whose columns they are and how cells are written is found out later.

    Attributes:
        header: The file's names of the columns.
        how: How the table was found in the file (encoding, delimiter, sheet, query): shown and stored.
        records: The records below the header, read anew by each call. Empty ones are left out.
        text: The table as delimited text that the data engine can read by itself, where it is such; None elsewhere.
        parquet: The Parquet file that the table is; None elsewhere.
        likely_decimal: The decimal sign to take where no value decides.
        origin: Where its rows were refused before, if they were; their lines are those they had there.
    """

    header: tuple[str, ...]
    how: dict[str, Any]
    records: Callable[[], Iterator[Record]]
    text: DelimitedText | None = None
    parquet: Path | None = None
    likely_decimal: str = "."
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A delimited text file as the data engine reads it."""

    path: Path
    encoding: str
    delimiter: str
    skip: int
    """Lines up to and including the header."""
    lines: int
    """Lines in all. Where the engine finds another number of records, a person's way of counting is needed."""


class Importer(Part):
    """Reads one kind of file or source.

    The fields of an importer are what a person may overrule, such as `delimiter` or `sheet`.

    Attributes:
        kinds: What it can read: of `customers`, `orders`, `touches`.
        line_by_line: Whether the first lines of such a file are such a file themselves, so that a first look at a
            large one need not read it all.
    """

    kinds: ClassVar[frozenset[str]]
    line_by_line: ClassVar[bool] = False

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether the file looks like one this importer is for. Reads only its beginning."""

    @abstractmethod
    def read(self, path: Path, kind: str) -> Reading | Table:
        """Open the file: as a table under its own header, or as rows by our own field names where only it knows them.

        Raises:
            InputError: The file as a whole cannot be read: empty, wrong format, a needed column is missing.
        """
