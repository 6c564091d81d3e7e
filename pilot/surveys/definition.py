"""Survey definitions: one document with every text in every language, checked before it is published."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pilot.config import LANGUAGES
from pilot.errors import InputError
from pilot.faults import in_words, spell
from pilot.plugins.manager import plugins
from pilot.surveys.questions import QuestionType, Text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]

LARGEST_FILE = 1_000_000
"""Bytes of a definition file; a survey of a hundred questions takes a tenth of it."""

RESERVED = {"page", "lang"}
"""Names the answer page uses itself."""

_NAMES = {"en": "English", "it": "Italian", "pl": "Polish"}
_OWN_WORDS = {
    "dict_type": f"give a text for each language: {', '.join(LANGUAGES)}",
    "string_pattern_mismatch": "a key has small letters, digits and hyphens, and begins with a letter",
    "too_short": "at least one is needed",
}
"""Of faults that can say more here than in any document."""


class Section(BaseModel):
    """Base of the definition's sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(Section):
    """One question: `type` is the key of a question type, `settings` are its fields."""

    key: Key
    type: str
    label: Text = Field(default_factory=dict)
    """May be left out where the type has a standard wording."""
    help: Text | None = None
    required: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)


class Page(Section):
    """What is asked on one screen."""

    title: Text | None = None
    questions: tuple[Question, ...] = Field(min_length=1)


class SurveyDefinition(Section):
    """The whole survey."""

    key: Key
    title: Text
    intro: Text
    pages: tuple[Page, ...] = Field(min_length=1)
    thanks: Text

    def questions(self) -> Iterator[Question]:
        """All questions, in order."""
        for page in self.pages:
            yield from page.questions

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, from which the definition can be built again."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Questionnaire:
    """A definition that has passed every check, with the question types that bring it to life.

    Attributes:
        definition: Complete: defaults of settings and standard wordings are written out in it.
        parts: Question type by question key.
    """

    definition: SurveyDefinition
    parts: Mapping[str, QuestionType]


def load_definition(path: Path | str) -> SurveyDefinition:
    """Read and check a definition from a TOML file.

    Raises:
        InputError: The file cannot be read, or something in it is wrong; every fault is named with its key.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(
                "the file is too large for a survey",
                place=path.name,
                remedy=f"A definition has at most {LARGEST_FILE:,} bytes",
            )
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", place=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(
            "the file is not text in UTF-8", place=path.name, remedy="Save it again with the encoding UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"the file is not valid TOML: {error}", place=path.name, remedy="Correct the line that is named"
        ) from error
    return bring_to_life(parse(data, place=path.name), place=path.name).definition


def parse(data: Mapping[str, Any], *, place: str = "") -> SurveyDefinition:
    """The definition in these plain values, its shape checked but not yet its texts and question types.

    Raises:
        InputError: A key is unknown, missing or of the wrong kind.
    """
    try:
        return SurveyDefinition.model_validate(data)
    except ValidationError as error:
        raise _refusal([_shape_fault(fault) for fault in error.errors()], place) from error


def bring_to_life(definition: SurveyDefinition, *, place: str = "") -> Questionnaire:
    """Check texts and question types, and write out what the definition left to defaults.

    Raises:
        InputError: A question type or setting does not exist, a key is used twice or a text lacks a language.
    """
    seen: set[str] = set()
    faults: list[tuple[str, str]] = []
    parts: dict[str, QuestionType] = {}
    pages = []
    for number, page in enumerate(definition.pages):
        questions = []
        for position, question in enumerate(page.questions):
            where = f"pages[{number}].questions[{position}]"
            if question.key in seen | RESERVED:
                taken = "is used twice" if question.key in seen else "is a name the page needs itself"
                faults.append((f"{where}.key", f"{question.key!r} {taken}"))
            seen.add(question.key)
            part = _part(question, f"{place}: {where}" if place else where)
            parts[question.key] = part
            label = question.label or dict(part.wording or {})
            questions.append(question.model_copy(update={"label": label, "settings": part.settings()}))
        pages.append(page.model_copy(update={"questions": tuple(questions)}))
    complete = definition.model_copy(update={"pages": tuple(pages)})
    faults += [fault for where, text in _texts(complete, parts) for fault in _text_faults(where, text)]
    if faults:
        raise _refusal(faults, place)
    return Questionnaire(complete, parts)


def _part(question: Question, place: str) -> QuestionType:
    kind: type[QuestionType] = plugins().get("question_types", question.type, place=f"{place}.type")
    return kind.restore(question.settings, place=f"{place}.settings")


def _texts(definition: SurveyDefinition, parts: Mapping[str, QuestionType]) -> Iterator[tuple[str, Text]]:
    """Every text of a definition with its place."""
    yield "title", definition.title
    yield "intro", definition.intro
    for number, page in enumerate(definition.pages):
        if page.title is not None:
            yield f"pages[{number}].title", page.title
        for position, question in enumerate(page.questions):
            where = f"pages[{number}].questions[{position}]"
            yield f"{where}.label", question.label
            if question.help is not None:
                yield f"{where}.help", question.help
            for name, text in parts[question.key].texts().items():
                yield f"{where}.settings.{name}", text
    yield "thanks", definition.thanks


def _text_faults(where: str, text: Text) -> Iterator[tuple[str, str]]:
    for language in LANGUAGES:
        if not text.get(language, "").strip():
            yield f"{where}.{language}", f"the {_NAMES[language]} text is missing"
    for language in text:
        if language not in LANGUAGES:
            yield f"{where}.{language}", f"{language!r} is not one of the languages {', '.join(LANGUAGES)}"


def _shape_fault(fault: ErrorDetails) -> tuple[str, str]:
    reason, remedy = in_words(fault, SurveyDefinition)
    told = _OWN_WORDS.get(fault["type"]) or f"{reason}; {remedy[0].lower()}{remedy[1:]}"
    return spell(fault["loc"]), told


def _refusal(faults: list[tuple[str, str]], place: str) -> InputError:
    """One error for all faults: with its own place if there is one, else a list below the file's name."""
    if len(faults) == 1:
        where, reason = faults[0]
        return InputError(reason, place=f"{place}: {where}" if place else where, remedy="Correct the definition")
    lines = "".join(f"\n  {where}: {reason}" for where, reason in faults)
    return InputError(f"{len(faults)} faults{lines}", place=place or "survey", remedy="\nCorrect the definition")
