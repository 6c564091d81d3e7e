"""The base in the application's database: customers, their profile, segments, movements, imports.

Orders and touches in bulk are not here but in the order store (`pilot.customers.orderstore`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pilot.db import Model

_BYTEWISE = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
"""Text compared and sorted by its bytes on every database, as Python and DuckDB sort it."""


class Customer(Model):
    """Who is sold to. `ref` is the company's own customer number and joins to the order store."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(_BYTEWISE, unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    phone: Mapped[str | None] = mapped_column(sa.String(40))
    language: Mapped[str | None] = mapped_column(sa.String(2))
    region: Mapped[str | None] = mapped_column(sa.String(80))
    sales_rep: Mapped[str | None] = mapped_column(sa.String(80))
    city: Mapped[str | None] = mapped_column(sa.String(80))
    postcode: Mapped[str | None] = mapped_column(sa.String(16))
    opted_out_at: Mapped[datetime | None]
    digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the imported values: an unchanged row of a re-import is not written again."""
    import_id: Mapped[int | None] = mapped_column(sa.ForeignKey("imports.id"))
    updated_at: Mapped[datetime]

    profile: Mapped[CustomerProfile | None] = relationship(back_populates="customer")


class CustomerProfile(Model):
    """What is known of a customer from facts, as of a date. Rebuilt whole; never edited."""

    __tablename__ = "profiles"

    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    as_of: Mapped[date]
    recency_days: Mapped[int | None]
    """Days since the last order; None for a customer who never ordered."""
    frequency: Mapped[int]
    """Number of orders that were not cancelled."""
    monetary: Mapped[float]
    """Revenue of those orders."""
    revenue_year: Mapped[float]
    """Revenue of the twelve months up to `as_of`."""
    first_order: Mapped[date | None]
    last_order: Mapped[date | None]
    interval_days: Mapped[float | None]
    """Mean days between order days; None below two of them."""
    activity: Mapped[str] = mapped_column(sa.String(16))
    """`new`, `active`, `slowing`, `lapsed`, `lost` or `never`: see `pilot.customers.profile.activity`."""
    missing: Mapped[list[Any]]
    """Names of the customer's fields that are empty."""
    segment: Mapped[str | None] = mapped_column(sa.String(40), index=True)

    customer: Mapped[Customer] = relationship(back_populates="profile")


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


class Movement(Model):
    """A customer crossing from one segment to another."""

    __tablename__ = "movements"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    before: Mapped[str | None] = mapped_column(sa.String(40))
    after: Mapped[str | None] = mapped_column(sa.String(40))
    reason: Mapped[str] = mapped_column(sa.String(200))


class Import(Model):
    """One file taken in: what it was, how it was read, and what became of its rows."""

    __tablename__ = "imports"
    __table_args__ = (
        # The same file of facts is taken in once, however many people import it at the same moment.
        sa.Index(
            "uq_imports_facts",
            "kind",
            "sha256",
            unique=True,
            sqlite_where=sa.text("fact_file IS NOT NULL"),
            postgresql_where=sa.text("fact_file IS NOT NULL"),
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
    accepted: Mapped[int]
    """Rows taken over, new or changed."""
    unchanged: Mapped[int]
    rejected: Mapped[int]
    fact_file: Mapped[str | None] = mapped_column(sa.String(255))
    """The immutable Parquet file of an import of orders or touches, relative to the order store."""
