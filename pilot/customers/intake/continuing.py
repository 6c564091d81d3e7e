"""Going on with an import of orders or touches by rows that were refused there, and what an import changes of others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from pilot.customers.importers import Origin, Reading, Table
from pilot.customers.intake.requests import Request
from pilot.customers.intake.sieve import Sieve
from pilot.customers.models import Import
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import InputError, StateError

_DIGITS = 16


class Continuation(NamedTuple):
    """The import that is gone on with, None if none stands, and what is to be kept of it in the reading."""

    of: int | None
    mark: dict[str, Any]


def origin_of(request: Request, source: Table | Reading, sieve: Sieve) -> Origin:
    """Where the rows come from that are refused now: by way of several files of refused rows, the first of all."""
    before = source.origin if isinstance(source, Table) else None
    name = before.source if before else request.sha256[:_DIGITS]
    read = sieve.understanding
    if read.derived or sieve.staged.file.typed:  # its cells are written as ours are, whatever its text may be like
        return before or Origin(name)
    return Origin(name, "comma" if read.numbers.decimal == "," else "point", read.days.order)


def continuation(request: Request, origin: Origin | None, sieve: Sieve) -> Continuation:
    """What the good rows of a file go on with, if they were refused before.

    Raises:
        InputError: One of them was taken over already.
    """
    if origin is None:
        return Continuation(None, {})
    lines = _lines(sieve)
    root = _root(request.kind, origin)
    if root is not None:
        _check_lines(request, root, lines)
    return Continuation(root, {"origin": origin.source, "lines": lines})


def hold(continued: int | None) -> None:
    """Keep the import that is gone on with from being undone before the transaction ends.

    Raises:
        StateError: It has just been.
    """
    if continued is None:
        return
    standing = sa.select(Import.fact_file).where(Import.id == continued).with_for_update()
    if db.session.scalar(standing) is None:
        raise StateError(f"import {continued}, which it goes on with, was just undone", remedy="Import the file again")


def told_otherwise(kind: str, rows: Path, continued: int | None) -> dict[str, Any]:
    """What rows change of what the base tells, for people; nothing where they change nothing."""
    found = store().would_retell(kind, rows, continued)
    if not found.number:
        return {}
    return {"told_otherwise": {"number": found.number, "before": str(found.before), "after": str(found.after)}}


def _root(kind: str, origin: Origin) -> int | None:
    """The newest import that stands of the file they were refused from, or of other rows of it."""
    mark = Import.reading[("after", "origin")].as_string()
    newest = (
        sa.select(sa.func.coalesce(Import.continues, Import.id))
        .where(Import.kind == kind, Import.fact_file.is_not(None))
        .where(sa.or_(Import.sha256.startswith(origin.source), mark == origin.source))
        .order_by(Import.id.desc())
    )
    return db.session.scalar(newest.limit(1))


def _lines(sieve: Sieve) -> list[list[int]]:
    """The lines of the good rows, as first and last of each run of them."""
    lines = sieve.good(f"DISTINCT {sieve.staged.line} AS line")
    runs = sieve.staged.engine.execute(
        f"SELECT min(line), max(line) FROM (SELECT line, line - row_number() OVER (ORDER BY line) AS run FROM ({lines})) "  # noqa: S608
        f"GROUP BY run ORDER BY 1"
    )
    return [list(run) for run in runs.fetchall()]


def _check_lines(request: Request, root: int, lines: Sequence[Sequence[int]]) -> None:
    same = sa.select(Import).where(sa.or_(Import.id == root, Import.continues == root), Import.fact_file.is_not(None))
    for entry in db.session.scalars(same.order_by(Import.id)):
        taken = entry.reading.get("after", {}).get("lines", [])
        for one, next_ in pairwise(sorted((*lines, *taken))):
            if next_[0] <= one[1]:
                raise InputError(
                    f"line {next_[0]:,} of the file its rows were refused from was taken over by import {entry.id} already",
                    place=request.name,
                    remedy=f"Undo that first (pilot import --undo {entry.id}), or remove its rows from this file",
                )
