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
class Numbers:
    """How numbers are written: `decimal` is the decimal sign, `evident` whether the values leave no other reading."""

    decimal: str
    evident: bool

    @classmethod
    def detect(cls, texts: Iterable[str] | Mapping[str, int], likely: str) -> Numbers:
        """Find the decimal sign.

        Args:
            texts: The values of the whole file, or how often each of them stands in it.
            likely: The sign to take where no value decides, as in a column of whole numbers.
        """
        votes: Counter[str] = Counter()
        for text, count in Counter(texts).items():
            votes[_decimal_of(text)] += count
        if votes[","] == votes["."]:
            return cls(likely, evident=not votes["either"] and not votes[likely])
        return cls("," if votes[","] > votes["."] else ".", evident=True)

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
    body = _GROUPING.sub("", _bare(text)[1])
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
    """How days are written: `order` is day, month or year, whichever stands first; `pattern` shows it to people."""

    order: str
    pattern: str
    evident: bool

    @classmethod
    def detect(cls, texts: Iterable[str] | Mapping[str, int]) -> Days:
        """Find the order of day, month and year.

        Day first is taken where no value decides between day and month.
        """
        votes: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        counted = Counter(texts)
        for text, count in counted.items():
            if found := _YEAR_LAST.fullmatch(text):
                first, sign, second = int(found[1]), found[2], int(found[3])
                shapes[f"last{sign}"] += count
                votes["day" if first > 12 else "month" if second > 12 else "either"] += count
            elif found := _YEAR_FIRST.fullmatch(text):
                shapes[f"first{found[2]}"] += count
        shape = shapes.most_common(1)[0][0] if shapes else "first-"
        sign = shape.removeprefix("last").removeprefix("first")
        if shape.startswith("first"):
            return cls("year", sign.join(("yyyy", "mm", "dd")), evident=bool(shapes) or not counted)
        month_first = votes["month"] > votes["day"]
        pattern = sign.join(("mm", "dd", "yyyy") if month_first else ("dd", "mm", "yyyy"))
        return cls("month" if month_first else "day", pattern, evident=votes["month"] != votes["day"])

    def read(self, text: str) -> str | None:
        """The day as `yyyy-mm-dd`, a time of day left off; None if it is not one.

        Year-first days are read in every file: they cannot be mistaken.
        """
        return _day(text, self.order)

    def __str__(self) -> str:
        return self.pattern


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
