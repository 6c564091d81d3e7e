"""What was known of everybody at the seal, kept beside the frame: later comparisons do not depend on a base that moves.

The file is Parquet: one row for each customer of the plan's segments, by ref, with `eligible` and all of `CATEGORIES`
and `NUMBERS`. The eligible rows stand in the order of the frame.
"""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db
from pilot.errors import CheckFailed, StateError
from pilot.experiments.eligibility import MEASURES, frames_folder, known
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import Floats, Frame

CATEGORIES = ("segment", "activity", "channel", "region", "language", "sector", "size", "sales_rep")
NUMBERS = (*MEASURES, "cancelled", "interval_change", "peer_revenue")
_BATCH = 10_000


@dataclass(frozen=True, eq=False)
class Baseline:
    """The profiles at the seal, field by field.

    Attributes:
        eligible: Whether each customer of the segments is in the frame.
        engine: Reads the fields of the file, each when it is asked for.
        path: Of the file.
    """

    eligible: npt.NDArray[np.bool_]
    engine: duckdb.DuckDBPyConnection
    path: Path

    def number(self, field: str) -> Floats:
        """The values of one of `NUMBERS`; nan where it is not known."""
        found = np.ma.filled(_column(self.engine, self.path, field), np.nan)
        return np.asarray(found, dtype=np.float64)

    def category(self, field: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        """One of `CATEGORIES` as codes, and their labels in order; "" where it is not known."""
        texts = np.ma.filled(_column(self.engine, self.path, field), "").tolist()
        labels = sorted(set(texts))
        index = {label: code for code, label in enumerate(labels)}
        return np.fromiter(map(index.__getitem__, texts), np.int64, len(texts)), labels


def keep(plan: Plan, frame: Frame) -> str:
    """Store the profiles of the plan's segments as they are now.

    Returns:
        The digest of the file, which is its name.
    """
    folder = frames_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _scratch(folder, ".rows") as rows, _scratch(folder, ".part") as part:
        _write(rows, plan, frozenset(frame.refs))
        _pack(rows, part)
        with part.open("rb+") as packed:
            name = hashlib.file_digest(packed, "sha256").hexdigest()
            os.fsync(packed.fileno())
        os.link(part, _taken(folder / f"{name}.parquet"))
    return name


def read(experiment: Experiment) -> Baseline:
    """The profiles as they were at the seal.

    Raises:
        CheckFailed: The file is gone or was changed.
        StateError: The experiment was never sealed, or by a version that kept no profiles.
    """
    if experiment.baseline_digest is None:
        raise StateError(f"no profiles were kept of {experiment.key}", remedy="They are kept when the plan is sealed")
    path = frames_folder() / f"{experiment.baseline_digest}.parquet"
    try:
        with path.open("rb") as kept:
            sound = hashlib.file_digest(kept, "sha256").hexdigest() == experiment.baseline_digest
    except OSError as error:
        raise CheckFailed(
            "the file of profiles cannot be read", place=str(path), remedy="Restore it from a backup"
        ) from error
    if not sound:
        raise CheckFailed("the file of profiles was changed", place=str(path), remedy="Restore it from a backup")
    engine = duckdb.connect(":memory:", config={"threads": 1})
    return Baseline(np.asarray(_column(engine, path, "eligible"), dtype=bool), engine, path)


def _write(path: Path, plan: Plan, eligible: frozenset[str]) -> None:
    """All rows as CSV, in the order of refs; never more of them in memory than a batch."""
    query = (
        sa.select(Customer.ref, *(known(name) for name in (*CATEGORIES, *NUMBERS)))
        .join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        .where(CustomerProfile.segment.in_(plan.population.segments))
        .order_by(Customer.ref)
    )
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["eligible", *CATEGORIES, *NUMBERS])
        for batch in db.session.execute(query).partitions(_BATCH):
            lines.writerows([row[0] in eligible, *row[1:]] for row in batch)


def _pack(rows: Path, part: Path) -> None:
    types = {"eligible": "BOOLEAN"} | dict.fromkeys(CATEGORIES, "VARCHAR") | dict.fromkeys(NUMBERS, "DOUBLE")
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        read_csv: Any = engine.read_csv
        read_csv(str(rows), header=True, dtype=types, delimiter=",", quotechar='"', escapechar='"').write_parquet(
            str(part), compression="zstd"
        )


def _column(engine: duckdb.DuckDBPyConnection, path: Path, field: str) -> Any:
    """One field of all rows, in their order."""
    return engine.read_parquet(str(path)).select(duckdb.ColumnExpression(field)).fetchnumpy()[field]


@contextmanager
def _scratch(folder: Path, suffix: str) -> Iterator[Path]:
    """A file that is gone afterwards."""
    handle, name = tempfile.mkstemp(dir=folder, suffix=suffix)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


def _taken(path: Path) -> Path:
    """A path that nothing stands at: the same profiles kept once more are the same file."""
    path.unlink(missing_ok=True)
    return path
