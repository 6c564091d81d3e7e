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

    def get(self, key: str) -> str | None:
        """The first value of a field."""

    def getlist(self, key: str) -> list[str]:
        """All values of a field."""


class QuestionType(Part):
    """One kind of question: rendered by a template, read from a form, scored and summarised.

    Its fields are what differs between two questions of the kind: options, statements, labels of the ends.

    Attributes:
        template: Name of the template that draws the field; it gets `question`, `part`, `name`, `value`,
            `error` and `text`, a function that picks the language.
        answered_by: `single`, `multiple`, `grid` or `text`: the shape of its value.
    """

    template: ClassVar[str]

    @abstractmethod
    def read(self, form: Form, name: str) -> Any:
        """The value posted under `name` as JSON, or None if the question was left empty. Zero is an answer.

        Raises:
            InputError: What was posted is none of the possible answers.
        """

    @abstractmethod
    def outcomes(self) -> Mapping[str, tuple[Scale, Sequence[float]]]:
        """What can be compared: suffix (`""` for the question itself) to scale and possible scores, ascending."""

    @abstractmethod
    def score(self, value: Any, suffix: str = "") -> float | None:
        """The value as a number for one of `outcomes`, or None if this answer has none."""

    @abstractmethod
    def texts(self) -> list[Text]:
        """All texts of the settings, for the check that no language lacks one."""
