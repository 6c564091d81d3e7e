"""Use cases of the customer base: importing, profiling, segmenting, and saying who is eligible for a pilot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app

from pilot import config
from pilot.accounts.service import SYSTEM, Actor, record
from pilot.customers import alerts, base, facts, movements, profile
from pilot.customers import segments as segmenting
from pilot.customers.intake import imports as intake
from pilot.customers.intake.merging import Progress
from pilot.customers.intake.opening import opened
from pilot.customers.intake.queries import read_query
from pilot.customers.intake.requests import ImportResult, Request, check_rejects, digest_of, silent
from pilot.customers.intake.understanding import Overrules
from pilot.customers.intake.undoing import undo
from pilot.customers.models import Customer, CustomerProfile, Import, Segment
from pilot.customers.orderstore import store
from pilot.customers.segments import SegmentCounts
from pilot.db import Transaction, db, transaction
from pilot.errors import InputError, NotFound

__all__ = [
    "KINDS",
    "STRATUM_FIELDS",
    "ImportResult",
    "Overrules",
    "SegmentCounts",
    "base_summary",
    "correct_facts",
    "customer_count",
    "eligible",
    "erase_facts",
    "evaluate_segments",
    "import_file",
    "import_of",
    "import_source",
    "imports",
    "keep_current",
    "last_order_day",
    "planned_on",
    "rebuild_profiles",
    "register_plans",
    "resume_import",
    "segments",
    "sentence",
    "set_segments",
    "sweep_facts",
    "undo_import",
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
    overrules: Overrules | None = None,
    strict: bool = False,
    dry_run: bool = False,
    rejects: Path | None = None,
    progress: Progress = silent,
    upload: str = "",
) -> ImportResult:
    """Take a file into the base. The same file again changes nothing.

    Orders and touches are taken in as one act. Customers are, page by page, in an import that can be gone on with
    where it was interrupted (`resume_import`) or undone (`undo_import`).

    Args:
        actor: Who does it.
        kind: `customers`, `orders` or `touches`.
        path: The file.
        mapping: Their column by our field name, for columns that are not found by themselves.
        importer: Key of the importer; by default the one that recognises the file.
        overrules: What else of the file is known and not to be found out.
        strict: Take all rows or none; by default the good ones are taken and the bad ones refused.
        dry_run: Only say what would happen.
        rejects: Where to write refused rows with their reasons, as CSV; the file is made with the first of them.
        progress: Hears how many rows are done, and of how many.
        upload: The upload whose order this is.

    Raises:
        InputError: The file cannot be read, or `strict` and a row was refused. Nothing is taken over then.
        StateError: Another import of customers is running or was interrupted, or somebody else imported the same
            file at the same moment.
    """
    actor.require("operations")
    told = overrules or Overrules()
    if mapping:
        told = dataclasses.replace(told, columns={**told.columns, **mapping})
    chosen = opened(kind, path, told, importer)
    sha256 = digest_of(path)
    known = intake.earlier(kind, sha256)
    if known is not None and not dry_run:
        intake.check_reading(known, told)
        return intake.same_again(known)
    check_rejects(path, rejects)
    request = Request(actor, kind, path.name, chosen.key, sha256, told, strict, dry_run, rejects, progress, upload)
    return intake.take(request, chosen.read(path, kind))


def import_source(
    actor: Actor,
    kind: str,
    source: str,
    *,
    overrules: Overrules | None = None,
    strict: bool = False,
    dry_run: bool = False,
    rejects: Path | None = None,
    progress: Progress = silent,
    upload: str = "",
) -> ImportResult:
    """Take in what a configured database answers (`PILOT_SOURCES`), as `import_file` does a file.

    The same rows again change nothing, in whatever order they come.

    Raises:
        InputError: There is no such source or query, the database does not answer, or what `import_file` raises.
        StateError: As `import_file` raises it.
    """
    actor.require("operations")
    told = overrules or Overrules()
    told.check()
    request = Request(actor, kind, source, "database", "", told, strict, dry_run, rejects, progress, upload)
    return intake.take(request, read_query(source, kind))


def resume_import(actor: Actor, import_id: int, *, progress: Progress = silent) -> ImportResult:
    """Go on with an interrupted import of customers where it stopped. Rows that are done are not looked at again.

    Raises:
        NotFound: There is no such import.
        StateError: It was not interrupted, or somebody is going on with it already.
    """
    actor.require("operations")
    return intake.go_on(actor, import_of(import_id), progress)


def undo_import(actor: Actor, import_id: int) -> int:
    """Take an import back as one act: customers it made go, those it changed are as before, its facts count no more.

    What a person has changed since stays as it is.

    Returns:
        How many customers went or changed back, or how many rows of facts count no more.

    Raises:
        NotFound: There is no such import.
        StateError: It is undone already or still running, a later import changed the same customers, or a customer it
            made is part of a pilot.
    """
    actor.require("operations")
    return undo(actor, import_of(import_id))


def imports(limit: int = 50, before: int | None = None) -> list[Import]:
    """The newest imports; with `before`, those older than that one."""
    query = sa.select(Import).order_by(Import.id.desc()).limit(limit)
    return list(db.session.scalars(query if before is None else query.where(Import.id < before)))


def import_of(import_id: int) -> Import:
    """One import, as it stands now.

    Raises:
        NotFound: There is none of this number.
    """
    entry = db.session.get(Import, import_id, populate_existing=True)
    if entry is None:
        raise NotFound(f"there is no import {import_id}", remedy="List them with pilot import --list")
    return entry


def rebuild_profiles(actor: Actor, as_of: date, *, wrote: Callable[[int], None] = lambda customers: None) -> int:
    """Make the profile of every customer anew, as of a day, whose own orders count, and place all in their segments.

    One act: if it fails, the profiles that stood stand.

    Args:
        actor: Who does it.
        as_of: The day.
        wrote: Hears from time to time how many profiles are written.

    Returns:
        How many customers there are.
    """
    actor.require("operations", "analyst")
    margin = config.current().gross_margin
    # The order store does its work first: on SQLite nobody else writes while the transaction is open.
    with store().study(as_of, profile.members()) as study, transaction() as work, facts.remembered() as earlier:
        totals = profile.write(study.profiles(), as_of, margin, wrote)
        base.keep(base.summed_up(totals, study, as_of, margin), as_of)
        record(actor, "profiled", "base", as_of=as_of.isoformat(), customers=totals.customers)
        alerts.tell(earlier, work)
        if segments():
            _evaluate(actor, work, earlier)  # segments of another day would let the wrong customers in
    return totals.customers


def erase_facts(actor: Actor, refs: Collection[str]) -> int:
    """Forget all orders and touches of these customers. The profiles follow when they are made anew.

    Returns:
        How many files of the order store were written anew.
    """
    actor.require("operations")
    with transaction():
        written = store().erase(refs)
        record(actor, "facts erased", "base", customers=len(refs), files=written)
    return written


def correct_facts(actor: Actor, renamed: Mapping[str, str]) -> int:
    """Give the orders and touches of customers to others: old customer number to new.

    For a number that was changed, or two customers that turned out to be one.

    Returns:
        How many files of the order store were written anew.
    """
    actor.require("operations")
    with transaction():
        written = store().correct(renamed)
        record(actor, "facts corrected", "base", renamed=len(renamed), files=written)
    return written


def sweep_facts() -> bool:
    """Remove files of the order store that count no longer. A job; it never has more to do."""
    store().sweep()
    return False


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
        if not segments():
            raise InputError("there are no segments yet", remedy="Define them with pilot segments --set FILE")
        return _evaluate(actor, work)


def _evaluate(actor: Actor, work: Transaction, earlier: sa.Table | None = None) -> SegmentCounts:
    found = segmenting.evaluate(segments(), work, earlier)
    record(actor, "segments evaluated", "base", counts=found.counts, moved=found.moved)
    return found


def keep_current() -> bool:
    """Once a day, profile the base and put everybody in the right segment; let go whom no experiment holds any more.

    A job; see `PILOT_DAILY_PROFILES`. It never has more to do. Profiles that a plan was made for stay as they are until
    its customers are drawn.
    """
    profiled, today = segmenting.profiled_on(), config.today()
    if config.current().daily_profiles and profiled is not None and profiled < today and not planned_on(profiled):
        rebuild_profiles(SYSTEM, today)
    elif segments() and movements.releasable():
        evaluate_segments(SYSTEM)
    return False


def register_plans(app: Flask, planned: Callable[[date], Sequence[str]]) -> None:
    """Say which experiments wait for their draw from the profiles of a day; they lie above the base."""
    app.extensions["pilot.plans"] = planned


def planned_on(day: date) -> list[str]:
    """The keys of the experiments that wait for their draw from the profiles of this day."""
    planned = current_app.extensions.get("pilot.plans")
    return list(planned(day)) if planned else []


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
    placed = _counted(CustomerProfile.segment)
    return {
        "customers": customer_count(),
        **base.latest(),
        "segments": {segment.key: placed.get(segment.key, 0) for segment in segments()},
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


def _counted(column: sa.orm.InstrumentedAttribute[Any]) -> dict[str, int]:
    rows = db.session.execute(sa.select(column, sa.func.count()).group_by(column))
    return {row[0]: row[1] for row in rows}
