from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pilot import clock
from pilot.accounts.service import Actor
from pilot.api import AnswerReceived, Event, hookimpl
from pilot.db import Model, db, transaction
from pilot.experiments.models import Experiment
from pilot.surveys import service
from pilot.surveys.models import Response

from .conftest import SURVEYED, World

Link = Callable[[str], str]

FIRST = {"page": "1", "csat": "4", "nps": "0"}
SECOND = {"page": "2", "service.reach": "5", "channel": "other", "channel.other": "fax", "comment": "Grazie!"}


def send(client: FlaskClient, path: str, fields: dict[str, str], key: str = "a" * 22) -> TestResponse:
    return client.post(path, data={"submission_key": key, **fields})


def answer(client: FlaskClient, path: str, key: str = "a" * 22) -> TestResponse:
    send(client, path, FIRST)
    return send(client, path, SECOND, key)


def stored() -> Response:
    db.session.rollback()
    return db.session.scalars(sa.select(Response)).one()


def contents() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    db.session.rollback()
    return {
        table.name: sorted((tuple(row) for row in db.session.execute(sa.select(table))), key=repr)
        for table in Model.metadata.sorted_tables
    }


def heading(response: TestResponse) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", response.text)
    assert found is not None
    return unescape(found.group(1))


def test_answers_are_kept_as_given_page_by_page(app: Flask, link: Link, client: FlaskClient) -> None:
    path = link("C0")
    saved = send(client, path, FIRST)
    assert (saved.status_code, saved.location) == (303, f"{path}?page=2")
    assert (stored().answers, stored().pages, stored().completed_at) == ({"csat": 4, "nps": 0}, 1, None)
    sent = send(client, path, SECOND)
    assert (sent.status_code, sent.location) == (303, f"{path}/thanks")
    assert heading(client.get(sent.location)) == "Thank you"
    assert stored().answers == {
        "csat": 4,
        "nps": 0,
        "service": {"reach": 5},
        "channel": {"option": "other", "text": "fax"},
        "comment": "Grazie!",
    }
    assert stored().completed_at is not None


def test_looking_changes_nothing_at_all(app: Flask, link: Link, client: FlaskClient) -> None:
    answer(client, link("C1"))
    send(client, link("C2"), FIRST)
    before = contents()
    for path in (link("C0"), link("C1"), link("C2"), link("C1") + "/thanks", "/s/wrong"):
        for query in ("", "?lang=pl", "?page=2", "?csat=5&nps=10&page=1"):
            for method in ("GET", "HEAD", "OPTIONS"):
                looked = client.open(path + query, method=method)
                assert "Set-Cookie" not in looked.headers
    assert contents() == before


def test_a_scanner_that_opens_every_link_leaves_no_trace(
    sqlite_app: Flask, world: World, link: Link, client: FlaskClient
) -> None:
    for ref in world.customers:
        client.head(link(ref))
        page = client.get(link(ref))
        for address in re.findall(r'href="(/[^"]*)"', page.text):
            client.get(unescape(address))
    counts = service.dispositions(world.experiment_id)
    assert {name: arm["unknown"] for name, arm in counts.items()} == {"control": 4, "pilot": 4}
    assert answer(client, link("C0")).status_code == 303


def test_sending_the_same_answers_again_gets_the_same_thanks(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    first, again = answer(client, link("C0")), send(client, link("C0"), {**SECOND, "comment": "twice"})
    assert (again.status_code, again.location) == (first.status_code, first.location)
    assert stored().answers["comment"] == "Grazie!"


def test_other_answers_on_a_used_link_are_refused_and_the_first_are_kept(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    answer(client, link("C0"))
    for fields in (FIRST, SECOND):
        other = send(client, link("C0"), fields, key="b" * 22)
        assert (other.status_code, heading(other)) == (409, "You have already answered")
    assert client.get(link("C0")).status_code == 200
    assert heading(client.get(link("C0"))) == "You have already answered"
    assert stored().answers["comment"] == "Grazie!"


def _post_together(app: Flask, path: str, posts: list[tuple[dict[str, str], str]]) -> list[int]:
    """Send all posts at the same moment, each from its own browser; their statuses in ascending order."""
    statuses: list[int] = []
    together = threading.Barrier(len(posts))

    def post(fields: dict[str, str], key: str) -> None:
        browser = FlaskClient(app)
        together.wait()
        statuses.append(send(browser, path, fields, key).status_code)

    threads = [threading.Thread(target=post, args=one) for one in posts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def test_many_posts_of_one_link_at_once_make_one_answer(app: Flask, link: Link, client: FlaskClient) -> None:
    for ref in ("C0", "C2"):
        send(client, link(ref), FIRST)
    assert _post_together(app, link("C0"), [(SECOND, "same")] * 6) == [303] * 6
    assert _post_together(app, link("C2"), [(SECOND, str(number)) for number in range(6)]) == [303] + [409] * 5
    assert len(contents()["responses"]) == 2


def test_first_posts_at_once_make_one_draft(app: Flask, link: Link) -> None:
    posts = [({**FIRST, "csat": level}, "") for level in "1234"]
    assert _post_together(app, link("C0"), posts) == [303] * 4
    assert stored().pages == 1


def test_coming_back_shows_the_next_page_and_none_of_the_earlier_answers(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    path = link("C0")
    send(client, path, FIRST)
    back = client.get(path)
    assert 'name="page" value="2"' in back.text
    earlier = client.get(f"{path}?page=1")
    assert 'name="page" value="1"' in earlier.text
    assert "You have filled in this page before" in earlier.text
    assert " checked" not in back.text + earlier.text


def test_a_page_sent_again_replaces_only_itself(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    path = link("C0")
    send(client, path, FIRST)
    send(client, path, {"page": "1", "csat": "2"})
    send(client, path, SECOND)
    assert stored().answers["csat"] == 2
    assert "nps" not in stored().answers
    assert stored().answers["comment"] == "Grazie!"


def test_no_page_can_be_skipped(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    path = link("C0")
    for page in ("2", "3", "99", "0", "-1"):
        assert 'name="page" value="1"' in client.get(f"{path}?page={page}").text
        skipped = send(client, path, {**SECOND, "page": page})
        assert (skipped.status_code, skipped.location) == (303, path)
    assert contents()["responses"] == []


def test_an_error_stands_beside_its_field_and_what_was_typed_is_still_there(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    refused = send(client, link("C0"), {"page": "1", "nps": "0"})
    assert refused.status_code == 422
    assert '<a href="#csat">Overall, how satisfied' in refused.text
    assert re.search(r'id="csat-error">.*Please answer this question\.', refused.text)
    assert re.search(r'name="nps" value="0" id="nps" checked', refused.text)
    assert contents()["responses"] == []


def test_markup_is_shown_and_never_obeyed(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    path, nasty = link("C0"), "</textarea><script>alert(1)</script>{{ 7*7 }}"
    send(client, path, FIRST)
    refused = send(client, path, {**SECOND, "channel": "no", "channel.other": "", "comment": nasty})
    assert refused.status_code == 422
    assert "<script" not in refused.text
    assert unescape(refused.text).count(nasty) == 1
    send(client, path, {**SECOND, "comment": nasty})
    assert stored().answers["comment"] == nasty


def test_control_characters_do_not_break_the_database(app: Flask, link: Link, client: FlaskClient) -> None:
    path = link("C0")
    send(client, path, FIRST)
    assert send(client, path, {**SECOND, "comment": "a\x00b😀ż"}).status_code == 303
    assert stored().answers["comment"] == "ab😀ż"


def test_a_value_that_was_never_offered_is_refused(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    for fields in ({"csat": "6"}, {"csat": "4", "nps": "11"}, {"csat": "4", "nps": "'--"}):
        assert send(client, link("C0"), {"page": "1", **fields}).status_code == 422
    assert contents()["responses"] == []


def test_a_post_that_is_far_too_large_is_refused_early(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    large = send(client, link("C1"), {**FIRST, "comment": "x" * 70_000})
    assert (large.status_code, heading(large)) == (413, "That was too much at once")
    assert contents()["responses"] == []


def test_a_wrong_link_of_any_shape_gets_the_same_page(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    shapes = ("wrong", "A" * 43, "A" * 10_000, "%27", "x'--", "%00", "%F0%9F%98%80", "%ff%fe", "..%252f", "%ED%A0%80")
    for path in (f"/s/{token}" for token in shapes):
        for response in (client.get(path), client.get(f"{path}/thanks"), send(client, path, FIRST)):
            assert (response.status_code, heading(response)) == (404, "This link does not work")


def test_a_closed_survey_says_so_and_takes_nothing(
    sqlite_app: Flask, link: Link, client: FlaskClient, operator: Actor
) -> None:
    send(client, link("C1"), FIRST)
    service.close_wave(operator, "desk")
    for response in (client.get(link("C0")), send(client, link("C0"), FIRST)):
        assert (response.status_code, heading(response)) == (410, "This survey is closed")
    italian = send(client, link("C1"), SECOND)
    assert (italian.status_code, heading(italian)) == (410, "Questo sondaggio è chiuso")
    assert stored().completed_at is None


def test_a_survey_closes_by_itself_after_its_last_day(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    clock.travel(SURVEYED + timedelta(days=21, hours=12, minutes=59))
    assert client.get(link("C0")).status_code == 200
    clock.travel(SURVEYED + timedelta(days=21, hours=13))
    assert client.get(link("C0")).status_code == 410


def test_no_answer_comes_in_after_the_experiment_has_closed(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    with transaction() as work:
        work.session.scalars(sa.select(Experiment)).one().state = "closed"
    assert send(client, link("C0"), FIRST).status_code == 410


def test_the_page_speaks_the_customers_language_until_they_switch(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    titles = {
        "en": "Your view of our service",
        "it": "La Sua opinione sul nostro servizio",
        "pl": "Państwa opinia o naszej obsłudze",
    }
    for path, language in [
        (link("C1"), "it"),
        (link("C2"), "pl"),
        (link("C3"), "en"),
        (link("C1") + "?lang=pl", "pl"),
        (link("C1") + "?lang=xx", "it"),
    ]:
        page = client.get(path)
        assert f'<html lang="{language}">' in page.text
        assert heading(page) == titles[language]


def test_a_switched_language_stays_to_the_end_and_is_stored(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    path = link("C1")
    page = client.get(f"{path}?lang=pl")
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    second = send(client, action.group(1), FIRST)
    assert '<html lang="pl">' in client.get(second.location).text
    assert stored().language == "pl"
    assert '<html lang="pl">' in client.get(path).text


def test_a_wrong_link_speaks_the_browsers_language(sqlite_app: Flask, client: FlaskClient) -> None:
    page = client.get("/s/wrong", headers={"Accept-Language": "de, pl;q=0.8"})
    assert '<html lang="pl">' in page.text


def test_a_page_is_one_small_answer_that_asks_nobody_for_anything(
    sqlite_app: Flask, link: Link, client: FlaskClient
) -> None:
    send(client, link("C1"), FIRST)
    for response in (client.get(link("C0")), client.get(link("C1")), client.get("/s/wrong")):
        assert len(response.data) < 60_000
        assert not re.findall(r'(?:src|srcset|action|formaction)="(?!/s/)|url\(|@import|<script', response.text)
        assert set(re.findall(r'<link[^>]*href="([^"]*)"', response.text)) == {"data:,"}
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_observers_hear_of_a_completed_answer_once(sqlite_app: Flask, link: Link, client: FlaskClient) -> None:
    heard: list[Event] = []

    class Ear:
        @hookimpl
        def on_event(self, event: Event) -> None:
            heard.append(event)

    sqlite_app.extensions["pilot.plugins"].manager.register(Ear(), "ear")
    answer(client, link("C0"))
    send(client, link("C0"), SECOND)
    assert [type(event) for event in heard] == [AnswerReceived]
