"""Refused rows: the whole row is kept beside its reason, and what has not happened yet is no fact."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask import Flask
from flask_babel import force_locale, gettext
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.cells import inert, unmarked
from pilot.customers.intake.commands import import_
from pilot.customers.intake.reasons import in_words
from pilot.customers.intake.rejects import in_language
from pilot.customers.intake.service import import_file
from pilot.customers.models import Customer
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import CheckFailed, InputError
from tests.customers.conftest import Write

ORDERS = "Customer no;Order no;Date;Amount;Note"
TOUCHES = "Customer no;Date;Channel;Kind;Minutes"


def rows(path: Path | None) -> list[list[str]]:
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        sign = file.readline()[len("refused line")]
        file.seek(0)
        return list(csv.reader(file, delimiter=sign))


def test_a_refused_row_is_kept_whole_below_the_names_of_the_file(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    lines = ("C1;A1;31/12/2025;10,50;x", "C1; A2 ;soon;-3,00;=1+1", ";A3;31/12/2025;-1,00;", "C1;A4;31/12/2025")
    path = write("o.csv", ORDERS, *lines)
    taken = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv")
    origin = f"file {hashlib.sha256(path.read_bytes()).hexdigest()[:16]} comma day"
    assert rows(taken.rejects_file) == [
        [
            "refused line",
            "refused column",
            "refused value",
            "refused because",
            "refused from",
            "Customer no",
            "Order no",
            "Date",
            "Amount",
            "Note",
        ],
        ["3", "Date", "soon", "is not a day written dd/mm/yyyy", origin, "C1", " A2 ", "soon", "-3,00", "'=1+1"],
        ["4", "Customer no", "", "the row has no customer number", origin, "", "A3", "31/12/2025", "-1,00", ""],
        ["5", "", "C1;A4;31/12/2025", "the row has 3 columns, the header has 5", origin, "C1", "A4", "31/12/2025"],
    ]


def test_corrected_refused_rows_are_imported_as_they_are(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    lines = ("ref;name;email;city", "C1;Rossi;;Bari", "=C2;'=Żurek;at;+Łódź", "C3;'=Neri;no;-5")
    taken = import_file(operator, "customers", write("c.csv", *lines), rejects=tmp_path / "bad.csv")
    header, *refused = rows(taken.rejects_file)
    assert [row[5:] for row in refused] == [["'=C2", "''=Żurek", "at", "'+Łódź"], ["C3", "''=Neri", "no", "-5"]]
    for row in refused:
        row[header.index("email")] = "a@firma.pl"
    with (tmp_path / "corrected.csv").open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([header, *refused])
    assert import_file(operator, "customers", tmp_path / "corrected.csv").accepted == 2
    found = db.session.execute(sa.select(Customer.ref, Customer.name, Customer.city).order_by(Customer.ref)).all()
    assert [tuple(row) for row in found] == [
        ("=C2", "'=Żurek", "+Łódź"),
        ("C1", "Rossi", "Bari"),
        ("C3", "'=Neri", "-5"),
    ]


def test_a_corrected_amount_is_read_and_not_the_refused_value(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    path = write("o.csv", ORDERS, "C1;A1;31/12/2025;10,50;", "C1;A2;31/12/2025;ten;")
    bad = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv").rejects_file
    header, refused = rows(bad)
    refused[header.index("Amount")] = "12,75"
    with (tmp_path / "bad.csv").open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([header, refused])
    assert import_file(operator, "orders", tmp_path / "bad.csv").accepted == 1
    assert [(fact.order_ref, fact.amount) for fact in store().story("C1")[0]] == [
        ("A2", Decimal("12.75")),
        ("A1", Decimal("10.50")),
    ]


@given(st.text("'=+-@\t\r1.,a", max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_mark_is_taken_off_exactly_where_it_was_set(text: str) -> None:
    marked = inert(text)
    assert unmarked(marked) == text
    assert re.match(r"[=@\t\r]|[+-](?![0-9.,]+$)", marked) is None


def test_a_refused_invoice_line_is_kept_as_the_file_has_it(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path
) -> None:
    header = "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    path = write("r.csv", header, "1,A,2,2025-12-31 08:00,2.5,17850.0,UK", "2,B,2,2025-12-31 08:00,2.5,,UK")
    taken = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv")
    _, refused = rows(taken.rejects_file)
    assert refused[5:] == ["2", "B", "2", "2025-12-31 08:00", "2.5", "", "UK"]


@pytest.mark.parametrize(
    ("kind", "header", "row"),
    [("orders", ORDERS, "C1;A{n};{day};1,00;"), ("touches", TOUCHES, "C1;{day};field-rep;call;{n}")],
)
def test_what_lies_in_the_future_is_refused_by_the_companys_own_day(
    sqlite_app: Flask, operator: Actor, write: Write, kind: str, header: str, row: str
) -> None:
    clock.travel(datetime(2026, 3, 31, 22, 30, tzinfo=UTC))  # half past midnight of 1 April in Rome
    days = ("31/03/2026", "01/04/2026", "02/04/2026")
    path = write("f.csv", header, *(row.format(n=number, day=day) for number, day in enumerate(days)))
    taken = import_file(operator, kind, path)
    assert (taken.accepted, [(error.line, error.column, error.value, error.reason) for error in taken.errors]) == (
        2,
        [
            (
                4,
                "Date",
                "2026-04-02",
                "it lies in the future, today is 2026-04-01; correct the date, or import the row once it has happened",
            )
        ],
    )


@pytest.mark.parametrize("option", [[], ["--dry-run"], ["--json"]])
def test_a_file_of_which_nothing_can_be_taken_over_fails_the_check(
    sqlite_app: Flask, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write("o.csv", ORDERS, ";A1;31/12/2025;1,00;", ";A2;31/12/2025;1,00;")
    done = CliRunner().invoke(import_, ["orders", str(path), *option])
    assert isinstance(done.exception, CheckFailed)
    assert done.exception.exit_code == 1
    assert str(done.exception).startswith("o.csv: no row of it can be taken over. Correct the file")
    assert "the row has no customer number" in done.stdout


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \r\n", b"\n\n", gzip.compress(b"", mtime=0)]
)
def test_a_file_with_nothing_in_it_is_said_to_be_empty(
    sqlite_app: Flask, operator: Actor, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "base.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^base\.csv: the file is empty\. Export it again\.$|the file is empty"):
        import_file(operator, "customers", path)


def test_a_file_without_a_line_of_columns_is_a_sentence(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    path = tmp_path / "base.csv"
    path.write_text(f'ref;name;"{"x" * 200_000}"\nC1;Rossi;\n')  # beyond what one cell may hold
    with pytest.raises(InputError) as caught:
        import_file(operator, "customers", path)
    assert str(caught.value) == (
        "base.csv, line 1: no columns can be made out in it: what should be their names is longer than 131,072 characters. "
        "Export it again as CSV (UTF-8)."
    )


@pytest.mark.parametrize("language", ["en", "it", "pl"])
@pytest.mark.parametrize("sign", [";", ",", "\t", "|"])
def test_refused_rows_speak_the_language_of_who_takes_them_away_and_are_read_back(
    sqlite_app: Flask, operator: Actor, write: Write, tmp_path: Path, language: str, sign: str
) -> None:
    lines = [line.replace(";", sign) for line in ("ref;name;email;city", "C1;Rossi;;Bari", "C2;Neri;at;-5", "C3;;;")]
    taken = import_file(operator, "customers", write("c.csv", *lines), rejects=tmp_path / "bad.csv")
    assert taken.rejects_file is not None
    with sqlite_app.test_request_context(), force_locale(language):
        told = "".join(in_language(taken.rejects_file, language, in_words))
        reasons = [gettext("this is not an e-mail address"), gettext("the row has no name")]
    assert told.startswith("\ufeff")
    header, *refused = csv.reader(io.StringIO(told[1:]), delimiter=sign)
    assert header[5:] == ["ref", "name", "email", "city"]
    assert [row[3] for row in refused] == reasons
    refused[0][7], refused[1][6] = "a@firma.pl", "Verdi"
    with (tmp_path / "corrected.csv").open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out, delimiter=sign).writerows([header, *refused])
    assert import_file(operator, "customers", tmp_path / "corrected.csv").accepted == 2
    found = db.session.execute(sa.select(Customer.name, Customer.email, Customer.city).order_by(Customer.ref))
    assert [tuple(row) for row in found] == [
        ("Rossi", None, "Bari"), ("Neri", "a@firma.pl", "-5"), ("Verdi", None, None),
    ]  # fmt: skip


def test_a_language_that_asks_a_question_is_not_taken_for_known(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    taken = import_file(operator, "customers", write("c.csv", "ref;name;language", "C1;A;polski?", "C2;B;polski"))
    assert taken.how["unknown_words"]["language"]["words"] == ["polski?"]
    told = db.session.execute(sa.select(Customer.language).order_by(Customer.ref)).scalars().all()
    assert told == [None, "pl"]


def test_trying_orders_says_who_is_not_in_the_base_as_the_import_does(
    sqlite_app: Flask, operator: Actor, write: Write
) -> None:
    import_file(operator, "customers", write("c.csv", "ref;name", "C1;A"))
    path = write("o.csv", ORDERS, "C1;A1;31/12/2025;10,50;", "C9;A2;31/12/2025;1,00;")
    tried = import_file(operator, "orders", path, dry_run=True)
    assert tried.how["customers_not_in_base"] == 1
    assert import_file(operator, "orders", path).how["customers_not_in_base"] == 1
