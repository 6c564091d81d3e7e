"""Who may open a page, and who is acting."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import current_app, redirect, request, url_for
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

        guarded.open_to = roles  # type: ignore[attr-defined]
        return guarded

    return guard


def room(path: str) -> str | None:
    """The page at this address, with or without a final slash, if it is open to whoever is acting; else None."""
    for address in (path, f"{path}/"):
        for rule in current_app.url_map.iter_rules():
            if rule.rule == address and "GET" in (rule.methods or ()):
                roles = getattr(current_app.view_functions[rule.endpoint], "open_to", ())
                return address if not roles or acting().may(*roles) else None
    return None


def _here() -> str | None:
    """Where to come back to: this page, if it can be asked for again, and never another site."""
    if request.method not in ("GET", "HEAD") or request.path == "/":
        return None
    return request.full_path.rstrip("?")
