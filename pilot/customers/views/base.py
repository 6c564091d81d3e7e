"""What the base is: the dashboard, the most valuable customers."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from pilot.accounts.guards import acting, requires
from pilot.config import current, today
from pilot.customers import service
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.people.listkeys import GAPS
from pilot.customers.profiling import freshness, profile, rebuild
from pilot.customers.profiling import pictures as basepictures
from pilot.customers.segmenting import alerts
from pilot.customers.wording import channel_names
from pilot.db import db

bp = Blueprint("base", __name__, url_prefix="/base")

READERS = ("operations", "analyst", "viewer")
STAFF = (*READERS, "agent")
"""Everybody in the house; those outside see only what they are to complete."""
SHOWN_MONTHS = 13
VALUABLE = 50


@bp.get("")
@requires(*READERS)
def index() -> ResponseReturnValue:
    """How well the company knows its customers."""
    summary = service.base_summary()
    as_of, newest = _day(summary["as_of"]), _day(summary["newest_order"])
    planned = service.planned_on(as_of) if as_of else []
    return render_template(
        "base_pages/dashboard.html",
        base=summary,
        as_of=as_of,
        newest=newest,
        today=today(),
        ended=newest is not None and freshness.ended(newest, today()),
        change=freshness.change(),
        recounts_itself=current().daily_profiles and not planned,
        ages=[_aged(row, as_of) for row in summary["last_order"]] if as_of else [],
        quiet=sum(alerts.counted().values()),
        listed=GAPS,
        filtered=("region", "sales_rep"),
        pictures=basepictures.of(summary) if summary["profiled"] else {},
        sentence=_concentration(summary),
        months=[_dated(month, "month") for month in reversed(summary["months"][-SHOWN_MONTHS:])],
        cohorts=[_dated(cohort, "first") for cohort in summary["cohorts"]],
        channel_names=channel_names(),
        standing=rebuild.standing(),
        planned=planned,
        may_rebuild=acting().may("operations"),
    )


@bp.post("/rebuild")
@requires("operations")
def make_anew() -> ResponseReturnValue:
    """Make all profiles anew."""
    done = rebuild.ask(acting())
    flash(_("The base is recounted.") if done else _("The base is being recounted. This takes a few minutes."))
    return redirect(url_for("base.index"))


@bp.get("/valuable")
@requires(*STAFF)
def valuable() -> ResponseReturnValue:
    """The most valuable customers, for everybody in the house."""
    after = request.args.get("after", 0, type=int)
    columns = (
        Customer.id, Customer.ref, Customer.name, Customer.city, Customer.channel, CustomerProfile.segment,
        CustomerProfile.activity, CustomerProfile.value_rank, CustomerProfile.revenue_year,
        CustomerProfile.revenue_before, CustomerProfile.last_order, CustomerProfile.as_of,
    )  # fmt: skip
    query = sa.select(*columns).join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
    query = query.where(CustomerProfile.value_rank.is_not(None))
    query = query.order_by(CustomerProfile.value_rank, Customer.id).limit(VALUABLE + 1).offset(max(0, after))
    rows = list(db.session.execute(query))
    return render_template(
        "base_pages/valuable.html",
        rows=[(row, _trend(row)) for row in rows[:VALUABLE]],
        more=max(0, after) + VALUABLE if len(rows) > VALUABLE else None,
        first=max(0, after),
        segment_names={segment.key: segment.name for segment in service.segments()},
        channel_names=channel_names(),
    )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _aged(row: dict[str, Any], as_of: date) -> dict[str, Any]:
    """A line of the table of last orders, with the filters of the list that show its customers."""
    names = {
        "3": _("up to 3 months ago"),
        "6": _("3 to 6 months ago"),
        "12": _("6 to 12 months ago"),
        "older": _("more than 12 months ago"),
        "never": _("never"),
    }
    age, ages = row["age"], list(profile.AGES)
    months, newer = profile.AGES[age], profile.AGES.get(ages[ages.index(age) - 1])
    filters = {"activity": "never"} if age == "never" else {}
    if months:
        filters["ordered_from"] = (profile.month_before(as_of, months) + timedelta(days=1)).isoformat()
    if newer and age != "3":
        filters["ordered_to"] = profile.month_before(as_of, newer).isoformat()
    return {**row, "name": names[age], "filters": filters}


def _concentration(summary: dict[str, Any]) -> str:
    """The concentration in a sentence; empty where there was no revenue."""
    share = summary["share_of_top_fifth"]
    if share is None:
        return ""
    told: str = _(
        "The best fifth of the customers bring %(share)s of the revenue of the last twelve months.",
        share=basepictures.share(share),
    )
    return told


def _dated(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {**row, "day": date.fromisoformat(f"{row[name]}-01")}


def _trend(row: Any) -> float | None:
    """Revenue of the year against the year before, less one; None where there was none before."""
    return row.revenue_year / row.revenue_before - 1 if row.revenue_before > 0 else None
