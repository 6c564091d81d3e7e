"""The same file once more: nothing changes where nothing would, and what has changed since is never passed over."""

from __future__ import annotations

import os
import threading
from datetime import date
from decimal import Decimal

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.config import current
from pilot.customers import service as customers
from pilot.customers.intake import imports as intake
from pilot.customers.intake.service import import_file, import_of, undo_import
from pilot.customers.models import Customer, Import
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import StateError
from tests.customers.conftest import Write

ORDERS = ("customer_ref;order_ref;ordered_on;amount", "C1;A1;2026-01-02;10", "C1;A2;2026-01-03;20")
TOUCHES = ("customer_ref;happened_on;channel;kind;minutes;cost", "C1;2026-01-02;field-rep;call;5;10")


def cities() -> dict[str, str | None]:
    return {row.ref: row.city for row in db.session.execute(sa.select(Customer.ref, Customer.city))}


def amounts() -> dict[str, Decimal]:
    return {order.order_ref: order.amount for order in store().story("C1")[0]}


def costs() -> list[Decimal]:
    return [touch.cost for touch in store().story("C1")[1]]


def test_customers_as_in_the_first_file_again(app: Flask, operator: Actor, write: Write) -> None:
    first, second = (write(f"{city}.csv", "ref;name;city", f"C1;Rossi;{city}") for city in ("Bari", "Rimini"))
    for path in (first, second):
        import_file(operator, "customers", path)
    assert import_file(operator, "customers", first, dry_run=True).accepted == 1
    again = import_file(operator, "customers", first)
    assert (again.accepted, again.changed, cities()) == (1, 1, {"C1": "Bari"})
    assert import_file(operator, "customers", first).unchanged == 1


def test_customers_are_brought_back_that_an_undo_of_an_earlier_import_took(
    app: Flask, operator: Actor, write: Write
) -> None:
    import_file(operator, "customers", write("a.csv", "ref;name;city", "C1;Rossi;Bari"))
    changed = import_file(operator, "customers", write("b.csv", "ref;name;city", "C1;Rossi;Rimini"))
    last = write("c.csv", "ref;name;city", "C1;Rossi;Rimini", "C2;Neri;")
    confirming = import_file(operator, "customers", last)
    undo_import(operator, confirming.import_id or 0)
    undo_import(operator, changed.import_id or 0)
    assert cities() == {"C1": "Bari"}
    again = import_file(operator, "customers", last)
    assert (again.accepted, again.unchanged, cities()["C1"]) == (2, 0, "Rimini")


def test_orders_as_in_the_first_file_again(app: Flask, operator: Actor, write: Write) -> None:
    first = write("a.csv", *ORDERS)
    import_file(operator, "orders", first)
    import_file(operator, "orders", write("b.csv", ORDERS[0], "C1;A1;2026-01-02;99"))
    assert amounts() == {"A1": 99, "A2": 20}
    assert import_file(operator, "orders", first, dry_run=True).accepted == 2
    again = import_file(operator, "orders", first)
    assert (again.accepted, amounts()) == (2, {"A1": 10, "A2": 20})
    # once it is the newest, it changes nothing any more, and undone, what was said before it counts
    assert (import_file(operator, "orders", first).unchanged, db.session.scalar(sa.func.count(Import.id))) == (2, 3)
    undo_import(operator, again.import_id or 0)
    assert amounts() == {"A1": 99, "A2": 20}
    assert import_file(operator, "orders", first).accepted == 2


def test_touches_as_in_the_first_file_again(app: Flask, operator: Actor, write: Write) -> None:
    first = write("a.csv", *TOUCHES)
    import_file(operator, "touches", first)
    import_file(operator, "touches", write("b.csv", TOUCHES[0], "C1;2026-01-02;field-rep;call;5;70"))
    again = import_file(operator, "touches", first)
    assert (again.accepted, costs()) == (1, [10])


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(("C2;A1;2026-01-02;99",), id="other customers"),
        pytest.param(("C1;A2;2026-01-03;20", "C1;A3;2026-01-04;5"), id="the same of the same order"),
    ],
)
def test_a_later_file_that_says_nothing_else_of_these_orders_leaves_the_first_as_it_is(
    sqlite_app: Flask, operator: Actor, write: Write, later: tuple[str, ...]
) -> None:
    first = write("a.csv", *ORDERS)
    number = import_file(operator, "orders", first).import_id
    import_file(operator, "orders", write("b.csv", ORDERS[0], *later))
    for dry_run in (True, False):
        again = import_file(operator, "orders", first, dry_run=dry_run)
        assert (again.import_id, again.accepted, again.unchanged) == (number, 0, 2)


def test_of_two_who_import_the_same_orders_at_once_one_is_refused_and_leaves_no_file(
    app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.csv", *ORDERS)
    both, told, fact_rows = threading.Barrier(2), [], intake.fact_rows

    def meet(sieve: object) -> str:
        both.wait(20)
        return fact_rows(sieve)  # type: ignore[arg-type]

    def take() -> None:
        with app.app_context():
            try:
                told.append(str(import_file(operator, "orders", path).accepted))
            except StateError as error:
                told.append(error.reason)

    monkeypatch.setattr(intake, "fact_rows", meet)
    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    assert sorted(told) == ["2", "somebody else has just imported the same file"]
    assert amounts() == {"A1": 10, "A2": 20}
    pieces = sorted((current().data_dir / "orders").glob("orders-*.parquet"))
    for piece in pieces:
        os.utime(piece, (0, 0))
    customers.sweep_facts()
    left = [piece.name for piece in pieces if piece.exists()]
    assert (len(pieces), left) == (2, [import_of(1).fact_file])
    assert store().last_order_day() == date(2026, 1, 3)
