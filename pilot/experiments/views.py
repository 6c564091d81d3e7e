"""The sealed plan as a file."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from pilot.accounts.guards import requires
from pilot.experiments import service

bp = Blueprint("experiments", __name__)


@bp.get("/experiments/<key>/plan.json")
@requires("operations", "analyst", "viewer")
def plan(key: str) -> ResponseReturnValue:
    """The plan byte for byte as it was hashed: `sha256sum` of this file is the plan hash."""
    found = service.get(key)
    service.plan_of(found)  # refuses one that was edited after the seal
    return Response(found.plan.encode(), mimetype="application/json")
