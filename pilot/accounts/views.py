"""Logging in and out, and the choice of language."""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_security import Security, SQLAlchemyUserDatastore, user_authenticated

from pilot import web
from pilot.accounts import service
from pilot.accounts.brake import Brake
from pilot.accounts.forms import LogInForm
from pilot.accounts.guards import acting, room
from pilot.accounts.models import Role, User
from pilot.accounts.service import Actor
from pilot.config import LANGUAGES
from pilot.db import db
from pilot.errors import InputError

bp = Blueprint("accounts", __name__)

_YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Give the application its staff: log-in and log-out, and nothing that sends mail or makes accounts."""
    app.config.update(
        SECURITY_API_ENABLED_METHODS=["session"],
        SECURITY_CSRF_IGNORE_UNAUTH_ENDPOINTS=False,
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106
        SECURITY_PASSWORD_LENGTH_MIN=service.MIN_PASSWORD,
        SECURITY_PASSWORD_SALT=app.config["SECRET_KEY"],
        SECURITY_POST_LOGOUT_VIEW="/login",
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SESSION_PROTECTION="strong",
    )
    app.extensions["pilot.brake"] = Brake()
    Security(app, SQLAlchemyUserDatastore(db, User, Role), login_form=LogInForm)
    web.prefer_language(app, lambda: getattr(current_user, "language", None))
    user_authenticated.connect(_logged_in, app)
    app.register_blueprint(bp)


@bp.app_context_processor
def _navigation() -> dict[str, object]:
    return {"room": room, "may": lambda *roles: acting().may(*roles)}


@bp.post("/language")
def language() -> ResponseReturnValue:
    """Remember the language somebody chose, in their account if they have one, and show the page again."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        raise InputError("this site does not speak that language", remedy=f"Choose one of {', '.join(LANGUAGES)}")
    if current_user.is_authenticated:
        service.choose_language(acting(), chosen)
    answer = redirect(web.local_path(request.form.get("back")))
    answer.set_cookie(
        web.LANGUAGE_COOKIE, chosen, max_age=_YEAR, httponly=True, samesite="Lax", secure=request.is_secure
    )
    return answer


def _logged_in(_app: Flask, user: User, **_how: object) -> None:
    service.note_log_in(Actor(user.email))
