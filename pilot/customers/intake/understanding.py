"""What the columns of a table mean and how their cells are written, found out from all values together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilot.customers.importers import Record, Row, RowError, Table
from pilot.customers.intake.fields import Content, Field, plain
from pilot.customers.intake.notation import Days, Numbers
from pilot.customers.intake.staging import TYPED, Staged, fault_of, text_of
from pilot.errors import InputError

_DISTINCT = 100_000
"""So many different ways of writing of a column are looked at to find out how it is written."""
_WORDS_SHOWN = 12
ASSUMED = " (assumed: no value in the file decides it)"
_SIGNS = {"comma": ",", "point": ".", ",": ",", ".": "."}
_ORDERS = {"day": ("dd", "mm", "yyyy"), "month": ("mm", "dd", "yyyy"), "year": ("yyyy", "mm", "dd")}
_TO_SHAPE = str.maketrans("123456789", "111111111")


@dataclass(frozen=True, slots=True)
class Overrules:
    """What a person says of a file, which then is not found out. Empty where nothing is said.

    Attributes:
        encoding: Name of the encoding, such as `cp1250`.
        delimiter: The sign between columns.
        decimal: The decimal sign: `,` or `.`, or `comma` or `point`.
        days: What stands first in a day: `day`, `month` or `year`.
        columns: Their column by our field name; an empty one leaves the field out.
        sheet: Name of the sheet of a spreadsheet.
    """

    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    days: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str = ""

    def check(self) -> None:
        """Let pass what can be followed.

        Raises:
            InputError: A sign, an encoding or an order does not exist.
        """
        if self.decimal and self.decimal not in _SIGNS:
            raise InputError(f"{self.decimal!r} is no decimal sign", remedy="It is comma or point")
        if self.days and self.days not in _ORDERS:
            raise InputError(f"{self.days!r} is no part of a day", remedy="What stands first is day, month or year")
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):
            raise InputError(
                f"there is no encoding {self.encoding!r}",
                remedy="It is utf-8, cp1250, cp1252 or iso8859-2, for instance",
            ) from None
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n' or self.delimiter.isalnum()):
            raise InputError(f"{self.delimiter!r} cannot separate columns", remedy="Give one sign, such as ;")


@dataclass(frozen=True, slots=True)
class Understanding:
    """Which column each field is in, how its cells are written, and how that is told to people.

    Attributes:
        places: The fields there are, in our order, with the number of the column of each.
        numbers: How numbers are written.
        days: How days are written.
        how: All of it for people, as it is stored with an import.
        derived: Whether an importer made the values, so that they are written plainly already.
    """

    places: tuple[tuple[Field, int], ...]
    numbers: Numbers
    days: Days
    how: dict[str, Any]
    derived: bool = False

    def reader(self, known: Field) -> tuple[Callable[[str], str | None], str]:
        """What reads a cell of this field, already stripped: plain text, or None; and the complaint if it is None."""
        if self.derived or known.content is Content.TEXT:
            return _bare, ""
        if known.content is Content.WORD:
            return _word_reader(known), ""
        if known.content is Content.NUMBER:
            return _untyped(
                self.numbers.read, Numbers(".", evident=True).read
            ), f"is not a number with a {self.numbers}"
        return _untyped(self.days.read, self.days.read), f"is not a day written {self.days}"

    def document(self) -> dict[str, Any]:
        """As plain values, to be stored."""
        return {
            "places": {known.name: index for known, index in self.places},
            "decimal": self.numbers.decimal,
            "days": [self.days.order, self.days.pattern],
            "how": self.how,
            "derived": self.derived,
        }

    @classmethod
    def restore(cls, document: dict[str, Any], fields: Sequence[Field]) -> Understanding:
        """What `document` gave."""
        places: dict[str, int] = document["places"]
        found = tuple((known, places[known.name]) for known in fields if known.name in places)
        order, pattern = document["days"]
        numbers, days = Numbers(document["decimal"], evident=True), Days(order, pattern, evident=True)
        return cls(found, numbers, days, document["how"], document["derived"])


@dataclass(frozen=True, slots=True)
class Evidence:
    """The values that tell how a table is written: ways of writing numbers, days, and the words of each field."""

    numbers: Counter[str]
    days: Counter[str]
    words: Mapping[str, Sequence[str]]


def as_made(how: dict[str, Any], header: Sequence[str], fields: Sequence[Field]) -> Understanding:
    """The understanding of rows that an importer made by our own field names."""
    found = tuple((known, header.index(known.name)) for known in fields if known.name in header)
    return Understanding(found, Numbers(".", evident=True), Days("year", "yyyy-mm-dd", evident=True), how, derived=True)


def familiar(fields: Sequence[Field], mapping: Mapping[str, str]) -> Callable[[Sequence[str]], int]:
    """How many columns of a header are known."""
    return lambda header: len(match(fields, header, mapping))


def match(fields: Sequence[Field], header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Which column each field is in. A mapped column is taken by its exact name; no column serves two fields."""
    places = {name: header.index(column) for name, column in mapping.items() if column and column in header}
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


def columns(fields: Sequence[Field], header: Sequence[str], mapping: Mapping[str, str], place: str) -> dict[str, int]:
    """Which column each field is in, where all is clear.

    Raises:
        InputError: The map does not fit, a needed column is missing, or two columns have the name of one.
    """
    check_mapping(fields, mapping)
    places = match(fields, header, mapping)
    line = f"{place}, line 1"
    found = f"Columns found: {', '.join(name or '(no name)' for name in header)}"
    for name, column in mapping.items():
        if column and name not in places:
            raise InputError(f"there is no column {column!r}, which the map gives for {name}", place=line, remedy=found)
    missing = [known for known in fields if known.needed and known.name not in places]
    if missing:
        labels = ", ".join(f"{known.label} ({known.name})" for known in missing)
        wanted = ", ".join(f'{known.name} = "…"' for known in missing)
        raise InputError(
            f"no column was found for {labels}",
            place=line,
            remedy=f"{found}. Say which is meant in a file with the line {wanted}, and give it with --map",
        )
    for name, index in places.items():
        if header.count(header[index]) > 1:
            raise InputError(
                f"two columns are called {header[index]!r}, which is read as {name}",
                place=line,
                remedy="Rename or remove one of them",
            )
    return places


def check_mapping(fields: Sequence[Field], mapping: Mapping[str, str]) -> None:
    """Let pass a column map whose fields there are.

    Raises:
        InputError: One of them is unknown.
    """
    names = [known.name for known in fields]
    for name in mapping:
        if name not in names:
            raise InputError(
                f"the column map names an unknown field {name!r}", remedy=f"The fields are {', '.join(names)}"
            )


def understand(
    table: Table, fields: Sequence[Field], places: Mapping[str, int], evidence: Evidence, overrules: Overrules
) -> Understanding:
    """How the columns of a table are written: as a person says, else as its values show.

    Numbers and days are written one way in the whole file, so all such columns decide together.
    """
    how: dict[str, Any] = {
        **table.how,
        "columns": {name: table.header[index] for name, index in places.items()},
        "not_read": [name for index, name in enumerate(table.header) if name and index not in places.values()],
    }
    found = tuple((known, places[known.name]) for known in fields if known.name in places)
    contents = {known.content for known, _ in found}
    numbers = Numbers.detect(evidence.numbers, table.likely_decimal)
    if overrules.decimal:
        numbers = Numbers(_SIGNS[overrules.decimal], evident=True)
    days = Days.detect(evidence.days)
    if overrules.days and overrules.days != days.order:
        sign = next((sign for sign in "/.-" if sign in days.pattern), "/")
        days = Days(overrules.days, sign.join(_ORDERS[overrules.days]), evident=True)
    if Content.NUMBER in contents:
        how["numbers"] = _noted(numbers, numbers.evident)
    if Content.DAY in contents:
        how["days"] = _noted(days, days.evident or bool(overrules.days))
    for known, _ in found:
        if known.content is Content.WORD:
            read = _word_reader(known)
            shown = {word: read(word) for word in evidence.words.get(known.name, ())[:_WORDS_SHOWN]}
            how.setdefault("words", {})[known.name] = shown
    return Understanding(found, numbers, days, how)


def evidence_of(staged: Staged, fields: Sequence[Field], places: Mapping[str, int]) -> Evidence:
    """The evidence of a staged table, counted by the data engine over all its rows."""
    numbers, days, words = Counter[str](), Counter[str](), dict[str, Sequence[str]]()

    def counts(known: Field, value: str) -> Iterable[tuple[str, int]]:
        column = f"c{places[known.name]}"
        rows: Iterable[tuple[str, int]] = staged.engine.execute(
            f"SELECT {value} AS value, sum(rows)::BIGINT "  # noqa: S608 - names of our own
            f"FROM (SELECT {column} AS cell, rows FROM {staged.different(column)}) WHERE cell <> '' AND NOT starts_with(cell, chr(2)) "
            f"GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT {_DISTINCT}"
        ).fetchall()
        return rows

    for known in fields:
        if known.name not in places:
            continue
        if known.content is Content.NUMBER:
            for value, count in counts(known, "translate(cell, '23456789', '11111111')"):
                numbers[_shape(value)] += count
        elif known.content is Content.DAY:
            for value, count in counts(known, "regexp_extract(cell, '^\\s*([^ T]*)', 1)"):
                days[_day_alone(value)] += count
        elif known.content is Content.WORD:
            met = {value.strip() for value, _ in counts(known, "cell")} - {""}
            words[known.name] = sorted(met)
    return Evidence(numbers, days, words)


def evidence_in(records: Iterable[Record], width: int, fields: Sequence[Field], places: Mapping[str, int]) -> Evidence:
    """The same of records that Python reads one by one."""
    numbers, days = Counter[str](), Counter[str]()
    words: dict[str, set[str]] = {
        known.name: set() for known in fields if known.content is Content.WORD and known.name in places
    }
    looked_at = [(known, places[known.name]) for known in fields if known.name in places]
    for record in records:
        if fault_of(record, width):
            continue
        for known, index in looked_at:
            text = text_of(record.cells[index]).strip()
            if not text or text.startswith(TYPED):
                continue
            if known.content is Content.NUMBER:
                numbers[_shape(text)] += 1
            elif known.content is Content.DAY:
                days[_day_alone(text)] += 1
            elif known.content is Content.WORD and len(words[known.name]) < _DISTINCT:
                words[known.name].add(text)
    return Evidence(numbers, days, {name: sorted(met) for name, met in words.items()})


def rows(table: Table, understanding: Understanding) -> Iterator[Row | RowError]:
    """The rows of a table by our field names, or what is wrong with them, one by one."""
    width = len(table.header)
    looked_at = [(known.name, index, *understanding.reader(known)) for known, index in understanding.places]
    for record in table.records():
        cells = [text_of(cell) for cell in record.cells]
        bare = [cell.removeprefix(TYPED) for cell in cells]
        if fault := fault_of(record, width):
            yield RowError(record.line, record.column, ";".join(bare)[:200], fault, bare)
        else:
            yield _row(record.line, cells, bare, looked_at, table.header)


def _row(
    line: int,
    cells: Sequence[str],
    bare: Sequence[str],
    looked_at: Sequence[tuple[str, int, Callable[[str], str | None], str]],
    header: Sequence[str],
) -> Row | RowError:
    values = {}
    for name, index, read, complaint in looked_at:
        text = cells[index].strip()
        value = read(text) if text else ""
        if value is None:
            return RowError(line, header[index], bare[index].strip(), complaint, bare)
        values[name] = value
    return Row(line, values, bare)


def _shape(text: str) -> str:
    """A number with every digit but 0 made 1: all that its way of writing depends on, so that most numbers are alike."""
    return text.strip().translate(_TO_SHAPE)


def _day_alone(text: str) -> str:
    return re.split("[ T]", text.strip(), maxsplit=1)[0]


def _noted(notation: object, evident: bool) -> str:
    return f"{notation}" if evident else f"{notation}{ASSUMED}"


def _bare(text: str) -> str:
    return text.removeprefix(TYPED)


def _untyped(read: Callable[[str], str | None], typed: Callable[[str], str | None]) -> Callable[[str], str | None]:
    return lambda text: typed(text[1:]) if text.startswith(TYPED) else read(text)


def _word_reader(known: Field) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.removeprefix(TYPED)
        return known.words.get(plain(text), text if known.otherwise is None else known.otherwise)

    return read
