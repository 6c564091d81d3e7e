"""The base as a whole as of a day: where its revenue sits, who stays, what it costs, what is not known.

What each number means exactly is written in docs/base.md. All values are plain, as they are stored and printed.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pilot.customers.engines import MonthRow, Study
from pilot.customers.models import BaseSummary, CustomerProfile
from pilot.customers.profiling import profile
from pilot.customers.profiling.profile import Totals
from pilot.db import db

MONTHS = 36
"""So many months are told, at most."""
COHORTS = 13
"""So many months of first orders: a year back and the present one."""
POINTS = range(0, 101, 5)
"""The percentages of the customers at which the Lorenz curve is known."""
TOPS = (1, 5, 10, 20, 50)
"""The percentages of the customers whose share of the revenue is told, from the best."""


def summed_up(totals: Totals, study: Study, as_of: date, gross_margin: float) -> dict[str, Any]:
    """The summary of a rebuild, as it is stored."""
    concentration = _concentration(study, totals.customers)
    return {
        "profiled": totals.customers,
        "as_of": as_of.isoformat(),
        "orders": totals.orders,
        "revenue": round(totals.revenue, 2),
        "revenue_year": round(totals.revenue_year, 2),
        "share_of_top_fifth": concentration["top"]["20"],
        "activity": {state: totals.activity[state] for state in profile.ACTIVITIES},
        "missing": totals.missing,
        "cost_year": round(totals.cost_year, 2),
        "contribution_year": round(totals.contribution_year, 2),
        "gross_margin": gross_margin,
        "potential": {"total": round(totals.potential, 2), "compared": totals.compared},
        "concentration": concentration,
        "months": _months(study, as_of),
        "cohorts": _cohorts(study, as_of),
        "channels": [_rounded(row._asdict()) for row in study.channels()],
    }


def nothing() -> dict[str, Any]:
    """The summary of a base that was not profiled yet."""
    return {
        "profiled": 0,
        "as_of": None,
        "orders": 0,
        "revenue": 0.0,
        "revenue_year": 0.0,
        "share_of_top_fifth": None,
        "activity": dict.fromkeys(profile.ACTIVITIES, 0),
        "missing": dict.fromkeys(profile.FIELDS, 0),
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
    return found.data if found else nothing()


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


def _months(study: Study, as_of: date) -> list[dict[str, Any]]:
    unfinished = as_of.day < monthrange(as_of.year, as_of.month)[1]
    rows = study.months()[-MONTHS:]
    return [_month(row, finished=not (unfinished and row is rows[-1])) for row in rows]


def _month(row: MonthRow, *, finished: bool) -> dict[str, Any]:
    """One month; who is lost in it is only known once it is over."""
    return {
        "month": _named(row.month),
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


def _cohorts(study: Study, as_of: date) -> list[dict[str, Any]]:
    """For each month of first orders, the share of its customers who ordered in it and in each month since."""
    last = as_of.year * 12 + as_of.month - 1
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


def _named(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}
