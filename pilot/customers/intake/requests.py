"""What is asked of an import, and what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from pilot.accounts.service import Actor
from pilot.customers.importers import RowError
from pilot.customers.intake.merging import Progress
from pilot.customers.intake.understanding import Overrules
from pilot.errors import InputError


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a file.

    Attributes:
        import_id: Number of the import that holds these rows; None where nothing was taken over.
        kind: `customers`, `orders` or `touches`.
        accepted: Rows taken over, new or changed; in a dry run, that would be.
        unchanged: Rows that were there already, just so.
        rejected: Rows refused.
        how: How the file was read.
        errors: The first refusals.
        rejects_file: Where all of them are written, if they are.
        changed: Those of the rows taken over that changed a customer there already was.
        kept: Values that staff filled in and the file tells otherwise: they stand.
        replaced: Such values that were overwritten, because that was asked for.
    """

    import_id: int | None
    kind: str
    accepted: int
    unchanged: int
    rejected: int
    how: dict[str, Any]
    errors: list[RowError]
    rejects_file: Path | None
    changed: int = 0
    kept: int = 0
    replaced: int = 0


def silent(done: int, total: int) -> None:
    """Let progress pass unheard."""


class Asked(TypedDict, total=False):
    """How something is to be taken in; what is not said is as in `Request`."""

    overrules: Overrules
    strict: bool
    dry_run: bool
    overwrite: bool
    rejects: Path | None
    progress: Progress
    upload: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be taken in, and how.

    Attributes:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        name: What people call the source: a file name, or the name of a database.
        importer: Key of the importer.
        sha256: Hash of the file; empty for a source that is none, which is known by its rows.
        overrules: What else of the source is known and not to be found out.
        strict: Take all rows or none; else the good ones are taken and the bad ones refused.
        dry_run: Only say what would happen.
        overwrite: Take the source's word even where staff filled in another.
        rejects: Where to write refused rows with their reasons, as CSV; the file is made with the first of them.
        progress: Hears how many rows are done, and of how many.
        upload: The upload whose order this is, so that it is never carried out twice; empty elsewhere.
        repeat: How often these very facts had been taken in before.
    """

    actor: Actor
    kind: str
    name: str
    importer: str
    sha256: str
    overrules: Overrules = field(default_factory=Overrules)
    strict: bool = False
    dry_run: bool = False
    overwrite: bool = False
    rejects: Path | None = None
    progress: Progress = silent
    upload: str = ""
    repeat: int = 0


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", place=str(path), remedy="Check path and permissions"
        ) from error


def check_rejects(path: Path, rejects: Path | None) -> None:
    """Let pass a place for refused rows that is not the file itself.

    Raises:
        InputError: It is.
    """
    if rejects is not None and rejects.resolve() == path.resolve():
        raise InputError(
            "the refused rows would overwrite the file itself",
            place=str(rejects),
            remedy="Choose another file for them",
        )
