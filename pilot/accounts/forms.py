"""The form to log in."""

from __future__ import annotations

import math
from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext
from flask_security.forms import LoginForm
from wtforms import EmailField, Field, PasswordField, SubmitField

from pilot.accounts.brake import Brake, neighbourhood
from pilot.errors import PilotError
from pilot.web import local_path


class TooManyAttempts(PilotError):
    """Somebody is guessing, or has forgotten: it takes a pause."""

    status = 429


class LogInForm(LoginForm):
    """Address and password. What is wrong with them is said in one sentence, which gives nothing away."""

    email = EmailField(lazy_gettext("E-mail address"))
    password = PasswordField(lazy_gettext("Password"))
    remember = None
    submit = SubmitField(lazy_gettext("Log in"))

    def validate_next(self, field: Field) -> None:
        """Whatever leads away from this site is forgotten."""
        field.data = local_path(field.data)

    def validate(self, **kwargs: Any) -> bool:
        """Look at one attempt, unless there were too many.

        Raises:
            TooManyAttempts: This account, or somebody at this address, has to wait.
        """
        brake: Brake = current_app.extensions["pilot.brake"]
        keys = [f"account {(self.email.data or '').strip().casefold()}", f"from {neighbourhood(request.remote_addr)}"]
        wait = brake.admit(keys)
        if wait is not None:
            minutes = max(1, math.ceil(wait.total_seconds() / 60))
            remedy = ngettext("Wait %(num)s minute, then try again", "Wait %(num)s minutes, then try again", minutes)
            raise TooManyAttempts(_("There were too many attempts to log in"), remedy=remedy)
        if not super().validate(**kwargs):
            return False
        brake.forgive(keys)
        return True
