import csv
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.profile import activity
from pilot.customers.service import base_summary, customer_count, import_file, last_order_day, rebuild_profiles
from pilot.db import db
from pilot.errors import InputError

from .conftest import Write


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


def profiles() -> dict[str, dict[str, Any]]:
    columns = [column for column in sa.inspect(CustomerProfile).columns if column.name != "customer_id"]
    rows = db.session.execute(sa.select(Customer.ref, *columns).join(CustomerProfile).order_by(Customer.ref))
    return {row.ref: dict(row._mapping) for row in rows}


def base(operator: Actor, write: Write) -> None:
    # the order of bytes is not the order of a dictionary: "a2" comes last of the three
    import_file(
        operator, "customers", write("c.csv", "ref;name;email;city", "B1;Rossi;b@example.com;Bari", "a2;;;", "C3;X;;")
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


def test_a_profile_tells_what_happened_up_to_its_day(app: Flask, operator: Actor, write: Write) -> None:
    base(operator, write)
    assert rebuild_profiles(operator, date(2026, 3, 31)) == 3
    assert profiles() == {
        "B1": {
            "ref": "B1",
            "as_of": date(2026, 3, 31),
            "recency_days": 364,
            "frequency": 3,
            "monetary": 150.25,
            "revenue_year": 30.0,  # an order a year ago to the day is out
            "first_order": date(2025, 1, 1),
            "last_order": date(2025, 4, 1),
            "interval_days": 45.0,
            "activity": "lapsed",
            "missing": ["phone", "language", "region", "sales_rep", "postcode"],
            "segment": None,
        },
        "C3": {
            "ref": "C3",
            "as_of": date(2026, 3, 31),
            **dict.fromkeys(("recency_days", "first_order", "last_order", "interval_days", "segment")),
            "frequency": 0,
            "monetary": 0.0,
            "revenue_year": 0.0,
            "activity": "never",
            "missing": ["email", "phone", "language", "region", "sales_rep", "city", "postcode"],
        },
        "a2": {
            "ref": "a2",
            "as_of": date(2026, 3, 31),
            "recency_days": 0,
            "frequency": 1,
            "monetary": 7.0,
            "revenue_year": 7.0,
            "first_order": date(2026, 3, 31),
            "last_order": date(2026, 3, 31),
            "interval_days": None,
            "activity": "new",
            "missing": ["name", "email", "phone", "language", "region", "sales_rep", "city", "postcode"],
            "segment": None,
        },
    }


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
