from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from pilot import clock
from pilot.customers.models import Import
from pilot.customers.orderstore import Measure, store
from pilot.db import db, transaction
from pilot.errors import PilotError

START, END = date(2026, 1, 1), date(2026, 4, 1)
UNITS = [("C1", "control", "north"), ("C2", "control", "north"), ("C3", "pilot", "north"), ("C4", "pilot", "south")]


def order(ref: str, number: str, day: date, amount: str, cancelled: bool = False) -> tuple[Any, ...]:
    return ref, number, day, Decimal(amount), cancelled


def put(kind: str, rows: Sequence[tuple[Any, ...]], name: str = "") -> str:
    """Facts as an import leaves them."""
    name = name or store().add(kind, rows)
    entry = Import(kind=kind, filename="a.csv", sha256=name[-64:], importer="csv", reading={}, actor="test")
    entry.at, entry.accepted, entry.unchanged, entry.rejected, entry.fact_file = clock.now(), len(rows), 0, 0, name
    with transaction() as work:
        work.session.add(entry)
    return name


def test_a_measure_counts_every_unit_and_only_the_window(app: Flask) -> None:
    put(
        "orders",
        [
            order("C1", "A1", START, "10.25"),
            order("C1", "A1", START, "0.75"),  # another line of the same order
            order("C1", "A2", date(2026, 3, 31), "5"),
            order("C1", "A3", END, "1000"),
            order("C1", "A4", date(2025, 12, 31), "1000"),
            order("C2", "A5", START, "1000", cancelled=True),
            order("C3", "A6", START, "-2.5"),
            order("C9", "A7", START, "1000"),
        ],
    )
    revenue = store().moments(UNITS, Measure.REVENUE, START, END)
    assert [(row.arm, row.stratum, row.n, row.mean, row.m2) for row in revenue] == [
        ("control", "north", 2, 8.0, 128.0),
        ("pilot", "north", 1, -2.5, 0.0),
        ("pilot", "south", 1, 0.0, 0.0),
    ]
    assert [row.mean for row in store().moments(UNITS, Measure.ORDERS, START, END)] == [1.0, 1.0, 0.0]
    assert [row.mean for row in store().moments(UNITS, Measure.RETAINED, START, END)] == [0.5, 1.0, 0.0]
    assert [(row.arm, row.stratum, row.n, row.yes) for row in store().shares(UNITS, START, END)] == [
        ("control", "north", 2, 1),
        ("pilot", "north", 1, 1),
        ("pilot", "south", 1, 0),
    ]


def test_touches_are_measured_in_money_and_minutes(sqlite_app: Flask) -> None:
    touches = [("C1", START, "field-rep", "visit", 30.5, Decimal("71.55")), ("C1", START, "field-rep", "call", 5, 6)]
    put("touches", touches)
    cost, *_ = store().moments(UNITS, Measure.COST, START, END)
    minutes, *_ = store().moments(UNITS, Measure.MINUTES, START, END)
    assert (cost.n, cost.mean, minutes.mean) == (2, 38.775, 17.75)


def test_moments_equal_those_of_numpy(sqlite_app: Flask) -> None:
    rng = np.random.default_rng(7)
    cents = rng.integers(-10_000, 10_000_000, 500)
    put("orders", [order(f"C{n}", f"A{n}", START, str(Decimal(int(value)) / 100)) for n, value in enumerate(cents)])
    (row,) = store().moments([(f"C{n}", "a", "") for n in range(600)], Measure.REVENUE, START, END)
    values = np.concatenate([cents / 100, np.zeros(100)])
    assert row.n == 600
    assert row.mean == pytest.approx(values.mean(), rel=1e-12)
    assert row.m2 == pytest.approx(((values - values.mean()) ** 2).sum(), rel=1e-12)


def test_an_order_that_comes_again_counts_once_as_last_told(sqlite_app: Flask) -> None:
    put("orders", [order("C1", "A1", START, "10"), order("C1", "A2", START, "20")])
    put("orders", [order("C1", "A2", START, "25"), order("C1", "A3", START, "30", cancelled=True)])
    (row,) = store().moments([("C1", "a", "")], Measure.REVENUE, START, END)
    assert row.mean == 35.0


def test_a_file_that_no_import_names_is_never_read(sqlite_app: Flask) -> None:
    store().add("orders", [order("C1", "A1", START, "10")])
    assert store().last_order_day() is None
    assert list(store().profile(END)) == []


def test_a_file_that_is_gone_is_named(app: Flask, tmp_path: Path) -> None:
    name = put("orders", [order("C1", "A1", START, "10")])
    (tmp_path / "data" / "orders" / name).unlink()
    with pytest.raises(PilotError, match="gone from the order store"):
        store().last_order_day()


def test_nothing_is_left_behind_when_rows_break_off(sqlite_app: Flask, tmp_path: Path) -> None:
    def rows() -> Any:
        yield order("C1", "A1", START, "10")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        store().add("orders", rows())
    assert list((tmp_path / "data" / "orders").iterdir()) == []


def test_no_units_give_no_rows(sqlite_app: Flask) -> None:
    assert store().moments([], Measure.COST, START, END) == []
    assert db.session.is_active


def test_touches_that_come_again_in_a_later_file_count_once(sqlite_app: Flask) -> None:
    week = [("C1", START, "field-rep", "visit", 30.0, Decimal(70)), ("C2", START, "field-rep", "call", 5.0, Decimal(4))]
    put("touches", week)
    put("touches", [("C1", START, "field-rep", "visit", 45.0, Decimal(90)), ("C3", START, "field-rep", "call", 5.0, 4)])
    costs = store().moments(UNITS, Measure.COST, START, END)
    assert [(row.arm, row.n, row.mean) for row in costs] == [("control", 2, 47.0), ("pilot", 1, 4.0), ("pilot", 1, 0.0)]
