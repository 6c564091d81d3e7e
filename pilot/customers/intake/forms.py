"""The forms of imports: what a person says of a file, read from a form, and what the form offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pilot.customers.intake import wording
from pilot.customers.intake.fields import FIELDS, Content, Field
from pilot.customers.intake.preview import Preview, Seen
from pilot.customers.intake.understanding import Overrules
from pilot.web import day, number

_COLUMN = "column."
LONGEST_OPTION = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """A select of the form: its options as value and text, the chosen value, and what is found without it.

    Attributes:
        name: Name of the select.
        label: What it is about.
        options: Values and texts.
        chosen: The value that is chosen.
        found: How it is read now, in words; empty where that is not known.
        evidence: A value of the file that shows it.
        assumed: Why it is only assumed; empty where it is certain.
    """

    name: str
    label: str
    options: list[tuple[str, str]]
    chosen: str
    found: str = ""
    evidence: str = ""
    assumed: str = ""


def overrules(given: MultiDict[str, str], kind: str) -> Overrules:
    """What was chosen in the form. A column is named by the header that stood in the form, a field without one is left out."""
    columns = {
        known.name: given[f"{_COLUMN}{known.name}"] for known in FIELDS[kind] if f"{_COLUMN}{known.name}" in given
    }
    read = {name: given.get(name, "") for name in ("encoding", "delimiter", "decimal", "days", "sheet")}
    return Overrules(columns=columns, **read)


def readings(preview: Preview) -> list[Choice]:
    """How the file is read, each with its evidence and a way to overrule it."""
    told, how = preview.overrules, preview.how
    found = {way.name: way for way in wording.ways(how)}
    sheets = [str(name) for name in (how.get("sheet"), *how.get("other_sheets", ())) if name]
    offered: list[tuple[str, str, Any, str]] = [
        ("sheet", "sheet", {name: name for name in sheets}, told.sheet),
        ("encoding", "encoding", wording.ENCODINGS, told.encoding),
        ("delimiter", "delimiter", wording.DELIMITER_NAMES, told.delimiter),
        ("decimal", "numbers", wording.DECIMAL_NAMES, told.decimal),
        ("days", "days", wording.DAY_NAMES, told.days),
    ]
    choices = []
    for name, way_name, options, chosen in offered:
        way = found.get(way_name)
        if way is None and not (chosen or (preview.error and name in ("encoding", "delimiter"))):
            continue
        listed = [("", str(_("find out"))), *((value, str(text)) for value, text in options.items())]
        if chosen and chosen not in options:
            listed.append((chosen, chosen))
        choices.append(
            Choice(
                name,
                way.label if way else str(_LABELS[name]()),
                listed,
                chosen,
                way.value if way else "",
                preview.evidence.get(way_name, ""),
                assumed=way.why if way else "",
            )
        )
    return choices


_LABELS = {
    "sheet": lambda: _("Sheet"),
    "encoding": lambda: _("Letters"),
    "delimiter": lambda: _("Columns are separated by"),
    "decimal": lambda: _("Numbers"),
    "days": lambda: _("Dates"),
}


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """One field of ours and the column it is read from.

    Attributes:
        name: Our name of the field.
        label: What pages call it.
        needed: Whether a file without it cannot be taken over.
        column: The column it is read from; empty if from none.
        sample: A value of that column.
        error: What is missing or wrong about it.
    """

    name: str
    label: str
    needed: bool
    column: str
    sample: str
    error: str


def field_choices(preview: Preview, kind: str) -> list[FieldChoice]:
    """One choice for each field that such a file can tell of."""
    return [_field_choice(preview, known, str(wording.FIELDS_OF[kind][known.name])) for known in FIELDS[kind]]


def _field_choice(preview: Preview, known: Field, label: str) -> FieldChoice:
    place = preview.places.get(known.name)
    column = "" if place is None else preview.header[place]
    error = ""
    if known.name in preview.missing:
        error = _("This is needed: choose the column it stands in.")
    elif column in preview.doubled:
        error = _("Two columns have this name: rename one of them in the file, or choose another.")
    return FieldChoice(known.name, label, known.needed, column, preview.samples.get(known.name, ""), str(error))


def told(kind: str) -> Callable[[str, Seen], str]:
    """What shows a value of a field as the page's language writes it, so that day and month cannot be mixed up."""
    contents = {known.name: known.content for known in FIELDS[kind]}

    def in_words(name: str, seen: Seen) -> str:
        content = contents.get(name)
        if seen.reason or not seen.value:
            return seen.value
        if content is Content.DAY:
            return day(date.fromisoformat(seen.value))
        if content is Content.NUMBER:
            return number(float(seen.value), max(2, len(seen.value.partition(".")[2])))
        if name == "cancelled":
            return str(_("yes") if seen.value == "true" else _("returned"))
        return seen.value

    return in_words


def short(text: str) -> str:
    """A name of a column, cut to what a select can show."""
    return text if len(text) <= LONGEST_OPTION else f"{text[: LONGEST_OPTION - 1]}…"
