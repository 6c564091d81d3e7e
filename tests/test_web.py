import re
from datetime import UTC, date, datetime

import pytest
from flask import Flask, render_template_string, request
from flask.testing import FlaskClient
from flask_babel import force_locale

from pilot import web
from pilot.accounts.service import SYSTEM, add_user
from pilot.app import create_app
from pilot.db import db
from pilot.errors import InputError

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/login", 200),
        ("GET", "/", 302),
        ("GET", "/nowhere", 404),
        ("GET", "/logout", 405),
        ("GET", "/broken", 500),
    ],
)
def test_every_answer_is_protected(sqlite_app: Flask, method: str, path: str, status: int) -> None:
    _break(sqlite_app)
    answer = sqlite_app.test_client().open(path, method=method)
    assert answer.status_code == status
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "Strict-Transport-Security" not in answer.headers


def test_style_sheets_may_be_kept_by_the_browser(sqlite_app: Flask) -> None:
    with sqlite_app.test_client().get("/static/tokens.css") as answer:
        assert answer.status_code == 200
        assert "no-store" not in answer.headers["Cache-Control"]


def test_a_public_site_insists_on_https_and_locks_its_cookie(config) -> None:
    app = create_app(config(base_url="https://pilot.example.com"))
    answer = app.test_client().get("/login", base_url="https://pilot.example.com")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_foreign_host_name_is_refused(sqlite_app: Flask, host: str) -> None:
    answer = sqlite_app.test_client().get("/login", headers={"Host": host})
    assert answer.status_code == 400
    assert host not in answer.text
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_an_error_for_people_says_what_where_and_what_to_do_and_is_never_markup(sqlite_app: Flask) -> None:
    @sqlite_app.get("/bad")
    def bad() -> None:
        raise InputError("the share is <b>1.4</b>", place="<script>alert(1)</script>", remedy="Make shares sum to one")

    answer = sqlite_app.test_client().get("/bad")
    assert answer.status_code == 400
    assert "The share is &lt;b&gt;1.4&lt;/b&gt;. Make shares sum to one." in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text


def test_an_unforeseen_error_tells_nothing_of_the_inside(sqlite_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    _break(sqlite_app)
    answer = sqlite_app.test_client().get("/broken?lang=it")
    assert answer.status_code == 500
    assert '<html lang="it">' in answer.text
    assert "secret inside" not in answer.text
    assert "Traceback" not in answer.text
    assert "secret inside" in caplog.text


def test_a_page_can_still_be_written_when_the_database_is_gone(sqlite_app: Flask) -> None:
    sqlite_app.testing = False
    add_user(SYSTEM, "anna@example.com", "viewer", "a calm long secret")
    client = sqlite_app.test_client()
    token = re.search('name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
    assert token
    sent = {"email": "anna@example.com", "password": "a calm long secret", "csrf_token": token.group(1)}
    client.post("/login", data=sent)
    assert client.get("/").status_code == 200
    db.drop_all()
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something went wrong here" in answer.text
    assert "no such table" not in answer.text


def test_a_wrong_method_names_the_right_one(client: FlaskClient) -> None:
    answer = client.get("/logout")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_a_post_without_the_page_it_comes_from_is_refused(client: FlaskClient) -> None:
    for path in ("/login", "/logout", "/language", "/verify"):
        answer = client.post(path, data={"language": "it"})
        assert answer.status_code == 400, path
        assert "The page had expired" in answer.text


def test_a_body_beyond_all_measure_is_refused(sqlite_app: Flask) -> None:
    assert sqlite_app.test_client().post("/language", data={"back": "x" * 3_000_000}).status_code == 413


def test_a_strangers_error_page_sets_no_cookie(sqlite_app: Flask) -> None:
    answer = sqlite_app.test_client().get("/s/nothing/here")
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "cookie", "accept", "expected"),
    [
        ("/login", None, "", "en"),
        ("/login", None, "tr,pl;q=0.8,it;q=0.5", "pl"),
        ("/login", "it", "pl", "it"),
        ("/login?lang=pl", "it", "en", "pl"),
        ("/login?lang=xx", "yy", "zz", "en"),
    ],
)
def test_the_language_is_asked_for_remembered_or_read_from_the_browser(
    sqlite_app: Flask, path: str, cookie: str | None, accept: str, expected: str
) -> None:
    client = sqlite_app.test_client()
    if cookie:
        client.set_cookie(web.LANGUAGE_COOKIE, cookie)
    assert f'<html lang="{expected}">' in client.get(path, headers={"Accept-Language": accept}).text


@pytest.mark.parametrize(
    ("language", "expected"),
    [  # Unicode CLDR: separators, place of the sign and order of a date in each language
        ("en", "€12,345.50|12,346|38.2%|3 Jul 2026|3 Jul 2026, 09:30"),
        ("it", "12.345,50\xa0€|12.346|38,2%|3 lug 2026|3 lug 2026, 09:30"),
        ("pl", "12\xa0345,50\xa0€|12\xa0346|38,2%|3 lip 2026|3 lip 2026, 09:30"),
    ],
)
def test_figures_and_dates_are_written_as_the_language_has_them(
    sqlite_app: Flask, language: str, expected: str
) -> None:
    template = "{{ 12345.5|money }}|{{ 12345.5001|number }}|{{ 0.3822|percent(1) }}|{{ day|day }}|{{ at|moment }}"
    at = datetime(2026, 7, 3, 7, 30, tzinfo=UTC)  # half past nine in Rome
    with sqlite_app.test_request_context(), force_locale(language):
        assert render_template_string(template, day=date(2026, 7, 3), at=at) == expected


def _break(app: Flask) -> None:
    app.testing = False

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("secret inside")


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "−€3.50|−1,234|−38%"), ("it", "−3,50\xa0€|−1.234|−38%"), ("pl", "−3,50\xa0€|−1\xa0234|−38%")],
)
def test_a_minus_sign_stays_with_its_number(sqlite_app: Flask, language: str, written: str) -> None:
    with sqlite_app.test_request_context(f"/?lang={language}"):
        assert render_template_string("{{ -3.5|money }}|{{ -1234|number }}|{{ -0.38|percent }}") == written


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "evil", "", None]
)
def test_a_way_back_never_leads_off_this_site(target: str | None) -> None:
    assert web.local_path(target) == "/"


def test_a_way_back_on_this_site_is_kept() -> None:
    assert web.local_path("/experiments/desk-2026?arm=pilot") == "/experiments/desk-2026?arm=pilot"


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [(0, "127.0.0.1 http localhost"), (1, "203.0.113.9 https localhost"), (2, "198.51.100.7 https localhost")],
)
def test_only_trusted_proxies_say_whose_request_it_is(config, proxies: int, expected: str) -> None:
    app = create_app(config(trusted_proxies=proxies))
    app.add_url_rule("/whose", view_func=lambda: f"{request.remote_addr} {request.scheme} {request.host}")
    told = {
        "X-Forwarded-For": "192.0.2.1, 198.51.100.7, 203.0.113.9",
        "X-Forwarded-Proto": "https, https",
        "X-Forwarded-Host": "evil.example",
    }
    assert app.test_client().get("/whose", headers=told).text == expected


def test_a_number_that_no_database_can_hold_is_no_page(client: FlaskClient) -> None:
    for page in ("/customers/999999999999999999999", "/imports/2147483648"):
        assert client.get(page).status_code == 404
