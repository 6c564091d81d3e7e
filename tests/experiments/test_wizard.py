"""The plan page by page, as a browser without scripts uses it."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from pilot.accounts.service import SYSTEM, Actor, add_user
from pilot.experiments import drafts, service
from pilot.experiments.models import Experiment
from pilot.experiments.templates import register_surveys

PASSWORD = "correct horse battery"
KEY = "service-desk-2026"
PAGES = ("population", "sample", "arms", "calendar", "survey", "outcomes", "size", "notice", "decision")


@pytest.fixture
def staff(small_base: Flask) -> FlaskClient:
    """Somebody of operations who has logged in."""
    register_surveys(small_base, lambda: {"satisfaction": {"csat": "How satisfied are you?"}})
    small_base.config["WTF_CSRF_ENABLED"] = False
    add_user(SYSTEM, "ops@example.com", "operations", PASSWORD)
    client = small_base.test_client()
    client.post("/login", data={"email": "ops@example.com", "password": PASSWORD})
    return client


def begin(staff: FlaskClient) -> None:
    assert staff.post("/experiments/plan/new", data={"template": "service-desk"}).status_code == 303


def fields(page: TestResponse) -> MultiDict[str, str]:
    """What a browser would post of the form of the plan, without touching it."""
    form = re.search(r'<form[^>]*id="plan".*?</form>', page.text, re.S)
    assert form
    found: MultiDict[str, str] = MultiDict()
    for tag in re.findall(r"<input[^>]*>", form[0]):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            found.add(unescape(name[1]), unescape(value[1]) if value else "")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form[0], re.S):
        found.add(unescape(name), unescape(text))
    for name, options in re.findall(r'<select[^>]*name="([^"]*)".*?>(.*?)</select>', form[0], re.S):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        found.add(unescape(name), unescape(chosen[1]) if chosen else "")
    return found


def at(page: str) -> str:
    return f"/experiments/{KEY}/plan/{page}"


def post(staff: FlaskClient, page: str, act: str, **changes: Any) -> TestResponse:
    """Open a page, change some fields (names with `__` for what no argument can be called), press a button."""
    form = fields(staff.get(at(page)))
    for name, value in changes.items():
        form.setlist(name, value if isinstance(value, list) else [value])
    form["act"] = act
    return staff.post(at(page), data=form)


def document() -> dict[str, Any]:
    return drafts.opened(KEY).document


def test_from_the_start_page_to_the_seal_with_next_alone(staff: FlaskClient) -> None:
    begin(staff)
    for here, then in zip(PAGES, (*PAGES[1:], "check"), strict=True):
        answer = post(staff, here, "next")
        assert (answer.status_code, answer.location) == (303, at(then)), here
    assert "Nothing is missing" in staff.get(at("check")).text
    assert post(staff, "check", "seal").location == f"/experiments/{KEY}"
    assert service.get(KEY).state == "sealed"


def test_the_forms_change_nothing_that_was_not_touched(staff: FlaskClient) -> None:
    begin(staff)
    before = service.get(KEY).plan
    for page in PAGES:
        post(staff, page, "save")
    assert service.get(KEY).plan == before


def test_what_was_typed_wrongly_is_kept_and_marked(staff: FlaskClient) -> None:
    begin(staff)
    answer = post(staff, "sample", "next", **{"sampling.size": "about a hundred"})
    assert answer.location == at("sample")
    page = staff.get(at("sample")).text
    assert 'value="about a hundred"' in page
    assert re.search(r'id="sampling\.size:error"[^>]*>Write a whole number\.', page)
    assert post(staff, "sample", "back").location == at("population")
    assert "1 point is still open" in staff.get(at("check")).text
    assert service.get(KEY).state == "draft"
    assert post(staff, "check", "seal").status_code == 409


def test_faults_are_told_in_the_language_of_the_page(staff: FlaskClient) -> None:
    begin(staff)
    post(staff, "arms", "save", **{"arms[1].share": "40"})
    page = staff.get(at("arms") + "?lang=it").text
    assert re.search(r'id="arms\[1\]\.share:error">[^<]*100 ?%', page)
    assert "Together the shares" not in page


def test_numbers_are_read_and_shown_as_the_language_writes_them(staff: FlaskClient) -> None:
    begin(staff)
    form = fields(staff.get(at("outcomes") + "?lang=pl"))
    assert form["outcomes[0].margin"] == "0,25"
    form["outcomes[0].margin"], form["act"] = "0,3", "save"
    staff.post(at("outcomes") + "?lang=pl", data=form)
    assert document()["outcomes"][0]["margin"] == 0.3
    assert document()["analyses"][0]["analysis"]["settings"]["margin"] == 0.3  # there is one margin


def test_arms_outcomes_analyses_and_rules_come_and_go(staff: FlaskClient) -> None:
    begin(staff)
    post(staff, "arms", "add-arm")
    assert [arm["key"] for arm in document()["arms"]] == ["control", "pilot", "pilot-2"]
    assert sum(arm["share"] for arm in document()["arms"]) == pytest.approx(1, abs=1e-12)
    post(staff, "arms", "drop-arm:1")
    assert [arm["key"] for arm in document()["arms"]] == ["control", "pilot-2"]
    post(staff, "outcomes", "add-outcome")
    assert document()["outcomes"][-1]["key"] == "outcome"
    assert document()["analyses"][-1]["outcome"] == "outcome"
    post(staff, "outcomes", "drop-outcome:3")
    assert "outcome" not in {planned["outcome"] for planned in document()["analyses"]}
    post(staff, "population", "add:r")
    post(staff, "population", "save", **{"r.amount": "soon"})
    assert document()["population"]["rule"] == {
        "part": "revenue-at-least",
        "settings": {"amount": "soon"},
    }
    post(staff, "population", "drop:r")
    assert document()["population"]["rule"] is None


def test_the_count_says_why_each_group_is_left_out(staff: FlaskClient) -> None:
    begin(staff)
    post(staff, "population", "add:r")
    post(staff, "population", "save", **{"r.amount": "1510"})
    page = re.sub(r"<[^>]*>|\s+", " ", staff.get(at("population")).text)
    page = re.sub(r" +", " ", page)
    assert "50 can be drawn, of 200 in these segments" in page  # revenue is ten times the number: 151 to 200
    assert "The rule does not take them 150 50" in page


def test_a_page_saves_itself_and_says_so(staff: FlaskClient) -> None:
    begin(staff)
    answer = post(staff, "arms", "auto", **{"arms[0].share": "60", "arms[1].share": "40"})
    told = answer.get_json()
    assert told["version"] == 2
    assert told["saved"].startswith("Saved ")
    assert "120" in told["live"]
    assert "80" in told["live"]
    assert post(staff, "arms", "auto").get_json()["version"] == 2  # nothing was changed


def test_of_two_who_write_the_second_sees_both_versions_and_loses_nothing(staff: FlaskClient) -> None:
    begin(staff)
    mine = fields(staff.get(at("population")))
    post(staff, "population", "save", name="Theirs")
    mine["name"], mine["act"] = "Mine <b>", "next"
    answer = staff.post(at("population"), data=mine)
    assert answer.status_code == 409
    assert "Theirs" in answer.text
    assert "Mine &lt;b&gt;" in answer.text
    assert document()["name"] == "Theirs"
    assert staff.post(at("population"), data={**mine, "act": "auto"}).status_code == 409
    again = MultiDict(
        (unescape(name), unescape(value))
        for name, value in re.findall(r'hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    )
    assert staff.post(at("population"), data={**again.to_dict(flat=False), "act": "save"}).status_code == 303
    assert document()["name"] == "Mine <b>"


def test_each_language_of_the_notice_has_its_preview(staff: FlaskClient) -> None:
    begin(staff)
    post(staff, "notice", "save", **{"notice.it.subject": "Ciao {customer}", "notice.it.body": "Fino al {until} <i>"})
    page = staff.get(at("notice")).text
    assert "Ciao Example customer" in page
    assert "19 luglio 2026 &lt;i&gt;" in page
    assert "Jak będziemy Państwa obsługiwać" in page
    post(staff, "notice", "save", **{"notice.it.subject": "Ciao {customr}"})
    assert 'id="notice.it.subject:error"' in staff.get(at("notice")).text


def test_a_sealed_plan_is_amended_page_by_page_with_a_reason(
    staff: FlaskClient, operator: Actor, bring_to: Callable[[str], Experiment]
) -> None:
    bring_to("sealed")
    page = "/experiments/desk-2026/plan/population"
    form = fields(staff.get(page))
    form["name"], form["act"] = "Another name", "goto:check"
    assert staff.post(page, data=form).location == "/experiments/desk-2026/plan/check"
    check = staff.get("/experiments/desk-2026/plan/check")
    assert "What the amendment changes" in check.text
    assert "Another name" in check.text
    form = fields(check)
    form["act"] = "amend"
    assert staff.post("/experiments/desk-2026/plan/check", data=form).status_code == 400  # without a reason
    form["reason"] = "The old name was taken"
    staff.post("/experiments/desk-2026/plan/check", data=form)
    versions = staff.get("/experiments/desk-2026/versions").text
    assert "The old name was taken" in versions
    assert "Service desk instead of field visits" in versions
    assert "Version 2" in versions


def test_the_list_names_plans_that_are_still_written(staff: FlaskClient) -> None:
    begin(staff)
    drafts.begin(SYSTEM, {**document(), "key": "half", "name": "Half a plan", "survey": ""})
    assert "Half a plan" in staff.get("/").text


def test_who_only_looks_writes_nothing(small_base: Flask, staff: FlaskClient) -> None:
    begin(staff)
    add_user(SYSTEM, "viewer@example.com", "viewer", PASSWORD)
    viewer = small_base.test_client()
    viewer.post("/login", data={"email": "viewer@example.com", "password": PASSWORD})
    assert viewer.get(at("arms")).status_code == 403
    assert viewer.post(at("arms"), data={"version": "1", "act": "save"}).status_code == 403
    assert viewer.get(f"/experiments/{KEY}/plan.toml").status_code == 200


@pytest.mark.parametrize("version", ["", "x", "-1", "99999999999999999999"])
def test_a_save_without_a_sound_version_is_a_stale_one(staff: FlaskClient, version: str) -> None:
    begin(staff)
    assert staff.post(at("arms"), data={"version": version, "act": "save"}).status_code == 409


def test_an_unknown_page_or_act_harms_nothing(staff: FlaskClient) -> None:
    begin(staff)
    assert staff.get(at("nowhere")).status_code == 404
    for act in ("drop-arm:x", "drop-outcome:99", "add:q", "goto:", "drop:r.7"):
        assert post(staff, "arms", act).status_code in (303, 404)
    assert len(document()["arms"]) == 2
