"""Profiles of a large base beside a bare DuckDB RFM query over the same Parquet files, in one run.

The base is made here: skewed numbers of orders, several years, some cancelled. The bare query asks for recency, frequency
(orders told apart by number) and money of each customer. Then the whole rebuild, written to SQLite, with peak memory, at
both sizes and each in a process of its own.

    python benchmarks/profiles.py [--customers 1000000] [--orders 5000000] [--files 6] [--lines 1] [--no-write]
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import duckdb
import sqlalchemy as sa
from flask_migrate import upgrade

from pilot import clock
from pilot.accounts.service import SYSTEM
from pilot.app import create_app
from pilot.config import load
from pilot.customers.engines import Facts, Member, Piece
from pilot.customers.models import Customer, Import
from pilot.customers.service import rebuild_profiles
from pilot.db import db, transaction
from pilot.plugins.builtin.engines import MEMORY_LIMIT, DuckDb

AS_OF = date(2026, 3, 31)
GOAL = 1.5
ROUNDS = 5


def facts(root: Path, customers: int, orders: int, files: int, lines: int) -> Facts:
    """Orders in files that do not overlap, as monthly exports are."""
    root.mkdir(parents=True)
    pieces = []
    with duckdb.connect() as engine:
        engine.execute("SELECT setseed(0.5)")
        for number in range(files):
            name, start, end = f"orders-{uuid4().hex}.parquet", orders * number // files, orders * (number + 1) // files
            engine.execute(
                f"""COPY (
                    SELECT 'C' || lpad(who::VARCHAR, 8, '0') AS customer_ref, 'A' || lpad(i::VARCHAR, 9, '0') AS order_ref,
                           DATE '2022-01-01' + (1550 * i // {orders})::INTEGER AS ordered_on,
                           exp(6 * random())::DECIMAL(18,4) AS amount, random() < 0.03 AS cancelled
                    FROM (SELECT i, (random() * random() * {customers})::BIGINT AS who FROM range({start}, {end}) t(i)),
                         range({lines})
                ) TO '{root / name}' (FORMAT parquet, COMPRESSION zstd)"""
            )
            pieces.append(Piece(number + 1, name))
    return Facts(root, {"orders": pieces, "touches": []})


def bare(found: Facts) -> int:
    """The RFM query anybody would write."""
    paths = [str(found.root / piece.name) for piece in found.pieces["orders"]]
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(found.root / "spill")}) as engine:
        answer = engine.execute(
            """SELECT customer_ref, max(ordered_on), count(DISTINCT order_ref), sum(amount) FROM read_parquet($paths)
               WHERE NOT cancelled AND ordered_on <= $as_of GROUP BY customer_ref""",
            {"paths": paths, "as_of": AS_OF},
        )
        return sum(len(rows) for rows in iter(lambda: answer.fetchmany(5000), []))


def members(customers: int) -> Iterator[Member]:
    """The customers as the base holds them."""
    return (Member(number + 1, f"C{number:08}", f"peers {number % 60}") for number in range(customers))


def ours(found: Facts, those: list[Member]) -> int:
    """Every number of the profile that comes from facts, of members that are at hand already."""
    with DuckDb().study(found, AS_OF, those) as study:
        return sum(1 for _ in study.profiles())


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of one go, of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak() -> float:
    """The most memory this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(folder: Path, sizes: list[tuple[int, int]], files: int, lines: int) -> None:
    """Ours and the bare query in turns, the shortest of the rounds each."""
    print(f"Profile query beside a bare RFM query, CPU s; {files} files, {lines} line(s) an order (goal {GOAL})")
    print(f"{'customers':>12}{'lines':>12}{'bare':>8}{'ours':>8}{'ratio':>7}{'growth':>8}")
    last: tuple[int, float] | None = None
    for customers, orders in sizes:
        found, those = facts(folder / str(orders), customers, orders, files, lines), list(members(customers))
        taken = [(cpu(lambda: bare(found)), cpu(lambda: ours(found, those))) for _ in range(ROUNDS)]  # noqa: B023
        theirs, mine = (min(times) for times in zip(*taken, strict=True))
        growth = f"{math.log(mine / last[1]) / math.log(orders / last[0]):+.2f}" if last else ""
        print(
            f"{customers:>12,}{orders * lines:>12,}{theirs:8.2f}{mine:8.2f}{mine / theirs:7.2f}{growth:>8}", flush=True
        )
        last = orders, mine


def rebuild(folder: Path, customers: int, orders: int, files: int, lines: int) -> None:
    """The whole act, written to SQLite: the first time, then over the profiles that stand."""
    app = create_app(load(secret_key="kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu", data_dir=folder / "data"))
    with app.app_context():
        upgrade()
        found = facts(folder / "data" / "orders", customers, orders, files, lines)
        fill(found, customers)
        print(f"Rebuild of {customers:,} customers and {orders * lines:,} lines with SQLite (CPU s, wall s, peak MB)")
        for title in ("first", "again"):
            started = time.monotonic()
            used = cpu(lambda: rebuild_profiles(SYSTEM, AS_OF))
            print(f"{title:>12}{used:8.1f}{time.monotonic() - started:8.1f}{peak():9.0f}", flush=True)


def fill(found: Facts, customers: int) -> None:
    """The base and the imports that name the files."""
    at = clock.now()
    with transaction() as work:
        for piece in found.pieces["orders"]:
            work.session.add(
                Import(
                    kind="orders", filename=piece.name, sha256=piece.name[7:39], importer="csv", reading={}, actor="bench",
                    at=at, accepted=0, unchanged=0, rejected=0, fact_file=piece.name,
                )
            )  # fmt: skip
        rows = (
            {
                "ref": member.ref, "name": f"Customer {member.id}", "region": f"region {member.id % 20}",
                "size": f"size {member.id % 3}", "digest": "", "updated_at": at,
            }
            for member in members(customers)
        )  # fmt: skip
        while page := [row for row, _ in zip(rows, range(5000), strict=False)]:
            work.session.execute(sa.insert(Customer), page)
    db.session.remove()


def main() -> None:
    """Measure what is asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--customers", type=int, default=1_000_000)
    asked.add_argument("--orders", type=int, default=5_000_000)
    asked.add_argument("--files", type=int, default=6)
    asked.add_argument("--lines", type=int, default=1)
    asked.add_argument("--no-write", action="store_true")
    args = asked.parse_args()
    sizes = [(args.customers // 10, args.orders // 10), (args.customers, args.orders)]
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder) / "compare", sizes, args.files, args.lines)
        if not args.no_write:
            for customers, orders in sizes:
                place = Path(folder) / f"rebuild-{customers}"
                alone = multiprocessing.get_context("spawn").Process(
                    target=rebuild, args=(place, customers, orders, args.files, args.lines)
                )
                alone.start()
                alone.join()


if __name__ == "__main__":
    main()
