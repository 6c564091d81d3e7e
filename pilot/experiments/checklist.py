"""The checklist of a draft in the page's language: what a rule says in our own words, and else what it says in English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flask_babel import LazyString, lazy_gettext

from pilot.experiments.drafts import Problem
from pilot.experiments.wizardforms import page_of

_WORDS: Mapping[tuple[str, str] | str, LazyString] = {
    "missing": lazy_gettext("Fill this in."),
    "string_too_short": lazy_gettext("Fill this in."),
    "too_short": lazy_gettext("Choose at least one."),
    "string_too_long": lazy_gettext("This is too long."),
    "literal_error": lazy_gettext("Choose one of these."),
    "string_pattern_mismatch": lazy_gettext("This holds signs that cannot be used here."),
    "int_parsing": lazy_gettext("Write a whole number."),
    "int_from_float": lazy_gettext("Write a whole number."),
    "float_parsing": lazy_gettext("Write a number."),
    "date_parsing": lazy_gettext("Choose a day."),
    "date_from_datetime_parsing": lazy_gettext("Choose a day."),
    "greater_than": lazy_gettext("This number is too small."),
    "greater_than_equal": lazy_gettext("This number is too small."),
    "less_than": lazy_gettext("This number is too large."),
    "less_than_equal": lazy_gettext("This number is too large."),
    "segments": lazy_gettext("A segment stands here twice."),
    "segments known": lazy_gettext("This segment does not exist any more."),
    "entities": lazy_gettext(
        "Customers of one company are to stay together, so more than one of each has to be eligible."
    ),
    "strata": lazy_gettext("A field stands here twice."),
    "fields known": lazy_gettext("This cannot be used here: choose another field."),
    "designs": lazy_gettext("Choose fields that this design can work with."),
    ("designs", "sampling.cluster"): lazy_gettext(
        "This design needs customers that stay together: choose what they share."
    ),
    "arms": lazy_gettext("The first arm is control, and every arm has its own key."),
    "shares": lazy_gettext("Together the shares make 100 %, and every arm gets at least two customers."),
    "channels known": lazy_gettext("This way of handling is not installed."),
    "calendar": lazy_gettext("The days follow each other: profiles, begin, end, last answers."),
    "margins": lazy_gettext("Say why this much worse would still be accepted."),
    "outcomes": lazy_gettext("Two outcomes have the same key."),
    "analyses": lazy_gettext("This analysis stands here twice, or its outcome is gone."),
    "decision": lazy_gettext("Choose an outcome that an analysis compares."),
    ("decision", "margin"): lazy_gettext("The decision needs to know how much worse would still be accepted."),
    ("decision", "higher_is_better"): lazy_gettext(
        "The decision asks whether this is lower, so lower has to be better."
    ),
    "levels": lazy_gettext("No analysis of this outcome has an interval at the confidence of the decision."),
    "notice": lazy_gettext("Only {customer}, {company} and {until} can be filled in, each in braces."),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the checklist as a page shows it.

    Attributes:
        place: The key in the plan, which is the name of the field.
        page: Key of the page it stands on.
        text: What is missing or wrong.
        language: `en` where there are no words of our own; else empty.
    """

    place: str
    page: str
    text: str
    language: str


def points(problems: Iterable[Problem]) -> list[Point]:
    """The problems in the page's language."""
    return [_point(problem) for problem in problems]


def _point(problem: Problem) -> Point:
    last = problem.place.rpartition(".")[2]
    words = _WORDS.get((problem.rule, problem.place)) or _WORDS.get((problem.rule, last)) or _WORDS.get(problem.rule)
    page = page_of(problem.section)
    if words:
        return Point(problem.place, page, str(words), "")
    return Point(problem.place, page, f"{problem.reason}. {problem.remedy}.", "en")
