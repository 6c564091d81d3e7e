"""Evidence from a flat file: one row per unit, one column with its arm, one with its outcome."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.moments import Moments, pooled
from pilot.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONTROL_NAMES = ("control", "controllo", "kontrola")
"""Values of the arm column that are taken for control, in any case."""

UNKNOWN = "unknown"
"""Stratum of the rows that have none."""

MAX_ARMS, MAX_STRATA, MAX_LEVELS = 50, 5_000, 500

_RATING_LEVELS = 11
"""Up to so many whole numbers are taken for a rating: 1 to 5, 0 to 10."""

_DELIMITERS = ",;\t|"
_HEADER_SIGNS = 100_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that are read; several stratum columns are crossed."""

    arm: str
    outcome: str
    strata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that share arm, stratum and, where there are few values, the value itself (`level`)."""

    arm: str | None
    stratum: str
    level: float | None
    rows: int
    n: int
    mean: float | None
    m2: float | None
    bad: int


def read_evidence(
    path: Path,
    columns: Columns,
    *,
    control: str | None = None,
    scale: Scale | None = None,
    higher_is_better: bool = True,
) -> Evidence:
    """Counts and moments of a CSV (also .gz) or Parquet file, in one grouped pass inside DuckDB.

    Args:
        path: The file. CSV is UTF-8 with a header, separated by comma, semicolon, tab or bar; numbers have a point.
        columns: What to read. Rows without arm or outcome are left out and counted; without stratum they form one.
        control: Value of the arm column that is control; found by its name where not given.
        scale: Of the outcome. By default 0 and 1 only are binary, up to eleven whole numbers a rating, all else money.
        higher_is_better: Direction of the outcome.

    Raises:
        InputError: The file, a column or a value cannot be used; the error names file, row and column.
    """
    groups = _Source.open(path, columns).groups(scale)
    values = sorted({group.arm for group in groups if group.arm is not None})
    arms = _arms(values, control, f"{path}, column {columns.arm}")
    kept = [group for group in groups if group.arm is not None]
    scale = scale or _scale(kept)
    strata = sorted({group.stratum for group in kept}) if columns.strata else [""]
    _few(strata, MAX_STRATA, f"{path}, column {', '.join(columns.strata)}", "strata")
    levels = _levels(kept, scale, f"{path}, column {columns.outcome}")
    return Evidence(
        outcome=columns.outcome,
        scale=scale,
        higher_is_better=higher_is_better,
        arms=arms,
        strata=tuple(strata),
        levels=levels,
        counts=_counts(kept, arms, strata, levels) if levels else None,
        moments=_moments(kept, arms, strata),
        excluded=_excluded(groups, columns),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """An opened file. `relation` is what stands after FROM; `first_row` is the number of its first row of data."""

    path: Path
    columns: Columns
    relation: str
    first_row: int
    engine: DuckDBPyConnection = field(repr=False)

    @classmethod
    def open(cls, path: Path, columns: Columns) -> _Source:
        import duckdb

        if not path.is_file():
            raise InputError("there is no such file", place=str(path), remedy="Correct the path")
        engine = duckdb.connect()
        name = _literal(_plain(str(path)))
        if path.suffix == ".parquet":
            source = cls(path, columns, f"read_parquet({name})", 1, engine)
            header = [str(row[0]) for row in source._run(f"DESCRIBE SELECT * FROM {source.relation}")]  # noqa: S608 - a quoted literal
        else:
            delimiter, header = _header(path, columns)
            options = f"delim = {_literal(delimiter)}, header = true, all_varchar = true, quote = '\"', escape = '\"'"
            source = cls(path, columns, f"read_csv({name}, {options})", 2, engine)
        _check_columns(path, header, (columns.arm, columns.outcome, *columns.strata))
        return source

    def groups(self, scale: Scale | None) -> list[_Group]:
        """The file in groups. A single value that is no number stops it."""
        query = f"""
            SELECT arm, stratum, {_level(scale)} AS level,
                   count(*), count(x), favg(x), var_pop(x) * count(x), count(*) FILTER (bad)
            FROM ({self._cleaned()}) GROUP BY arm, stratum, level
        """  # noqa: S608 - names are quoted
        groups = [_Group(*row) for row in self._run(query)]
        if any(group.bad for group in groups):
            self._name_bad_value()
        return groups

    def _cleaned(self) -> str:
        arm, outcome = (_text(name) for name in (self.columns.arm, self.columns.outcome))
        parts = [f"coalesce({_text(name)}, '{UNKNOWN}')" for name in self.columns.strata]
        stratum = f"concat_ws(' / ', {', '.join(parts)})" if parts else "''"
        number = f"TRY_CAST({_quoted(self.columns.outcome)} AS DOUBLE)"
        return f"""
            SELECT arm, stratum, given, CASE WHEN isfinite(number) THEN number + 0.0 END AS x,
                   arm IS NOT NULL AND given IS NOT NULL AND NOT coalesce(isfinite(number), false) AS bad
            FROM (SELECT {arm} AS arm, {stratum} AS stratum, {outcome} AS given, {number} AS number
                  FROM {self.relation})
        """  # noqa: S608 - names are quoted

    def _name_bad_value(self) -> NoReturn:
        query = f"""
            SELECT place, given FROM (SELECT row_number() OVER () AS place, * FROM ({self._cleaned()}))
            WHERE bad ORDER BY place LIMIT 1
        """  # noqa: S608 - names are quoted
        number, given = self._run(query)[0]
        raise InputError(
            f"{str(given)[:40]!r} is not a finite number",
            place=f"{self.path}, row {number + self.first_row - 1}, column {self.columns.outcome}",
            remedy="Write numbers with a decimal point, yes and no as 1 and 0, and leave the cell of a missing value empty",
        )

    def _run(self, query: str) -> list[tuple[Any, ...]]:
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


def _header(path: Path, columns: Columns) -> tuple[str, list[str]]:
    """The delimiter under which the header holds most of the wanted columns, and that header."""
    try:
        text = _beginning(path)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(
            "the file is not readable text in UTF-8", place=str(path), remedy="Save it as CSV in UTF-8, or as Parquet"
        ) from error
    headers = {sign: next(csv.reader(io.StringIO(text), delimiter=sign), []) for sign in _DELIMITERS}
    wanted = {columns.arm, columns.outcome, *columns.strata}
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


def _arms(values: Sequence[str], control: str | None, place: str) -> tuple[str, ...]:
    """All arms, control first."""
    _few(values, MAX_ARMS, place, "arms")
    listed = ", ".join(values) or "none"
    if control is None:
        named = [value for value in values if value.casefold() in CONTROL_NAMES]
        if len(named) != 1:
            raise InputError(
                "it is not clear which arm is control", place=place, remedy=f"Name it with --control. Arms: {listed}"
            )
        control = named[0]
    if control not in values:
        raise InputError(f"no row has the arm {control!r}", place=place, remedy=f"Arms: {listed}")
    if len(values) < 2:
        raise InputError(f"all rows are in the arm {control!r}", place=place, remedy="A comparison needs two arms")
    return (control, *(value for value in values if value != control))


def _few(values: Sequence[str], most: int, place: str, what: str) -> None:
    if len(values) > most:
        raise InputError(
            f"the column has {len(values):,} different values, more than the {most:,} {what} that make sense",
            place=place,
            remedy="Name another column",
        )


def _scale(groups: Iterable[_Group]) -> Scale:
    levels = {group.level for group in groups if group.n}
    if None in levels or len(levels) > _RATING_LEVELS:
        return Scale.MONEY
    return Scale.BINARY if levels <= {0.0, 1.0} else Scale.RATING


def _levels(groups: Iterable[_Group], scale: Scale, place: str) -> tuple[float, ...]:
    """The values that are counted, ascending; none where there are too many to count."""
    found = {group.level for group in groups if group.n}
    if scale is Scale.MONEY or None in found:
        return ()
    if scale is Scale.BINARY:
        if not found <= {0.0, 1.0}:
            raise InputError("a yes or no column has the values 0 and 1 only", place=place, remedy="Use another scale")
        return (0.0, 1.0)
    levels = tuple(sorted(level for level in found if level is not None))
    if len(levels) > MAX_LEVELS and scale is Scale.RATING:
        raise InputError(f"{len(levels):,} different values are no rating", place=place, remedy="Use the scale money")
    return levels if len(levels) <= MAX_LEVELS else ()


def _counts(groups: Iterable[_Group], arms: Sequence[str], strata: Sequence[str], levels: Sequence[float]) -> Any:
    counts = np.zeros((len(arms), len(strata), len(levels)), dtype=np.int64)
    for group in groups:
        if group.n:
            counts[arms.index(str(group.arm)), strata.index(group.stratum), levels.index(float(group.level or 0))] += (
                group.n
            )
    return counts


def _moments(groups: Iterable[_Group], arms: Sequence[str], strata: Sequence[str]) -> Moments:
    cells: dict[tuple[int, int], list[_Group]] = {}
    for group in groups:
        if group.n:
            cells.setdefault((arms.index(str(group.arm)), strata.index(group.stratum)), []).append(group)
    shape = (len(arms), len(strata))
    moments = Moments(np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.zeros(shape))
    for cell, members in cells.items():
        n, mean, m2 = (np.array([getattr(member, name) for member in members]) for name in ("n", "mean", "m2"))
        moments.n[cell], moments.mean[cell], moments.m2[cell] = pooled(n, mean, m2)
    return moments


def _excluded(groups: Iterable[_Group], columns: Columns) -> dict[str, int]:
    no_arm = sum(group.rows for group in groups if group.arm is None)
    no_value = sum(group.rows - group.n for group in groups if group.arm is not None)
    reasons = {f"no value in column {columns.arm}": no_arm, f"no value in column {columns.outcome}": no_value}
    return {reason: rows for reason, rows in reasons.items() if rows}


def _level(scale: Scale | None) -> str:
    """The SQL by which rows are grouped by value: whole numbers that may be levels, or what the scale says."""
    if scale in (Scale.RATING, Scale.BINARY):
        return "x"
    return "NULL::DOUBLE" if scale is Scale.MONEY else "CASE WHEN x = floor(x) AND abs(x) <= 1000 THEN x END"


def _text(column: str) -> str:
    return f"nullif(trim(CAST({_quoted(column)} AS VARCHAR)), '')"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(path: str) -> str:
    """The path with the signs escaped that DuckDB would take for a pattern of several files."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
