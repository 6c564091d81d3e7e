"""What the base is: the dashboard, the most valuable customers."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("base", __name__, url_prefix="/base")
