"""What the built-in order engine finds out about the customers of a base, as plain SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pilot.api import ChannelRow, CohortRow, Concentration, FactProfile, MonthRow, Study

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE = 5000
SPAN = 1 << 22
"""More than there are days from the year 1 to 9999."""
ORDERS_AT_ONCE = 2_000_000
"""Looked at together for the rhythm of their customers: 16 bytes each."""
YEAR = 12
"""Months without an order after which a customer is counted as lost."""

# What costs most is to find an order's customer by its text: once, and from then on by number.
_ORDERED = """
CREATE TEMP TABLE ordered AS
SELECT id, day, amount, cancelled FROM whole_orders JOIN members ON ref = customer_ref WHERE day <= $as_of
"""
# A customer and a day as one number that sorts by both.
_PLACES = f"""
SELECT id * {SPAN} + (day - DATE '0001-01-01') AS place FROM ordered WHERE NOT cancelled AND id BETWEEN $low AND $high
"""  # noqa: S608 - a number of ours
_RHYTHMS = """
CREATE TEMP TABLE rhythms (id BIGINT, order_days INTEGER, first_order DATE, last_order DATE, recent_from DATE)
"""
_RHYTHM = """
INSERT INTO rhythms
SELECT id, order_days, DATE '0001-01-01' + first, DATE '0001-01-01' + last, DATE '0001-01-01' + recent FROM found
"""
_TOUCHED = """
CREATE TEMP TABLE touched AS
SELECT id, channel, count(*) AS touches, sum(CAST(minutes AS DECIMAL(18,4))) AS minutes, sum(cost) AS cost
FROM touches JOIN members ON ref = customer_ref
WHERE happened_on > ($as_of::DATE - INTERVAL 1 YEAR)::DATE AND happened_on <= $as_of
GROUP BY id, channel
"""
_KNOWN = """
CREATE TEMP TABLE known AS
WITH bought AS (
    SELECT id, sum(CASE WHEN cancelled THEN 0 ELSE 1 END) AS frequency, sum(cancelled::INTEGER) AS cancelled,
           sum(CASE WHEN cancelled THEN 0 ELSE amount END) AS monetary,
           sum(CASE WHEN cancelled OR day <= $year THEN 0 ELSE amount END) AS revenue_year,
           sum(CASE WHEN cancelled OR day <= $year_before OR day > $year THEN 0 ELSE amount END) AS revenue_before
    FROM ordered GROUP BY id
), called AS (
    SELECT id, sum(touches)::INTEGER AS touches, sum(minutes) AS minutes, sum(cost) AS cost,
           '{' || string_agg(
               to_json(channel)::VARCHAR || ': {"touches": ' || touches || ', "minutes": ' || minutes::DOUBLE
               || ', "cost": ' || cost::DOUBLE || '}', ', ' ORDER BY channel
           ) || '}' AS channels
    FROM touched GROUP BY id
)
SELECT members.id, mark, peers, coalesce(frequency, 0)::INTEGER AS frequency,
       coalesce(cancelled, 0)::INTEGER AS cancelled, coalesce(monetary, 0) AS monetary,
       coalesce(revenue_year, 0) AS revenue_year, coalesce(revenue_before, 0) AS revenue_before, first_order, last_order,
       coalesce(order_days, 0) AS order_days, recent_from,
       coalesce(touches, 0) AS touches, coalesce(minutes, 0) AS minutes, coalesce(cost, 0) AS cost,
       coalesce(channels, '{}') AS channels
FROM members LEFT JOIN bought ON bought.id = members.id LEFT JOIN rhythms ON rhythms.id = members.id
     LEFT JOIN called ON called.id = members.id
"""
_PROFILES = """
WITH compared AS (
    SELECT peers, quantile_disc(revenue_year, 0.75) AS quartile, count(*) AS buyers
    FROM known WHERE peers IS NOT NULL AND revenue_year > 0 GROUP BY peers
), ranked AS (
    SELECT id AS of, rank() OVER (ORDER BY revenue_year DESC) AS place FROM known WHERE revenue_year > 0
)
SELECT id, mark, frequency, cancelled, monetary::DOUBLE, revenue_year::DOUBLE, revenue_before::DOUBLE, first_order,
       last_order, order_days, recent_from, touches, minutes::DOUBLE, cost::DOUBLE, channels, quartile::DOUBLE,
       coalesce(buyers, 0), place
FROM known LEFT JOIN compared USING (peers) LEFT JOIN ranked ON of = id ORDER BY id
"""
_MONTHLY = """
CREATE TEMP TABLE IF NOT EXISTS monthly AS
SELECT *, min(month) OVER (PARTITION BY id) AS first,
       coalesce(lead(month) OVER (PARTITION BY id ORDER BY month), 1000000) AS next
FROM (
    SELECT id, year(day) * 12 + month(day) - 1 AS month, count(*) AS orders, sum(amount) AS revenue
    FROM ordered WHERE NOT cancelled GROUP BY id, month
)
"""
_MONTHS = """
SELECT month, sum(orders)::BIGINT, sum(revenue)::DOUBLE, count(*), count(*) FILTER (month = first)
FROM monthly GROUP BY month
"""
# A customer is with us at the start of the twelve months after one with an order, or up to that of the next order.
_STAYS = """
SELECT month, sum(change)::BIGINT FROM (
    SELECT month + 1 AS month, 1 AS change FROM monthly
    UNION ALL SELECT least(next, month + $year) + 1, -1 FROM monthly
) GROUP BY month
"""
_LOST = "SELECT month + $year, count(*) FROM monthly WHERE next > month + $year GROUP BY month"
_COHORTS = """
SELECT first, month - first, count(*) FROM monthly WHERE first >= $since GROUP BY ALL ORDER BY ALL
"""
_CHANNELS = """
SELECT channel, count(*), sum(touches)::BIGINT, sum(minutes)::DOUBLE, sum(cost)::DOUBLE
FROM touched GROUP BY channel ORDER BY sum(cost) DESC, channel
"""
# Places count from the best; the weight of a customer in the Gini index is its place from the least, in whole numbers.
_CONCENTRATION = """
WITH placed AS (
    SELECT row_number() OVER best AS place, sum(revenue) OVER (best ROWS UNBOUNDED PRECEDING) AS running,
           revenue, count(*) OVER () AS n
    FROM (SELECT greatest(revenue_year, 0) AS revenue FROM known) WINDOW best AS (ORDER BY revenue DESC)
)
SELECT list(running ORDER BY place) FILTER (list_contains($best, place)), sum(revenue), max(n),
       sum((n - place + 1) * revenue)
FROM placed
"""


@dataclass(frozen=True, slots=True)
class DuckStudy(Study):
    """Facts of the members of one connection. `members`, `whole_orders` and `touches` are its tables."""

    engine: DuckDBPyConnection
    as_of: date

    @classmethod
    def of(cls, engine: DuckDBPyConnection, as_of: date) -> DuckStudy:
        """Take the facts together by customer."""
        day = {"as_of": as_of}
        engine.execute(_ORDERED, day)
        _find_rhythms(engine)
        engine.execute(_TOUCHED, day)
        years = "SELECT ($as_of::DATE - INTERVAL 1 YEAR)::DATE, ($as_of::DATE - INTERVAL 2 YEAR)::DATE"
        year, year_before = engine.execute(years, day).fetchone() or (None, None)
        engine.execute(_KNOWN, {"year": year, "year_before": year_before})
        return cls(engine, as_of)

    def profiles(self) -> Iterator[FactProfile]:
        """In pages: the answer is never in memory as a whole."""
        answer = self.engine.execute(_PROFILES)
        while rows := answer.fetchmany(PAGE):
            yield from map(FactProfile._make, rows)

    def months(self) -> list[MonthRow]:
        """Sums by month in SQL, running totals here."""
        self._by_month()
        found: dict[int, tuple[int, float, int, int]] = {row[0]: row[1:] for row in self._rows(_MONTHS)}
        if not found:
            return []
        span = range(min(found), self.as_of.year * 12 + self.as_of.month)
        changes, lost = dict(self._rows(_STAYS, year=YEAR)), dict(self._rows(_LOST, year=YEAR))
        staying = accumulate(changes.get(month, 0) for month in span)
        return [
            MonthRow(month, *found.get(month, (0, 0.0, 0, 0)), at_start, lost.get(month, 0))
            for month, at_start in zip(span, staying, strict=True)
        ]

    def cohorts(self, since: int) -> list[CohortRow]:
        """By first month and months since."""
        self._by_month()
        return [CohortRow(*row) for row in self._rows(_COHORTS, since=since)]

    def channels(self) -> list[ChannelRow]:
        """By channel."""
        return [ChannelRow(*row) for row in self._rows(_CHANNELS)]

    def concentration(self, best: Sequence[int]) -> Concentration:
        """One sort of all members."""
        running, total, n, weighted = self._rows(_CONCENTRATION, best=list(best))[0]
        gini = float(2 * weighted / (n * total)) - (n + 1) / n if total and total > 0 else None
        return Concentration(running or [], total or Decimal(), gini)

    def _by_month(self) -> None:
        self.engine.execute(_MONTHLY)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return self.engine.execute(query, values).fetchall() if values else self.engine.execute(query).fetchall()


def _find_rhythms(engine: DuckDBPyConnection) -> None:
    """Order days of each customer, and from five on the fourth last, where its last three intervals begin.

    Sorting plain numbers takes a third of the time of a window over them. By ranges of customers, for the memory.
    """
    import numpy as np

    engine.execute(_RHYTHMS)
    counted = engine.execute("SELECT count(*), min(id), max(id) FROM ordered").fetchone() or (0, None, None)
    if not counted[0]:
        return
    step = max(1, (counted[2] - counted[1] + 1) * ORDERS_AT_ONCE // counted[0])
    for low in range(counted[1], counted[2] + 1, step):
        places = engine.execute(_PLACES, {"low": low, "high": low + step - 1}).fetchnumpy()["place"]
        places.sort()
        places = places[np.diff(places, prepend=-1) != 0]
        ids, days = places // SPAN, (places % SPAN).astype(np.int32)
        last = np.flatnonzero(np.diff(ids, append=-1))
        order_days = np.diff(last, prepend=-1)
        found = {"id": ids[last], "order_days": order_days, "first": days[last - order_days + 1], "last": days[last]}
        found["recent"] = np.ma.masked_array(days[np.maximum(last - 3, 0)], mask=order_days < 5)
        engine.register("found", found)
        engine.execute(_RHYTHM)
