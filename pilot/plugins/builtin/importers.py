"""Built-in importers: delimited files as companies export them, and the layout of UCI's Online Retail data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from pilot.api import Importer, InputError, Reading, Row, RowError, hookimpl
from pilot.customers.intake.delimited import Delimited, Record, head, understand
from pilot.customers.intake.fields import FIELDS, Content, Field, plain
from pilot.customers.intake.notation import Days, Numbers

_DISTINCT = 100_000
"""So many different values of a column are looked at to find out how it is written."""
_WORDS_SHOWN = 12
ASSUMED = " (assumed: no value in the file decides it)"
_DELIMITER_NAMES = {";": "semicolon", ",": "comma", "\t": "tab", "|": "vertical bar"}


@hookimpl
def register_importers() -> list[type[Importer]]:
    """The file importers. Of those that recognise a file the last registered reads it: the general one is first."""
    return [CsvFile, OnlineRetail]


@dataclass(frozen=True)
class CsvFile(Importer):
    """Any delimited text file with a header.

    Attributes:
        columns: Their column by our field name, where the names are not known well enough to be found.
    """

    key: ClassVar[str] = "csv"
    label: ClassVar[str] = "CSV file"
    kinds: ClassVar[frozenset[str]] = frozenset(FIELDS)

    columns: dict[str, str] = field(default_factory=dict)

    def recognises(self, path: Path) -> bool:
        """Whether it begins like text of several columns."""
        return any(delimiter in head(path) for delimiter in _DELIMITER_NAMES)

    def read(self, path: Path, kind: str) -> Reading:
        """Open the file; encoding, delimiter, decimal sign and date order are found from the whole of it."""
        return _read(path, FIELDS[kind], self.columns)


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

    def recognises(self, path: Path) -> bool:
        """Whether the header holds the layout's column names."""
        header = plain(head(path))
        return all(name in header for name in ("invoice", "quantity", "invoicedate", "price", "customerid"))

    def read(self, path: Path, kind: str) -> Reading:
        """Open the file for its invoice lines, or for the customers they tell of."""
        if kind == "customers":
            reading = _read(path, (_CUSTOMER, _COUNTRY), {})
            how = {**reading.how, "derived": "one customer per id; name and e-mail address are made up"}
            rows = _derived_customers(reading.rows)
            return Reading({**how, "columns": _renamed(how["columns"])}, rows, reading.header)
        reading = _read(path, _INVOICE_LINE, {})
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


@dataclass(frozen=True, slots=True)
class _Column:
    """One column to be read: whose field it is, where it stands, how its cells are read, and what else is wrong."""

    field: str
    index: int
    read: Callable[[str], str | None] | None
    complaint: str


_Readers = dict[str, tuple[Callable[[str], str | None], str]]


def _read(path: Path, fields: Sequence[Field], mapping: Mapping[str, str]) -> Reading:
    """Open a delimited file for these fields.

    Raises:
        InputError: The file cannot be read, or a needed column is missing.
    """
    _check_mapping(fields, mapping)
    table = understand(path, lambda header: len(_match(fields, header, mapping)))
    places = _match(fields, table.header, mapping)
    _check_columns(table, fields, places, mapping)
    distinct = _survey(table, fields, places)
    likely = "," if table.delimiter == ";" else "."
    how: dict[str, Any] = {
        "encoding": table.encoding,
        "delimiter": _DELIMITER_NAMES[table.delimiter],
        "columns": {name: table.header[index] for name, index in places.items()},
        "not_read": [name for index, name in enumerate(table.header) if name and index not in places.values()],
    }
    readers = _readers(fields, distinct, likely, how)
    columns = [_Column(name, index, *readers.get(name, (None, ""))) for name, index in places.items()]
    return Reading(how, _rows(table, columns), table.header)


def _check_mapping(fields: Sequence[Field], mapping: Mapping[str, str]) -> None:
    names = [known.name for known in fields]
    for name in mapping:
        if name not in names:
            raise InputError(
                f"the column map names an unknown field {name!r}", remedy=f"The fields are {', '.join(names)}"
            )


def _match(fields: Sequence[Field], header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Which column each field is in. A mapped column is taken by its exact name; no column serves two fields."""
    places = {name: header.index(column) for name, column in mapping.items() if column in header}
    plainly = [plain(column) for column in header]
    for wanted in fields:
        if wanted.name in mapping:
            continue
        free = (
            plainly.index(column)
            for column in wanted.columns
            if column in plainly and plainly.index(column) not in places.values()
        )
        if (index := next(free, None)) is not None:
            places[wanted.name] = index
    return {known.name: places[known.name] for known in fields if known.name in places}


def _check_columns(
    table: Delimited, fields: Sequence[Field], places: Mapping[str, int], mapping: Mapping[str, str]
) -> None:
    place = f"{table.path.name}, line 1"
    found = f"Columns found: {', '.join(name or '(no name)' for name in table.header)}"
    for name, column in mapping.items():
        if name not in places:
            raise InputError(
                f"there is no column {column!r}, which the map gives for {name}", place=place, remedy=found
            )
    missing = [known for known in fields if known.needed and known.name not in places]
    if missing:
        labels = ", ".join(f"{known.label} ({known.name})" for known in missing)
        wanted = ", ".join(f'{known.name} = "…"' for known in missing)
        raise InputError(
            f"no column was found for {labels}",
            place=place,
            remedy=f"{found}. Say which is meant in a file with the line {wanted}, and give it with --map",
        )
    for name, index in places.items():
        if table.header.count(table.header[index]) > 1:
            raise InputError(
                f"two columns are called {table.header[index]!r}, which is read as {name}",
                place=place,
                remedy="Rename or remove one of them",
            )


def _survey(table: Delimited, fields: Sequence[Field], places: Mapping[str, int]) -> dict[str, set[str]]:
    """The different values of each column whose way of writing must be found out; of days without the time.

    Raises:
        InputError: There is no row below the header.
    """
    distinct = {
        known.name: set[str]() for known in fields if known.content is not Content.TEXT and known.name in places
    }
    days = {known.name for known in fields if known.content is Content.DAY}
    looked_at = [(places[name], values, name in days) for name, values in distinct.items()]
    width, rows = len(table.header), 0
    for _, _, cells, _ in table.records():
        rows += 1
        if len(cells) < width:
            continue
        for index, values, is_day in looked_at:
            if len(values) < _DISTINCT:
                text = cells[index].strip()
                values.add(text.partition(" ")[0].partition("T")[0] if is_day else text)
    if not rows:
        raise InputError("the file has a header but no rows", place=table.path.name, remedy="Export it again")
    return {name: values - {""} for name, values in distinct.items()}


def _readers(fields: Sequence[Field], distinct: Mapping[str, set[str]], likely: str, how: dict[str, Any]) -> _Readers:
    """How the cells of each column are read, with the complaint about one that cannot be; all noted in `how`.

    Numbers and days are written one way in the whole file, so all such columns decide together.
    """
    readers: _Readers = {}
    by_content = {
        content: [known.name for known in fields if known.content is content and known.name in distinct]
        for content in Content
    }
    if names := by_content[Content.NUMBER]:
        numbers = Numbers.detect(set().union(*(distinct[name] for name in names)), likely)
        how["numbers"] = _noted(numbers, numbers.evident)
        readers |= dict.fromkeys(names, (numbers.read, f"is not a number with a {numbers}"))
    if names := by_content[Content.DAY]:
        days = Days.detect(set().union(*(distinct[name] for name in names)))
        how["days"] = _noted(days, days.evident)
        readers |= dict.fromkeys(names, (days.read, f"is not a day written {days}"))
    for known in fields:
        if known.content is Content.WORD and known.name in distinct:
            read = _word_reader(known)
            readers[known.name] = (read, "")
            shown = sorted(distinct[known.name])[:_WORDS_SHOWN]
            how.setdefault("words", {})[known.name] = {word: read(word) for word in shown}
    return readers


def _noted(notation: object, evident: bool) -> str:
    return f"{notation}" if evident else f"{notation}{ASSUMED}"


def _word_reader(known: Field) -> Callable[[str], str]:
    met: dict[str, str] = {}

    def read(text: str) -> str:
        if text not in met:
            if len(met) > _DISTINCT:
                met.clear()
            met[text] = known.words.get(plain(text), text if known.otherwise is None else known.otherwise)
        return met[text]

    return read


def _rows(table: Delimited, columns: Sequence[_Column]) -> Iterator[Row | RowError]:
    width = len(table.header)
    for record in table.records():
        found = len(record.cells)
        if record.fault:
            yield _unusable(record, record.fault)
        elif found != width and (found < width or any(record.cells[width:])):
            yield _unusable(record, f"the row has {found} columns, the header has {width}")
        else:
            yield _row(record.line, record.cells, columns, table.header)


def _row(line: int, cells: Sequence[str], columns: Sequence[_Column], header: Sequence[str]) -> Row | RowError:
    values = {}
    for column in columns:
        text = cells[column.index].strip()
        if text and column.read is not None:
            read = column.read(text)
            if read is None:
                return RowError(line, header[column.index], text, column.complaint, cells)
            text = read
        values[column.field] = text
    return Row(line, values, cells)


def _unusable(record: Record, reason: str) -> RowError:
    if record.last_line > record.line:
        reason += f"; lines {record.line} to {record.last_line} were read as one row"
    return RowError(record.line, "", ";".join(record.cells)[:200], reason, record.cells)
