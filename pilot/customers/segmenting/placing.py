"""Which segment every customer belongs to, as one question to the database; nobody flaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.rules import SegmentRule

Rules = Mapping[str, SegmentRule]
"""The rule by the key of its segment, in order of precedence."""


def differing(segments: Sequence[Segment], rules: Rules, as_of: date) -> sa.Select[Any]:
    """The customers who are not in the segment they belong to.

    A customer belongs to the first segment whose rule takes it; its present one takes it by `keeps()`. It is due to
    cross once it has belonged there for the `settle_days` of that segment. Into none at all it crosses after those of
    the segment it leaves; out of one that exists no longer, at once.

    Returns:
        A query of `customer_id`, `before`, `after` (keys or None), `since` (the day from which it belongs there),
        `first` (it never was in any segment) and `due`.
    """
    placed = _placed(rules).subquery()
    before, after = placed.c.before, placed.c.after
    goes_on = (placed.c.candidate_since <= as_of) & placed.c.candidate.is_not_distinct_from(after)
    first = before.is_(None) & placed.c.segment_since.is_(None)
    since = sa.case((goes_on, placed.c.candidate_since), else_=sa.literal(as_of, sa.Date))
    standing = (
        sa.select(placed.c.customer_id, before, after, since.label("since"), first.label("first"))
        .where(before.is_distinct_from(after))
        .subquery()
    )
    return sa.select(standing, _due(standing, segments, as_of).label("due"))


def _placed(rules: Rules) -> sa.Select[Any]:
    profile = CustomerProfile
    takes = [
        (sa.or_(rule.condition(), sa.and_(profile.segment == key, rule.keeps())), sa.literal(key, sa.String(40)))
        for key, rule in rules.items()
    ]
    return sa.select(
        profile.customer_id,
        profile.segment.label("before"),
        profile.segment_since,
        profile.candidate,
        profile.candidate_since,
        sa.case(*takes, else_=sa.null()).label("after"),
    ).join(Customer, Customer.id == profile.customer_id)


def _due(standing: sa.Subquery, segments: Sequence[Segment], as_of: date) -> sa.ColumnElement[bool]:
    before, after = standing.c.before, standing.c.after
    at_once = [(standing.c.first, sa.true()), (before.not_in([segment.key for segment in segments]), sa.true())]
    waits = [
        (
            ((after == segment.key) | (after.is_(None) & (before == segment.key)))
            & (standing.c.since > as_of - timedelta(days=segment.settle_days)),
            sa.false(),
        )
        for segment in segments
        if segment.settle_days
    ]
    return sa.case(*at_once, *waits, else_=sa.true())


def taken_by(
    rule: SegmentRule, earlier: Sequence[SegmentRule]
) -> tuple[sa.Select[str, str, float], sa.Select[str, str, float]]:
    """Two queries over profile and customer: whom a rule takes, and whom of them no earlier segment's rule takes."""
    matching = sa.select(Customer.ref, Customer.name, CustomerProfile.revenue_year).join(
        CustomerProfile, CustomerProfile.customer_id == Customer.id
    )
    matching = matching.where(rule.condition())
    left = [sa.not_(sa.func.coalesce(other.condition(), sa.false())) for other in earlier]
    return matching, matching.where(*left)
