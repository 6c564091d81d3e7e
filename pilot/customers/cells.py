"""Cells of the CSV files we write: no spreadsheet takes one for a formula."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+][0-9.,]+")


def inert(text: str) -> str:
    """The text behind an apostrophe if a spreadsheet would take it for a formula; a mere number is none."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
