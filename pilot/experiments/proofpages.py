"""Pages on which a draw is made, checked and judged: the ceremony, balance, spill-over."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from pilot.accounts.guards import acting, requires
from pilot.errors import InputError, StateError
from pilot.experiments import loveplot, proving, service, spillover
from pilot.experiments.models import Experiment
from pilot.experiments.representativeness import NOTABLE, OTHERS, UNKNOWN, Line, balance

bp = Blueprint("proof", __name__)

READERS = ("operations", "analyst", "viewer")
REASON_NAMES = {
    "legal_entity": lazy_gettext("Tax number"),
    "domain": lazy_gettext("Mail domain"),
    "address": lazy_gettext("Address"),
    "phone": lazy_gettext("Phone"),
    "name": lazy_gettext("Name and city"),
    "sales_rep": lazy_gettext("Sales rep"),
}
FIELD_NAMES = {
    "segment": lazy_gettext("Segment"),
    "activity": lazy_gettext("Activity"),
    "channel": lazy_gettext("Handled by"),
    "region": lazy_gettext("Region"),
    "language": lazy_gettext("Language"),
    "sector": lazy_gettext("Sector"),
    "size": lazy_gettext("Size"),
    "sales_rep": lazy_gettext("Sales rep"),
    "revenue_year": lazy_gettext("Revenue, 12 months"),
    "frequency": lazy_gettext("Orders"),
    "contribution_year": lazy_gettext("Contribution, 12 months"),
    "potential": lazy_gettext("Potential"),
    "revenue_before": lazy_gettext("Revenue, 12 months before"),
    "monetary": lazy_gettext("Revenue, ever"),
    "order_days": lazy_gettext("Days with an order"),
    "recency_days": lazy_gettext("Days since the last order"),
    "tenure_days": lazy_gettext("Days since the first order"),
    "interval_days": lazy_gettext("Days between orders"),
    "interval_change": lazy_gettext("Change of rhythm"),
    "basket": lazy_gettext("Revenue of an order"),
    "touches_year": lazy_gettext("Touches, 12 months"),
    "minutes_year": lazy_gettext("Minutes, 12 months"),
    "cost_year": lazy_gettext("Cost to serve, 12 months"),
    "cancelled": lazy_gettext("Cancelled orders"),
    "peer_revenue": lazy_gettext("Revenue of its peers"),
}


@bp.app_context_processor
def _words() -> dict[str, object]:
    return {"spillover_of": spillover_of, "spill_names": REASON_NAMES}


def spillover_of(experiment: Experiment) -> list[spillover.Spill] | None:
    """What ties the arms of an experiment together; None before the draw and after the close."""
    return spillover.find(experiment) if experiment.state in ("drawn", "running") else None


def line_name(line: Line) -> str:
    """What a field or category is called on pages."""
    name = str(FIELD_NAMES.get(line.field, line.field))
    if line.category is None:
        return name
    category = {UNKNOWN: _("not known"), OTHERS: _("others")}.get(line.category, line.category)
    return f"{name}: {category}"


@bp.get("/experiments/<key>/balance")
@requires(*READERS)
def balance_page(key: str) -> ResponseReturnValue:
    """Frame, sample and arms side by side."""
    experiment = service.get(key)
    plan = service.plan_of(experiment)
    try:
        found = balance(experiment)
    except StateError:  # there is nothing yet to compare, which the page says
        found = None
    return render_template(
        "experiments/balance.html",
        experiment=experiment,
        arm_labels={arm.key: arm.label for arm in plan.arms},
        balance=found,
        picture=loveplot.draw(found, line_name) if found and found.arms else None,
        line_name=line_name,
        notable=NOTABLE,
    )


@bp.get("/experiments/<key>/spillover")
@requires(*READERS)
def spillover_page(key: str) -> ResponseReturnValue:
    """What customers of different arms share, with their numbers."""
    experiment = service.get(key)
    return render_template(
        "experiments/spillover.html", experiment=experiment, plan=service.plan_of(experiment), whole=True
    )


@bp.get("/experiments/<key>/ceremony")
@requires(*READERS)
def ceremony(key: str) -> ResponseReturnValue:
    """What was frozen, what is to be published, and how the draw is made and repeated."""
    return _ceremony(service.get(key))


@bp.post("/experiments/<key>/draw")
@requires("operations")
def draw(key: str) -> ResponseReturnValue:
    """Draw, once a public value is entered and it is confirmed that there is no second time."""
    value = request.form.get("public_value", "")
    if request.form.get("sure") != "yes":
        fault = _("Confirm that the draw shall be made now.")
        return _ceremony(service.get(key), typed=value, faults={"sure": fault}), 422
    try:
        service.draw(acting(), key, value)
    except InputError as error:
        return _ceremony(service.get(key), typed=value, faults={"public_value": f"{error.reason}. {error.remedy}"}), 422
    flash(_("The draw is made. Anybody can repeat it from what stands on this page."))
    return redirect(url_for("proof.ceremony", key=key))


@bp.post("/experiments/<key>/repeat")
@requires(*READERS)
def repeat(key: str) -> ResponseReturnValue:
    """Repeat the draw and say what came out; nothing is changed."""
    return _ceremony(service.get(key), repeated=service.replay(key))


@bp.get("/experiments/<key>/frame.csv")
@requires("operations", "analyst")
def frame(key: str) -> ResponseReturnValue:
    """The frame byte for byte as it was hashed: `sha256sum` of this file is the frame digest."""
    data = proving.frame_file(acting(), key)
    headers = {"Content-Disposition": f'attachment; filename="{key}-frame.csv"'}
    return Response(data, mimetype="text/csv", headers=headers)


@bp.get("/experiments/<key>/draw.json")
@requires(*READERS)
def document(key: str) -> ResponseReturnValue:
    """The plan that was drawn from with its hash, frame digest, public value and seed."""
    text = json.dumps(proving.draw_document(service.get(key)), ensure_ascii=False, indent=2)
    headers = {"Content-Disposition": f'attachment; filename="{key}-draw.json"'}
    return Response(text.encode(), mimetype="application/json", headers=headers)


def _ceremony(experiment: Experiment, typed: str = "", **more: Any) -> str:
    return render_template(
        "experiments/ceremony.html",
        experiment=experiment,
        plan=service.plan_of(experiment),
        versions=service.versions(experiment),
        typed=typed,
        **{"faults": {}, "repeated": None, **more},
    )
