"""Who acts, what they may do, and the trail of what they did."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from email_validator import EmailNotValidError, validate_email

from pilot import clock
from pilot.accounts.models import ROLES, AuditEntry, Role, User
from pilot.config import LANGUAGES
from pilot.db import db, transaction
from pilot.errors import Forbidden, InputError

MIN_PASSWORD = 12


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts: a member of staff, or the system itself. Services take one and never see a request."""

    name: str
    roles: frozenset[str] = frozenset()

    def may(self, *roles: str) -> bool:
        """Whether the actor has one of these roles; `admin` has all."""
        return bool(self.roles & {"admin", *roles})

    def require(self, *roles: str) -> None:
        """Let pass whoever has one of these roles; `admin` has all.

        Raises:
            Forbidden: The actor has none of them.
        """
        if not self.may(*roles):
            raise Forbidden(f"{self.name} may not do this", remedy=f"It takes the role {' or '.join(roles) or 'admin'}")


SYSTEM = Actor("system", frozenset({"admin"}))
"""Acts for commands at the terminal and for scheduled work."""


def record(actor: Actor, action: str, subject: str, **details: Any) -> None:
    """Add to the audit trail, inside the caller's transaction.

    Args:
        actor: Who did it.
        action: Verb in the past tense, e.g. `sealed`.
        subject: What it was done to, as `kind:key`.
        details: Plain JSON values.
    """
    db.session.add(AuditEntry(at=clock.now(), actor=actor.name, action=action, subject=subject, details=details))


def trail(subject: str) -> list[AuditEntry]:
    """What happened to a subject, oldest first."""
    return list(db.session.scalars(sa.select(AuditEntry).where(AuditEntry.subject == subject).order_by(AuditEntry.id)))


def add_user(actor: Actor, email: str, role: str, password: str | None = None) -> tuple[User, str]:
    """Create a member of staff.

    Args:
        actor: Who creates it; an admin.
        email: Their address, also their log-in name.
        role: One of `ROLES`.
        password: At least 12 characters; a random one is made if none is given.

    Returns:
        The user and the password in clear, which is stored nowhere.

    Raises:
        InputError: Address, role or password cannot be used, or the address is taken.
    """
    from flask_security.utils import hash_password

    actor.require()
    if role not in ROLES:
        raise InputError(f"unknown role {role!r}", remedy=f"Roles: {', '.join(ROLES)}")
    try:
        address = validate_email(email, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise InputError(
            f"{email!r} is not an e-mail address: {error}", remedy="Write it as name@company.com"
        ) from error
    clear = password or secrets.token_urlsafe(15)
    if len(clear) < MIN_PASSWORD:
        raise InputError("the password is too short", remedy=f"Use at least {MIN_PASSWORD} characters")
    with transaction() as work:
        if db.session.scalar(sa.select(User.id).where(sa.func.lower(User.email) == address.lower())):
            raise InputError(f"{address} has an account already", remedy="Choose another address")
        held = db.session.scalar(sa.select(Role).where(Role.name == role)) or Role(name=role)
        user = User(email=address, password=hash_password(clear), fs_uniquifier=secrets.token_hex(16), roles=[held])
        work.session.add(user)
        record(actor, "user added", f"user:{address}", role=role)
    return user, clear


def all_users() -> list[User]:
    """Everybody who has an account, by address."""
    return list(db.session.scalars(sa.select(User).order_by(User.email)))


def administrators() -> list[str]:
    """The addresses of those who give roles."""
    return [user.email for user in all_users() if user.active and any(role.name == "admin" for role in user.roles)]


def note_log_in(actor: Actor) -> None:
    """Write into the trail that somebody logged in."""
    with transaction():
        record(actor, "logged in", f"user:{actor.name}")


def choose_language(actor: Actor, language: str) -> None:
    """Keep the language somebody chose for their pages, in their own account.

    Raises:
        InputError: There are no pages in that language.
    """
    if language not in LANGUAGES:
        raise InputError(f"there are no pages in {language!r}", remedy=f"Choose one of {', '.join(LANGUAGES)}")
    with transaction() as work:
        work.session.execute(sa.update(User).where(User.email == actor.name).values(language=language))
