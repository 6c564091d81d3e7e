"""The frame: who is eligible, as one file that anybody can hash and draw from again.

The file is CSV in one canonical form: header `ref,stratum`, one line per customer in the order of the refs as
UTF-8 bytes, line feeds, quotation marks only where RFC 4180 demands them. Its SHA-256 is the frame's digest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from pilot.errors import CheckFailed, InputError
from pilot.experiments.sampling import Frame

_HEADER = "ref,stratum"
_SPECIAL = frozenset(',"\r\n')


def build(rows: Iterable[tuple[str, str]]) -> Frame:
    """A frame from (ref, stratum label) pairs in any order.

    Raises:
        InputError: A ref stands twice.
    """
    pairs = sorted(rows)  # code points sort as their UTF-8 bytes do
    refs = tuple(ref for ref, _ in pairs)
    for ref, after in pairwise(refs):
        if ref == after:
            raise InputError(
                f"customer {ref!r} stands in the frame twice", remedy="Remove the double from the customer base"
            )
    labels = tuple(sorted({label for _, label in pairs}))
    index = {label: number for number, label in enumerate(labels)}
    return Frame(refs, np.fromiter((index[label] for _, label in pairs), np.int64, len(pairs)), labels)


def to_csv(frame: Frame) -> bytes:
    """The frame's file."""
    labels = [_quoted(label) for label in frame.labels]
    lines = [
        f"{_quoted(ref)},{labels[stratum]}" for ref, stratum in zip(frame.refs, frame.strata.tolist(), strict=True)
    ]
    return "\n".join([_HEADER, *lines, ""]).encode()


def from_csv(data: bytes) -> Frame:
    """The frame that `to_csv` wrote."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    next(rows)
    return build((ref, label) for ref, label in rows)


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
    path = folder / f"{name}.csv"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(
            "the frame's file cannot be read", place=str(path), remedy="Restore it from a backup"
        ) from error
    if digest(data) != name:
        raise CheckFailed("the frame's file was changed", place=str(path), remedy="Restore it from a backup")
    return from_csv(data)


def difference(before: Frame, after: Frame) -> tuple[int, int, int]:
    """How many customers joined the frame, left it, and changed their stratum."""
    old, new = _strata(before), _strata(after)
    moved = sum(new.get(ref, label) != label for ref, label in old.items())
    return len(new.keys() - old.keys()), len(old.keys() - new.keys()), moved


def _strata(frame: Frame) -> dict[str, str]:
    return {ref: frame.labels[number] for ref, number in zip(frame.refs, frame.strata.tolist(), strict=True)}


def _quoted(field: str) -> str:
    return f'"{field.replace(chr(34), chr(34) * 2)}"' if _SPECIAL & set(field) else field


def _sync(folder: Path) -> None:
    """Make a rename in this folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
