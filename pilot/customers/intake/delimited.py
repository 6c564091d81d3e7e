"""Delimited text files as they come: gzipped or not, in unknown encoding, with unknown delimiter.

Nothing is loaded whole: detection reads the file through once in blocks, records come one by one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from pilot.errors import InputError

DELIMITERS = (";", ",", "\t", "|")
_BLOCK = 1 << 20
_SAMPLE = 100
_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook (XLSX) or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (XLS)",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
}
_ASCII = bytes(range(128))
_LETTERS = {"cp1252": "àèìòùÀÈÌÒÙ", "cp1250": "ąćęłńśźżĄĆĘŁŃŚŹŻ", "iso8859-2": "ąćęłńśźżĄĆĘŁŃŚŹŻ"}
"""Letters that tell Polish from Italian, and one Polish code page from the other; where they tell nothing, the first."""


class Record(NamedTuple):
    """One record: the lines it stands on, its cells, and what keeps it from being split into them, if anything."""

    line: int
    last_line: int
    cells: list[str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited file, understood: its encoding, delimiter and header."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """The records below the header; empty ones are left out, broken ones carry their fault.

        Raises:
            InputError: The file is damaged.
        """
        with _text(self.path, self.encoding) as text, _damage(self.path):
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            while not next(reader):
                pass  # blank lines above the header
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield Record(line, reader.line_num, [], _fault(error))
                    continue
                if cells is None:
                    return
                if any(cells) and not "".join(cells).isspace():
                    yield Record(line, reader.line_num, cells)


def _fault(error: csv.Error) -> str:
    if "expected after" in str(error):
        return "a quotation mark within a quoted cell is not doubled"
    return "a quotation mark was opened and not closed"


def understand(path: Path, familiar: Callable[[Sequence[str]], int]) -> Delimited:
    """Find out encoding, delimiter and header.

    Args:
        path: The file, plain or gzipped.
        familiar: How many columns of a header are known; of two delimiters that fit, the one with more wins.

    Raises:
        InputError: There is no such file, it is empty, or it is not delimited text.
    """
    _refuse_other_formats(path)
    encoding = _encoding(path)
    with _text(path, encoding) as text, _damage(path):
        sample = list(islice(text, _SAMPLE))
    delimiter = max(DELIMITERS, key=lambda candidate: _fit(sample, candidate, familiar))
    header = tuple(cell.strip() for cell in _split(sample, delimiter)[0])
    if not header:
        raise InputError(
            "no columns can be made out in it", place=f"{path.name}, line 1", remedy="Export it again as CSV (UTF-8)"
        )
    if len(header) == 1:
        raise InputError(
            f"only one column was found: {_short(header[0])!r}",
            place=f"{path.name}, line 1",
            remedy="Separate the columns by semicolons, commas, tabs or vertical bars",
        )
    return Delimited(path, encoding, delimiter, header)


def head(path: Path) -> str:
    """The first line of a file as far as it can be read, for recognising it; empty if it cannot."""
    try:
        with _bytes(path) as raw:
            return raw.readline(_BLOCK).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error):
        return ""


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where it is gzipped."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    unpacked: IO[bytes]
    with gzip.open(path) if packed else path.open("rb") as unpacked:  # type: ignore[assignment]
        yield unpacked


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[IO[str]]:
    with _bytes(path) as raw:
        yield io.TextIOWrapper(raw, encoding=encoding, newline="")


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what can go wrong while reading into an error that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(
            "its letters are in none of the encodings that are known here",
            place=path.name,
            remedy="Save the file as CSV (UTF-8) and import that",
        ) from error
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"the file cannot be read to its end: {error}",
            place=path.name,
            remedy="It is damaged or was cut off; fetch it again",
        ) from error


def _refuse_other_formats(path: Path) -> None:
    if not path.is_file():
        raise InputError("there is no such file", place=str(path), remedy="Check the path")
    with _damage(path), _bytes(path) as raw:
        start = raw.read(_BLOCK)
    for magic, what in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise InputError(
                f"this is {what}, not a text file",
                place=path.name,
                remedy="Open it in a spreadsheet, save it as CSV (UTF-8) and import that",
            )
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise InputError("the file is empty", place=path.name, remedy="Export it again")
    if b"\x00" in start:
        raise InputError(
            "this is not a text file, or it is written in UTF-16",
            place=path.name,
            remedy="Save it as CSV (UTF-8) and import that",
        )


def _encoding(path: Path) -> str:
    """UTF-8 where the whole file is; else the code page whose letters it holds, Polish or Western.

    Raises:
        InputError: The file is UTF-8 but for a few damaged bytes: read as a code page, every accent would break.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    high: Counter[int] = Counter()
    broken = accented = lines = first_broken = 0
    with _damage(path), _bytes(path) as raw:
        marked = raw.read(3) == codecs.BOM_UTF8
        raw.seek(0)
        while block := raw.read(_BLOCK):
            high.update(block.translate(None, _ASCII))
            text = decoder.decode(block)
            if not text.isascii():
                damage = text.count("�")
                if damage and not broken:
                    first_broken = 1 + lines + text.count("\n", 0, text.index("�"))
                broken += damage
                accented += len(text) - len(text.encode("ascii", "ignore")) - damage
            lines += text.count("\n")
    broken += len(decoder.decode(b"", final=True))
    if not broken:
        return "utf-8-sig" if marked else "utf-8"
    if marked or accented >= broken:
        raise InputError(
            "the file is UTF-8, but a letter in it is damaged",
            place=f"{path.name}, line {first_broken or lines + 1}",
            remedy="Correct the letter, or export the file again",
        )
    return max(_LETTERS, key=lambda page: _letters(high, page))


def _letters(high: Counter[int], page: str) -> int:
    """How many letters of its language a file holds if read in this code page; damaged bytes count against it."""
    score = 0
    for byte, count in high.items():
        letter = bytes([byte]).decode(page, errors="replace")
        score += count if letter in _LETTERS[page] else -count if letter == "�" else 0
    return score


def _split(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return [cells for cells in csv.reader(lines, delimiter=delimiter) if cells] or [[]]
    except csv.Error:
        return [[]]


def _fit(lines: list[str], delimiter: str, familiar: Callable[[Sequence[str]], int]) -> tuple[int, float, int]:
    header, *rows = _split(lines, delimiter)
    alike = sum(len(row) == len(header) for row in rows) / len(rows) if rows else 0.0
    return (familiar(header), alike, len(header)) if len(header) > 1 else (0, 0.0, len(header))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
