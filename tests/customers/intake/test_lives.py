"""An import's life: what it changed is visible, it can be undone, and whatever kills it, it can be gone on with."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor, trail
from pilot.config import current
from pilot.customers.intake import merging
from pilot.customers.intake.service import import_file, import_of, imports, resume_import, undo_import
from pilot.customers.intake.understanding import Overrules
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.customers.orderstore import Measure, store
from pilot.db import db, transaction
from pilot.errors import InputError, NotFound, StateError
from tests.conftest import CHECKOUT, SECRET
from tests.customers.conftest import Write

FIRST = ("ref;name;email;city", "C1;Rossi;rossi@example.com;Forlì", "C2;Żurek;;Łódź", "C3;Neri;n@example.com;Bari")
SECOND = ("ref;name;email;city", "C1;Rossi;rossi@example.com;Cesena", "C2;Żurek;;Łódź", "C3;Neri;;Bari", "C4;Verdi;;")


def base() -> dict[str, tuple[str, str | None, str | None]]:
    rows = db.session.execute(sa.select(Customer.ref, Customer.name, Customer.email, Customer.city))
    return {ref: (name, email, city) for ref, name, email, city in rows}


def test_what_an_import_changed_is_told_field_by_field(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *FIRST))
    second = import_file(operator, "customers", write("b.csv", *SECOND))
    assert (second.accepted, second.changed, second.unchanged) == (3, 2, 1)
    changes = db.session.execute(
        sa.select(Customer.ref, CustomerChange.before, CustomerChange.after, CustomerChange.actor)
        .join(Customer, Customer.id == CustomerChange.customer_id)
        .order_by(Customer.ref)
    ).all()
    assert [tuple(change) for change in changes] == [
        ("C1", {"city": "Forlì"}, {"city": "Cesena"}, "operator@example.com"),
        ("C3", {"email": "n@example.com"}, {"email": None}, "operator@example.com"),
    ]
    entry = import_of(second.import_id or 0)
    assert (entry.state, entry.total, entry.accepted, entry.changed, entry.unchanged) == ("done", 4, 3, 2, 1)


def test_a_file_with_fewer_columns_changes_only_what_differs(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *FIRST))
    fewer = import_file(operator, "customers", write("b.csv", "ref;name", "C1;Rossi", "C2;Żurek i syn", "C3;Neri"))
    assert (fewer.accepted, fewer.changed, fewer.unchanged) == (1, 1, 2)


def test_an_undone_import_leaves_the_base_as_it_was(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *FIRST))
    before = base()
    second = import_file(operator, "customers", write("b.csv", *SECOND)).import_id or 0
    assert undo_import(operator, second) == 3
    assert base() == before
    assert [entry.action for entry in trail(f"import:{second}")] == ["imported", "import undone"]
    with pytest.raises(StateError, match="was undone already"):
        undo_import(operator, second)
    again = import_file(operator, "customers", write("b.csv", *SECOND))
    assert (again.accepted, again.changed) == (3, 2)


def test_an_undo_leaves_what_a_person_has_corrected_since(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *FIRST))
    second = import_file(operator, "customers", write("b.csv", *SECOND)).import_id or 0
    with transaction():
        db.session.scalars(sa.select(Customer).where(Customer.ref == "C1")).one().city = "Rimini"
    undo_import(operator, second)
    assert (base()["C1"][2], base()["C3"][1]) == ("Rimini", "n@example.com")


def test_the_same_file_brings_back_what_is_no_longer_so(app: Flask, operator: Actor, write: Write) -> None:
    path = write("a.csv", *FIRST)
    import_file(operator, "customers", path)
    with transaction():
        db.session.execute(sa.delete(Customer).where(Customer.ref == "C2"))
    assert (import_file(operator, "customers", path).accepted, sorted(base())) == (1, ["C1", "C2", "C3"])
    import_file(operator, "customers", write("b.csv", *SECOND))
    again = import_file(operator, "customers", path)
    assert (again.accepted, again.unchanged, base()["C1"][2]) == (2, 1, "Forlì")
    undo_import(operator, again.import_id or 0)
    assert import_file(operator, "customers", path).accepted == 2
    mapped = import_file(operator, "customers", path, mapping={"name": "city"})
    assert (mapped.accepted, base()["C1"][0]) == (3, "Forlì")


def test_imports_are_undone_the_latest_first(app: Flask, operator: Actor, write: Write) -> None:
    first = import_file(operator, "customers", write("a.csv", *FIRST)).import_id or 0
    second = import_file(operator, "customers", write("b.csv", *SECOND)).import_id or 0
    with pytest.raises(
        StateError, match=rf"import {second} changed 2 of the same customers later.*Undo import {second}"
    ):
        undo_import(operator, first)
    undo_import(operator, second)
    undo_import(operator, first)
    assert base() == {}
    assert [entry.state for entry in imports()] == ["undone", "undone"]


def test_undone_facts_count_no_more_and_can_come_again(app: Flask, operator: Actor, write: Write) -> None:
    path = write("o.csv", "customer_ref;order_ref;ordered_on;amount", "C1;A1;2026-01-02;5")
    first = import_file(operator, "orders", path)
    assert undo_import(operator, first.import_id or 0) == 1
    assert store().last_order_day() is None
    assert import_file(operator, "orders", path).accepted == 1


def test_there_is_no_import_of_that_number(sqlite_app: Flask, operator: Actor) -> None:
    with pytest.raises(NotFound, match="there is no import 7"):
        undo_import(operator, 7)


def test_two_imports_of_customers_at_once_do_not_mix(
    app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "PAGE", 2)
    other = write("other.csv", "ref;name", "C9;Intruder")
    refusals: list[str] = []

    def intrude(done: int, total: int) -> None:
        if done == 2:
            with pytest.raises(StateError) as caught:
                import_file(Actor("second", frozenset({"operations"})), "customers", other)
            refusals.append(str(caught.value))

    import_file(operator, "customers", write("a.csv", *FIRST), progress=intrude)
    assert "operator@example.com is importing customers from a.csv since" in refusals[0]
    assert "2 of 3 rows are done. Wait until that is done. Should it say nothing until" in refusals[0]
    assert sorted(base()) == ["C1", "C2", "C3"]
    assert import_file(operator, "customers", other).accepted == 1


class _Stop(Exception):
    pass


def test_an_interrupted_import_must_be_gone_on_with_or_undone(
    app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "PAGE", 2)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise _Stop

    path = write("a.csv", *FIRST, "C4;Bad;not an address;")
    with pytest.raises(_Stop):
        import_file(operator, "customers", path, progress=stop)
    (entry,) = imports()
    assert (entry.state, entry.accepted, entry.total, entry.rejected) == ("running", 2, 3, 1)
    with pytest.raises(
        StateError, match=rf"was interrupted; 2 of 3 rows are done.*--resume {entry.id}.*--undo {entry.id}"
    ):
        import_file(operator, "customers", path)
    resumed = resume_import(operator, entry.id)
    assert (resumed.accepted, resumed.unchanged, resumed.rejected) == (3, 0, 1)
    assert sorted(base()) == ["C1", "C2", "C3"]
    entry = import_of(entry.id)
    assert (entry.state, entry.accepted, entry.staged) == ("done", 3, None)
    assert (current().data_dir / str(entry.rejects)).read_text(encoding="utf-8-sig").count("\n") == 2
    with pytest.raises(StateError, match=f"import {entry.id} is done"):
        resume_import(operator, entry.id)


def test_an_interrupted_import_can_be_undone(
    sqlite_app: Flask, operator: Actor, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "PAGE", 2)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise _Stop

    with pytest.raises(_Stop):
        import_file(operator, "customers", write("a.csv", *FIRST), progress=stop)
    assert undo_import(operator, imports()[0].id) == 2
    assert base() == {}
    assert import_file(operator, "customers", write("a.csv", *FIRST)).accepted == 3
    assert [path.name for path in (current().data_dir / "imports").iterdir() if path.is_dir()] == []


DOOMED = """
import os, signal, sys
from pathlib import Path
from pilot.app import create_app
from pilot.config import load
from pilot.accounts.service import SYSTEM
from pilot.customers.intake import imports, merging
from pilot.customers.intake.service import import_file

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dying_at(count, function):
    left = [count]
    def doomed(*given, **named):
        left[0] -= 1
        return function(*given, **named) if left[0] else die()
    return doomed

merging.PAGE = 500
app = create_app(load(secret_key=sys.argv[1], data_dir=Path(sys.argv[2])))
for line in sys.stdin:
    if not (child := os.fork()):
        point, _, count = line.strip().partition(" ")
        if point == "after":
            signal.setitimer(signal.ITIMER_REAL, float(count))  # what nobody heeds ends the process on the spot
            count, point = 1_000_000, "_take"
        owner = {"_enter": imports, "_finish": imports}.get(point, merging.Merge)
        setattr(owner, point, dying_at(int(count), getattr(owner, point)))
        with app.app_context():
            import_file(SYSTEM, "customers", Path(sys.argv[3]))
        os._exit(0)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""
MOMENTS = ("_enter 1", "_note_unchanged 1", "_take 17", "_advance 30", "_finish 1")
"""What the import is about to do when it is killed, and for which time: 40 pages, each taken, then noted, then committed."""


def test_a_kill_at_any_moment_leaves_nothing_or_an_exact_count(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    rows = 20_000
    numbers = random.Random(4).sample(range(rows), rows)
    lines = [f"C{number:06d};Rossi {number};c{number}@example.com" for number in numbers]
    path = write("big.csv", "ref;name;email", *lines, "C0;Bad;no address")
    expected = {f"C{number:06d}": f"Rossi {number}" for number in range(rows)}
    left = []
    with _killer(path) as kill:
        for moment in MOMENTS:
            kill(moment)
            db.session.rollback()
            count = db.session.scalar(sa.select(sa.func.count(Customer.id))) or 0
            entry = db.session.scalar(sa.select(Import).where(Import.state == "running"))
            left.append(count)
            if entry is None:
                assert count == 0
                continue
            assert (entry.accepted, entry.total, entry.rejected) == (count, rows, 1)
            resumed = resume_import(operator, entry.id)
            assert (resumed.accepted, resumed.unchanged) == (rows, 0)
            assert {ref: name for ref, (name, _, _) in base().items()} == expected
            undo_import(operator, entry.id)
    assert left == [0, 0, 8_000, 14_000, 20_000]


@pytest.mark.slow
def test_killed_at_random_moments_an_import_leaves_nothing_or_an_exact_count(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    rows, random_ = 20_000, random.Random(9)
    path = write("big.csv", "ref;name", *(f"C{number:06d};Rossi {number}" for number in range(rows)))
    states: Counter[str] = Counter()
    with _killer(path) as kill:
        kill("after 600")
        undo_import(operator, imports()[0].id)
        started = time.monotonic()
        kill("after 600")
        whole = time.monotonic() - started
        undo_import(operator, imports()[0].id)
        for _ in range(12):
            kill(f"after {random_.uniform(0.02, 1) * whole:.4f}")
            db.session.rollback()
            count = db.session.scalar(sa.select(sa.func.count(Customer.id))) or 0
            entry = db.session.scalar(sa.select(Import).where(Import.state != "undone"))
            assert count == (entry.accepted if entry is not None else 0)
            states[entry.state if entry is not None else "nothing"] += 1
            if entry is None:
                continue
            if entry.state == "running":
                assert resume_import(operator, entry.id).accepted == rows
            assert len(base()) == rows
            assert undo_import(operator, entry.id) == rows
    assert states["running"]


@contextmanager
def _killer(path: Path) -> Iterator[Callable[[str], None]]:
    """Imports a file in a process of its own, which is killed at a given moment."""
    command = [sys.executable, "-c", DOOMED, SECRET, str(current().data_dir), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        given, heard = child.stdin, child.stdout

        def kill(moment: str) -> None:
            given.write(f"{moment}\n")
            given.flush()
            assert heard.readline() == "gone\n"

        yield kill


def test_the_italian_orders_come_in_with_their_decimals(sqlite_app: Flask, operator: Actor, shared_data: Path) -> None:
    # reference_facts.json, derived_it_ordini
    path = shared_data / "messy_csv" / "derived_it_ordini_cp1252.csv"
    taken = import_file(operator, "orders", path)
    assert (taken.accepted, taken.rejected, taken.how["encoding"], taken.how["numbers"]) == (
        2600,
        0,
        "cp1252",
        "decimal comma",
    )
    refs = list(store().refs(str(import_of(taken.import_id or 0).fact_file)))
    units = [(ref, "", "") for ref in refs]
    (row,) = store().moments(units, Measure.REVENUE, date(2011, 1, 1), date(2012, 1, 1))
    assert (len(refs), round(Decimal(row.mean) * row.n, 2)) == (135, Decimal("82370.04"))


def test_the_italian_municipalities_come_in_with_their_letters(
    sqlite_app: Flask, operator: Actor, shared_data: Path
) -> None:
    path = shared_data / "messy_csv" / "it_istat_comuni_cp1252_part.csv"
    names = _header_of(path)
    mapping = {"ref": names[4], "name": names[5]}
    taken = import_file(operator, "customers", path, mapping=mapping)
    assert (taken.accepted, taken.rejected) == (1960, 0)
    assert sum(not name.isascii() for name, _, _ in base().values()) == 44
    assert "Agliè" in {name for name, _, _ in base().values()}


def _header_of(path: Path) -> tuple[str, ...]:
    from pilot.customers.intake.delimited import understand

    return understand(path, len).header


def test_polish_exchange_rates_come_in_as_numbers(
    sqlite_app: Flask, operator: Actor, shared_data: Path, tmp_path: Path
) -> None:
    # 255 days; EUR sum 1,133.4615 (README of the data); the second header line, empty line and foot lines are refused
    path = shared_data / "messy_csv" / "pl_nbp_kursy_tab_a_2020_cp1250.csv"
    names = _header_of(path)
    euro = next(name for name in names if name.endswith("EUR"))
    mapping = {"customer_ref": names[0], "order_ref": names[0], "ordered_on": names[0], "amount": euro}
    taken = import_file(operator, "orders", path, mapping=mapping, rejects=tmp_path / "bad.csv")
    assert (taken.accepted, taken.how["numbers"], taken.how["days"]) == (255, "decimal comma", "yyyymmdd")
    assert "dolar amerykański" in (tmp_path / "bad.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("overrules", "complaint"),
    [
        (Overrules(encoding="latin-99"), "there is no encoding 'latin-99'"),
        (Overrules(delimiter=";;"), "';;' cannot separate columns"),
        (Overrules(decimal="x"), "'x' is no decimal sign"),
        (Overrules(days="week"), "'week' is no part of a day"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    sqlite_app: Flask, operator: Actor, write: Write, overrules: Overrules, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        import_file(operator, "customers", write("a.csv", *FIRST), overrules=overrules)


def test_a_person_overrules_what_the_file_shows(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    path = write("o.csv", "customer_ref!order_ref!ordered_on!amount", "C1!A1!03/04/2026!1.234", encoding="cp1250")
    told = Overrules(delimiter="!", decimal="point", days="month", encoding="cp1250")
    taken = import_file(operator, "orders", path, overrules=told)
    assert (taken.how["encoding"], taken.how["numbers"], taken.how["days"]) == ("cp1250", "decimal point", "mm/dd/yyyy")
    assert str(store().last_order_day()) == "2026-03-04"
