"""What is asked of an import, and what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def silent(done: int, total: int) -> None:
    """Let progress pass unheard."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be taken in, and how.

    Attributes:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        name: What people call the source: a file name, or the name of a database.
        importer: Key of the importer.
        sha256: Hash of the file; empty for a source that is none, which is known by its rows.
        upload: The upload whose order this is, so that it is never carried out twice; empty elsewhere.
        overrules: What is not to be found out.
        strict: Whether one refused row refuses the whole.
        dry_run: Whether nothing is written.
        rejects: Where the person wants the refused rows.
        progress: Hears how many rows are done, and of how many.
    """

    actor: Actor
    kind: str
    name: str
    importer: str
    sha256: str
    overrules: Overrules = field(default_factory=Overrules)
    strict: bool = False
    dry_run: bool = False
    rejects: Path | None = None
    progress: Progress = silent
    upload: str = ""


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
