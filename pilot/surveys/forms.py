"""Reading a posted page of a survey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from pilot.errors import InputError
from pilot.surveys.definition import Page, Question, Questionnaire
from pilot.surveys.questions import Form, QuestionType


@dataclass(frozen=True, slots=True)
class Entry:
    """What a customer entered on one page.

    Attributes:
        answers: Values by question key; questions left empty are absent.
        errors: A sentence in the customer's language by field of the form; empty if the page can be saved.
    """

    answers: dict[str, Any]
    errors: dict[str, str]


def read_page(questionnaire: Questionnaire, page: Page, form: Form) -> Entry:
    """Read and check every question of a page. Nothing but the page's own questions is looked at."""
    answers: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for question in page.questions:
        try:
            value, missing = _read(question, questionnaire.parts[question.key], form)
        except InputError as error:
            errors[question.key] = f"{error.reason}."
            continue
        errors |= dict.fromkeys(missing, _("Please answer this question."))
        if value is not None:
            answers[question.key] = value
    return Entry(answers, errors)


def _read(question: Question, part: QuestionType, form: Form) -> tuple[Any, list[str]]:
    value = part.read(form, question.key)
    return value, part.unanswered(value, question.key) if question.required else []
