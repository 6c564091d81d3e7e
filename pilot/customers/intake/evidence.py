"""The values of a table that tell how it is written, counted over all its rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pilot.customers.importers import Record
from pilot.customers.intake.fields import Content, Field
from pilot.customers.intake.staging import TYPED, Staged, fault_of, text_of

_DISTINCT = 100_000
"""So many different ways of writing of a column are looked at to find out how it is written."""
_TO_SHAPE = str.maketrans("123456789", "111111111")
_COUNTED = {
    Content.NUMBER: "translate(cell, '23456789', '11111111')",
    Content.DAY: r"regexp_extract(cell, '^\s*([^ T]*)', 1)",
    Content.WORD: "cell",
}
"""SQL for what of a cell is counted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What tells how a table is written.

    Attributes:
        numbers: How often each way of writing a number stands in it, all digits but 0 made 1.
        days: How often each day.
        words: The different words of each field that has words.
        find: Line and text of the first value that was counted so.
    """

    numbers: Counter[str]
    days: Counter[str]
    words: Mapping[str, Sequence[str]]
    find: Callable[[Content, str], tuple[int, str]] = field(compare=False)


def evidence_of(staged: Staged, fields: Sequence[Field], places: Mapping[str, int]) -> Evidence:
    """The evidence of a staged table, counted by the data engine."""
    numbers, days, words = Counter[str](), Counter[str](), dict[str, Sequence[str]]()
    counted: dict[tuple[Content, str], list[tuple[str, str]]] = {}
    for known in fields:
        if known.name not in places or known.content not in _COUNTED:
            continue
        column = f"c{places[known.name]}"
        told = _counts(staged, column, _COUNTED[known.content])
        if known.content is Content.WORD:
            words[known.name] = sorted({value.strip() for value, _ in told} - {""})
            continue
        into, key_of = (numbers, _shape) if known.content is Content.NUMBER else (days, _day_alone)
        for value, count in told:
            into[key_of(value)] += count
            counted.setdefault((known.content, key_of(value)), []).append((column, value))
    return Evidence(
        numbers, days, words, lambda content, text: _first(staged, _COUNTED[content], counted[content, text])
    )


def _counts(staged: Staged, column: str, value: str) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = staged.engine.execute(
        f"SELECT {value} AS value, sum(rows)::BIGINT "  # noqa: S608 - names of our own
        f"FROM (SELECT {column} AS cell, rows FROM {staged.different(column)}) "
        f"WHERE cell <> '' AND NOT starts_with(cell, chr(2)) GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT {_DISTINCT}"
    ).fetchall()
    return rows


def _first(staged: Staged, value: str, counted: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Line and text of the first cell that was counted as one of these values of a column."""
    found = []
    for column, text in counted:
        found += staged.engine.execute(
            f"SELECT {staged.line} AS line, {column} FROM staged WHERE {staged.sound} "  # noqa: S608 - names of our own
            f"AND {value.replace('cell', column)} = $text AND {column} <> '' AND NOT starts_with({column}, chr(2)) "
            "ORDER BY staged.rowid LIMIT 1",
            {"text": text},
        ).fetchall()
    line, cell = min(found)
    return int(line), str(cell).strip()


def evidence_in(records: Iterable[Record], width: int, fields: Sequence[Field], places: Mapping[str, int]) -> Evidence:
    """The same of records that Python reads one by one."""
    counters = {Content.NUMBER: Counter[str](), Content.DAY: Counter[str]()}
    first: dict[tuple[Content, str], tuple[int, str]] = {}
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
            if known.content in counters:
                key = _shape(text) if known.content is Content.NUMBER else _day_alone(text)
                counters[known.content][key] += 1
                first.setdefault((known.content, key), (record.line, text))
            elif known.content is Content.WORD and len(words[known.name]) < _DISTINCT:
                words[known.name].add(text)
    told = {name: sorted(met) for name, met in words.items()}
    return Evidence(counters[Content.NUMBER], counters[Content.DAY], told, lambda content, text: first[content, text])


def _shape(text: str) -> str:
    """A number with every digit but 0 made 1: all that its way of writing depends on, so that most numbers are alike."""
    return text.strip().translate(_TO_SHAPE)


def _day_alone(text: str) -> str:
    return re.split("[ T]", text.strip(), maxsplit=1)[0]
