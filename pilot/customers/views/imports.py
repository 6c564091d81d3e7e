"""Files and queries taken in: upload, mapping, progress, history, undo."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("imports", __name__, url_prefix="/imports")
