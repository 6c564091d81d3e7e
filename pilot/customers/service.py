"""Use cases of the customer base: importing, profiling, segmenting, and saying who is eligible for a pilot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pilot.accounts.service import Actor, record
from pilot.customers import profile
from pilot.customers import segments as segmenting
from pilot.customers.importers import Importer, Reading
from pilot.customers.intake import checks
from pilot.customers.intake.imports import ImportResult, Sieve, Source, digest_of, earlier, take_customers, take_facts
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.orderstore import store
from pilot.customers.segments import SegmentCounts
from pilot.db import db, transaction
from pilot.errors import InputError
from pilot.plugins.manager import plugins

__all__ = [
    "KINDS",
    "STRATUM_FIELDS",
    "ImportResult",
    "SegmentCounts",
    "base_summary",
    "customer_count",
    "eligible",
    "evaluate_segments",
    "import_file",
    "last_order_day",
    "rebuild_profiles",
    "segments",
    "sentence",
    "set_segments",
]

KINDS = ("customers", "orders", "touches")
STRATUM_FIELDS = ("region", "language", "sales_rep", "activity", "revenue_band")
"""What a sample can be layered by; `revenue_band` is the quarter of revenue a customer is in among the eligible."""
UNKNOWN = "unknown"
"""The stratum of customers whose field is empty."""
STRATUM_SEPARATOR = " · "


def import_file(
    actor: Actor,
    kind: str,
    path: Path,
    *,
    mapping: dict[str, str] | None = None,
    importer: str | None = None,
    strict: bool = False,
    dry_run: bool = False,
    rejects: Path | None = None,
) -> ImportResult:
    """Take a file into the base. The same file again changes nothing.

    Args:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        path: The file.
        mapping: Their column by our field name, for columns that are not found by themselves.
        importer: Key of the importer; by default the one that recognises the file.
        strict: Take all rows or none; by default the good ones are taken and the bad ones refused.
        dry_run: Only say what would happen.
        rejects: Where to write refused rows with their reasons, as CSV; the file is made with the first of them.

    Raises:
        InputError: The file cannot be read, or `strict` and a row was refused. Nothing is taken over then.
        StateError: Somebody else imported the same file at the same moment.
    """
    actor.require("operations")
    chosen = _importer(kind, path, mapping, importer)
    sha256 = digest_of(path)
    known = earlier(kind, sha256)
    if known is not None:
        return ImportResult(known.id, kind, 0, known.accepted, known.rejected, known.reading, [], None)
    reading = chosen.read(path, kind)
    assert isinstance(reading, Reading)  # noqa: S101
    source = Source(actor, kind, path, sha256, chosen.key, reading.how)
    with Sieve(path, strict, rejects, reading.header) as sieve:
        if kind == "customers":
            return take_customers(source, checks.customer_records(reading), sieve, dry_run=dry_run)
        records = checks.order_records if kind == "orders" else checks.touch_records
        return take_facts(source, records(reading), sieve, dry_run=dry_run)


def rebuild_profiles(actor: Actor, as_of: date) -> int:
    """Make the profile of every customer anew, as of a day, whose own orders count, and place all in their segments.

    Returns:
        How many customers there are.
    """
    actor.require("operations", "analyst")
    with transaction():
        written = profile.write(store().profile(as_of), as_of)
        record(actor, "profiled", "base", as_of=as_of.isoformat(), customers=written)
        if segments():
            evaluate_segments(actor)  # segments of another day would let the wrong customers in
    return written


def set_segments(actor: Actor, definitions: Sequence[Mapping[str, Any]], *, place: str = "") -> None:
    """Define the segments, in order of precedence, in the place of those there are. Evaluate them afterwards.

    Args:
        actor: Who does it.
        definitions: For each: key, name, rule, settings and channel.
        place: The file they stand in, for errors.

    Raises:
        InputError: A rule, channel or setting does not exist or does not fit; nothing is changed then.
    """
    actor.require("operations")
    checked = segmenting.check(definitions, place)
    with transaction():
        segmenting.store(checked)
        record(actor, "segments set", "base", segments=[definition.model_dump() for definition in checked])


def evaluate_segments(actor: Actor) -> SegmentCounts:
    """Put every profiled customer into its segment, and record who crossed from one to another.

    Raises:
        InputError: There are no segments, or the plugin of a rule is missing.
    """
    actor.require("operations", "analyst")
    with transaction() as work:
        standing = segments()
        if not standing:
            raise InputError("there are no segments yet", remedy="Define them with pilot segments --set FILE")
        found = segmenting.evaluate(standing, work)
        record(actor, "segments evaluated", "base", counts=found.counts, moved=found.moved)
    return found


def segments() -> list[Segment]:
    """The segments in order of precedence."""
    return list(db.session.scalars(sa.select(Segment).order_by(Segment.position)))


def sentence(segment: Segment) -> str:
    """The rule of a segment in words, in the language of the page; its bare key where its plugin is missing."""
    try:
        return segmenting.rule_of(segment).sentence()
    except InputError:
        return segment.rule


def customer_count() -> int:
    """How many customers there are."""
    return db.session.scalar(sa.select(sa.func.count(Customer.id))) or 0


def last_order_day() -> date:
    """The day of the newest order that was not cancelled.

    Raises:
        InputError: There is no order.
    """
    day = store().last_order_day()
    if day is None:
        raise InputError("there are no orders yet", remedy="Import some with pilot import orders FILE")
    return day


def base_summary() -> dict[str, Any]:
    """The base in numbers, as of its last profile, as plain values.

    `share_of_top_fifth` is the share of the revenue of the last twelve months that comes from the fifth of all
    customers who bring most; None where there was no revenue.
    """
    totals = db.session.execute(
        sa.select(
            sa.func.count(CustomerProfile.customer_id),
            sa.func.max(CustomerProfile.as_of),
            sa.func.coalesce(sa.func.sum(CustomerProfile.frequency), 0),
            sa.func.coalesce(sa.func.sum(CustomerProfile.monetary), 0.0),
            sa.func.coalesce(sa.func.sum(CustomerProfile.revenue_year), 0.0),
        )
    ).one()
    profiled, as_of, orders, revenue, revenue_year = totals
    activities = _counted(CustomerProfile.activity)
    return {
        "customers": customer_count(),
        "profiled": profiled,
        "as_of": as_of.isoformat() if as_of else None,
        "orders": orders,
        "revenue": round(revenue, 2),
        "revenue_year": round(revenue_year, 2),
        "share_of_top_fifth": _share_of_top_fifth(profiled, revenue_year),
        "activity": {state: activities.get(state, 0) for state in profile.ACTIVITIES},
        "segments": {segment.key: _counted(CustomerProfile.segment).get(segment.key, 0) for segment in segments()},
        "missing": _missing(),
    }


def eligible(segments: Sequence[str], strata_fields: Sequence[str]) -> list[tuple[str, int, str]]:
    """The customers a pilot can take: of these segments, with an e-mail address, not opted out.

    Args:
        segments: Keys of segments.
        strata_fields: Of `STRATUM_FIELDS`; the label of a stratum joins their values in this order, `unknown` where
            one is empty, and is empty itself where there are no fields. Revenue bands are `revenue 1/4` (lowest) to
            `revenue 4/4`: quarters of the eligible by revenue of the last twelve months, equal revenue in one band.

    Returns:
        Ref, customer id and stratum label of each, by ref in byte order.

    Raises:
        InputError: A field is not one of `STRATUM_FIELDS`.
    """
    for name in strata_fields:
        if name not in STRATUM_FIELDS:
            raise InputError(f"{name!r} cannot be a stratum", remedy=f"Choose from {', '.join(STRATUM_FIELDS)}")
    rows = db.session.execute(
        sa.select(Customer.ref, Customer.id, *(_STRATA[name] for name in strata_fields))
        .join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        .where(CustomerProfile.segment.in_(segments), Customer.email.is_not(None), Customer.opted_out_at.is_(None))
        .order_by(Customer.ref)
    )
    return [
        (ref, number, STRATUM_SEPARATOR.join(value or UNKNOWN for value in strata)) for ref, number, *strata in rows
    ]


_BAND = (sa.func.rank().over(order_by=CustomerProfile.revenue_year) - 1) * 4 // sa.func.count().over() + 1
_STRATA: dict[str, sa.ColumnElement[Any]] = {
    "region": sa.type_coerce(Customer.region, sa.String),
    "language": sa.type_coerce(Customer.language, sa.String),
    "sales_rep": sa.type_coerce(Customer.sales_rep, sa.String),
    "activity": sa.type_coerce(CustomerProfile.activity, sa.String),
    "revenue_band": sa.literal("revenue ") + sa.cast(_BAND, sa.String) + sa.literal("/4"),
}


def _importer(kind: str, path: Path, mapping: dict[str, str] | None, key: str | None) -> Importer:
    """The importer asked for, or the most special one that recognises the file: the last registered."""
    if kind not in KINDS:
        raise InputError(f"{kind!r} cannot be imported", remedy=f"Import {', '.join(KINDS)}")
    fitting = [part for part in plugins().all("importers") if kind in part.kinds and (_takes_map(part) or not mapping)]
    settings = {"columns": mapping} if mapping else {}
    if key is not None:
        part = plugins().get("importers", key)
        if part not in fitting:
            raise InputError(
                f"the importer {key!r} does not read {kind}{' by a column map' if mapping else ''}",
                remedy=f"Choose from {', '.join(part.key for part in fitting)}",
            )
        fitting = [part]
    importers: list[Importer] = [part.restore(settings) for part in reversed(fitting)]
    recognised = (importer for importer in importers if len(importers) == 1 or importer.recognises(path))
    return next(recognised, importers[-1])  # the general one comes last, and says what is wrong with the file


def _takes_map(part: type[Importer]) -> bool:
    return any(setting.name == "columns" for setting in dataclasses.fields(part))  # type: ignore[arg-type]


def _counted(column: sa.orm.InstrumentedAttribute[Any]) -> dict[str, int]:
    rows = db.session.execute(sa.select(column, sa.func.count()).group_by(column))
    return {row[0]: row[1] for row in rows}


def _missing() -> dict[str, int]:
    empty = [sa.func.count().filter(sa.func.coalesce(getattr(Customer, name), "") == "") for name in profile.FIELDS]
    counts = db.session.execute(sa.select(*empty).select_from(Customer)).one()
    return dict(zip(profile.FIELDS, counts, strict=True))


def _share_of_top_fifth(customers: int, revenue_year: float) -> float | None:
    if not revenue_year:
        return None
    best = (
        sa.select(CustomerProfile.revenue_year)
        .order_by(CustomerProfile.revenue_year.desc())
        .limit(math.ceil(customers / 5))
        .subquery()
    )
    top = db.session.scalar(sa.select(sa.func.sum(best.c.revenue_year)))
    return round((top or 0.0) / revenue_year, 4)
