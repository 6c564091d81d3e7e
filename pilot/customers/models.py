"""The base in the application's database: customers, their profile, segments, movements, imports.

Orders and touches in bulk are not here but in the order store (`pilot.customers.orderstore`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pilot.db import Model


def _bytewise(longest: int) -> sa.String:
    """Text compared and sorted by its bytes on every database, as Python and DuckDB sort it."""
    return sa.String(longest).with_variant(sa.String(longest, collation="C"), "postgresql")


class Customer(Model):
    """Who is sold to. `ref` is the company's own customer number and joins to the order store."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(_bytewise(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    phone: Mapped[str | None] = mapped_column(sa.String(40))
    language: Mapped[str | None] = mapped_column(sa.String(2))
    region: Mapped[str | None] = mapped_column(sa.String(80))
    sales_rep: Mapped[str | None] = mapped_column(sa.String(80))
    street: Mapped[str | None] = mapped_column(sa.String(200))
    city: Mapped[str | None] = mapped_column(sa.String(80))
    postcode: Mapped[str | None] = mapped_column(sa.String(16))
    legal_entity: Mapped[str | None] = mapped_column(sa.String(40))
    """Tax or VAT number of the company behind the customer: customers with the same one are one legal entity."""
    sector: Mapped[str | None] = mapped_column(sa.String(80))
    size: Mapped[str | None] = mapped_column(sa.String(40))
    """How large the customer's business is, in the company's own classes, such as `1-9 employees`."""
    opted_out_at: Mapped[datetime | None]
    channel: Mapped[str | None] = mapped_column(sa.String(64))
    """Key of the handling channel that looks after the customer; None until a segment has given one."""
    digest: Mapped[str] = mapped_column(sa.String(64))
    """Fingerprint of the imported values: an unchanged row of a re-import is not written again. Empty where unknown."""
    by_hand: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """Fields that staff filled in: they stand against what imports say, unless one is told to overwrite them."""
    created_by_import_id: Mapped[int | None]
    """The import that made the customer. Neither index nor foreign key, which every row of an import would pay for: only
    an undo asks by it, and an import that made customers is never removed."""
    import_id: Mapped[int | None]
    """The import that wrote the customer last."""
    updated_at: Mapped[datetime]

    profile: Mapped[CustomerProfile | None] = relationship(back_populates="customer")


class CustomerChange(Model):
    """What one import, or one person, changed in a customer: the fields that differ, before and after."""

    __tablename__ = "customer_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    import_id: Mapped[int | None] = mapped_column(sa.ForeignKey("imports.id"), index=True)
    """None where a person changed it."""
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(254))
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    by_hand: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """Those of the fields that staff had filled in, and the import overwrote because it was told to."""


class CustomerProfile(Model):
    """What is known of a customer from facts, as of a date. Rebuilt whole; never edited."""

    __tablename__ = "profiles"

    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    as_of: Mapped[date]
    recency_days: Mapped[int | None]
    """Days since the last order; None for a customer who never ordered."""
    frequency: Mapped[int]
    """Number of orders of which something remains that was not cancelled."""
    monetary: Mapped[float]
    """Revenue of those orders."""
    revenue_year: Mapped[float]
    """Revenue of the twelve months up to `as_of`."""
    first_order: Mapped[date | None]
    last_order: Mapped[date | None]
    order_days: Mapped[int] = mapped_column(server_default="0")
    """Number of different days with an order."""
    interval_days: Mapped[float | None]
    """Mean days between order days; None below two of them."""
    interval_change: Mapped[float | None]
    """The last three intervals' mean divided by the mean of those before; above 1 the customer slows down. None below
    four intervals."""
    revenue_before: Mapped[float] = mapped_column(server_default="0")
    """Revenue of the twelve months before the last twelve."""
    cancelled: Mapped[int] = mapped_column(server_default="0")
    """Number of orders that were cancelled whole."""
    touches_year: Mapped[int] = mapped_column(server_default="0")
    minutes_year: Mapped[float] = mapped_column(server_default="0")
    cost_year: Mapped[float] = mapped_column(server_default="0")
    """Touches of the last twelve months, their minutes, and what they cost: the cost to serve."""
    touched: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """The same by channel: `{"field-rep": {"touches": 3, "minutes": 180.0, "cost": 171.0}}`."""
    contribution_year: Mapped[float] = mapped_column(server_default="0")
    """Gross margin of `revenue_year` less `cost_year`; see `PILOT_GROSS_MARGIN`."""
    peer_revenue: Mapped[float | None]
    """Upper quartile of `revenue_year` among those of the same size and region who bought in the year; None with too few
    of them, or where size or region is not known."""
    potential: Mapped[float | None]
    """What is missing to `peer_revenue`; 0 for whoever is above."""
    value_rank: Mapped[int | None]
    """Place by `revenue_year` among all customers, 1 for the most valuable; None without revenue in the year."""
    activity: Mapped[str] = mapped_column(sa.String(16))
    """`new`, `active`, `slowing`, `lapsed`, `lost` or `never`: see `pilot.customers.profiling.profile.activity`."""
    missing: Mapped[list[Any]]
    """Names of the customer's fields that are empty."""
    segment: Mapped[str | None] = mapped_column(sa.String(40), index=True)
    segment_since: Mapped[date | None]
    candidate: Mapped[str | None] = mapped_column(sa.String(40))
    """The segment whose rule matches while the customer is still in another."""
    candidate_since: Mapped[date | None]
    """Since when; None where there is no candidate, whereas `candidate` is None too where no rule matches."""
    candidate_facts: Mapped[dict[str, Any] | None]
    """The values that the rules look at, as they were before that day."""

    customer: Mapped[Customer] = relationship(back_populates="profile")

    @property
    def tenure_days(self) -> int | None:
        """Days since the first order; None for a customer who never ordered."""
        return None if self.first_order is None else (self.as_of - self.first_order).days

    @property
    def basket(self) -> float | None:
        """Mean revenue of an order; None without one."""
        return self.monetary / self.frequency if self.frequency else None


class ListedCustomer(Model):
    """What the customer list searches, filters and sorts by: a copy that follows the base (`pilot.customers.people.listkeys`).

    The customers' own table carries no index for any of it, so that imports need not keep them up. What is not known
    is "", or the lowest value there is, never NULL: so the next page is found by comparing key and id alone.
    """

    __tablename__ = "listed_customers"

    customer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """No foreign key: when a customer goes, its words are still needed to take it out of the search index."""
    written_at: Mapped[datetime]
    """When the customer was changed last, as of this copy."""
    words: Mapped[str] = mapped_column(sa.Text().with_variant(TSVECTOR(), "postgresql"))
    """What the search finds it by: the words of number, name, e-mail and city, without case and accents."""
    ref: Mapped[str] = mapped_column(_bytewise(64))
    name: Mapped[str] = mapped_column(_bytewise(64))
    city: Mapped[str] = mapped_column(_bytewise(64))
    region: Mapped[str] = mapped_column(_bytewise(80))
    sales_rep: Mapped[str] = mapped_column(_bytewise(80))
    channel: Mapped[str] = mapped_column(_bytewise(64))
    segment: Mapped[str] = mapped_column(_bytewise(40))
    activity: Mapped[str] = mapped_column(_bytewise(16))
    frequency: Mapped[int]
    revenue_year: Mapped[float]
    contribution_year: Mapped[float]
    potential: Mapped[float]
    last_order: Mapped[date]
    missing: Mapped[int]
    """The fields that are empty, one bit for each, by their place in `listkeys.GAPS`."""


LIST_KEYS = (
    "ref",
    "name",
    "city",
    "region",
    "sales_rep",
    "channel",
    "segment",
    "activity",
    "frequency",
    "revenue_year",
    "contribution_year",
    "potential",
    "last_order",
)
"""What the customer list can be sorted by, both ways; each has an index."""

for _name in LIST_KEYS:
    sa.Index(f"ix_listed_customers_{_name}", getattr(ListedCustomer, _name), ListedCustomer.customer_id)
FACETS = ("segment", "activity", "region", "channel", "sales_rep", "missing", "revenue_year", "last_order")
"""What filters ask, in one index: several filters at once are counted without reading a line."""
sa.Index("ix_listed_customers_facets", *(getattr(ListedCustomer, name) for name in FACETS))

SEARCH_INDEX = "customer_words"
"""The full-text index over `ListedCustomer.words`, of each database's own kind, which no model can tell of."""

for _dialect, _make in {
    "sqlite": f"CREATE VIRTUAL TABLE {SEARCH_INDEX} USING fts5"
    "(words, content='listed_customers', content_rowid='customer_id', columnsize=0, prefix='2')",
    "postgresql": f"CREATE INDEX {SEARCH_INDEX} ON listed_customers USING gin (words)",
}.items():
    _index: sa.DDL = sa.DDL(_make).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
    sa.event.listen(sa.inspect(ListedCustomer).local_table, "after_create", _index)


class ListMark(Model):
    """How far the copy for the customer list has followed the base. One row."""

    __tablename__ = "list_marks"

    id: Mapped[int] = mapped_column(primary_key=True)
    audit_id: Mapped[int]
    """The newest act of the audit trail when the present or last round began: later ones may have changed the base."""
    cursor: Mapped[int | None]
    """The last customer compared in the round under way; None between rounds."""
    customers: Mapped[int]
    """How many customers there were at the end of the last round."""


class Segment(Model):
    """A rule over the profile with a handling channel. The first that matches, by position, wins."""

    __tablename__ = "segments"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(40), unique=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    position: Mapped[int]
    rule: Mapped[str] = mapped_column(sa.String(64))
    """Key of the segment rule part."""
    settings: Mapped[dict[str, Any]]
    channel: Mapped[str] = mapped_column(sa.String(64))
    """Key of the handling channel part."""
    settle_days: Mapped[int] = mapped_column(default=0, server_default="0")
    """So many days its rule must have matched before a customer crosses into it, so that nobody flaps."""
    approval: Mapped[bool] = mapped_column(default=False, server_default=sa.text("false"))
    """Whether a person must approve that a customer who crosses into it is handled by its channel."""


class Movement(Model):
    """A customer crossing from one segment to another, and what that means for who looks after it."""

    __tablename__ = "movements"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    before: Mapped[str | None] = mapped_column(sa.String(40))
    after: Mapped[str | None] = mapped_column(sa.String(40))
    as_of: Mapped[date | None]
    """The day of the profile that showed it."""
    reason: Mapped[str] = mapped_column(sa.String(200))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    """The profile values that the rules looked at."""
    state: Mapped[str] = mapped_column(sa.String(16), default="applied", server_default="applied", index=True)
    """`proposed` (waits for a person), `held` (the customer is in a running experiment), `applied`, `declined`, or
    `overtaken` by a later movement."""
    channel_before: Mapped[str | None] = mapped_column(sa.String(64))
    channel_after: Mapped[str | None] = mapped_column(sa.String(64))
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(sa.String(254))


class BaseSummary(Model):
    """The base as a whole as of a day: concentration, retention, gaps. One row for each day it was profiled."""

    __tablename__ = "base_summaries"

    as_of: Mapped[date] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]]


class SavedView(Model):
    """A filter, order and choice of columns of the customer list that somebody kept."""

    __tablename__ = "saved_views"
    __table_args__ = (sa.UniqueConstraint("owner", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(sa.String(254))
    name: Mapped[str] = mapped_column(sa.String(80))
    shared: Mapped[bool] = mapped_column(default=False)
    query: Mapped[dict[str, Any]]


class Duplicate(Model):
    """Two customers that are likely one, and what a person decided about them."""

    __tablename__ = "duplicates"
    __table_args__ = (sa.UniqueConstraint("first_id", "second_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    first_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"))
    second_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    reasons: Mapped[list[Any]]
    """What they share: `legal_entity`, `domain`, `address`."""
    state: Mapped[str] = mapped_column(sa.String(16), index=True)
    """`open`, `same` or `different`."""
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(sa.String(254))


class Completion(Model):
    """A customer whose data somebody is to complete: claimed for a while, then done or given back."""

    __tablename__ = "completions"
    __table_args__ = (sa.Index("ix_completions_next", "state", "priority"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), unique=True)
    fields: Mapped[list[Any]]
    """The fields to be completed: what the worker may see and fill in beside name and city."""
    priority: Mapped[float]
    state: Mapped[str] = mapped_column(sa.String(16))
    """`open`, `done`, or `impossible` (the customer could not be reached, or does not tell)."""
    claimed_by: Mapped[str | None] = mapped_column(sa.String(254))
    claimed_until: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(sa.String(400))
    done_at: Mapped[datetime | None]
    done_by: Mapped[str | None] = mapped_column(sa.String(254))


class ConfidentialityAcceptance(Model):
    """Somebody accepted the confidentiality text, word for word the one with this hash."""

    __tablename__ = "confidentiality_acceptances"
    __table_args__ = (sa.UniqueConstraint("actor", "text_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(sa.String(254))
    text_hash: Mapped[str] = mapped_column(sa.String(64))
    at: Mapped[datetime]


class ColumnMap(Model):
    """How people said the columns of a file are to be read, remembered for the next file with the same header."""

    __tablename__ = "column_maps"
    __table_args__ = (sa.UniqueConstraint("kind", "header_digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    header_digest: Mapped[str] = mapped_column(sa.String(64))
    columns: Mapped[dict[str, Any]]
    """Their column by our field name."""
    reading: Mapped[dict[str, Any]]
    """What was overruled: encoding, delimiter, decimal sign, order of day and month."""
    actor: Mapped[str] = mapped_column(sa.String(254))
    at: Mapped[datetime]


class Import(Model):
    """One file taken in: what it was, how it was read, and what became of its rows."""

    __tablename__ = "imports"
    __table_args__ = (
        # The same file of facts is taken in once, however many people import it at the same moment.
        sa.Index(
            "uq_imports_facts",
            "kind",
            "sha256",
            "repeat",
            unique=True,
            sqlite_where=sa.text("fact_file IS NOT NULL"),
            postgresql_where=sa.text("fact_file IS NOT NULL"),
        ),
        # Two imports of customers at once do not mix: the second is refused.
        sa.Index(
            "uq_imports_running",
            "kind",
            unique=True,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    """`customers`, `orders` or `touches`."""
    filename: Mapped[str] = mapped_column(sa.String(255))
    sha256: Mapped[str] = mapped_column(sa.String(64))
    importer: Mapped[str] = mapped_column(sa.String(64))
    reading: Mapped[dict[str, Any]]
    """How the file was read: encoding, delimiter, decimal sign, date order, column map."""
    actor: Mapped[str] = mapped_column(sa.String(254))
    at: Mapped[datetime]
    state: Mapped[str] = mapped_column(sa.String(16), default="done", server_default="done", index=True)
    """`running`, `done`, `failed` or `undone`. A running one whose lease is over was interrupted and can be resumed."""
    total: Mapped[int | None]
    """Good rows to be taken over, once they are counted."""
    accepted: Mapped[int]
    """Rows taken over so far, new or changed."""
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    """Those of them that changed a customer there already was."""
    unchanged: Mapped[int]
    kept: Mapped[int] = mapped_column(default=0, server_default="0")
    """Values that staff had filled in and the file tells otherwise: they stand."""
    replaced: Mapped[int] = mapped_column(default=0, server_default="0")
    """Such values that it overwrote because it was told to."""
    rejected: Mapped[int]
    cursor: Mapped[str | None] = mapped_column(sa.String(64))
    """Customers are taken over by ref in byte order: the last one that is."""
    lease_until: Mapped[datetime | None]
    staged: Mapped[str | None] = mapped_column(sa.String(255))
    """The checked rows waiting to be taken over, relative to the data folder; None when that is done."""
    rejects: Mapped[str | None] = mapped_column(sa.String(255))
    """The refused rows with their reasons, as CSV, relative to the data folder."""
    fact_file: Mapped[str | None] = mapped_column(sa.String(255))
    """The immutable Parquet file of an import of orders or touches, relative to the order store: its present
    generation; None once the import was undone."""
    repeat: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often this very file of facts had been taken in before: once more where a later one had said otherwise."""
    continues: Mapped[int | None]
    """The import of facts it goes on with, by rows that were refused there: what both say counts together."""
    remaining: Mapped[int | None]
    """Rows of facts that are left since customers of it were erased or renumbered; None while it is as it came."""
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(sa.String(254))
    upload: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    """The upload whose order it carries out, so that no order is carried out twice; None where there was none."""
