"""What staff filled in by hand stands against what files say, and is lost only where that was asked for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.intake import merging
from pilot.customers.intake.service import import_file, import_of, imports, resume_import, undo_import
from pilot.customers.models import Customer, CustomerChange
from pilot.db import db, transaction
from tests.customers.conftest import Write

HEADER = "ref;name;email;city"


def fill_in(ref: str, **values: str) -> None:
    """As the work list writes what somebody found out."""
    from pilot import clock

    with transaction() as work:
        customer = work.session.scalars(sa.select(Customer).where(Customer.ref == ref)).one()
        before = {name: getattr(customer, name) for name in values}
        for name, value in values.items():
            setattr(customer, name, value)
        customer.by_hand = sorted({*customer.by_hand, *values})
        change = CustomerChange(customer_id=customer.id, at=clock.now(), actor="desk", before=before, after=values)
        work.session.add(change)


def standing(ref: str) -> tuple[str, str | None, str | None, list[str]]:
    db.session.rollback()
    customer = db.session.scalars(sa.select(Customer).where(Customer.ref == ref)).one()
    return customer.name, customer.email, customer.city, customer.by_hand


@pytest.fixture
def filled(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", HEADER, "C1;Rossi;;Bari", "C2;Neri;;"))
    fill_in("C1", email="desk@example.com")


def test_a_file_that_says_otherwise_leaves_it_and_says_how_often(filled: None, operator: Actor, write: Write) -> None:
    path = write("b.csv", HEADER, "C1;Rossi;file@example.com;Rimini", "C2;Neri;n@example.com;")
    tried = import_file(operator, "customers", path, dry_run=True)
    taken = import_file(operator, "customers", path)
    for result in (tried, taken):
        assert (result.accepted, result.changed, result.kept, result.replaced) == (2, 2, 1, 0)
    assert standing("C1") == ("Rossi", "desk@example.com", "Rimini", ["email"])
    entry = import_of(taken.import_id or 0)
    assert (entry.kept, entry.replaced) == (1, 0)
    # the same file again says so again, and undone, it is still there
    again = import_file(operator, "customers", path)
    assert (again.accepted, again.unchanged, again.kept) == (0, 2, 1)
    undo_import(operator, entry.id)
    assert standing("C1") == ("Rossi", "desk@example.com", "Bari", ["email"])


def test_a_row_that_differs_in_nothing_else_is_unchanged(filled: None, operator: Actor, write: Write) -> None:
    path = write("b.csv", HEADER, "C1;Rossi;file@example.com;Bari")
    for _ in range(2):
        result = import_file(operator, "customers", path)
        assert (result.accepted, result.unchanged, result.kept) == (0, 1, 1)
    agreeing = import_file(operator, "customers", write("c.csv", HEADER, "C1;Rossi;desk@example.com;Bari"))
    assert (agreeing.accepted, agreeing.kept) == (0, 0)


def test_it_is_overwritten_only_where_that_was_asked_for(filled: None, operator: Actor, write: Write) -> None:
    path = write("b.csv", HEADER, "C1;Rossi;file@example.com;Bari", "C2;Neri;n@example.com;")
    import_file(operator, "customers", path)
    for dry_run in (True, False):
        result = import_file(operator, "customers", path, overwrite=True, dry_run=dry_run)
        assert (result.accepted, result.unchanged, result.kept, result.replaced) == (1, 1, 0, 1)
    assert standing("C1") == ("Rossi", "file@example.com", "Bari", [])
    assert import_of(result.import_id or 0).replaced == 1
    undo_import(operator, result.import_id or 0)
    assert standing("C1") == ("Rossi", "desk@example.com", "Bari", ["email"])


def test_an_empty_cell_erases_nothing_even_where_overwriting_was_asked_for(
    filled: None, operator: Actor, write: Write
) -> None:
    result = import_file(operator, "customers", write("b.csv", HEADER, "C1;Rossi;;Rimini"), overwrite=True)
    assert (result.accepted, result.replaced) == (1, 0)
    assert standing("C1") == ("Rossi", "desk@example.com", "Rimini", ["email"])


def test_what_a_person_put_in_the_place_of_an_imported_value_is_found_by_the_same_file(
    app: Flask, operator: Actor, write: Write
) -> None:
    path = write("a.csv", HEADER, "C1;Rossi;file@example.com;Bari")
    import_file(operator, "customers", path)
    fill_in("C1", email="desk@example.com")
    assert import_file(operator, "customers", path, overwrite=True).replaced == 1
    assert standing("C1") == ("Rossi", "file@example.com", "Bari", [])


def test_the_counts_survive_an_interruption(
    sqlite_app: Flask, filled: None, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "PAGE", 1)
    fill_in("C2", email="two@example.com")
    path = write("b.csv", HEADER, "C1;Rossi;file@example.com;Rimini", "C2;Neri;n@example.com;Bari")

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    for overwrite, told in ((False, (2, 2, 0)), (True, (2, 0, 2))):
        with pytest.raises(KeyboardInterrupt):
            import_file(operator, "customers", path, overwrite=overwrite, progress=stop)
        done = resume_import(operator, imports()[0].id)
        assert (done.accepted, done.kept, done.replaced) == told
        undo_import(operator, done.import_id or 0)
    assert [standing(ref)[1] for ref in ("C1", "C2")] == ["desk@example.com", "two@example.com"]
