"""Cells of the CSV files we write: whatever a spreadsheet splits them at, it finds no formula; our reader finds the text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.customers.cells import inert, unmarked
from pilot.customers.importers import Origin, RowError
from pilot.customers.intake.rejects import Rejects
from pilot.plugins.builtin.importers import CsvFile

SPLITS = (",", ";", "\t")
FORMULA = re.compile(r"[\"\s]*[=+\-@\t\r＝＋－＠]")
NUMBER = re.compile(r"\"*[-+][0-9][0-9.,]*\"*")

texts = st.text(
    st.one_of(st.sampled_from("'\"=+-@\t\r\n;,| 1.a＝\u00a0\u2028"), st.characters(codec="utf-8")), max_size=12
)
many = settings(max_examples=30, deadline=None)


def found(file: str) -> Iterator[str]:
    """What any spreadsheet may take for a cell of the file: split at each sign, heeding quotation marks and not."""
    for sign in SPLITS:
        yield from (cell for line in re.split("[\r\n]", file) for cell in line.split(sign))
        for row in csv.reader(io.StringIO(file, newline=""), delimiter=sign):
            yield from (
                re.sub("^(\r\n)+", "", cell) for cell in row
            )  # where a mark left open swallows the end of our row


def formulas(file: str) -> list[str]:
    return [cell for cell in found(file) if FORMULA.match(cell) and not NUMBER.fullmatch(cell)]


def written(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([[inert(cell) for cell in row] for row in rows])
    return out.getvalue()


@many
@given(texts)
def test_a_mark_is_taken_off_exactly_where_it_was_set(text: str) -> None:
    assert unmarked(inert(text)) == text


@many
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=3))
def test_no_cell_is_a_formula_wherever_a_spreadsheet_splits(rows: list[list[str]]) -> None:
    assert formulas(written(rows)) == []


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("=1+1", "'=1+1"),
        ("foo;=cmd|' /C calc'!A0;bar", "foo;'=cmd|' /C calc'!A0;bar"),
        ("a,@SUM(1)\t+1", "a,'@SUM(1)\t'+1"),
        ("Bar\n=1+1", "Bar\n'=1+1"),
        ('"=1+1"', '"\'=1+1"'),
        ('a; "-1', "a; \"'-1"),
        ("'=1", "''=1"),
        ("\r\n=1", "'\r\n'=1"),
        ("-3,00", "-3,00"),
        ("+48 22 123", "'+48 22 123"),
        ("Rossi; Bianchi - Neri", "Rossi; Bianchi - Neri"),
    ],
)
def test_a_mark_stands_before_each_sign_a_formula_could_begin_with(text: str, marked: str) -> None:
    assert inert(text) == marked
    assert unmarked(marked) == text


def test_a_file_of_refused_rows_is_inert_and_reads_as_it_was(tmp_path: Path) -> None:
    header = ("ref", "=name;@x", "note")
    cells = ("C1", "Rossi;=1+1", "\t=2")
    Rejects(tmp_path / "bad.csv", Origin("0" * 16)).write(
        [RowError(2, "=name;@x", "a;+b", "is no good", cells)], header
    )
    assert formulas((tmp_path / "bad.csv").read_text("utf-8-sig")) == []
    table = CsvFile().read(tmp_path / "bad.csv", "customers")
    assert table.header == header
    assert [tuple(record.cells) for record in table.records()] == [cells]
