"""The list of customers, and the story of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, gettext

from pilot import jobs
from pilot.accounts.guards import acting, requires
from pilot.customers import service
from pilot.customers.models import LIST_KEYS
from pilot.customers.people import duplicates, listcsv, listing, listkeys, savedviews, story
from pilot.customers.people import forms as listforms
from pilot.customers.people.listing import READERS, ListQuery
from pilot.customers.people.listkeys import GAPS
from pilot.customers.wording import ACTIVITY_NAMES, ACTIVITY_TONES, FIELD_NAMES, REASON_NAMES, channel_names
from pilot.numerals import reading

PILOT_READERS = ("operations", "analyst", "viewer")
"""Who may learn which pilot a customer is in: not those who handle it."""
NUMBERS = ("frequency", "revenue_year", "contribution_year", "potential")

bp = Blueprint("customers", __name__, url_prefix="/customers")


@bp.app_context_processor
def _words() -> dict[str, object]:
    return {"field_names": FIELD_NAMES, "activity_names": ACTIVITY_NAMES, "activity_tones": ACTIVITY_TONES}


@bp.get("")
@requires(*READERS)
def index() -> ResponseReturnValue:
    """The list: searched, filtered, sorted, page by page."""
    query, errors = listforms.read(request.args)
    if not acting().may(*PILOT_READERS):
        query = replace(query, pilot="")  # an address must not tell what the page does not
    after, before = (listforms.place_of(request.args.get(name, ""), query) for name in ("after", "before"))
    page = listing.find(query, after=after, before=before)
    behind = listkeys.behind()
    if behind:
        jobs.nudge("listing")
    return render_template(
        "customers/list.html",
        page=page,
        query=query,
        errors=errors,
        after=listforms.written(page.after),
        before=listforms.written(page.before),
        behind=behind,
        views=savedviews.kept(acting()),
        exports=acting().may(*listing.EXPORTERS),
        **_finder(query),
        **_addresses(query),
    )


def _finder(query: ListQuery) -> dict[str, object]:
    """What the form offers, and what stands in it."""
    seen = acting().may(*PILOT_READERS)
    return {
        "columns": listing.COLUMNS,
        "keys": [(key, FIELD_NAMES[key]) for key in LIST_KEYS],
        "gaps": [(gap, FIELD_NAMES[gap]) for gap in GAPS],
        "sizes": [(size, size) for size in listing.SIZES],
        "choices": {name: listing.choices(name) for name in ("region", "sales_rep", "channel")},
        "segments": {segment.key: segment.name for segment in service.segments()},
        "channels": channel_names(),
        "pilots": listing.pilots() if seen else {},
        "named": _named,
        "typed": lambda name: request.args.get(name, ""),
        "reading": reading,
        "shown": [column for column in query.columns if column != "ref"],
        "numbers": NUMBERS,
        "sortable": LIST_KEYS,
    }


def _addresses(query: ListQuery) -> dict[str, object]:
    """The list as it is shown, and with one thing about it changed."""

    def sorted_by(column: str) -> str:
        falls = not query.descending if query.sort == column else column in NUMBERS or column == "last_order"
        return _address(replace(query, sort=column, descending=falls))

    def without(name: str) -> str:
        emptied: dict[str, Any] = {name: None if name in listing.RANGES else ""}
        return _address(replace(query, **emptied))

    return {"asked": listforms.arguments_of(query), "sorted_by": sorted_by, "without": without}


def _address(query: ListQuery) -> str:
    return url_for("customers.index", **listforms.arguments_of(query))


def _named(values: list[str], names: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Values of a filter with what to call them."""
    return [(value or listing.UNKNOWN, (names or {}).get(value, value) or gettext("not known")) for value in values]


@bp.get("/export.csv")
@requires(*listing.EXPORTERS)
def export() -> ResponseReturnValue:
    """The whole list as it is filtered, with the columns that are shown, as CSV. It is written as it is read."""
    query, _errors = listforms.read(request.args)
    lines = listing.export(acting(), query)
    told = listcsv.written(lines, query.columns, get_locale().language)
    answer = Response(stream_with_context(told), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = 'attachment; filename="customers.csv"'
    return answer


@bp.get("/<int:number>")
@requires(*READERS)
def customer(number: int) -> ResponseReturnValue:
    """Who a customer is, and what happened with it."""
    found = story.customer(number)
    kind = request.args.get("kind", "")
    told = story.story(acting(), number, kind=kind, page=request.args.get("page", 1, type=int))
    missing = [FIELD_NAMES[gap] for gap in GAPS if not getattr(found, gap)]
    return render_template(
        "customers/customer.html",
        customer=found,
        profile=found.profile,
        story=told,
        kind=kind if kind in story.KINDS else "",
        kinds=story.KINDS,
        missing=missing,
        segments={segment.key: segment.name for segment in service.segments()},
        channels=channel_names(),
    )


@bp.get("/duplicates")
@requires("operations")
def pairs() -> ResponseReturnValue:
    """Pairs of customers that are likely one and wait for a decision."""
    return _pairs_page()


@bp.post("/duplicates")
@requires("operations")
def seek() -> ResponseReturnValue:
    """Look for duplicates anew."""
    return _pairs_page(duplicates.find(acting())[1])


@bp.post("/duplicates/<int:number>")
@requires("operations")
def decide(number: int) -> ResponseReturnValue:
    """Say whether a pair is one customer or two."""
    duplicates.decide(acting(), number, request.form.get("state", ""))
    return redirect(url_for("customers.pairs"))


def _pairs_page(groups: list[duplicates.Group] | None = None) -> str:
    return render_template(
        "customers/duplicates.html", pairs=duplicates.open_pairs(), groups=groups, reasons=REASON_NAMES
    )


@bp.get("/views/<int:number>")
@requires(*READERS)
def saved(number: int) -> ResponseReturnValue:
    """A kept view of the list."""
    return redirect(url_for("customers.index", **savedviews.view(acting(), number).query))


@bp.post("/views")
@requires(*READERS)
def keep() -> ResponseReturnValue:
    """Keep the view that is shown."""
    query, _errors = listforms.read(request.form)
    asked = listforms.arguments_of(query)
    view = savedviews.keep(acting(), request.form.get("view_name", ""), asked, shared=bool(request.form.get("shared")))
    flash(view.name, "view")
    return redirect(url_for("customers.index", **asked))


@bp.post("/views/<int:number>/delete")
@requires(*READERS)
def forget(number: int) -> ResponseReturnValue:
    """Delete a view of one's own."""
    savedviews.forget(acting(), number)
    return redirect(url_for("customers.index"))
