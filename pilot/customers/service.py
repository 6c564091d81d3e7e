"""Use cases of the customer base: profiling and segmenting it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app

from pilot import config
from pilot.accounts.service import SYSTEM, Actor, record
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.orderstore import store
from pilot.customers.people.duplicates import shared_values
from pilot.customers.profiling import base, freshness, pictures, profile
from pilot.customers.profiling.freshness import sensible_day
from pilot.customers.segmenting import alerts, facts, movements
from pilot.customers.segmenting import segments as segmenting
from pilot.customers.segmenting.segments import SegmentCounts
from pilot.db import Transaction, db, transaction
from pilot.errors import InputError

__all__ = [
    "SegmentCounts",
    "base_summary",
    "change_channel",
    "correct_facts",
    "customer_count",
    "draw_pictures",
    "erase_facts",
    "evaluate_segments",
    "give_segments",
    "keep_current",
    "last_order_day",
    "planned_on",
    "rebuild_profiles",
    "register_plans",
    "segments",
    "sensible_day",
    "sentence",
    "set_segments",
    "shared_values",
    "sweep_facts",
]


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


def draw_pictures() -> bool:
    """Draw the pictures of the base ahead of whoever looks at them. A job; it never has more to do."""
    summary = base_summary()
    if summary["profiled"]:
        pictures.draw_ahead(summary)
    return False


def erase_facts(actor: Actor, refs: Collection[str]) -> int:
    """Forget all orders and touches of these customers. The profiles follow when they are made anew.

    Returns:
        How many files of the order store were written anew.
    """
    return _rewrite(actor, "facts erased", lambda: store().erase(refs), customers=len(refs))


def correct_facts(actor: Actor, renamed: Mapping[str, str]) -> int:
    """Give the orders and touches of customers to others: old customer number to new.

    For a number that was changed, or two customers that turned out to be one.

    Returns:
        How many files of the order store were written anew.
    """
    return _rewrite(actor, "facts corrected", lambda: store().correct(renamed), renamed=len(renamed))


def _rewrite(actor: Actor, action: str, rewrite: Callable[[], int], **told: int) -> int:
    actor.require("operations")
    with transaction():
        files = rewrite()
        record(actor, action, "base", **told, files=files)
    return files


def sweep_facts() -> bool:
    """Remove files of the order store that count no longer. A job; it never has more to do."""
    store().sweep()
    return False


def set_segments(actor: Actor, definitions: Sequence[Mapping[str, Any]], *, place: str = "") -> movements.Outcome:
    """Define the segments, in order of precedence, in the place of those there are. Evaluate them afterwards.

    Where the channel of a segment changes, the handling of those who are in it follows, by movements.

    Args:
        actor: Who does it.
        definitions: For each: key, name, rule, settings and channel.
        place: The file they stand in, for errors.

    Returns:
        How many customers got such a movement, and what became of it.

    Raises:
        InputError: A rule, channel or setting does not exist or does not fit; nothing is changed then.
    """
    actor.require("operations")
    checked = segmenting.check(definitions, place)
    with transaction() as work:
        followed = segmenting.store(checked, work)
        record(actor, "segments set", "base", segments=[definition.model_dump() for definition in checked])
    return followed


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
    """Once a day, and after every import and undo, profile the base and put everybody in the right segment.

    It also lets go whom no experiment holds any more. A job; see `PILOT_DAILY_PROFILES`. It never has more to do.
    Profiles that a plan was made for stay as they are until its customers are drawn.
    """
    profiled = segmenting.profiled_on()
    if config.current().daily_profiles and profiled is not None and not planned_on(profiled):
        day = sensible_day()
        if profiled < day or freshness.outdated():
            rebuild_profiles(SYSTEM, day)
            return False
    if segments() and movements.releasable():
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


def _counted(column: sa.orm.InstrumentedAttribute[Any]) -> dict[str, int]:
    rows = db.session.execute(sa.select(column, sa.func.count()).group_by(column))
    return {row[0]: row[1] for row in rows}


def change_channel(customers: Collection[int], channel: str) -> int:
    """Let these customers be handled by a channel from now on, in the caller's transaction.

    Who is held by an experiment is left as it is, for the next time.

    Returns:
        How many are handled otherwise than before.
    """
    with transaction() as work:
        return movements.change_channel(customers, channel, work)


def give_segments(actor: Actor, keys: Collection[str], channel: str) -> None:
    """Let who enters these segments from now on be handled by this channel.

    Raises:
        InputError: There is no such channel; nothing is changed then.
    """
    names = ("key", "name", "rule", "settings", "settle_days", "approval")
    set_segments(
        actor,
        [
            {
                **{name: getattr(segment, name) for name in names},
                "channel": channel if segment.key in keys else segment.channel,
            }
            for segment in segments()
        ],
    )
