"""`pilot users`: who may log in."""

from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from pilot import console
from pilot.accounts import service
from pilot.accounts.models import ROLES


@click.group()
def users() -> None:
    """Staff accounts and their roles."""


@users.command()
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the account may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@console.json_option
@with_appcontext
def add(email: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Give EMAIL an account. A password made here is printed once and stored nowhere."""
    given = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    user, password = service.add_user(service.SYSTEM, email, role, given)
    made = {} if password_stdin else {"password": password}
    console.result(
        {"email": user.email, "role": role, **made},
        as_json,
        lambda: "\n".join([f"{user.email} may log in as {role}.", *(f"Password: {clear}" for clear in made.values())]),
    )


@users.command("list")
@console.json_option
@with_appcontext
def list_(as_json: bool) -> None:
    """Everybody who has an account."""
    people = [(user.email, sorted(role.name for role in user.roles), user.active) for user in service.all_users()]
    console.result(
        [{"email": email, "roles": roles, "active": active} for email, roles, active in people],
        as_json,
        lambda: console.table(
            ["E-mail", "Roles", "Active"],
            [(email, ", ".join(roles), "yes" if active else "no") for email, roles, active in people],
        ),
    )
