"""How figures read: values, differences and intervals of an outcome, in the language of the page or report.

Everything here writes in the current locale; `flask_babel.force_locale` sets it for a report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import gettext as _

from pilot import web
from pilot.analysis import Evidence, Scale

DASH = "\N{EN DASH}"
"""What stands where there is no figure."""

_SMALLEST_P = 0.0001


@dataclass(frozen=True, slots=True)
class Figures:
    """How the figures of one outcome are written: its scale, and the decimals of ratings and counts."""

    scale: Scale
    digits: int = 2

    @classmethod
    def of(cls, evidence: Evidence) -> Figures:
        """Fitting figures: scores with a wide span, such as a net promoter score, need one decimal only."""
        wide = bool(evidence.levels) and max(evidence.levels) - min(evidence.levels) > 20
        return cls(evidence.scale, 1 if wide else 2)

    def value(self, value: float | None) -> str:
        """An arm's own figure: `4.05`, `38.2%`, `€61.90`."""
        if value is None:
            return DASH
        if self.scale is Scale.MONEY:
            return money(value)
        return share(value) if self.scale is Scale.BINARY else number(value, self.digits)

    def difference(self, value: float | None) -> str:
        """A difference between arms, always with its sign: a share's is in percentage points."""
        if value is None:
            return DASH
        if self.scale is Scale.MONEY:
            return _signed(value, money(value), 2)
        if self.scale is Scale.BINARY:
            text: str = _("%(number)s pp", number=_signed(100 * value, number(100 * value, 1), 1))
            return text
        return _signed(value, number(value, self.digits), self.digits)

    def interval(self, low: float | None, high: float | None) -> str:
        """Both limits of an interval of differences; an open side says so."""
        if low is None and high is None:
            return DASH
        if high is None:
            text: str = _("above %(low)s", low=self.difference(low))
        elif low is None:
            text = _("below %(high)s", high=self.difference(high))
        else:
            text = _("%(low)s to %(high)s", low=self.difference(low), high=self.difference(high))
        return text

    def tick(self) -> Callable[[float], str]:
        """Writes the numbers along the axis of a difference, without unit."""
        factor = 100 if self.scale is Scale.BINARY else 1

        def write(value: float) -> str:
            shown = round(value * factor, 6)
            digits = next(digits for digits in (0, 1, 2, 3, 6) if digits == 6 or round(shown, digits) == shown)
            return _signed(shown, number(shown, digits), digits)

        return write


def count(value: int | None) -> str:
    """A whole number with the language's grouping."""
    return DASH if value is None else number(value, 0)


def number(value: float, digits: int = 2) -> str:
    """A number with a fixed count of decimals and a true minus sign."""
    return _true_minus(web.number(_rounded(value, digits), digits))


def money(value: float) -> str:
    """An amount in the installation's currency."""
    return _true_minus(web.money(_rounded(value, 2)))


def share(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return DASH if value is None else _true_minus(web.percent(_rounded(value, digits + 2), digits))


def level(value: float) -> str:
    """A confidence level: `95%`, `97.5%`."""
    return share(value, 0 if round(100 * value, 6).is_integer() else 1)


def p_value(value: float | None) -> str:
    """A p value, never 0."""
    if value is None:
        return DASH
    if value < _SMALLEST_P:
        return f"< {number(_SMALLEST_P, 4)}"
    return number(value, 4 if value < 0.01 else 3)


def day(value: date | datetime | None) -> str:
    """A date; of a moment, its date where the company is."""
    return DASH if value is None else web.day(value)


def short(text: str, limit: int = 120) -> str:
    """Free text on one line without control characters, cut at `limit` characters with an ellipsis."""
    clean = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _signed(value: float, text: str, digits: int) -> str:
    return f"+{text}" if _rounded(value, digits) > 0 else text


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # adding zero turns minus zero into zero


def _true_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
