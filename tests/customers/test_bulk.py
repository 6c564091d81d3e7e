from datetime import UTC, date, datetime

import sqlalchemy as sa
from flask import Flask

from pilot.customers.bulk import insert_many, replace_many
from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db, transaction


def test_many_rows_are_inserted_to_the_letter_with_what_they_have_in_common(app: Flask) -> None:
    names = ["a\tb", "back\\slash \\N \\.", "two\nlines", "100 %s ?", "'; DROP TABLE customers; --", "Łódź 🍋"]
    rows = [(f"C{number}", name, None) for number, name in enumerate(names)]
    at = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    with transaction():
        insert_many(Customer, ("ref", "name", "email"), rows, digest="x", import_id=7, updated_at=at)
        insert_many(Customer, ("ref", "name", "email"), [], digest="x", import_id=7, updated_at=at)
    found = db.session.scalars(sa.select(Customer).order_by(Customer.ref)).all()
    assert [(row.ref, row.name, row.email) for row in found] == rows
    assert {(row.digest, row.import_id, row.updated_at) for row in found} == {("x", 7, at)}
    assert all(row.by_hand == [] for row in found)


def test_rows_that_stand_are_replaced_in_these_columns_alone(app: Flask) -> None:
    columns = ("customer_id", "as_of", "frequency", "monetary", "revenue_year", "touched", "activity", "missing")
    touched = '{"field\\"rep": {"touches": 1}}'
    with transaction():
        insert_many(Customer, ("ref", "name"), [("C1", "a"), ("C2", "b")], digest="", updated_at=datetime.now(UTC))
        ids = list(db.session.scalars(sa.select(Customer.id).order_by(Customer.ref)))
        old = [(ids[0], "2026-01-01", 1, 1.5, 1.5, "{}", "new", "[]")]
        replace_many(CustomerProfile, columns, old, "customer_id")
        db.session.execute(sa.update(CustomerProfile).values(segment="kept"))
        new = [(number, "2026-01-02", 2, 0.1, -7.25, touched, "active", '["name"]') for number in ids]
        replace_many(CustomerProfile, columns, new[:1], "customer_id")
        replace_many(CustomerProfile, columns, new[1:], "customer_id")  # each call holds its own rows only
    found = db.session.scalars(sa.select(CustomerProfile).order_by(CustomerProfile.customer_id)).all()
    assert [(row.as_of, row.frequency, row.monetary, row.revenue_year) for row in found] == [
        (date(2026, 1, 2), 2, 0.1, -7.25)
    ] * 2
    assert [(row.touched, row.missing, row.segment) for row in found] == [
        ({'field"rep': {"touches": 1}}, ["name"], "kept"),
        ({'field"rep': {"touches": 1}}, ["name"], None),
    ]
