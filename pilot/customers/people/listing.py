"""The list of customers: found by words and filters, in any order, page by page, at any size.

A page begins after the last line of the one before it, by key and id (never by counting lines off), and counting stops
at `COUNTED`. Up to so many customers that fit are all fetched by their keys and sorted; where there are more, they are
so common that walking the index of the order meets a page of them soon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from pilot.accounts.service import Actor, record
from pilot.customers.bulk import batches
from pilot.customers.models import LIST_KEYS, SEARCH_INDEX, Customer, CustomerProfile, ListedCustomer, ListMark
from pilot.customers.people.listkeys import GAPS, alphabetical, words
from pilot.db import db, transaction
from pilot.errors import InputError

COLUMNS = (
    "ref",
    "name",
    "city",
    "region",
    "sales_rep",
    "segment",
    "channel",
    "activity",
    "last_order",
    "frequency",
    "revenue_year",
    "contribution_year",
    "potential",
    "email",
    "phone",
    "language",
    "sector",
    "size",
)
"""What can be shown, in this order; sorted by are those in `LIST_KEYS`."""
SHOWN = ("ref", "name", "city", "segment", "activity", "last_order", "revenue_year")
"""What is shown unless somebody chooses."""
SIZES = (25, 50, 100)
COUNTED = 10_000
READERS = ("operations", "analyst", "viewer", "agent")
EXPORTERS = ("operations", "analyst")
UNKNOWN = "-"
"""As the value of a filter: those for whom it is not known."""
WORDS_READ = 8
RANGES = ("revenue_from", "revenue_to", "ordered_from", "ordered_to")
_EQUAL = ("segment", "activity", "region", "sales_rep", "channel")
_CHOICES = 300
_OF_PROFILE = {column.name for column in sa.inspect(CustomerProfile).c}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What somebody wants to see of the list.

    Attributes:
        search: Words, or beginnings of words, of customer number, name, e-mail, city or phone; a customer has them all.
        segment, activity, region, sales_rep, channel: The value, `UNKNOWN` for none; empty for all.
        missing: A field of `GAPS` that is empty.
        pilot: Key of a pilot that the customer is in.
        revenue_from, revenue_to: Revenue of the last twelve months, both inclusive.
        ordered_from, ordered_to: Day of the last order, both inclusive.
        sort, descending: One of `LIST_KEYS`, and which way.
        columns: Of `COLUMNS`.
        size: Lines to a page, one of `SIZES`.
    """

    search: str = ""
    segment: str = ""
    activity: str = ""
    region: str = ""
    sales_rep: str = ""
    channel: str = ""
    missing: str = ""
    pilot: str = ""
    revenue_from: float | None = None
    revenue_to: float | None = None
    ordered_from: date | None = None
    ordered_to: date | None = None
    sort: str = "revenue_year"
    descending: bool = True
    columns: tuple[str, ...] = SHOWN
    size: int = 50

    def __post_init__(self) -> None:
        """Refuse what the list does not have."""
        for name, value, known in (("sort", self.sort, LIST_KEYS), ("size", self.size, SIZES)):
            if value not in known:
                raise InputError(f"{name} cannot be {value!r}", remedy=f"Choose from {', '.join(map(str, known))}")
        if self.missing and self.missing not in GAPS:
            raise InputError(f"{self.missing!r} is not kept track of", remedy=f"Choose from {', '.join(GAPS)}")
        if unknown := [name for name in self.columns if name not in COLUMNS]:
            raise InputError(f"there is no column {unknown[0]!r}", remedy=f"Choose from {', '.join(COLUMNS)}")

    def narrows(self) -> dict[str, Any]:
        """What keeps customers out of the list: the filters that are set, by name."""
        how = ("sort", "descending", "columns", "size")
        return {name: value for name, value in asdict(self).items() if name not in how and value not in ("", None)}


class Place(NamedTuple):
    """A line's place in the order: the value it is sorted by, and the customer's id."""

    value: Any
    customer_id: int


class Line(NamedTuple):
    """A customer with its profile, None before the first one was made."""

    customer: Customer
    profile: CustomerProfile | None

    def value(self, column: str) -> Any:
        """What stands in one of `COLUMNS`; None where it is not known."""
        if column in _OF_PROFILE:
            return getattr(self.profile, column, None)
        return getattr(self.customer, column) or None


@dataclass(frozen=True, slots=True)
class ListPage:
    """Some lines of the list.

    Attributes:
        lines: The customers, in order.
        count: How many there are in all, or at least that many.
        capped: Whether there are more than `count`.
        after, before: Where the next and the previous page begin; None where there is none.
    """

    lines: list[Line]
    count: int
    capped: bool
    after: Place | None
    before: Place | None


class Pilots(NamedTuple):
    """What the room of the experiments tells of who is in them."""

    names: Callable[[], dict[str, str]]
    """The names of those that were drawn, by key."""
    members: Callable[[str], sa.Select[Any]]
    """The ids of the customers in the one of this key."""


def register_pilots(app: Flask, pilots: Pilots) -> None:
    """Say which pilots there are and who is in them; experiments lie above customers and are not imported here."""
    app.extensions["pilot.memberships"] = pilots


def pilots() -> dict[str, str]:
    """The names of pilots that customers were drawn into, by key."""
    found: Pilots | None = current_app.extensions.get("pilot.memberships")
    return found.names() if found else {}


def find(query: ListQuery, *, after: Place | None = None, before: Place | None = None) -> ListPage:
    """One page of the list: the first, the one after a line, or the one before a line."""
    wanted = _Wanted(query)
    backwards = before is not None
    places = list(islice(wanted.places(before or after, query.descending != backwards, query.size + 1), query.size + 1))
    more, places = len(places) > query.size, places[: query.size]
    if backwards:
        places.reverse()
    last, first = (places[-1], places[0]) if places else (None, None)
    return ListPage(
        _lines(places),
        *wanted.count(),
        last if backwards or more else None,
        first if (more if backwards else after is not None) else None,
    )


def export(actor: Actor, query: ListQuery) -> Iterator[Line]:
    """All lines of the list, in its order, read as they are taken. That it was exported is recorded at once.

    Raises:
        Forbidden: The actor's roles read lists, but take none away.
    """
    actor.require(*EXPORTERS)
    with transaction():
        narrows = {name: str(value) for name, value in query.narrows().items()}
        record(actor, "exported", "customers", columns=list(query.columns), **narrows)
    wanted = _Wanted(query)
    return (line for some in batches(wanted.places(None, query.descending, 1000)) for line in _lines(some))


def fitting(query: ListQuery) -> list[sa.ColumnElement[bool]]:
    """What a query asks of `ListedCustomer`, for others who work on the same customers."""
    return _Wanted(query).conditions


def choices(name: str) -> list[str]:
    """The different values of a filter, by the alphabet, at most some hundreds; "" among them for those not known."""
    column = getattr(ListedCustomer, name)
    # From each value to the next greater one through the index: as quick with millions of customers as with ten.
    steps = sa.select(sa.func.min(column).label("value")).cte("steps", recursive=True)
    greater = sa.select(sa.func.min(column)).where(column > steps.c.value).scalar_subquery()
    steps = steps.union_all(sa.select(greater).where(steps.c.value.is_not(None)))
    found = sa.select(steps.c.value).where(steps.c.value.is_not(None)).limit(_CHOICES)
    return sorted(db.session.scalars(found), key=alphabetical)


class _Wanted:
    """The customers that a query is about: how many, and their places in its order.

    Attributes:
        conditions: What it asks of `ListedCustomer`; empty if it asks for all.
    """

    def __init__(self, query: ListQuery) -> None:
        self._query = query
        self._sqlite = db.session.get_bind().dialect.name == "sqlite"
        self._key = getattr(ListedCustomer, query.sort)
        self._terms = words(query.search)[:WORDS_READ]
        self._common = False
        self._searched = [self._said() if self._terms else sa.false()] if query.search.strip() else []
        self.conditions = [*_filters(query), *self._searched]
        self._sought = self._by_rarest()
        self._counted = _count(self._sought) if self.conditions and not self._many_say_so() else None

    def count(self) -> tuple[int, bool]:
        """How many, and whether there are more."""
        if self.conditions:
            return (COUNTED, True) if self._counted is None else self._counted
        mark = db.session.get(ListMark, 1)
        return (mark.customers if mark else 0), False

    def places(self, start: Place | None, descending: bool, pace: int) -> Iterator[Place]:
        """The places after this one, in order, read so many at a time."""
        if self._counted is not None and not self._counted[1]:
            return self._sorted(start, descending)
        return self._walked(start, descending, pace)

    def _sorted(self, start: Place | None, descending: bool) -> Iterator[Place]:
        rows = db.session.execute(sa.select(self._key, ListedCustomer.customer_id).where(*self._sought))
        places = sorted(map(Place._make, rows), reverse=descending)
        if start is None:
            return iter(places)
        return (place for place in places if (place < start if descending else place > start))

    def _walked(self, start: Place | None, descending: bool, pace: int) -> Iterator[Place]:
        place = sa.tuple_(self._key, ListedCustomer.customer_id)
        order = (self._key, ListedCustomer.customer_id)
        walk = sa.select(*order).where(*self._met_in_order()).limit(pace)
        walk = walk.order_by(*(key.desc() for key in order) if descending else order)
        while True:
            bound = [] if start is None else [place < start if descending else place > start]
            some = [Place(*row) for row in db.session.execute(walk.where(*bound))]
            yield from some
            if len(some) < pace:
                return
            start = some[-1]

    def _met_in_order(self) -> list[sa.ColumnElement[bool]]:
        """The conditions so that they are asked of each line in the order, and no index of another column is used.

        SQLite knows nothing of how common a value is, and would rather sort a million lines than walk past some.
        """
        if not self._sqlite:
            return self.conditions
        return [*_filters(self._query, lambda name: _plus(name) if name != self._query.sort else None), *self._searched]

    def _by_rarest(self) -> list[sa.ColumnElement[bool]]:
        """The conditions so that SQLite seeks by the filter that the fewest meet, if it is known without counting long."""
        asked = [name for name in _EQUAL if getattr(self._query, name)]
        if not self._sqlite or len(asked) < 2:
            return self.conditions
        met = {name: _count([each])[0] for name, each in zip(asked, self.conditions, strict=False)}
        rarest = min(met, key=met.__getitem__)
        if met[rarest] == COUNTED:
            return self.conditions
        return [*_filters(self._query, lambda name: _plus(name) if name != rarest else None), *self._searched]

    def _said(self) -> sa.ColumnElement[bool]:
        """Whether a customer has words that begin with all of the terms, asked of the search index."""
        if not self._sqlite:
            terms = " & ".join(f"'{term}':*" for term in self._terms)
            return ListedCustomer.words.op("@@", is_comparison=True)(sa.cast(terms, TSQUERY))
        met = sa.and_(*(ListedCustomer.words.contains(f" {term}") for term in self._terms))
        hits = self._hits([term for term in self._terms if len(term) > 1])
        if hits is not None and len(db.session.scalars(hits.limit(COUNTED + 1)).all()) <= COUNTED:
            return ListedCustomer.customer_id.in_(hits) & met
        # So common that whoever is met in the order is asked, rather than a list made of all.
        self._common = True
        return met

    def _hits(self, terms: list[str]) -> sa.Select[tuple[int]] | None:
        """Those of whom the index says that they have all terms; a single letter is not asked: all have it."""
        if not terms:
            return None
        index = sa.table(SEARCH_INDEX, sa.column("rowid", sa.Integer), sa.column(SEARCH_INDEX, sa.String))
        asked = " ".join(f'"{term}"*' for term in terms)
        return sa.select(index.c.rowid).where(index.c[SEARCH_INDEX].op("MATCH", is_comparison=True)(asked))

    def _many_say_so(self) -> bool:
        """Whether it is known, without counting, that there are more than are counted."""
        return self._common and len(self.conditions) == 1


def _filters(query: ListQuery, column: Callable[[str], Any] = lambda name: None) -> Iterator[sa.ColumnElement[bool]]:
    """What the filters ask, of the columns themselves or of what stands for them."""

    def of(name: str) -> Any:
        other = column(name)
        return getattr(ListedCustomer, name) if other is None else other

    for name in _EQUAL:
        if value := getattr(query, name):
            yield of(name) == ("" if value == UNKNOWN else value)
    if query.missing:
        yield of("missing").op("&")(1 << GAPS.index(query.missing)) != 0
    if query.pilot:
        known: Pilots | None = current_app.extensions.get("pilot.memberships")
        yield of("customer_id").in_(known.members(query.pilot)) if known else sa.false()
    if query.revenue_from is not None:
        yield of("revenue_year") >= query.revenue_from
    if query.revenue_to is not None:
        yield of("revenue_year") <= query.revenue_to
    if query.ordered_to is not None:
        # Whoever never ordered is not meant. One range, for SQLite seeks by the first lower bound that it is told.
        yield of("last_order").between(query.ordered_from or date(1, 1, 2), query.ordered_to)
    elif query.ordered_from is not None:
        yield of("last_order") >= query.ordered_from


def _plus(name: str) -> Any:
    """The column behind a plus sign, which on SQLite changes nothing but that no index is used for it."""
    column = getattr(ListedCustomer, name)
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def _count(conditions: Sequence[sa.ColumnElement[bool]]) -> tuple[int, bool]:
    some = sa.select(ListedCustomer.customer_id).where(*conditions).limit(COUNTED + 1).subquery()
    found = db.session.scalar(sa.select(sa.func.count()).select_from(some)) or 0
    return min(found, COUNTED), found > COUNTED


def _lines(places: Sequence[Place]) -> list[Line]:
    """The customers at these places as they are now; who has gone meanwhile is left out."""
    ids = [place.customer_id for place in places]
    rows = db.session.execute(
        sa.select(Customer, CustomerProfile)
        .outerjoin(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        .where(Customer.id.in_(ids))
    )
    found = {row[0].id: Line(*row) for row in rows}
    return [found[number] for number in ids if number in found]
