"""Evidence from a flat file: one row per unit, one column with its arm, one with its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import Clusters, FloatArray, IntArray, Joint, Moments, Rows, pooled
from pilot.analysis.source import Columns, Source, clean
from pilot.errors import InputError

__all__ = ["CONTROL_NAMES", "Columns", "read_evidence"]

CONTROL_NAMES = ("control", "controllo", "kontrola")
"""Values of the arm column that are taken for control, in any case."""

UNKNOWN = "unknown"
"""Stratum of the rows that have none."""

MAX_ARMS, MAX_STRATA, MAX_LEVELS = 50, 5_000, 500

_RATING_LEVELS = 11
"""Up to so many whole numbers are taken for a rating: 1 to 5, 0 to 10."""

_WHOLE = "CASE WHEN x0 = floor(x0) AND abs(x0) <= 1000 THEN x0 END"
"""SQL of a value that may be a level."""

_BROKEN = "x0 <> floor(x0)"
"""SQL of a value that is no whole number."""

_COUNTED = (Scale.RATING, Scale.BINARY, Scale.COUNT)


@dataclass(frozen=True, slots=True)
class _Group:
    """Complete rows that share arm, stratum and, where there are few values, the value itself (`level`)."""

    arm: str | None
    stratum: str
    level: float | None
    n: int
    mean: FloatArray
    cross: FloatArray


@dataclass(frozen=True, slots=True)
class _Tally:
    """How many rows of an arm and stratum there are, and with an outcome."""

    arm: str | None
    stratum: str
    rows: int
    valued: int


def read_evidence(
    path: Path,
    columns: Columns,
    *,
    needs: Iterable[Need] = (Need.COUNTS, Need.MOMENTS),
    control: str | None = None,
    scale: Scale | None = None,
    levels: Sequence[float] | None = None,
    assigned: bool = False,
    higher_is_better: bool = True,
) -> Evidence:
    """Evidence of a CSV (also .gz) or Parquet file, summed inside DuckDB.

    Rows without arm, outcome, or another column that is named, are left out and counted; rows without a stratum are
    one. Counts and moments take one grouped pass, clusters another, rows one more.

    Args:
        path: The file. CSV is UTF-8 with a header, separated by comma, semicolon, tab or bar; numbers have a point.
        columns: What to read.
        needs: What the analysis asks for.
        control: Value of the arm column that is control; found by its name where not given.
        scale: Of the outcome. By default 0 and 1 only are binary, up to eleven whole numbers a rating, all else money,
            or plain numbers where some are negative.
        levels: All values that a rating may have; other values are refused.
        assigned: Whether every row is an assigned unit, and an empty outcome a missing answer.
        higher_is_better: Direction of the outcome.

    Raises:
        InputError: The file, a column or a value cannot be used; the error names file, row and column.
    """
    wanted = frozenset(needs)
    source = Source.open(path, columns)
    groups, tallies = _groups(source, scale if levels or Need.COUNTS in wanted or scale is None else Scale.MONEY)
    arms = _arms(sorted({tally.arm for tally in tallies if tally.arm is not None}), control, source)
    strata = sorted({tally.stratum for tally in tallies if tally.arm is not None}) if columns.strata else [""]
    kept = [group for group in groups if group.arm is not None]
    _few(strata, MAX_STRATA, f"{path}, column {', '.join(columns.strata)}", "strata")
    scale = scale or _scale(kept, source)
    found = _levels(kept, scale, levels, source)
    _check_sign(scale, source)
    _check_whole(scale, kept, levels, source)
    cells = _Cells(arms, strata)
    return Evidence(
        outcome=columns.outcome,
        scale=scale,
        higher_is_better=higher_is_better,
        arms=arms,
        strata=tuple(strata),
        assigned=cells.rows(tallies) if assigned else None,
        levels=found,
        counts=cells.counts(kept, found) if found else None,
        moments=cells.moments(kept),
        joint=cells.joint(kept, columns) if columns.covariates else None,
        clusters=_clusters(source, cells) if Need.CLUSTERS in wanted and columns.cluster else None,
        rows=_rows(source, cells) if Need.ROWS in wanted else None,
        excluded=_excluded(tallies, kept, columns, assigned=assigned),
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Where an arm and a stratum stand in an array."""

    arms: Sequence[str]
    strata: Sequence[str]

    def place(self, group: _Group | _Tally) -> tuple[int, int]:
        return self.arms.index(str(group.arm)), self.strata.index(group.stratum)

    def rows(self, tallies: Iterable[_Tally]) -> IntArray:
        sums = np.zeros((len(self.arms), len(self.strata)), dtype=np.int64)
        for tally in tallies:
            if tally.arm is not None:
                sums[self.place(tally)] += tally.rows
        return sums

    def counts(self, groups: Iterable[_Group], levels: Sequence[float]) -> IntArray:
        table = np.zeros((len(self.arms), len(self.strata), len(levels)), dtype=np.int64)
        for group in groups:
            table[(*self.place(group), levels.index(float(group.level or 0)))] += group.n
        return table

    def moments(self, groups: Iterable[_Group]) -> Moments:
        shape = (len(self.arms), len(self.strata))
        moments = Moments(np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.zeros(shape))
        for cell, members in self._members(groups).items():
            n = np.array([member.n for member in members])
            mean, m2 = (
                np.array(list(values))
                for values in zip(*((member.mean[0], member.cross[0, 0]) for member in members), strict=True)
            )
            moments.n[cell], moments.mean[cell], moments.m2[cell] = pooled(n, mean, m2)
        return moments

    def joint(self, groups: Iterable[_Group], columns: Columns) -> Joint:
        names = (columns.outcome, *columns.covariates)
        shape, k = (len(self.arms), len(self.strata)), len(names)
        joint = Joint(names, np.zeros(shape, dtype=np.int64), np.full((*shape, k), np.nan), np.zeros((*shape, k, k)))
        for cell, members in self._members(groups).items():
            n = np.array([member.n for member in members])
            parts = Joint(names, n[None], np.array([[m.mean for m in members]]), np.array([[m.cross for m in members]]))
            joint.n[cell], joint.mean[cell], joint.cross[cell] = parts.pooled([0])
        return joint

    def _members(self, groups: Iterable[_Group]) -> dict[tuple[int, int], list[_Group]]:
        members: dict[tuple[int, int], list[_Group]] = {}
        for group in groups:
            members.setdefault(self.place(group), []).append(group)
        return members


def _groups(source: Source, scale: Scale | None) -> tuple[list[_Group], list[_Tally]]:
    """The file by arm, stratum and level: moments of the complete rows, and how many rows there are in all."""
    strata, width = len(source.columns.strata), 1 + len(source.columns.covariates)
    level = _level(scale)
    keys = ["arm", *(f"s{place}" for place in range(strata)), *([level] if level else [])]
    pairs = [(i, j) for i in range(width) for j in range(i, width)]
    sums = ["count(*)", "count(x0)", *(f"favg(x{i})" for i in range(width))]
    sums += [f"var_pop(x{i})" if i == j else f"covar_pop(x{i}, x{j})" for i, j in pairs]
    alone = source.columns.alone  # then one pass tells both: what is complete, and what is not
    groups, tallies = [], []
    for arm, *rest in source.groups(keys, sums, complete=not alone):
        names, value = rest[:strata], rest[strata] if level else None
        rows, n, *numbers = rest[len(keys) - 1 :]
        tallies.append(_Tally(clean(arm), _crossed(names), rows, n))
        if n:
            mean, cross = np.array(numbers[:width]), np.zeros((width, width))
            for (i, j), covariance in zip(pairs, numbers[width:], strict=True):
                cross[i, j] = cross[j, i] = n * covariance
            groups.append(_Group(clean(arm), _crossed(names), value, n, mean, cross))
    if alone or sum(tally.rows for tally in tallies) == source.size():  # the second costs nothing
        return groups, tallies
    return groups, _tallies(source)


def _tallies(source: Source) -> list[_Tally]:
    """All rows by arm and stratum, the incomplete ones too."""
    strata = [f"s{place}" for place in range(len(source.columns.strata))]
    found = source.groups(["arm", *strata], ["count(*)", "count(x0)"], complete=False)
    return [_Tally(clean(arm), _crossed(rest[:-2]), *rest[-2:]) for arm, *rest in found]


def _clusters(source: Source, cells: _Cells) -> Clusters:
    strata = len(source.columns.strata)
    keys = ["cluster", "arm", *(f"s{place}" for place in range(strata))]
    found = source.groups(keys, ["count(*)", "favg(x0)", "var_pop(x0) * count(*)"])
    kept = sorted((row for row in found if clean(row[1])), key=lambda row: [str(name) for name in row[: 2 + strata]])
    labels = {name: number for number, name in enumerate(dict.fromkeys(row[0] for row in kept))}
    places = np.array(
        [
            (labels[r[0]], cells.arms.index(clean(r[1])), cells.strata.index(_crossed(r[2 : 2 + strata])), r[-3])
            for r in kept
        ],
        dtype=np.int64,
    ).reshape(-1, 4)
    sums = np.array([row[-2:] for row in kept], dtype=np.float64).reshape(-1, 2)
    return Clusters(*places.T, *sums.T)


def _rows(source: Source, cells: _Cells) -> Rows:
    columns = source.columns
    found = source.rows()
    names = [_filled(found[f"s{place}"]) for place in range(len(columns.strata))]
    stratum = [" / ".join(parts) for parts in zip(*names, strict=True)] if names else [""] * len(found["x0"])
    last = 1 + len(columns.covariates)
    return Rows(
        _codes(found["arm"], cells.arms),
        _codes(np.asarray(stratum, dtype=object), cells.strata),
        _floats(found["x0"]),
        {name: _floats(found[f"x{place + 1}"]) for place, name in enumerate(columns.covariates)},
        np.unique(np.asarray(found["cluster"], dtype=str), return_inverse=True)[1] if columns.cluster else None,
        _floats(found[f"x{last}"]) if columns.weight else None,
    )


def _codes(texts: npt.NDArray[Any], order: Sequence[str]) -> IntArray:
    names, inverse = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    return np.array([order.index(name.strip()) for name in names], dtype=np.int64)[inverse]


def _filled(texts: npt.NDArray[Any]) -> list[str]:
    """Names of a column, with what stands for a missing one."""
    return [clean(text) or UNKNOWN for text in np.ma.asarray(texts).tolist()]


def _floats(numbers: npt.NDArray[Any]) -> FloatArray:
    return np.asarray(numbers, dtype=np.float64)


def _crossed(names: Iterable[str | None]) -> str:
    return " / ".join(clean(name) or UNKNOWN for name in names)


def _arms(values: Sequence[str], control: str | None, source: Source) -> tuple[str, ...]:
    """All arms, control first."""
    place = f"{source.path}, column {source.columns.arm}"
    _few(values, MAX_ARMS, place, "arms")
    if not values:
        raise InputError("there is no row with an arm", place=place, remedy="Each row needs the arm of its customer")
    listed = ", ".join(values)
    if control is None:
        named = [value for value in values if value.casefold() in CONTROL_NAMES]
        if len(named) != 1:
            raise InputError(
                "it is not clear which arm is control", place=place, remedy=f"Name it with --control. Arms: {listed}"
            )
        control = named[0]
    if control not in values:
        raise InputError(f"no row has the arm {control!r}", place=place, remedy=f"Arms: {listed}")
    alike = [value for value in values if sum(value.casefold() == other.casefold() for other in values) > 1]
    if alike:
        raise InputError(
            f"these arms differ in capital letters only: {', '.join(alike)}", place=place, remedy="Write them alike"
        )
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


def _scale(groups: Sequence[_Group], source: Source) -> Scale:
    levels = {group.level for group in groups}
    if None in levels or len(levels) > _RATING_LEVELS:
        return Scale.NUMBER if source.least() < 0 else Scale.MONEY
    return Scale.BINARY if levels <= {0.0, 1.0} else Scale.RATING


def _levels(groups: Sequence[_Group], scale: Scale, given: Sequence[float] | None, source: Source) -> tuple[float, ...]:
    """The values that are counted, ascending; none where there are too many to count."""
    place = f"{source.path}, column {source.columns.outcome}"
    found = {group.level for group in groups}
    if given is not None:
        if found - set(given):
            known = ", ".join(f"{level:g}" for level in given)
            condition = f"x0 NOT IN ({', '.join(repr(float(level)) for level in given)})"
            source.name_first(condition, "is none of the values of the scale", f"The scale has: {known}")
        return tuple(sorted(float(level) for level in given))
    if scale not in _COUNTED or None in found:
        return ()
    if scale is Scale.BINARY:
        if not found <= {0.0, 1.0}:
            source.name_first(
                "x0 NOT IN (0, 1)", "is neither 0 nor 1", "Write yes as 1 and no as 0, or name another scale"
            )
        return (0.0, 1.0)
    levels = tuple(sorted(level for level in found if level is not None))
    if len(levels) > MAX_LEVELS and scale is Scale.RATING:
        raise InputError(f"{len(levels):,} different values are no rating", place=place, remedy="Use the scale money")
    return levels if len(levels) <= MAX_LEVELS else ()


def _check_sign(scale: Scale, source: Source) -> None:
    """Money, counts and times are not negative."""
    if scale in (Scale.MONEY, Scale.COUNT, Scale.TIME) and source.least() < 0:
        source.name_first(
            "x0 < 0",
            f"is negative, on the scale {scale.value}",
            "Correct it, or use the scale number where values may be negative",
        )


def _check_whole(scale: Scale, groups: Sequence[_Group], given: Sequence[float] | None, source: Source) -> None:
    """Counts are whole numbers, and ratings are unless all their levels are named."""
    remedy = {
        Scale.RATING: "Name all values of the rating with --levels 1,1.5,2,... or use the scale number",
        Scale.COUNT: "Correct it, or use the scale number",
    }
    broken = any(group.level is None or group.level % 1 for group in groups)
    if given is None and scale in remedy and broken and source.any(_BROKEN):
        source.name_first(_BROKEN, f"is no whole number, on the scale {scale.value}", remedy[scale])


def _excluded(
    tallies: Iterable[_Tally], groups: Iterable[_Group], columns: Columns, *, assigned: bool
) -> dict[str, int]:
    known = [tally for tally in tallies if tally.arm is not None]
    others = [*columns.covariates, *filter(None, (columns.weight, columns.cluster))]
    valued = sum(tally.valued for tally in known)
    reasons = {
        f"no value in column {columns.arm}": sum(tally.rows for tally in tallies if tally.arm is None),
        f"no value in column {columns.outcome}": 0 if assigned else sum(tally.rows for tally in known) - valued,
        f"no value in column {' or '.join(others)}": valued - sum(group.n for group in groups),
    }
    return {reason: rows for reason, rows in reasons.items() if rows}


def _level(scale: Scale | None) -> str:
    """The SQL by which rows are grouped by value: whole numbers that may be levels, or what the scale says; or none."""
    if scale in (Scale.RATING, Scale.BINARY):
        return "x0"
    return "" if scale in (Scale.MONEY, Scale.NUMBER, Scale.TIME) else _WHOLE
