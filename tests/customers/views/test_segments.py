import html
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from pilot.accounts.service import SYSTEM, Actor, add_user
from pilot.customers.segmenting import editing, ruleforms
from pilot.customers.segmenting import forms as segmentforms
from pilot.customers.segmenting.movements import Wanted, find
from pilot.customers.service import segments, set_segments

from ..moving import DAY, KEY, SMALL, channels, profiled

PASSWORD = "rather-long-and-calm"
NESTED = {
    "key": "sleepers",
    "name": "Sleepers",
    "rule": "all-of",
    "settings": {
        "rules": [
            {"rule": "revenue-between", "settings": {"amount": 100.5, "below": 5000.0, "band": 0.1}},
            {
                "rule": "any-of",
                "settings": {
                    "rules": [
                        {"rule": "activity-is", "settings": {"states": ["lapsed", "lost"]}},
                        {
                            "rule": "not",
                            "settings": {"rules": [{"rule": "region-is", "settings": {"values": ["Bari"]}}]},
                        },
                    ]
                },
            },
        ]
    },
    "channel": "service-desk",
    "settle_days": 14,
    "approval": True,
}

Browse = Callable[[str], FlaskClient]


@pytest.fixture
def browse(sqlite_app: Flask) -> Browse:
    """Logs somebody of a role in."""

    def as_role(role: str) -> FlaskClient:
        sqlite_app.config["WTF_CSRF_ENABLED"] = False
        add_user(SYSTEM, f"{role}@example.com", role, PASSWORD)
        client = sqlite_app.test_client()
        client.post("/login", data={"email": f"{role}@example.com", "password": PASSWORD})
        return client

    return as_role


def filled(page: str) -> MultiDict[str, str]:
    """What a browser would post of the form on a page."""
    form = page[page.index('action="/segments/edit"') : page.index("</form>", page.index('action="/segments/edit"'))]
    given: MultiDict[str, str] = MultiDict()
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if attributes.get("type") != "checkbox" or " checked" in tag:
            given.add(attributes["name"], attributes.get("value", ""))
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        given.add(name, re.findall(r'value="([^"]*)" selected', options)[0])
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        given.add(name, text)
    return given


def test_the_form_of_a_nest_saves_the_nest_it_shows(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    set_segments(operator, [NESTED, SMALL])
    profiled(DAY, {"A": {"region": "Bari"}})
    before = editing.definitions()
    client = browse("operations")
    given = filled(client.get("/segments/edit/sleepers").text)
    assert given["r.0.band"] == "10"
    answer = client.post("/segments/edit", data={**given.to_dict(flat=False), "act": "save"})
    assert answer.headers["Location"] == "/segments/preview"
    assert editing.definitions() == before


def test_conditions_come_and_go_and_what_was_typed_stays(sqlite_app: Flask, browse: Browse) -> None:
    client = browse("operations")
    given = filled(client.get("/segments/new").text)
    given["r.0.amount"] = "much"
    given = filled(client.post("/segments/edit", data={**given, "act": "add:r"}).text)
    assert (given["r.0.amount"], given["r.1.rule"]) == ("much", "revenue-at-least")
    given["r.1.rule"] = "any-of"
    given = filled(client.post("/segments/edit", data={**given, "act": "show"}).text)
    given["r.1.0.rule"] = "orders-at-most"
    given = filled(client.post("/segments/edit", data={**given, "act": "show"}).text)
    assert "r.1.0.orders" in given
    given = filled(client.post("/segments/edit", data={**given, "act": "drop:r.0"}).text)
    assert (given["r.0.rule"], given["r.0.0.rule"]) == ("any-of", "orders-at-most")
    assert "r.1.rule" not in given


@pytest.mark.parametrize(
    ("language", "amount", "stored"), [("en", "1,250.50", 1250.5), ("it", "1.250,50", 1250.5), ("pl", "1250,5", 1250.5)]
)
def test_numbers_are_read_as_the_page_writes_them(
    sqlite_app: Flask, browse: Browse, language: str, amount: str, stored: float
) -> None:
    client = browse("operations")
    given = filled(client.get(f"/segments/new?lang={language}").text).to_dict()
    given |= {"r.0.amount": amount, "key": "rich", "name": "Rich", "act": "save"}
    assert client.post(f"/segments/edit?lang={language}", data=given).status_code == 302
    assert segments()[0].settings["rules"][0]["settings"]["amount"] == stored


WRONG: list[tuple[dict[str, str], str]] = [
    ({"r.0.amount": ""}, "Write a number, such as 1,250.5."),
    ({"r.0.amount": "0"}, "Must be above 0."),
    ({"r.0.amount": "5", "r.0.band": "100"}, "Must be below 100."),
    ({"r.0.rule": "orders-at-least", "r.0.orders": "1.5"}, "Write a whole number."),
    ({"r.0.rule": "activity-is"}, "Choose or write at least one value."),
    ({"r.0.rule": "revenue-between", "r.0.amount": "9", "r.0.below": "9"}, "the upper amount must be above"),
    ({"r.0.amount": "5", "name": ""}, "Give it a name"),
    ({"r.0.amount": "5", "key": "small"}, "Another segment has this key."),
    ({"r.0.amount": "5", "settle_days": "-1"}, "Write a whole number of days"),
    ({"r.0.amount": "5", "channel": "fax"}, "Choose one of these."),
]


def test_what_is_wrong_stands_beside_the_field_and_nothing_is_saved(
    sqlite_app: Flask, operator: Actor, browse: Browse
) -> None:
    set_segments(operator, [SMALL])
    client = browse("operations")
    blank = {**filled(client.get("/segments/new").text), "key": "rich", "name": "Rich", "act": "save"}
    for changes, said in WRONG:
        answer = client.post("/segments/edit", data={**blank, **changes})
        assert answer.status_code == 422
        assert re.search(rf'class="field-error"[^>]*>{re.escape(said)}', answer.text), changes
    assert [segment.key for segment in segments()] == ["small"]


def test_a_key_is_made_from_the_name_and_never_in_the_way(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    client = browse("operations")
    given = {**filled(client.get("/segments/new").text), "r.0.amount": "5", "act": "save"}
    typed = [("Polska-północ", ""), ("polska północ!", ""), ("Łódź", "Mój Klucz"), ("50+", ""), ("Żółć " * 15, "")]
    for name, key in typed:
        assert client.post("/segments/edit", data={**given, "name": name, "key": key}).status_code == 302
    keys = [segment.key for segment in segments()]
    assert keys[:4] == ["polska-polnoc", "polska-polnoc-2", "moj-klucz", "segment-50"]
    assert keys[4] == "zolc-" * 7 + "zolc"  # 39 of at most 40 letters


def test_what_became_of_a_change_is_said_once_with_counts_and_links(
    sqlite_app: Flask, operator: Actor, browse: Browse
) -> None:
    set_segments(operator, [KEY, {**SMALL, "approval": True}])
    profiled(DAY, {"A": 6000, "B": 10, "C": 20})
    client = browse("operations")
    given = {**filled(client.get("/segments/edit/small").text), "channel": "field-rep", "act": "save"}
    page = client.post("/segments/edit", data=given, follow_redirects=True).text
    assert "The handling of 2 customers changes." in page
    link = re.search(r'0 applied, <a href="([^"]+)">2 wait for approval</a>, 0 held by a pilot\.', page)
    assert link is not None
    assert client.get(html.unescape(link[1])).text.count('data-label="State"') == 2
    assert "Nobody" not in page
    set_segments(operator, [{**KEY, "settings": {"amount": 9000}}, {**SMALL, "approval": True}])
    page = client.post("/segments/evaluate", follow_redirects=True).text
    assert re.search(r"1 customer crossed\. 0 applied, <a [^>]+>1 waits for approval</a>, 0 held", page)
    unchanged = {**filled(client.get("/segments/edit/small").text), "act": "save"}
    assert "Saved." in client.post("/segments/edit", data=unchanged, follow_redirects=True).text


def test_choices_stand_by_the_alphabet(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    regions = ("Śląskie", "mazowieckie", "Łódzkie", "Pomorskie", "lubelskie")
    set_segments(operator, [SMALL])
    profiled(DAY, {str(number): {"region": region} for number, region in enumerate(regions)})
    given = {**filled(browse("operations").get("/segments/new").text), "r.0.rule": "region-is", "act": "show"}
    with sqlite_app.test_request_context():
        form = segmentforms.typed(MultiDict(given))
    assert form.root.rules is not None
    expected = ["Łódzkie", "lubelskie", "mazowieckie", "Pomorskie", "Śląskie"]
    assert list(form.root.rules[0].inputs[0].choices) == expected


def test_a_rule_is_counted_while_it_is_edited(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 4000, "C": 3000, "D": 10})
    client = browse("operations")
    given = {**filled(client.get("/segments/new").text), "r.0.amount": "3000"}
    page = client.post("/segments/count", data=given).text
    assert "2 customers" in page
    assert "of 3 whom the rule takes" in page
    assert re.findall(r"Customer (\w)<span", page) == ["B", "C"]
    assert client.post("/segments/count", data={**given, "r.0.amount": "x"}).status_code == 422


def test_evaluation_is_a_step_of_its_own_with_a_preview(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    set_segments(operator, [KEY, SMALL])
    profiled(DAY, {"A": 6000, "B": 5500})
    client = browse("operations")
    given = {**filled(client.get("/segments/edit/key").text), "r.amount": "5800", "act": "save"}
    page = client.post("/segments/edit", data=given, follow_redirects=True).text
    assert re.search(r"Key</span></th>.*?Small</span></td>.*?>1</td>.*?crosses", page, re.DOTALL)
    assert find(Wanted()) == []
    assert "1 customer crossed." in client.post("/segments/evaluate", follow_redirects=True).text
    assert [row["ref"] for row in find(Wanted())] == ["B"]


def test_order_and_number_of_segments_change_one_by_one(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    def keys() -> list[str]:
        return [segment.key for segment in segments()]

    set_segments(operator, [KEY, SMALL])
    client = browse("operations")
    given = {**filled(client.get("/segments/new").text), "key": "mid", "name": "Mid", "r.0.amount": "9", "act": "save"}
    client.post("/segments/edit", data=given)
    assert keys() == ["key", "mid", "small"]  # before the one that takes everyone
    client.post("/segments/move/mid", data={"to": "up"})
    client.post("/segments/move/mid", data={"to": "up"})
    assert keys() == ["mid", "key", "small"]
    client.post("/segments/move/mid", data={"to": "down"})
    client.post("/segments/delete/key")
    assert keys() == ["mid", "small"]
    client.post("/segments/delete/mid")
    assert client.post("/segments/delete/small").status_code == 409
    assert client.get("/segments/edit/key").status_code == 404


def test_movements_are_approved_and_declined_on_the_page(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    set_segments(operator, [KEY, {**SMALL, "approval": True}])
    profiled(DAY, dict.fromkeys("ABCDE", 6000))
    profiled(DAY.replace(day=2), dict.fromkeys("ABCDE", 4900))
    client = browse("operations")
    page = client.get("/segments/movements?state=proposed&segment=small").text
    assert "Revenue, 12 months: €6,000.00 → €4,900.00" in page
    first, second, third = [row["id"] for row in find(Wanted())][:3]
    assert (
        "Choose at least one" in client.post("/segments/movements", data={"act": "approve"}, follow_redirects=True).text
    )
    client.post("/segments/movements", data={"act": f"decline:{first}", "id": str(second)})
    client.post("/segments/movements", data={"act": "approve", "id": [str(second), str(third)]})
    assert list(channels().values()).count("service-desk") == 2
    told = client.post("/segments/movements", data={"act": "approve-all", "segment": "small"}, follow_redirects=True)
    assert "2 movements approved." in told.text
    assert [row["state"] for row in reversed(find(Wanted()))] == ["applied"] * 4 + ["declined"]


def test_alerts_show_who_looks_after_the_quiet_one(sqlite_app: Flask, operator: Actor, browse: Browse) -> None:
    set_segments(operator, [SMALL])
    quiet = {"activity": "slowing", "value_rank": 1, "sales_rep": "Rossi", "interval_days": 30.4, "recency_days": 61}
    profiled(DAY, {"A": {**quiet, "last_order": DAY}, "B": {"activity": "lapsed", "value_rank": 2}})
    page = browse("agent").get("/segments/alerts").text
    assert re.search(r'href="/customers/\d+">Customer A</a>', page)
    assert "Customer B" not in page  # a fifth of two customers is one
    assert all(text in page for text in ("Rossi", "every 30 days", "61 days ago", "Slowing down: 1"))


@pytest.mark.parametrize("role", ["analyst", "viewer"])
def test_others_read_and_do_not_edit(sqlite_app: Flask, operator: Actor, browse: Browse, role: str) -> None:
    set_segments(operator, [KEY, SMALL])
    client = browse(role)
    for page in ("", "/movements", "/alerts", "/preview"):
        assert client.get(f"/segments{page}").status_code == 200
    assert "/segments/edit" not in client.get("/segments").text
    for page in ("/new", "/edit/key"):
        assert client.get(f"/segments{page}").status_code == 403
    for page in ("/edit", "/count", "/move/key", "/delete/key", "/movements"):
        assert client.post(f"/segments{page}").status_code == 403
    assert client.post("/segments/evaluate").status_code == (302 if role == "analyst" else 403)


def test_every_rule_has_a_form(sqlite_app: Flask) -> None:
    for key in ruleforms.rule_names():
        assert ruleforms.blank(key).rule == key
    assert segmentforms.blank().root.may_grow
