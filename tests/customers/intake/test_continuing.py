"""Corrected rows go on with the import they were refused from; and what an import changes of earlier ones is said."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.intake.commands import import_
from pilot.customers.intake.service import Overrules, import_file, import_of, undo_import, undo_preview
from pilot.customers.orderstore import store
from pilot.errors import InputError, StateError
from tests.customers.conftest import Write

HEADER = "customer_ref;order_ref;ordered_on;amount"
LINES = ("C1;O1;14/03/2026;1000,00", "C1;O1;14/03/2026;25,5O")


def amounts(ref: str = "C1") -> dict[str, Decimal]:
    return {order.order_ref: order.amount for order in store().story(ref)[0]}


def corrected(rejects: Path | None, values: Mapping[int, str], column: str = "amount", sign: str = ";") -> Path:
    """The file of refused rows with these lines put right, as a person saves it under another name."""
    assert rejects is not None
    with rejects.open(encoding="utf-8-sig", newline="") as file:
        header, *refused = csv.reader(file, delimiter=";")
    for row in refused:
        if int(row[0]) in values:
            row[header.index(column)] = values[int(row[0])]
    to = rejects.with_name(f"{rejects.stem}-corrected-{len(list(rejects.parent.iterdir()))}.csv")
    with to.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out, delimiter=sign).writerows([header, *refused])
    return to


def test_corrected_lines_join_the_good_lines_of_their_order(
    app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    path = write("o.csv", HEADER, *LINES)
    first = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv")
    assert (first.accepted, first.rejected, amounts()) == (1, 1, {"O1": 1000})
    again = corrected(first.rejects_file, {3: "25,50"})
    second = import_file(operator, "orders", again)
    assert amounts() == {"O1": Decimal("1025.50")}
    assert (import_of(second.import_id or 0).continues, second.how["continues"]) == (first.import_id,) * 2
    # neither file brings anything a second time, and a later word replaces all of it
    assert [import_file(operator, "orders", known).unchanged for known in (path, again)] == [1, 1]
    import_file(operator, "orders", write("later.csv", HEADER, "C1;O1;14/03/2026;7,00"))
    assert amounts() == {"O1": 7}


def test_touches_are_gone_on_with_too(sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path) -> None:
    lines = ("C1;14/03/2026;field-rep;call;5;10,5", "C1;14/03/2026;field-rep;call;5;2O,5")
    path = write("t.csv", "customer_ref;happened_on;channel;kind;minutes;cost", *lines)
    first = import_file(operator, "touches", path, rejects=tmp_path / "bad.csv")
    import_file(operator, "touches", corrected(first.rejects_file, {3: "20,5"}, "cost"))
    assert sorted(touch.cost for touch in store().story("C1")[1]) == [Decimal("10.5"), Decimal("20.5")]


def test_what_is_refused_once_more_still_belongs_to_the_first_file(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    path = write("o.csv", HEADER, *LINES, "C1;O1;14/03/2026;x")
    first = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv")
    part = corrected(first.rejects_file, {3: "25,50"})
    second = import_file(operator, "orders", part, rejects=tmp_path / "worse.csv")
    assert [(error.line, error.column) for error in second.errors] == [(4, "amount")]
    third = import_file(operator, "orders", corrected(second.rejects_file, {4: "4,50"}))
    assert import_of(third.import_id or 0).continues == first.import_id
    assert amounts() == {"O1": 1030}


def test_a_file_of_which_nothing_was_good_is_gone_on_with_by_its_parts(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    path = write("o.csv", HEADER, "C1;O1;14/03/2026;x", "C1;O1;14/03/2026;y")
    bad = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv").rejects_file
    part = import_file(operator, "orders", corrected(bad, {2: "1,00"}), rejects=tmp_path / "worse.csv")
    import_file(operator, "orders", corrected(part.rejects_file, {3: "2,00"}))
    assert amounts() == {"O1": 3}


def test_a_line_is_taken_over_once(sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path) -> None:
    first = import_file(operator, "orders", write("o.csv", HEADER, *LINES), rejects=tmp_path / "bad.csv")
    wrong = import_file(operator, "orders", corrected(first.rejects_file, {3: "52,50"}))
    right = corrected(first.rejects_file, {3: "25,50"})
    with pytest.raises(InputError, match=r"line 3 .*import 2 already.*Undo that first"):
        import_file(operator, "orders", right)
    undo_import(operator, wrong.import_id or 0)
    import_file(operator, "orders", right)
    assert amounts() == {"O1": Decimal("1025.50")}


def test_an_import_that_was_gone_on_with_is_undone_last(
    app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    first = import_file(operator, "orders", write("o.csv", HEADER, *LINES), rejects=tmp_path / "bad.csv")
    second = import_file(operator, "orders", corrected(first.rejects_file, {3: "25,50"}))
    for act in (undo_preview, undo_import):
        with pytest.raises(StateError, match=f"Undo import {second.import_id} first"):
            act(operator, first.import_id or 0)
    undo_import(operator, second.import_id or 0)
    assert amounts() == {"O1": 1000}
    undo_import(operator, first.import_id or 0)
    assert amounts() == {}


def test_rows_of_another_file_do_not_slip_in(sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path) -> None:
    bad = [
        import_file(operator, "orders", write(f"{ref}.csv", HEADER, f"{ref};O1;14/03/2026;x"), rejects=tmp_path / ref)
        for ref in ("C1", "C2")
    ]
    files = [corrected(taken.rejects_file, {2: "1,00"}) for taken in bad]
    with files[0].open("a", encoding="utf-8", newline="") as out:
        out.write(files[1].read_text("utf-8-sig").split("\n", 1)[1])
    with pytest.raises(InputError, match="line 3: this row was not refused from the same file"):
        import_file(operator, "orders", files[0])
    assert amounts() == {}


@pytest.mark.parametrize(("column", "reason"), [(0, "on which line"), (4, "which file")])
def test_a_row_that_does_not_say_where_it_was_refused_is_not_taken_for_another(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path, column: int, reason: str
) -> None:
    first = import_file(operator, "orders", write("o.csv", HEADER, *LINES), rejects=tmp_path / "bad.csv")
    path = corrected(first.rejects_file, {3: "25,50"})
    header, row = path.read_text("utf-8-sig").splitlines()
    cells = row.split(";")
    cells[column] = ""
    path.write_text(f"{header}\n{';'.join(cells)}\n")
    with pytest.raises(InputError, match=reason):
        import_file(operator, "orders", path)
    assert amounts() == {"O1": 1000}


def test_a_spreadsheet_of_refused_rows_goes_on_too(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    first = import_file(operator, "orders", write("o.csv", HEADER, *LINES), rejects=tmp_path / "bad.csv")
    book = openpyxl.Workbook()
    with corrected(first.rejects_file, {3: "1.234"}).open(encoding="utf-8-sig", newline="") as file:
        header, row = csv.reader(file, delimiter=";")
    for cells in (header, [3.0, *row[1:]]):
        book.worksheets[0].append(cells)
    book.save(tmp_path / "corrected.xlsx")
    import_file(operator, "orders", tmp_path / "corrected.xlsx")
    assert amounts() == {"O1": 2234}


def test_corrected_rows_are_read_as_the_whole_file_was(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    lines = ("C1;A1;03/31/2026;10,50", "C1;A2;02/03/2026;x", "C1;A3;02/03/2026;y")
    first = import_file(operator, "orders", write("o.csv", HEADER, *lines), rejects=tmp_path / "bad.csv")
    again = corrected(first.rejects_file, {3: "1.234", 4: "2,5"}, sign=",")
    assert import_file(operator, "orders", again, dry_run=True, overrules=Overrules(decimal="point")).accepted == 1
    taken = import_file(operator, "orders", again)
    assert (taken.how["numbers"], taken.how["days"]) == ("decimal comma", "mm/dd/yyyy")
    days = {order.order_ref: order.day.isoformat() for order in store().story("C1")[0]}
    assert amounts() == {"A1": Decimal("10.5"), "A2": 1234, "A3": Decimal("2.5")}
    assert days["A2"] == "2026-02-03"


def test_the_word_of_a_person_stands_above_how_the_whole_file_was_read(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    lines = ("C1;A1;14/03/2026;10,50", "C1;A2;02/03/2026;x")
    first = import_file(operator, "orders", write("o.csv", HEADER, *lines), rejects=tmp_path / "bad.csv")
    again = corrected(first.rejects_file, {3: "1.234"}, sign=",")
    import_file(operator, "orders", again, overrules=Overrules(decimal="point", days="month"))
    (order,) = (order for order in store().story("C1")[0] if order.order_ref == "A2")
    assert (order.amount, order.day.isoformat()) == (Decimal("1.234"), "2026-02-03")


def test_orders_told_otherwise_are_counted_with_their_money(app: Flask, operator: Actor, write: Write) -> None:
    old = write("a.csv", HEADER, "C1;O1;14/03/2026;990,00", "C1;O1;14/03/2026;10,00", "C1;O2;14/03/2026;5,00")
    assert "told_otherwise" not in import_file(operator, "orders", old).how
    later = write("b.csv", HEADER, "C1;O1;14/03/2026;10,00", "C1;O2;14/03/2026;5,00", "C1;O3;14/03/2026;1,00")
    told = {"number": 1, "before": "1000.0000", "after": "10.0000"}
    assert import_file(operator, "orders", later, dry_run=True).how["told_otherwise"] == told
    taken = import_file(operator, "orders", later)
    assert import_of(taken.import_id or 0).reading["told_otherwise"] == told
    # O1 and O2 are told by the earlier one too, and one of them otherwise
    seen = undo_preview(operator, taken.import_id or 0)
    assert (seen.facts, seen.count_again, seen.told_otherwise) == (3, 2, 1)
    assert (seen.told_before, seen.told_after) == (Decimal(10), Decimal(1000))
    seen = undo_preview(operator, 1)  # of what later ones tell nothing changes
    assert (seen.facts, seen.count_again, seen.told_otherwise) == (3, 2, 0)


def test_corrected_lines_of_an_order_change_it_and_that_is_said(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    first = import_file(operator, "orders", write("o.csv", HEADER, *LINES), rejects=tmp_path / "bad.csv")
    second = import_file(operator, "orders", corrected(first.rejects_file, {3: "25,50"}))
    assert second.how["told_otherwise"] == {"number": 1, "before": "1000.0000", "after": "1025.5000"}


def test_orders_told_otherwise_are_said_at_the_terminal(
    sqlite_app: Flask, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, later = (write(f"{sum_}.csv", HEADER, f"C1;O1;14/03/2026;{sum_},00") for sum_ in (1000, 10))
    run = CliRunner().invoke
    run(import_, ["orders", str(first)])
    sentence = "1 order in the base is told otherwise: 1,000.00 becomes 10.00"
    for option in (["--dry-run"], []):
        assert sentence in run(import_, ["orders", str(later), *option]).output
    listed = run(import_, ["--list"]).output
    assert "Import 2: 1 order in the base was told otherwise: 1,000.00 became 10.00" in listed
    undoing = run(import_, ["--undo", "2", "--dry-run"]).output
    assert "1 row would count no more" in undoing
    assert "1 order of it is told by other imports too" in undoing
    assert "1 order they tell otherwise: 10.00 becomes 1,000.00" in undoing


def test_a_file_of_which_a_customer_was_erased_is_taken_in_anew(app: Flask, operator: Actor, write: Write) -> None:
    lines = [f"C{1 + number % 2};A{number};14/03/2026;1,00" for number in range(7)]
    path = write("o.csv", HEADER, *lines)
    import_file(operator, "orders", path)
    store().erase(["C1"])
    assert (amounts("C1"), undo_preview(operator, 1).facts) == ({}, 3)
    assert "  3 of 7  " in CliRunner().invoke(import_, ["--list"]).output.splitlines()[-1]
    again = import_file(operator, "orders", path)
    assert (again.accepted, len(amounts("C1")), len(amounts("C2"))) == (7, 4, 3)
    assert import_file(operator, "orders", path).unchanged == 7
    assert undo_import(operator, 1) == 3
