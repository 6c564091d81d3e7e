"""The contract of segment rules, and rules within rules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field, InstanceOf, PlainSerializer, WithJsonSchema
from sqlalchemy.sql import visitors

from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.people.listkeys import alphabetical
from pilot.customers.scratch import table_of
from pilot.errors import InputError
from pilot.parts import Part
from pilot.plugins.manager import plugins

__all__ = [
    "MAX_DEPTH", "MAX_RULES", "NestedRule", "NestedRules", "SegmentRule", "alphabetical", "columns_of", "most_valuable",
    "rule_from", "rules_from",
]  # fmt: skip

MAX_DEPTH = 5
MAX_RULES = 20

_ROUNDING = 1e-6
"""Seven tenths of ten customers are seven, whatever binary fractions make of it."""


class SegmentRule(Part):
    """Decides from the profile whether a customer belongs. Evaluated by the database, at any number of customers."""

    @abstractmethod
    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over `CustomerProfile` (and `Customer`, which is joined)."""

    @abstractmethod
    def sentence(self) -> str:
        """The rule in words, in the language of the page, e.g. `revenue of the last twelve months below 5,000`."""

    def keeps(self) -> sa.ColumnElement[bool]:
        """What lets a customer who is in the segment already stay: true wherever `condition()` is, and perhaps wider.

        So somebody who stands about the limit does not cross it to and fro.
        """
        return self.condition()

    def inner(self) -> Sequence[SegmentRule]:
        """The rules it is made of, whose own outcomes explain this one's; none where it looks at the customer itself."""
        return ()

    @classmethod
    def choices(cls, setting: str) -> Sequence[str]:
        """The values that a setting is likely to have, for the form; none where it is free."""
        return ()

    def faults(self) -> list[str]:
        """Whether `keeps()` lets everybody stay whom `condition()` lets in, tried on profiles about the limits."""
        from pilot.customers.segmenting.rulecheck import kept_out

        try:
            lost = kept_out(self.condition(), self.keeps())
        except sa.exc.SQLAlchemyError as error:
            return [f"its condition cannot be evaluated: {str(error).partition(chr(10))[0]}"]
        return [f"keeps() lets {lost} of the profiles go that condition() lets in"] if lost else []


def most_valuable(share: float) -> sa.ColumnElement[bool]:
    """The share of all profiled customers with most revenue of the last twelve months, up to a whole customer."""
    customers = sa.select(sa.func.count()).select_from(sa.alias(table_of(CustomerProfile)))
    return CustomerProfile.value_rank - 1 < customers.scalar_subquery() * share - _ROUNDING


def columns_of(expression: sa.ColumnElement[Any]) -> list[sa.Column[Any]]:
    """The columns of profile and customer that an expression looks at, by table and name."""
    nodes = [node for node in visitors.iterate(expression) if isinstance(node, sa.Column)]
    seen = {(node.table.key, node.key) for node in nodes if isinstance(node.table, sa.Table)}
    tables = [table_of(model) for model in (CustomerProfile, Customer)]
    return [column for table in tables for column in table.columns if (table.key, column.key) in seen]


def rule_from(raw: object, place: str) -> SegmentRule:
    """A rule out of its stored form, `{"rule": KEY, "settings": {...}}`.

    Raises:
        InputError: The rule does not exist or its settings do not fit; the place names it.
    """
    if isinstance(raw, SegmentRule):
        return raw
    if not isinstance(raw, Mapping) or not isinstance(raw.get("rule"), str):
        raise InputError("this is not a rule", place=place, remedy='Write {rule = "...", settings = {...}}')
    for name in raw.keys() - {"rule", "settings"}:
        raise InputError(f"a rule has no {name!r}", place=f"{place}.{name}", remedy="A rule has rule and settings")
    settings = raw.get("settings", {})
    if not isinstance(settings, Mapping):
        raise InputError("settings are names with values", place=f"{place}.settings", remedy="Write settings = {...}")
    part: type[SegmentRule] = plugins().get("segment_rules", raw["rule"], place=f"{place}.rule")
    return part.restore(settings, place=place)


def rules_from(raw: object, place: str) -> object:
    """The rules of a combination out of their stored form; what is no list is left for the settings' own check.

    Raises:
        InputError: One of them does not exist or fit, or they are nested too deep.
    """
    if not isinstance(raw, list | tuple):
        return raw
    if place.count(".rules[") >= MAX_DEPTH:
        raise InputError("rules are nested too deep", place=place, remedy=f"Use at most {MAX_DEPTH} levels")
    return tuple(rule_from(item, f"{place}.rules[{number}]") for number, item in enumerate(raw))


def _stored(rule: SegmentRule) -> dict[str, Any]:
    return {"rule": rule.key, "settings": rule.settings()}


NestedRule = Annotated[
    InstanceOf[SegmentRule],
    PlainSerializer(_stored, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object"}),
]
"""A rule as a setting of another: stored as `{"rule": KEY, "settings": {...}}`."""

NestedRules = Annotated[tuple[NestedRule, ...], Field(min_length=1, max_length=MAX_RULES)]
