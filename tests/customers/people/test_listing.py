"""The customer list: the right customers in the right order at any size, and a copy that follows the base."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from pilot import clock
from pilot.accounts.service import SYSTEM, Actor, record, trail
from pilot.customers.models import LIST_KEYS, SEARCH_INDEX, Customer, CustomerProfile, ListedCustomer
from pilot.customers.people import listing, listkeys, savedviews
from pilot.customers.people.listing import ListQuery, find
from pilot.db import db, transaction
from pilot.errors import Forbidden, InputError, NotFound

from ..adding import add

READER = Actor("vera@example.com", frozenset({"viewer"}))


def refs(query: ListQuery, **where: Any) -> list[str]:
    return [line.customer.ref for line in find(query, **where).lines]


def all_pages(query: ListQuery) -> Iterator[list[str]]:
    page = find(query)
    while True:
        yield [line.customer.ref for line in page.lines]
        if page.after is None:
            return
        page = find(query, after=page.after)


PEOPLE = (
    {"ref": "A-17", "name": "Panificio Rossi", "email": "mario.bruni@forno.example", "city": "Città di Castello"},
    {"ref": "A-18", "name": "Żabka Łódź", "email": None, "city": "Łódź"},
    {"ref": "B-17", "name": "ROSSINI srl", "email": "info@rossini.example", "city": "Roma"},
)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ross", ["A-17", "B-17"]),
        ("Rossi", ["A-17", "B-17"]),
        ("rossin", ["B-17"]),
        ("pani ross", ["A-17"]),
        ("ROSSI citta", ["A-17"]),
        ("lodz", ["A-18"]),
        ("Łódź", ["A-18"]),
        ("zab", ["A-18"]),
        ("A-17", ["A-17"]),
        ("17", ["A-17", "B-17"]),
        ("mario.bruni@forno.example", ["A-17"]),
        ("bruni", ["A-17"]),
        ("r", ["A-17", "B-17"]),
        ("r p", ["A-17"]),
        ("ossi", []),
        ("nobody", []),
        ("%", []),
        ('" OR 1=1 --', []),
        ("'", []),
    ],
)
def test_a_search_finds_words_by_their_beginnings(app: Flask, search: str, found: list[str]) -> None:
    add(*PEOPLE)
    assert refs(ListQuery(search=search, sort="ref", descending=False)) == found


@pytest.mark.parametrize("counted", [0, 10_000])
def test_common_and_rare_words_are_found_alike(app: Flask, monkeypatch: pytest.MonkeyPatch, counted: int) -> None:
    """Beyond `COUNTED` another way is taken; with 0 it is always taken."""
    monkeypatch.setattr(listing, "COUNTED", counted)
    add(*PEOPLE)
    assert refs(ListQuery(search="ross", sort="name", descending=False)) == ["A-17", "B-17"]
    assert refs(ListQuery(search="pani r", sort="name")) == ["A-17"]
    page = find(ListQuery(search="ross"))
    assert (page.count, page.capped) == ((2, False) if counted else (0, True))


def various() -> list[dict[str, Any]]:
    """Sixty customers whose values repeat, some not known."""
    return [
        {
            "ref": f"C{n:02d}",
            "name": ("Élite", "alfa", "Beta", "")[n % 4],
            "city": ("Roma", None, "Ancona")[n % 3],
            "region": ("Marche", None)[n % 2],
            "sales_rep": "Rossi" if n % 5 else None,
            "channel": "service-desk" if n % 7 else None,
            "email": f"c{n}@example.com" if n % 4 else None,
            "profile": {
                "revenue_year": float(n % 6) * 10,
                "frequency": n % 3,
                "activity": ("active", "lost")[n % 2],
                "segment": ("top", None)[n % 2],
                "last_order": date(2026, 1, 1) + timedelta(days=n % 9) if n % 9 else None,
                "potential": float(n) if n % 2 else None,
            }
            if n % 10
            else None,
        }
        for n in range(60)
    ]


@pytest.mark.parametrize("counted", [0, 10_000])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_hold_everybody_once_in_order_forwards_and_back(
    app: Flask, monkeypatch: pytest.MonkeyPatch, counted: int, descending: bool
) -> None:
    monkeypatch.setattr(listing, "COUNTED", counted)
    monkeypatch.setattr(listing, "SIZES", (7,))
    add(*various())
    keys = {row.customer_id: row for row in db.session.scalars(sa.select(ListedCustomer))}
    for sort in LIST_KEYS:
        for region in ("", "Marche"):
            query = ListQuery(sort=sort, descending=descending, size=7, region=region)
            wanted = [row for row in keys.values() if not region or row.region == region]
            wanted.sort(key=lambda row: (getattr(row, sort), row.customer_id), reverse=descending)
            pages = list(all_pages(query))
            assert [ref for page in pages for ref in page] == [row.ref for row in wanted], sort
            second = find(query, after=find(query).after)
            assert second.before is not None
            assert refs(query, before=second.before) == pages[0]
            assert find(query, before=second.before).before is None


FILTERS = some.fixed_dictionaries(
    {},
    optional={
        "region": some.sampled_from(["Marche", "-", "Lazio"]),
        "sales_rep": some.sampled_from(["Rossi", "-"]),
        "channel": some.sampled_from(["service-desk", "-"]),
        "activity": some.sampled_from(["active", "lost", "-"]),
        "segment": some.sampled_from(["top", "-"]),
        "missing": some.sampled_from(["email", "city"]),
        "revenue_from": some.sampled_from([0.0, 20.0]),
        "revenue_to": some.sampled_from([0.0, 30.0]),
        "ordered_from": some.just(date(2026, 1, 4)),
        "ordered_to": some.just(date(2026, 1, 6)),
    },
)


def fits(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a customer of `various` is meant, said in plain Python."""
    told = row["profile"] or {}
    same = {"region": row["region"], "sales_rep": row["sales_rep"], "channel": row["channel"]}
    same |= {"activity": told.get("activity"), "segment": told.get("segment")}
    day, revenue = told.get("last_order"), told.get("revenue_year", 0.0)
    return (
        all((same[name] or "-") == asked[name] for name in same if name in asked)
        and ("missing" not in asked or not row[asked["missing"]])
        and asked.get("revenue_from", 0.0) <= revenue <= asked.get("revenue_to", 99.0)
        and ("ordered_from" not in asked or (day is not None and day >= asked["ordered_from"]))
        and ("ordered_to" not in asked or (day is not None and day <= asked["ordered_to"]))
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=FILTERS)
def test_filters_say_what_plain_words_say(sqlite_app: Flask, asked: dict[str, Any]) -> None:
    if not db.session.scalar(sa.select(sa.func.count()).select_from(Customer)):
        add(*various())
    page = find(ListQuery(**asked, sort="ref", descending=False, size=100))
    assert [line.customer.ref for line in page.lines] == [row["ref"] for row in various() if fits(row, asked)]
    assert page.count == len(page.lines)


def test_filters_work_on_either_database(app: Flask) -> None:
    add(*various())
    for asked in ({"missing": "email"}, {"segment": "top", "ordered_to": date(2026, 1, 6)}, {"region": "-"}):
        found = refs(ListQuery(**asked, sort="ref", descending=False, size=100))  # type: ignore[arg-type]
        assert found == [row["ref"] for row in various() if fits(row, asked)]
    assert listing.choices("region") == ["", "Marche"]


def test_a_pilot_is_a_filter(sqlite_app: Flask) -> None:
    ids = add({}, {}, {})
    members = sa.select(Customer.id).where(Customer.id == ids[1])
    listing.register_pilots(sqlite_app, listing.Pilots(lambda: {"desk": "Desk"}, lambda key: members))
    assert refs(ListQuery(pilot="desk")) == ["C1"]


def test_the_copy_follows_whatever_changes(app: Flask) -> None:
    first, second, third = add({"name": "Alfa"}, {"name": "Beta"}, {"name": "Gamma"})
    assert not listkeys.behind()
    with transaction() as work:
        work.session.execute(
            sa.update(Customer).where(Customer.id == first).values(name="Omega", updated_at=clock.now())
        )
        work.session.execute(sa.delete(Customer).where(Customer.id == second))
        work.session.add(
            CustomerProfile(
                customer_id=third, as_of=date(2026, 3, 1), frequency=1, monetary=5.0, revenue_year=5.0, missing=[],
                activity="active",
            )
        )  # fmt: skip
        record(SYSTEM, "imported", "import:1")
    assert listkeys.behind()
    while listkeys.follow():
        pass
    assert not listkeys.behind()
    assert [refs(ListQuery(search=name)) for name in ("alfa", "omega", "beta", "gamma")] == [[], ["C0"], [], ["C2"]]
    assert refs(ListQuery()) == ["C2", "C0"]
    assert refs(ListQuery(activity="active")) == ["C2"]
    assert find(ListQuery()).count == 2
    if db.engine.dialect.name == "sqlite":  # the index agrees with the rows it is made of
        check = f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}, rank) VALUES ('integrity-check', 1)"
        with transaction() as work:
            work.session.execute(sa.text(check))


def test_a_round_that_was_interrupted_goes_on(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listkeys, "BATCH", 4)
    add(*({} for _ in range(10)), listed=False)
    with transaction():
        record(SYSTEM, "imported", "import:1")
    assert listkeys.follow()
    assert len(refs(ListQuery())) == 4
    db.session.remove()  # as after a kill
    rounds = 1
    while listkeys.follow():
        rounds += 1
    assert rounds == 3
    assert len(refs(ListQuery())) == 10
    assert find(ListQuery()).count == 10


def test_what_does_not_touch_the_base_starts_no_round(app: Flask) -> None:
    add({})
    with transaction():
        record(SYSTEM, "logged in", "user:anna@example.com")
    assert not listkeys.behind()


@pytest.mark.parametrize("sort", LIST_KEYS)
def test_a_page_is_read_from_the_index_of_its_order(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    """Nothing is sorted and nothing counted off, however many there are, whatever is filtered."""
    monkeypatch.setattr(listing, "COUNTED", 0)
    add(*various())
    asked: list[tuple[str, Any]] = []
    db.session.rollback()  # the next connection is listened to

    @sa.event.listens_for(db.engine, "before_cursor_execute")
    def _keep(_connection: Any, _cursor: Any, text: str, values: Any, _context: Any, _many: bool) -> None:
        asked.append((text, values))

    for narrowed in ({}, {"region": "Marche", "activity": "active"}, {"search": "a", "revenue_from": 5.0}):
        query = ListQuery(sort=sort, size=25, **narrowed)  # type: ignore[arg-type]
        asked.clear()
        find(query, after=find(query).after)
        walks = [(text, values) for text, values in asked if "ORDER BY" in text]
        assert len(walks) == 2
        for text, values in walks:
            plan = str(db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all())
            assert f"ix_listed_customers_{sort}" in plan
            assert "TEMP B-TREE" not in plan


def test_an_export_is_recorded_before_its_first_line_and_holds_all(app: Flask) -> None:
    add(*various())
    operator = Actor("op@example.com", frozenset({"operations"}))
    lines = listing.export(operator, ListQuery(region="Marche", sort="ref", descending=False))
    entry = trail("customers")[-1]
    assert (entry.actor, entry.action, entry.details["region"]) == ("op@example.com", "exported", "Marche")
    assert [line.customer.ref for line in lines] == [row["ref"] for row in various() if row["region"] == "Marche"]
    for role in ("viewer", "agent", "outsourced"):
        with pytest.raises(Forbidden):
            listing.export(Actor("x", frozenset({role})), ListQuery())


def test_what_the_list_does_not_have_is_refused() -> None:
    for wrong in ({"sort": "digest"}, {"size": 10**9}, {"columns": ("password",)}, {"missing": "name; DROP TABLE"}):
        with pytest.raises(InputError):
            ListQuery(**wrong)  # type: ignore[arg-type]


def test_views_are_kept_shared_and_deleted_by_their_owner(app: Flask) -> None:
    own = savedviews.keep(READER, " My  south ", {"region": "South"})
    again = savedviews.keep(READER, "My south", {"region": "North"}, shared=True)
    assert own.id == again.id
    other = Actor("ugo@example.com", frozenset({"analyst"}))
    secret = savedviews.keep(other, "Secret", {})
    assert [view.name for view in savedviews.kept(READER)] == ["My south"]
    assert [view.name for view in savedviews.kept(other)] == ["My south", "Secret"]
    assert savedviews.view(other, own.id).query == {"region": "North"}
    with pytest.raises(NotFound):
        savedviews.view(READER, secret.id)
    with pytest.raises(NotFound):
        savedviews.forget(other, own.id)
    savedviews.forget(READER, own.id)
    assert savedviews.kept(READER) == []
    with pytest.raises(InputError):
        savedviews.keep(READER, "  ", {})
    with pytest.raises(Forbidden):
        savedviews.keep(Actor("x", frozenset({"outsourced"})), "mine", {})


@pytest.mark.parametrize("typed", ["22 123", "221234", "+48 22 123 45 67", "4822123", "123"])
def test_a_customer_is_found_by_the_beginning_of_its_phone_number(app: Flask, typed: str) -> None:
    add({"name": "Alfa", "phone": "+48 22 123-45-67"}, {"name": "Beta", "phone": "+39 051 998877"})
    assert [line.customer.name for line in find(ListQuery(search=typed)).lines] == ["Alfa"]
