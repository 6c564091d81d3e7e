"""Who is erased is found by nothing any more, from that moment on."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.commands import erase as command
from pilot.customers.intake.service import import_file, undo_import
from pilot.customers.models import Customer, ListedCustomer
from pilot.customers.orderstore import store
from pilot.customers.people import listkeys
from pilot.customers.people.erasing import erase
from pilot.customers.people.listing import ListQuery, find
from pilot.db import db
from pilot.errors import Forbidden, NotFound

from ..adding import add
from ..conftest import Write


def copies() -> list[str]:
    """The names in the copy that the list searches; its full-text index is asked by `find`."""
    return list(db.session.scalars(sa.select(ListedCustomer.name).order_by(ListedCustomer.name)))


def test_whoever_is_erased_is_nowhere_at_once(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;Bruno Tarocchi", "C2;Rossi"))
    orders = write("o.csv", "customer_ref;order_ref;ordered_on;amount", "C1;A;2026-01-02;1.5", "C2;B;2026-01-03;2.5")
    import_file(operator, "orders", orders)
    listkeys.catch_up()
    assert find(ListQuery(search="tarocchi")).count == 1
    erase(operator, "C1")
    assert find(ListQuery(search="tarocchi")).count == 0
    assert copies() == ["rossi"]
    assert store().story("C1")[0] == []
    assert len(store().story("C2")[0]) == 1


def test_those_whom_an_undone_import_brought_are_not_found_either(app: Flask, operator: Actor, write: Write) -> None:
    taken = import_file(operator, "customers", write("c.csv", "ref;name", "C1;Bruno Tarocchi"))
    listkeys.catch_up()
    assert copies() == ["bruno tarocchi"]
    undo_import(operator, taken.import_id or 0)
    assert copies() == []


def test_nobody_else_erases_and_nobody_who_is_not_there(sqlite_app: Flask, operator: Actor) -> None:
    add({"ref": "C1"})
    with pytest.raises(Forbidden):
        erase(Actor("vera", frozenset({"viewer"})), "C1")
    with pytest.raises(NotFound):
        erase(operator, "C9")
    result = sqlite_app.test_cli_runner().invoke(command, ["C1"])
    assert result.output == "Customer C1 is erased.\n"
    assert db.session.scalar(sa.select(sa.func.count(Customer.id))) == 0
