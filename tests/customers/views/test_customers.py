"""The pages of list, story and completion: who may see what, what is typed in, and what leaves the house."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from pilot import clock
from pilot.accounts.service import SYSTEM, Actor, add_user, trail
from pilot.customers.cells import unmarked
from pilot.customers.intake.service import import_file
from pilot.customers.models import Completion, Customer, CustomerChange, Import, Movement, SavedView
from pilot.customers.orderstore import store
from pilot.customers.people import completion, listing
from pilot.customers.people.listing import ListQuery, Pilots, register_pilots
from pilot.customers.people.story import Entry, register_story, story
from pilot.db import db, transaction
from pilot.errors import Forbidden, NotFound

from ..adding import AT, add
from ..directions import TURNED, leaks

PASSWORD = "a calm long secret"
OPERATOR = Actor("op@example.com", frozenset({"operations"}))
OPEN_TO_ALL = {"security.logout", "accounts.language"}
Enter = Callable[[str], FlaskClient]


def token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found
    return found.group(1)


@pytest.fixture
def enter(sqlite_app: Flask) -> Enter:
    """Logs somebody of a role in; gives the browser."""

    def log_in(role: str) -> FlaskClient:
        email = f"{role}@example.com"
        add_user(SYSTEM, email, role, PASSWORD)
        client = sqlite_app.test_client()
        page = client.get("/login").text
        client.post("/login", data={"email": email, "password": PASSWORD, "csrf_token": token(page)})
        return client

    return log_in


def post(client: FlaskClient, page: str, action: str, **fields: object) -> int:
    """Send a form of a page."""
    return client.post(action, data={**fields, "csrf_token": token(client.get(page).text)}).status_code


def test_the_outsourced_see_their_work_and_nothing_else(enter: Enter, sqlite_app: Flask) -> None:
    """Every address of the site is asked for: whoever adds a page is in this test already."""
    add({})
    client = enter("outsourced")
    csrf = token(client.get("/completion/work").text)
    opened = set()
    for rule in sqlite_app.url_map.iter_rules():
        if rule.endpoint.split(".")[0] in ("static", "bootstrap", "security", "answering", "public", "surveys"):
            continue
        if rule.endpoint in OPEN_TO_ALL:
            continue
        values = dict.fromkeys(rule.arguments, "1")
        with sqlite_app.test_request_context():
            path = sqlite_app.url_map.bind("localhost").build(rule.endpoint, values, method=None)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = client.open(path, method=method, data={"csrf_token": csrf} if method == "POST" else None)
            if answer.status_code not in (403, 404):
                opened.add(rule.endpoint)
    assert opened <= {
        "reports.home", "completion.home", "completion.work", "completion.accept", "completion.following",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "rooms"),
    [
        ("operations", ["Pilots", "Customers", "Completion"]),
        ("viewer", ["Pilots", "Customers"]),
        ("agent", ["Customers", "Completion"]),
        ("outsourced", ["Completion"]),
    ],
)
def test_the_navigation_leads_only_where_one_may_go(enter: Enter, role: str, rooms: list[str]) -> None:
    client = enter(role)
    page = client.get("/completion/work" if role == "outsourced" else "/customers").text
    navigation = re.search(r'<nav class="rooms".*?</nav>', page, re.DOTALL)
    assert navigation
    links = re.findall(r'<a href="([^"]+)"( aria-current="\w+")?>([^<]+)', navigation.group())
    names = [name for _, _, name in links]
    assert [name for name in names if name in ("Pilots", "Customers", "Completion")] == rooms
    assert [name for _, current, name in links if current] == ["Completion" if role == "outsourced" else "Customers"]
    if role == "outsourced":
        assert names == ["Completion"]
        assert client.get("/").location == "/completion/work"


def test_who_is_not_logged_in_sees_no_customer(client: FlaskClient, sqlite_app: Flask) -> None:
    for path in ("/customers", "/customers/1", "/customers/export.csv", "/completion", "/completion/work"):
        assert client.get(path).location.startswith("/login?next=")


def test_the_list_is_searched_filtered_and_turned_by_addresses(enter: Enter) -> None:
    add(*({"ref": f"C{n:03d}", "name": f"Shop {n}", "region": "South" if n % 2 else None} for n in range(60)))
    client = enter("viewer")
    page = client.get("/customers?region=South&sort=ref&order=asc&size=25").text
    shown = re.findall(r'<span class="sub">(C\d+)', page)
    assert shown == [f"C{n:03d}" for n in range(1, 51, 2)]
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following
    second = client.get(following.group(1).replace("&amp;", "&")).text
    assert re.findall(r'<span class="sub">(C\d+)', second) == [f"C{n:03d}" for n in range(51, 60, 2)]
    assert 'rel="next"' not in second
    assert 'rel="prev"' in second
    assert "Export" not in page
    assert client.get("/customers/export.csv").status_code == 403


@pytest.mark.parametrize(
    "asked",
    [
        "revenue_from=abc",
        "revenue_to=nan",
        "ordered_from=31/12/2026",
        "ordered_to=2026-02-30",
    ],
)
def test_what_cannot_be_read_is_said_beside_the_field_and_stays_there(enter: Enter, asked: str) -> None:
    add({})
    name, value = asked.split("=")
    page = enter("viewer").get(f"/customers?{asked}").text
    entry = re.search(rf'<input[^>]*id="{name}"[^>]*>', page)
    assert entry
    assert f'value="{value}"' in entry.group()
    assert 'aria-invalid="true"' in entry.group()
    assert f'id="{name}-error"' in page


@pytest.mark.parametrize(
    "asked",
    [
        "sort=digest&order=up&size=9999&column=password&missing=digest",
        "after=1",
        "after=:::&before=x:y",
        "after=99999999999999999999:1e999",
        "after=1:2026-13-45&sort=last_order",
        "sort=frequency&after=1:99999999999999999999999",
        "segment='%20OR%201=1&search=%00%ff",
        "pilot=nowhere",
        "search=" + "x" * 5000,
    ],
)
def test_no_address_breaks_the_list(enter: Enter, asked: str) -> None:
    add({})
    assert enter("viewer").get(f"/customers?{asked}").status_code == 200


def test_an_export_is_inert_and_whole(enter: Enter) -> None:
    names = ["=HYPERLINK(1)", "+39", "-1+2", "@SUM", 'He said "no"', "Żółć; =łódź"]
    add(*({"name": name, "city": "\tTab" if name == "+39" else None} for name in names))
    answer = enter("operations").get(
        "/customers/export.csv?sort=ref&order=asc&column=ref&column=city&column=revenue_year"
    )
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert rows[0] == ["Customer number", "Name", "City", "Revenue, 12 months"]
    assert [row[1] for row in rows[1:]] == ["'=HYPERLINK(1)", "+39", "'-1+2", "'@SUM", 'He said "no"', "Żółć; '=łódź"]
    assert rows[2][2] == "'\tTab"
    assert rows[1][2:] == ["", ""]
    entry = trail("customers")[-1]
    assert (entry.actor, entry.action) == ("operations@example.com", "exported")


def test_a_view_is_kept_and_found_again(enter: Enter) -> None:
    add({"region": "South"})
    client = enter("viewer")
    asked = "/customers?region=South&sort=name&order=asc"
    assert post(client, asked, "/customers/views", view_name="My <b>", region="South", sort="name", order="asc") == 302
    number = db.session.scalars(sa.select(SavedView.id)).one()
    page = client.get("/customers").text
    assert re.search(r'role="status">The view is kept: <bdi>My &lt;b&gt;', page)
    assert "My &lt;b&gt;" in client.get("/customers").text
    assert client.get(f"/customers/views/{number}").location == asked.replace(
        "sort=name&order=asc", "sort=name&order=asc"
    )
    assert post(client, "/customers", f"/customers/views/{number}/delete") == 302
    assert db.session.scalars(sa.select(SavedView.id)).all() == []


def told_orders() -> None:
    """Two orders, one of them cancelled, and a touch of C0, as one import each."""
    facts = {
        "orders": [("C0", "A1", date(2026, 1, 5), Decimal("10.50"), False), ("C0", "A2", date(2026, 2, 5), Decimal(7), True),
                   ("C1", "B1", date(2026, 1, 6), Decimal(99), False)],
        "touches": [("C0", date(2026, 2, 6), "service-desk", "call", 1.0, Decimal("2.25"))],
    }  # fmt: skip
    for kind, rows in facts.items():
        name = store().add(kind, rows)
        with transaction() as work:
            work.session.add(
                Import(
                    kind=kind, filename=f"{kind}.csv", sha256=kind, importer="csv", reading={}, actor="op@example.com",
                    at=AT, accepted=len(rows), unchanged=0, rejected=0, fact_file=name,
                )
            )  # fmt: skip


def test_a_story_brings_all_rooms_onto_one_time_line(app: Flask) -> None:
    number, _other = add({}, {})
    told_orders()
    with transaction() as work:
        at = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)  # where the company is, it is March
        work.session.add(Movement(customer_id=number, at=at, before=None, after="top", reason="spends more"))
        at = datetime(2026, 2, 20, 9, tzinfo=UTC)
        changed = {"before": {"phone": None, "name": "Old"}, "after": {"phone": "0", "name": "New"}}
        work.session.add(CustomerChange(customer_id=number, at=at, actor="ada@example.com", **changed))
    register_story(app, lambda actor, who: [Entry(date(2026, 1, 31), "survey", f"Asked {actor.name} {who == number}")])
    with app.test_request_context():
        told = story(OPERATOR, number)
    assert [(month, [entry.kind for entry in entries]) for month, entries in told.months] == [
        (date(2026, 3, 1), ["movement"]),
        (date(2026, 2, 1), ["change", "touch", "order"]),
        (date(2026, 1, 1), ["survey", "order"]),
    ]
    (_, (change, touch, cancelled)), (_, (survey, order)) = told.months[1:]
    assert change.changes == (("Name", "Old", "New"), ("Phone", None, "0"))
    assert (touch.title, touch.details) == ("Call, Service desk", ("1 minute, €2.25",))
    assert (cancelled.title, cancelled.good, cancelled.details) == ("Order A2, €7.00", False, ("cancelled",))
    assert (order.title, order.good) == ("Order A1, €10.50", True)
    assert survey.title == "Asked op@example.com True"
    with app.test_request_context():
        orders = story(OPERATOR, number, kind="order", page=9)
    assert [entry.title for _, entries in orders.months for entry in entries] == ["Order A2, €7.00", "Order A1, €10.50"]
    assert (orders.counts["order"], orders.counts["touch"], orders.page, orders.pages) == (2, 1, 1, 1)


def test_a_long_story_has_pages(sqlite_app: Flask) -> None:
    (number,) = add({})
    register_story(
        sqlite_app, lambda actor, who: [Entry(date(2025, 1 + n % 12, 1), "survey", str(n)) for n in range(120)]
    )
    with sqlite_app.test_request_context():
        pages = [story(OPERATOR, number, page=page) for page in (1, 2, 3)]
    assert {page.pages for page in pages} == {3}
    told = [entry for page in pages for _, entries in page.months for entry in entries]
    assert sorted(int(entry.title) for entry in told) == list(range(120))
    assert [entry.day for entry in told] == sorted((entry.day for entry in told), reverse=True)


def test_a_story_is_for_those_who_look_after_customers(sqlite_app: Flask) -> None:
    (number,) = add({})
    with sqlite_app.test_request_context():
        with pytest.raises(Forbidden):
            story(Actor("x", frozenset({"outsourced"})), number)
        with pytest.raises(NotFound):
            story(OPERATOR, number + 1)


def test_the_page_of_a_customer_says_what_is_not_known(enter: Enter) -> None:
    number, other = add({"name": "<script>", "email": "a@b.example"}, {"profile": {"revenue_year": 0.0}})
    client = enter("agent")
    page = client.get(f"/customers/{number}").text
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "There is no profile yet" in page
    missing = re.search(r'id="missing".*?<p>(.*?)</p>', page, re.DOTALL)
    assert missing
    assert missing.group(1).startswith("Phone, Language, Street")
    page = client.get(f"/customers/{other}?kind=nonsense&page=x").text
    assert "€0.00" in page
    assert client.get("/customers/999").status_code == 404


@contextmanager
def work_of(client: FlaskClient) -> Iterator[str]:
    """Accept the text, claim a customer; the page of it."""
    page = client.get("/completion/work").text
    shown = re.search(r'name="shown" value="(\w+)"', page)
    assert shown
    assert post(client, "/completion/work", "/completion/accept", shown=shown.group(1)) == 302
    assert post(client, "/completion/work", "/completion/next") == 302
    yield client.get("/completion/work").text


def test_a_worker_sees_name_city_and_the_fields_and_no_more(enter: Enter) -> None:
    clock.travel(AT)
    add(
        {"ref": "SECRET-REF", "name": "Alfa & Co", "city": "Ancona", "email": None, "phone": "051-SECRET",
         "region": "SecretRegion", "sales_rep": "SecretRep", "street": "SecretStreet",
         "profile": {"revenue_year": 98765.0, "segment": "secretsegment", "last_order": date(2026, 2, 3)}},
    )  # fmt: skip
    completion.build(OPERATOR, ("email", "language"), ListQuery())
    client = enter("outsourced")
    with work_of(client) as page:
        pass
    body = page[page.index("<main") : page.index("</main>")]
    assert "Alfa &amp; Co" in body
    assert "Ancona" in body
    assert re.findall(r'(?:input|select) class="[^"]*" id="(\w+)"', body) == ["email", "language", "note"]
    for hidden in ("secret", "98", "051", "2026-02", "3 Feb", "customers/"):
        assert hidden not in body.lower()
    number = db.session.scalars(sa.select(Completion.id)).one()
    assert post(client, "/completion/work", f"/completion/{number}", do="save", email="nobody", language="it") == 400
    answer = client.post(
        f"/completion/{number}", data={"do": "save", "email": "nobody", "csrf_token": token(client.get("/completion/work").text)}
    )  # fmt: skip
    assert 'value="nobody"' in answer.text
    assert 'id="email-error"' in answer.text
    assert db.session.scalars(sa.select(Customer.language)).one() is None
    assert post(client, "/completion/work", f"/completion/{number}", do="impossible", note="") == 400
    assert (
        post(client, "/completion/work", f"/completion/{number}", do="save", email="a@b.example", language="it") == 302
    )
    assert "Nothing is left to do" in client.get("/completion/work?nothing=1").text


def test_another_language_is_another_text_to_be_accepted(enter: Enter) -> None:
    add({})
    completion.build(OPERATOR, ("email",), ListQuery())
    client = enter("outsourced")
    with work_of(client) as page:
        assert "Customer 0" in page
    assert post(client, "/completion/work", "/language", language="it", back="/completion/work") == 302
    text = client.get("/completion/work").text
    assert 'lang="it"' in text
    assert "Customer 0" not in text, "what was accepted was another text"
    number = db.session.scalars(sa.select(Completion.id)).one()
    assert post(client, "/completion/work", f"/completion/{number}", do="back") == 302
    assert post(client, "/completion/work", "/completion/next") == 403
    with work_of(client) as page:
        assert "Customer 0" in page
    assert post(client, "/completion/work", "/language", language="en", back="/completion/work") == 302
    assert "Customer 0" in client.get("/completion/work").text, "both are accepted now"


def test_the_first_page_of_an_agent_leads_to_all_that_agents_can_do(enter: Enter) -> None:
    client = enter("agent")
    page = client.get("/").text
    main = page[page.index("<main") : page.index("</main>")]
    rooms = re.findall(r'<li><a href="([^"]+)"', main)
    assert rooms == ["/customers", "/segments/alerts", "/base/valuable", "/completion/work"]
    assert [client.get(path).status_code for path in rooms] == [200] * 4
    assert "nothing to fill in" not in main


def test_operations_make_the_list_and_see_how_far_it_is(enter: Enter) -> None:
    add({"region": "South"}, {"region": "North"})
    client = enter("operations")
    assert post(client, "/completion", "/completion/list", field=["email", "phone"], region="South") == 302
    page = client.get("/completion").text
    assert re.search(r"Left to do</dt><dd>1</dd>", page)
    assert post(client, "/completion", "/completion/list") == 400
    assert client.get("/completion/work").status_code == 403


def test_operations_decide_about_pairs(enter: Enter) -> None:
    add(*({"name": f"Shop {n}", "legal_entity": "IT 1"} for n in range(2)))
    client = enter("operations")
    csrf = token(client.get("/customers/duplicates").text)
    page = client.post("/customers/duplicates", data={"csrf_token": csrf}).text
    assert "the same tax number" in page
    action = re.search(r'action="(/customers/duplicates/\d+)"', page)
    assert action
    assert post(client, "/customers/duplicates", action.group(1), state="different") == 302
    assert "No pair waits" in client.get("/customers/duplicates").text
    assert post(client, "/customers/duplicates", action.group(1), state="merged") == 400


def test_who_handles_customers_cannot_ask_who_is_in_a_pilot(enter: Enter, sqlite_app: Flask) -> None:
    inside, _outside = add({}, {})
    members = sa.select(Customer.id).where(Customer.id == inside)
    register_pilots(sqlite_app, Pilots(lambda: {"desk": "Desk"}, lambda key: members))
    shown = {role: enter(role).get("/customers?pilot=desk").text for role in ("viewer", "agent")}
    assert [role for role, page in shown.items() if "Customer 1" not in page] == ["viewer"]


def test_a_name_that_turns_the_direction_of_writing_turns_nothing_beside_it(enter: Enter) -> None:
    odd = {
        name: f"{name}{TURNED}x"
        for name in ("name", "street", "postcode", "city", "region", "sales_rep", "sector", "ref")
    }
    one, _ = add({**odd, "legal_entity": "IT1"}, {**odd, "ref": f"two{TURNED}x", "legal_entity": "IT1"})
    client = enter("operations")
    assert post(client, "/customers/duplicates", "/customers/duplicates") in (200, 302)
    for path in (
        f"/customers?column=city&column=region&region=region{TURNED}x",
        f"/customers/{one}",
        "/customers/duplicates",
    ):
        seen, turned = leaks(client.get(path).text)
        assert (seen > 3, turned) == (True, []), path


@pytest.mark.parametrize(
    ("typed", "chip", "hint"),
    [
        ("1 500,00", "1.500,00", None),
        ("1.250,50", "1.250,50", None),
        ("1 250,5", "1.250,50", None),
        ("1.500", "1.500,00", "1.500,00"),
        ("1.5", "1,50", None),
    ],
)
def test_a_filter_takes_amounts_as_the_page_prints_them(enter: Enter, typed: str, chip: str, hint: str | None) -> None:
    add({})
    page = enter("viewer").get("/customers", query_string={"revenue_from": typed, "lang": "it"}).text
    assert 'id="revenue_from-error"' not in page
    assert f"<bdi>{chip}\xa0€</bdi>" in page
    told = re.search(r'id="revenue_from-read">([^<]*)<', page)
    assert (hint in told.group(1) if told else False) if hint else told is None


def test_a_worker_is_told_what_is_wrong_asked_when_in_doubt_and_may_correct_what_was_saved(enter: Enter) -> None:
    clock.travel(AT)
    add({"name": "Alfa & Co"}, {"name": "Beta"})
    completion.build(OPERATOR, ("phone", "legal_entity"), ListQuery())
    client = enter("outsourced")
    with work_of(client) as page:
        first = re.search(r'action="/completion/(\d+)"', page)
    assert first
    at = f"/completion/{first.group(1)}"
    csrf = token(page)

    def send(to: str, **fields: str) -> str:
        return client.post(to, data={"do": "save", "csrf_token": csrf, **fields}, follow_redirects=True).text

    page = send(at, phone="brak", legal_entity="526-025-09-96")
    assert re.search(r'id="phone-error">A phone number has 6 to 15 digits', page)
    assert 'value="brak"' in page
    assert re.search(r'type="checkbox" name="sure-legal_entity" value="526-025-09-96"', page)
    page = send(at, **{"phone": "22 123 45 67", "legal_entity": "526-025-09-96", "sure-legal_entity": "526-025-09-96"})
    assert re.search(r"Saved: <bdi>Alfa &amp; Co", page)
    assert f'href="{at}/correct"' in page
    assert "Beta" in page
    page = client.get(f"{at}/correct").text
    assert 'value="526-025-09-96"' in page
    assert 'id="phone-error"' in send(f"{at}/correct", phone="x", legal_entity="5260250995")
    assert re.search(
        r"Saved: <bdi>Alfa &amp; Co", send(f"{at}/correct", phone="22 123 45 67", legal_entity="5260250995")
    )
    told = db.session.execute(sa.select(Customer.phone, Customer.legal_entity).where(Customer.name == "Alfa & Co"))
    assert told.one() == ("22 123 45 67", "5260250995")
    assert enter("agent").get(f"{at}/correct").status_code == 404


@pytest.mark.parametrize(
    ("language", "sign", "revenue", "number"),
    [("en", ",", "1234.50", "Customer number"), ("it", ";", "1234,50", "Codice cliente"), ("pl", ";", "1234,50", "Numer klienta")],
)  # fmt: skip
def test_an_export_speaks_the_language_of_the_page_and_an_import_reads_it(
    enter: Enter, tmp_path: Path, language: str, sign: str, revenue: str, number: str
) -> None:
    told = {name: f"{name} =1;+2,@3" for name in ("name", "city", "region", "sales_rep", "sector", "size")}
    told |= {"email": "a@b.example", "phone": "+48 22 123", "language": "pl"}
    profile = {"revenue_year": 1234.5, "activity": "active", "last_order": date(2026, 2, 1)}
    add({"ref": "C1", **told, "profile": profile})
    asked = "&".join(f"column={column}" for column in listing.COLUMNS)
    text = enter("operations").get(f"/customers/export.csv?{asked}&lang={language}").text
    header, row = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=sign)
    shown = dict(zip(listing.COLUMNS, row, strict=True))
    assert (header[0], shown["revenue_year"], shown["last_order"]) == (number, revenue, "2026-02-01")
    assert shown["language"] == "Polski"
    with transaction() as work:
        work.session.execute(sa.delete(Customer))
    path = tmp_path / "again.csv"
    path.write_text(text, encoding="utf-8", newline="")
    taken = import_file(OPERATOR, "customers", path)
    assert set(taken.how["columns"]) == {"ref", *told}
    again = db.session.execute(sa.select(*(getattr(Customer, name) for name in told))).one()
    assert {name: unmarked(value) for name, value in again._asdict().items()} == told
