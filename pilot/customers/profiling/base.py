"""The base as a whole as of a day: where its revenue sits, who stays, what it costs, what is not known.

What each number means exactly is written in docs/base.md. All values are plain, as they are stored and printed.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pilot.customers.engines import MonthRow, Study
from pilot.customers.models import BaseSummary, Customer, CustomerProfile
from pilot.customers.people.listkeys import fold
from pilot.customers.profiling import freshness, profile
from pilot.customers.profiling.profile import Totals
from pilot.db import db

MONTHS = 36
"""So many months are told, at most."""
COHORTS = 13
"""So many months of first orders: a year back and the present one."""
COMPARED = ("region", "sales_rep", "sector")
"""The fields whose values are looked through for those that are likely one."""
MOST_ALIKE = 20
POINTS = range(0, 101, 5)
"""The percentages of the customers at which the Lorenz curve is known."""
TOPS = (1, 5, 10, 20, 50)
"""The percentages of the customers whose share of the revenue is told, from the best."""


def summed_up(totals: Totals, study: Study, as_of: date, gross_margin: float) -> dict[str, Any]:
    """The summary of a rebuild, as it is stored."""
    until = totals.newest if totals.newest and freshness.ended(totals.newest, as_of) else as_of
    concentration = _concentration(study, totals.customers)
    return {
        "profiled": totals.customers,
        "as_of": as_of.isoformat(),
        "newest_order": totals.newest.isoformat() if totals.newest else None,
        "orders": totals.orders,
        "revenue": round(totals.revenue, 2),
        "revenue_year": round(totals.revenue_year, 2),
        "share_of_top_fifth": concentration["top"]["20"],
        "activity": {state: totals.activity[state] for state in profile.ACTIVITIES},
        "last_order": [_aged(age, *values) for age, values in totals.ages.items()],
        "missing": totals.missing,
        "alike": _alike(),
        "cost_year": round(totals.cost_year, 2),
        "contribution_year": round(totals.contribution_year, 2),
        "gross_margin": gross_margin,
        "potential": {"total": round(totals.potential, 2), "compared": totals.compared},
        "concentration": concentration,
        "months": _months(study, as_of, until),
        "cohorts": _cohorts(study, until),
        "channels": [_rounded(row._asdict()) for row in study.channels()],
    }


def nothing() -> dict[str, Any]:
    """The summary of a base that was not profiled yet."""
    return {
        "profiled": 0,
        "as_of": None,
        "newest_order": None,
        "orders": 0,
        "revenue": 0.0,
        "revenue_year": 0.0,
        "share_of_top_fifth": None,
        "activity": dict.fromkeys(profile.ACTIVITIES, 0),
        "last_order": [],
        "missing": dict.fromkeys(profile.FIELDS, 0),
        "alike": [],
        "cost_year": 0.0,
        "contribution_year": 0.0,
        "gross_margin": None,
        "potential": {"total": 0.0, "compared": 0},
        "concentration": {"lorenz": [], "top": {str(top): None for top in TOPS}, "gini": None},
        "months": [],
        "cohorts": [],
        "channels": [],
    }


def keep(data: dict[str, Any], as_of: date) -> None:
    """Store the summary of a day in the caller's transaction, in the place of an earlier one of that day."""
    db.session.merge(BaseSummary(as_of=as_of, data=data))


def latest() -> dict[str, Any]:
    """The summary of the profiles that stand."""
    as_of = db.session.scalar(sa.select(CustomerProfile.as_of).limit(1))
    found = db.session.get(BaseSummary, as_of) if as_of else None
    return nothing() | found.data if found else nothing()


def _concentration(study: Study, customers: int) -> dict[str, Any]:
    """The Lorenz curve from the least to the best, and the shares of the best."""
    rest = {point: customers - customers * point // 100 for point in POINTS}
    tops = {top: -(-customers * top // 100) for top in TOPS}
    places = sorted({*rest.values(), *tops.values()} - {0})
    found = study.concentration(places)
    if found.total <= 0:
        return nothing()["concentration"]  # type: ignore[no-any-return]
    best: dict[int, Decimal] = {0: Decimal(), **dict(zip(places, found.best, strict=True))}
    return {
        "lorenz": [round(float(1 - best[number] / found.total), 4) for number in rest.values()],
        "top": {str(top): round(float(best[number] / found.total), 4) for top, number in tops.items()},
        "gini": None if found.gini is None else round(found.gini, 4),
    }


def _months(study: Study, as_of: date, until: date) -> list[dict[str, Any]]:
    """The months up to the day; of those after `until` nothing is known."""
    over = until if until.day == monthrange(until.year, until.month)[1] else until.replace(day=1) - timedelta(days=1)
    last, known = _number(over), _number(until)
    return [
        _month(row, finished=row.month <= last) if row.month <= known else _unknown(row, row.month < _number(as_of))
        for row in study.months()[-MONTHS:]
    ]


def _unknown(row: MonthRow, finished: bool) -> dict[str, Any]:
    names = ("orders", "revenue", "customers", "new", "returning", "at_start", "lost", "churn")
    return {"month": _named(row.month), "known": False, "finished": finished, **dict.fromkeys(names)}


def _month(row: MonthRow, *, finished: bool) -> dict[str, Any]:
    """One month; who is lost in it is only known once it is over."""
    return {
        "month": _named(row.month),
        "known": True,
        "finished": finished,
        "orders": row.orders,
        "revenue": round(row.revenue, 2),
        "customers": row.customers,
        "new": row.new,
        "returning": row.customers - row.new,
        "at_start": row.at_start,
        "lost": row.lost if finished else None,
        "churn": round(row.lost / row.at_start, 4) if finished and row.at_start else None,
    }


def _cohorts(study: Study, until: date) -> list[dict[str, Any]]:
    """For each month of first orders, the share of its customers who ordered in it and in each month since."""
    last = _number(until)
    ordered: dict[int, dict[int, int]] = {}
    for first, after, customers in study.cohorts(last - COHORTS + 1):
        ordered.setdefault(first, {})[after] = customers
    return [
        {
            "first": _named(first),
            "customers": by_month[0],
            "shares": [round(by_month.get(after, 0) / by_month[0], 4) for after in range(last - first + 1)],
        }
        for first, by_month in sorted(ordered.items())
    ]


def _aged(age: str, customers: float, year: float, before: float) -> dict[str, Any]:
    return {"age": age, "customers": customers, "revenue_year": round(year, 2), "revenue_before": round(before, 2)}


def _alike() -> list[dict[str, Any]]:
    """Values that are likely one: they differ in nothing but case, accents and spaces. With their customers."""
    columns = [getattr(Customer, name) for name in COMPARED]
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in db.session.execute(sa.select(*columns, sa.func.count()).group_by(*columns)):
        for name, value in zip(COMPARED, row, strict=False):
            if value:
                counts.setdefault((name, " ".join(fold(value).split())), Counter())[value] += row[-1]
    several = [(name, values) for (name, _), values in counts.items() if len(values) > 1]
    several.sort(key=lambda found: -found[1].total())
    return [{"field": name, "values": dict(values.most_common())} for name, values in several[:MOST_ALIKE]]


def _number(day: date) -> int:
    return day.year * 12 + day.month - 1


def _named(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}
