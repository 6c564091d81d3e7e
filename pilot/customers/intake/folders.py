"""Where imports work below the data folder, and what stays there when they are done or killed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pilot import clock, config
from pilot.customers.intake.lease import held
from pilot.customers.intake.rejects import copy_private
from pilot.customers.intake.sieve import Sieve
from pilot.customers.models import Import
from pilot.db import db

PLAN = "plan.json"
"""All that another process needs to go on with an import, beside its text file."""
_ORPHANED = 24 * 3600
"""Seconds after which the folder of an import that never came to anything is removed."""


def root() -> Path:
    """Where imports work and keep their refused rows."""
    return config.current().data_dir / "imports"


def _staged() -> Sequence[str]:
    return [str(path) for path in db.session.scalars(sa.select(Import.staged).where(Import.staged.is_not(None)))]


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """A folder below the data folder, held as ours, which stays only where an interrupted import needs it."""
    root().mkdir(parents=True, exist_ok=True)
    sweep()
    folder = Path(tempfile.mkdtemp(prefix="taking-", dir=root()))
    try:
        with held(folder):
            yield folder
    finally:
        if f"{folder.parent.name}/{folder.name}" not in _staged():
            shutil.rmtree(folder, ignore_errors=True)


def keep_rejects(folder: Path, entry_id: int) -> str | None:
    """Keep the refused rows of an import beyond its work; where, relative to the data folder; None without any."""
    path = folder / "rejects.csv"
    kept = folder.parent / f"{entry_id}-rejects.csv"
    if path.exists():
        copy_private(path, kept)
    return f"{kept.parent.name}/{kept.name}" if kept.exists() else None


def write_plan(sieve: Sieve, good: int, *, overwrite: bool) -> None:
    """All that another process needs to go on, made durable."""
    plan = {
        "file": sieve.staged.file.document(),
        "understanding": sieve.understanding.document(),
        "today": sieve.today.isoformat(),
        "good": good,
        "overwrite": overwrite,
    }
    (sieve.folder / PLAN).write_text(json.dumps(plan), encoding="utf-8")
    for path in (sieve.folder / PLAN, sieve.folder / sieve.staged.file.name, sieve.folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep() -> None:
    """Remove what imports left behind that were killed before they were entered."""
    named = {Path(str(path)).name for path in _staged()}
    limit = clock.now().timestamp() - _ORPHANED
    for folder in root().glob("taking-*"):
        if folder.name not in named and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
