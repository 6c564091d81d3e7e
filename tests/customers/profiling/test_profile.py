import csv
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.config import Config
from pilot.customers.intake.service import import_file
from pilot.customers.models import Customer, CustomerProfile, Import
from pilot.customers.orderstore import store
from pilot.customers.profiling.profile import activity, rhythm
from pilot.customers.service import base_summary, customer_count, last_order_day, rebuild_profiles
from pilot.db import db, transaction
from pilot.errors import InputError

from ..conftest import Write


@pytest.mark.parametrize(
    ("recency", "interval", "state"),
    [
        (None, None, "never"),
        (90, None, "new"),
        (91, None, "lapsed"),
        (365, None, "lapsed"),
        (366, None, "lost"),
        (45, 30.0, "active"),
        (46, 30.0, "slowing"),
        (90, 30.0, "slowing"),
        (91, 30.0, "lapsed"),
        (365, 30.0, "lapsed"),
        (366, 30.0, "lost"),
        (600, 100.0, "lapsed"),  # six times its rhythm
        (601, 100.0, "lost"),
        (10, 1.0, "active"),  # a rhythm is a week at least
        (11, 1.0, "slowing"),
    ],
)
def test_activity_is_measured_by_the_customers_own_rhythm(
    recency: int | None, interval: float | None, state: str
) -> None:
    assert activity(recency, interval) == state


@pytest.mark.parametrize(
    ("order_days", "interval", "found"),
    [(0, None, None), (1, None, None), (2, 5.0, 60.0), (2, 300.0, 60.0), (3, 5.0, 5.0)],
)
def test_one_gap_is_no_rhythm(order_days: int, interval: float | None, found: float | None) -> None:
    assert rhythm(order_days, interval) == found


def profiles() -> dict[str, dict[str, Any]]:
    columns = [column for column in sa.inspect(CustomerProfile).columns if column.name != "customer_id"]
    rows = db.session.execute(sa.select(Customer.ref, *columns).join(CustomerProfile).order_by(Customer.ref))
    return {row.ref: dict(row._mapping) for row in rows}


def base(operator: Actor, write: Write) -> None:
    # the order of bytes is not the order of a dictionary: "a2" comes last of the three
    import_file(
        operator,
        "customers",
        write("c.csv", "ref;name;email;city", "B1;Rossi;b@example.com;Bari", "a2;Nord;;", "C3;X;;"),
    )
    lines = (
        "B1;A1;01/01/2025;100,10;",
        "B1;A1;01/01/2025;0,15;",
        "B1;A2;31/03/2025;20;",
        "B1;A3;01/04/2025;30;",
        "B1;A4;01/02/2026;999;cancelled",
        "B1;A5;01/04/2026;999;",
        "a2;A6;31/03/2026;7;",
        "Z9;A7;31/03/2026;5;",
    )
    import_file(
        operator,
        "orders",
        write("o.csv", "ref;order no;date;amount;status", *lines, newline="\r\n"),
        mapping={"customer_ref": "ref"},
    )


NOTHING = {
    **dict.fromkeys(("recency_days", "first_order", "last_order", "interval_days", "interval_change")),
    **dict.fromkeys(("peer_revenue", "potential", "value_rank")),
    **dict.fromkeys(("frequency", "order_days", "cancelled", "touches_year"), 0),
    **dict.fromkeys(("monetary", "revenue_year", "revenue_before", "minutes_year", "cost_year"), 0.0),
    "contribution_year": 0.0,
    "touched": {},
    "activity": "never",
    "as_of": date(2026, 3, 31),
}
REST = ["phone", "language", "region", "sales_rep", "street"]
MORE = ["postcode", "legal_entity", "sector", "size"]


def told(ref: str) -> dict[str, Any]:
    """One profile, without number and segment."""
    row = profiles()[ref]
    return {name: row[name] for name in (*NOTHING, "missing")}


def test_a_profile_tells_what_happened_up_to_its_day(app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    assert rebuild_profiles(operator, date(2026, 3, 31)) == 3
    assert told("C3") == {**NOTHING, "missing": ["email", *REST, "city", *MORE]}
    assert told("B1") == {
        **NOTHING,
        "recency_days": 364,
        "frequency": 3,
        "monetary": 150.25,
        "revenue_year": 30.0,  # an order a year ago to the day belongs to the year before
        "revenue_before": 120.25,
        "contribution_year": 30.0,
        "first_order": date(2025, 1, 1),
        "last_order": date(2025, 4, 1),
        "order_days": 3,
        "interval_days": 45.0,
        "cancelled": 1,
        "value_rank": 1,
        "activity": "lapsed",
        "missing": [*REST, *MORE],
    }
    assert told("a2") == {
        **NOTHING,
        "recency_days": 0,
        "frequency": 1,
        "monetary": 7.0,
        "revenue_year": 7.0,
        "contribution_year": 7.0,
        "first_order": date(2026, 3, 31),
        "last_order": date(2026, 3, 31),
        "order_days": 1,
        "value_rank": 2,
        "activity": "new",
        "missing": ["email", *REST, "city", *MORE],
    }


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


def test_the_last_three_intervals_are_set_against_those_before(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;A", "C2;B"))
    days = [date(2026, 1, 1) + timedelta(days=number) for number in (0, 10, 20, 35, 50, 80)]
    put("orders", [("C1", f"A{n}", day, 1, False) for n, day in enumerate(days)])
    put("orders", [("C1", "A9", days[1], 1, False), ("C1", "A8", date(2026, 3, 25), 1, True)])  # no further order days
    put("orders", [("C2", f"B{n}", day, 1, False) for n, day in enumerate(days[:4])])
    rebuild_profiles(operator, date(2026, 3, 31))
    # intervals 10 10 15 15 30: the last three have a mean of 20, those before of 10
    assert (told("C1")["interval_change"], told("C1")["interval_days"], told("C1")["order_days"]) == (2.0, 16.0, 6)
    assert (told("C2")["interval_change"], told("C2")["order_days"]) == (None, 4)


def test_touches_of_the_year_cost_and_are_told_by_channel(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;A", "C2;B"))
    put("orders", [("C1", "A1", date(2026, 1, 1), Decimal("100"), False)])
    put(
        "touches",
        [
            ("C1", date(2026, 3, 31), "field-rep", "visit", 30.5, Decimal("71.55")),
            ("C1", date(2025, 4, 1), "service-desk", "call", 5.0, Decimal("3.75")),
            ("C1", date(2025, 4, 1), "service-desk", "mail", 1.0, Decimal("0.75")),
            ("C1", date(2025, 3, 31), "field-rep", "visit", 99.0, Decimal("99")),  # before the year
            ("C1", date(2026, 4, 1), "field-rep", "visit", 99.0, Decimal("99")),  # after it
            ("C9", date(2026, 3, 1), "field-rep", "visit", 99.0, Decimal("99")),  # not in the base
        ],
    )
    rebuild_profiles(operator, date(2026, 3, 31))
    found = told("C1")
    assert (found["touches_year"], found["minutes_year"], found["cost_year"]) == (3, 36.5, 76.05)
    assert found["touched"] == {
        "field-rep": {"touches": 1, "minutes": 30.5, "cost": 71.55},
        "service-desk": {"touches": 2, "minutes": 6.0, "cost": 4.5},
    }
    assert found["contribution_year"] == pytest.approx(100 - 76.05)
    assert told("C2")["contribution_year"] == 0.0


def test_the_gross_margin_is_taken_off_before_the_cost(
    config: Callable[..., Config], sqlite_app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;A"))
    put("orders", [("C1", "A1", date(2026, 1, 1), Decimal("100"), False)])
    put("touches", [("C1", date(2026, 3, 1), "field-rep", "visit", 30.0, Decimal("60"))])
    monkeypatch.setitem(sqlite_app.extensions, "pilot.config", config(gross_margin=0.4))
    rebuild_profiles(operator, date(2026, 3, 31))
    assert told("C1")["contribution_year"] == -20.0


def test_potential_is_what_is_missing_to_the_upper_quartile_of_peers(app: Flask, operator: Actor, write: Write) -> None:
    lines = [f"C{number};n;Bari;small" for number in range(14)]
    few = [f"D{number};n;Bari;large" for number in range(9)]
    import_file(
        operator, "customers", write("c.csv", "ref;name;region;size", *lines, *few, "E1;n;Bari;", "E2;n;;small")
    )
    with transaction() as work:  # however the importer reads them
        size = sa.case(
            (Customer.ref.like("C%"), "small"), (Customer.ref.like("D%"), "large"), (Customer.ref == "E2", "small")
        )
        work.session.execute(sa.update(Customer).values(size=size))
    bought = [(f"C{n}", f"A{n}", date(2026, 1, 1), 100 * n, False) for n in range(1, 13)]
    put("orders", [*bought, *((f"D{n}", f"D{n}", date(2026, 1, 1), 10, False) for n in range(9))])
    rebuild_profiles(operator, date(2026, 3, 31))
    # twelve of the fourteen bought: 100 to 1200; three quarters of them at most for 900
    assert [(told(ref)["peer_revenue"], told(ref)["potential"]) for ref in ("C0", "C1", "C9", "C12")] == [
        (900.0, 900.0),
        (900.0, 800.0),
        (900.0, 0.0),
        (900.0, 0.0),
    ]
    assert {told(ref)["potential"] for ref in ("D1", "E1", "E2")} == {None}  # too few peers, or nobody knows whose


def test_customers_of_equal_revenue_share_a_rank(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", *(f"C{number};n" for number in range(1, 6))))
    amounts = {"C1": 10, "C2": 30, "C3": 30, "C4": -5}
    put("orders", [(ref, ref, date(2026, 1, 1), amount, False) for ref, amount in amounts.items()])
    rebuild_profiles(operator, date(2026, 3, 31))
    assert {ref: row["value_rank"] for ref, row in profiles().items()} == {
        "C1": 3, "C2": 1, "C3": 1, "C4": None, "C5": None,
    }  # fmt: skip


def test_tenure_and_basket_follow_from_the_rest(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    rebuild_profiles(operator, date(2026, 3, 31))
    rows = {profile.customer.ref: profile for profile in db.session.scalars(sa.select(CustomerProfile))}
    assert (rows["B1"].tenure_days, rows["B1"].basket) == (454, pytest.approx(150.25 / 3))
    assert (rows["C3"].tenure_days, rows["C3"].basket) == (None, None)


def test_a_rebuild_that_fails_leaves_the_profiles_that_stood(
    app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    base(operator, write)
    rebuild_profiles(operator, date(2026, 3, 31))
    before = profiles(), base_summary()
    monkeypatch.setattr("pilot.customers.profiling.base.summed_up", lambda *found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rebuild_profiles(operator, date(2026, 4, 1))
    assert (profiles(), base_summary()) == before


def test_a_rebuild_leaves_the_segment_alone(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    rebuild_profiles(operator, date(2026, 3, 31))
    with transaction() as work:
        work.session.execute(sa.update(CustomerProfile).values(segment="key", segment_since=date(2026, 1, 1)))
    rebuild_profiles(operator, date(2026, 4, 1))
    assert {(row["segment"], row["segment_since"]) for row in profiles().values()} == {("key", date(2026, 1, 1))}


def test_profiles_are_made_anew_for_another_day(app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    rebuild_profiles(operator, date(2026, 3, 31))
    rebuild_profiles(operator, date(2026, 4, 1))
    assert [(row["as_of"], row["frequency"]) for row in profiles().values()] == [
        (date(2026, 4, 1), 4),
        (date(2026, 4, 1), 0),
        (date(2026, 4, 1), 1),
    ]


def test_online_retail_gives_the_reference_profile(sqlite_app: Flask, operator: Actor, shared_data: Path) -> None:
    # reference_rfm.csv: pandas, cancelled invoices and rows without customer left out, recency to 1 June 2011
    folder = shared_data / "online_retail"
    (path,) = folder.glob("*.csv.gz")
    people = import_file(operator, "customers", path)
    orders = import_file(operator, "orders", path)
    assert (people.accepted, people.rejected) == (2767, 0)
    assert (orders.accepted, orders.rejected) == (149_053, 59_976)
    assert {error.reason for error in orders.errors} == {"the row has no customer number"}
    assert last_order_day() == date(2011, 5, 31)
    rebuild_profiles(operator, date(2011, 6, 1))
    with (folder / "reference_rfm.csv").open(newline="") as file:
        expected = {
            row["CustomerID"]: (int(row["recency_days"]), int(row["frequency"]), round(float(row["monetary"]), 2))
            for row in csv.DictReader(file)
        }
    found = {
        ref: (row["recency_days"], row["frequency"], round(row["monetary"], 2))
        for ref, row in profiles().items()
        if row["frequency"]
    }
    assert len(found) == 2718
    assert found == expected


def test_cdnow_gives_the_reference_profile(sqlite_app: Flask, operator: Actor, shared_data: Path, write: Write) -> None:
    # reference_rfm_sample.csv: pandas, each row an order, recency to 30 June 1998
    source = (shared_data / "cdnow" / "CDNOW_sample.txt").read_text().split("\n")
    rows = [line.split() for line in source if line.strip()]
    import_file(operator, "customers", write("c.csv", "ref;name", *sorted({f"{row[1]};x" for row in rows})))
    lines = [f"{row[1]};{number};{row[2]};{row[4]}" for number, row in enumerate(rows)]
    orders = import_file(operator, "orders", write("o.csv", "customer_ref;order_ref;ordered_on;amount", *lines))
    assert (orders.accepted, orders.rejected) == (6919, 0)
    rebuild_profiles(operator, date(1998, 6, 30))
    with (shared_data / "cdnow" / "reference_rfm_sample.csv").open(newline="") as file:
        expected = {
            row["id"]: (int(row["recency_days"]), int(row["orders"]), int(row["days"]), float(row["revenue"]))
            for row in csv.DictReader(file)
        }
    found = {
        ref: (row["recency_days"], row["frequency"], row["order_days"], round(row["monetary"], 2))
        for ref, row in profiles().items()
    }
    assert len(found) == 2357
    assert found == expected


def test_the_summary_says_how_the_base_stands(app: Flask, operator: Actor, write: Write) -> None:
    lines = [f"C{number};Name {number};{'' if number % 2 else 'x@example.com'}" for number in range(10)]
    import_file(operator, "customers", write("c.csv", "ref;name;email", *lines))
    orders = [f"C{number};A{number};2026-03-{number + 1:02};{2**number}" for number in range(9)]
    import_file(operator, "orders", write("o.csv", "customer_ref;order_ref;ordered_on;amount", *orders))
    rebuild_profiles(operator, date(2026, 3, 31))
    summary = base_summary()
    assert (summary["customers"], summary["profiled"], customer_count()) == (10, 10, 10)
    assert (summary["as_of"], summary["orders"], summary["revenue"], summary["revenue_year"]) == (
        "2026-03-31",
        9,
        511,
        511,
    )
    assert summary["share_of_top_fifth"] == round((256 + 128) / 511, 4)
    assert summary["activity"] == {"new": 9, "active": 0, "slowing": 0, "lapsed": 0, "lost": 0, "never": 1}
    assert (summary["missing"]["name"], summary["missing"]["email"], summary["missing"]["phone"]) == (0, 5, 10)


def test_an_empty_base_has_a_summary_too(app: Flask, operator: Actor) -> None:
    assert rebuild_profiles(operator, date(2026, 3, 31)) == 0
    summary = base_summary()
    assert (summary["customers"], summary["as_of"], summary["share_of_top_fifth"]) == (0, None, None)
    with pytest.raises(InputError, match="there are no orders yet"):
        last_order_day()
