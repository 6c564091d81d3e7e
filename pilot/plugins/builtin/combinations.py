"""Built-in segment rules that are made of others: all of them, one of them, the contrary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import sqlalchemy as sa
from flask_babel import gettext as _
from pydantic import Field

from pilot.api import NestedRule, NestedRules, SegmentRule, hookimpl, rules_from


@hookimpl
def register_segment_rules() -> list[type[SegmentRule]]:
    """And, or, not."""
    return [AllOf, AnyOf, Not]


class _Combination(SegmentRule):
    """A rule over other rules, the only setting: `{"rules": [{"rule": KEY, "settings": {...}}, ...]}`."""

    rules: tuple[SegmentRule, ...]

    @classmethod
    def restore(cls, settings: Mapping[str, Any], *, place: str = "") -> Self:
        """The combination with its rules; an error names the place of the inner one, as `rules[0].amount`."""
        inner = {"rules": rules_from(settings["rules"], place)} if "rules" in settings else {}
        return super().restore({**settings, **inner}, place=place)

    def inner(self) -> tuple[SegmentRule, ...]:
        """The rules it combines."""
        return self.rules

    def _inner(self) -> list[str]:
        """The sentences of the inner rules, combinations in brackets."""
        told = [(rule, rule.sentence()) for rule in self.rules]
        return [f"({text})" if isinstance(rule, AllOf | AnyOf) and len(rule.rules) > 1 else text for rule, text in told]


@dataclass(frozen=True)
class AllOf(_Combination):
    """Customers whom every one of the rules takes."""

    key: ClassVar[str] = "all-of"
    label: ClassVar[str] = "All of these"

    rules: NestedRules

    def condition(self) -> sa.ColumnElement[bool]:
        """All of the rules."""
        return sa.and_(*(rule.condition() for rule in self.rules))

    def keeps(self) -> sa.ColumnElement[bool]:
        """All of the rules, each in its wider sense."""
        return sa.and_(*(rule.keeps() for rule in self.rules))

    def sentence(self) -> str:
        """The rules, joined by `and`."""
        word = _("and")
        return f" {word} ".join(self._inner())


@dataclass(frozen=True)
class AnyOf(_Combination):
    """Customers whom at least one of the rules takes."""

    key: ClassVar[str] = "any-of"
    label: ClassVar[str] = "At least one of these"

    rules: NestedRules

    def condition(self) -> sa.ColumnElement[bool]:
        """Any of the rules."""
        return sa.or_(*(rule.condition() for rule in self.rules))

    def keeps(self) -> sa.ColumnElement[bool]:
        """Any of the rules in its wider sense."""
        return sa.or_(*(rule.keeps() for rule in self.rules))

    def sentence(self) -> str:
        """The rules, joined by `or`."""
        word = _("or")
        return f" {word} ".join(self._inner())


@dataclass(frozen=True)
class Not(_Combination):
    """Customers whom the rule does not take, those included of whom it knows nothing. Its band has no effect here."""

    key: ClassVar[str] = "not"
    label: ClassVar[str] = "Not this"

    rules: Annotated[tuple[NestedRule, ...], Field(min_length=1, max_length=1)]

    def condition(self) -> sa.ColumnElement[bool]:
        """The contrary of the rule; what the database leaves open counts as not matched."""
        return sa.not_(sa.func.coalesce(self.rules[0].condition(), sa.false()))

    def sentence(self) -> str:
        """The rule after `not`."""
        return str(_("not (%(rule)s)", rule=self.rules[0].sentence()))
