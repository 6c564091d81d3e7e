"""What the rules looked at when a customer crossed: the values of profile and customer, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from pilot.customers.bulk import batches
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import columns_of
from pilot.customers.scratch import scratch, table_of
from pilot.customers.segmenting.explaining import Explained
from pilot.db import JSON, db

if TYPE_CHECKING:
    from pilot.customers.segmenting.placing import Rules

_SHOWN = ("region", "sales_rep", "sector", "size", "language")
"""Fields of a customer that may stand in a movement; names and addresses do not."""
_LEFT_OUT = ("customer_id", "segment", "segment_since", "candidate", "candidate_since", "candidate_facts", "as_of")
PAGE = 5000

_Decided = dict[str, dict[int, tuple[bool, list[sa.Column[Any]]]]]


@contextmanager
def remembered() -> Iterator[sa.Table]:
    """The profiles as they are now, for the time in which they are made anew, in the caller's transaction."""
    table = table_of(CustomerProfile)
    kept = [
        column
        for column in table.columns
        if column.name == "customer_id" or (column.name not in _LEFT_OUT and not isinstance(column.type, sa.JSON))
    ]
    with scratch("earlier_profiles", sa.select(*kept)) as earlier:
        yield earlier


class Facts:
    """Reads for each customer the values that the rules of two segments look at."""

    def __init__(self, rules: Rules, earlier: sa.Table | None) -> None:
        profile = table_of(CustomerProfile)
        self._rules, self._earlier = rules, earlier
        looked_at = {column for rule in rules.values() for column in columns_of(rule.condition())}
        self._columns = sorted(
            (
                column
                for column in looked_at
                if (column.table is profile or column.name in _SHOWN) and not isinstance(column.type, sa.JSON)
            ),
            key=lambda column: column.name,
        )

    def sentence(self, segment: str) -> str:
        """The rule of a segment in words."""
        return self._rules[segment].sentence()

    def keep(self, crossings: sa.Table, which: sa.ColumnElement[bool]) -> None:
        """Write into the profile of each of these candidates what its facts were before it became one."""
        write = sa.update(table_of(CustomerProfile))
        write = write.where(CustomerProfile.customer_id == sa.bindparam("of")).values(
            candidate_facts=sa.bindparam("facts", type_=JSON)
        )
        for page in self.pages(crossings, which):
            rows = [{"of": row.customer_id, "facts": self._before(row)} for row in page]
            for batch in batches(rows):
                db.session.connection().execute(write, batch)

    def pages(
        self,
        crossings: sa.Table,
        which: sa.ColumnElement[bool],
        *more: sa.ColumnElement[Any] | InstrumentedAttribute[Any],
    ) -> Iterator[list[Any]]:
        """These crossings by customer, with what `explained` needs, in pages."""
        crossing = crossings.c
        query = (
            sa.select(crossing.customer_id, crossing.before, crossing.after, CustomerProfile.candidate_facts, *more)
            .add_columns(*(column.label(f"now_{column.name}") for column in self._columns))
            .select_from(crossings)
            .join(CustomerProfile, CustomerProfile.customer_id == crossing.customer_id)
            .join(Customer, Customer.id == crossing.customer_id)
            .where(which)
            .order_by(crossing.customer_id)
            .limit(PAGE)
        )
        if self._earlier is not None:
            query = query.outerjoin(self._earlier, self._earlier.c.customer_id == crossing.customer_id)
            query = query.add_columns(*(self._was(column).label(f"was_{column.name}") for column in self._columns))
        page = list(db.session.execute(query))
        while page:
            yield page
            page = list(db.session.execute(query.where(crossing.customer_id > page[-1].customer_id)))

    def explained(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """For each of these crossings the facts that decided it, before and after, in the order of the rules.

        They are what the conditions of the entered segment looked at that were met; and, where the segment that was
        left would let the customer stay no longer, what those of its conditions looked at that are not met.
        """
        entered, left = self._decided(rows, "after", keeps=False), self._decided(rows, "before", keeps=True)
        return [self._told(row, entered, left) for row in rows]

    def _decided(self, rows: Sequence[Any], side: str, *, keeps: bool) -> _Decided:
        """By segment left or entered, and customer: whether its rule takes the customer, and the columns that decide."""
        members: dict[str, list[int]] = {}
        for row in rows:
            if getattr(row, side) in self._rules:
                members.setdefault(getattr(row, side), []).append(row.customer_id)
        return {key: Explained(self._rules[key], keeps=keeps).of(ids) for key, ids in members.items()}

    def _told(self, row: Any, entered: _Decided, left: _Decided) -> dict[str, Any]:
        met = entered.get(row.after, {}).get(row.customer_id, (False, []))
        stays, failing = left.get(row.before, {}).get(row.customer_id, (True, []))
        before = {**self._before(row), **(row.candidate_facts or {})}
        return {
            column.name: {"before": before[column.name], "after": _plain(getattr(row, f"now_{column.name}"))}
            for column in dict.fromkeys([*met[1], *([] if stays else failing)])
            if column.name in before
        }

    def _before(self, row: Any) -> dict[str, Any]:
        prefix = "now" if self._earlier is None else "was"
        return {column.name: _plain(getattr(row, f"{prefix}_{column.name}")) for column in self._columns}

    def _was(self, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        """A customer's own fields are not made anew: what they were is what they are."""
        assert self._earlier is not None  # noqa: S101
        was: sa.Column[Any] | None = self._earlier.c.get(column.name)
        return column if was is None else was


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
