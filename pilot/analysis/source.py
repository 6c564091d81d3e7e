"""A flat file opened in DuckDB: sums by group in one pass, or its rows, with every bad value named by row and column."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pilot.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DELIMITERS = ",;\t|"
_HEADER_SIGNS = 100_000
_SQUARES = ("var_pop", "covar_pop")
_LARGEST = 1e300
"""Sums of squares from this on leave no room for what is made of them."""

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = ("BOOLEAN", "DECIMAL", "FLOAT", "DOUBLE", *_SIGNED, *(f"U{name}" for name in _SIGNED))
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that are read; several stratum columns are crossed."""

    arm: str
    outcome: str
    strata: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    cluster: str | None = None
    weight: str | None = None

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those that hold numbers: the outcome, the covariates, the weight."""
        return (self.outcome, *self.covariates, *((self.weight,) if self.weight else ()))

    @property
    def alone(self) -> bool:
        """Whether the outcome is the only value a row must have."""
        return self.numbers == (self.outcome,) and not self.cluster

    @property
    def texts(self) -> tuple[str, ...]:
        """Those that hold names: the arm, the strata, the cluster."""
        return (self.arm, *self.strata, *((self.cluster,) if self.cluster else ()))


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file. `relation` is what stands after FROM; `first_row` is the number of its first row of data."""

    path: Path
    columns: Columns
    relation: str
    first_row: int
    types: dict[str, str]
    engine: DuckDBPyConnection = field(repr=False)

    @classmethod
    def open(cls, path: Path, columns: Columns) -> Source:
        """The file, by its ending as Parquet or as CSV.

        Raises:
            InputError: There is no such file or column, or it cannot be read.
        """
        import duckdb

        if not path.is_file():
            raise InputError("there is no such file", place=str(path), remedy="Correct the path")
        engine = duckdb.connect()
        name = literal(_plain(str(path)))
        if path.suffix == ".parquet":
            source = cls(path, columns, f"read_parquet({name})", 1, {}, engine)
            described = source.run(f"DESCRIBE SELECT * FROM {source.relation}")  # noqa: S608 - a quoted literal
            header = [str(row[0]) for row in described]
            source.types.update({str(row[0]): str(row[1]) for row in described})
        else:
            delimiter, header = _header(path, columns)
            options = f"delim = {literal(delimiter)}, header = true, all_varchar = true, quote = '\"', escape = '\"'"
            source = cls(path, columns, f"read_csv({name}, {options})", 2, {}, engine)
        _check_columns(path, header, (*columns.texts, *columns.numbers))
        return source if source.types else source._kept()

    def _kept(self) -> Source:
        """The same with the wanted columns in memory, so that a text is taken apart only once."""
        wanted = ", ".join(quoted(name) for name in dict.fromkeys((*self.columns.texts, *self.columns.numbers)))
        self.run(f"CREATE TABLE kept AS SELECT {wanted} FROM {self.relation}")  # noqa: S608 - names are quoted
        return replace(self, relation="kept")

    def groups(self, keys: Sequence[str], sums: Sequence[str], *, complete: bool = True) -> list[tuple[Any, ...]]:
        """The rows in groups.

        Args:
            keys: SQL over `arm`, `s0`, `s1`, ..., `cluster` and the numbers `x0` (the outcome), `x1`, ...
            sums: Aggregates over them.
            complete: Whether to leave out rows in which a number or the cluster is missing.

        Returns:
            For each group its keys and sums.

        Raises:
            InputError: A value is no finite number, or a weight not above 0: the first one is named; or the sums are too
                large: the largest number is named.
        """
        places = ", ".join(str(place + 1) for place in range(len(keys)))
        grouped = ", ".join((*keys, *sums, self._faults()))
        kept = self._complete() if complete else "true"
        query = f"SELECT {grouped} FROM ({self._cleaned()}) WHERE {kept} GROUP BY {places}"  # noqa: S608 - names are quoted
        found = self._sums(query)
        squares = [name.startswith(_SQUARES) for name in (*keys, *sums)]
        named = [row for row in found or () if row[0] is not None]
        if found is None or any(row[-1] or not all(map(_fits, row[:-1], squares)) for row in named):
            self._name_fault()
        return [row[:-1] for row in found]

    def _sums(self, query: str) -> list[tuple[Any, ...]] | None:
        """The groups; None where a number is too large for the sums, or none at all."""
        import duckdb

        try:
            return self.run(query)
        except InputError as error:
            if isinstance(error.__cause__, duckdb.OutOfRangeException):
                return None
            raise

    def rows(self) -> dict[str, Any]:
        """The complete rows by column, as arrays: `arm`, `s0`, ..., `cluster` as texts, `x0`, ... as numbers."""
        query = f"SELECT * FROM ({self._cleaned()}) WHERE trim(arm) <> '' AND {self._complete()}"  # noqa: S608 - names are quoted
        columns: dict[str, Any] = self.engine.execute(query).fetchnumpy()
        return columns

    def size(self) -> int:
        """How many rows there are; a Parquet file knows it."""
        return int(self.run(f"SELECT count(*) FROM {self.relation}")[0][0])  # noqa: S608 - names are quoted

    def least(self) -> float:
        """The smallest outcome; 0 where there is none."""
        query = f"SELECT min(x0) FROM ({self._cleaned()})"  # noqa: S608 - names are quoted
        return float(self.run(query)[0][0] or 0.0)

    def any(self, condition: str) -> bool:
        """Whether the outcome `x0` of a row meets a condition."""
        return bool(self.run(f"SELECT count(*) FROM ({self._cleaned()}) WHERE {condition}")[0][0])  # noqa: S608 - names are quoted

    def name_first(self, condition: str, reason: str, remedy: str) -> NoReturn:
        """Refuse the file for the first row whose outcome `x0` meets a condition.

        Raises:
            InputError: Always; it names row and column.
        """
        query = f"""
            SELECT place, x0 FROM (SELECT row_number() OVER () AS place, * FROM ({self._cleaned()}))
            WHERE {condition} ORDER BY place LIMIT 1
        """  # noqa: S608 - names are quoted
        place, value = self.run(query)[0]
        self._refuse(int(place), self.columns.outcome, f"{value:g} {reason}", remedy)

    def run(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            InputError: The file cannot be read.
        """
        import duckdb

        try:
            return self.engine.execute(query).fetchall()
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"the file cannot be read: {reason}",
                place=str(self.path),
                remedy="It must be a CSV file in UTF-8 with as many cells in every row as in the header, or a Parquet file",
            ) from error

    def _cleaned(self) -> str:
        """SQL of the rows with clean names and numbers; a number is NULL where the cell is empty."""
        texts = {"arm": self.columns.arm, **{f"s{place}": name for place, name in enumerate(self.columns.strata)}}
        if self.columns.cluster:
            texts["cluster"] = self.columns.cluster
        named = [f"{self._name(column)} AS {key}" for key, column in texts.items()]
        numbers = [f"{self._number(column)} AS x{place}" for place, column in enumerate(self.columns.numbers)]
        return f"SELECT {', '.join((*named, *numbers))} FROM {self.relation}"  # noqa: S608 - names are quoted

    def _complete(self) -> str:
        needed = [f"x{place} IS NOT NULL" for place in range(len(self.columns.numbers))]
        return " AND ".join([*needed, *(["cluster IS NOT NULL"] if self.columns.cluster else [])])

    def _name(self, column: str) -> str:
        """The name as a text; that of a Parquet file may still have blanks around it, which are cheaper to cut later."""
        if column in self.types:
            return quoted(column) if self.types[column] == "VARCHAR" else f"CAST({quoted(column)} AS VARCHAR)"
        return f"nullif(trim({quoted(column)}), '')"

    def _number(self, column: str) -> str:
        """The number; NULL where the cell is empty; not a number where it is none."""
        if self._typed(column):
            return f"CAST({quoted(column)} AS DOUBLE)"
        given = f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"
        return f"CASE WHEN {given} IS NOT NULL THEN coalesce(TRY_CAST({given} AS DOUBLE), 'nan'::DOUBLE) + 0.0 END"

    def _typed(self, column: str) -> bool:
        """Whether the file itself says that the column holds numbers, and not lists of them."""
        return self.types.get(column, "").partition("(")[0] in _NUMBERS and not self.types[column].endswith("]")

    def _faults(self) -> str:
        """Whether a group has a fault. What is not finite in a column of numbers shows in the sums, and costs nothing."""
        typed = all(self._typed(name) for name in self.columns.numbers)
        return "false" if typed and not self.columns.weight else f"coalesce(bool_or({self._fault()}), false)"

    def _fault(self) -> str:
        bad = [f"NOT isfinite(x{place})" for place in range(len(self.columns.numbers))]
        if self.columns.weight:
            bad.append(f"x{len(bad) - 1} <= 0")
        return f"arm IS NOT NULL AND ({' OR '.join(bad)})"

    def _name_fault(self) -> NoReturn:
        given = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in self.columns.numbers)
        query = f"""
            SELECT place, given, {", ".join(f"x{k}" for k in range(len(self.columns.numbers)))}
            FROM (SELECT row_number() OVER () AS place, * FROM ({self._cleaned()})) POSITIONAL JOIN
                 (SELECT [{given}] AS given FROM {self.relation})
            WHERE {self._fault()} ORDER BY place LIMIT 1
        """  # noqa: S608 - names are quoted
        found = self.run(query)
        if not found:
            self._name_largest()
        place, cells, *numbers = found[0]
        for column, cell, number in zip(self.columns.numbers, cells, numbers, strict=True):
            if number is not None and not abs(number) < float("inf"):
                self._refuse(place, column, *_no_number(str(cell).strip()))
        self._refuse(
            place,
            str(self.columns.weight),
            f"the weight {numbers[-1]:g} is not above 0",
            "Leave out rows that shall not count",
        )

    def _name_largest(self) -> NoReturn:
        """Refuse the file for the number that is furthest from 0: every one is finite, but not the sums of squares."""
        columns = self.columns.numbers
        sizes = [f"coalesce(abs(x{k}), 0)" for k in range(len(columns))]
        query = f"""
            SELECT place, {", ".join(f"x{k}" for k in range(len(columns)))}
            FROM (SELECT row_number() OVER () AS place, * FROM ({self._cleaned()}))
            WHERE arm IS NOT NULL ORDER BY greatest({", ".join(sizes)}) DESC, place LIMIT 1
        """  # noqa: S608 - names are quoted
        place, *numbers = self.run(query)[0]
        column, number = max(zip(columns, numbers, strict=True), key=lambda pair: abs(pair[1] or 0.0))
        self._refuse(
            place,
            column,
            f"{number:g} is too large to be squared and summed",
            "Correct it, or give the column in a larger unit",
        )

    def _refuse(self, place: int, column: str, reason: str, remedy: str) -> NoReturn:
        raise InputError(reason, place=f"{self.path}, row {place + self.first_row - 1}, column {column}", remedy=remedy)


def _no_number(cell: str) -> tuple[str, str]:
    """Why a cell is no number, and what to do about it."""
    if _DATE.match(cell):
        return (
            f"{cell[:40]!r} is a date, not a number",
            "Give the days from a fixed day, such as that of the assignment, or until the event with --scale time",
        )
    return (
        f"{cell[:40]!r} is not a finite number",
        "Write numbers with a decimal point, yes and no as 1 and 0, and leave the cell of a missing value empty",
    )


def clean(name: str | None) -> str | None:
    """A name without blanks around it; None where nothing is left."""
    return (name or "").strip() or None


def _fits(value: object, square: bool) -> bool:
    """Whether a number, or its square if it is none yet, leaves room for the sums over groups that are made of it."""
    return not isinstance(value, float) or (abs(value) if square else value * value) < _LARGEST


def quoted(column: str) -> str:
    """A column's name as SQL."""
    return '"' + column.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def _header(path: Path, columns: Columns) -> tuple[str, list[str]]:
    """The delimiter under which the header holds most of the wanted columns, and that header."""
    try:
        text = _beginning(path)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(
            "the file is not readable text in UTF-8", place=str(path), remedy="Save it as CSV in UTF-8, or as Parquet"
        ) from error
    headers = {sign: next(csv.reader(io.StringIO(text), delimiter=sign), []) for sign in _DELIMITERS}
    wanted = {*columns.texts, *columns.numbers}
    best = max(_DELIMITERS, key=lambda sign: (len(wanted & set(headers[sign])), len(headers[sign])))
    return best, headers[best]


def _beginning(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as packed:
            return packed.read(_HEADER_SIGNS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read(_HEADER_SIGNS)


def _check_columns(path: Path, header: Sequence[str], wanted: Iterable[str]) -> None:
    for name in wanted:
        if header.count(name) > 1:
            raise InputError(f"two columns are called {name!r}", place=str(path), remedy="Rename one of them")
        if name not in header:
            near = get_close_matches(name, header, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"there is no column {name!r}", place=str(path), remedy=f"{hint}Columns: {', '.join(header) or 'none'}"
            )


def _plain(path: str) -> str:
    """The path with the signs escaped that DuckDB would take for a pattern of several files."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
