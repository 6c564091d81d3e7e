"""Spreadsheets, Parquet files and databases go the way of every import."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.config import Source
from pilot.customers.intake.parquet import is_parquet, read_parquet
from pilot.customers.intake.service import import_file, import_source, undo_import
from pilot.customers.intake.understanding import Overrules
from pilot.customers.models import Customer, Import
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.errors import InputError
from pilot.plugins.builtin.tables import ParquetFile, Workbook
from tests.customers.conftest import Write

ROWS = [("007", "A1", date(2025, 12, 31), 1234.5), ("8", "A2", date(2026, 2, 1), 3.0), ("8", "A3", None, 1.0)]
HEADER = ("Codice cliente", "Numero ordine", "Data ordine", "Importo netto")


def workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    for row in (HEADER, *ROWS):
        book.active.append(row)
    book.save(folder / "o.xlsx")
    return folder / "o.xlsx"


def parquet(folder: Path, select: str = "", name: str = "o.parquet") -> Path:
    rows = ", ".join(
        f"('{client}', '{order}', {f'date {str(day)!r}' if day else 'NULL'}, {amount}::DECIMAL(18,2))"
        for client, order, day, amount in ROWS
    )
    columns = ", ".join(f'"{column}"' for column in HEADER)
    with duckdb.connect() as engine:
        engine.execute(
            f"COPY ({select or f'FROM (VALUES {rows}) AS v({columns})'}) TO '{folder / name}' (FORMAT parquet)"
        )
    return folder / name


@pytest.mark.parametrize("make", [workbook, parquet])
def test_it_is_imported_tried_refused_and_undone_like_any_file(
    app: Flask, operator: Actor, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    tried = import_file(operator, "orders", path, dry_run=True)
    assert (tried.import_id, tried.accepted, tried.rejected) == (None, 2, 1)
    taken = import_file(operator, "orders", path, rejects=tmp_path / "bad.csv")
    assert (taken.accepted, taken.rejected) == (2, 1)
    assert store().story("007")[0][0][:3] == (date(2025, 12, 31), "A1", Decimal("1234.5"))
    told = (tmp_path / "bad.csv").read_text("utf-8-sig").splitlines()[1]
    column, value, reason, origin, *cells = told.split(",")[1:]
    assert (column, value, reason, cells[:2]) == ("Data ordine", "", "the row has no date", ["8", "A3"])
    assert origin.startswith("file ")
    assert import_file(operator, "orders", path).unchanged == 2
    undo_import(operator, int(taken.import_id or 0))
    assert store().last_order_day() is None


@pytest.mark.parametrize("make", [workbook, parquet])
def test_days_and_numbers_with_types_of_their_own_are_not_assumed(
    sqlite_app: Flask, operator: Actor, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    how = import_file(operator, "orders", make(tmp_path), dry_run=True).how
    assert (how["numbers"], how["days"]) == ("decimal point", "yyyy-mm-dd")


def test_columns_nobody_could_guess_are_mapped(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    path = parquet(tmp_path, "SELECT 7 AS k, 'Rossi' AS n, 'Bari' AS name")
    import_file(operator, "customers", path, mapping={"ref": "k", "name": "n"})
    assert db.session.execute(sa.select(Customer.ref, Customer.name)).all() == [("7", "Rossi")]


def test_a_field_mapped_to_nothing_is_left_out(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    path = write("a.csv", "ref;name;city", "1;Rossi;Bari")
    taken = import_file(operator, "customers", path, mapping={"city": ""})
    assert taken.how["not_read"] == ["city"]
    assert db.session.scalar(sa.select(Customer.city)) is None


def test_parquet_keeps_its_types(sqlite_app: Flask, tmp_path: Path) -> None:
    select = (
        "SELECT 'x' AS t, 1.1::FLOAT AS f, 12.50::DECIMAL(9,2) AS d, true AS y, NULL::INTEGER AS n, 'nan'::DOUBLE AS q, "
        "make_timestamptz(1774999800000000) AS m, timestamp_ns '2026-01-02 00:00:00' AS s, uuid '" + "0" * 8
        + "-0000-0000-0000-000000000001' AS u"
    )  # fmt: skip
    path = parquet(tmp_path, select, "[odd] *.parquet")
    assert is_parquet(path)
    table = read_parquet(path)
    (record,) = table.records()
    assert table.header == ("t", "f", "d", "y", "n", "q", "m", "s", "u")
    text, f, d, y, n, _, m, s, u = record.cells
    # in Rome the last day of March is over at half past eleven in Greenwich
    assert (text, f, d, y, n, m) == ("x", 1.1, Decimal("12.50"), True, None, date(2026, 4, 1))
    assert str(s) == "2026-01-02 00:00:00"
    assert u == "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("select", "complaint"),
    [
        ("SELECT '1' AS ref, ['a', 'b'] AS name", r"the column 'name' is nested \(varchar\[\]\)"),
        ("SELECT '1' AS ref, {'first': 'a'} AS name", r"the column 'name' is nested \(struct"),
        ("SELECT '1' AS ref, 'a'::BLOB AS name", "the column 'name' holds bytes"),
    ],
)
def test_a_cell_of_several_values_is_refused(
    sqlite_app: Flask, operator: Actor, tmp_path: Path, select: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as told:
        import_file(operator, "customers", parquet(tmp_path, select))
    assert told.value.place == "o.parquet"
    assert "Leave it out" in told.value.remedy


def test_a_damaged_parquet_file_is_refused(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    path = parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"o\.parquet: the file cannot be read to its end"):
        import_file(operator, "orders", path)


def test_what_is_said_of_text_does_not_fit_a_workbook(sqlite_app: Flask, operator: Actor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"this is a spreadsheet.*imported as it is, if no encoding"):
        import_file(operator, "orders", workbook(tmp_path), overrules=Overrules(encoding="cp1250"))
    with pytest.raises(InputError, match="there is no sheet 'May' among 'Sheet'"):
        import_file(operator, "orders", workbook(tmp_path), overrules=Overrules(sheet="May"))


def test_each_is_recognised_by_its_beginning(tmp_path: Path, write: Write) -> None:
    book, columns, text = workbook(tmp_path), parquet(tmp_path), write("a.csv", "a;b")
    assert [Workbook().recognises(path) for path in (book, columns, text)] == [True, False, False]
    assert [ParquetFile().recognises(path) for path in (book, columns, text)] == [False, True, False]


@pytest.fixture
def erp(app: Flask, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of the company, configured as the source `erp`."""
    queries = {
        "customers": "SELECT no AS ref, title AS name FROM client",
        "orders": "SELECT no AS customer_ref, 'O' || no AS order_ref, '2026-01-02' AS ordered_on, 1.5 AS amount FROM client",
    }
    settings = app.extensions["pilot.config"]
    source = Source(url=f"sqlite:///{tmp_path / 'erp.sqlite'}", **queries)
    app.extensions["pilot.config"] = settings.model_copy(update={"sources": {"erp": source}})
    with closing(sqlite3.connect(tmp_path / "erp.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE client (no TEXT, title TEXT)")
        database.executemany("INSERT INTO client VALUES (?, ?)", [("1", "Rossi"), ("2", "Żurek"), ("3", "Neri")])
        yield database


@pytest.mark.parametrize(("kind", "good", "bad"), [("customers", 2, 1), ("orders", 3, 0)])
def test_a_database_is_asked_and_the_same_rows_change_nothing(
    app: Flask, operator: Actor, erp: sqlite3.Connection, kind: str, good: int, bad: int
) -> None:
    if kind == "customers":
        erp.execute("UPDATE client SET no = '' WHERE no = '3'")
    first = import_source(operator, kind, "erp")
    erp.execute("UPDATE client SET rowid = rowid + 10 WHERE no = '1'")  # the same rows in another order
    again = import_source(operator, kind, "erp")
    assert (first.accepted, first.rejected, again.accepted, again.unchanged) == (good, bad, 0, good)
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 1
    erp.execute("INSERT INTO client VALUES ('4', 'New')")
    assert import_source(operator, kind, "erp").import_id not in (None, first.import_id)
