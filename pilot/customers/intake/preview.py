"""A first look at what is to be imported: how it is understood, and its first rows raw and as they would be stored."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pilot import config
from pilot.customers.importers import Importer, Reading, Table
from pilot.customers.intake import checks, staging
from pilot.customers.intake.checks import Unfit
from pilot.customers.intake.columnmaps import digest_of
from pilot.customers.intake.evidence import evidence_of
from pilot.customers.intake.fields import FIELDS, Content
from pilot.customers.intake.opening import opened
from pilot.customers.intake.queries import read_query
from pilot.customers.intake.staging import TYPED, Staged
from pilot.customers.intake.understanding import (
    Overrules,
    Understanding,
    as_made,
    match,
    understand,
)
from pilot.customers.intake.uploads import Upload
from pilot.errors import InputError

SHOWN = 6
"""So many rows are shown."""
_LOOKED_AT = 400
"""So many rows are searched for a value that shows how the file is written."""
MOST_READ = 5_000
"""So many rows are read of what Python reads row by row; of files of lines, as many as `uploads.BEGINNING` holds."""

_TELLING_DAY = re.compile(r"[0-9]{4}|(1[3-9]|[23][0-9])[-/.]|[0-9]{1,2}[-/.](1[3-9]|[23][0-9])[-/.]")
"""Days that can be read one way only."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One value as it would be stored, or why it would be refused."""

    value: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a first look found.

    Attributes:
        overrules: What was said of the file, as far as it fits.
        digest: Fingerprint of the header that these columns stand in.
        header: The source's own names of its columns.
        places: The number of the column of each field that has one.
        missing: Names of the needed fields that have none.
        doubled: Names of columns that occur twice, of those that are read.
        how: How it was read, as it is stored with an import.
        samples: By field, the first value that is not empty, as the source has it.
        evidence: A value that shows the decimal sign, one that shows the order of days, one with a letter that shows
            the encoding; by `numbers`, `days`, `encoding`, where there is such a value among the first rows.
        rows: The number of rows that were looked at.
        whole: Whether these are all.
        raw: Line and cells of the first rows.
        seen: Line and, by field, the values of the same rows as understood; a fault of the whole row under "".
        derived: Whether an importer makes the rows out of the file by rules of its own, so that nothing can be mapped.
        error: Why it cannot be read at all; everything else is empty then.
    """

    overrules: Overrules
    digest: str = ""
    header: tuple[str, ...] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)
    samples: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    whole: bool = True
    raw: Sequence[tuple[int, Sequence[str]]] = ()
    seen: Sequence[tuple[int, Mapping[str, Seen]]] = ()
    derived: bool = False
    error: InputError | None = None

    @property
    def ready(self) -> bool:
        """Whether it can be tried and taken over as it is understood now."""
        return self.error is None and not self.missing and not self.doubled


def source_of(upload: Upload, overrules: Overrules) -> Table | Reading:
    """The beginning of what is to be taken in, opened: a page waits for it. The job that takes it in looks at it all.

    Raises:
        InputError: It cannot be read.
    """
    if upload.source:
        return _first(read_query(upload.source, upload.kind))
    if upload.path is None:
        raise InputError("this file has been taken over already", place=upload.name, remedy="Upload it again")
    importer: Importer = opened(upload.kind, upload.path, overrules)
    return _first(importer.read(upload.beginning() if importer.line_by_line else upload.path, upload.kind))


def _first(source: Table | Reading) -> Table | Reading:
    """The first rows of a source that Python reads one by one; the data engine splits text by itself."""
    if isinstance(source, Reading):
        return replace(source, rows=islice(source.rows, MOST_READ))
    if source.text is not None:
        return source
    return replace(source, records=lambda: islice(source.records(), MOST_READ), parquet=None)


def as_found(upload: Upload) -> Table | Reading | None:
    """What is to be taken in, opened without anything being said; None where that fails."""
    try:
        return source_of(upload, Overrules())
    except InputError:
        return None


def found_digest(upload: Upload, seen: Preview) -> str:
    """Fingerprint of the header as it is found without anything being said: by it the next such file is recognised."""
    told = seen.overrules
    if not (told.encoding or told.delimiter or told.sheet):
        return seen.digest
    source = as_found(upload)
    return digest_of(source.header if source is not None else ())


def look(upload: Upload, overrules: Overrules, *, digest: str = "", source: Table | Reading | None = None) -> Preview:
    """Read its beginning and show how it is understood. What cannot be read is told, not raised.

    Args:
        upload: The file or source.
        overrules: What a person says of it.
        digest: Fingerprint of the header for which the person chose columns; the choice falls with another header.
        source: The same, if it was opened just so already.
    """
    try:
        overrules.check()
        source = source or source_of(upload, replace(overrules, columns={}))
        if digest and digest != digest_of(source.header):
            overrules = replace(overrules, columns={})
        with (
            tempfile.TemporaryDirectory(prefix="taking-", dir=_root()) as name,
            staging.engine(Path(name), threads=1) as engine,
        ):
            return _looked(upload, source, overrules, staging.stage(engine, source, Path(name), upload.name))
    except InputError as error:
        return Preview(overrules, error=error)


def _looked(upload: Upload, source: Table | Reading, overrules: Overrules, staged: Staged) -> Preview:
    fields = FIELDS[upload.kind]
    header = tuple(source.header)
    places: Mapping[str, int] = {}
    missing: tuple[str, ...] = ()
    if isinstance(source, Reading):
        understood = as_made(source.how, staged.file.header, fields)
    else:
        fitting = {name: column for name, column in overrules.columns.items() if not column or column in header}
        overrules = replace(overrules, columns=fitting)
        places = match(fields, header, fitting)
        missing = tuple(known.name for known in fields if known.needed and known.name not in places)
        understood = understand(source, fields, places, evidence_of(staged, fields, places), overrules)
    rows = _first_rows(staged)
    return Preview(
        overrules,
        digest_of(header),
        header,
        places,
        missing,
        tuple(sorted({header[index] for index in places.values() if header.count(header[index]) > 1})),
        understood.how,
        _samples(rows, places),
        _evidence(rows, understood, header),
        staged.rows,
        not upload.cut and (staged.rows < MOST_READ or getattr(source, "text", None) is not None),
        [(line, original) for line, _, original, _ in rows[:SHOWN]],
        _seen(rows[:SHOWN], understood),
        isinstance(source, Reading),
    )


_Rows = list[tuple[int, str, list[str], list[str]]]
"""Line, fault, the cells as the source has them, the staged cells."""


def _first_rows(staged: Staged) -> _Rows:
    sql = f"SELECT {staged.line}, {staged.original()} FROM staged ORDER BY rowid LIMIT {_LOOKED_AT}"  # noqa: S608
    rows = []
    for line, fault, original, *cells in staged.engine.execute(sql).fetchall():
        told = json.loads(original) if original else [cell.removeprefix(TYPED) for cell in cells]
        rows.append((line, json.loads(fault)[2] if fault else "", told, cells))
    return rows


def _samples(rows: _Rows, places: Mapping[str, int]) -> dict[str, str]:
    found = {}
    for name, index in places.items():
        values = (original[index] for _, fault, original, _ in rows if not fault and original[index].strip())
        found[name] = next(values, "")
    return found


def _evidence(rows: _Rows, understood: Understanding, header: Sequence[str]) -> dict[str, str]:
    """Values of the first rows that show how the whole is written."""
    sound = [original for _, fault, original, _ in rows if not fault]
    letters = (cell for cells in (header, *sound) for cell in cells if not cell.isascii())
    numbers = _cells(sound, understood, Content.NUMBER)
    decimal = [cell for cell in numbers if understood.numbers.decimal in cell]
    days = [cell for cell in _cells(sound, understood, Content.DAY) if understood.days.read(cell.strip())]
    telling = [
        cell
        for cell in days
        if any(
            12 < int(part) < 32 for part in cell[:5].replace(".", "/").replace("-", "/").split("/") if part.isdigit()
        )
    ]
    found = {
        "encoding": next(letters, ""),
        "numbers": next(iter(decimal or numbers), ""),
        "days": next(iter(telling or days), ""),
    }
    return {name: value.strip()[:40] for name, value in found.items() if value}


def _cells(rows: Sequence[Sequence[str]], understood: Understanding, content: Content) -> list[str]:
    if understood.derived:
        return []
    places = [index for known, index in understood.places if known.content is content]
    return [cells[index] for cells in rows for index in places if cells[index].strip()]


def _seen(rows: _Rows, understood: Understanding) -> list[tuple[int, dict[str, Seen]]]:
    """Each value of these rows as it would be stored, by the very checks of an import."""
    decimal = "." if understood.derived else understood.numbers.decimal
    judges = [
        (known, index, checks.check_of(known, *understood.reader(known), decimal, config.today()))
        for known, index in understood.places
    ]
    seen = []
    for line, fault, _, cells in rows:
        values = (
            {"": Seen("", fault)} if fault else {known.name: _judged(check, cells[i]) for known, i, check in judges}
        )
        seen.append((line, values))
    return seen


def _judged(check: checks.Check, cell: str) -> Seen:
    try:
        return Seen(check.judge(cell))
    except Unfit as unfit:
        return Seen(unfit.value or cell.removeprefix(TYPED), unfit.reason)


def _root() -> Path:
    """Where imports work too: what a kill leaves behind is removed with what they leave."""
    root = config.current().data_dir / "imports"
    root.mkdir(parents=True, exist_ok=True)
    return root
