"""Built-in question types: satisfaction, recommendation, agreement grid, choice and comment."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from flask_babel import gettext as _
from pydantic import Field

from pilot.api import Form, InputError, QuestionType, Scale, Text, hookimpl

Five = tuple[Text, Text, Text, Text, Text]

SATISFACTION: Five = (
    {"en": "Very dissatisfied", "it": "Molto insoddisfacente", "pl": "Bardzo niezadowoleni"},
    {"en": "Rather dissatisfied", "it": "Piuttosto insoddisfacente", "pl": "Raczej niezadowoleni"},
    {
        "en": "Neither satisfied nor dissatisfied",
        "it": "Né soddisfacente né insoddisfacente",
        "pl": "Ani zadowoleni, ani niezadowoleni",
    },
    {"en": "Rather satisfied", "it": "Piuttosto soddisfacente", "pl": "Raczej zadowoleni"},
    {"en": "Very satisfied", "it": "Molto soddisfacente", "pl": "Bardzo zadowoleni"},
)

AGREEMENT: Five = (
    {"en": "Strongly disagree", "it": "Per niente d’accordo", "pl": "Zdecydowanie się nie zgadzam"},
    {"en": "Rather disagree", "it": "Poco d’accordo", "pl": "Raczej się nie zgadzam"},
    {"en": "Neither agree nor disagree", "it": "Né d’accordo né in disaccordo", "pl": "Ani tak, ani nie"},
    {"en": "Rather agree", "it": "Abbastanza d’accordo", "pl": "Raczej się zgadzam"},
    {"en": "Strongly agree", "it": "Del tutto d’accordo", "pl": "Zdecydowanie się zgadzam"},
)


@dataclass(frozen=True)
class Csat(QuestionType):
    """Satisfaction from 1 to 5."""

    key = "csat"
    label = "Satisfaction (1 to 5)"
    template = "survey/questions/csat.html"

    points: Five = SATISFACTION
    """What 1 to 5 mean, the worst first."""
    labelled: Literal["each", "ends"] = "each"
    """Whether each point shows its text, or only the first and the last."""

    def read(self, form: Form, name: str) -> int | None:
        """The point chosen, 1 to 5."""
        return _level(form, name, range(1, 6))

    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """The point itself."""
        return {"": (Scale.RATING, (1.0, 2.0, 3.0, 4.0, 5.0))}

    def score(self, value: Any, suffix: str = "") -> float | None:
        """The point."""
        return None if value is None else float(value)

    def texts(self) -> Mapping[str, Text]:
        """The five points."""
        return _numbered("points", self.points)


@dataclass(frozen=True)
class Nps(QuestionType):
    """Likelihood to recommend, from 0 to 10 (Reichheld 2003)."""

    key = "nps"
    label = "Recommendation (0 to 10)"
    template = "survey/questions/nps.html"
    wording: ClassVar[Text | None] = {
        "en": "How likely are you to recommend us to a friend or colleague?",
        "it": "Con quale probabilità ci consiglierebbe ad amici o colleghi?",
        "pl": "Jak bardzo prawdopodobne jest, że polecą nas Państwo znajomym lub współpracownikom?",
    }

    low: Text = field(
        default_factory=lambda: {
            "en": "Not at all likely",
            "it": "Per niente probabile",
            "pl": "Zupełnie nieprawdopodobne",
        }
    )
    high: Text = field(
        default_factory=lambda: {
            "en": "Extremely likely",
            "it": "Estremamente probabile",
            "pl": "Niezwykle prawdopodobne",
        }
    )

    def read(self, form: Form, name: str) -> int | None:
        """The level chosen, 0 to 10."""
        return _level(form, name, range(11))

    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """The level itself, and `net`: -100, 0 or 100, whose mean is the net promoter score."""
        return {
            "": (Scale.RATING, tuple(float(level) for level in range(11))),
            "net": (Scale.RATING, (-100.0, 0.0, 100.0)),
        }

    def score(self, value: Any, suffix: str = "") -> float | None:
        """The level, or 100 for promoters (9, 10), 0 for passives (7, 8), -100 for detractors (0 to 6)."""
        if value is None or suffix == "":
            return None if value is None else float(value)
        return 100.0 if value >= 9 else 0.0 if value >= 7 else -100.0

    def texts(self) -> Mapping[str, Text]:
        """The two ends."""
        return {"low": self.low, "high": self.high}


@dataclass(frozen=True)
class Statement:
    """One row of a grid."""

    key: str
    text: Text


@dataclass(frozen=True)
class LikertGrid(QuestionType):
    """Several statements on one scale from 1 to 5."""

    key = "likert-grid"
    label = "Statements (1 to 5)"
    template = "survey/questions/grid.html"

    statements: tuple[Statement, ...]
    points: Five = AGREEMENT
    """What 1 to 5 mean, the least agreement first."""

    def __post_init__(self) -> None:
        _check_keys([row.key for row in self.statements])

    def read(self, form: Form, name: str) -> dict[str, int] | None:
        """The point of each statement answered, by its key."""
        levels = {row.key: _level(form, f"{name}.{row.key}", range(1, 6)) for row in self.statements}
        return {key: level for key, level in levels.items() if level is not None} or None

    def unanswered(self, value: Any, name: str) -> list[str]:
        """The rows without a point."""
        return [f"{name}.{row.key}" for row in self.statements if row.key not in (value or {})]

    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """Each statement by its key, and the mean over all of them."""
        rows, points = len(self.statements), (1.0, 2.0, 3.0, 4.0, 5.0)
        mean = tuple(total / rows for total in range(rows, 5 * rows + 1))
        return {"": (Scale.RATING, mean)} | {row.key: (Scale.RATING, points) for row in self.statements}

    def score(self, value: Any, suffix: str = "") -> float | None:
        """The point of one statement; the mean only where every statement has one."""
        found = value or {}
        if suffix:
            return None if suffix not in found else float(found[suffix])
        levels = [found[row.key] for row in self.statements if row.key in found]
        return sum(levels) / len(levels) if len(levels) == len(self.statements) else None

    def texts(self) -> Mapping[str, Text]:
        """Statements and points."""
        statements = {f"statements[{number}].text": row.text for number, row in enumerate(self.statements)}
        return statements | _numbered("points", self.points)


@dataclass(frozen=True)
class Option:
    """One possible answer of a choice."""

    key: str
    text: Text


@dataclass(frozen=True)
class Choice(QuestionType):
    """One of several options."""

    key = "choice"
    label = "Single choice"
    template = "survey/questions/choice.html"

    options: tuple[Option, ...]
    other: Text | None = None
    """Label of a last option with a field for the customer's own words."""

    longest_other = 200

    def __post_init__(self) -> None:
        _check_keys([option.key for option in self.options] + (["other"] if self.other else []))

    def read(self, form: Form, name: str) -> dict[str, str] | None:
        """`{"option": key}`, with the customer's words as `text` beside the option `other`.

        Own words without an option chosen mean `other`.
        """
        chosen = form.get(name) or ""
        words = _words(form.get(f"{name}.other") or "", self.longest_other) if self.other else ""
        if not chosen and not words:
            return None
        if words and chosen in ("", "other"):
            return {"option": "other", "text": words}
        if chosen not in {key for key, _text in self.choices()}:
            raise InputError(_("Please choose one of the answers"))
        return {"option": chosen}

    def choices(self) -> list[tuple[str, Text]]:
        """Key and text of everything that can be chosen, `other` last."""
        found = [(option.key, option.text) for option in self.options]
        return [*found, ("other", self.other)] if self.other else found

    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """For each option: chosen or not."""
        return {key: (Scale.BINARY, (0.0, 1.0)) for key, _text in self.choices()}

    def score(self, value: Any, suffix: str = "") -> float | None:
        """1 for the option chosen and 0 for the others."""
        return None if value is None else float(value["option"] == suffix)

    def texts(self) -> Mapping[str, Text]:
        """Options, and the label of the last one."""
        options = {f"options[{number}].text": option.text for number, option in enumerate(self.options)}
        return options | ({"other": self.other} if self.other else {})


@dataclass(frozen=True)
class Comment(QuestionType):
    """A few words of the customer's own."""

    key = "comment"
    label = "Comment"
    template = "survey/questions/comment.html"

    max_length: Annotated[int, Field(ge=1, le=5000)] = 1000
    """Characters."""

    def read(self, form: Form, name: str) -> str | None:
        """The words, without control characters and outer blanks."""
        return _words(form.get(name) or "", self.max_length) or None

    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """Words are not compared by number."""
        return {}

    def score(self, value: Any, suffix: str = "") -> float | None:
        """None."""
        return None

    def texts(self) -> Mapping[str, Text]:
        """None."""
        return {}


def _level(form: Form, name: str, levels: range) -> int | None:
    posted = form.get(name)
    if not posted:
        return None
    if posted not in map(str, levels):
        raise InputError(_("Please choose one of the answers"))
    return int(posted)


def _words(posted: str, longest: int) -> str:
    """Free text as it is kept: line breaks and tabs stay, other control characters (NUL among them) go."""
    lines = posted.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(sign for sign in lines if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs"))
    words = kept.strip()
    if len(words) > longest:
        raise InputError(
            _(
                "This text has %(length)s characters, and at most %(longest)s fit here",
                length=len(words),
                longest=longest,
            )
        )
    return words


def _numbered(name: str, texts: Sequence[Text]) -> dict[str, Text]:
    return {f"{name}[{number}]": text for number, text in enumerate(texts)}


def _check_keys(keys: list[str]) -> None:
    """Keys of statements and options become names of fields in the form."""
    if not keys:
        raise ValueError("at least one is needed")
    for number, key in enumerate(keys):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", key):
            raise ValueError(f"{key!r} is no key: it takes small letters, digits and hyphens, and begins with a letter")
        if key in keys[:number]:
            raise ValueError(f"the key {key!r} is used twice")


@hookimpl
def register_question_types() -> list[type[QuestionType]]:
    """All question types the product ships."""
    return [Csat, Nps, LikertGrid, Choice, Comment]
