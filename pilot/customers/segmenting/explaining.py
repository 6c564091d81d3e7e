"""Why a rule takes a customer or does not: which of its conditions decide it, and what columns these look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from pilot.customers.bulk import batches
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import SegmentRule, columns_of
from pilot.db import db

MOST_CONDITIONS = 500
"""Of a larger rule nothing is explained: the database takes only so many columns in one question."""

Ask = Callable[[SegmentRule], "sa.ColumnElement[bool]"]


@dataclass(slots=True)
class _Node:
    """A rule with its place among the answers, and the rules within it."""

    place: int
    columns: list[sa.Column[object]]
    inner: list[_Node] = field(default_factory=list)

    def deciding(self, answers: Sequence[bool]) -> Iterator[sa.Column[object]]:
        """The columns of the conditions that came out as the whole did; of all if none did, as within a `not`."""
        if not self.inner:
            yield from self.columns
            return
        outcome = answers[self.place]
        agreeing = [node for node in self.inner if answers[node.place] == outcome]
        for node in agreeing or self.inner:
            yield from node.deciding(answers)


class Explained:
    """One rule, asked about customers as the base has them now."""

    def __init__(self, rule: SegmentRule, *, keeps: bool = False) -> None:
        """Explains who is let in; with `keeps` who is let stay."""
        self._ask: Ask = (lambda part: part.keeps()) if keeps else (lambda part: part.condition())
        self._asked: list[sa.ColumnElement[bool]] = []
        self._root = self._node(rule)

    def of(self, customers: Sequence[int]) -> dict[int, tuple[bool, list[sa.Column[object]]]]:
        """For each customer whether the rule takes it, and the columns that decide so, as the rule names them."""
        if len(self._asked) > MOST_CONDITIONS:
            return {}
        flags = [sa.case((asked, 1), else_=0).label(f"flag_{place}") for place, asked in enumerate(self._asked)]
        query = sa.select(Customer.id, *flags).join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        found = {}
        for batch in batches(customers):
            for number, *answers in db.session.execute(query.where(Customer.id.in_(batch))):
                truths = [answer == 1 for answer in answers]
                found[number] = truths[self._root.place], list(dict.fromkeys(self._root.deciding(truths)))
        return found

    def _node(self, rule: SegmentRule) -> _Node:
        condition = self._ask(rule)
        self._asked.append(condition)
        node = _Node(len(self._asked) - 1, [] if rule.inner() else columns_of(condition))
        node.inner = [self._node(part) for part in rule.inner()]
        return node
