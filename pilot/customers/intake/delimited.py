"""Delimited text files as they come: gzipped or not, in unknown encoding, with unknown delimiter.

Nothing is loaded whole: detection reads the file through once in blocks, records come one by one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pilot.customers.importers import DelimitedText, Record
from pilot.customers.intake.letters import Shape, empty, marked
from pilot.errors import InputError

DELIMITERS = (";", ",", "\t", "|")
_BLOCK = 1 << 16
"""Bytes. Small enough that memory for what is made of a block is used again, and not asked for anew each time."""
_START = 1 << 20
_SAMPLE = 100
_TELLING = re.compile(r"sep=(.)[\r\n]+", re.IGNORECASE)
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
_LONGEST_CELL = 131_072
"""Characters: the limit of Python's reader, by which a quotation mark left open does not swallow a whole file."""
_LONGEST_LINE = 1 << 20
"""Characters. A file without line ends does not have to fit into memory."""


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited file, understood: its encoding, delimiter and header."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    told: bool = False
    """Whether a line above the header tells the delimiter, as spreadsheets have it: `sep=;`."""
    doubtful: bool = False
    """Whether its encoding was found out, and words have signs in them if it is read so."""
    simple: DelimitedText | None = None
    """The file as the data engine may try to read it: its lines end all in the same way, and the first is the header."""

    def records(self) -> Iterator[Record]:
        """The records below the header; empty ones are left out, broken ones carry their fault.

        Raises:
            InputError: The file is damaged.
        """
        with _text(self.path, self.encoding) as text, _damage(self.path):
            lines = _Lines(text)
            if self.told:
                next(lines)
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            while self._next(reader, lines)[0] == []:
                pass  # blank lines above the header
            while True:
                lines.begin()
                cells, fault, column = self._next(reader, lines)
                if cells is None and not fault:
                    return
                if fault or (any(cells or ()) and not "".join(cells or ()).isspace()):
                    yield Record(lines.first, lines.number, cells or [], fault, column)

    def _next(self, reader: Iterator[list[str]], lines: _Lines) -> tuple[list[str] | None, str, str]:
        """The next record, if there is one; or what keeps it from being split, and in which column."""
        try:
            return next(reader, None), "", ""
        except _LongLineError:
            return None, f"the line is longer than {_LONGEST_LINE:,} characters", ""
        except csv.Error as error:
            if "expected after" in str(error):
                return None, "a quotation mark within a quoted cell is not doubled", ""
            if "field limit" not in str(error):
                return None, "a quotation mark was opened and not closed", ""
            if lines.number > lines.first:
                return None, f"a quotation mark was opened and not closed within {_LONGEST_CELL:,} characters", ""
            index = _long_cell("".join(lines.record), self.delimiter)
            column = self.header[index] if index < len(self.header) else ""
            return None, f"it is longer than {_LONGEST_CELL:,} characters", column


class _LongLineError(Exception):
    """A line is too long to be looked at. It has been passed over; the next can be read."""


class _Lines(Iterator[str]):
    """The lines of a text, one by one.

    Attributes:
        number: The number of the last line.
        first: The number of the first line of the record that is being read.
        record: Its lines.
    """

    def __init__(self, text: IO[str]) -> None:
        self._text, self.number, self.first, self.record = text, 0, 1, list[str]()

    def begin(self) -> None:
        """The next line begins a record."""
        self.first = self.number + 1
        self.record.clear()

    def __next__(self) -> str:
        """The next line.

        Raises:
            _LongLineError: It is too long.
        """
        line = self._text.readline(_LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
            while (more := self._text.readline(_LONGEST_LINE)) and not more.endswith(("\n", "\r")):
                pass
            raise _LongLineError
        self.record.append(line)
        return line


def _long_cell(line: str, delimiter: str) -> int:
    """The number of the first cell that is too long."""
    cell = re.compile(f'(?:"(?:[^"]|"")*+"?+)?+[^{re.escape(delimiter)}]*+')
    index = start = 0
    while (end := cell.match(line, start).end()) - start <= _LONGEST_CELL and end < len(line):  # type: ignore[union-attr]
        index, start = index + 1, end + 1
    return index


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
    shape = _shape(path)
    found = "" if encoding else shape.encoding(path.name)
    encoding = found or shape.told(encoding)
    sample = _sample(path, encoding)
    if told := _TELLING.fullmatch(sample[0]) if sample else None:
        delimiter, sample = delimiter or told[1], sample[1:]
    delimiter = delimiter or max(DELIMITERS, key=lambda candidate: _fit(sample, candidate, familiar))
    header = tuple(cell.strip() for cell in _split(sample, delimiter)[0])
    if not header:
        raise InputError(
            f"no columns can be made out in it: what should be their names is longer than {_LONGEST_CELL:,} characters",
            place=f"{path.name}, line 1",
            remedy="Export it again as CSV (UTF-8)",
        )
    if len(header) == 1:
        raise InputError(
            f"only one column was found: {_short(header[0])!r}",
            place=f"{path.name}, line 1",
            remedy="Separate the columns by semicolons, commas, tabs or vertical bars, with their names on the first line",
        )
    simple = None
    if shape.even and not told and _header_alone(sample[0], delimiter, header) and _ascii_inside(encoding):
        simple = DelimitedText(path, encoding, delimiter, 1, shape.lines)
    return Delimited(path, encoding, delimiter, header, bool(told), shape.doubtful(found), simple)


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
    except UnicodeError as error:
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
    if empty(start):
        raise InputError("the file is empty", place=path.name, remedy="Export it again")
    if b"\x00" in start and not told and not marked(start):
        raise InputError(
            "this is not a text file, or it is written in UTF-16",
            place=path.name,
            remedy="Say that its encoding is utf-16 if it is, or export it again in UTF-8",
        )


def _shape(path: Path) -> Shape:
    def read() -> Iterator[bytes]:
        with _bytes(path) as raw:
            while block := raw.read(_BLOCK):
                yield block

    with _damage(path):
        return Shape.of(read)


def _sample(path: Path, encoding: str) -> list[str]:
    """The first lines, the header first."""
    sample: list[str] = []
    with _text(path, encoding) as text, _damage(path):
        lines = _Lines(text)
        while len(sample) < _SAMPLE:
            try:
                line = next(lines, None)
            except _LongLineError:
                line = "" if sample else '"' + "x" * _LONGEST_CELL
            if line is None:
                break
            if sample or not line.isspace():
                sample.append(line)
    return sample


def _split(lines: list[str], delimiter: str) -> list[list[str]]:
    """The lines split into cells; of those that cannot be, the header is said to have none."""
    reader = csv.reader(lines, delimiter=delimiter)
    rows: list[list[str]] = []
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            cells = [] if rows else None
        if cells is None:
            return rows or [[]]
        if cells:
            rows.append(cells)


def _fit(lines: list[str], delimiter: str, familiar: Callable[[Sequence[str]], int]) -> tuple[int, float, int]:
    header, *rows = _split(lines, delimiter)
    alike = sum(len(row) == len(header) for row in rows) / len(rows) if rows else 0.0
    return (familiar(header), alike, len(header)) if len(header) > 1 else (0, 0.0, len(header))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
