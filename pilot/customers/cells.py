"""Cells of the CSV files we write: no spreadsheet takes one, or a part it splits off, for a formula."""

from __future__ import annotations

import re

_BEGUN = r"(?:\A|(?<=[,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]))"
"""Where a cell may begin: a spreadsheet set to another sign between columns splits within ours, and goes by no quotes there."""
_SKIPPED = r"(?:\"|[^\S,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029])*+"
_FORMULA = r"(?=[=+\-@\t\r＝＋－＠])"
_BARE = re.compile(f"({_BEGUN}{_SKIPPED}'*+){_FORMULA}")
_MARKED = re.compile(f"({_BEGUN}{_SKIPPED}'*+)(?<='){_FORMULA}")
_NUMBER = re.compile(r"'*[-+][0-9][0-9.,]*")


def inert(text: str) -> str:
    """The text with an apostrophe before each sign by which a spreadsheet would know a formula; a mere number is none.

    So is one that looks as if it had been marked already: what `unmarked` gives back is always the text itself.
    """
    return text if _NUMBER.fullmatch(text) else _BARE.sub(r"\1'", text)


def unmarked(text: str) -> str:
    """The text that `inert` was given."""
    return text if _NUMBER.fullmatch(text) else _MARKED.sub(lambda found: found[1][:-1], text)
