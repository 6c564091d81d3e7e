"""The frame: who is eligible, as one file that anybody can hash and draw from again.

The file is CSV in one canonical form: header `ref,stratum`, then `cluster` and the names of measures if the plan's
designs look at any; one line per customer in the order of the refs as UTF-8 bytes, line feeds, quotation marks only
where RFC 4180 demands them, numbers as the shortest decimal that means them. Its SHA-256 is the frame's digest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np

from pilot.errors import CheckFailed, InputError
from pilot.experiments.sampling import Frame, Ints

_SPECIAL = frozenset(',"\r\n')


@dataclass(frozen=True, slots=True)
class Columns:
    """What a frame has beside ref and stratum: clusters or not, and the names of its measures."""

    clusters: bool = False
    measures: tuple[str, ...] = ()

    def header(self) -> list[str]:
        """The names of all columns of the file."""
        return ["ref", "stratum", *(["cluster"] if self.clusters else []), *self.measures]


def build(rows: Iterable[Sequence[Any]], columns: Columns = Columns()) -> Frame:
    """A frame from rows in any order.

    Args:
        rows: Ref and stratum label of each unit, then its cluster if there are clusters, then its measures (None where
            one is not known).
        columns: Which of these there are.

    Raises:
        InputError: A ref stands twice.
    """
    width = len(columns.header())
    found = tuple(zip(*rows, strict=True)) or ((),) * width
    return from_columns(found[0], found[1:], columns)


def from_columns(refs: Sequence[str], others: Sequence[Sequence[Any]], columns: Columns = Columns()) -> Frame:
    """The same from whole columns: the refs, and behind them the columns of `build`'s rows."""
    refs, others = _in_order(refs, others)
    strata, labels = _coded(others[0])
    clusters, cluster_labels = _coded(others[1]) if columns.clusters else (None, ())
    known = zip(columns.measures, others[1 + columns.clusters :], strict=True)
    measures = {name: np.array(values, dtype=np.float64) for name, values in known}  # None becomes nan
    return Frame(refs, strata, labels, clusters, cluster_labels, measures)


def _in_order(refs: Sequence[str], others: Sequence[Sequence[Any]]) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """All columns in the order of the refs."""
    ordered = tuple(sorted(refs))  # code points sort as their UTF-8 bytes do
    for ref in compress(ordered, map(eq, ordered, islice(ordered, 1, None))):
        raise InputError(
            f"customer {ref!r} stands in the frame twice", remedy="Remove the double from the customer base"
        )
    if ordered == tuple(refs):
        return ordered, others
    line = sorted(range(len(refs)), key=refs.__getitem__)
    return ordered, [[column[place] for place in line] for column in others]


def columns_of(frame: Frame) -> Columns:
    """What a frame has beside ref and stratum."""
    return Columns(frame.clusters is not None, tuple(frame.measures))


def to_csv(frame: Frame) -> bytes:
    """The frame's file."""
    lines = map(",".join, zip(_all_quoted(frame.refs), *_fields(frame), strict=True))
    return "\n".join([",".join(columns_of(frame).header()), *lines, ""]).encode()


def from_csv(data: bytes) -> Frame:
    """The frame that `to_csv` wrote."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    _ref, _stratum, *others = next(rows)
    columns = Columns("cluster" in others[:1], tuple(others[1:] if "cluster" in others[:1] else others))
    texts = 2 + columns.clusters
    return build(((*row[:texts], *(float(value) if value else None for value in row[texts:])) for row in rows), columns)


def digest(data: bytes) -> str:
    """SHA-256 of a frame's file, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def store(folder: Path, data: bytes) -> str:
    """Keep a frame's file under its digest, durably: afterwards it is there whole or, after a crash, not at all.

    Returns:
        The digest.
    """
    name = digest(data)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as out:
        part = Path(out.name)
        try:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
            part.replace(folder / f"{name}.csv")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    _sync(folder)
    return name


def fetch(folder: Path, name: str) -> Frame:
    """The frame kept under this digest.

    Raises:
        CheckFailed: Its file is gone or was changed.
    """
    return from_csv(fetch_file(folder, name))


def fetch_file(folder: Path, name: str) -> bytes:
    """The file kept under this digest.

    Raises:
        CheckFailed: It is gone or was changed.
    """
    path = folder / f"{name}.csv"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(
            "the frame's file cannot be read", place=str(path), remedy="Restore it from a backup"
        ) from error
    if digest(data) != name:
        raise CheckFailed("the frame's file was changed", place=str(path), remedy="Restore it from a backup")
    return data


def difference(before: Frame, after: Frame) -> tuple[int, int, int]:
    """How many customers joined the frame, left it, and changed in what the draw looks at."""
    old, new = _rows(before), _rows(after)
    changed = sum(new.get(ref, row) != row for ref, row in old.items())
    return len(new.keys() - old.keys()), len(old.keys() - new.keys()), changed


def _rows(frame: Frame) -> dict[str, tuple[str, ...]]:
    return dict(zip(frame.refs, zip(*_fields(frame), strict=True), strict=True))


def _fields(frame: Frame) -> list[Iterable[str]]:
    """What the file says of each unit beside its ref, column by column."""
    fields: list[Iterable[str]] = [_texts(frame.strata, frame.labels)]
    if frame.clusters is not None:
        fields.append(_texts(frame.clusters, frame.cluster_labels))
    return fields + [map(_number, values.tolist()) for values in frame.measures.values()]


def _coded(values: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
    labels = tuple(sorted(set(values)))
    index = {label: number for number, label in enumerate(labels)}
    return np.fromiter(map(index.__getitem__, values), np.int64, len(values)), labels


def _texts(codes: Ints, labels: Sequence[str]) -> Iterator[str]:
    quoted = [_quoted(label) for label in labels]
    return map(quoted.__getitem__, codes.tolist())


def _number(value: float) -> str:
    """The shortest decimal that means this number, as every Python writes it; empty where it is not known."""
    return "" if math.isnan(value) else repr(value)


def _all_quoted(refs: Sequence[str]) -> Iterable[str]:
    """The refs as fields; customer numbers seldom need a quotation mark, which one look at all of them tells."""
    special = _SPECIAL & set("".join(refs))
    return map(_quoted, refs) if special else refs


def _quoted(field: str) -> str:
    return f'"{field.replace(chr(34), chr(34) * 2)}"' if _SPECIAL & set(field) else field


def _sync(folder: Path) -> None:
    """Make a rename in this folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
