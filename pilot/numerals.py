"""Numbers that people type into pages: read as the page's language writes them, and in every other plain notation.

Digits may be grouped by blanks of any kind, apostrophes, dots or commas. A sign that can only be the decimal one is
that in every language; where it may as well group thousands (`1.500`), the language decides.
"""

from __future__ import annotations

import re

from babel.numbers import get_currency_symbol
from flask_babel import get_locale

from pilot.config import current
from pilot.web import number

_BLANKS = re.compile(r"[\s\u00a0\u2007\u2009\u202f'’]")
_SHAPE = re.compile(r"[-+]?[0-9.,]*[0-9][0-9.,]*")
_GROUPED = re.compile(r"[0-9]{1,3}(?:_[0-9]{3})+|[0-9]+")
_EITHER = re.compile(r"[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_LARGEST = 10**15


def read_number(text: str) -> float:
    """The number that was typed.

    Args:
        text: As it stands in the form or address; the installation's currency may stand beside it.

    Raises:
        ValueError: It is no number, its groups are not of three digits, or it is larger than a database holds.
    """
    bare = _without_currency(text).replace("\N{MINUS SIGN}", "-")
    tight = _BLANKS.sub("_", bare)
    if not _SHAPE.fullmatch(tight.replace("_", "")):
        raise ValueError(text)
    sign = _decimal_sign(tight)
    whole, _, rest = tight.partition(sign) if sign else (tight, "", "")
    minus, whole = whole.startswith("-"), whole.lstrip("-+")
    separators = set(whole) & set("_.,")
    if len(separators) > 1 or not (whole == "" or _GROUPED.fullmatch(re.sub("[.,]", "_", whole))) or "_" in rest:
        raise ValueError(text)
    value = float(f"{re.sub('[_.,]', '', whole) or '0'}.{rest or '0'}")
    if value >= _LARGEST:
        raise ValueError(text)
    return -value if minus else value


def reading(text: str) -> str | None:
    """How a number was read whose sign might be taken either way (`1.500`), as the page writes it; None if it is plain."""
    if not _EITHER.fullmatch(text.strip()):
        return None
    value = read_number(text)
    decimals = len(plainly(value).partition(".")[2].rstrip("0"))
    return number(value, decimals or 2)


def plainly(value: float) -> str:
    """A number so that `read_number` gives it back in every language: for addresses."""
    text = f"{value:.15f}".rstrip("0").rstrip(".")
    return text + "0" if _EITHER.fullmatch(text) else text


def _without_currency(text: str) -> str:
    code = current().currency
    sign = get_currency_symbol(code, locale=get_locale() or "en")
    either = "|".join(map(re.escape, (code, sign)))
    return re.sub(rf"^(\s*[-+\u2212]?)\s*(?:{either})|\s*(?:{either})\s*$", r"\1", text).strip()


def _decimal_sign(text: str) -> str:
    """The sign before the decimals, or nothing if there is none."""
    dots, commas = text.count("."), text.count(",")
    if dots and commas:
        last = max(".,", key=text.rfind)
        return last if text.count(last) == 1 else ""
    if dots + commas != 1:
        return ""
    sign = "." if dots else ","
    return "" if sign != _languages_sign() and _EITHER.fullmatch(text) else sign


def _languages_sign() -> str:
    locale = get_locale()
    return "." if locale is None or locale.language == "en" else ","
