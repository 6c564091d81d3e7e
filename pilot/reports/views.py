"""The list of experiments, each one's page, and its report as a PDF."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from pilot.accounts.guards import acting, requires
from pilot.accounts.service import administrators
from pilot.config import LANGUAGES
from pilot.errors import NotFound
from pilot.experiments import service as experiments
from pilot.reports import board, results, running, service

bp = Blueprint("reports", __name__)

READERS = ("operations", "analyst", "viewer")


@bp.app_context_processor
def _words() -> dict[str, object]:
    return {"state_names": board.STATE_NAMES, "action_name": board.action_name}


@bp.get("/")
@requires()
def home() -> ResponseReturnValue:
    """All experiments and what each of them waits for; whose role opens none of them learns what the role is for."""
    actor = acting()
    if actor.roles == {"outsourced"}:
        return redirect(url_for("completion.work"))
    if not actor.may(*READERS):
        return render_template("admin/welcome.html", roles=actor.roles, administrators=administrators())
    return render_template("experiments/list.html", lines=board.overview(), drafts=experiments.unfinished())


@bp.get("/experiments/<key>")
@requires(*READERS)
def experiment(key: str) -> ResponseReturnValue:
    """One experiment: state, flow, response rates; results once it is closed."""
    found = experiments.get(key)
    material = service.material(found, get_locale().language) if found.state in board.OPENED else None
    return render_template(
        "experiments/experiment.html",
        board=board.board(found),
        results=results.read(material) if material else None,
        running=running.read(found),
    )


@bp.get("/experiments/<key>/report.pdf")
@requires(*READERS)
def report(key: str) -> ResponseReturnValue:
    """The report, written when it is first asked for.

    Raises:
        StateError: The experiment is not closed yet, or its arms have not been compared.
    """
    language = request.args.get("lang", get_locale().language)
    if language not in LANGUAGES:
        raise NotFound(f"there is no report in {language!r}", remedy=f"Choose one of {', '.join(LANGUAGES)}")
    path = service.kept_report(acting(), key, language)
    return send_file(path, mimetype="application/pdf", download_name=f"{key}-{language}.pdf")
