"""Before an import is taken back, what goes with it is told exactly, on the page and at the terminal."""

from __future__ import annotations

import dataclasses
import json
from datetime import date

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.intake.commands import import_
from pilot.customers.intake.service import import_file, import_of, undo_import, undo_preview
from pilot.customers.models import Completion, Customer, CustomerChange, Movement
from pilot.db import db, transaction
from pilot.errors import Forbidden, StateError
from pilot.mail.models import OutboxMessage
from tests.customers.conftest import Write

FIRST = ("ref;name;city", "C1;Rossi;Bari", "C2;Neri;")
SECOND = ("ref;name;city", "C1;Rossi;Rimini", "C2;Neri;Ancona", "C3;Verdi;", "C4;Bianchi;", "C5;Galli;Asti")


def count(model: type) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


@pytest.fixture
def worked_on(app: Flask, operator: Actor, write: Write) -> int:
    """An import that changed C1 and C2 and brought C3 to C5; then people worked on C2, C3 and C4."""
    import_file(operator, "customers", write("a.csv", *FIRST))
    number = import_file(operator, "customers", write("b.csv", *SECOND)).import_id or 0
    with transaction() as work:
        of = {customer.ref: customer for customer in work.session.scalars(sa.select(Customer))}
        of["C2"].city = "Pesaro"
        for ref, values in (("C2", ["city"]), ("C3", ["email", "phone"]), ("C4", ["phone"])):
            of[ref].by_hand = values
            same = {"customer_id": of[ref].id, "at": clock.now(), "actor": "desk", "before": {}}
            work.session.add(CustomerChange(**same, after=dict.fromkeys(values, "x")))
        for ref in ("C1", "C3", "C3", "C5"):
            moved = Movement(customer_id=of[ref].id, at=clock.now(), as_of=date(2026, 3, 1), reason="", facts={})
            work.session.add(moved)
        for ref, state in (("C2", "open"), ("C3", "done"), ("C4", "open")):
            work.session.add(Completion(customer_id=of[ref].id, fields=["phone"], priority=1, state=state))
    return number


def test_what_goes_is_counted_and_then_it_is_what_goes(worked_on: int, operator: Actor) -> None:
    seen = undo_preview(operator, worked_on)
    assert dataclasses.asdict(seen) == {
        "import_id": worked_on,
        "kind": "customers",
        "filename": "b.csv",
        "gone": 3,
        "restored": 1,  # the city of C2 was changed by a person since
        "by_hand": 3,
        "given_back": 0,
        "movements": 3,
        "completions": 2,
        "changes": 2,
        "orders": 0,
        "facts": 0,
        "count_again": 0,
        "told_otherwise": 0,
        "told_before": 0,
        "told_after": 0,
    }
    before = {model: count(model) for model in (Customer, Movement, Completion)}
    assert undo_import(operator, worked_on) == 4
    went = {model: before[model] - count(model) for model in before}
    assert went == {Customer: 3, Movement: 3, Completion: 2}


def test_a_value_that_comes_back_to_staff_is_counted(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *FIRST))
    with transaction():
        customer = db.session.scalars(sa.select(Customer).where(Customer.ref == "C2")).one()
        customer.city, customer.by_hand = "Pesaro", ["city"]
    number = import_file(operator, "customers", write("b.csv", *SECOND), overwrite=True).import_id or 0
    seen = undo_preview(operator, number)
    assert (seen.restored, seen.given_back) == (2, 1)


def test_facts_are_counted(app: Flask, operator: Actor, write: Write) -> None:
    path = write("o.csv", "customer_ref;order_ref;ordered_on;amount", "C1;A1;2026-01-02;5", "C1;A2;2026-01-02;5")
    number = import_file(operator, "orders", path).import_id or 0
    assert (undo_preview(operator, number).facts, undo_preview(operator, number).gone) == (2, 0)


def test_a_look_is_refused_as_the_undoing_would_be(worked_on: int, operator: Actor, write: Write) -> None:
    with pytest.raises(Forbidden):
        undo_preview(Actor("v@example.com", frozenset({"viewer"})), worked_on)
    with pytest.raises(StateError, match="later"):
        undo_preview(operator, 1)
    with transaction() as work:
        customer = work.session.scalars(sa.select(Customer).where(Customer.ref == "C5")).one()
        now = clock.now()
        mail = OutboxMessage(key="k", kind="notice", subject_id=1, queued_at=now, due_at=now, message_id="m")
        mail.customer_id = customer.id
        work.session.add(mail)
    for act in (undo_preview, undo_import):
        with pytest.raises(StateError, match=f"a customer that import {worked_on} brought is part of a pilot"):
            act(operator, worked_on)
    assert count(Customer) == 5


def run(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(import_, [str(argument) for argument in arguments], input=answer, catch_exceptions=False)


def test_the_terminal_shows_it_and_undoes_nothing_without_a_yes(
    sqlite_app: Flask, worked_on: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run("--undo", worked_on, "--dry-run").stdout
    assert shown.splitlines() == [
        f"Undoing import {worked_on} of b.csv, as things stand:",
        "  3 customers would go",
        "    with 3 values that staff filled in",
        "    with 2 entries of the work list",
        "    with 3 movements between segments",
        "    with 2 changes in their history",
        "  1 customer would get back values from before",
    ]
    assert json.loads(run("--undo", worked_on, "--dry-run", "--json").stdout)["movements"] == 3
    unasked = run("--undo", worked_on)
    assert (unasked.exit_code, "say --yes" in unasked.stderr, import_of(worked_on).state) == (2, True, "done")
    monkeypatch.setattr("pilot.customers.intake.commands._somebody_is_there", lambda: True)
    refused = run("--undo", worked_on, answer="n\n")
    assert (refused.exit_code, import_of(worked_on).state) == (1, "done")
    assert f"Undo import {worked_on}? [y/N]" in refused.stderr
    agreed = run("--undo", worked_on, answer="y\n")
    assert agreed.stdout.endswith(f"Import {worked_on} of b.csv is undone: 4 customers.\n")


def test_a_script_says_yes(sqlite_app: Flask, worked_on: int) -> None:
    told = json.loads(run("--undo", worked_on, "--yes", "--json").stdout)
    assert (told["undone"], told["gone"], import_of(worked_on).state) == (4, 3, "undone")


def test_what_a_later_import_told_as_well_is_not_taken_away(app: Flask, operator: Actor, write: Write) -> None:
    first = import_file(operator, "customers", write("cx.csv", "ref;name", "A1;Rossi", "A2;Neri")).import_id or 0
    later = write("cz.csv", "ref;name", "A1;Rossi", "A2;Neri", "A4;Galli")
    second = import_file(operator, "customers", later).import_id or 0
    refused = f"import {second} found 2 customers just as they stood.*Undo import {second} first"
    for act in (undo_preview, undo_import):
        with pytest.raises(StateError, match=refused):
            act(operator, first)
    assert count(Customer) == 3
    undo_import(operator, second)
    undo_import(operator, first)
    import_file(operator, "customers", later)
    assert set(db.session.scalars(sa.select(Customer.ref))) == {"A1", "A2", "A4"}


def test_a_file_that_only_confirmed_others_is_kept_and_can_be_undone(app: Flask, operator: Actor, write: Write) -> None:
    path = write("cx.csv", "ref;name", "A1;Rossi")
    first = import_file(operator, "customers", path).import_id or 0
    assert import_file(operator, "customers", path).import_id == first, "the same file again is no import of its own"
    told = import_file(operator, "customers", write("cy.csv", "name;ref", "Rossi;A1")).import_id or 0
    with pytest.raises(StateError, match=f"Undo import {told} first"):
        undo_import(operator, first)
    undo_import(operator, told)
    assert count(Customer) == 1
    undo_import(operator, first)
    assert count(Customer) == 0
