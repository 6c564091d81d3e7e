"""The contract of order engines: whoever keeps the orders and touches in bulk answers these questions about them.

The store (`pilot.customers.orderstore`) knows which pieces of facts count, because committed imports name them; an
engine knows how pieces are kept and asked.

An order is the lines of one customer with one order number. Cancelled lines count for nothing: its value is the sum of
the others, its day the first of theirs, and it counts as a whole where that day falls. An order with no other lines was
cancelled, on the first day of its lines. What a later piece says of an order (its customer and number) replaces what
earlier ones said, and so does what it says of a touch with a number. Touches often have none: then those of a customer
on one day through one channel of one kind are replaced. A piece may go on with an earlier one: then it is as late as
that, and what both say counts together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from pilot.parts import Part

SCHEMAS = {
    "orders": {
        "customer_ref": "VARCHAR",
        "order_ref": "VARCHAR",
        "ordered_on": "DATE",
        "amount": "DECIMAL(18,4)",
        "cancelled": "BOOLEAN",
    },
    "touches": {
        "customer_ref": "VARCHAR",
        "happened_on": "DATE",
        "channel": "VARCHAR",
        "kind": "VARCHAR",
        "minutes": "DOUBLE",
        "cost": "DECIMAL(18,4)",
        "touch_ref": "VARCHAR",
    },
}
"""The columns of each kind of facts, in their order. Pieces of touches from before they had a number lack `touch_ref`."""

IDENTITY = {
    "orders": ("customer_ref", "order_ref"),
    "touches": ("customer_ref", "happened_on", "channel", "kind"),
}
"""What a later piece replaces as a whole; of touches only those without a `touch_ref`, else by that and the customer."""

SCALE = 10_000
"""Facts have four decimal places: times this they are whole numbers."""


class Measure(StrEnum):
    """What can be measured of each customer in a window of days."""

    REVENUE = "revenue"
    """Money of the orders of the window: what remains of them."""
    ORDERS = "orders"
    """Number of orders of which something remains."""
    COST = "cost"
    """What the touches cost."""
    MINUTES = "minutes"
    """How long the touches took."""
    RETAINED = "retained"
    """1 for whoever has such an order, else 0."""


class Piece(NamedTuple):
    """One immutable piece of facts: the number of the import it belongs to, and the name its engine gave it.

    `continues` is the number of the import that this one goes on with; None if it stands for itself.
    """

    number: int
    name: str
    continues: int | None = None

    @property
    def precedence(self) -> int:
        """Of all pieces that tell of the same, those of the highest precedence count, all together."""
        return self.number if self.continues is None else self.continues


class Retold(NamedTuple):
    """What one piece changes of what the others tell without it.

    `shared` is how many orders (or touches, by what identifies them) they tell of too; `number` how many of these count
    otherwise with it, `before` and `after` their money without it and with it.
    """

    shared: int
    number: int
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """What counts at this moment: the pieces of each kind, by number, and the folder of the store."""

    root: Path
    pieces: Mapping[str, Sequence[Piece]]


class Member(NamedTuple):
    """A customer whose facts are asked for.

    `peers` names the customers it is compared with: those with the same name; None for no comparison. `mark` is a
    number of the asker's own that comes back with the profile.
    """

    id: int
    ref: str
    peers: str | None = None
    mark: int = 0


class FactProfile(NamedTuple):
    """What the facts tell of a customer as of a day; see `CustomerProfile` for what the fields mean.

    `recent_from` is the order day that the last three intervals count from; None below five order days. `touched` is
    JSON text.
    """

    id: int
    mark: int
    frequency: int
    cancelled: int
    monetary: float
    revenue_year: float
    revenue_before: float
    first_order: date | None
    last_order: date | None
    order_days: int
    recent_from: date | None
    touches_year: int
    minutes_year: float
    cost_year: float
    touched: str
    peer_revenue: float | None
    peer_count: int
    value_rank: int | None


class SumRow(NamedTuple):
    """n, sum and sum of squares of a measure in one arm and stratum, as whole numbers: of values times `SCALE`."""

    arm: str
    stratum: str
    n: int
    total: int
    squares: int


class ContactRow(NamedTuple):
    """What one customer had of one channel in a window of days."""

    ref: str
    channel: str
    touches: int
    minutes: float


class MonthRow(NamedTuple):
    """One calendar month of all members.

    `at_start` is how many had ordered in the twelve months before it; `lost` how many of them had their twelfth month
    in a row without an order in it. `month` counts from the year 0: year times 12 plus month, less one.
    """

    month: int
    orders: int
    revenue: float
    customers: int
    new: int
    at_start: int
    lost: int


class CohortRow(NamedTuple):
    """How many of the members whose first order fell into `first` ordered `after` months later."""

    first: int
    after: int
    customers: int


class ChannelRow(NamedTuple):
    """What one channel did in the twelve months: customers touched, touches, minutes and cost."""

    channel: str
    customers: int
    touches: int
    minutes: float
    cost: float


class Concentration(NamedTuple):
    """Where revenue sits: the sum of the `n` best for each `n` asked for, the sum of all, and the Gini index.

    Revenue below zero counts as zero. The Gini index is None where the sum of all is zero.
    """

    best: Sequence[Decimal]
    total: Decimal
    gini: float | None


class Study(ABC):
    """The facts of some members as of a day, taken together once and asked several times."""

    @abstractmethod
    def profiles(self) -> Iterator[FactProfile]:
        """One row for each member, with and without facts, by id."""

    @abstractmethod
    def months(self) -> list[MonthRow]:
        """Every month from the first order to the one of the day, without gaps."""

    @abstractmethod
    def cohorts(self, since: int) -> list[CohortRow]:
        """Who ordered again, for members whose first order fell into the month `since` or later."""

    @abstractmethod
    def channels(self) -> list[ChannelRow]:
        """Touches of the twelve months up to the day, by channel, the dearest first."""

    @abstractmethod
    def concentration(self, best: Sequence[int]) -> Concentration:
        """How the revenue of the twelve months spreads over the members; `best` in ascending order."""


class OrderEngine(Part):
    """Keeps orders and touches in bulk and answers what is asked of them.

    All sums are exact: the same facts give the same bits, however the work is shared out. Nothing is kept of a
    customer but its number.
    """

    @abstractmethod
    def load(self, root: Path, kind: str, rows: Iterable[Sequence[Any]]) -> str:
        """Keep rows (values in the order of `SCHEMAS`) as a new piece, durably; its name. Nothing stays on failure.

        Rows of touches may leave off `touch_ref`, all of them.
        """

    @abstractmethod
    def take(self, root: Path, kind: str, path: Path) -> str:
        """Keep the rows of a Parquet file that has the columns of `SCHEMAS` as a new piece, durably; its name.

        The file is used up.
        """

    @abstractmethod
    def rewrite(
        self, root: Path, kind: str, name: str, without: Collection[str], renamed: Mapping[str, str]
    ) -> str | None:
        """Keep a new generation of a piece: without some customers, others under their new number.

        Returns:
            The name of the new piece; None if the old one holds none of these customers.
        """

    @abstractmethod
    def retire(self, root: Path, name: str) -> None:
        """Note that a piece counts no longer. Whoever reads it goes on reading it until `sweep`."""

    @abstractmethod
    def sweep(self, root: Path, keep: Collection[str], older: timedelta) -> int:
        """Remove what does not count and has not been made or retired within this time; how many pieces."""

    @abstractmethod
    def refs(self, root: Path, name: str) -> Iterator[str]:
        """The different customers in one piece, in the order of bytes."""

    @abstractmethod
    def size(self, root: Path, name: str) -> int:
        """The number of rows in one piece."""

    @abstractmethod
    def contradicted(self, facts: Facts, kind: str, number: int) -> bool:
        """Whether pieces of a higher precedence say otherwise of what the piece of this number tells of."""

    @abstractmethod
    def retold(self, facts: Facts, kind: str, piece: Piece, path: Path | None = None) -> Retold:
        """What a piece changes of what the others tell.

        Args:
            facts: All pieces; this one may be among them.
            kind: `orders` or `touches`.
            piece: The one that is asked about.
            path: The Parquet file that would become it, as `take` is given one; None if it is a piece already.
        """

    @abstractmethod
    def rows_of(self, facts: Facts, kind: str, ref: str) -> list[tuple[Any, ...]]:
        """The rows of one customer, newest first: values in the order of `SCHEMAS`, without its number and `touch_ref`."""

    @abstractmethod
    def last_order_day(self, facts: Facts) -> date | None:
        """The day of the newest order that was not cancelled; None if there is no order."""

    @abstractmethod
    def sums(
        self, facts: Facts, units: Sequence[tuple[str, str, str]], measure: Measure, start: date, end: date
    ) -> list[SumRow]:
        """Sums of a measure by arm and stratum over all units (customer, arm, stratum); who has no facts counts as zero.

        The window is from `start` to the day before `end`.
        """

    @abstractmethod
    def contacts(self, facts: Facts, refs: Sequence[str], start: date, end: date) -> list[ContactRow]:
        """The touches of these customers from `start` to the day before `end`, by customer and channel, in that order."""

    @abstractmethod
    def study(self, facts: Facts, as_of: date, members: Iterable[Member]) -> AbstractContextManager[Study]:
        """Take together what the facts up to and including `as_of` tell of these members."""

    def faults(self) -> list[str]:
        """What a trial of every question on a handful of facts finds wrong."""
        from pilot.customers import trial

        return trial.faults(self)
