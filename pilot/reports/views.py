"""The list of experiments, each one's page, and its report as a PDF."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flask import Blueprint, render_template, request, send_file
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from pilot import __version__
from pilot.accounts.guards import acting, requires
from pilot.config import LANGUAGES, current
from pilot.errors import NotFound, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment
from pilot.reports import board, results, service

bp = Blueprint("reports", __name__)

READERS = ("operations", "analyst", "viewer")


@bp.app_context_processor
def _words() -> dict[str, object]:
    return {"state_names": board.STATE_NAMES, "action_name": board.action_name}


@bp.get("/")
@requires(*READERS)
def home() -> ResponseReturnValue:
    """All experiments and what each of them waits for."""
    return render_template("experiments/list.html", lines=board.overview())


@bp.get("/experiments/<key>")
@requires(*READERS)
def experiment(key: str) -> ResponseReturnValue:
    """One experiment: state, flow, response rates; results once it is closed."""
    found = experiments.get(key)
    material = service.material(found, get_locale().language) if found.state in board.OPENED else None
    return render_template(
        "experiments/experiment.html", board=board.board(found), results=results.read(material) if material else None
    )


@bp.get("/experiments/<key>/report.pdf")
@requires(*READERS)
def report(key: str) -> ResponseReturnValue:
    """The report, written when it is first asked for.

    Raises:
        StateError: The experiment is not closed yet, or its arms have not been compared.
    """
    found = experiments.get(key)
    language = request.args.get("lang", get_locale().language)
    if language not in LANGUAGES:
        raise NotFound(f"there is no report in {language!r}", remedy=f"Choose one of {', '.join(LANGUAGES)}")
    path = _written(found, language)
    return send_file(path, mimetype="application/pdf", download_name=f"{found.key}-{language}.pdf")


def _written(experiment: Experiment, language: str) -> Path:
    """The report of what is known now; written once, for it says the same as long as nothing new is known."""
    runs = service.runs(experiment.id)
    if experiment.state not in board.OPENED or not runs:
        raise StateError(
            "there is no report yet", place=experiment.key, remedy="Close the pilot and compare its arms first"
        )
    known = [__version__, language, experiment.plan_hash, experiment.state, experiment.decision]
    digests = [[run.id, run.evidence_digest, run.comparison] for run in runs]
    name = hashlib.sha256(json.dumps([known, digests], sort_keys=True).encode()).hexdigest()[:24]
    path = current().data_dir / "reports" / f"{experiment.key}-{language}-{name}.pdf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        service.write_report(acting(), experiment.key, path, language)
    return path.resolve()
