"""Pages of power and rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from pilot.accounts.guards import acting, requires
from pilot.errors import InputError, PlanError
from pilot.experiments import power as powers
from pilot.experiments import powerpictures, rehearsing, service
from pilot.experiments import powerwording as words
from pilot.experiments.plan import Plan
from pilot.experiments.power import OutcomePower, PlanPower
from pilot.experiments.rehearsal import TIMES, Rehearsal, Tried
from pilot.pictures import Picture

bp = Blueprint("power", __name__)

READERS = ("operations", "analyst", "viewer")


@dataclass(frozen=True, eq=False)
class Shown:
    """One outcome, ready for a page."""

    found: OutcomePower
    sentence: str
    baseline: str
    needed: str
    lines: list[words.Line]
    picture: Picture | None


def shown(power: PlanPower) -> list[Shown]:
    """What the fragment `experiments/wizard/power.html` shows of each outcome."""
    return [
        Shown(
            found,
            words.sentence(power, found),
            words.baseline(found.baseline),
            words.needed(found),
            words.lines(power, found),
            powerpictures.reach(power, found),
        )
        for found in power.outcomes
    ]


@bp.app_context_processor
def _wording() -> dict[str, object]:
    return {"power_words": words}


@bp.get("/experiments/<key>/power")
@requires(*READERS)
def index(key: str) -> ResponseReturnValue:
    """What a pilot of the planned size can show."""
    found = service.get(key)
    plan = service.plan_of(found)
    power, error = None, None
    try:
        power = powers.of(found, plan)
    except PlanError as refused:
        error = refused
    return render_template(
        "experiments/power.html",
        experiment=found,
        plan=plan,
        power=power,
        outcomes=shown(power) if power else [],
        error=error,
    )


@bp.get("/experiments/<key>/rehearsal")
@requires(*READERS)
def rehearsal(key: str) -> ResponseReturnValue:
    """The last rehearsal: how far it is, or what came out."""
    found = service.get(key)
    plan, run = service.plan_of(found), rehearsing.newest(key)
    result = None if run is None or run.result is None else Rehearsal.from_json(run.result)
    return render_template(
        "experiments/rehearsal.html",
        experiment=found,
        plan=plan,
        run=run,
        waits=run is not None and rehearsing.open_(run),
        holds=run is not None and rehearsing.still_holds(run, found),
        result=result,
        picture=powerpictures.alarms(plan, _known(plan, result)) if result else None,
        tried=_known(plan, result) if result else [],
        labels={outcome.key: outcome.label for outcome in plan.outcomes},
        may_ask=acting().may("operations", "analyst"),
        times=TIMES,
    )


@bp.post("/experiments/<key>/rehearsal")
@requires("operations", "analyst")
def ask(key: str) -> ResponseReturnValue:
    """Have it rehearsed."""
    try:
        rehearsing.ask(acting(), key, request.form.get("times", TIMES, type=int), request.form.get("seed", "1").strip())
        flash(_("It is being rehearsed."))
    except InputError as error:
        flash(str(error), "error")
    return redirect(url_for("power.rehearsal", key=key), 303)


def _known(plan: Plan, result: Rehearsal) -> list[Tried]:
    """Analyses of outcomes that the plan still has."""
    keys = {outcome.key for outcome in plan.outcomes}
    return [tried for tried in result.tried if tried.outcome in keys]
