"""Built-in segment rules with a limit: revenue, orders, rhythm, cost, rank."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from flask_babel import format_decimal, lazy_gettext, ngettext
from flask_babel import gettext as _
from pydantic import Field

from pilot.api import CustomerProfile, SegmentRule, hookimpl, most_valuable

Amount = Annotated[float, Field(gt=0)]
Number = Annotated[int, Field(ge=1)]
Band = Annotated[float, Field(ge=0, lt=1)]


@hookimpl
def register_segment_rules() -> list[type[SegmentRule]]:
    """Rules that compare one number of the profile with a limit."""
    return [
        RevenueBelow,
        RevenueAtLeast,
        RevenueBetween,
        OrdersAtLeast,
        OrdersAtMost,
        SilentAtLeast,
        SilentAtMost,
        ContributionBelow,
        ContributionAtLeast,
        CostAtLeast,
        PotentialAtLeast,
        SlowsDown,
        TopNumber,
        TopShare,
    ]


@dataclass(frozen=True)
class _Limit(SegmentRule):
    """A limit on one column of the profile: the first setting.

    Attributes:
        band: Share of the limit by which somebody in the segment may miss it and still stay.
    """

    column: ClassVar[str]
    words: ClassVar[Any]
    """The rule in words, with `%(amount)s` for its limit; a rule that counts says its sentence itself."""

    band: Band = field(default=0.0, kw_only=True)

    @property
    def _value(self) -> sa.ColumnElement[float]:
        return getattr(CustomerProfile, self.column)  # type: ignore[no-any-return]

    @property
    def _limit(self) -> float:
        first = next(setting for setting in dataclasses.fields(self) if setting.name != "band")
        return float(getattr(self, first.name))

    def sentence(self) -> str:
        """The rule in words."""
        return str(self.words) % {"amount": format_decimal(self._limit)}


class _AtLeast(_Limit):
    """The column reaches the limit."""

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return self._value >= self._limit

    def keeps(self) -> sa.ColumnElement[bool]:
        """The same with the limit lowered by the band."""
        return self._value >= self._limit * (1 - self.band)


class _AtMost(_Limit):
    """The column does not exceed the limit."""

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return self._value <= self._limit

    def keeps(self) -> sa.ColumnElement[bool]:
        """The same with the limit raised by the band."""
        return self._value <= self._limit * (1 + self.band)


class _Below(_Limit):
    """The column stays below the limit."""

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return self._value < self._limit

    def keeps(self) -> sa.ColumnElement[bool]:
        """The same with the limit raised by the band."""
        return self._value < self._limit * (1 + self.band)


@dataclass(frozen=True)
class RevenueBelow(_Below):
    """Customers whose revenue of the last twelve months is below an amount."""

    key: ClassVar[str] = "revenue-below"
    label: ClassVar[str] = "Revenue below"
    column: ClassVar[str] = "revenue_year"
    words: ClassVar[Any] = lazy_gettext("revenue of the last twelve months below %(amount)s")

    amount: Amount


@dataclass(frozen=True)
class RevenueAtLeast(_AtLeast):
    """Customers whose revenue of the last twelve months reaches an amount."""

    key: ClassVar[str] = "revenue-at-least"
    label: ClassVar[str] = "Revenue at least"
    column: ClassVar[str] = "revenue_year"
    words: ClassVar[Any] = lazy_gettext("revenue of the last twelve months at least %(amount)s")

    amount: Amount


@dataclass(frozen=True)
class RevenueBetween(SegmentRule):
    """Customers whose revenue of the last twelve months lies from one amount to below another."""

    key: ClassVar[str] = "revenue-between"
    label: ClassVar[str] = "Revenue between"

    amount: Annotated[float, Field(ge=0)]
    below: Amount
    band: Band = 0.0

    def __post_init__(self) -> None:
        if self.below <= self.amount:
            raise ValueError("the upper amount must be above the lower one")

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return self._within(self.amount, self.below)

    def keeps(self) -> sa.ColumnElement[bool]:
        """The same with both limits moved outwards by the band."""
        return self._within(self.amount * (1 - self.band), self.below * (1 + self.band))

    def _within(self, lower: float, upper: float) -> sa.ColumnElement[bool]:
        return sa.and_(CustomerProfile.revenue_year >= lower, CustomerProfile.revenue_year < upper)

    def sentence(self) -> str:
        """The rule in words."""
        limits = {"amount": format_decimal(self.amount), "below": format_decimal(self.below)}
        return str(_("revenue of the last twelve months from %(amount)s to below %(below)s", **limits))


@dataclass(frozen=True)
class OrdersAtLeast(_AtLeast):
    """Customers with at least so many orders ever."""

    key: ClassVar[str] = "orders-at-least"
    label: ClassVar[str] = "Orders at least"
    column: ClassVar[str] = "frequency"

    orders: Number

    def sentence(self) -> str:
        """The rule in words."""
        return str(ngettext("at least %(num)s order", "at least %(num)s orders", self.orders))


@dataclass(frozen=True)
class OrdersAtMost(_AtMost):
    """Customers with at most so many orders ever, none included."""

    key: ClassVar[str] = "orders-at-most"
    label: ClassVar[str] = "Orders at most"
    column: ClassVar[str] = "frequency"

    orders: Annotated[int, Field(ge=0)]

    def sentence(self) -> str:
        """The rule in words."""
        return str(ngettext("at most %(num)s order", "at most %(num)s orders", self.orders))


@dataclass(frozen=True)
class SilentAtLeast(_AtLeast):
    """Customers whose last order was so many days ago or longer; whoever never ordered is none of them."""

    key: ClassVar[str] = "last-order-at-least"
    label: ClassVar[str] = "Days since the last order at least"
    column: ClassVar[str] = "recency_days"

    days: Number

    def sentence(self) -> str:
        """The rule in words."""
        return str(ngettext("last order %(num)s day ago or longer", "last order %(num)s days ago or longer", self.days))


@dataclass(frozen=True)
class SilentAtMost(_AtMost):
    """Customers who ordered within so many days."""

    key: ClassVar[str] = "last-order-at-most"
    label: ClassVar[str] = "Days since the last order at most"
    column: ClassVar[str] = "recency_days"

    days: Annotated[int, Field(ge=0)]

    def sentence(self) -> str:
        """The rule in words."""
        return str(ngettext("last order within %(num)s day", "last order within %(num)s days", self.days))


@dataclass(frozen=True)
class ContributionBelow(_Below):
    """Customers who left less than an amount after cost to serve; a loss is less than any amount."""

    key: ClassVar[str] = "contribution-below"
    label: ClassVar[str] = "Contribution below"
    column: ClassVar[str] = "contribution_year"
    words: ClassVar[Any] = lazy_gettext("contribution of the last twelve months below %(amount)s")

    amount: Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class ContributionAtLeast(_AtLeast):
    """Customers who left at least an amount after cost to serve."""

    key: ClassVar[str] = "contribution-at-least"
    label: ClassVar[str] = "Contribution at least"
    column: ClassVar[str] = "contribution_year"
    words: ClassVar[Any] = lazy_gettext("contribution of the last twelve months at least %(amount)s")

    amount: Amount


@dataclass(frozen=True)
class CostAtLeast(_AtLeast):
    """Customers whom it cost at least an amount to serve."""

    key: ClassVar[str] = "cost-at-least"
    label: ClassVar[str] = "Cost to serve at least"
    column: ClassVar[str] = "cost_year"
    words: ClassVar[Any] = lazy_gettext("cost to serve of the last twelve months at least %(amount)s")

    amount: Amount


@dataclass(frozen=True)
class PotentialAtLeast(_AtLeast):
    """Customers to whom at least an amount is missing against the best of their peers."""

    key: ClassVar[str] = "potential-at-least"
    label: ClassVar[str] = "Potential at least"
    column: ClassVar[str] = "potential"
    words: ClassVar[Any] = lazy_gettext("potential against peers at least %(amount)s")

    amount: Amount


@dataclass(frozen=True)
class SlowsDown(_AtLeast):
    """Customers whose last intervals between orders are longer than those before, by a factor."""

    key: ClassVar[str] = "interval-change-at-least"
    label: ClassVar[str] = "Slows down by a factor of at least"
    column: ClassVar[str] = "interval_change"
    words: ClassVar[Any] = lazy_gettext("last intervals at least %(amount)s times those before")

    factor: Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class TopNumber(_AtMost):
    """The so many customers with most revenue of the last twelve months."""

    key: ClassVar[str] = "value-rank-at-most"
    label: ClassVar[str] = "Among the most valuable, by number"
    column: ClassVar[str] = "value_rank"

    customers: Number

    def sentence(self) -> str:
        """The rule in words."""
        return str(ngettext("the most valuable customer", "among the %(num)s most valuable customers", self.customers))


@dataclass(frozen=True)
class TopShare(SegmentRule):
    """The share of all customers with most revenue of the last twelve months, rounded up to a whole customer."""

    key: ClassVar[str] = "value-share-at-most"
    label: ClassVar[str] = "Among the most valuable, by share"

    share: Annotated[float, Field(gt=0, le=1)]
    band: Band = 0.0

    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over the profile."""
        return most_valuable(self.share)

    def keeps(self) -> sa.ColumnElement[bool]:
        """The same with the share widened by the band."""
        return most_valuable(self.share * (1 + self.band))

    def sentence(self) -> str:
        """The rule in words."""
        return str(_("among the most valuable %(share)s %% of all customers", share=format_decimal(100 * self.share)))
