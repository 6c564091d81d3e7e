"""What the bytes of a text file tell before it is read: in which encoding its letters are, and how its lines end."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pilot.errors import InputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What stands at the beginning of a file in an encoding that marks its files; UTF-32 begins as UTF-16 does."""
_ASCII = bytes(range(128))
_POLISH = "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ"
_LETTERS = {"cp1252": "àèìòùÀÈÌÒÙ", "cp1250": _POLISH.replace("ó", "").replace("Ó", "")}
_LETTERS["iso8859-2"] = _LETTERS["cp1250"]
"""Letters that tell Polish from Italian, and one Polish code page from the other; where they tell nothing, the first."""
_DOS = _POLISH.encode("cp852")
_DOS_ALONE = bytes(
    code
    for code in _DOS
    if not any(
        unicodedata.category(bytes([code]).decode(page, "replace")) in ("Lu", "Ll") for page in ("cp1252", "cp1250")
    )
)
"""Letters of Polish in the code page of DOS that are signs in those of Windows."""
_DOS_IN_WORDS = re.compile(
    rb"(?<=[A-Za-z%b])[%b]|[%b](?=[A-Za-z%b])" % tuple(map(re.escape, (_DOS, _DOS_ALONE, _DOS_ALONE, _DOS)))
)
_ODD_IN_WORDS = re.compile(rb"(?<=[A-Za-z])(?:[\x81\x82\x84\x86\x87\x88\x90\x95\x98]|\x85(?=[A-Za-z]))")
"""Signs of the code pages of Windows where a word has a letter: DOS and the Macintosh have letters there."""
_NEARLY_ALL = 0.9
_IN_WORDS = 0.75
"""So many do: others stand in customer numbers, or alone."""


def marked(start: bytes) -> str:
    """The encoding that the first bytes of a file name; empty if they name none."""
    return next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), "")


def empty(start: bytes) -> bool:
    """Whether a file that begins so holds nothing but its mark and blanks."""
    return not start.decode(marked(start) or "latin-1", errors="ignore").strip()


@dataclass(slots=True)
class Shape:
    """What one pass over the bytes of a file tells: its letters, and how its lines end."""

    high: Counter[int] = field(default_factory=Counter)
    mark: str = ""
    broken: int = 0
    accented: int = 0
    first_broken: int = 0
    newlines: int = 0
    returns: int = 0
    pairs: int = 0
    signs: bool = False
    """Whether a NUL stands in it, or a sign that marks cells of other sources."""
    dos: int = 0
    """How many letters of Polish in the code page of DOS, and in no other, stand within words."""
    odd: int = 0
    """How many signs that no word has stand in words, if it is read in a code page of Windows."""
    last: bytes = b""

    @classmethod
    def of(cls, blocks: Callable[[], Iterable[bytes]]) -> Shape:
        """Read the blocks of a file; a second time to tell its letters where they are not UTF-8."""
        shape = cls()
        strict: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        for block in blocks():
            if not shape.last:
                shape.mark = marked(block)
            shape._ends(block)
            strict = strict and _still_utf8(strict, block)
        if shape.mark in ("", "utf-8-sig") and (strict is None or strict.getstate()[0]):
            shape._look_at_letters(blocks())
        return shape

    @property
    def lines(self) -> int:
        """The number of lines."""
        return self.newlines + (self.last != b"\n")

    @property
    def even(self) -> bool:
        """Whether all lines end in the same way, and nothing in them could be taken for another end."""
        return not self.signs and self.returns == self.pairs and self.pairs in (0, self.newlines)

    def encoding(self, name: str) -> str:
        """The encoding the file is marked with; UTF-8 where the whole file is; else the code page whose letters it holds.

        Raises:
            InputError: The file is UTF-8 but for a few damaged bytes: read as a code page, every accent would break.
        """
        if not self.broken:
            return self.mark or "utf-8"
        if self.mark or self.accented >= self.broken:
            raise InputError(
                "the file is UTF-8, but a letter in it is damaged",
                place=f"{name}, line {self.first_broken or self.newlines + 1}",
                remedy="Correct the letter, or export the file again",
            )
        return "cp852" if self._from_dos() else max(_LETTERS, key=lambda page: _letters(self.high, page))

    def doubtful(self, encoding: str) -> bool:
        """Whether words have signs in them if the file is read in this encoding."""
        return encoding in _LETTERS and self.odd > 0

    def told(self, encoding: str) -> str:
        """The encoding a person named, by the name under which its mark is no letter of the file."""
        name = codecs.lookup(encoding).name
        same = self.mark and name.removesuffix("-le").removesuffix("-be") == self.mark.removesuffix("-sig")
        return self.mark if same else encoding

    def _from_dos(self) -> bool:
        """Whether the letters are Polish as DOS wrote it: no other reading gives words.

        Nearly all are letters of Polish then, half of them signs such as `†` or `©` elsewhere, and those, of which
        there are several, stand within words.
        """
        polish = sum(self.high[code] for code in _DOS)
        alone = sum(self.high[code] for code in _DOS_ALONE)
        several = sum(code in self.high for code in _DOS_ALONE) > 1
        return several and polish >= _NEARLY_ALL * self.high.total() <= 2 * alone and self.dos >= _IN_WORDS * alone

    def _look_at_letters(self, blocks: Iterable[bytes]) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        lines = 0
        for block in blocks:
            self.high.update(block.translate(None, _ASCII))
            self.dos += sum(1 for _ in _DOS_IN_WORDS.finditer(block))
            self.odd += sum(1 for _ in _ODD_IN_WORDS.finditer(block))
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
        self.signs = self.signs or b"\x00" in block or b"\x02" in block
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
