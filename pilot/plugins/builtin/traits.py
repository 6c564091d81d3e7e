"""Built-in segment rules over what a customer is: region, sector, activity, what is not known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

import sqlalchemy as sa
from flask_babel import gettext as _
from pydantic import Field

from pilot.api import Customer, CustomerProfile, SegmentRule, hookimpl
from pilot.customers.rules import alphabetical
from pilot.db import db

Word = Annotated[str, Field(min_length=1, max_length=80)]
Words = Annotated[tuple[Word, ...], Field(min_length=1, max_length=200)]
Activity = Literal["new", "active", "slowing", "lapsed", "lost", "never"]
FieldName = Literal[
    "email", "phone", "language", "region", "sales_rep", "street", "city", "postcode", "legal_entity", "sector", "size"
]
MOST_CHOICES = 40

_LIST = " / "
"""A comma would not show where the list ends in a sentence of several rules."""


@hookimpl
def register_segment_rules() -> list[type[SegmentRule]]:
    """Rules over what a customer is, and the one that takes everybody left."""
    return [ActivityIs, RegionIs, RepIs, SectorIs, SizeIs, LanguageIs, FieldMissing, Everyone]


@dataclass(frozen=True)
class ActivityIs(SegmentRule):
    """Customers who stand so, each measured by its own rhythm."""

    key: ClassVar[str] = "activity-is"
    label: ClassVar[str] = "Activity is one of"

    states: Annotated[tuple[Activity, ...], Field(min_length=1)]

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return CustomerProfile.activity.in_(self.states)

    def sentence(self) -> str:
        """The rule in words."""
        words = {
            "new": _("new"),
            "active": _("active"),
            "slowing": _("slowing"),
            "lapsed": _("lapsed"),
            "lost": _("lost"),
            "never": _("never ordered"),
        }
        return str(_("activity: %(values)s", values=_LIST.join(words[state] for state in self.states)))

    @classmethod
    def choices(cls, setting: str) -> tuple[str, ...]:
        """The activity states."""
        return get_args(Activity)


@dataclass(frozen=True)
class _OneOf(SegmentRule):
    """Customers one of whose fields holds one of some values."""

    column: ClassVar[str]

    values: Words

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the customer."""
        return getattr(Customer, self.column).in_(self.values)  # type: ignore[no-any-return]

    @classmethod
    def choices(cls, setting: str) -> list[str]:
        """The most frequent of the values that customers have, by the alphabet."""
        column = getattr(Customer, cls.column)
        query = sa.select(column).where(column.is_not(None), column != "").group_by(column)
        found = db.session.scalars(query.order_by(sa.func.count().desc(), column).limit(MOST_CHOICES))
        return sorted(found, key=alphabetical)


@dataclass(frozen=True)
class RegionIs(_OneOf):
    """Customers of some regions."""

    key: ClassVar[str] = "region-is"
    label: ClassVar[str] = "Region is one of"
    column: ClassVar[str] = "region"

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("region: %(values)s", values=_LIST.join(self.values)))


@dataclass(frozen=True)
class RepIs(_OneOf):
    """Customers of some sales reps."""

    key: ClassVar[str] = "sales-rep-is"
    label: ClassVar[str] = "Sales rep is one of"
    column: ClassVar[str] = "sales_rep"

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("sales rep: %(values)s", values=_LIST.join(self.values)))


@dataclass(frozen=True)
class SectorIs(_OneOf):
    """Customers of some sectors."""

    key: ClassVar[str] = "sector-is"
    label: ClassVar[str] = "Sector is one of"
    column: ClassVar[str] = "sector"

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("sector: %(values)s", values=_LIST.join(self.values)))


@dataclass(frozen=True)
class SizeIs(_OneOf):
    """Customers of some sizes, in the company's own classes."""

    key: ClassVar[str] = "size-is"
    label: ClassVar[str] = "Size is one of"
    column: ClassVar[str] = "size"

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("size: %(values)s", values=_LIST.join(self.values)))


@dataclass(frozen=True)
class LanguageIs(_OneOf):
    """Customers who are written to in some languages."""

    key: ClassVar[str] = "language-is"
    label: ClassVar[str] = "Language is one of"
    column: ClassVar[str] = "language"

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("language: %(values)s", values=_LIST.join(self.values)))


@dataclass(frozen=True)
class FieldMissing(SegmentRule):
    """Customers of whom one field is not known."""

    key: ClassVar[str] = "field-missing"
    label: ClassVar[str] = "Field is missing"

    field: FieldName

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the customer."""
        return sa.func.coalesce(getattr(Customer, self.field), "") == ""

    def sentence(self) -> str:
        """The rule in words."""
        words = {
            "email": _("e-mail address"),
            "phone": _("telephone"),
            "language": _("language"),
            "region": _("region"),
            "sales_rep": _("sales rep"),
            "street": _("street"),
            "city": _("city"),
            "postcode": _("postcode"),
            "legal_entity": _("legal entity"),
            "sector": _("sector"),
            "size": _("size"),
        }
        return str(_("not known: %(field)s", field=words[self.field]))

    @classmethod
    def choices(cls, setting: str) -> tuple[str, ...]:
        """The fields of a customer."""
        return get_args(FieldName)


@dataclass(frozen=True)
class Everyone(SegmentRule):
    """All customers that no segment before it took."""

    key: ClassVar[str] = "everyone"
    label: ClassVar[str] = "Everyone else"

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return sa.true()

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("everyone else"))
