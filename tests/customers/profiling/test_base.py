"""The base as a whole: summary by hand-computed cases, dashboard, most valuable customers, new profiles on demand."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from pilot import clock
from pilot.accounts.service import SYSTEM, Actor, add_user
from pilot.customers.intake.service import import_file, undo_import
from pilot.customers.models import BaseSummary, Customer, CustomerProfile, Import
from pilot.customers.orderstore import store
from pilot.customers.people import listkeys
from pilot.customers.profiling import base, pictures, rebuild
from pilot.customers.service import base_summary, keep_current, rebuild_profiles, sensible_day
from pilot.db import db, transaction

from ..conftest import Write

PASSWORD = "a password for tests"
AS_OF = date(2026, 3, 31)


def customers(*refs: str) -> None:
    with transaction() as work:
        for ref in refs:
            work.session.add(Customer(ref=ref, name=f"Name of {ref}", digest="", updated_at=clock.now()))


def put(kind: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Facts as an import leaves them."""
    name = store().add(kind, rows)
    with transaction() as work:
        work.session.add(
            Import(
                kind=kind, filename="f.csv", sha256=name[-64:], importer="csv", reading={}, actor="test",
                at=clock.now(), accepted=len(rows), unchanged=0, rejected=0, fact_file=name,
            )
        )  # fmt: skip


def order(ref: str, number: str, day: date, amount: float = 10, cancelled: bool = False) -> tuple[Any, ...]:
    return ref, number, day, Decimal(amount), cancelled


def test_concentration_tells_the_shares_of_the_best_and_the_lorenz_curve(app: Flask, operator: Actor) -> None:
    customers(*(f"C{number}" for number in range(1, 6)))
    put(
        "orders",
        [order(f"C{n}", f"A{n}", date(2026, 1, 1), amount) for n, amount in ((1, 60), (2, 20), (3, 15), (4, 5))],
    )
    rebuild_profiles(operator, AS_OF)
    found = base_summary()["concentration"]
    # revenue 0 5 15 20 60: the best fifth is one customer of five
    assert found["top"] == {"1": 0.6, "5": 0.6, "10": 0.6, "20": 0.6, "50": 0.95}
    assert [found["lorenz"][place] for place in (0, 3, 4, 8, 12, 16, 20)] == [0.0, 0.0, 0.0, 0.05, 0.2, 0.4, 1.0]
    # Gini: 2 (1*0 + 2*5 + 3*15 + 4*20 + 5*60) / (5 * 100) - 6/5
    assert found["gini"] == pytest.approx(2 * 435 / 500 - 1.2)
    assert base_summary()["share_of_top_fifth"] == 0.6


def test_who_sent_back_more_than_it_bought_counts_as_zero_in_the_shares(app: Flask, operator: Actor) -> None:
    customers(*(f"C{number}" for number in range(1, 6)))
    amounts = ((1, 60), (2, 40), (3, -50), (4, -30))
    put("orders", [order(f"C{n}", f"A{n}", date(2026, 1, 1), amount) for n, amount in amounts])
    rebuild_profiles(operator, AS_OF)
    summary = base_summary()
    found = summary["concentration"]
    assert summary["revenue_year"] == 20.0
    # of 100 that were bought, whatever was sent back: 0 0 0 40 60
    assert found["top"] == {"1": 0.6, "5": 0.6, "10": 0.6, "20": 0.6, "50": 1.0}
    assert [found["lorenz"][place] for place in (0, 4, 8, 12, 16, 20)] == [0.0, 0.0, 0.0, 0.0, 0.4, 1.0]
    # Gini: 2 (4*40 + 5*60) / (5 * 100) - 6/5
    assert found["gini"] == pytest.approx(2 * 460 / 500 - 1.2)


def test_months_tell_who_is_new_who_returns_and_who_is_lost(app: Flask, operator: Actor) -> None:
    customers("C1", "C2", "C3")
    put(
        "orders",
        [
            order("C1", "A1", date(2025, 2, 10)),
            order("C1", "A2", date(2025, 2, 11), 5),
            order("C1", "A3", date(2026, 2, 20)),  # its twelfth month, so it is not lost
            order("C2", "B1", date(2025, 2, 1)),
            order("C2", "B2", date(2025, 2, 2), cancelled=True),
            order("C3", "D1", date(2025, 3, 1)),
            order("Z9", "E1", date(2025, 1, 1)),  # not in the base
        ],
    )
    rebuild_profiles(operator, date(2026, 3, 15))
    months = {month["month"]: month for month in base_summary()["months"]}
    assert list(months) == [f"2025-{month:02}" for month in range(2, 13)] + ["2026-01", "2026-02", "2026-03"]
    first = months["2025-02"]
    assert (first["orders"], first["revenue"], first["customers"], first["new"], first["returning"]) == (
        3,
        25.0,
        2,
        2,
        0,
    )
    assert (first["at_start"], first["lost"], first["churn"]) == (0, 0, None)
    february = months["2026-02"]
    assert (february["customers"], february["new"], february["returning"]) == (1, 0, 1)
    assert (february["at_start"], february["lost"], february["churn"]) == (3, 1, 0.3333)
    march = months["2026-03"]
    # C1 and C3 had ordered in the twelve months before; whether C3 is lost is known when March is over
    assert (march["finished"], march["at_start"], march["lost"], march["churn"]) == (False, 2, None, None)
    rebuild_profiles(operator, AS_OF)
    assert base_summary()["months"][-1]["lost"] == 1


def test_cohorts_tell_which_share_ordered_again_in_each_month_since(sqlite_app: Flask, operator: Actor) -> None:
    customers("C1", "C2", "C3", "C4")
    put(
        "orders",
        [
            order("C1", "A1", date(2026, 1, 5)),
            order("C1", "A2", date(2026, 3, 5)),
            order("C2", "B1", date(2026, 1, 31)),
            order("C3", "D1", date(2026, 3, 1)),
            order("C4", "E1", date(2025, 2, 28)),  # before the thirteen months
            order("C4", "E2", date(2026, 1, 1)),
        ],
    )
    rebuild_profiles(operator, AS_OF)
    assert base_summary()["cohorts"] == [
        {"first": "2026-01", "customers": 2, "shares": [1.0, 0.0, 0.5]},
        {"first": "2026-03", "customers": 1, "shares": [1.0]},
    ]


def test_channels_cost_and_the_whole_adds_up(sqlite_app: Flask, operator: Actor) -> None:
    customers("C1", "C2")
    put("orders", [order("C1", "A1", date(2026, 1, 5), 100)])
    put(
        "touches",
        [
            ("C1", date(2026, 1, 1), "field-rep", "visit", 30.0, Decimal("70.5")),
            ("C2", date(2026, 1, 1), "field-rep", "call", 6.0, Decimal("4.5")),
            ("C2", date(2026, 1, 2), "service-desk", "call", 5.0, Decimal("80")),
        ],
    )
    rebuild_profiles(operator, AS_OF)
    summary = base_summary()
    assert summary["channels"] == [
        {"channel": "service-desk", "customers": 1, "touches": 1, "minutes": 5.0, "cost": 80.0},
        {"channel": "field-rep", "customers": 2, "touches": 2, "minutes": 36.0, "cost": 75.0},
    ]
    assert (summary["cost_year"], summary["contribution_year"], summary["gross_margin"]) == (155.0, -55.0, 1.0)
    assert summary["potential"] == {"total": 0.0, "compared": 0}


def test_without_revenue_there_is_no_concentration(sqlite_app: Flask, operator: Actor) -> None:
    customers("C1")
    rebuild_profiles(operator, AS_OF)
    summary = base_summary()
    assert (summary["concentration"]["gini"], summary["share_of_top_fifth"], summary["months"]) == (None, None, [])
    put("orders", [order("C1", "A1", date(2026, 1, 1), -5)])
    rebuild_profiles(operator, AS_OF)
    assert (base_summary()["concentration"], base_summary()["revenue_year"]) == (summary["concentration"], -5.0)
    assert json.loads(json.dumps(summary)) == summary


def test_each_day_keeps_its_own_summary(sqlite_app: Flask, operator: Actor) -> None:
    customers("C1")
    for day in (date(2026, 3, 30), AS_OF, AS_OF):
        rebuild_profiles(operator, day)
    assert list(db.session.scalars(sa.select(BaseSummary.as_of))) == [date(2026, 3, 30), AS_OF]
    assert base_summary()["as_of"] == "2026-03-31"


def test_an_unprofiled_base_has_every_key_that_a_profiled_one_has(sqlite_app: Flask, operator: Actor) -> None:
    before = base_summary()
    customers("C1")
    rebuild_profiles(operator, AS_OF)
    assert before.keys() == base_summary().keys()
    assert before.keys() >= base.nothing().keys()


def test_what_comes_long_after_the_newest_order_is_not_known(app: Flask, operator: Actor) -> None:
    customers("C1", "C2")
    put("orders", [order("C1", "A1", date(2025, 1, 5)), order("C2", "B1", date(2025, 4, 10))])
    rebuild_profiles(operator, date(2026, 6, 15))
    summary = base_summary()
    assert summary["newest_order"] == "2025-04-10"
    months = {month["month"]: month for month in summary["months"]}
    assert (months["2025-03"]["revenue"], months["2025-03"]["lost"]) == (0.0, 0)
    assert (months["2025-04"]["revenue"], months["2025-04"]["lost"], months["2025-04"]["finished"]) == (
        10.0,
        None,
        False,
    )
    after = [months[name] for name in ("2025-05", "2026-01", "2026-06")]
    assert {(month["revenue"], month["customers"], month["lost"], month["churn"]) for month in after} == {(None,) * 4}
    # three months have passed for those who came in January 2025: what lies behind the newest order is no "0 %"
    assert [cohort["shares"] for cohort in summary["cohorts"]] == [[1.0, 0.0, 0.0, 0.0], [1.0]]


def test_last_orders_are_told_by_age_with_revenue_and_the_list_shows_the_same(
    app: Flask, client: FlaskClient, operator: Actor
) -> None:
    customers(*(f"C{number}" for number in range(1, 7)))
    days = (date(2026, 1, 1), date(2025, 12, 31), date(2025, 9, 30), date(2025, 3, 31), date(2026, 3, 31))
    put("orders", [order(f"C{n}", f"A{n}", day, 2**n) for n, day in enumerate(days, 1)])
    rebuild_profiles(operator, AS_OF)  # three months before the 31st of March is the 31st of December
    found = {row.pop("age"): tuple(row.values()) for row in base_summary()["last_order"]}
    assert found == {
        "3": (2, 34.0, 0.0),
        "6": (1, 4.0, 0.0),
        "12": (1, 8.0, 0.0),
        "older": (1, 0.0, 16.0),
        "never": (1, 0.0, 0.0),
    }
    listkeys.catch_up()
    log_in(client, "viewer")
    page = client.get("/base").text
    table = page[page.index('id="ages"') : page.index('id="activity-title"')]
    for link, refs in zip(re.findall(r'href="([^"]+)"', table), ("C1 C5", "C2", "C3", "C4", "C6"), strict=True):
        listed = client.get(html.unescape(link)).text
        assert {ref for ref in ("C1", "C2", "C3", "C4", "C5", "C6") if f"Name of {ref}" in listed} == set(refs.split())


def test_the_page_says_that_the_base_has_changed_and_the_job_recounts_it(
    app: Flask, client: FlaskClient, operator: Actor, write: Write
) -> None:
    clock.travel(datetime(2026, 3, 31, 12, tzinfo=UTC))
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;A", "C2;B"))
    rebuild_profiles(operator, AS_OF)
    log_in(client, "operations")
    assert "The base has changed" not in client.get("/base").text
    entry = import_file(operator, "customers", write("d.csv", "ref;name", "C3;X")).import_id
    page = client.get("/base").text
    assert "The base has changed since these numbers were made" in page
    assert "Customers then: 2, now: 3." in page
    assert page.count("Recount the base") == 1
    keep_current()
    assert base_summary()["profiled"] == 3
    assert "The base has changed" not in client.get("/base").text
    assert entry is not None
    undo_import(operator, entry)
    assert "Customers then: 3, now: 2." in client.get("/base").text
    keep_current()
    assert base_summary()["profiled"] == 2


def test_a_base_with_old_orders_is_counted_as_of_the_newest_one(
    app: Flask, client: FlaskClient, operator: Actor
) -> None:
    clock.travel(datetime(2026, 3, 31, 12, tzinfo=UTC))
    customers("C1")
    put("orders", [order("C1", "A1", date(2026, 2, 14))])  # 45 days ago
    assert sensible_day() == AS_OF
    clock.travel(datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert sensible_day() == date(2026, 2, 14)
    log_in(client, "operations")
    client.post("/base/rebuild")
    page = client.get("/base").text
    assert "Newest order in the data: 14 Feb 2026; today is 1 Apr 2026." in page
    assert "As of 14 Feb 2026" in page
    keep_current()  # there is nothing newer to tell of
    assert db.session.scalar(sa.text("SELECT count(*) FROM audit_entries WHERE action = 'profiled'")) == 1


def test_values_that_differ_in_case_or_accents_are_likely_one(app: Flask, client: FlaskClient, operator: Actor) -> None:
    customers("C1", "C2", "C3", "C4")
    regions = {"C1": "małopolskie", "C2": "Małopolskie", "C3": "Małopolskie", "C4": "mazowieckie"}
    with transaction() as work:
        for ref, region in regions.items():
            work.session.execute(sa.update(Customer).where(Customer.ref == ref).values(region=region))
    rebuild_profiles(operator, AS_OF)
    assert base_summary()["alike"] == [{"field": "region", "values": {"Małopolskie": 2, "małopolskie": 1}}]
    log_in(client, "viewer")
    assert "Written differently, likely one" in client.get("/base").text


def test_pictures_are_drawn_once_for_each_language(
    sqlite_app: Flask, client: FlaskClient, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_base(operator)
    log_in(client, "viewer")
    first = client.get("/base").text
    drawn: list[object] = []
    monkeypatch.setattr(pictures, "_drawn", lambda summary: drawn.append(summary) or {})
    assert client.get("/base").text.count("data:image/svg") == first.count("data:image/svg") == 3
    assert drawn == []
    client.get("/base?lang=pl")
    client.get("/base?lang=pl")
    assert len(drawn) == 1
    put("orders", [order("C2", "B3", date(2026, 3, 5), 40)])
    rebuild_profiles(operator, AS_OF)
    client.get("/base?lang=en")
    assert len(drawn) == 2


def log_in(client: FlaskClient, role: str) -> None:
    address = f"{role}@example.com"
    add_user(SYSTEM, address, role, PASSWORD)
    client.application.config["WTF_CSRF_ENABLED"] = False
    client.post("/login", data={"email": address, "password": PASSWORD})


def small_base(operator: Actor) -> None:
    customers("C1", "C2")
    put("orders", [order("C1", "A1", date(2026, 1, 5), 100), order("C1", "A2", date(2023, 5, 5), 50)])
    put("orders", [order("C2", "B1", date(2025, 1, 5), 80), order("C2", "B2", date(2025, 12, 5), 40)])
    put("touches", [("C1", date(2026, 1, 1), "field-rep", "visit", 30.0, Decimal("70.5"))])
    rebuild_profiles(operator, AS_OF)


def test_the_dashboard_shows_the_numbers_of_the_summary(app: Flask, client: FlaskClient, operator: Actor) -> None:
    small_base(operator)
    log_in(client, "viewer")
    page = client.get("/base").text
    for text in ("€140.00", "€70.50", "€69.50", "As of 31 Mar 2026", "bring 71%", "Field rep", "not over yet"):
        assert (text in page) == (text != "not over yet")
    assert page.count('src="data:image/svg+xml;base64,') == 3
    assert "style=" not in page
    assert "Recount the base" not in page


@pytest.mark.parametrize("role", ["operations", "viewer"])
def test_an_empty_base_says_what_to_do(sqlite_app: Flask, client: FlaskClient, role: str) -> None:
    log_in(client, role)
    assert "pilot import customers customers.csv" in client.get("/base").text
    customers("C1")
    page = client.get("/base").text
    assert "no profiles yet" in page
    assert ("Recount the base" in page) == (role == "operations")
    assert "Nobody has revenue yet" in client.get("/base/valuable").text


@pytest.mark.parametrize(
    ("role", "dashboard", "valuable", "anew"),
    [("analyst", 200, 200, 403), ("agent", 403, 200, 403), ("outsourced", 403, 403, 403)],
)
def test_roles_open_what_they_may(
    sqlite_app: Flask, client: FlaskClient, role: str, dashboard: int, valuable: int, anew: int
) -> None:
    log_in(client, role)
    assert client.get("/base").status_code == dashboard
    assert client.get("/base/valuable").status_code == valuable
    assert client.post("/base/rebuild").status_code == anew


def test_the_most_valuable_come_first_with_their_trend(app: Flask, client: FlaskClient, operator: Actor) -> None:
    small_base(operator)
    log_in(client, "agent")
    page = client.get("/base/valuable").text
    assert page.index("Name of C1") < page.index("Name of C2")
    assert "no revenue before" in page  # C1 bought nothing in the year before
    assert "-50%" in page.replace("\N{MINUS SIGN}", "-")
    assert page.count("Slowing") == 1  # C2 has two order days: more than 90 days after the last it slows down
    with transaction() as work:
        work.session.execute(sa.update(CustomerProfile).values(activity="slowing"))
    assert "Slowing down" in client.get("/base/valuable").text
    assert "Name of C1" not in client.get("/base/valuable?after=1").text


def test_a_small_base_is_profiled_at_once(app: Flask, client: FlaskClient) -> None:
    clock.travel(datetime(2026, 3, 31, 12, tzinfo=UTC))
    customers("C1")
    log_in(client, "operations")
    assert "The base is recounted." in client.post("/base/rebuild", follow_redirects=True).text
    assert base_summary()["as_of"] == "2026-03-31"


def test_a_large_base_is_profiled_by_a_job(
    app: Flask, client: FlaskClient, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "AT_ONCE", 0)
    customers("C1")
    log_in(client, "operations")
    assert "The orders are being read." in client.post("/base/rebuild", follow_redirects=True).text
    assert base_summary()["profiled"] == 0
    rebuild.work_off()
    assert (base_summary()["profiled"], rebuild.standing()) == (1, rebuild.Standing())
    rebuild.work_off()  # nothing was asked for
    assert db.session.scalar(sa.text("SELECT count(*) FROM audit_entries WHERE action = 'profiled'")) == 1


def test_a_job_that_fails_says_so_and_leaves_what_stood(
    sqlite_app: Flask, client: FlaskClient, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_base(operator)
    monkeypatch.setattr(rebuild, "AT_ONCE", 0)
    log_in(client, "operations")
    rebuild.ask(operator)
    monkeypatch.setattr("pilot.customers.profiling.base.summed_up", lambda *found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rebuild.work_off()
    page = client.get("/base").text
    assert "could not be recounted" in page
    assert "As of 31 Mar 2026" in page
