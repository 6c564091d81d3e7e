import csv
import gzip
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor, trail
from pilot.customers.intake.service import import_file
from pilot.customers.intake.understanding import Overrules
from pilot.customers.models import Customer, Import
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import CheckFailed, Forbidden, InputError
from tests.customers.conftest import Write

CUSTOMERS = ("Customer no;Name;E-mail;City", "C1;Rossi;rossi@example.com;Forlì", "C2;Żurek;;Łódź")
ORDERS = ("Customer no;Order no;Date;Amount;Status", "C1;A1;31/12/2025;10,50;shipped", "C2;A2;01/02/2026;3,00;void")
TOUCHES = (
    "Customer no;Date;Channel;Kind;Minutes",
    "C1;01/02/2026;field-rep;visit;30",
    "C1;02/02/2026;Service desk;call;10",
)


def names() -> dict[str, str]:
    return {row.ref: row.name for row in db.session.execute(sa.select(Customer.ref, Customer.name))}


def test_good_rows_are_kept_and_bad_ones_are_written_to_a_file(
    app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    bad = (";Nobody;;", "C1;Rossi again;;", "C3;Neri;neri(at)example.com;", f"C4;{'x' * 201};;", "C5;Ok;;\x07")
    path = write("base.csv", *CUSTOMERS, *bad)
    result = import_file(operator, "customers", path, rejects=tmp_path / "bad.csv")
    assert (result.accepted, result.unchanged, result.rejected) == (2, 0, 5)
    assert names() == {"C1": "Rossi", "C2": "Żurek"}
    assert result.rejects_file == tmp_path / "bad.csv"
    with result.rejects_file.open(encoding="utf-8-sig", newline="") as file:
        assert [row[:4] + row[5:] for row in csv.reader(file, delimiter=";")] == [
            [
                "refused line",
                "refused column",
                "refused value",
                "refused because",
                "Customer no",
                "Name",
                "E-mail",
                "City",
            ],
            ["4", "Customer no", "", "the row has no customer number", *bad[0].split(";")],
            ["5", "Customer no", "C1", "this customer number stands on line 2 already", *bad[1].split(";")],
            ["6", "E-mail", "neri(at)example.com", "this is not an e-mail address", *bad[2].split(";")],
            ["7", "Name", "x" * 40 + "…", "it is longer than 200 characters", *bad[3].split(";")],
            ["8", "City", "?", "it holds a control character", *bad[4].split(";")],
        ]
    assert [error.line for error in result.errors] == [4, 5, 6, 7, 8]


def test_strict_takes_all_rows_or_none(app: Flask, operator: Actor, write: Write) -> None:
    path = write("base.csv", *CUSTOMERS, "C3;Neri;neri(at)example.com;")
    complaint = r"base\.csv, line 4: E-mail 'neri\(at\)example\.com': .* 1 of 3 rows cannot be taken over, so none is"
    with pytest.raises(CheckFailed, match=complaint):
        import_file(operator, "customers", path, strict=True)
    assert names() == {}
    orders = write("orders.csv", *ORDERS, "C1;A3;yesterday;1,00;shipped")
    with pytest.raises(CheckFailed, match=r"line 4: Date 'yesterday'"):
        import_file(operator, "orders", orders, strict=True)
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 0
    assert store().last_order_day() is None


def test_a_dry_run_counts_and_writes_nothing(app: Flask, operator: Actor, write: Write) -> None:
    for kind, lines in (("customers", CUSTOMERS), ("orders", ORDERS), ("touches", TOUCHES)):
        result = import_file(operator, kind, write(f"{kind}.csv", *lines), dry_run=True)
        assert (result.import_id, result.accepted, result.rejected) == (None, 2, 0)
    assert names() == {}
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 0
    assert store().last_order_day() is None


@pytest.mark.parametrize(("kind", "lines"), [("customers", CUSTOMERS), ("orders", ORDERS), ("touches", TOUCHES)])
def test_the_same_file_again_changes_nothing(
    app: Flask, operator: Actor, write: Write, kind: str, lines: tuple[str, ...]
) -> None:
    path = write("file.csv", *lines)
    first = import_file(operator, kind, path)
    again = import_file(operator, kind, path)
    assert (first.accepted, first.unchanged, again.accepted, again.unchanged) == (2, 0, 0, 2)
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 1
    assert [entry.action for entry in trail(f"import:{first.import_id}")] == ["imported"]


def test_a_later_file_corrects_what_it_tells_and_leaves_the_rest(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "customers", write("a.csv", *CUSTOMERS))
    result = import_file(operator, "customers", write("b.csv", "ref,name", "C1,Rossi e figli", "C2,Żurek", "C3,Neri"))
    assert names() == {"C1": "Rossi e figli", "C2": "Żurek", "C3": "Neri"}
    corrected = db.session.scalars(sa.select(Customer).where(Customer.ref == "C1")).one()
    assert (corrected.city, corrected.email, corrected.import_id) == ("Forlì", "rossi@example.com", result.import_id)


def test_of_a_long_file_exactly_the_rows_that_differ_are_taken_over(app: Flask, operator: Actor, write: Write) -> None:
    base = {f"C{number:04d}": f"Bar {number}" for number in range(1101)}
    import_file(operator, "customers", write("a.csv", "ref;name", *(f"{ref};{name}" for ref, name in base.items())))
    # rows are compared by the 500: the first, the last, both sides of a border; then one between, one behind, one left out
    differing = dict.fromkeys(("C0000", "C0499", "C0500", "C0777x", "C1100", "C2000"), "Other")
    told = {ref: name for ref, name in {**base, **differing}.items() if ref != "C0300"}
    result = import_file(operator, "customers", write("b.csv", "ref;name", *(f"{r};{n}" for r, n in told.items())))
    assert (result.accepted, result.changed, result.unchanged) == (6, 4, 1096)
    assert names() == {**base, **differing}


def test_blanks_are_cleaned_and_addresses_made_fit_for_mail(app: Flask, operator: Actor, write: Write) -> None:
    path = write("a.csv", "ref;name;email;language", "C1;  ROSSI   e figli ;Rossi@MÜNCHEN.de;Italiano", "C2;B;;Deutsch")
    import_file(operator, "customers", path)
    first, second = db.session.scalars(sa.select(Customer).order_by(Customer.ref))
    assert (first.name, first.email, first.language) == ("ROSSI e figli", "Rossi@xn--mnchen-3ya.de", "it")
    assert (second.email, second.language) == (None, None)


def test_a_touch_that_comes_again_replaces_the_one_of_its_number(app: Flask, operator: Actor, write: Write) -> None:
    header = "Customer no;Date;Channel;Kind;Minutes;Cost;ID contatto"
    unnumbered = ("Customer no;Date;Channel;Kind;Minutes;Cost", "C1;02/02/2026;field-rep;call;1;1,00")
    import_file(operator, "touches", write("before.csv", *unnumbered))
    first = ("C1;01/02/2026;field-rep;call;1;10,00;T1", "C1;01/02/2026;field-rep;call;1;20,00;T2")
    import_file(operator, "touches", write("a.csv", header, *first))
    later = ("C1;03/02/2026;field-rep;call;1;12,00;T1", "C1;02/02/2026;field-rep;call;1;5,00;")
    import_file(operator, "touches", write("b.csv", header, *later))
    # T1 has moved to another day, T2 stands beside it as it was, and what has no number was replaced by its day
    assert [cost_of("C1", date(2026, 2, day)) for day in (1, 2, 3)] == [20.0, 5.0, 12.0]


def test_touches_cost_what_the_channel_says_where_the_file_does_not(app: Flask, operator: Actor, write: Write) -> None:
    import_file(operator, "touches", write("a.csv", *TOUCHES))
    own = ("Customer no;Date;Channel;Kind;Minutes;Cost", "C1;03/02/2026;field-rep;call;10;99,5")
    import_file(operator, "touches", write("b.csv", *own))
    # field-rep: 30 minutes at 1.10 and a journey of 38; service desk: 10 minutes at 0.75; then as the file says
    assert cost_of("C1", date(2026, 2, 1)) == 71.0
    assert cost_of("C1", date(2026, 2, 2)) == 7.5
    assert cost_of("C1", date(2026, 2, 3)) == 99.5


def cost_of(ref: str, day: date) -> float:
    from pilot.customers.orderstore import Measure

    (row,) = store().moments([(ref, "", "")], Measure.COST, day, day.replace(day=day.day + 1))
    return row.mean


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("C1;01/02/2026;fax;call;3", "Channel", "there is no such channel; there are field-rep, service-desk"),
        ("C1;01/02/2026;field-rep;dance;3", "Kind", "a touch is one of call, mail, visit"),
        ("C1;01/02/2026;field-rep;call;-3", "Minutes", "it is not between 0 and 1,440"),
        ("C1;01/02/2026;field-rep;call;", "Minutes", "the row has no minutes"),
        ("C1;;field-rep;call;3", "Date", "the row has no date"),
    ],
)
def test_a_bad_touch_is_refused(
    sqlite_app: Flask, operator: Actor, write: Write, line: str, column: str, reason: str
) -> None:
    result = import_file(operator, "touches", write("a.csv", *TOUCHES, line))
    (error,) = result.errors
    assert (error.line, error.column, error.reason) == (4, column, reason)


def test_orders_of_customers_not_in_the_base_are_kept_and_counted(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    import_file(operator, "customers", write("a.csv", "ref;name", "C1;Rossi"))
    assert import_file(operator, "orders", write("b.csv", *ORDERS)).how["customers_not_in_base"] == 1


def test_a_file_of_bad_rows_alone_leaves_no_import(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    result = import_file(operator, "orders", write("a.csv", ORDERS[0], ";A1;31/12/2025;1,00;"))
    assert (result.import_id, result.accepted, result.rejected) == (None, 0, 1)
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 0


def test_a_file_that_breaks_off_leaves_nothing(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    whole = "ref;name\n" + "".join(f"C{number};Rossi {number}\n" for number in range(5000))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(whole.encode())[:-40])
    with pytest.raises(InputError, match="the file cannot be read to its end"):
        import_file(operator, "customers", path)
    assert names() == {}


def test_formulas_in_refused_rows_are_made_harmless(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    path = write("a.csv", "ref;name;email", "C1;Rossi;=HYPERLINK(1)@x")
    import_file(operator, "customers", path, rejects=tmp_path / "bad.csv")
    assert "3;email" not in (text := (tmp_path / "bad.csv").read_text(encoding="utf-8-sig"))
    assert "2;email;'=HYPERLINK(1)@x;" in text


def test_refused_rows_never_overwrite_the_file(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    path = write("a.csv", *CUSTOMERS, ";;;")
    with pytest.raises(InputError, match="would overwrite the file itself"):
        import_file(operator, "customers", path, rejects=path)
    assert path.read_text().startswith("Customer no")


def test_an_importer_must_read_that_kind(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    path = write("a.csv", *TOUCHES)
    with pytest.raises(InputError, match=r"'online-retail' does not read touches\. Choose from csv"):
        import_file(operator, "touches", path, importer="online-retail")
    with pytest.raises(InputError, match=r"unknown importer 'cvs'\. Did you mean 'csv'"):
        import_file(operator, "touches", path, importer="cvs")
    with pytest.raises(InputError, match="'people' cannot be imported"):
        import_file(operator, "people", path)


def test_a_workbook_renamed_is_told_apart(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    path = tmp_path / "base.csv"
    path.write_bytes(b"PK\x03\x04\x14\x00\x06\x00")
    with pytest.raises(InputError, match="the workbook is damaged"):
        import_file(operator, "customers", path)


def test_only_operations_may_import(sqlite_app: Flask, write: Write) -> None:
    with pytest.raises(Forbidden):
        import_file(Actor("viewer", frozenset({"viewer"})), "customers", write("a.csv", *CUSTOMERS))


def test_a_file_taken_in_is_not_silently_kept_where_it_is_to_be_read_otherwise(
    app: Flask, operator: Actor, write: Write
) -> None:
    path = write("o.csv", "customer_ref;order_ref;date;amount", "1;O1;05/04/2025;1.234", "2;O2;06/04/2025;2.000")
    taken = import_file(operator, "orders", path)
    other = Overrules(decimal=".", days="month")
    tried = import_file(operator, "orders", path, overrules=other, dry_run=True)
    assert (tried.accepted, tried.how["numbers"], "after" in tried.how) == (2, "decimal point", False)
    with pytest.raises(InputError, match=f"import {taken.import_id} took this file in already") as told:
        import_file(operator, "orders", path, overrules=other)
    assert f"--undo {taken.import_id}" in told.value.remedy
    again = import_file(operator, "orders", path)
    assert (again.unchanged, again.how) == (2, taken.how)
