"""Who is erased is found by nothing any more, from that moment on."""

from __future__ import annotations

import io

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.config import current
from pilot.customers.commands import erase as command
from pilot.customers.intake import uploads
from pilot.customers.intake.service import import_file, undo_import
from pilot.customers.models import Customer, Import, ListedCustomer
from pilot.customers.orderstore import store
from pilot.customers.people import listkeys
from pilot.customers.people.erasing import erase
from pilot.customers.people.listing import ListQuery, find
from pilot.db import db, transaction
from pilot.errors import Forbidden, NotFound, StateError

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


def test_refused_rows_and_uploads_forget_whoever_is_erased(app: Flask, operator: Actor, write: Write) -> None:
    rows = ("C1;Bruno Tarocchi;ok@firma.it", "C1;Tarocchi again;", "C3;Neri;neri(at)firma.it")
    number = import_file(operator, "customers", write("c.csv", "ref;name;email", *rows)).import_id
    kept = current().data_dir / "imports" / f"{number}-rejects.csv"
    assert "Tarocchi" in kept.read_text(encoding="utf-8")
    done = uploads.keep(io.BytesIO(b"ref;name\nC1;Tarocchi\n"), "a.csv", "customers")
    other = uploads.keep(io.BytesIO(b"ref;name\nC3;Neri\n"), "b.csv", "customers")
    waiting = uploads.keep(io.BytesIO(b"ref;name\nC1;Tarocchi\n"), "w.csv", "customers")
    waiting.give_order({"what": "take"})
    assert erase(operator, "C1") == (0, 2)
    left = kept.read_text(encoding="utf-8")
    assert "Tarocchi" not in left
    assert "C3,Neri" in left.replace(";", ",")
    assert [upload.folder.exists() for upload in (done, other, waiting)] == [False, True, True]


def test_orders_of_somebody_who_is_not_in_the_base_are_erased(app: Flask, operator: Actor, write: Write) -> None:
    customers = import_file(operator, "customers", write("c.csv", "ref;name", "ZZ9;Rossi")).import_id
    orders = write("o.csv", "customer_ref;order_ref;ordered_on;amount", "ZZ9;A;2026-01-02;1.5", "C2;B;2026-01-03;2.5")
    import_file(operator, "orders", orders)
    undo_import(operator, customers or 0)
    result = app.test_cli_runner().invoke(command, ["ZZ9"])
    assert "erased (it stood in 1 file of orders and touches" in result.output
    assert store().story("ZZ9")[0] == []
    assert len(store().story("C2")[0]) == 1
    with pytest.raises(NotFound):
        erase(operator, "ZZ9")


def test_an_import_that_is_not_finished_is_not_to_bring_back_whoever_is_erased(app: Flask, operator: Actor) -> None:
    add({"ref": "C1"})
    folder = current().data_dir / "imports" / "taking-x"
    folder.mkdir(parents=True)
    (folder / "source.csv").write_text("ref;name\nC1;Rossi\n")
    told = {"kind": "customers", "filename": "c.csv", "sha256": "", "importer": "csv", "reading": {}, "actor": "a"}
    counts = {"accepted": 0, "unchanged": 0, "rejected": 0}
    with transaction() as work:
        work.session.add(Import(**told, **counts, at=clock.now(), state="running", staged="imports/taking-x"))
    with pytest.raises(StateError, match="is not finished and tells of customer C1"):
        erase(operator, "C1")
    assert db.session.scalar(sa.select(sa.func.count(Customer.id))) == 1
