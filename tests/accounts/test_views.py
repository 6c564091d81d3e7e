import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pilot import clock
from pilot.accounts.brake import Brake
from pilot.accounts.models import Role, User
from pilot.accounts.service import SYSTEM, add_user, trail
from pilot.db import transaction

EMAIL, PASSWORD = "anna@example.com", "a calm long secret"
PUBLIC = {"static", "bootstrap.static", "security.static", "security.login", "accounts.language"}


@pytest.fixture
def browse(app: Flask) -> Callable[[], FlaskClient]:
    """A new browser each time; Anna of operations has an account."""
    add_user(SYSTEM, EMAIL, "operations", PASSWORD)
    return app.test_client


def log_in(client: FlaskClient, email: str = EMAIL, password: str = PASSWORD, path: str = "/login") -> TestResponse:
    token = _token(client.get(path).text)
    return client.post(path, data={"email": email, "password": password, "csrf_token": token})


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found
    return found.group(1)


def test_who_logs_in_comes_back_to_the_page_they_wanted(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    turned_away = client.get("/experiments/desk-2026?x=1")
    assert turned_away.status_code == 302
    assert turned_away.location == "/login?next=/experiments/desk-2026?x%3D1"
    assert log_in(client, path=turned_away.location).location == "/experiments/desk-2026?x=1"
    assert client.get("/").status_code == 200
    assert [entry.action for entry in trail(f"user:{EMAIL}")] == ["user added", "logged in"]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        r"\\evil.example",
        r"/\evil.example",
        "///evil.example",
        "javascript:x",
    ],
)
def test_no_way_leads_from_the_log_in_to_another_site(browse: Callable[[], FlaskClient], target: str) -> None:
    client = browse()
    token = _token(client.get("/login").text)
    there = client.post("/login", data={"email": EMAIL, "password": PASSWORD, "csrf_token": token, "next": target})
    assert urlsplit(urljoin("http://localhost/login", there.location)).netloc == "localhost"
    token = _token(client.get("/").text)
    back = client.post("/language", data={"language": "pl", "back": target, "csrf_token": token})
    assert urlsplit(urljoin("http://localhost/language", back.location)).netloc == "localhost"


def test_a_wrong_password_and_an_unknown_address_sound_alike(browse: Callable[[], FlaskClient]) -> None:
    pages = [log_in(browse(), *who) for who in ((EMAIL, "wrong"), ("nobody@example.com", "wrong"))]
    texts = {re.sub(r'value="[^"]*"', "", page.text).replace(" autofocus", "") for page in pages}
    assert [page.status_code for page in pages] == [200, 200]
    assert len(texts) == 1
    assert "The address or the password is not right" in texts.pop()


def test_guessing_is_stopped_and_the_owner_gets_in_after_the_wait(
    sqlite_app: Flask, browse: Callable[[], FlaskClient]
) -> None:
    sqlite_app.extensions["pilot.brake"] = Brake(attempts=2)
    noon = datetime(2026, 7, 3, 12, tzinfo=UTC)
    clock.travel(noon)
    assert [log_in(browse(), password=f"guess {n}").status_code for n in range(2)] == [200, 200]
    stopped = log_in(browse())
    assert stopped.status_code == 429
    assert "Wait 15 minutes, then try again" in stopped.text
    clock.travel(noon + timedelta(minutes=16))
    assert log_in(browse()).status_code == 302


def test_after_logging_out_the_pages_are_closed(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    log_in(client)
    client.post("/logout", data={"csrf_token": _token(client.get("/").text)})
    assert client.get("/").location == "/login"


@pytest.mark.parametrize("change", [{"active": False}, {"fs_uniquifier": "another"}])
def test_a_disabled_account_or_a_changed_password_ends_open_sessions(
    browse: Callable[[], FlaskClient], change: dict[str, object]
) -> None:
    client = browse()
    log_in(client)
    with transaction() as work:
        work.session.query(User).update(change)
    assert client.get("/").location == "/login"


def test_a_role_taken_away_closes_the_page_at_once(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    log_in(client)
    with transaction() as work:
        work.session.query(User).one().roles = [Role(name="agent")]
    refused = client.get("/experiments/desk-2026")
    assert refused.status_code == 403
    assert "operations or analyst or viewer" in refused.text


def test_an_agent_learns_what_the_role_is_for_and_whom_to_ask(browse: Callable[[], FlaskClient]) -> None:
    add_user(SYSTEM, "desk@example.com", "agent", PASSWORD)
    add_user(SYSTEM, "boss@example.com", "admin", PASSWORD)
    client = browse()
    log_in(client, "desk@example.com")
    page = client.get("/")
    assert page.status_code == 200
    assert "You are a service desk agent" in page.text
    assert 'href="mailto:boss@example.com"' in page.text
    assert EMAIL not in page.text


def test_an_account_without_a_role_is_told_so(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    log_in(client)
    with transaction() as work:
        work.session.query(User).one().roles = []
    page = client.get("/")
    assert page.status_code == 200
    assert "Your account has no role yet" in page.text
    assert "ask whoever gave you this account" in page.text


def test_a_stolen_session_is_worthless_in_another_browser(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    log_in(client)
    thief = browse()
    cookie = client.get_cookie("session")
    assert cookie
    thief.set_cookie("session", cookie.value)
    assert client.get("/").status_code == 200
    assert thief.get("/", headers={"User-Agent": "another browser"}).location == "/login"


def test_no_page_of_staff_opens_without_a_log_in(sqlite_app: Flask) -> None:
    client = sqlite_app.test_client()
    rules = [rule for rule in sqlite_app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    closed = [rule for rule in rules if rule.endpoint not in PUBLIC and not rule.endpoint.startswith("answering.")]
    assert {"reports.home", "reports.experiment", "reports.report", "experiments.plan"} <= {
        rule.endpoint for rule in closed
    }
    for rule in closed:
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        assert client.get(path).status_code in (302, 404), path
        assert client.get(path).headers.get("Location", "/login").startswith("/login"), path


def test_the_language_chosen_on_a_page_holds_in_every_browser_of_the_account(browse: Callable[[], FlaskClient]) -> None:
    client = browse()
    log_in(client)
    page = client.get("/")
    changed = client.post("/language", data={"language": "it", "back": "/?x=1", "csrf_token": _token(page.text)})
    assert changed.location == "/?x=1"
    other = browse()
    assert '<html lang="en">' in other.get("/login").text
    log_in(other)
    assert '<html lang="it">' in other.get("/").text


def test_log_in_by_json_is_braked_like_any_other(sqlite_app: Flask, browse: Callable[[], FlaskClient]) -> None:
    sqlite_app.extensions["pilot.brake"] = Brake(attempts=1)
    client = browse()
    headers = {"X-CSRFToken": _token(client.get("/login").text)}
    guess = {"email": EMAIL, "password": "guess"}
    assert [client.post("/login", json=guess, headers=headers).status_code for _ in range(2)] == [400, 429]
