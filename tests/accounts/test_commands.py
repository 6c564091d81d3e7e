import json

from flask import Flask
from flask_security.utils import verify_password

from pilot.accounts.commands import users
from pilot.accounts.models import User
from pilot.accounts.service import trail
from pilot.db import db


def test_an_added_user_gets_a_password_that_is_printed_once_and_stored_hashed(app: Flask) -> None:
    done = app.test_cli_runner().invoke(users, ["add", "anna@example.com", "--role", "viewer", "--json"])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    db.session.rollback()
    user = db.session.query(User).one()
    assert (user.email, [role.name for role in user.roles]) == ("anna@example.com", ["viewer"])
    assert user.password.startswith("$argon2id$")
    assert printed["password"] not in user.password
    assert verify_password(printed["password"], user.password)
    assert [entry.action for entry in trail("user:anna@example.com")] == ["user added"]


def test_a_password_can_come_from_standard_input_and_is_not_printed(sqlite_app: Flask) -> None:
    done = sqlite_app.test_cli_runner().invoke(
        users, ["add", "bo@example.com", "--role", "admin", "--password-stdin"], input="a calm long secret\n"
    )
    assert done.exit_code == 0
    assert "a calm long secret" not in done.output
    db.session.rollback()
    assert verify_password("a calm long secret", db.session.query(User).one().password)


def test_the_list_names_everybody_with_their_roles(sqlite_app: Flask) -> None:
    runner = sqlite_app.test_cli_runner()
    runner.invoke(users, ["add", "zoe@example.com", "--role", "agent"])
    runner.invoke(users, ["add", "adam@example.com", "--role", "admin"])
    listed = json.loads(runner.invoke(users, ["list", "--json"]).stdout)
    assert [(row["email"], row["roles"]) for row in listed] == [
        ("adam@example.com", ["admin"]),
        ("zoe@example.com", ["agent"]),
    ]
