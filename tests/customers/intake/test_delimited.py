import gzip
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilot.customers.intake.delimited import Delimited, understand
from pilot.errors import InputError
from tests.customers.conftest import Write


def cells(table: Delimited) -> list[list[str]]:
    assert not [record for record in table.records() if record.fault]
    return [record.cells for record in table.records()]


def nothing_known(_: Sequence[str]) -> int:
    return 0


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_delimiter_is_found(write: Write, delimiter: str) -> None:
    path = write("a.csv", delimiter.join(("no", "name")), delimiter.join(("1", "Rossi")))
    table = understand(path, nothing_known)
    assert table.delimiter == delimiter
    assert cells(table) == [["1", "Rossi"]]


def test_commas_inside_cells_do_not_mislead(write: Write) -> None:
    path = write("a.csv", "no;name;amount", "1;Rossi, Bianchi;1,50", "2;Verdi, Neri;2,50")
    assert understand(path, nothing_known).header == ("no", "name", "amount")


@pytest.mark.parametrize(
    ("encoding", "name", "found"),
    [
        ("utf-8", "Zażółć gęślą jaźń", "utf-8"),
        ("utf-8-sig", "Zażółć gęślą jaźń", "utf-8-sig"),
        ("cp1250", "Zażółć gęślą jaźń", "cp1250"),
        ("iso8859-2", "Ślązak, Żywiec, śnieżka", "iso8859-2"),
        ("cp1252", "Caffè Nicolò, Forlì, più città – l’Aquila", "cp1252"),
        ("cp1252", "Société Générale · Müller", "cp1252"),
        ("ascii", "Rossi", "utf-8"),
        ("utf-16", "Zażółć gęślą jaźń", "utf-16"),
        ("utf-32", "Zażółć gęślą jaźń", "utf-32"),
        ("cp852", "Zażółć gęślą jaźń, Łódź, świętokrzyskie", "cp852"),
        ("cp1252", "Ditta – Rossi © «Bar» 5½ – Co…", "cp1252"),
        ("cp1252", "Müller · Jägerstraße", "cp1252"),
    ],
)
def test_letters_come_out_right_whatever_the_encoding(write: Write, encoding: str, name: str, found: str) -> None:
    path = write("a.csv", "no;name", f"1;{name}", encoding=encoding, newline="\r\n")
    table = understand(path, nothing_known)
    assert table.encoding == found
    assert cells(table) == [["1", name]]


def test_the_national_bank_of_poland_is_read_in_polish(shared_data: Path) -> None:
    table = understand(shared_data / "messy_csv" / "pl_nbp_kursy_tab_a_2020_cp1250.csv", nothing_known)
    assert (table.encoding, table.delimiter, len(table.header)) == ("cp1250", ";", 39)
    names = cells(table)[0]
    assert names[1:3] == ["bat (Tajlandia)", "dolar amerykański"]


def test_the_italian_municipalities_are_read_in_italian(shared_data: Path) -> None:
    table = understand(shared_data / "messy_csv" / "it_istat_comuni_cp1252_part.csv", nothing_known)
    names = [row[5] for row in cells(table)]
    assert (table.encoding, table.delimiter, len(table.header), len(names)) == ("cp1252", ";", 26, 1960)
    assert (names[0], names[-1]) == ("Agliè", "Treviolo")
    assert sum(not name.isascii() for name in names) == 44


def test_line_numbers_are_those_an_editor_shows(write: Write) -> None:
    path = write("a.csv", "no;name", '1;"two', 'lines"', "", "2;one")
    assert [record.line for record in understand(path, nothing_known).records()] == [2, 5]


def test_gzipped_files_are_read_like_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"no;name\n1;Rossi\n"))
    assert cells(understand(path, nothing_known)) == [["1", "Rossi"]]


def test_a_gz_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"no;name\n" + b"1;Rossi\n" * 10_000)[:-40])
    with pytest.raises(InputError, match=r"a\.csv\.gz: the file cannot be read to its end.*fetch it again"):
        understand(path, nothing_known)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\xff\xfe", "the file is empty"),
        (b"PK\x03\x04...", r"this is a spreadsheet \(XLSX, ODS\).*imported as it is"),
        ("no;name\n1;Rossi\n".encode("utf-16-le"), "UTF-16"),
        (b"no:name\n1:Rossi\n", r"line 1: only one column was found: 'no:name'.*semicolons, commas, tabs"),
        (
            "no;name\n1;Forl\u00ec Cant\u00f9\n2;Perch\u00e9\n".encode()[:-2] + b"\n",
            r"line 3: .*a letter in it is damaged",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        understand(path, nothing_known)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        understand(tmp_path / "none.csv", nothing_known)


def test_a_quotation_mark_left_open_never_swallows_rows_silently(write: Write) -> None:
    path = write("a.csv", "no;name", "1;Rossi", '2;"Bianchi', "3;Verdi")
    (good, broken) = understand(path, nothing_known).records()
    assert good.cells == ["1", "Rossi"]
    assert (broken.line, broken.last_line) == (3, 4)
    assert broken.fault == "a quotation mark was opened and not closed"


def test_one_broken_row_does_not_cost_the_next(write: Write) -> None:
    path = write("a.csv", "no;name", '1;"Bar "Roma""', "2;Verdi", '3;Bar "Roma"')
    broken, *good = understand(path, nothing_known).records()
    assert (broken.line, broken.fault) == (2, "a quotation mark within a quoted cell is not doubled")
    assert [record.cells for record in good] == [["2", "Verdi"], ["3", 'Bar "Roma"']]


def test_one_damaged_letter_in_a_file_of_utf8_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("no;name\n1;Forlì\n".encode() + b"2;\xc5\n")
    with pytest.raises(InputError, match="a letter in it is damaged") as caught:
        understand(path, nothing_known)
    assert caught.value.place == "a.csv, line 3"


def test_letters_of_an_unknown_encoding_are_a_sentence(write: Write) -> None:
    table = understand(write("a.csv", "no;name", *["1;Rossi"] * 20_000, "2;są śląską", encoding="cp852"), nothing_known)
    with pytest.raises(InputError) as caught:
        list(table.records())
    assert str(caught.value) == (
        "a.csv: its letters are in none of the encodings that are known here. Say which encoding it is in, or export it again in UTF-8."
    )


@pytest.mark.parametrize("told", ["", "utf-16", "UTF-16LE"])
def test_unicode_text_of_a_spreadsheet_is_read(tmp_path: Path, told: str) -> None:
    path = tmp_path / "a.txt"  # as "Unicode text" is saved: UTF-16 with its mark, tabs, both signs at the end of a line
    path.write_bytes("no\tname\r\n1\tŻurek; Łódź\r\n".encode("utf-16"))
    table = understand(path, nothing_known, encoding=told)
    assert (table.encoding, table.delimiter, table.header) == ("utf-16", "\t", ("no", "name"))
    assert cells(table) == [["1", "Żurek; Łódź"]]


def test_the_mark_of_utf8_is_no_letter_of_the_header_though_utf8_was_told(write: Write) -> None:
    path = write("a.csv", '"no";name', "1;Forlì", encoding="utf-8-sig")
    assert understand(path, nothing_known, encoding="utf-8").header == ("no", "name")


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_that_is_too_long_is_named_and_costs_its_row_alone(write: Write, quote: str) -> None:
    long = f"{quote}{'x' * 131_073}{quote}"
    path = write("a.csv", "no;name;note", '1;"a;b";c', f'2;"a;""b";{long}', f"3;{long};c", "4;a;b")
    one, *bad, four = understand(path, nothing_known).records()
    assert ([*one.cells], [*four.cells]) == (["1", "a;b", "c"], ["4", "a", "b"])
    assert [(record.line, record.last_line, record.column, record.fault) for record in bad] == [
        (3, 3, "note", "it is longer than 131,072 characters"),
        (4, 4, "name", "it is longer than 131,072 characters"),
    ]


def test_a_quotation_mark_left_open_in_a_long_file_costs_no_more_than_a_cell_may_hold(write: Write) -> None:
    path = write("a.csv", "no;name", '1;"Rossi', *["2;Bianchi"] * 20_000)
    (broken, *good) = understand(path, nothing_known).records()
    assert (broken.line, broken.fault) == (2, "a quotation mark was opened and not closed within 131,072 characters")
    assert broken.last_line + len(good) == 20_002


def test_a_line_without_an_end_is_never_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(b"no;name\n1;a\n2;")
        for _ in range(60):
            out.write(b"x" * 1_000_000)
        out.write(b"\n3;b\n")
    tracemalloc.start()
    one, long, three = understand(path, nothing_known).records()
    assert tracemalloc.get_traced_memory()[1] < 25_000_000
    tracemalloc.stop()
    assert (one.line, long.line, long.fault, three.line) == (2, 3, "the line is longer than 1,048,576 characters", 4)


def test_a_header_with_a_stray_quotation_mark_costs_no_row(write: Write) -> None:
    assert cells(understand(write("a.csv", '"no"x;name', "1;Rossi"), nothing_known)) == [["1", "Rossi"]]


def test_a_line_that_tells_a_spreadsheet_the_delimiter_is_heeded(write: Write) -> None:
    table = understand(write("a.csv", "sep=#", "no#name", "1#Rossi; Bianchi"), nothing_known)
    assert (table.delimiter, table.header) == ("#", ("no", "name"))
    assert [(record.line, record.cells) for record in table.records()] == [(3, ["1", "Rossi; Bianchi"])]


@pytest.mark.parametrize("encoding", ["utf-16", "punycode", "cp037"])
def test_an_encoding_that_was_told_and_is_not_the_files_is_a_sentence(write: Write, encoding: str) -> None:
    with pytest.raises(InputError, match=r"^a\.csv"):
        understand(write("a.csv", "no;name", "1;Rossi;\x07"), nothing_known, encoding=encoding)
