"""Cells of the CSV files we write: no spreadsheet takes one for a formula."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+][0-9.,]+")


def inert(text: str) -> str:
    """The text behind an apostrophe if a spreadsheet would take it for a formula; a mere number is none.

    So is one that looks as if it had been marked already: what `unmarked` gives back is always the text itself.
    """
    return f"'{text}" if _is_formula(text) else text


def unmarked(text: str) -> str:
    """The text that `inert` was given."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    bare = text.lstrip("'")
    return bare.startswith(_FORMULA) and not _NUMBER.fullmatch(bare)
