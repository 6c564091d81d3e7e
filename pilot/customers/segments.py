"""Segments: rules in order of precedence over the profile, evaluated by the database, and customers' movements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pilot import clock
from pilot.customers.bulk import batches
from pilot.customers.models import Customer, CustomerProfile, Movement, Segment
from pilot.customers.rules import SegmentRule
from pilot.db import Transaction, db
from pilot.errors import InputError
from pilot.events import CustomerMoved
from pilot.plugins.manager import plugins

NO_RULE = "no rule matches"


class Definition(BaseModel):
    """One segment as a person writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    name: str = Field(min_length=1, max_length=80)
    rule: str
    settings: dict[str, Any] = Field(default_factory=dict)
    channel: str


@dataclass(frozen=True, slots=True)
class SegmentCounts:
    """Customers by segment key, those that no rule matched, and how many crossed from one segment to another."""

    counts: dict[str, int]
    unmatched: int
    moved: int


def check(definitions: Sequence[Mapping[str, Any]], place: str) -> list[Definition]:
    """The definitions, sound: every rule and channel exists, every setting fits, no key stands twice.

    Raises:
        InputError: Something does not; the place names it, as `segments.toml: segments[1].rule`.
    """
    found: list[Definition] = []
    for number, raw in enumerate(definitions):
        where = f"{place}: segments[{number}]" if place else f"segments[{number}]"
        try:
            definition = Definition.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join((where, *map(str, first["loc"])))
            raise InputError(
                first["msg"][0].lower() + first["msg"][1:],
                place=key,
                remedy="A segment has key, name, rule, settings and channel",
            ) from error
        plugins().build("segment_rules", definition.rule, definition.settings, place=f"{where}.rule")
        plugins().get("handling_channels", definition.channel, place=f"{where}.channel")
        if any(definition.key == other.key for other in found):
            raise InputError(f"two segments have the key {definition.key!r}", place=f"{where}.key", remedy="Rename one")
        found.append(definition)
    if not found:
        raise InputError("there are no segments", place=place, remedy="Write at least one [[segments]]")
    return found


def store(definitions: Sequence[Definition]) -> None:
    """Put these segments in the place of those there are, in the caller's transaction."""
    keys = [definition.key for definition in definitions]
    db.session.execute(sa.delete(Segment).where(Segment.key.not_in(keys)))
    standing = {segment.key: segment for segment in db.session.scalars(sa.select(Segment))}
    for position, definition in enumerate(definitions):
        segment = standing.get(definition.key) or Segment(key=definition.key)
        segment.name, segment.position, segment.channel = definition.name, position, definition.channel
        segment.rule = definition.rule
        segment.settings = plugins().build("segment_rules", definition.rule, definition.settings).settings()
        db.session.add(segment)


def rule_of(segment: Segment) -> SegmentRule:
    """The rule part of a segment.

    Raises:
        InputError: The plugin that brought it is no longer installed.
    """
    rule: SegmentRule = plugins().build("segment_rules", segment.rule, segment.settings, place=f"segment {segment.key}")
    return rule


def evaluate(segments: Sequence[Segment], work: Transaction) -> SegmentCounts:
    """Put every profiled customer into the first segment whose rule matches, in the caller's transaction.

    Entering a segment for the first time is no movement: after a first import nobody has crossed from anywhere.
    From then on every change is recorded and told, the one to no segment at all (None) and back included.
    """
    rules = [(segment.key, rule_of(segment)) for segment in segments]
    key = sa.case(*((rule.condition(), key) for key, rule in rules), else_=sa.null())
    placed = (
        sa.select(CustomerProfile.customer_id, CustomerProfile.segment.label("before"), key.label("after"))
        .join(Customer, Customer.id == CustomerProfile.customer_id)
        .subquery()
    )
    differs = placed.c.before.is_distinct_from(placed.c.after)
    entered_before = placed.c.before.is_not(None) | sa.exists().where(Movement.customer_id == placed.c.customer_id)
    crossed = sa.select(placed).where(differs, entered_before).order_by(placed.c.customer_id)
    reasons = {key: rule.sentence() for key, rule in rules}
    moved = _record(db.session.execute(crossed).all(), reasons, work)
    for target in (*reasons, None):
        ids = sa.select(placed.c.customer_id).where(differs, placed.c.after.is_not_distinct_from(target))
        db.session.execute(
            sa.update(CustomerProfile)
            .where(CustomerProfile.customer_id.in_(ids))
            .values(segment=target)
            .execution_options(synchronize_session=False)
        )
    return _counts(list(reasons), moved)


def _record(crossings: Sequence[Any], reasons: Mapping[str, str], work: Transaction) -> int:
    at = clock.now()
    for batch in batches(crossings):
        rows = [
            {
                "customer_id": customer_id,
                "at": at,
                "before": before,
                "after": after,
                "reason": reasons.get(after, NO_RULE)[:200],
            }
            for customer_id, before, after in batch
        ]
        db.session.execute(sa.insert(Movement), rows)
    for customer_id, before, after in crossings:
        work.emit(CustomerMoved(customer_id, before, after))
    return len(crossings)


def _counts(keys: Sequence[str], moved: int) -> SegmentCounts:
    query = sa.select(CustomerProfile.segment, sa.func.count()).group_by(CustomerProfile.segment)
    found: dict[str | None, int] = {row[0]: row[1] for row in db.session.execute(query)}
    return SegmentCounts({key: found.get(key, 0) for key in keys}, found.get(None, 0), moved)
