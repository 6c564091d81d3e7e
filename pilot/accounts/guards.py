"""Who may open a page, and who is acting."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from pilot.accounts.service import Actor

Arguments = ParamSpec("Arguments")
View = Callable[Arguments, ResponseReturnValue]


def acting() -> Actor:
    """The member of staff behind the present request, with today's roles; without any when nobody is logged in."""
    if not current_user.is_authenticated:
        return Actor("nobody")
    return Actor(current_user.email, frozenset(role.name for role in current_user.roles))


def requires(*roles: str) -> Callable[[View[Arguments]], View[Arguments]]:
    """Open a view to members of staff with one of these roles (`admin` has all); to all staff if none is named.

    Whoever is not logged in is sent to the log-in and comes back afterwards; whoever lacks the role gets 403.
    """

    def guard(view: View[Arguments]) -> View[Arguments]:
        @wraps(view)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResponseReturnValue:
            if not current_user.is_authenticated:
                return redirect(url_for("security.login", next=_here()))
            if roles:
                acting().require(*roles)
            return view(*args, **kwargs)

        return guarded

    return guard


def _here() -> str | None:
    """Where to come back to: this page, if it can be asked for again, and never another site."""
    if request.method not in ("GET", "HEAD") or request.path == "/":
        return None
    return request.full_path.rstrip("?")
