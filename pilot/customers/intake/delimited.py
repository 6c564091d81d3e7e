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
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

from pilot.customers.importers import DelimitedText, Record
from pilot.errors import InputError

DELIMITERS = (";", ",", "\t", "|")
_BLOCK = 1 << 16
"""Bytes. Small enough that memory for what is made of a block is used again, and not asked for anew each time."""
_START = 1 << 20
_SAMPLE = 100
_OTHER_FORMATS = {
    b"PK\x03\x04": "a spreadsheet (XLSX, ODS) or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (XLS)",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
}
_AS_IT_IS = "It is imported as it is, if no encoding, no delimiter and no other importer is asked for"
_OTHER_READERS = {
    b"PK\x03\x04": f"{_AS_IT_IS}; another archive is to be unpacked first",
    b"\xd0\xcf\x11\xe0": _AS_IT_IS,
    b"PAR1": _AS_IT_IS,
}
_ASCII = bytes(range(128))
_LETTERS = {"cp1252": "àèìòùÀÈÌÒÙ", "cp1250": "ąćęłńśźżĄĆĘŁŃŚŹŻ", "iso8859-2": "ąćęłńśźżĄĆĘŁŃŚŹŻ"}
"""Letters that tell Polish from Italian, and one Polish code page from the other; where they tell nothing, the first."""


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited file, understood: its encoding, delimiter and header."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    simple: DelimitedText | None = None
    """The file as the data engine may try to read it: its lines end all in the same way, and the first is the header."""

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


def understand(
    path: Path, familiar: Callable[[Sequence[str]], int], *, encoding: str = "", delimiter: str = ""
) -> Delimited:
    """Find out encoding, delimiter and header.

    Args:
        path: The file, plain or gzipped.
        familiar: How many columns of a header are known; of two delimiters that fit, the one with more wins.
        encoding: The encoding where a person says so.
        delimiter: The same of the delimiter.

    Raises:
        InputError: There is no such file, it is empty, or it is not delimited text.
    """
    _refuse_other_formats(path, told=encoding)
    shape = _Shape.of(path)
    encoding = encoding or shape.encoding(path.name)
    with _text(path, encoding) as text, _damage(path):
        sample = list(islice(text, _SAMPLE))
    delimiter = delimiter or max(DELIMITERS, key=lambda candidate: _fit(sample, candidate, familiar))
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
    simple = None
    if shape.even and _header_alone(sample[0], delimiter, header) and _ascii_inside(encoding):
        simple = DelimitedText(path, encoding, delimiter, 1, shape.lines)
    return Delimited(path, encoding, delimiter, header, simple)


def _header_alone(first: str, delimiter: str, header: Sequence[str]) -> bool:
    """Whether the first line is the whole header."""
    return tuple(cell.strip() for cell in _split([first], delimiter)[0]) == header


def _ascii_inside(encoding: str) -> bool:
    """Whether line ends and signs stand in a file of this encoding as single bytes, so that they could be counted."""
    signs = '\r\n"' + "".join(DELIMITERS)
    return signs.encode(encoding) == signs.encode() or encoding == "utf-8-sig"


def blocks(text: DelimitedText) -> Iterator[bytes]:
    """The bytes of a file in UTF-8, unpacked, its lines ended by a line feed alone, in blocks.

    Raises:
        InputError: The file is damaged.
    """
    decoder = codecs.getincrementaldecoder(text.encoding)()
    already = text.encoding.startswith("utf-8")
    with _damage(text.path), _bytes(text.path) as raw:
        while block := raw.read(_BLOCK):
            recoded = block if already else decoder.decode(block).encode()
            yield recoded.replace(b"\r", b"") if b"\r" in recoded else recoded  # there is no other in such a file


def head(path: Path) -> str:
    """The first line of a file as far as it can be read, for recognising it; empty if it cannot."""
    try:
        with _bytes(path) as raw:
            return raw.readline(_START).decode("utf-8-sig", errors="replace")
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
            remedy="Say which encoding it is in, or export it again in UTF-8",
        ) from error
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"the file cannot be read to its end: {error}",
            place=path.name,
            remedy="It is damaged or was cut off; fetch it again",
        ) from error


def _refuse_other_formats(path: Path, *, told: str) -> None:
    if not path.is_file():
        raise InputError("there is no such file", place=str(path), remedy="Check the path")
    with _damage(path), _bytes(path) as raw:
        start = raw.read(_START)
    for magic, what in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise InputError(
                f"this is {what}, not a text file",
                place=path.name,
                remedy=_OTHER_READERS.get(magic, "Import the table as CSV, as a spreadsheet or as Parquet"),
            )
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise InputError("the file is empty", place=path.name, remedy="Export it again")
    if b"\x00" in start and not told:
        raise InputError(
            "this is not a text file, or it is written in UTF-16",
            place=path.name,
            remedy="Say that its encoding is utf-16 if it is, or export it again in UTF-8",
        )


@dataclass(slots=True)
class _Shape:
    """What one pass over the bytes of a file tells: its letters, and how its lines end."""

    high: Counter[int] = field(default_factory=Counter)
    marked: bool = False
    broken: int = 0
    accented: int = 0
    first_broken: int = 0
    newlines: int = 0
    returns: int = 0
    pairs: int = 0
    marks: bool = False
    """Whether a NUL stands in it, or a sign that marks cells of other sources."""
    last: bytes = b""

    @classmethod
    def of(cls, path: Path) -> _Shape:
        """Read the file through in blocks; a second time to tell its letters where they are not UTF-8."""
        shape = cls()
        strict: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        with _damage(path), _bytes(path) as raw:
            while block := raw.read(_BLOCK):
                if not shape.last:
                    shape.marked = block.startswith(codecs.BOM_UTF8)
                shape._ends(block)
                strict = strict and _still_utf8(strict, block)
        if strict is None or strict.getstate()[0]:
            shape._look_at_letters(path)
        return shape

    @property
    def lines(self) -> int:
        """The number of lines."""
        return self.newlines + (self.last != b"\n")

    @property
    def even(self) -> bool:
        """Whether all lines end in the same way, and nothing in them could be taken for another end."""
        return not self.marks and self.returns == self.pairs and self.pairs in (0, self.newlines)

    def encoding(self, name: str) -> str:
        """UTF-8 where the whole file is; else the code page whose letters it holds, Polish or Western.

        Raises:
            InputError: The file is UTF-8 but for a few damaged bytes: read as a code page, every accent would break.
        """
        if not self.broken:
            return "utf-8-sig" if self.marked else "utf-8"
        if self.marked or self.accented >= self.broken:
            raise InputError(
                "the file is UTF-8, but a letter in it is damaged",
                place=f"{name}, line {self.first_broken or self.newlines + 1}",
                remedy="Correct the letter, or export the file again",
            )
        return max(_LETTERS, key=lambda page: _letters(self.high, page))

    def _look_at_letters(self, path: Path) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        lines = 0
        with _damage(path), _bytes(path) as raw:
            while block := raw.read(_BLOCK):
                self.high.update(block.translate(None, _ASCII))
                text = decoder.decode(block)
                damage = text.count("�")
                if damage and not self.broken:
                    self.first_broken = 1 + lines + text.count("\n", 0, text.index("�"))
                self.broken += damage
                self.accented += len(text) - len(text.encode("ascii", "ignore")) - damage
                lines += block.count(b"\n")
        self.broken += len(decoder.decode(b"", final=True))

    def _ends(self, block: bytes) -> None:
        self.newlines += block.count(b"\n")
        if found := block.count(b"\r"):
            self.returns += found
            self.pairs += _pairs(block)
        self.pairs += self.last == b"\r" and block.startswith(b"\n")
        self.marks = self.marks or b"\x00" in block or b"\x02" in block
        self.last = block[-1:]


def _pairs(block: bytes) -> int:
    """How many line feeds follow a carriage return at once: a search for both together takes five times as long."""
    import numpy as np

    signs = np.frombuffer(block, dtype=np.uint8)
    returns = np.flatnonzero(signs[:-1] == 13)
    return int(np.count_nonzero(signs[returns + 1] == 10))


def _still_utf8(decoder: codecs.IncrementalDecoder, block: bytes) -> codecs.IncrementalDecoder | None:
    """The decoder, or None from the first bytes on that are no UTF-8."""
    if block.isascii() and not decoder.getstate()[0]:
        return decoder
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return None
    return decoder


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
