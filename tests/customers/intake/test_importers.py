from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.importers import Reading, Row, RowError
from pilot.customers.intake.evidence import evidence_in
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.service import import_file
from pilot.customers.intake.understanding import ODD_LETTERS, Overrules, columns, rows, understand
from pilot.errors import InputError
from pilot.plugins.builtin.importers import CsvFile, OnlineRetail
from tests.customers.conftest import Write


def read(path: Path, kind: str, mapping: dict[str, str] | None = None) -> Reading:
    """A file as it is understood, row by row."""
    table = CsvFile(mapping or {}).read(path, kind)
    fields = FIELDS[kind]
    places = columns(fields, table.header, mapping or {}, path.name)
    evidence = evidence_in(table.records(), len(table.header), fields, places)
    understanding = understand(table, fields, places, evidence, Overrules())
    return Reading(understanding.how, rows(table, understanding), table.header)


def good(reading: Reading) -> list[dict[str, str]]:
    rows = list(reading.rows)
    assert not [row for row in rows if isinstance(row, RowError)]
    return [dict(row.values) for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize(
    "header",
    [
        "Customer no;Order no;Date;Amount;Status",
        "CODICE CLIENTE;Numero ordine;Data ordine;Importo netto;Stato",
        "Nr klienta;Numer zamówienia;Data zamówienia;Wartość netto;Status zamówienia",
        "customer_ref;order_ref;ordered_on;amount;cancelled",
    ],
)
def test_columns_are_found_by_their_usual_names(write: Write, header: str) -> None:
    path = write("orders.csv", header, "7;A1;31/12/2025;1.234,50;annullato", "7;A2;01/02/2026;3,00;spedito")
    reading = read(path, "orders")
    assert good(reading) == [
        {"customer_ref": "7", "order_ref": "A1", "ordered_on": "2025-12-31", "amount": "1234.50", "cancelled": "true"},
        {"customer_ref": "7", "order_ref": "A2", "ordered_on": "2026-02-01", "amount": "3.00", "cancelled": ""},
    ]


def test_how_the_file_was_read_is_said(write: Write) -> None:
    path = write("orders.csv", "Klient;Faktura;Data;Kwota;Uwagi", "7;A1;31.12.2025;4,50;Łódź", encoding="cp1250")
    assert read(path, "orders").how == {
        "encoding": "cp1250",
        "delimiter": "semicolon",
        "columns": {"customer_ref": "Klient", "order_ref": "Faktura", "ordered_on": "Data", "amount": "Kwota"},
        "not_read": ["Uwagi"],
        "numbers": "decimal comma",
        "days": "dd.mm.yyyy",
    }


def test_what_no_value_decides_is_marked_as_assumed(write: Write) -> None:
    path = write("orders.csv", "Customer no;Order no;Date;Amount", "7;A1;03/04/2026;1.234")
    how = read(path, "orders").how
    assert how["numbers"] == "decimal comma (assumed: no value in the file decides it)"
    assert how["days"] == "dd/mm/yyyy (assumed: no value in the file decides it)"


def test_the_whole_file_decides_not_its_beginning(write: Write) -> None:
    lines = [
        "Customer no,Order no,Date,Amount",
        *(f"7,A{n},03/04/2026,5" for n in range(5000)),
        *(f"7,Z{n},04/13/2026,1" for n in range(300)),
    ]
    reading = read(write("orders.csv", *lines), "orders")
    assert {row["ordered_on"] for row in good(reading)} == {"2026-03-04", "2026-04-13"}


def test_one_odd_cell_does_not_turn_the_reading_of_a_whole_file(write: Write) -> None:
    rows_ = [f"7;A{n};0{n % 9 + 1}/03/2026;{n % 9 + 1}.{n:03}" for n in range(100)]
    rows_ += ["7;B;01/03/2026;12.5", "7;C;03/13/2026;1.100"]
    reading = read(write("orders.csv", "Customer no;Order no;Date;Amount", *rows_), "orders")
    told = "usual for such a file; 1 value told otherwise and cannot be read so"
    assert reading.how["numbers"] == f"decimal comma (assumed: {told}, line 102: 12.5)"
    assert reading.how["days"] == f"dd/mm/yyyy (assumed: {told}, line 103: 03/13/2026)"
    taken = list(reading.rows)
    assert [(row.line, row.value) for row in taken if isinstance(row, RowError)] == [(102, "12.5"), (103, "03/13/2026")]
    assert [dict(row.values)["amount"] for row in taken[:2] if isinstance(row, Row)] == ["1000", "2001"]
    assert [dict(row.values)["ordered_on"] for row in taken[:2] if isinstance(row, Row)] == ["2026-03-01", "2026-03-02"]


def test_a_single_value_that_decides_is_shown(write: Write) -> None:
    path = write("orders.csv", "Customer no;Order no;Date;Amount", "7;A1;03/04/2026;1.234", "7;A2;05/04/2026;12.5")
    assert read(path, "orders").how["numbers"] == "decimal point (assumed: decided by 1 value, line 3: 12.5)"


def _cancelled(write: Write, column: str, *words: str) -> tuple[list[str], dict[str, object]]:
    lines = [f"7;A{n};31/12/2025;4,50;{word}" for n, word in enumerate(words)]
    reading = read(write("orders.csv", f"Customer no;Order no;Date;Amount;{column}", *lines), "orders")
    return [row["cancelled"] for row in good(reading)], reading.how


def test_words_for_cancelled_are_known_in_three_languages_and_all_others_are_said(write: Write) -> None:
    words = ("Annullato dal cliente", "STORNO", "anulowane", "reso", "zwrot", "nota di credito", "spedito", "wysłane")
    read_as, how = _cancelled(write, "Stato", *words, "", "sospeso", "boh")
    assert read_as == [*["true"] * 3, *["returned"] * 3, *[""] * 5]
    assert how["unknown_words"] == {"cancelled": {"words": ["boh", "sospeso"], "more": 0}}
    many = [f"w{n}" for n in range(60)]
    assert _cancelled(write, "Stato", *many)[1]["unknown_words"]["cancelled"]["more"] == 10  # type: ignore[index]


def test_a_code_is_no_answer_unless_the_column_asks(write: Write) -> None:
    for column in ("Status", "Stato ordine", "stan"):
        read_as, how = _cancelled(write, column, "1", "2", "x")
        assert read_as == ["", "", ""]
        assert how["unknown_words"] == {"cancelled": {"words": ["1", "2", "x"], "more": 0}}
    for column in ("Annullato", "cancelled", "Anulowane"):
        read_as, how = _cancelled(write, column, "1", "0", "x", "nie")
        assert read_as == ["true", "", "true", ""]
        assert "unknown_words" not in how


@pytest.mark.parametrize(
    ("encoding", "city", "doubtful"),
    [
        ("cp850", "Cantù però", True),
        ("cp850", "cittàdina", True),
        ("mac-roman", "Città alta", True),
        ("cp1252", "L’Aquila… “Città” perché • Nicolò", False),
        ("cp1250", "Łódź… „Żółw” • Kraków", False),
        ("utf-8", "Città•x", False),
    ],
)
def test_letters_that_look_like_signs_are_assumed(write: Write, encoding: str, city: str, doubtful: bool) -> None:
    path = write("c.csv", "ref;name;city", f"1;Rossi;{city}", encoding=encoding)
    assert str(read(path, "customers").how["encoding"]).endswith(ODD_LETTERS) == doubtful
    told = CsvFile(encoding=encoding).read(path, "customers")
    assert told.how["encoding"] == encoding


def test_a_map_names_columns_nobody_could_guess(write: Write) -> None:
    path = write("c.csv", "X1;X2;Name", "7;Rossi;ignored")
    reading = read(path, "customers", {"ref": "X1", "name": "X2"})
    assert good(reading) == [{"ref": "7", "name": "Rossi"}]


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({"ref": "X9"}, r"line 1: there is no column 'X9', which the map gives for ref.*Columns found: X1, Name"),
        ({"rf": "X1"}, r"unknown field 'rf'.*The fields are ref, name, email"),
    ],
)
def test_a_wrong_map_is_refused(write: Write, mapping: dict[str, str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read(write("c.csv", "X1;Name", "7;Rossi"), "customers", mapping)


def test_a_missing_needed_column_names_those_found_and_the_one_wanted(write: Write) -> None:
    path = write("orders.csv", "Customer no;Order no;Date", "7;A1;31/12/2025")
    complaint = (
        r"orders\.csv, line 1: no column was found for amount \(amount\)\. Columns found: Customer no, Order no, "
    )
    with pytest.raises(InputError, match=complaint):
        read(path, "orders")


def test_two_columns_of_one_name_are_refused(write: Write) -> None:
    path = write("orders.csv", "Customer no;Order no;Date;Amount;Amount", "7;A1;31/12/2025;1;2")
    with pytest.raises(InputError, match="two columns are called 'Amount', which is read as amount"):
        read(path, "orders")


def test_a_header_without_rows_is_refused(sqlite_app: Flask, operator: Actor, write: Write) -> None:
    for number, lines in enumerate((["Customer no;Name"], ["Customer no;Name", ";", " ; "])):
        with pytest.raises(InputError, match="the file has a header but no rows"):
            import_file(operator, "customers", write(f"{number}.csv", *lines))


@pytest.mark.parametrize(
    ("line", "column", "value", "reason"),
    [
        ("7;A2;31/12/2025", "", "7;A2;31/12/2025", "the row has 3 columns, the header has 4"),
        ("7;A2;31/12/2025;1;2", "", "7;A2;31/12/2025;1;2", "the row has 5 columns, the header has 4"),
        ("7;A2;32/12/2025;1,00", "Date", "32/12/2025", "is not a day written dd/mm/yyyy"),
        ("7;A2;31/12/2025;12.50", "Amount", "12.50", "is not a number with a decimal comma"),
    ],
)
def test_a_bad_row_is_named_with_line_and_column(write: Write, line: str, column: str, value: str, reason: str) -> None:
    header = "Customer no;Order no;Date;Amount"
    path = write("orders.csv", header, "7;A1;31/12/2025;1,50", line, "7;A3;31/12/2025;2,50;")
    before, error, after = read(path, "orders").rows
    assert error == RowError(3, column, value, reason)
    assert (before.line, after.line) == (2, 4)


def test_a_quotation_mark_left_open_is_named_with_the_lines_it_costs(write: Write) -> None:
    path = write("c.csv", "Customer no;Name", '7;"Rossi', "8;Bianchi")
    assert list(read(path, "customers").rows) == [
        RowError(2, "", "", "a quotation mark was opened and not closed; lines 2 to 3 were read as one row")
    ]


def test_an_italian_order_export_adds_up(shared_data: Path) -> None:
    # reference_facts.json, derived_it_ordini
    path = shared_data / "messy_csv" / "derived_it_ordini_cp1252.csv"
    reading = read(path, "orders")
    rows = good(reading)
    assert (reading.how["encoding"], reading.how["numbers"], reading.how["days"]) == (
        "cp1252",
        "decimal comma",
        "dd/mm/yyyy",
    )
    assert (len(rows), len({row["order_ref"] for row in rows})) == (2600, 177)
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("82370.04")


def test_online_retail_amounts_are_exact(shared_data: Path) -> None:
    # reference_facts.json, online_retail_first_half
    (path,) = (shared_data / "online_retail").glob("*.csv.gz")
    assert OnlineRetail().recognises(path)
    rows = good(OnlineRetail().read(path, "orders"))
    assert len(rows) == 209_029
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("3706827.641")
    assert sum(not row["customer_ref"] for row in rows) == 59_976
    assert len({row["order_ref"] for row in rows if row["cancelled"]}) == 1677


def test_online_retail_makes_up_what_it_does_not_tell_of_a_customer(shared_data: Path) -> None:
    (path,) = (shared_data / "online_retail").glob("*.csv.gz")
    row = next(OnlineRetail().read(path, "customers").rows)
    assert isinstance(row, Row)
    assert row.values == {
        "ref": "17850",
        "region": "United Kingdom",
        "name": "Customer 17850",
        "email": "customer.17850@example.com",
    }


def test_online_retail_is_not_mistaken_for_other_files(write: Write) -> None:
    assert not OnlineRetail().recognises(write("c.csv", "Customer no;Name", "7;Rossi"))
    assert CsvFile().recognises(write("c.csv", "Customer no;Name", "7;Rossi"))
    assert not CsvFile().recognises(write("c.csv", "just a line"))
