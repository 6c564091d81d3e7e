import os
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.app import create_app
from pilot.config import Config
from pilot.customers.engines import Member
from pilot.customers.models import Import
from pilot.customers.orderstore import Measure, OrderFact, store
from pilot.customers.service import correct_facts, erase_facts, sweep_facts
from pilot.db import db, transaction
from pilot.errors import InputError, PilotError
from pilot.plugins.builtin.engines import DuckDb
from pilot.testing import contract_checks

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
    with store().study(END, [Member(1, "C1")]) as study:
        assert [row.frequency for row in study.profiles()] == [0]
        assert study.months() == []


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


def frequencies(*refs: str) -> list[tuple[int, int, float, int]]:
    """Orders, cancelled ones, revenue and order days of each customer at the end of the window."""
    with store().study(END, [Member(number, ref) for number, ref in enumerate(refs)]) as study:
        return [(row.frequency, row.cancelled, row.monetary, row.order_days) for row in study.profiles()]


def test_the_rhythm_is_of_different_days_and_the_same_range_by_range(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [date(2026, 1, day) for day in (1, 3, 3, 8, 9, 20)]
    put("orders", [order("C0", f"A{number}", day, "1") for number, day in enumerate(days)])
    put("orders", [order("C1", "B1", date(2026, 1, 5), "1"), order("C1", "B2", date(2026, 1, 2), "1", True)])
    put("orders", [order("C3", f"D{day}", date(2026, 2, day), "1") for day in (4, 1, 2, 3)])
    put("orders", [order("C4", "E1", date(2026, 2, 1), "1", True)])
    told = [
        (5, date(2026, 1, 1), date(2026, 1, 20), date(2026, 1, 3)),
        (1, date(2026, 1, 5), date(2026, 1, 5), None),
        (0, None, None, None),
        (4, date(2026, 2, 1), date(2026, 2, 4), None),
        (0, None, None, None),
    ]
    for at_once in (1, 5, 1000):
        monkeypatch.setattr("pilot.plugins.builtin.study.ORDERS_AT_ONCE", at_once)
        with store().study(END, [Member(number, f"C{number}") for number in range(5)]) as study:
            rows = [(row.order_days, row.first_order, row.last_order, row.recent_from) for row in study.profiles()]
        assert rows == told


def test_an_order_of_several_lines_is_what_remains_of_it_on_its_first_day(sqlite_app: Flask) -> None:
    put(
        "orders",
        [
            order("C1", "A1", date(2025, 12, 31), "80", cancelled=True),  # nothing remains of this line, nor its day
            order("C1", "A1", START, "10"),
            order("C1", "A1", date(2026, 2, 2), "5"),
            order("C2", "A1", START, "7"),  # the same number of another customer is another order
            order("C2", "A1", END, "1"),
            order("C2", "A2", date(2026, 1, 2), "4", cancelled=True),
            order("C2", "A2", date(2026, 1, 3), "4", cancelled=True),
            order("C3", "A3", END, "9"),
            order("C3", "A3", END, "9", cancelled=True),
        ],
    )
    assert frequencies("C1", "C2", "C3") == [(1, 0, 15.0, 1), (1, 1, 8.0, 1), (1, 0, 9.0, 1)]
    with store().study(START, [Member(1, "C1"), Member(2, "C2"), Member(3, "C3")]) as study:
        assert [(row.frequency, row.cancelled, row.monetary) for row in study.profiles()] == [
            (1, 0, 15.0),
            (1, 0, 8.0),  # its cancelled order is of the day after
            (0, 0, 0.0),
        ]
        assert [(row.orders, row.revenue, row.customers) for row in study.months()] == [(2, 23.0, 2)]


def test_an_order_is_measured_in_the_window_of_its_first_day_alone(sqlite_app: Flask) -> None:
    put("orders", [order("C1", "A1", START, "10"), order("C1", "A1", date(2026, 2, 2), "5")])
    put("orders", [order("C2", "A2", START, "1", True), order("C2", "A2", date(2026, 2, 2), "5")])
    both = [("C1", "a", ""), ("C2", "b", "")]
    february = date(2026, 2, 1)
    for start, end, revenue, number in ((START, february, [15.0, 0.0], [1, 0]), (february, END, [0.0, 5.0], [0, 1])):
        assert [row.mean for row in store().moments(both, Measure.REVENUE, start, end)] == revenue
        assert [row.mean for row in store().moments(both, Measure.ORDERS, start, end)] == number
        assert [row.yes for row in store().shares(both, start, end)] == number


def test_the_newest_order_is_the_one_begun_last(sqlite_app: Flask) -> None:
    put("orders", [order("C1", "A1", START, "10"), order("C1", "A1", date(2026, 2, 2), "5")])
    put("orders", [order("C1", "A2", date(2026, 3, 1), "1", cancelled=True)])
    assert store().last_order_day() == START


def test_of_overlapping_files_only_the_last_word_counts_and_the_rest_stays(sqlite_app: Flask) -> None:
    put("orders", [order("C1", f"A{n}", START, "1") for n in range(50)])
    put("orders", [order("C1", "A3", date(2026, 2, 1), "100"), order("C1", "A3", date(2026, 2, 1), "0.5")])
    put("orders", [order("C1", "A3", date(2026, 2, 2), "7", cancelled=True)])
    assert frequencies("C1") == [(49, 1, 49.0, 1)]
    assert store().last_order_day() == START


def test_a_customers_story_tells_each_order_once_newest_first(sqlite_app: Flask) -> None:
    put("orders", [order("C1", "A1", START, "10"), order("C1", "A1", START, "5"), order("C2", "A9", START, "1")])
    put("orders", [order("C1", "A2", date(2026, 2, 1), "3", cancelled=True)])
    put("touches", [("C1", START, "field-rep", "visit", 30.0, Decimal(70))])
    put("orders", [order("C1", "A3", START, "7"), order("C1", "A3", date(2025, 12, 31), "2", cancelled=True)])
    orders, touches = store().story("C1")
    assert orders == [
        OrderFact(date(2026, 2, 1), "A2", Decimal(3), True),
        OrderFact(START, "A3", Decimal(7), False),  # what remains of it
        OrderFact(START, "A1", Decimal(15), False),
    ]
    assert [tuple(touch) for touch in touches] == [(START, "field-rep", "visit", 30.0, Decimal(70))]
    assert store().story("C1' OR true --") == ([], [])


def files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data" / "orders").glob("*.parquet")}


def named() -> set[str | None]:
    return set(db.session.scalars(sa.select(Import.fact_file)))


def test_an_erasure_writes_new_files_and_the_old_ones_go_when_nobody_reads_them(
    app: Flask, operator: Actor, tmp_path: Path
) -> None:
    held = put("orders", [order("C1", "A1", START, "10"), order("C2", "A2", START, "20")])
    other = put("orders", [order("C3", "A3", START, "30")])
    touches = put("touches", [("C1", START, "field-rep", "visit", 30.0, Decimal(70))])
    assert erase_facts(operator, {"C1", "C9"}) == 2
    assert frequencies("C1", "C2", "C3") == [(0, 0, 0.0, 0), (1, 0, 20.0, 1), (1, 0, 30.0, 1)]
    assert store().story("C1") == ([], [])
    assert other in named()
    assert not {held, touches} & {*named()}
    sweep_facts()
    assert {held, touches} < files(tmp_path)  # somebody may be reading them
    for name in (held, touches, other):
        os.utime(tmp_path / "data" / "orders" / name, (0, 0))
    sweep_facts()
    assert files(tmp_path) == named()
    assert erase_facts(operator, {"C1"}) == 0


def test_an_erasure_that_fails_leaves_every_file_counting(
    sqlite_app: Flask, operator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("orders", [order("C1", "A1", START, "10")])
    gone = put("orders", [order("C1", "A2", START, "20")])
    before = named()
    rewrite = DuckDb.rewrite

    def failing(self: DuckDb, root: Path, kind: str, name: str, *changes: Any) -> str | None:
        if name == gone:
            raise OSError("the disk is full")
        return rewrite(self, root, kind, name, *changes)

    monkeypatch.setattr(DuckDb, "rewrite", failing)
    with pytest.raises(OSError, match="the disk is full"):
        erase_facts(operator, {"C1"})
    assert named() == before
    assert frequencies("C1") == [(2, 0, 30.0, 1)]


def test_a_correction_gives_facts_to_another_customer_number(app: Flask, operator: Actor) -> None:
    put("orders", [order("C1", "A1", START, "10"), order("C2", "A2", START, "20")])
    assert correct_facts(operator, {"C1": "C2"}) == 1
    assert frequencies("C1", "C2") == [(0, 0, 0.0, 0), (2, 0, 30.0, 1)]


def test_a_finished_parquet_file_is_taken_as_it_is(sqlite_app: Flask, tmp_path: Path) -> None:
    name = store().add("orders", [order("C1", "A1", START, "10")])
    source = (tmp_path / "data" / "orders" / name).rename(tmp_path / "ready.parquet")
    put("orders", [], store().take("orders", source))
    assert not source.exists()
    assert frequencies("C1") == [(1, 0, 10.0, 1)]


def test_the_built_in_engine_keeps_its_promises() -> None:
    contract_checks(DuckDb())


def test_the_trial_tells_what_an_engine_answers_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DuckDb, "last_order_day", lambda self, facts: START)
    with pytest.raises(AssertionError, match="last_order_day answers"):
        contract_checks(DuckDb())


def test_an_engine_that_is_not_installed_is_named(config: Callable[..., Config]) -> None:
    complaint = r"PILOT_ORDER_ENGINE: unknown order engine 'spark'\. Installed: duckdb"
    with create_app(config(order_engine="spark")).app_context(), pytest.raises(InputError, match=complaint):
        store()
