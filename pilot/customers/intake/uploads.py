"""Files that were uploaded and wait to be looked at and taken in: each in a folder of its own below the data folder.

An upload is a file, a kind and, once somebody has said so, an order to take it in. Orders are worked off one after the
other by a job, so that a page never waits for a file, and an upload whose work was cut off is gone on with later.
"""

from __future__ import annotations

import gzip
import json
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from pilot import clock
from pilot.config import current
from pilot.errors import InputError, NotFound

KEPT_DAYS = 3
"""An upload that nobody takes in is removed after so many days: it is full of people's data."""

BEGINNING = 2 * 2**20
"""Bytes that a first look reads of a file of lines: many thousand rows."""

_TOKEN = re.compile(r"[0-9a-f]{32}")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, or a configured source to be asked.

    Attributes:
        token: Its name in addresses; cannot be guessed.
        kind: `customers`, `orders` or `touches`.
        path: The file under its own name; None for a source.
        source: Name of the configured source; empty for a file.
    """

    token: str
    kind: str
    path: Path | None
    source: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.name if self.path is not None else self.source

    @property
    def size(self) -> int:
        """Bytes of the file as it was uploaded; 0 for a source."""
        return self.path.stat().st_size if self.path is not None else 0

    @property
    def cut(self) -> bool:
        """Whether `beginning` left something out."""
        return self._beginning.is_file()

    @property
    def _beginning(self) -> Path:
        return _folder(self.token) / "beginning" / self.name

    def beginning(self) -> Path:
        """The file where it is short, else a copy of its first lines, unpacked; only for files of lines.

        Raises:
            InputError: There is no file any more.
        """
        if self.path is None:
            raise InputError("this file has been taken over already", place=self.name, remedy="Upload it again")
        if not self.cut and (start := _first_lines(self.path)):
            self._beginning.parent.mkdir(exist_ok=True)
            draft = self._beginning.with_name(f"{secrets.token_hex(4)}.draft")
            draft.write_bytes(start)
            draft.replace(self._beginning)
        return self._beginning if self.cut else self.path

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return _folder(self.token)

    @property
    def idle(self) -> bool:
        """Whether it waits for nothing but a person."""
        return self.order is None or self.outcome is not None

    @property
    def rejects(self) -> Path:
        """Where the refused rows are written, if there are any."""
        return _folder(self.token) / "rejects.csv"

    @property
    def order(self) -> dict[str, Any] | None:
        """The order to take it in, if one was given."""
        return _read(_folder(self.token) / "order.json")

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What became of the order, once it was carried out: what `pilot.customers.intake.worker` settles it with."""
        return _read(_folder(self.token) / "outcome.json")

    def give_order(self, order: Mapping[str, Any]) -> None:
        """Let it be taken in as `order` says, by the next run of the job."""
        folder = _folder(self.token)
        for name in ("outcome.json", "rejects.csv"):
            (folder / name).unlink(missing_ok=True)
        _write(folder / "order.json", {**order, "at": clock.now().isoformat()})

    def settle(self, outcome: Mapping[str, Any]) -> None:
        """Keep what became of the order."""
        _write(_folder(self.token) / "outcome.json", outcome)

    def spend(self) -> None:
        """Remove the file: what was taken over lies elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            shutil.rmtree(self._beginning.parent, ignore_errors=True)


def keep(stream: IO[bytes], filename: str, kind: str) -> Upload:
    """Store an uploaded file.

    Raises:
        InputError: It is empty or has no name.
    """
    name = re.sub(r"[^\w.() -]", "_", Path(filename.replace("\\", "/")).name).strip(" .")[-120:]
    if not name:
        raise InputError("no file was chosen", place="file", remedy="Choose the file to import")
    token = secrets.token_hex(16)
    folder = _folder(token)
    (folder / "file").mkdir(parents=True)
    path = folder / "file" / name
    with path.open("wb") as out:
        shutil.copyfileobj(stream, out, _BLOCK)
    if not path.stat().st_size:
        shutil.rmtree(folder)
        raise InputError("the file is empty", place=name, remedy="Export it again")
    _write(folder / "upload.json", {"kind": kind})
    return Upload(token, kind, path)


def keep_source(source: str, kind: str) -> Upload:
    """Note that a configured source is to be asked; no source at all where an order needs none."""
    token = secrets.token_hex(16)
    _folder(token).mkdir(parents=True)
    _write(_folder(token) / "upload.json", {"kind": kind, "source": source})
    return Upload(token, kind, None, source)


def find(token: str) -> Upload:
    """The upload of this token.

    Raises:
        NotFound: There is none, or not any more.
    """
    told = _read(_folder(token) / "upload.json") if _TOKEN.fullmatch(token) else None
    if told is None:
        raise NotFound("this upload is no longer here", remedy="Upload the file again")
    files = sorted((_folder(token) / "file").glob("*"))
    return Upload(token, told["kind"], files[0] if files else None, told.get("source", ""))


def waiting() -> list[Upload]:
    """Those with an order that was not carried out yet, the oldest order first."""
    ordered = [(upload.order, upload) for upload in _all() if upload.order is not None and upload.outcome is None]
    return [upload for order, upload in sorted(ordered, key=lambda pair: str((pair[0] or {}).get("at")))]


def idle() -> list[Upload]:
    """Those that wait for nothing but a person."""
    return [upload for upload in _all() if upload.idle]


def sweep() -> int:
    """Remove uploads that nobody looked after for some days; how many."""
    oldest = (clock.now() - timedelta(days=KEPT_DAYS)).timestamp()
    removed = 0
    for upload in list(_all()):
        folder = _folder(upload.token)
        if upload.idle and (folder / "upload.json").stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _first_lines(path: Path) -> bytes:
    """The first whole lines of a file that is longer than what is looked at; nothing if it is not, or is damaged."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            start = file.read(BEGINNING + 1)
    except (EOFError, OSError, zlib.error):
        return b""  # to be said by whoever reads it
    if len(start) <= BEGINNING:
        return b""
    end = start.rfind(b"\n") + 1
    return start[: end + end % 2] if b"\x00" in start else start[:end]  # in UTF-16 a line feed is two bytes


def _all() -> Iterator[Upload]:
    root = _root()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if _TOKEN.fullmatch(folder.name) and (folder / "upload.json").is_file():
            yield find(folder.name)


def _root() -> Path:
    return current().data_dir / "uploads"


def _folder(token: str) -> Path:
    return _root() / token


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return told


def _write(path: Path, told: Mapping[str, Any]) -> None:
    """In one step: whoever reads finds the whole or nothing."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(dict(told), ensure_ascii=False), encoding="utf-8")
    draft.replace(path)
