"""Segments: rules in order of precedence over the profile, evaluated by the database at any number of customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pilot import clock
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.rules import SegmentRule
from pilot.customers.scratch import scratch
from pilot.customers.segmenting import movements, rehandling
from pilot.customers.segmenting.facts import Facts
from pilot.customers.segmenting.placing import differing, taken_by
from pilot.db import Transaction, db
from pilot.errors import InputError
from pilot.plugins.manager import plugins

EXAMPLES = 5
MAX_SEGMENTS = 50


class Definition(BaseModel):
    """One segment as a person writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    name: str = Field(min_length=1, max_length=80)
    rule: str
    settings: dict[str, Any] = Field(default_factory=dict)
    channel: str
    settle_days: int = Field(default=0, ge=0, le=366)
    approval: bool = False


@dataclass(frozen=True, slots=True)
class SegmentCounts:
    """Customers by segment key, those that no rule matched, and how many crossed from one segment to another.

    `waiting` belong elsewhere by now, but not long enough to cross; `outcome` is what became of those who crossed.
    """

    counts: dict[str, int]
    unmatched: int
    moved: int
    waiting: int = 0
    outcome: movements.Outcome = field(default_factory=movements.Outcome)


@dataclass(frozen=True, slots=True)
class Flow:
    """How many customers an evaluation takes from one segment (None: from none) to another, or lets wait."""

    before: str | None
    after: str | None
    customers: int
    first: bool
    due: bool


@dataclass(frozen=True, slots=True)
class Match:
    """Whom a rule takes: how many, how many of them no earlier segment takes, and some of these as examples."""

    matching: int
    left: int
    examples: list[sa.Row[Any]]
    """Ref, name and revenue of the last twelve months."""


def check(definitions: Sequence[Mapping[str, Any]], place: str) -> list[Definition]:
    """The definitions, sound: every rule and channel exists, every setting fits, no key stands twice.

    Raises:
        InputError: Something does not; the place names it, as `segments.toml: segments[1].settings.amount`.
    """
    found: list[Definition] = []
    for number, raw in enumerate(definitions):
        where = f"{place}: segments[{number}]" if place else f"segments[{number}]"
        definition = _definition(raw, where)
        build(definition.rule, definition.settings, where)
        plugins().get("handling_channels", definition.channel, place=f"{where}.channel")
        if any(definition.key == other.key for other in found):
            raise InputError(f"two segments have the key {definition.key!r}", place=f"{where}.key", remedy="Rename one")
        found.append(definition)
    if not found:
        raise InputError("there are no segments", place=place, remedy="Write at least one [[segments]]")
    if len(found) > MAX_SEGMENTS:
        raise InputError("there are too many segments", place=place, remedy=f"Use at most {MAX_SEGMENTS}")
    return found


def _definition(raw: Mapping[str, Any], where: str) -> Definition:
    try:
        return Definition.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            first["msg"][0].lower() + first["msg"][1:],
            place=".".join((where, *map(str, first["loc"]))),
            remedy="A segment has key, name, rule, settings, channel, settle_days and approval",
        ) from error


def build(rule: str, settings: Mapping[str, Any], where: str) -> SegmentRule:
    """The rule of a segment out of its stored form.

    Raises:
        InputError: It does not exist or a setting does not fit; the place begins with `where`.
    """
    part: type[SegmentRule] = plugins().get("segment_rules", rule, place=f"{where}.rule")
    return part.restore(settings, place=f"{where}.settings")


def store(definitions: Sequence[Definition], work: Transaction) -> movements.Outcome:
    """Put these segments in the place of those there are, in the caller's transaction.

    Returns:
        How many customers are, or are to be, handled by another channel because their segment's has changed.
    """
    keys = [definition.key for definition in definitions]
    db.session.execute(sa.delete(Segment).where(Segment.key.not_in(keys)))
    standing = {segment.key: segment for segment in db.session.scalars(sa.select(Segment))}
    channels = {key: segment.channel for key, segment in standing.items()}
    for position, definition in enumerate(definitions):
        segment = standing.get(definition.key) or Segment(key=definition.key)
        segment.name, segment.position, segment.channel = definition.name, position, definition.channel
        segment.settle_days, segment.approval = definition.settle_days, definition.approval
        segment.rule = definition.rule
        segment.settings = build(definition.rule, definition.settings, definition.key).settings()
        standing[definition.key] = segment
        db.session.add(segment)
    db.session.flush()
    changed = [(standing[key], before) for key, before in channels.items() if standing[key].channel != before]
    followed = (rehandling.follow(segment, before, profiled_on(), work) for segment, before in changed)
    return sum(followed, movements.Outcome())


def rule_of(segment: Segment) -> SegmentRule:
    """The rule part of a segment.

    Raises:
        InputError: The plugin that brought it is no longer installed.
    """
    return build(segment.rule, segment.settings, f"segment {segment.key}")


def evaluate(segments: Sequence[Segment], work: Transaction, earlier: sa.Table | None = None) -> SegmentCounts:
    """Put every profiled customer into the segment it belongs to, in the caller's transaction.

    Entering a segment for the first time is no movement: after a first import nobody has crossed from anywhere.
    From then on every crossing is recorded and told, the one to no segment at all (None) and back included.

    Args:
        segments: In order of precedence.
        work: The transaction; what happened is told after it.
        earlier: The profiles as they were before they were made anew, see `facts.remembered`.
    """
    rules = {segment.key: rule_of(segment) for segment in segments}
    as_of = profiled_on()
    if as_of is None:
        return SegmentCounts(dict.fromkeys(rules, 0), 0, 0)
    facts = Facts(rules, earlier)
    with scratch("crossings", differing(segments, rules, as_of)) as crossings:
        outcome = movements.record(crossings, segments, facts, as_of, work)
        waiting = _wait(crossings, facts)
        _enter(crossings, segments, as_of)
    movements.release(segments, work)
    return _counts(list(rules), outcome, waiting)


def preview(segments: Sequence[Segment]) -> list[Flow]:
    """What an evaluation would do now, by segments left and entered; nothing is changed."""
    as_of = profiled_on()
    if as_of is None:
        return []
    rules = {segment.key: rule_of(segment) for segment in segments}
    found = differing(segments, rules, as_of).subquery()
    what = (found.c.before, found.c.after, found.c.first, found.c.due)
    rows = db.session.execute(sa.select(*what, sa.func.count()).group_by(*what)).all()
    order: dict[str | None, int] = {key: number for number, key in enumerate((*rules, None))}
    flows = [Flow(before, after, number, bool(first), bool(due)) for before, after, first, due, number in rows]
    return sorted(flows, key=lambda flow: (not flow.due, order.get(flow.before, -1), order[flow.after]))


def match(rule: SegmentRule, earlier: Sequence[SegmentRule]) -> Match:
    """Whom a rule would take behind those of earlier segments, by the profiles there are."""
    matching, left = taken_by(rule, earlier)
    counts = [db.session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) for query in (matching, left)]
    some = left.order_by(CustomerProfile.revenue_year.desc(), Customer.id).limit(EXAMPLES)
    return Match(counts[0] or 0, counts[1] or 0, list(db.session.execute(some)))


def profiled_on() -> date | None:
    """The day of the profiles; None while there are none."""
    return db.session.scalar(sa.select(sa.func.max(CustomerProfile.as_of)))


def _wait(crossings: sa.Table, facts: Facts) -> int:
    """Keep in mind who belongs elsewhere since when; forget who does no longer."""
    profile = CustomerProfile
    here = (crossings.c.customer_id == profile.customer_id) & sa.not_(crossings.c.due)
    forget = sa.update(profile).where(profile.candidate_since.is_not(None), ~sa.exists().where(here))
    _change(forget.values(candidate=None, candidate_since=None, candidate_facts=sa.null()))
    new = profile.candidate_since.is_distinct_from(crossings.c.since) | profile.candidate.is_distinct_from(
        crossings.c.after
    )
    facts.keep(crossings, here & new)
    _change(sa.update(profile).where(here, new).values(candidate=crossings.c.after, candidate_since=crossings.c.since))
    waiting = sa.select(sa.func.count()).select_from(crossings).where(sa.not_(crossings.c.due))
    return db.session.scalar(waiting) or 0


def _enter(crossings: sa.Table, segments: Sequence[Segment], as_of: date) -> None:
    """Write the new segment; who enters one for the first time and is looked after by nobody gets its channel."""
    profile, due = CustomerProfile, crossings.c.due
    _change(
        sa.update(profile)
        .where(crossings.c.customer_id == profile.customer_id, due)
        .values(segment=crossings.c.after, segment_since=as_of)
    )
    channels = sa.case({segment.key: segment.channel for segment in segments}, value=crossings.c.after)
    _change(
        sa.update(Customer)
        .where(crossings.c.customer_id == Customer.id, crossings.c.first, Customer.channel.is_(None))
        .values(channel=channels, updated_at=clock.now())
    )


def _change(statement: sa.Update) -> None:
    db.session.execute(statement.execution_options(synchronize_session=False))


def _counts(keys: Sequence[str], outcome: movements.Outcome, waiting: int) -> SegmentCounts:
    found = counted()
    counts = {key: found.get(key, 0) for key in keys}
    return SegmentCounts(counts, found.get(None, 0), outcome.total, waiting, outcome)


def counted() -> dict[str | None, int]:
    """Profiled customers by the segment they are in."""
    query = sa.select(CustomerProfile.segment, sa.func.count()).group_by(CustomerProfile.segment)
    return {row[0]: row[1] for row in db.session.execute(query)}
