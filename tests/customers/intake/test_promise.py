"""Nothing is guessed in silence: random files, written in random ways, beside a model of what is right.

Each file is made from values, so that the right result is known. A value is stored right, or its row is refused and was
to be refused. Where the reader says that it assumes something, it is told the truth, as a person would tell it.
The first row is sound and has letters that tell the encoding: without any, no reader could know it.

`IMPORT_MODEL_FILES` sets the number of files and `IMPORT_MODEL_SEED` the first of them.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from pilot.customers.importers import Table
from pilot.customers.intake import staging
from pilot.customers.intake.checks import Unfit, check_of
from pilot.customers.intake.evidence import Evidence, evidence_in, evidence_of
from pilot.customers.intake.fields import FIELDS, Field
from pilot.customers.intake.sieve import Sieve
from pilot.customers.intake.understanding import (
    Overrules,
    Understanding,
    columns,
    understand,
    without_doubt,
)
from pilot.plugins.builtin.importers import CsvFile

FILES = int(os.environ.get("IMPORT_MODEL_FILES", "300"))
THROUGH_ENGINE = 15
"""One of so many files goes the way of an import as well, to the same end."""
SEED = int(os.environ.get("IMPORT_MODEL_SEED", "1"))
TODAY = date(2026, 3, 31)

HEADERS = {
    "customers": [("ref", "name", "email", "city"), ("Codice cliente", "Ragione sociale", "E-mail", "Città"),
                  ("Nr klienta", "Nazwa firmy", "Adres e-mail", "Miasto")],
    "orders": [("customer_ref", "order_ref", "ordered_on", "amount"),
               ("Codice cliente", "Numero ordine", "Data ordine", "Importo netto"),
               ("Nr klienta", "Nr zamówienia", "Data", "Kwota")],
}  # fmt: skip
FIELD_NAMES = {kind: HEADERS[kind][0] for kind in HEADERS}
POLISH = ["Zażółć gęślą jaźń", "Łódź", "Żółw i spółka", "Świętokrzyskie", "Kraków", "Gdańsk; port", "Bąk, Bąk"]
ITALIAN = [
    "Forlì Cantù perché è là",
    "Caffè Nicolò",
    "Città “alta”",
    "Rossi & C. – Bari",
    "L’Aquila; est",
    "Verdi, Neri",
]
PAGES = {"utf-8": POLISH + ITALIAN, "utf-8-sig": POLISH + ITALIAN, "utf-16": POLISH + ITALIAN, "cp1250": POLISH,
         "iso8859-2": POLISH, "cp852": POLISH, "cp1252": ITALIAN}  # fmt: skip


@dataclass
class Style:
    """How a file is written."""

    rng: random.Random
    encoding: str = ""
    delimiter: str = ""
    newline: str = ""
    decimal: str = ""
    group: str = ""
    money: str = ""
    negative: str = ""
    order: str = ""
    sign: str = ""
    padded: bool = True
    time: str = ""
    quotes: float = 0.0
    hint: bool = False
    packed: bool = False

    def __post_init__(self) -> None:
        pick = self.rng.choice
        self.encoding, self.delimiter = pick(list(PAGES)), pick([";", ",", "\t", "|"])
        self.newline, self.decimal = pick(["\n", "\r\n"]), pick(",.")
        self.group = pick(["", "", ".,"[self.decimal == "."], " ", "'"])
        self.money = pick(["{}", "{}", "{} EUR", "PLN {}"])
        self.negative = pick(["-{}", "{}-", "({})"])
        self.order, self.sign = pick(["day", "month", "year"]), pick("/.-")
        self.padded, self.time = pick([True, True, False]), pick(["", "", " 08:15", "T23:59:59"])
        self.quotes, self.hint, self.packed = pick([0.0, 0.2, 1.0]), self.rng.random() < 0.05, self.rng.random() < 0.05

    def number(self, value: Decimal, places: int) -> str:
        """A number as the file writes it."""
        whole, _, rest = f"{abs(value):,.{places}f}".partition(".")
        text = whole.replace(",", self.group) + (self.decimal + rest if rest else "")
        return self.money.format(self.negative.format(text) if value < 0 else text)

    def day(self, value: date) -> str:
        """A day as the file writes it."""
        parts = {"d": f"{value.day:02}" if self.padded else str(value.day),
                 "m": f"{value.month:02}" if self.padded else str(value.month), "y": f"{value.year}"}  # fmt: skip
        text = self.sign.join(parts[part] for part in {"day": "dmy", "month": "mdy", "year": "ymd"}[self.order])
        return text + (self.time if self.rng.random() < 0.7 else "")

    def cell(self, text: str) -> str:
        """A cell, quoted where it must be or where the file likes to."""
        must = any(sign in text for sign in (self.delimiter, '"', "\n", "\r"))
        return '"' + text.replace('"', '""') + '"' if must or self.rng.random() < self.quotes else text


@dataclass
class Model:
    """A file and what is right."""

    kind: str
    style: Style
    data: bytes = b""
    good: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, seed: int) -> Model:
        """The file of this number: always the same."""
        rng = random.Random(seed)
        model = cls(rng.choice(["customers", "orders"]), Style(rng))
        model._write(rng)
        return model

    def _write(self, rng: random.Random) -> None:
        style, newline = self.style, self.style.newline
        header = list(rng.choice([titles for titles in HEADERS[self.kind] if _fits(titles, style.encoding)]))
        order = rng.sample(range(5), 5)  # the fifth is a column nobody reads
        header.append(rng.choice(["Uwagi", "Note", "Notes"]))
        text = f"sep={style.delimiter}{newline}" if style.hint else ""
        text += style.delimiter.join(style.cell(header[place]) for place in order) + newline
        for number, (values, cells, broken) in enumerate(self._rows(rng)):
            line = text.count("\n") + 1
            note = (
                PAGES[style.encoding][0]
                if number == 0
                else rng.choice(["", "", 'He said "no"', "two\nlines", "a;b,c|d"])
            )
            cells = [*cells, note]
            written = [style.cell(cells[place]) for place in order]
            if broken == "narrow":
                written.pop()
            if broken == "wide":
                written.append("x")
            if broken == "quote":
                written[0] = '"a"b'
            text += style.delimiter.join(written) + newline
            if values is None:
                self.bad.add(line)
            else:
                self.good[line] = values
            text += newline if rng.random() < 0.05 else ""
        raw = text.encode(style.encoding)
        self.data = gzip.compress(raw) if style.packed else raw

    def _rows(self, rng: random.Random) -> Iterator[tuple[tuple[Any, ...] | None, list[str], str]]:
        """What is stored, or None; the cells; what is wrong with the whole row."""
        make = self._customer if self.kind == "customers" else self._order
        for number in range(rng.randint(1, 10)):
            values, cells = make(rng, number)
            fault = rng.choice(["narrow", "wide", "quote", "cell", "ref"]) if rng.random() < 0.15 and number else ""
            if fault == "cell":
                cells = self._spoiled(rng, cells)
            if fault == "ref":
                cells[0] = ""
            yield (None if fault else values), cells, fault

    def _customer(self, rng: random.Random, number: int) -> tuple[tuple[Any, ...], list[str]]:
        ref = rng.choice(
            [
                f"C{number}",
                f"{number:05}",
                f"{number}/A",
                f"Ż{number}" if "Ł" in "".join(PAGES[self.style.encoding]) else f"à{number}",
            ]
        )
        name = rng.choice(PAGES[self.style.encoding]) + rng.choice(
            ["", ' "Bar"', "  x", "\nFiliale", " -5", " 1.234,5"]
        )
        email, city = rng.choice(["", f"a{number}@firma.pl"]), rng.choice(["", *PAGES[self.style.encoding]])
        return (ref, " ".join(name.split()), email, city), [ref, name, email, f"{city} " if city else city]

    def _order(self, rng: random.Random, number: int) -> tuple[tuple[Any, ...], list[str]]:
        places = rng.choice([0, 2, 2, 2, 3, 4, 1])
        amount = Decimal(rng.randint(-(10 ** rng.randint(1, 10)), 10 ** rng.randint(1, 10))).scaleb(-places)
        day = TODAY - timedelta(days=rng.randint(0, 4000))
        written = self.style.number(amount, places)
        return (f"C{number}", f"A{number}", day.isoformat(), amount), [
            f"C{number}",
            f" A{number}",
            self.style.day(day),
            written,
        ]

    def _spoiled(self, rng: random.Random, cells: list[str]) -> list[str]:
        """A row with a value that no file may have, however it is written."""
        if self.kind == "customers":
            return [cells[0], "n" * 300, *cells[2:]] if rng.random() < 0.5 else [*cells[:2], "no address", cells[3]]
        if rng.random() < 0.5:
            return [*cells[:3], rng.choice(["ten", "1.2.3", "1,2,3", "--1", "1 2", "", "5%", "1e5", "1.23.456"])]
        return [
            *cells[:2],
            rng.choice(["soon", "31/02/2025x", "2025-02-30", "", "46022", "1/1/26", "2999-01-01"]),
            cells[3],
        ]


def _fits(titles: tuple[str, ...], encoding: str) -> bool:
    try:
        "".join(titles).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


Found = tuple[dict[int, tuple[str, ...]], dict[int, str]]
"""What is stored of the lines that are taken, and why the others are not."""


def by_python(model: Model, folder: Path) -> Found:
    """The records one by one, each value by the functions that say what it must be."""
    table, fields, places = opened(model, folder)
    understanding = told(model, table, evidence_in(table.records(), len(table.header), fields, places), places)
    asked = [
        (index, check_of(known, *understanding.reader(known), understanding.numbers.decimal, TODAY))
        for known, index in understanding.places
    ]
    taken, refused = {}, {}
    for record in table.records():
        try:
            if fault := staging.fault_of(record, len(table.header)):
                raise Unfit(fault, "")
            taken[record.line] = tuple(check.judge(str(record.cells[index])) for index, check in asked)
        except Unfit as unfit:
            refused[record.line] = str(unfit)
    return taken, refused


def by_engine(model: Model, folder: Path, engine: Any) -> Found:
    """The whole file as an import reads it."""
    table, fields, places = opened(model, folder)
    staged = staging.stage(engine, table, folder, "file.csv")
    sieve = Sieve(staged, told(model, table, evidence_of(staged, fields, places), places), model.kind, folder, TODAY)
    refused = {error.line: error.reason for error in sieve.refused()}
    stored = ", ".join(sieve.value(name) for name in FIELD_NAMES[model.kind])
    rows = engine.execute(sieve.good(f"{staged.line} AS line, {stored}")).fetchall()
    for (name,) in engine.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall():
        engine.execute(f'DROP TABLE "{name}"')
    return {line: tuple(values) for line, *values in rows}, refused


def opened(model: Model, folder: Path) -> tuple[Table, Sequence[Field], dict[str, int]]:
    path = folder / "file.csv"
    path.write_bytes(model.data)
    table, fields = CsvFile().read(path, model.kind), FIELDS[model.kind]
    assert table.how["encoding"] == model.style.encoding
    return table, fields, columns(fields, table.header, {}, path.name)


def told(model: Model, table: Table, evidence: Evidence, places: dict[str, int]) -> Understanding:
    """How the file is read, once a person has said what no value decides."""
    how = understand(table, FIELDS[model.kind], places, evidence, Overrules()).how
    assumed = {name for name in ("numbers", "days") if without_doubt(how.get(name, "")) != how.get(name, "")}
    said = {
        "decimal": model.style.decimal if "numbers" in assumed else "",
        "days": model.style.order if "days" in assumed else "",
    }
    return understand(table, FIELDS[model.kind], places, evidence, Overrules(**said))


def faults(model: Model, found: Found) -> list[str]:
    """Where the reader differs from the model."""
    taken, refused = found
    wrong = [f"line {line}: {values}" for line, values in taken.items() if not _same(values, model.good.get(line))]
    wrong += [f"line {line}: refused: {refused.get(line)}" for line in model.good if line not in taken]
    return wrong + [f"line {line}: not refused" for line in model.bad if line not in refused]


def _same(found: tuple[str, ...], right: tuple[Any, ...] | None) -> bool:
    return right is not None and all(
        Decimal(value) == meant if isinstance(meant, Decimal) else value == meant
        for value, meant in zip(found, right, strict=True)
    )


def test_no_file_of_the_model_is_read_otherwise_than_it_was_meant(sqlite_app: Flask, tmp_path: Path) -> None:
    wrong = []
    with staging.engine(tmp_path, threads=1) as engine:
        for seed in range(SEED, SEED + FILES):
            model = Model.of(seed)
            try:
                found = by_python(model, tmp_path)
                if seed % THROUGH_ENGINE == 0:
                    assert by_engine(model, tmp_path, engine) == found
                wrong += [f"file {seed}, {fault}" for fault in faults(model, found)]
            except Exception as error:  # a file that is refused as a whole is wrong as well
                wrong.append(f"file {seed}: {error!r}")
    assert wrong == []


@pytest.mark.parametrize("seed", range(3))
def test_a_file_of_the_model_is_always_the_same(seed: int) -> None:
    assert Model.of(seed).data == Model.of(seed).data
