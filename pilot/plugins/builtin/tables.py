"""Built-in importers of files that know types: spreadsheets and Parquet files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pilot.api import Importer, Table
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.parquet import is_parquet, read_parquet
from pilot.customers.intake.understanding import check_mapping
from pilot.customers.intake.workbooks import is_workbook, read_workbook


@dataclass(frozen=True)
class Workbook(Importer):
    """One sheet of a spreadsheet: XLSX, XLSM, XLS or ODS.

    Attributes:
        columns: Their column by our field name, where the names are not known well enough to be found.
        sheet: Name of the sheet; the first visible one that holds anything where it is empty.
    """

    key: ClassVar[str] = "workbook"
    label: ClassVar[str] = "Spreadsheet (XLSX, XLS, ODS)"
    kinds: ClassVar[frozenset[str]] = frozenset(FIELDS)

    columns: dict[str, str] = field(default_factory=dict)
    sheet: str = ""

    def recognises(self, path: Path) -> bool:
        """Whether it begins like a spreadsheet."""
        return is_workbook(path)

    def read(self, path: Path, kind: str) -> Table:
        """Open the sheet; its header is the first row with at least two cells."""
        check_mapping(FIELDS[kind], self.columns)
        return read_workbook(path, self.sheet or None)


@dataclass(frozen=True)
class ParquetFile(Importer):
    """A Parquet file without nested columns.

    Attributes:
        columns: Their column by our field name, where the names are not known well enough to be found.
    """

    key: ClassVar[str] = "parquet"
    label: ClassVar[str] = "Parquet file"
    kinds: ClassVar[frozenset[str]] = frozenset(FIELDS)

    columns: dict[str, str] = field(default_factory=dict)

    def recognises(self, path: Path) -> bool:
        """Whether it begins like a Parquet file."""
        return is_parquet(path)

    def read(self, path: Path, kind: str) -> Table:
        """Open the file; its schema is the header."""
        check_mapping(FIELDS[kind], self.columns)
        return read_parquet(path)
