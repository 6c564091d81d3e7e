"""The contract of question types."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from pilot.analysis import Scale
from pilot.parts import Part

Text = dict[str, str]
"""A text in several languages: `{"en": ..., "it": ..., "pl": ...}`."""


class Form(Protocol):
    """What a posted form offers; Werkzeug's `MultiDict` does."""

    def get(self, key: str, /) -> str | None:
        """The first value of a field."""

    def getlist(self, key: str, /) -> list[str]:
        """All values of a field."""


class QuestionType(Part):
    """One kind of question: drawn by a template, read from a form, scored.

    Its fields are what differs between two questions of the kind: options, statements, labels of the ends.

    Attributes:
        template: Name of the template that draws the question, legend included. It gets `question` (key, label,
            help, required), `part` (this object), `typed(field)`: what the customer has entered into a field of
            the form so far, `errors`: sentences by field, and `text(...)`, which picks the language of a `Text`.
            Fields are named by the question's key, or `<key>.<something>` where it takes more than one.
        wording: Standard wording, used as the label where a definition gives none.
    """

    template: ClassVar[str]
    wording: ClassVar[Text | None] = None

    @abstractmethod
    def read(self, form: Form, name: str) -> Any:
        """The value posted under `name` as JSON, or None if the question was left empty. Zero is an answer.

        Raises:
            InputError: What was posted is none of the possible answers; the reason is in the customer's language.
        """

    def unanswered(self, value: Any, name: str) -> list[str]:
        """The fields of the form that still lack an answer, for a question that requires one."""
        return [name] if value is None else []

    @abstractmethod
    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """What can be compared: suffix (`""` for the question itself) to scale and possible scores, ascending."""

    @abstractmethod
    def score(self, value: Any, suffix: str = "") -> float | None:
        """The value as a number for one of `outcomes`, or None if this answer has none."""

    @abstractmethod
    def texts(self) -> Mapping[str, Text]:
        """All texts of the settings by their place in them, so that a missing language can be named."""
