"""What is missing in the data of customers, and the work list to fill it in."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("completion", __name__, url_prefix="/completion")
