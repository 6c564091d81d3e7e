"""Built-in segment rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import sqlalchemy as sa
from flask_babel import format_decimal
from flask_babel import gettext as _
from pydantic import Field

from pilot.api import CustomerProfile, SegmentRule, hookimpl


@hookimpl
def register_segment_rules() -> list[type[SegmentRule]]:
    """Rules over revenue, and the one that takes everybody left."""
    return [RevenueBelow, RevenueAtLeast, Everyone]


@dataclass(frozen=True)
class RevenueBelow(SegmentRule):
    """Customers whose revenue of the last twelve months is below an amount."""

    key: ClassVar[str] = "revenue-below"
    label: ClassVar[str] = "Revenue below"

    amount: Annotated[float, Field(gt=0)]

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return CustomerProfile.revenue_year < self.amount

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("revenue of the last twelve months below %(amount)s", amount=format_decimal(self.amount)))


@dataclass(frozen=True)
class RevenueAtLeast(SegmentRule):
    """Customers whose revenue of the last twelve months reaches an amount."""

    key: ClassVar[str] = "revenue-at-least"
    label: ClassVar[str] = "Revenue at least"

    amount: Annotated[float, Field(gt=0)]

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return CustomerProfile.revenue_year >= self.amount

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("revenue of the last twelve months at least %(amount)s", amount=format_decimal(self.amount)))


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
