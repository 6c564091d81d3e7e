"""What is wrong with a document that people write, said in one line: the key, the reason, the remedy."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pilot.errors import PlanError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "bool": "true or false",
    "date": "a date such as 2026-04-01",
    "dict": "a table, i.e. keys with values",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "model": "a table, i.e. keys with values",
    "string": "a text in quotation marks",
    "tuple": "a list in square brackets",
}
_LIMITS = {"greater_than": ("gt", "greater than"), "less_than": ("lt", "less than")}
_ORDER = {"extra_forbidden": 0, "missing": 1, "too_short": 3}
"""A misspelt key explains the missing one beside it; a list is only too short because its items are wrong."""


def first_fault(error: ValidationError, model: type[BaseModel], place: str) -> PlanError:
    """The fault of a plan to mend first, and how many more there are.

    Args:
        error: What pydantic found.
        model: The document's model.
        place: What the document is called.
    """
    faults = sorted(error.errors(include_url=False), key=lambda fault: _ORDER.get(fault["type"], 2))
    reason, remedy = in_words(faults[0], model)
    if more := len(faults) - 1:
        reason += f" ({more} more {'fault' if more == 1 else 'faults'} in this file)"
    return PlanError(reason, place=f"{place}: {spell(faults[0]['loc'])}", remedy=remedy)


def syntax_fault(error: tomllib.TOMLDecodeError, text: str, place: str) -> PlanError:
    """A TOML error with line and column in the place."""
    message, _, where = str(error).partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", where)
    lines = text.rstrip("\n").split("\n")
    line, column = found.groups() if found else (len(lines), len(lines[-1]) + 1)
    return PlanError(
        f"this is not TOML: {message[:1].lower()}{message[1:]}",
        place=f"{place}: line {line}, column {column}",
        remedy="Correct this line; texts and dates are written as in the example plan",
    )


def in_words(fault: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Reason and remedy of one fault that pydantic found in a document of this model."""
    kind, value, context = fault["type"], fault["input"], fault.get("ctx", {})
    if kind == "missing":
        return "this key is missing", "Add it"
    if kind == "extra_forbidden":
        section = _section(model, fault["loc"][:-1])
        return "there is no such key", suggestion(str(fault["loc"][-1]), section.model_fields, "Keys here")
    if kind == "literal_error":
        return f"{_show(value)} is none of the possible values", f"Write one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{_show(value)} holds signs that cannot be used here", _pattern_remedy(str(context["pattern"]))
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"{_show(value)} is out of range", f"Write a number {words} {context[name]:g}"
    if kind == "too_short":
        return "the list is too short", f"Give at least {context['min_length']}"
    if expected := _EXPECTED.get(kind.partition("_")[0]):
        return f"{_show(value)} cannot be used here", f"Write {expected}{_length(kind, context)}"
    return fault["msg"].removeprefix("Value error, ").lower(), "Correct this value"


def spell(location: Iterable[int | str]) -> str:
    """A place in the document as a person writes it: `arms[1].share`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if step != "[key]"]
    return "".join(steps).lstrip(".")


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """A remedy for a word nobody knows: the nearest known one, and all of them."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"{what}: {', '.join(names) or 'none'}"


def _length(kind: str, context: dict[str, Any]) -> str:
    if kind == "string_too_long":
        return f" of at most {context['max_length']} characters"
    return " that is not empty" if kind == "string_too_short" else ""


def _pattern_remedy(pattern: str) -> str:
    if "a-z" in pattern:
        return "Use lower case letters, digits and hyphens, and begin with a letter"
    return "Write it on one line"


def _show(value: Any) -> str:
    text = (
        str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else repr(value)
    )
    return text if len(text) <= 60 else f"{text[:57]}…"


def _section(model: type[BaseModel], location: Iterable[int | str]) -> type[BaseModel]:
    """The model that describes the place in the document."""
    for step in location:
        if step in model.model_fields:
            model = _model_in(model.model_fields[str(step)].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for item in typing.get_args(annotation) if (found := _model_in(item))), None)
