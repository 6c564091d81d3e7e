"""The checks over a staged table as questions to the data engine: good rows as one relation, bad ones with reasons.

Whether a value is plain is asked of all rows; only the different values that are not plain go through Python, and
come back as a small table that is joined. What a value must be says `pilot.customers.intake.checks` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pilot.customers.importers import RowError
from pilot.customers.intake import checks
from pilot.customers.intake.checks import Check, Unfit
from pilot.customers.intake.fields import Content
from pilot.customers.intake.staging import TYPED, Staged, StagedFile, fetched, keep
from pilot.customers.intake.understanding import Understanding

_TIMED = "[^ ]{10} [0-9]{2}:[0-9]{2}(:[0-9]{2})?"
"""A day with its time: those of one day are judged once."""
_REF = {"customers": "ref"}
_EMPTY = "''"


@dataclass(slots=True)
class _Column:
    """One field in SQL: its cell, the cells that are judged, and whether there are any such."""

    check: Check
    cell: str
    key: str
    plain: str
    value: str
    judged: bool = True
    refused: bool = False

    @property
    def table(self) -> str:
        return f"judged_{self.check.name}"

    @property
    def result(self) -> str:
        """SQL for what is stored, as text."""
        if not self.judged:
            return self.value
        if not self.plain:
            return f"{self.table}.value"
        return f"CASE WHEN {self.table}.cell IS NULL THEN {self.value} ELSE {self.table}.value END"


@dataclass(slots=True)
class Sieve:
    """A staged table with every value judged.

    Attributes:
        staged: The table.
        understanding: What its columns mean.
        kind: `customers`, `orders` or `touches`.
        folder: Where answers of Python are put down on their way into the engine.
        today: What lies later has not happened yet.
    """

    staged: Staged
    understanding: Understanding
    kind: str
    folder: Path
    today: date
    _columns: dict[str, _Column] = field(init=False)
    _doubled: bool = False
    _refused: int = 0

    def __post_init__(self) -> None:
        decimal = "." if self.understanding.derived else self.understanding.numbers.decimal
        self._columns = {}
        for known, index in self.understanding.places:
            check = checks.check_of(known, *self.understanding.reader(known), decimal, self.today)
            column = _column(check, f"c{index}", decimal, self.staged.file)
            if check.name == "email":
                self._read_addresses(column)
            self._columns[known.name] = column
        self._judge()
        if self.kind in _REF:
            self._find_doubled(_REF[self.kind])

    @property
    def fields(self) -> list[str]:
        """The fields the table tells of."""
        return list(self._columns)

    def value(self, name: str) -> str:
        """SQL for what is stored of a field, as text; an empty text where the table does not tell of it."""
        return self._columns[name].result if name in self._columns else "''"

    def day(self, name: str) -> str:
        """SQL for a day as it is stored. Where days were judged, the few different ones are converted, not each row's."""
        column = self._columns[name]
        if not column.judged:
            return f"{column.value}::DATE"
        self.staged.engine.execute(f"ALTER TABLE {column.table} ADD COLUMN IF NOT EXISTS day DATE")
        self.staged.engine.execute(f"UPDATE {column.table} SET day = value::DATE WHERE reason IS NULL")  # noqa: S608
        return f"{column.table}.day"

    def good(self, select: str, *, order: str = "") -> str:
        """SQL for something of each good row, by `value` and `rowid`."""
        conditions = [self.staged.sound, *(f"{column.table}.reason IS NULL" for column in self._refusing())]
        source = self._joined(f"{select} {self.value(_REF[self.kind])}" if self._doubled else select)
        if self._doubled:
            source += f" LEFT JOIN firsts ON firsts.ref = {self.value(_REF[self.kind])} AND firsts.first < staged.rowid"
            conditions.append("firsts.ref IS NULL")
        return f"SELECT {select} FROM {source} WHERE {' AND '.join(conditions)} {order}"  # noqa: S608 - names of our own

    def count(self) -> int:
        """How many rows are good, once all others were told by `refused`."""
        return self.staged.rows - self._refused

    def refused(self) -> Iterator[RowError]:
        """The rows that are not good, in their order, each with the first thing that is wrong with it."""
        self._refused = 0
        refusing = self._refusing()
        wrong = [f"NOT ({self.staged.sound})", *(f"{column.table}.reason IS NOT NULL" for column in refusing)]
        faults = [f"{column.table}.{part}" for column in refusing for part in ("reason", "shown", "unread")]
        source, first = self._joined(self.value(_REF[self.kind]) if self._doubled else ""), "NULL, NULL"
        if self._doubled:
            source += f" LEFT JOIN firsts ON firsts.ref = {self.value(_REF[self.kind])} AND firsts.first < staged.rowid"
            wrong.append("firsts.ref IS NOT NULL")
            first = "firsts.line, firsts.ref"
        if len(wrong) == 1 and not self.staged.file.own:
            return
        line = self.staged.line
        sql = (
            f"SELECT {', '.join((line, first, *faults, self.staged.original()))} FROM {source} "  # noqa: S608
            f"WHERE {' OR '.join(wrong)} ORDER BY staged.rowid"
        )
        for row in fetched(self.staged.engine, sql):
            self._refused += 1
            if (error := self._error(row, refusing)) is not None:
                yield error

    def _error(self, row: Sequence[Any], refusing: Sequence[_Column]) -> RowError | None:
        """What is wrong with a row; None for one that is empty."""
        line, first, ref, *rest = row
        found, (fault, original, *cells) = rest[: 3 * len(refusing)], rest[3 * len(refusing) :]
        cells = json.loads(original) if original else [cell.removeprefix(TYPED) for cell in cells]
        if fault:
            name, value, reason = json.loads(fault)
            return RowError(line, name, value, reason, cells)
        if not "".join(cells).strip():
            return None
        faults = [
            (column, *found[3 * number : 3 * number + 3])
            for number, column in enumerate(refusing)
            if found[3 * number] is not None
        ]
        if first is not None and not (faults and (faults[0][3] or faults[0][0].check.name == "ref")):
            return RowError(
                line, self._header("ref"), ref, f"this customer number stands on line {first} already", cells
            )
        column, reason, shown, unread = min(faults, key=lambda fault: not fault[3])  # the first of a kind stays first
        if unread and not original:
            shown = cells[self._place(column.check.name)].strip()
        return RowError(line, self._header(column.check.name), shown, reason, cells)

    def _place(self, name: str) -> int:
        return next(index for known, index in self.understanding.places if known.name == name)

    def _header(self, name: str) -> str:
        found: str = self.understanding.how.get("columns", {}).get(name, name)
        return found

    def _refusing(self) -> list[_Column]:
        return [column for column in self._columns.values() if column.refused]

    def _joined(self, select: str = "") -> str:
        """The staged rows with the answers that refuse some of them, and those that are selected."""
        joins = [
            f"LEFT JOIN {column.table} ON {column.table}.cell = {column.key}"
            for column in self._columns.values()
            if column.refused or (column.judged and f"{column.table}." in select)
        ]
        return " ".join(("staged", *joins))

    def _judge(self) -> None:
        """Let Python judge the different cells of each column that are not plain."""
        plain = [column for column in self._columns.values() if column.plain]
        for source in {self._source(column) for column in plain}:
            asked = [column for column in plain if self._source(column) == source]
            odd = ", ".join(f"count(*) FILTER (NOT ({column.plain}))" for column in asked)
            counts = self.staged.engine.execute(f"SELECT {odd} FROM {source}").fetchall()[0]  # noqa: S608 - our own names
            for column, count in zip(asked, counts, strict=True):
                column.judged = count > 0
        for column in self._columns.values():
            if column.check.known.content is Content.DAY:
                self._let_times_pass(column)
            if column.judged:
                self._judge_column(column)

    def _source(self, column: _Column) -> str:
        """Where the cells of a column are looked at: text differs from row to row, all else repeats."""
        if column.check.known.content is Content.TEXT:
            return "staged"
        return self.staged.different(f"c{self._place(column.check.name)}")

    def _read_addresses(self, column: _Column) -> None:
        """Where no address has a capital letter, none need be looked for in every question."""
        cell, (mailboxes, domains) = column.cell, checks.odd_address_patterns()
        column.plain += f" AND NOT regexp_matches({cell}, '{domains}')"
        sql = f"SELECT count(*) FROM staged WHERE {cell} <> lower({cell})"  # noqa: S608 - names of our own
        if self.staged.engine.execute(sql).fetchall()[0][0]:
            column.plain += f" AND NOT (regexp_matches({cell}, '{mailboxes}') AND {cell} <> lower({cell}))"
            lowered = f"concat(split_part({cell}, '@', 1), '@', lower(split_part({cell}, '@', 2)))"
            column.value = f"CASE WHEN {cell} = lower({cell}) THEN {cell} ELSE {lowered} END"
        column.plain = f"({cell} = '' OR {column.plain})"

    def _let_times_pass(self, column: _Column) -> None:
        """Where days carry a time of day, those of one day are judged once."""
        sql = f"SELECT max(strlen({column.cell})) FROM {self._source(column)}"  # noqa: S608 - names of our own
        if (self.staged.engine.execute(sql).fetchall()[0][0] or 0) > len("2026-03-31"):
            timed = f"regexp_full_match({column.cell}, '{_TIMED}')"
            column.key = f"CASE WHEN {timed} THEN left({column.cell}, 10) ELSE {column.cell} END"

    def _judge_column(self, column: _Column) -> None:
        source = self._source(column)
        where = [self.staged.sound] if source == "staged" else []
        where += [f"NOT ({column.plain})" if column.plain else "true"]
        cells = fetched(
            self.staged.engine,
            f"SELECT DISTINCT {column.key} FROM {source} WHERE {' AND '.join(where)}",  # noqa: S608 - names of our own
        )

        as_it_stands = True

        def answers() -> Iterator[tuple[str, str, str, str, str]]:
            nonlocal as_it_stands
            for (cell,) in cells:
                try:
                    value = column.check.judge(cell)
                    as_it_stands = as_it_stands and value == cell
                    yield cell, value, "", "", ""
                except Unfit as unfit:
                    column.refused = True
                    yield cell, "", unfit.reason, unfit.value, "1" if unfit.unread else ""

        names = ("cell", "value", "reason", "shown", "unread")
        keep(self.staged.engine, column.table, names, answers(), self.folder, nullable=("reason",))
        spared = as_it_stands and column.key == column.cell == column.value
        column.judged = column.refused or not spared

    def _find_doubled(self, name: str) -> None:
        """Of rows with the same customer number the first good one counts."""
        column = self._columns[name]
        told = f"{column.table}.reason IS NULL" if column.refused else "true"
        rows, different = self.staged.engine.execute(
            f"SELECT count(*), count(DISTINCT {column.result}) FROM {self._joined(column.result)} "  # noqa: S608 - names of our own
            f"WHERE {self.staged.sound} AND {told}"
        ).fetchall()[0]
        if rows == different:
            return
        line = self.staged.line
        several = (
            f"SELECT {column.result} FROM {self._joined(column.result)} WHERE {self.staged.sound} AND {told} "  # noqa: S608
            "GROUP BY ALL HAVING count(*) > 1"
        )
        good = self.good(f"{column.result} AS ref, staged.rowid AS row, {line} AS line")
        self.staged.engine.execute(
            "CREATE OR REPLACE TEMP TABLE firsts AS "  # noqa: S608 - names of our own
            f"SELECT ref, min(row) AS first, arg_min(line, row) AS line FROM ({good}) WHERE ref IN ({several}) GROUP BY ref"
        )
        self._doubled = True


def _column(check: Check, column: str, decimal: str, file: StagedFile) -> _Column:
    """A field in SQL. Typed text needs no mark; a typed number is written plainly and may pass as well."""
    content = check.known.content
    cell = f"ltrim({column}, chr(2))" if file.typed and content in (Content.TEXT, Content.WORD) else column
    if not check.plain:
        return _Column(check, cell, cell, "", cell)
    plain = f"strlen({cell}) <= {check.longest} AND regexp_full_match({cell}, '{check.plain}')"
    if content is Content.NUMBER:
        if file.typed:
            marked = check.plain.replace(f"\\{decimal}", "\\.")
            plain = f"({plain} OR starts_with({cell}, chr(2)) AND regexp_full_match(substr({cell}, 2), '{marked}'))"
        value = f"replace(ltrim({cell}, chr(2)), ',', '.')" if file.typed else f"replace({cell}, ',', '.')"
        return _Column(check, cell, cell, plain, value)
    if file.tidy and check.name != "email":
        plain = f"strlen({cell}) <= {check.longest}{f' AND {cell} <> {_EMPTY}' if check.needed else ''}"
    return _Column(check, cell, cell, plain, cell)
