"""The plan page by page: begin from a template, fill in, see what is missing, seal; and amend what is sealed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest

from pilot.accounts.guards import acting, requires
from pilot.errors import NotFound, PilotError
from pilot.experiments import drafts, outline, service, templates, wizardforms, wizardpages
from pilot.experiments.checklist import points
from pilot.experiments.difference import compared
from pilot.experiments.drafts import Document, Draft, StaleDraft
from pilot.experiments.plan import to_toml
from pilot.experiments.wizardforms import PAGES
from pilot.web import moment

bp = Blueprint("wizard", __name__)

READERS = ("operations", "analyst", "viewer")
_KEYS = [page.key for page in PAGES]


@bp.get("/experiments/plan/new")
@requires("operations")
def new() -> ResponseReturnValue:
    """The templates to begin from."""
    offered = [(item.key, item.told(get_locale().language), item) for item in templates.templates()]
    return render_template("experiments/wizard/new.html", offered=offered, drafts=drafts.unfinished())


@bp.post("/experiments/plan/new")
@requires("operations")
def begin() -> ResponseReturnValue:
    """A draft from a template."""
    document = templates.filled(request.form.get("template", ""), get_locale().language)
    made = drafts.begin(acting(), document)
    return redirect(url_for("wizard.page", key=made.key, name=_KEYS[0]), 303)


@bp.get("/experiments/<key>/plan")
@requires("operations")
def resume(key: str) -> ResponseReturnValue:
    """The first page with something to do."""
    found = points(drafts.problems(drafts.opened(key).document))
    return redirect(url_for("wizard.page", key=key, name=found[0].page if found else _KEYS[0]))


@bp.get("/experiments/<key>/plan/<name>")
@requires("operations")
def page(key: str, name: str) -> ResponseReturnValue:
    """One page of the plan, with what is wrong on it."""
    return _shown(drafts.opened(key), name)


@bp.post("/experiments/<key>/plan/<name>")
@requires("operations")
def save(key: str, name: str) -> ResponseReturnValue:
    """Keep what was typed, whatever it is; then go where the button says."""
    draft, act = drafts.opened(key), request.form.get("act", "save")
    _known(name)
    mine = deepcopy(draft.document)
    wizardforms.take(name, request.form, mine)
    wizardforms.act(act, mine)
    try:
        saved = _saved(draft, mine, _version())
    except StaleDraft:
        return _conflict(key, name, act)
    if act == "auto":
        return _told(saved, name)
    if name == "check" and act in _ENDS:
        return _ENDS[act](saved)
    return redirect(_after(saved, name, act), 303)


@bp.get("/experiments/<key>/plan.toml")
@requires(*READERS)
def as_toml(key: str) -> ResponseReturnValue:
    """The plan as a file that the terminal reads again."""
    text = to_toml(service.plan_of(service.get(key)))
    return Response(
        text, mimetype="application/toml", headers={"Content-Disposition": f"attachment; filename={key}.toml"}
    )


@bp.get("/experiments/<key>/versions")
@requires(*READERS)
def versions(key: str) -> ResponseReturnValue:
    """What amendments changed in the plan, version by version."""
    found = service.get(key)
    return render_template(
        "experiments/wizard/versions.html",
        experiment=found,
        versions=service.versions(found),
        amendments=outline.amendments(found),
        changeable=found.state in drafts.CHANGEABLE and found.state != "draft",
    )


def _shown(draft: Draft, name: str, error: PilotError | None = None) -> str:
    return render_template(f"experiments/wizard/{_known(name)}.html", **_context(draft, name), error=error)


def _context(draft: Draft, name: str) -> dict[str, Any]:
    """What a page shows."""
    found = points(drafts.problems(draft.document))
    place = _KEYS.index(name)
    return {
        "draft": draft,
        "plan": draft.document,
        "pages": PAGES,
        "here": PAGES[place],
        "number": place + 1,
        "points": found,
        "wrong": {page.key: sum(point.page == page.key for point in found) for page in PAGES},
        "fault": lambda where: next((point for point in found if _within(point.place, where)), None),
        **wizardpages.context(name, draft, complete=not found),
    }


def _within(place: str, where: str) -> bool:
    return place == where or place.startswith((f"{where}[", f"{where}."))


def _known(name: str) -> str:
    if name not in _KEYS:
        raise NotFound(f"a plan has no page {name!r}", remedy="Choose one of the pages of the plan")
    return name


def _version() -> int:
    try:
        return int(request.form["version"])
    except (ValueError, BadRequest):
        return -1


def _saved(draft: Draft, mine: Document, version: int) -> Draft:
    """The draft with what was typed in it; nothing is written where nothing was changed."""
    if version == draft.version and mine == draft.document:
        return draft
    return drafts.save(acting(), draft.key, mine, version)


def _after(draft: Draft, name: str, act: str) -> str:
    """Where a button leads to: to the next page only if there is nothing to mend on this one."""
    place = _KEYS.index(name)
    if act.startswith("goto:"):
        return url_for("wizard.page", key=draft.key, name=_known(act.removeprefix("goto:")))
    if act == "back":
        return url_for("wizard.page", key=draft.key, name=_KEYS[max(place - 1, 0)])
    if act == "next":
        wrong = sum(point.page == name for point in points(drafts.problems(draft.document)))
        if not wrong:
            return url_for("wizard.page", key=draft.key, name=_KEYS[min(place + 1, len(_KEYS) - 1)])
        flash(
            ngettext("Saved. %(num)s point is still open here.", "Saved. %(num)s points are still open here.", wrong),
            "error",
        )
    return url_for("wizard.page", key=draft.key, name=name)


def _told(draft: Draft, name: str) -> ResponseReturnValue:
    """What a page that saves by itself shows anew."""
    live = render_template("experiments/wizard/live.html", **_context(draft, name))
    saved = _("Saved %(moment)s", moment=moment(draft.saved_at))
    return jsonify(version=draft.version, saved=saved, live=live)


def _conflict(key: str, name: str, act: str) -> ResponseReturnValue:
    """Both versions, where a draft was saved by somebody else in the meantime."""
    theirs = drafts.opened(key)
    if act == "auto":
        told = _("%(person)s has saved this plan in the meantime. Save to see both versions.", person=theirs.saved_by)
        return jsonify(saved=told), 409
    mine = deepcopy(theirs.document)
    wizardforms.take(name, request.form, mine)
    wizardforms.act(act, mine)
    kept = [(field, value) for field, value in request.form.items(multi=True) if field not in ("csrf_token", "version")]
    text = render_template(
        "experiments/wizard/conflict.html",
        draft=theirs,
        here=PAGES[_KEYS.index(name)],
        changes=compared(theirs.document, mine),
        kept=kept,
    )
    return text, 409


def _seal(draft: Draft) -> ResponseReturnValue:
    try:
        service.seal(acting(), draft.key)
    except PilotError as error:
        return _refused(draft, error)
    flash(_("The plan is sealed. Publish both hashes, then draw with a public value."))
    return redirect(url_for("reports.experiment", key=draft.key), 303)


def _amend(draft: Draft) -> ResponseReturnValue:
    try:
        changed = compared(wizardpages.standing(draft.key), draft.document)
        plan = drafts.complete(draft.document) if changed else None
        service.amend(acting(), draft.key, request.form.get("reason", ""), plan)
    except PilotError as error:
        return _refused(draft, error)
    flash(_("The plan is amended."))
    return redirect(url_for("wizard.versions", key=draft.key), 303)


def _discard(draft: Draft) -> ResponseReturnValue:
    drafts.discard(acting(), draft.key)
    flash(_("The draft is thrown away."))
    return redirect(url_for("reports.home"), 303)


def _refused(draft: Draft, error: PilotError) -> ResponseReturnValue:
    return _shown(draft, "check", error), error.status


_ENDS = {"seal": _seal, "amend": _amend, "discard": _discard}
