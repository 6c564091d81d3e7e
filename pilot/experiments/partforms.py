"""Parts in forms: which one, and its settings as fields made from their types. What cannot be read is kept as it was typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from babel.numbers import NumberFormatError, parse_decimal
from flask_babel import format_decimal, get_locale, gettext, lazy_gettext
from werkzeug.datastructures import MultiDict

from pilot.parts import Part
from pilot.plugins.manager import plugins

PERCENT = ("level", "acceptance", "share", "alarm")
"""Settings that are shares, and that people write in percent."""
NAMES = {
    "acceptance": lazy_gettext("Draws accepted, percent"),
    "at_least": lazy_gettext("From this score on"),
    "by": lazy_gettext("By"),
    "cost": lazy_gettext("Cost of asking"),
    "draws": lazy_gettext("Random draws"),
    "interval": lazy_gettext("Interval"),
    "least": lazy_gettext("Least size"),
    "level": lazy_gettext("Confidence, percent"),
    "margin": lazy_gettext("Margin"),
    "minimum_per_stratum": lazy_gettext("At least per stratum"),
    "question": lazy_gettext("Question"),
    "remainder": lazy_gettext("Balance the rest"),
    "seed": lazy_gettext("Seed"),
    "suffix": lazy_gettext("Part of the question"),
    "weights": lazy_gettext("Weights"),
}
"""What pages call settings; the others by their own name."""


PART_NAMES = {
    "sampling_designs": {
        "stratified": lazy_gettext("Stratified, proportional"),
        "simple": lazy_gettext("Simple random"),
        "neyman": lazy_gettext("Stratified, by spread and cost"),
        "clusters": lazy_gettext("Whole clusters"),
        "systematic-by-size": lazy_gettext("Systematic, by size"),
    },
    "assignment_designs": {
        "stratified-blocks": lazy_gettext("Stratified, balanced in every stratum"),
        "complete": lazy_gettext("Complete, without strata"),
        "matched-pairs": lazy_gettext("Matched pairs"),
        "clusters": lazy_gettext("Whole clusters"),
        "rerandomised": lazy_gettext("Rerandomised until alike"),
    },
    "outcomes": {
        "survey-score": lazy_gettext("Score of a survey question"),
        "survey-share": lazy_gettext("Share of high scores of a survey question"),
        "cost-to-serve": lazy_gettext("Cost to serve"),
        "revenue": lazy_gettext("Revenue"),
        "orders": lazy_gettext("Number of orders"),
        "retained": lazy_gettext("Ordered in the period"),
    },
    "analyses": {
        "non-inferiority": lazy_gettext("Not worse by more than a margin"),
        "non-inferiority-shares": lazy_gettext("Share not worse by more than a margin"),
        "equivalence": lazy_gettext("No different by more than a margin"),
        "stratified-difference": lazy_gettext("Difference of means by strata"),
        "welch": lazy_gettext("Difference of means (Welch)"),
        "newcombe": lazy_gettext("Difference of shares (Newcombe)"),
        "miettinen-nurminen": lazy_gettext("Difference of shares (Miettinen-Nurminen)"),
        "exact-permutation": lazy_gettext("Exact permutation test of a rating"),
    },
}
"""What pages call the built-in parts that most plans have; the others are called by their labels."""


@dataclass(frozen=True)
class Input:
    """One setting in the form.

    Attributes:
        name: Of the field, which is its place in the plan.
        kind: `number`, `text`, `choice`, `ticks`, `tick` or `lines`.
        typed: What stands in it.
        choices: Values to choose from.
    """

    name: str
    setting: str
    kind: str
    typed: list[str]
    choices: Sequence[str] = ()

    @property
    def label(self) -> str:
        """What the page calls it."""
        return str(NAMES.get(self.setting) or gettext(self.setting.replace("_", " ").capitalize()))


def inputs(
    part: type[Part],
    settings: Mapping[str, Any],
    place: str,
    choices: Mapping[str, Sequence[str]],
    hidden: Sequence[str] = (),
) -> list[Input]:
    """The fields of a part with what stands in them.

    Args:
        part: The part.
        settings: As they stand in the plan.
        place: Of the settings in the plan.
        choices: Values to choose from, by the name of the setting, where its type does not say.
        hidden: Settings without a field.
    """
    return [
        _input(part, field, settings, f"{place}.{field.name}", choices.get(field.name, ()))
        for field in dataclasses.fields(part)  # type: ignore[arg-type]
        if field.name not in hidden
    ]


def read(part: type[Part], form: MultiDict[str, str], place: str) -> dict[str, Any]:
    """The settings that were posted for a part. An empty field is left out: it has its default, or is missing."""
    found = {}
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        name, kind = f"{place}.{field.name}", _kind(_bare(part, field.name), ())
        if kind == "tick":
            if f"{name}:shown" in form:
                found[field.name] = name in form
        elif values := [text for line in form.getlist(name) for text in line.splitlines() if text.strip()]:
            found[field.name] = _value(field.name, kind, [clean(text) for text in values], part)
    return found


def number(text: str, percent: bool = False) -> float | int | str:
    """A number as the page's language writes it, a whole one as such; what is none stays a text."""
    try:
        value = float(parse_decimal(clean(text), locale=get_locale(), strict=True))
    except NumberFormatError:
        return clean(text)
    value = round(value / 100, 12) if percent else value
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def shown(value: Any, percent: bool = False) -> str:
    """What stands in the field of a value; of one that was typed wrongly, what was typed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return str(format_decimal(value * 100 if percent else value, format="0.########"))


def clean(text: str) -> str:
    """A text without blanks around it, and without what no database keeps."""
    return text.replace("\x00", "").replace("\r\n", "\n").strip()


def part_names(kind: str) -> dict[str, str]:
    """What the parts of a kind are called, by key."""
    ours = PART_NAMES.get(kind, {})
    return {part.key: str(ours.get(part.key) or gettext(part.label)) for part in plugins().all(kind)}


def _input(
    part: type[Part], field: dataclasses.Field[Any], settings: Mapping[str, Any], name: str, choices: Sequence[str]
) -> Input:
    bare = _bare(part, field.name)
    kind = _kind(bare, choices)
    default = None if field.default is dataclasses.MISSING else field.default
    value = settings.get(field.name, default)
    if get_origin(bare) is Literal:
        choices = [str(item) for item in get_args(bare)]
    if kind == "tick":
        return Input(name, field.name, kind, ["1"] if value is True else [])
    values = value if isinstance(value, list | tuple) else [value]
    typed = [shown(item, field.name in PERCENT) for item in values]
    if kind in ("choice", "ticks"):
        choices = [*choices, *(text for text in typed if text not in choices)]
    return Input(name, field.name, kind, typed, choices)


def _value(name: str, kind: str, texts: list[str], part: type[Part]) -> Any:
    numbers = _holds_numbers(_bare(part, name))
    values = [number(text, name in PERCENT) if numbers else text for text in texts]
    return values if kind in ("lines", "ticks") else values[0] if len(values) == 1 else " ".join(texts)


def _kind(bare: Any, choices: Sequence[str]) -> str:
    if bare is bool:
        return "tick"
    if bare in (int, float):
        return "number"
    if get_origin(bare) is tuple:
        return "ticks" if choices else "lines"
    return "choice" if choices or get_origin(bare) is Literal else "text"


def _holds_numbers(bare: Any) -> bool:
    return bare in (int, float) or (get_origin(bare) is tuple and _stripped(get_args(bare)[0]) in (int, float))


def _bare(part: type[Part], name: str) -> Any:
    return _stripped(get_type_hints(part, include_extras=True)[name])


def _stripped(annotation: Any) -> Any:
    """A type without limits, and without the possibility that it is None."""
    if get_origin(annotation) is Annotated:
        return _stripped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _stripped(next(item for item in get_args(annotation) if item is not NoneType))
    return annotation
