"""How a file writes numbers and days: found out from all its values together, then read strictly.

One value alone often does not tell (`1.234`, `03/04/2025`), a column does. What the column decides holds for
every row; a value written otherwise is not guessed at but refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_MONEY_SIGNS = re.compile(r"^(?:[A-Z]{3}|[€$£]|zł)?\s*(.*?)\s*(?:[A-Z]{3}|[€$£]|zł)?$")
_GROUPING = re.compile(r"[\s'’]")
_BODY = {
    ",": re.compile(r"(?:[0-9]{1,3}([\s'’.])[0-9]{3}(?:\1[0-9]{3})*|[0-9]+)(?:,[0-9]+)?|,[0-9]+"),
    ".": re.compile(r"(?:[0-9]{1,3}([\s'’,])[0-9]{3}(?:\1[0-9]{3})*|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"),
}
_PLAIN = {",": re.compile(r"-?[0-9]+(?:,[0-9]+)?"), ".": re.compile(r"-?[0-9]+(?:\.[0-9]+)?")}
"""What most values look like; the long way round is for the others."""
_NAMES = {",": "comma", ".": "point"}

_TIME = r"(?:[T ]\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?\s*(?:[AaPp][Mm]|Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})" + _TIME)


def _bare(text: str) -> tuple[str, str]:
    """Sign and digits with separators, without currency: `€ -1 234,50` gives (`-`, `1 234,50`)."""
    found = _MONEY_SIGNS.match(text.strip())
    body = found[1] if found else text
    if body.startswith("(") and body.endswith(")"):
        return "-", _MONEY_SIGNS.sub(r"\1", body[1:-1].strip())
    if body.startswith(("-", "−")):
        return "-", _MONEY_SIGNS.sub(r"\1", body[1:].strip())
    return ("-", body[:-1].strip()) if body.endswith("-") else ("", body.removeprefix("+").strip())


@dataclass(frozen=True, slots=True)
class Stray:
    """The few values that tell how a file is written where they do not settle it.

    Attributes:
        values: How many there are.
        first: One of them, as it was counted.
        decides: Whether they were followed, as too little stands against them; else the usual reading was kept.
    """

    values: int
    first: str
    decides: bool


_FEWEST_TELLING = 2
_TURNED_BY = 20
"""One in so many values must tell against the usual reading before it is left: fewer are slips of the pen."""
_ASSURED_BY = 100
"""One in so many must tell for the usual reading to be certain."""


class _Votes:
    """What the values of a file say of two ways of writing: the `usual` one, the `other`, or both."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, vote: str, text: str, count: int) -> None:
        self.count[vote] += count
        self.first.setdefault(vote, text)

    def weigh(self, usual: str, other: str) -> tuple[str, bool, Stray | None]:
        """The way that is taken, whether it is certain, and what tells where it is not.

        Only values that fit both ways can be misread, all others are refused; so where none does, nothing is at stake.
        """
        told, against, both = self.count[usual], self.count[other], self.count["either"]
        turned = against > told and against * _TURNED_BY >= told + against + both
        winner, loser = (against, told) if turned else (told, against)
        enough = winner >= _FEWEST_TELLING if turned else winner * _ASSURED_BY >= both
        certain = loser * _TURNED_BY <= winner and (not both or enough)
        if certain or not against:
            return other if turned else usual, certain, None
        return other if turned else usual, certain, Stray(against, self.first[other], turned)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers are written: `decimal` is the decimal sign, `evident` whether the values leave no other reading.

    `stray` are the few values that say otherwise, or that alone decided it, where it is not evident.
    """

    decimal: str
    evident: bool
    stray: Stray | None = None

    @classmethod
    def detect(cls, texts: Iterable[str] | Mapping[str, int], likely: str) -> Numbers:
        """Find the decimal sign.

        Args:
            texts: The values of the whole file, or how often each of them stands in it.
            likely: The usual sign in such a file: taken where no value decides, and left only for more than a stray one.
        """
        votes = _Votes()
        for text, count in Counter(texts).items():
            votes.add(_decimal_of(text), text, count)
        return cls(*votes.weigh(likely, "." if likely == "," else ","))

    def read(self, text: str) -> str | None:
        """The number with a decimal point and no grouping, as `-1234.50`; None if it is not one."""
        if _PLAIN[self.decimal].fullmatch(text):
            return text.replace(",", ".")
        sign, body = _bare(text)
        if not _BODY[self.decimal].fullmatch(body):
            return None
        grouping = "." if self.decimal == "," else ","
        digits = _GROUPING.sub("", body).replace(grouping, "").replace(self.decimal, ".")
        return f"{sign}{'0' if digits.startswith('.') else ''}{digits}"

    def __str__(self) -> str:
        return f"decimal {_NAMES[self.decimal]}"


def _decimal_of(text: str) -> str:
    """The sign that must be the decimal one in this value, `either` where it could be both, else nothing."""
    written = _bare(text)[1]
    sign = _sign_in(_GROUPING.sub("", written))
    return sign if sign not in _BODY or _BODY[sign].fullmatch(written) else ""


def _sign_in(body: str) -> str:
    comma, point = body.count(","), body.count(".")
    if comma and point:
        last = "," if body.rfind(",") > body.rfind(".") else "."
        return last if body.count(last) == 1 else ""
    if not comma and not point:
        return ""
    sign = "," if comma else "."
    if comma + point > 1:
        return "." if sign == "," else ","
    whole, _, fraction = body.partition(sign)
    grouped = len(fraction) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
    return "either" if grouped else sign


@dataclass(frozen=True, slots=True)
class Days:
    """How days are written: `order` is day, month or year, whichever stands first; `pattern` shows it to people.

    `stray` as of `Numbers`.
    """

    order: str
    pattern: str
    evident: bool
    stray: Stray | None = None

    @classmethod
    def detect(cls, texts: Iterable[str] | Mapping[str, int]) -> Days:
        """Find the order of day, month and year.

        Day first is usual: taken where no value decides between day and month, and left only for more than a stray one.
        """
        votes = _Votes()
        shapes: Counter[str] = Counter()
        counted = Counter(texts)
        for text, count in counted.items():
            if found := _YEAR_LAST.fullmatch(text):
                shapes[f"last{found[2]}"] += count
                votes.add(_first_of(int(found[1]), int(found[3])), text, count)
            elif found := _YEAR_FIRST.fullmatch(text):
                shapes[f"first{found[2]}"] += count
        shape = shapes.most_common(1)[0][0] if shapes else "first-"
        sign = shape.removeprefix("last").removeprefix("first")
        if shape.startswith("first"):
            return cls("year", sign.join(("yyyy", "mm", "dd")), evident=bool(shapes) or not counted)
        order, evident, stray = votes.weigh("day", "month")
        pattern = sign.join(("mm", "dd", "yyyy") if order == "month" else ("dd", "mm", "yyyy"))
        return cls(order, pattern, evident, stray)

    def read(self, text: str) -> str | None:
        """The day as `yyyy-mm-dd`, a time of day left off; None if it is not one.

        Year-first days are read in every file: they cannot be mistaken.
        """
        return _day(text, self.order)

    def __str__(self) -> str:
        return self.pattern


def _first_of(first: int, second: int) -> str:
    """Which of day and month the first number must be; `either` where both can be, nothing where that is the same."""
    if first > 12 or second > 12:
        return "" if first > 12 and second > 12 else "day" if first > 12 else "month"
    return "" if first == second else "either"


@lru_cache(maxsize=65_536)
def _day(text: str, order: str) -> str | None:
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = found[1], found[3], found[4]
        if not found[2] and (len(month) != 2 or len(day) != 2):
            return None
    elif order != "year" and (found := _YEAR_LAST.fullmatch(text)):
        year = found[4]
        day, month = (found[1], found[3]) if order == "day" else (found[3], found[1])
    else:
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None
