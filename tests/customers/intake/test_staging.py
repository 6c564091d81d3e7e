"""The data engine splits and judges only where Python would do just the same."""

import csv
import io
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot.customers.importers import Record, RowError, Table
from pilot.customers.intake import staging
from pilot.customers.intake.checks import Unfit, check_of
from pilot.customers.intake.delimited import understand
from pilot.customers.intake.evidence import evidence_in, evidence_of
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.notation import Days, Numbers
from pilot.customers.intake.sieve import Sieve
from pilot.customers.intake.understanding import Overrules, Understanding, columns
from pilot.customers.intake.understanding import understand as understood
from pilot.errors import InputError
from tests.customers.conftest import Write

few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TODAY = date(2026, 3, 31)

awkward = st.text(st.sampled_from("ab;,\"\n\r \t\x00\x01\x02é€|#\\\u2028\xa0'1."), max_size=4)
tables = st.lists(st.lists(awkward, min_size=3, max_size=3), min_size=1, max_size=4)


@few
@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_both_ways_of_splitting_give_the_same_records(rows: list[list[str]], newline: str, quoted: bool) -> None:
    everything = [["x", "y", "z"], *rows]
    if quoted:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=";", lineterminator=newline).writerows(everything)
        text = out.getvalue()
    else:
        text = newline.join(";".join(row) for row in everything) + newline
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "a.csv").write_bytes(text.encode())
        found = understand(folder / "a.csv", len, encoding="utf-8", delimiter=";")
        fast = Table(found.header, {}, found.records, text=found.simple)
        assert records(fast, folder) == records(Table(found.header, {}, found.records), folder)


def records(table: Table, folder: Path) -> list[Any]:
    with staging.engine(folder) as engine:
        try:
            staged = staging.stage(engine, table, folder, "a.csv")
        except InputError:
            return []
        found = engine.execute(f"SELECT {staged.line}, {staged.original()} FROM staged ORDER BY rowid").fetchall()
    return [row for row in found if row[1] or "".join(row[3:]).strip()]


def test_a_plain_file_is_split_by_the_engine(write: Write, tmp_path: Path) -> None:
    found = understand(write("a.csv", "x;y", "1;Forlì", '2;"a;b"', newline="\r\n", encoding="cp1252"), len)
    with staging.engine(tmp_path) as engine:
        staged = staging.stage(engine, Table(found.header, {}, found.records, text=found.simple), tmp_path, "a.csv")
        assert not staged.file.own
        assert engine.execute("SELECT c1 FROM staged ORDER BY rowid").fetchall() == [("Forlì",), ("a;b",)]


def test_cells_with_types_of_their_own_are_not_read_by_the_notation_of_the_others(
    sqlite_app: Flask, tmp_path: Path
) -> None:
    cells: list[list[Any]] = [
        [17850.0, "A1", date(2026, 3, 4), Decimal("1.234")],
        ["00007", "A2", "05/03/2026", "1,5"],
    ]
    header = ("Customer no", "Order no", "Date", "Amount")
    table = Table(header, {}, lambda: iter([Record(number, number, row) for number, row in enumerate(cells, 2)]))
    with staging.engine(tmp_path) as engine:
        sieve = sifted(table, "orders", staging.stage(engine, table, tmp_path, "a.xlsx"), tmp_path)
        assert list(sieve.refused()) == []
        values = ", ".join(sieve.value(name) for name in sieve.fields)
        assert engine.execute(sieve.good(values, order="ORDER BY staged.rowid")).fetchall() == [
            ("17850", "A1", "2026-03-04", "1.234"),
            ("00007", "A2", "2026-03-05", "1.5"),
        ]


def sifted(table: Table, kind: str, staged: staging.Staged, folder: Path) -> Sieve:
    fields = FIELDS[kind]
    places = columns(fields, table.header, {}, "a.csv")
    understanding = understood(table, fields, places, evidence_of(staged, fields, places), Overrules())
    return Sieve(staged, understanding, kind, folder, TODAY)


addresses = st.from_regex(r"[a-zA-Z.+\-]{1,4}@[a-zA-Z0-9.\-]{1,6}\.(it|com|test|local|xn--a|1)", fullmatch=True)
words = st.one_of(
    st.text(max_size=6), st.text(max_size=210), addresses, st.sampled_from(["Info@a.it", " a@b.it ", "A@B.IT"])
)
numbers = st.from_regex(r"[-+ €]{0,2}[0-9]{0,14}([.,'][0-9]{1,5}){0,2}-?", fullmatch=True)
days = st.from_regex(
    r"[ ]?(0?[1-9]|[12][0-9]|3[0-9])[/.-](0?[1-9]|1[0-3])[/.-]202[4-7]([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?",
    fullmatch=True,
)


@few
@given(st.lists(st.tuples(words, words, words, days, numbers), min_size=1, max_size=8), st.sampled_from(",."))
def test_the_engine_judges_as_python_does(
    sqlite_app: Flask, rows: list[tuple[str, str, str, str, str]], decimal: str
) -> None:
    """Every value, on its own, by the function that is the truth."""
    fields = ["name", "email", "ref", "ordered_on", "amount"]
    known = {field.name: field for kind in ("customers", "orders") for field in FIELDS[kind]}
    places = tuple((known[name], index) for index, name in enumerate(fields))
    understanding = Understanding(places, Numbers(decimal, evident=True), Days("day", "dd/mm/yyyy", evident=True), {})
    table = Table(tuple(fields), {}, lambda: iter([Record(line, line, row) for line, row in enumerate(rows)]))
    with tempfile.TemporaryDirectory() as place, staging.engine(Path(place)) as engine:
        staged = staging.stage(engine, table, Path(place), "a.csv")
        sieve = Sieve(staged, understanding, "customers_without_doubles", Path(place), TODAY)
        refused = {error.line: error for error in sieve.refused()}
        values = ", ".join(sieve.value(name) for name in fields)
        taken = {row[0]: row[1:] for row in engine.execute(sieve.good(f"line, {values}")).fetchall()}
    for line, row in enumerate(rows):
        expected = [judged(understanding, name, cell, decimal) for name, cell in zip(fields, row, strict=True)]
        if all(isinstance(value, str) for value in expected):
            assert tuple(expected[:4]) == taken[line][:4]
            assert Decimal(str(expected[4])) == Decimal(taken[line][4])
        elif "".join(row).strip():
            assert line not in taken
            faults = [value for value in expected if isinstance(value, Unfit)]
            assert refused[line].reason == min(faults, key=lambda fault: not fault.unread).reason


def judged(understanding: Understanding, name: str, cell: str, decimal: str) -> str | Unfit:
    known = next(field for field, _ in understanding.places if field.name == name)
    cell = cell if not cell.startswith("\x02") else f"\x01{cell[1:]}"
    try:
        return check_of(known, *understanding.reader(known), decimal, TODAY).judge(cell)
    except Unfit as unfit:
        return unfit


@pytest.mark.parametrize(
    "lines", [["7;A1;04.03.2026;1,50", "7;A2;31.03.2026;-1.234,5"], ["7;A1;2026-03-04 08:15;1", "7;A2;;x"]]
)
def test_the_engine_finds_the_same_notation_as_python(write: Write, tmp_path: Path, lines: list[str]) -> None:
    found = understand(write("o.csv", "Customer no;Order no;Date;Amount", *lines), len)
    table = Table(found.header, {}, found.records, text=found.simple)
    fields = FIELDS["orders"]
    places = columns(fields, table.header, {}, "o.csv")
    with staging.engine(tmp_path) as engine:
        counted = evidence_of(staging.stage(engine, table, tmp_path, "o.csv"), fields, places)
    assert counted == evidence_in(table.records(), 4, fields, places)


def test_an_error_of_a_row_names_the_whole_row(sqlite_app: Flask, write: Write, tmp_path: Path) -> None:
    found = understand(write("c.csv", "ref;name;email", "1;Rossi;x", "", "2;Bianchi"), len)
    table = Table(found.header, {}, found.records, text=found.simple)
    with staging.engine(tmp_path) as engine:
        sieve = sifted(table, "customers", staging.stage(engine, table, tmp_path, "c.csv"), tmp_path)
        assert list(sieve.refused()) == [
            RowError(2, "email", "x", "this is not an e-mail address"),
            RowError(4, "", "2;Bianchi", "the row has 2 columns, the header has 3"),
        ]
        assert sieve.count() == 0


@pytest.mark.parametrize("letter", ["x", "€", "\x01"])
def test_a_row_too_long_for_the_engine_is_refused_and_the_others_are_read(tmp_path: Path, letter: str) -> None:
    rows = [["1", "a"], ["2", letter * 3_000_000], ["3", letter * 250_000], ["4", "b"]]
    table = Table(("no", "name"), {}, lambda: iter([Record(n, n, row) for n, row in enumerate(rows, 2)]))
    with staging.engine(tmp_path) as engine:
        staged = staging.stage(engine, table, tmp_path, "a.parquet")
        found = engine.execute("SELECT line, fault, c0, length(c1) FROM staged ORDER BY line").fetchall()
    assert staged.rows == 4
    assert found[1] == (3, '["", "", "the row is longer than 262,144 characters"]', "", 0)
    assert [(line, no, length) for line, _, no, length in (found[0], *found[2:])] == [
        (2, "1", 1),
        (4, "3", 250_000),
        (5, "4", 1),
    ]
