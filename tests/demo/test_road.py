"""The demo walks the whole road; what it leaves behind is what a newcomer sees first."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilot import clock
from pilot.demo.road import Journey, prepare, walk
from pilot.errors import InputError


def run(out: Path, seed: int, orders: Path | None = None, customers: int = 600) -> dict:
    arrival = walk(Journey(customers, seed, out, orders))
    arrival.server.close()
    assert arrival.report.read_bytes().startswith(b"%PDF-")
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def journeys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    root = tmp_path_factory.mktemp("demo")
    found = {name: run(root / name, seed) for name, seed in (("first", 3), ("other", 4))}
    clock.travel(datetime(2024, 2, 29, 12, tzinfo=UTC))  # the day it is run on makes no difference
    return {**found, "again": run(root / "again", 3)}


def test_one_seed_gives_equal_results(journeys: dict[str, dict]) -> None:
    assert journeys["first"] == journeys["again"]


def test_another_seed_gives_other_results(journeys: dict[str, dict]) -> None:
    assert journeys["first"]["comparisons"] != journeys["other"]["comparisons"]
    assert journeys["first"]["seed"] != journeys["other"]["seed"]


def test_the_product_counts_what_the_customers_did(journeys: dict[str, dict]) -> None:
    for journey in journeys.values():
        answered = sum(arm["complete"] for arm in journey["flow"].values())
        begun = sum(arm["partial"] for arm in journey["flow"].values())
        assert (answered, begun) == (journey["crowd"]["completed"], journey["crowd"]["left half-way"])
        assert journey["crowd"]["links opened by a mail scanner"] > 0
        assert journey["crowd"]["refused pages"] == []


def test_the_arms_are_equal_in_size_and_all_notified(journeys: dict[str, dict]) -> None:
    control, pilot = (journeys["first"]["flow"][arm] for arm in ("control", "pilot"))
    assert control["assigned"] == pilot["assigned"] > 0
    assert control["notified"] == control["assigned"]


def test_a_real_order_file_walks_the_same_road(tmp_path: Path, shared_data: Path) -> None:
    whole = next((shared_data / "online_retail").glob("online_retail_*.csv.gz"))
    part = tmp_path / "orders.csv"
    with gzip.open(whole, "rt", encoding="utf-8") as lines, part.open("w", encoding="utf-8") as out:
        out.writelines(line for _, line in zip(range(40_000), lines, strict=False))
    summary = run(tmp_path / "demo", 1, orders=part)
    assert summary["verdict"] in {"roll_out", "do_not", "inconclusive"}


def test_a_folder_of_somebody_else_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose me")
    with pytest.raises(InputError, match="not made by a demo"):
        prepare(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_an_interrupted_demo_is_cleared_away(tmp_path: Path) -> None:
    prepare(tmp_path / "demo")
    (tmp_path / "demo" / "half.sqlite").write_text("half")
    prepare(tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [".pilot-demo"]
