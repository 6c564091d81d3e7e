import pytest
from flask import Flask

from pilot.accounts.models import User
from pilot.accounts.service import SYSTEM, Actor, add_user, choose_language
from pilot.db import db
from pilot.errors import Forbidden, InputError


@pytest.mark.parametrize(
    ("email", "role", "password", "reason"),
    [
        ("not an address", "viewer", None, "not an e-mail address"),
        ("anna@example.com", "boss", None, "unknown role"),
        ("anna@example.com", "viewer", "short", "too short"),
    ],
)
def test_a_faulty_account_is_refused_and_nothing_is_kept(
    sqlite_app: Flask, email: str, role: str, password: str | None, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        add_user(SYSTEM, email, role, password)
    assert db.session.query(User).count() == 0


def test_an_address_has_one_account_in_whatever_case(app: Flask) -> None:
    add_user(SYSTEM, "anna@example.com", "viewer")
    with pytest.raises(InputError, match="has an account already"):
        add_user(SYSTEM, "ANNA@example.com", "admin")


def test_only_an_admin_adds_users(sqlite_app: Flask, operator: Actor) -> None:
    with pytest.raises(Forbidden):
        add_user(operator, "anna@example.com", "admin")


def test_a_chosen_language_stays_with_the_account(app: Flask) -> None:
    add_user(SYSTEM, "anna@example.com", "viewer")
    choose_language(Actor("anna@example.com"), "pl")
    assert db.session.query(User).one().language == "pl"
    with pytest.raises(InputError):
        choose_language(Actor("anna@example.com"), "xx")
