"""Segments, who moves between them, and what that means for their handling."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("segments", __name__, url_prefix="/segments")
