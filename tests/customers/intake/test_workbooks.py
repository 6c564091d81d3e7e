"""Spreadsheets: what their cells say, typed as they are, and files that would take a machine down."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from pilot.customers.intake import workbooks
from pilot.customers.intake.workbooks import is_workbook, read_workbook
from pilot.errors import InputError

LATE = datetime(2026, 3, 31, 23, 59)  # noqa: DTZ001 - spreadsheets know no zones


def saved(path: Path, *rows: list[Any], sheet: str = "Orders", **others: list[list[Any]]) -> Path:
    book = Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    for name, more in others.items():
        added = book.create_sheet(name)
        for row in more:
            added.append(row)
    book.save(path)
    return path


def test_cells_keep_the_types_the_workbook_gives_them(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "o.xlsx",
        ["Customer", "No", "Date", "Amount", "Paid"],
        ["007", 42, date(2026, 3, 31), 1234.5, True],
        ["Łódź", 1e15, LATE, 0.1 + 0.2, None],
        [],
        ["8", "1.234,50", "31/03/2026", -3, False],
    )
    assert is_workbook(path)
    table = read_workbook(path)
    assert table.header == ("Customer", "No", "Date", "Amount", "Paid")
    assert table.how == {"sheet": "Orders"}
    found = [(record.line, list(record.cells)) for record in table.records()]
    assert found == [
        (2, ["007", Decimal(42), date(2026, 3, 31), Decimal("1234.5"), True]),
        (3, ["Łódź", Decimal(10**15), date(2026, 3, 31), Decimal("0.3"), None]),
        (5, ["8", "1.234,50", "31/03/2026", Decimal(-3), False]),
    ]
    assert list(table.records()) == list(table.records()), "it can be read again"


def test_a_title_above_the_header_and_other_sheets_do_not_disturb(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "o.xlsx",
        ["Export of March"],
        [],
        [None, "ref", "name"],
        [None, "1", "A"],
        Notes=[["a", "b"], [1, 2]],
    )
    table = read_workbook(path)
    assert (table.header, table.how) == (("", "ref", "name"), {"sheet": "Orders", "other_sheets": ["Notes"]})
    assert [(record.line, list(record.cells)) for record in table.records()] == [(4, [None, "1", "A"])]
    assert read_workbook(path, "Notes").header == ("a", "b")
    with pytest.raises(InputError, match="no sheet 'Nowhere' among 'Orders', 'Notes'"):
        read_workbook(path, "Nowhere")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 50_000_000)
    with pytest.raises(InputError, match="would unpack to 50 MB"):
        read_workbook(path)


def test_an_archive_of_more_than_is_allowed_is_refused_though_hardly_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "MOST_UNPACKED", 1000)
    with pytest.raises(InputError, match="would unpack to"):
        read_workbook(saved(tmp_path / "o.xlsx", ["ref", "name"], ["1", "A"]))


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "entities",
    [f'<!DOCTYPE sst [<!ENTITY l0 "ha">{LAUGHS}]>', '<!DOCTYPE sst [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>'],
)
def test_entities_of_a_document_type_are_never_followed(tmp_path: Path, entities: str) -> None:
    path, bomb = saved(tmp_path / "o.xlsx", ["ref", "name"], ["1", "WORD"]), tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path) as sound, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as odd:
        for part in sound.namelist():
            text = sound.read(part)
            if part == "xl/sharedStrings.xml":
                text = entities.encode() + text.replace(b"WORD", b"&l9;")
                assert b"&l9;" in text
            odd.writestr(part, text)
    try:
        told = str([record.cells for record in read_workbook(bomb).records()])
    except InputError as error:
        told = str(error)
    assert "root:" not in told
    assert "haha" not in told
    assert len(told) < 300


def test_the_child_is_limited_in_memory_and_computing_time(tmp_path: Path) -> None:
    told = (
        "import json, resource, sys; from pilot.customers.intake import sheets; "
        "sheets._write = lambda *_: print(json.dumps([resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)])); "
        "sys.exit(sheets.main(sys.argv[1:]))"
    )
    path = saved(tmp_path / "o.xlsx", ["ref", "name"], ["1", "A"])
    child = subprocess.run(
        [sys.executable, "-c", told, str(path), str(tmp_path / "rows")], capture_output=True, check=True
    )
    assert json.loads(child.stdout) == [[1_000_000_000] * 2, [60] * 2]


def test_a_child_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "o.xlsx", ["ref", "name"], ["1", "A"])
    monkeypatch.setattr(workbooks, "_PATIENCE", 0.01)
    with pytest.raises(InputError, match=r"was not read within 0\.01 seconds.*import that"):
        read_workbook(path)


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the sheet 'Orders' has 201 columns, 200 are the most"):
        read_workbook(saved(tmp_path / "o.xlsx", ["c"] * 201, ["1"] * 201))


@pytest.mark.parametrize("epoch", [CALENDAR_WINDOWS_1900, CALENDAR_MAC_1904])
def test_days_are_the_same_by_either_calendar_of_spreadsheets(tmp_path: Path, epoch: datetime) -> None:
    book = Workbook()
    book.epoch = epoch
    book.active.append(["ref", "day"])
    book.active.append(["1", date(2025, 12, 31)])
    book.save(tmp_path / "o.xlsx")
    assert [list(record.cells) for record in read_workbook(tmp_path / "o.xlsx").records()] == [
        ["1", date(2025, 12, 31)]
    ]


def test_a_cell_far_away_is_no_table(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["ref", "name"])
    book.active.cell(row=1_048_576, column=16_384, value=1)
    book.save(tmp_path / "far.xlsx")
    with pytest.raises(InputError, match=r"more memory or time|columns"):
        read_workbook(tmp_path / "far.xlsx")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PK\x03\x04 and no more", "damaged"), (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "cannot be read")],
)
def test_a_damaged_workbook_is_said_to_be_one(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(content)
    assert is_workbook(path)
    with pytest.raises(InputError, match=reason) as told:
        read_workbook(path)
    assert told.value.place == "x.xlsx"


def test_a_sheet_without_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no header"):
        read_workbook(saved(tmp_path / "o.xlsx", ["only"], ["one"], ["column"]))
    with pytest.raises(InputError, match="no sheet of it holds anything"):
        read_workbook(saved(tmp_path / "e.xlsx"))


def test_other_archives_are_no_workbooks(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("orders.csv", "a;b")
    assert not is_workbook(tmp_path / "a.zip")
    assert not is_workbook(tmp_path / "nothing.xlsx")
