"""Why rows and undoing are refused, in the reader's language: the checks say it in English, for files and terminals."""

from __future__ import annotations

import re
from functools import cache

from flask_babel import gettext


def N_(english: str) -> str:  # noqa: N802 - the name that is known to mark words for translation later
    """The English words themselves, which stand here to be translated when they are used."""
    return english


_TOLD = (
    N_("the row has no customer number"),
    N_("the row has no name"),
    N_("the row has no order number"),
    N_("the row has no date"),
    N_("the row has no amount"),
    N_("the row has no minutes"),
    N_("the touch has no channel"),
    N_("it is longer than %(number)s characters"),
    N_("it holds a control character"),
    N_("this is not an e-mail address"),
    N_("there is no such channel; there are %(names)s"),
    N_("a touch is one of %(names)s"),
    N_("this is not a day"),
    N_("is not a day written %(pattern)s"),
    N_("it lies before %(day)s; correct the date"),
    N_("it lies in the future, today is %(day)s; correct the date, or import the row once it has happened"),
    N_("this is not a number"),
    N_("is not a number with a decimal comma"),
    N_("is not a number with a decimal point"),
    N_("it is not between %(least)s and %(most)s"),
    N_("this customer number stands on line %(line)s already"),
    N_("the row has %(found)s columns, the header has %(width)s"),
    N_("a quotation mark within a quoted cell is not doubled"),
    N_("a quotation mark was opened and not closed"),
    N_("a quotation mark was opened and not closed within %(number)s characters"),
    N_("the line is longer than %(number)s characters"),
    N_("the row is longer than %(number)s characters"),
    N_("import %(number)s was undone already"),
    N_("import %(number)s is still running"),
    N_("import %(number)s changed %(customers)s of the same customers later"),
    N_("a customer that import %(number)s brought is part of a pilot or has been surveyed"),
    N_("import %(later)s goes on with import %(number)s: it brought rows that were refused here"),
    N_("There is nothing to do"),
    N_("Wait until it is done, then undo it"),
    N_("Undo import %(number)s first"),
    N_("Those customers must stay; correct them by a new import instead"),
)
_LINES = N_("lines %(first)s to %(last)s were read as one row")


def in_words(reason: str) -> str:
    """The reason as the page's language says it; as it stands where nobody has foreseen it, such as a plugin's."""
    told = _said(reason)
    if told is not None:
        return told
    head, _, tail = reason.rpartition("; ")
    first, second = _said(head), _filled(_LINES, tail)
    return reason if first is None or second is None else f"{first}; {second}"


def _said(reason: str) -> str | None:
    return next((told for words in _TOLD if (told := _filled(words, reason)) is not None), None)


def _filled(english: str, reason: str) -> str | None:
    """The words in the page's language, filled with what the reason has in the places of its English words."""
    found = _pattern(english).fullmatch(reason)
    return None if found is None else gettext(english, **found.groupdict())


@cache
def _pattern(english: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(english)))
