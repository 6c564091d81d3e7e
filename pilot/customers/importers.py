"""The contract of importers: files in, lazy rows or row errors out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pilot.parts import Part


@dataclass(frozen=True, slots=True)
class Row:
    """One record as text, by the product's own field names (`ref`, `ordered_on`, ...), and its line in the file.

    However the file writes them, here numbers are plain (`-1234.50`), days are `yyyy-mm-dd`, and `cancelled` is
    `true` or empty. Whether the values make sense is not the importer's business. `cells` is the record as the file
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


class Importer(Part):
    """Reads one kind of file.

    One with a setting `columns`, their column by our field name, can be given a person's column map.

    Attributes:
        kinds: What it can read: of `customers`, `orders`, `touches`.
    """

    kinds: ClassVar[frozenset[str]]

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether the file looks like one this importer is for. Reads only its beginning."""

    @abstractmethod
    def read(self, path: Path, kind: str) -> Reading:
        """Open the file.

        Raises:
            InputError: The file as a whole cannot be read: empty, wrong format, a needed column is missing.
        """
