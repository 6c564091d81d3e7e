"""Segments, who moves between them, and what that means for their handling."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from pilot.accounts.guards import acting, requires
from pilot.customers import service
from pilot.customers.rules import MAX_DEPTH, SegmentRule
from pilot.customers.segmenting import alerts, editing, movements, ruleforms
from pilot.customers.segmenting import forms as segmentforms
from pilot.customers.segmenting import segments as segmenting
from pilot.customers.segmenting.forms import SegmentForm
from pilot.customers.wording import ACTIVITY_NAMES, FIELD_NAMES, channel_names
from pilot.web import money, number

bp = Blueprint("segments", __name__, url_prefix="/segments")

READERS = ("operations", "analyst", "viewer")
CALLERS = (*READERS, "agent")

STATE_NAMES = {
    "proposed": lazy_gettext("Waits for approval"),
    "held": lazy_gettext("Held by a pilot"),
    "applied": lazy_gettext("Applied"),
    "declined": lazy_gettext("Declined"),
    "overtaken": lazy_gettext("Overtaken"),
}
STATE_TONES = {"proposed": "is-caution", "held": "is-info", "applied": "is-good", "declined": "is-bad"}
FACT_NAMES = FIELD_NAMES | {
    "recency_days": lazy_gettext("Days since the last order"),
    "value_rank": lazy_gettext("Place by value"),
    "interval_change": lazy_gettext("Change of rhythm"),
    "cost_year": lazy_gettext("Cost to serve, 12 months"),
}
MONEY = ("revenue_year", "contribution_year", "cost_year", "potential", "revenue_before", "monetary")


@bp.context_processor
def _words() -> dict[str, object]:
    return {
        "edits": acting().may("operations"),
        "state_names": STATE_NAMES,
        "state_tones": STATE_TONES,
        "fact_name": lambda name: FACT_NAMES.get(name, name),
        "fact_value": _fact_value,
        "channel_names": channel_names(),
        "segment_names": {segment.key: segment.name for segment in service.segments()},
    }


@bp.get("")
@requires(*READERS)
def index() -> ResponseReturnValue:
    """The segments in order of precedence, with their customers."""
    counts = segmenting.counted()
    return render_template(
        "segments/list.html",
        segments=[(segment, service.sentence(segment)) for segment in service.segments()],
        counts=counts,
        total=sum(counts.values()),
        as_of=segmenting.profiled_on(),
        waiting=movements.counted(movements.Wanted()),
        quiet=sum(alerts.counted().values()),
    )


@bp.get("/new")
@requires("operations")
def new() -> ResponseReturnValue:
    """An empty segment."""
    return _form(segmentforms.blank())


@bp.get("/edit/<key>")
@requires("operations")
def edit(key: str) -> ResponseReturnValue:
    """A segment as it is stored."""
    return _form(segmentforms.stored(editing.definition(key)))


@bp.post("/edit")
@requires("operations")
def save() -> ResponseReturnValue:
    """What a button of the form asks for: one more condition, one less, another kind of rule, or to save."""
    form = segmentforms.typed(request.form)
    act, _sep, path = request.form.get("act", "").partition(":")
    if act == "add":
        ruleforms.grow(form.root, path)
    elif act == "drop":
        ruleforms.prune(form.root, path)
    elif act == "save" and (definition := segmentforms.definition_of(form)):
        return _saved(form.key, editing.save(acting(), definition, new=form.new))
    return _form(form, 422 if act == "save" else 200)


@bp.post("/count")
@requires("operations")
def count() -> ResponseReturnValue:
    """The form again, with the number of customers its rule takes, and some of them."""
    form = segmentforms.typed(request.form)
    rule = segmentforms.rule_of(form)
    if rule is None:
        return _form(form, 422)
    earlier: list[SegmentRule] = []
    for segment in service.segments():
        if segment.key == form.key:
            break
        earlier.append(segmenting.rule_of(segment))
    else:
        earlier = [part for part in earlier if part.key != "everyone"]  # a new segment stands before that one
    return _form(form, match=segmenting.match(rule, earlier), sentence=rule.sentence())


@bp.post("/move/<key>")
@requires("operations")
def move(key: str) -> ResponseReturnValue:
    """Change the order of precedence by one place."""
    editing.move(acting(), key, -1 if request.form.get("to") == "up" else 1)
    return redirect(url_for("segments.index"))


@bp.post("/delete/<key>")
@requires("operations")
def delete(key: str) -> ResponseReturnValue:
    """Delete a segment; its customers move with the next evaluation."""
    editing.delete(acting(), key)
    flash(_("Deleted. Nobody has moved yet: see below what an evaluation would do."))
    return redirect(url_for("segments.preview"))


@bp.get("/preview")
@requires(*READERS)
def preview() -> ResponseReturnValue:
    """What an evaluation would do now; nothing is done."""
    standing = service.segments()
    flows = segmenting.preview(standing)
    return render_template("segments/preview.html", flows=flows, segments=standing, as_of=segmenting.profiled_on())


@bp.post("/evaluate")
@requires("operations", "analyst")
def evaluate() -> ResponseReturnValue:
    """Put everybody into the segment they belong to."""
    found = service.evaluate_segments(acting())
    crossed = ngettext("%(num)s customer crossed.", "%(num)s customers crossed.", found.moved)
    flash(_became(crossed, found.outcome))
    return redirect(url_for("segments.index"))


@bp.get("/movements")
@requires(*READERS)
def moved() -> ResponseReturnValue:
    """Who crossed, why, and what became of it."""
    wanted, error = _wanted(request.args)
    rows = movements.find(wanted, after=request.args.get("after", type=int), limit=movements.PAGE + 1)
    return render_template(
        "segments/movements.html",
        rows=rows[: movements.PAGE],
        more=rows[movements.PAGE - 1]["id"] if len(rows) > movements.PAGE else None,
        counts=movements.counted(wanted),
        wanted=wanted,
        error=error,
        states=movements.STATES,
        filters=_filters(wanted),
    )


@bp.post("/movements")
@requires("operations")
def decide() -> ResponseReturnValue:
    """Approve or decline the chosen movements, or all that wait and fit the filters."""
    wanted, _error = _wanted(request.form)
    act, _sep, one = request.form.get("act", "").partition(":")
    chosen = [int(one)] if one.isdecimal() else request.form.getlist("id", type=int)
    if act == "approve-all":
        chosen = movements.proposed(wanted)
    if not chosen:
        flash(_("Choose at least one movement first."), "error")
    elif act == "decline":
        done = movements.decline(acting(), chosen).done
        flash(ngettext("%(num)s movement declined.", "%(num)s movements declined.", done))
    else:
        decided = movements.approve(acting(), chosen)
        flash(ngettext("%(num)s movement approved.", "%(num)s movements approved.", decided.done))
        if decided.held:
            flash(ngettext("%(num)s is held by a pilot.", "%(num)s are held by a pilot.", decided.held))
    return redirect(url_for("segments.moved", **_filters(wanted)))


@bp.get("/alerts")
@requires(*CALLERS)
def slowing() -> ResponseReturnValue:
    """Valuable customers who slow down or have lapsed."""
    rows = alerts.quiet(after=request.args.get("after", 0, type=int), limit=alerts.PAGE + 1)
    return render_template(
        "segments/alerts.html",
        rows=rows[: alerts.PAGE],
        more=rows[alerts.PAGE - 1].value_rank if len(rows) > alerts.PAGE else None,
        counts=alerts.counted(),
        activity_names=ACTIVITY_NAMES,
        as_of=segmenting.profiled_on(),
    )


def _saved(key: str, outcome: movements.Outcome) -> ResponseReturnValue:
    """Where a saved segment leads: to what an evaluation would do, or where it does nothing to what has been done."""
    flows = segmenting.preview(service.segments())
    if outcome.total:
        changed = ngettext(
            "Saved. The handling of %(num)s customer changes.",
            "Saved. The handling of %(num)s customers changes.",
            outcome.total,
        )
        flash(_became(changed, outcome, key))
    elif flows:
        flash(_("Saved. Nobody has moved yet: see below what an evaluation would do."))
    else:
        flash(_("Saved."))
    if outcome.total and not flows:
        return redirect(url_for("segments.moved", segment=key))
    return redirect(url_for("segments.preview"))


def _became(said: str, outcome: movements.Outcome, segment: str | None = None) -> str:
    """A sentence with what became of the movements it tells of, each number a link to them in the list."""
    told = {
        "applied": ngettext("%(num)s applied", "%(num)s applied", outcome.applied),
        "proposed": ngettext("%(num)s waits for approval", "%(num)s wait for approval", outcome.proposed),
        "held": ngettext("%(num)s held by a pilot", "%(num)s held by a pilot", outcome.held),
    }
    if not outcome.total:
        return said
    since = segmenting.profiled_on()
    links = [
        Markup('<a href="{}">{}</a>').format(url_for("segments.moved", state=state, segment=segment, since=since), text)
        if getattr(outcome, state)
        else text
        for state, text in told.items()
    ]
    return Markup("{} {}.").format(said, Markup(", ").join(links))


def _form(form: SegmentForm, status: int = 200, **more: Any) -> ResponseReturnValue:
    page = render_template(
        "segments/edit.html",
        form=form,
        rule_names=ruleforms.rule_names(),
        simple_names=ruleforms.rule_names(combinations=False),
        deepest=MAX_DEPTH - 1,
        choice_names=_choice_names(),
        **more,
    )
    return page, status


def _choice_names() -> dict[str, object]:
    """What pages call the values that rules offer for a choice."""
    return {**ACTIVITY_NAMES, **{name: FIELD_NAMES[name] for name in FIELD_NAMES if name not in ACTIVITY_NAMES}}


def _wanted(given: MultiDict[str, str]) -> tuple[movements.Wanted, str]:
    """The filters as they were asked for; a day that cannot be read is none, and said to be."""
    state = given.get("state") if given.get("state") in movements.STATES else None
    text, since, error = given.get("since", "").strip(), None, ""
    try:
        since = date.fromisoformat(text) if text else None
    except ValueError:
        error = _("Write the day as 2026-03-31.")
    return movements.Wanted(state, given.get("segment") or None, since), error


def _filters(wanted: movements.Wanted) -> dict[str, Any]:
    given = {"state": wanted.state, "segment": wanted.segment, "since": wanted.since}
    return {name: str(value) for name, value in given.items() if value}


def _fact_value(name: str, value: Any) -> str:
    if value is None:
        return str(_("not known"))
    if name == "activity":
        return str(ACTIVITY_NAMES.get(value, value))
    if isinstance(value, int | float):
        return money(value) if name in MONEY else number(value, 0 if float(value).is_integer() else 1)
    return str(value)
