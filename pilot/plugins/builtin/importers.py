"""Built-in importers: delimited files as companies export them, and the layout of UCI's Online Retail data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from pilot.api import Importer, InputError, Reading, Row, RowError, Table, hookimpl
from pilot.customers.intake.delimited import DELIMITERS, head, understand
from pilot.customers.intake.evidence import evidence_in
from pilot.customers.intake.fields import FIELDS, Content, Field, plain
from pilot.customers.intake.rejects import as_it_was
from pilot.customers.intake.understanding import (
    ODD_LETTERS,
    Overrules,
    check_mapping,
    columns,
    familiar,
    rows,
)
from pilot.customers.intake.understanding import understand as understand_table
from pilot.plugins.builtin.tables import ParquetFile, Workbook

_DELIMITER_NAMES = {";": "semicolon", ",": "comma", "\t": "tab", "|": "vertical bar"}


@hookimpl
def register_importers() -> list[type[Importer]]:
    """The file importers. Of those that recognise a file the last registered reads it: the general one is first."""
    return [CsvFile, OnlineRetail, Workbook, ParquetFile]


@dataclass(frozen=True)
class CsvFile(Importer):
    """Any delimited text file with a header.

    Attributes:
        columns: Their column by our field name, where the names are not known well enough to be found.
        encoding: Name of the encoding; found out where it is empty.
        delimiter: What separates the columns; found out where it is empty.
    """

    key: ClassVar[str] = "csv"
    label: ClassVar[str] = "CSV file"
    kinds: ClassVar[frozenset[str]] = frozenset(FIELDS)
    line_by_line: ClassVar[bool] = True

    columns: dict[str, str] = field(default_factory=dict)
    encoding: str = ""
    delimiter: str = ""

    def recognises(self, path: Path) -> bool:
        """Whether it begins like text of several columns."""
        return any(delimiter in head(path) for delimiter in (*DELIMITERS, *self.delimiter))

    def read(self, path: Path, kind: str) -> Table:
        """Open the file; encoding and delimiter are found from the whole of it, unless they are told."""
        return _table(path, FIELDS[kind], self.columns, self.encoding, self.delimiter)


def _table(
    path: Path, fields: Sequence[Field], mapping: Mapping[str, str], encoding: str = "", delimiter: str = ""
) -> Table:
    check_mapping(fields, mapping)
    found = understand(path, familiar(fields, mapping), encoding=encoding, delimiter=delimiter)
    how = {
        "encoding": f"{found.encoding}{ODD_LETTERS if found.doubtful else ''}",
        "delimiter": _DELIMITER_NAMES.get(found.delimiter, found.delimiter),
    }
    likely = "," if found.delimiter == ";" else "."
    return as_it_was(Table(found.header, how, found.records, text=found.simple, likely_decimal=likely))


_CUSTOMER = Field("customer_ref", "customer", needed=True, columns=("customerid",))
_COUNTRY = Field("region", "country", needed=True, columns=("country",))
_INVOICE_LINE = (
    Field("order_ref", "invoice", needed=True, columns=("invoiceno", "invoice")),
    Field("quantity", "quantity", needed=True, content=Content.NUMBER, columns=("quantity",)),
    Field("ordered_on", "invoice date", needed=True, content=Content.DAY, columns=("invoicedate",)),
    Field("unit_price", "unit price", needed=True, content=Content.NUMBER, columns=("unitprice", "price")),
    _CUSTOMER,
)


@dataclass(frozen=True)
class OnlineRetail(Importer):
    """Invoice lines in the layout of UCI's Online Retail data.

    The amount of a line is quantity times unit price; an invoice whose number begins with C is a cancellation.
    Customers are derived, one for each id, with a made-up name and an address below example.com.
    """

    key: ClassVar[str] = "online-retail"
    label: ClassVar[str] = "Online Retail layout"
    kinds: ClassVar[frozenset[str]] = frozenset({"customers", "orders"})
    line_by_line: ClassVar[bool] = True

    def recognises(self, path: Path) -> bool:
        """Whether the header holds the layout's column names."""
        header = plain(head(path))
        return all(name in header for name in ("invoice", "quantity", "invoicedate", "price", "customerid"))

    def read(self, path: Path, kind: str) -> Reading:
        """Open the file for its invoice lines, or for the customers they tell of."""
        if kind == "customers":
            reading = _read(path, (_CUSTOMER, _COUNTRY))
            how = {**reading.how, "derived": "one customer per id; name and e-mail address are made up"}
            rows = _derived_customers(reading.rows)
            return Reading({**how, "columns": _renamed(how["columns"])}, rows, reading.header)
        reading = _read(path, _INVOICE_LINE)
        columns = {**reading.how["columns"], "amount": "Quantity x UnitPrice"}
        return Reading({**reading.how, "columns": columns}, map(_order_line, reading.rows), reading.header)


def _renamed(columns: Mapping[str, str]) -> dict[str, str]:
    return {"ref": columns["customer_ref"], "region": columns["region"]}


def _derived_customers(rows: Iterator[Row | RowError]) -> Iterator[Row | RowError]:
    """Each customer at the first line that names it; lines without a customer tell of none."""
    met: set[str] = set()
    for row in rows:
        if isinstance(row, RowError):
            yield row
            continue
        ref = _whole(row.values["customer_ref"])
        if ref and ref not in met:
            met.add(ref)
            made_up = {"name": f"Customer {ref}", "email": f"customer.{ref}@example.com"}
            yield Row(row.line, {"ref": ref, "region": row.values["region"], **made_up}, row.cells)


def _order_line(row: Row | RowError) -> Row | RowError:
    if isinstance(row, RowError):
        return row
    values = row.values
    order_ref = _whole(values["order_ref"])
    amount = ""
    if values["quantity"] and values["unit_price"]:
        amount = f"{Decimal(values['quantity']) * Decimal(values['unit_price']):f}"
    return Row(
        row.line,
        {
            "customer_ref": _whole(values["customer_ref"]),
            "order_ref": order_ref,
            "ordered_on": values["ordered_on"],
            "amount": amount,
            "cancelled": "true" if order_ref.upper().startswith("C") else "",
        },
        row.cells,
    )


def _whole(number: str) -> str:
    """An id without the `.0` that a spreadsheet or data frame hung on it."""
    return number.removesuffix(".0")


def _read(path: Path, fields: Sequence[Field]) -> Reading:
    """Open a delimited file for these fields, its rows read one by one.

    Raises:
        InputError: The file cannot be read, or a needed column is missing.
    """
    table = _table(path, fields, {})
    places = columns(fields, table.header, {}, path.name)
    if next(table.records(), None) is None:
        raise InputError("the file has a header but no rows", place=path.name, remedy="Export it again")
    evidence = evidence_in(table.records(), len(table.header), fields, places)
    understanding = understand_table(table, fields, places, evidence, Overrules())
    return Reading(understanding.how, rows(table, understanding), table.header)
