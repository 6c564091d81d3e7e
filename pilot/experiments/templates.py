"""Templates of plans: what a pilot of a known kind looks like, filled in from the base it is planned on."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from flask import Flask, current_app

from pilot import config, resources
from pilot.customers.models import CustomerProfile
from pilot.customers.service import segments
from pilot.db import db
from pilot.errors import NotFound, PlanError
from pilot.experiments.drafts import Document, eligible_now, plain, unfinished
from pilot.experiments.states import find
from pilot.faults import suggestion

PREFIX = "template-"
NOTICE_DAYS = 14
"""So long before handling begins there has to be time for seal, public value and notice."""
MAX_KEY = 40


@dataclass(frozen=True)
class Template:
    """A plan without its days, and what it is good for, in every language it has."""

    key: str
    texts: Mapping[str, Mapping[str, str]]
    """`name`, `question` and `about` by language."""
    weeks: int
    """How long handling lasts."""
    answer_days: int
    """How long the survey is answered after that."""
    plan: Document

    def told(self, language: str) -> Mapping[str, str]:
        """Its texts in this language, in English where it has none."""
        return self.texts.get(language, self.texts["en"])


def templates() -> list[Template]:
    """All that are delivered, in the order they are offered."""
    return list(_read_all())


def template(key: str) -> Template:
    """The template of this key.

    Raises:
        NotFound: There is none.
    """
    known = {item.key: item for item in templates()}
    if key not in known:
        raise NotFound(f"there is no template {key!r}", remedy=suggestion(key, known, "Templates"))
    return known[key]


def filled(key: str, language: str) -> Document:
    """A draft from a template.

    It has a key that nobody has, the day of the profiles, segments that exist, days from today on, and asks for no more
    customers than are eligible.

    Raises:
        NotFound: There is no such template.
    """
    chosen = template(key)
    document = deepcopy(chosen.plan)
    texts = chosen.told(language)
    document |= {"key": _free(document["key"]), "name": texts["name"], "question": texts["question"]}
    _place_in_time(document, chosen)
    document["population"]["segments"] = _present(document["population"]["segments"])
    document["survey"] = _survey(document["survey"])
    document["notice"] = {}
    _fit(document)
    found: Document = plain(document)
    return found


def register_surveys(app: Flask, surveys: Callable[[], dict[str, dict[str, str]]]) -> None:
    """Say which surveys are published; surveys lie above experiments and are not imported here.

    Args:
        app: The application.
        surveys: Gives the texts of the questions by key, by key of the survey, the newest first.
    """
    app.extensions["pilot.surveys"] = surveys


def published_surveys() -> dict[str, dict[str, str]]:
    """The texts of the questions that can be compared, by key, of each survey that is published, the newest first."""
    surveys: Callable[[], dict[str, dict[str, str]]] = current_app.extensions["pilot.surveys"]
    return surveys()


@cache
def _read_all() -> tuple[Template, ...]:
    found = []
    for path in sorted(resources.folder("examples").glob(f"{PREFIX}*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        about = document.pop("template")
        english = {"name": document["name"], "question": document["question"], "about": about["about"]}
        texts = {"en": english, **{code: about[code] for code in config.LANGUAGES if code in about}}
        made = Template(_key(path), texts, about["weeks"], about["answer_days"], document)
        found.append((about["place"], made))
    return tuple(made for _, made in sorted(found, key=lambda item: item[0]))


def _key(path: Path) -> str:
    return path.stem.removeprefix(PREFIX)


def _free(stem: str) -> str:
    """A key like the template's, with the year, that no pilot has."""
    first = f"{stem}-{config.today().year}"
    taken = {draft.key for draft in unfinished()}
    for number in count(1):
        key = first if number == 1 else f"{first}-{number}"
        if key not in taken and find(key) is None:
            return key[:MAX_KEY]
    raise AssertionError


def _place_in_time(document: Document, chosen: Template) -> None:
    """Handling from the first Monday after the time that preparing takes."""
    day = config.today() + timedelta(days=NOTICE_DAYS)
    start = day + timedelta(days=-day.weekday() % 7)
    end = start + timedelta(weeks=chosen.weeks)
    until = end + timedelta(days=chosen.answer_days)
    document["calendar"] = {"start": start, "end": end, "survey_until": until}
    profiled = db.session.scalar(sa.select(sa.func.max(CustomerProfile.as_of)))
    document["population"]["as_of"] = profiled or _yesterday()


def _yesterday() -> date:
    return config.today() - timedelta(days=1)


def _present(wanted: list[str]) -> list[str]:
    """Those of the template's segments that exist, else the last of the base's, where the small customers are."""
    known = [segment.key for segment in segments()]
    return [key for key in wanted if key in known] or known[-1:]


def _survey(wanted: str) -> str:
    surveys = published_surveys()
    return wanted if wanted in surveys or not surveys else next(iter(surveys))


def _fit(document: Document) -> None:
    try:
        found = eligible_now(document)
    except PlanError:
        return  # the checklist says what is wrong with the base
    eligible = found[1][-1].remaining if found else 0
    if 1 < eligible < document["sampling"]["size"]:
        arms = len(document["arms"])
        document["sampling"]["size"] = max(eligible // arms * arms, 2 * arms)
