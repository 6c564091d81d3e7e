"""The draw beside a bare numpy shuffle, a bare sqlite3 and stochatreat, alternately in one run: CPU time, memory, growth.

In memory: random keys and arms for everybody, 60 strata. Bare: numpy's permutation, a stable radix sort of the strata's
codes along it, arms in turn. With the store: read the eligible from SQLite, draw half of them, write units, commit durably.
Bare: the same query, table and indexes with sqlite3 and numpy, without frame, digest, seed, audit trail or replay.
Goals: at most 1.3 times bare, stochatreat at least 3 times as much, an exponent of at most 1.1.

    python benchmarks/assignment.py [--customers 10000000] [--stored 1000000]
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import SYSTEM
from pilot.app import create_app
from pilot.config import Config
from pilot.customers.models import Segment
from pilot.db import db, transaction
from pilot.experiments import eligibility, service
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import SPARE_KEYS, Floats, Frame, Ints, random_keys
from pilot.plugins.builtin.assignment import StratifiedBlocks

STRATA = 60
SHARES = (0.5, 0.5)
PEER_AT_MOST = 1_000_000
_CUSTOMERS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
INSERT INTO customers (id, ref, name, email, language, region, digest, updated_at)
SELECT i, printf('C%08d', i), 'Bar ' || i, 'info@firm' || i || '.example', 'it', 'Region ' || (i / 3 % 20), 'x',
       '2026-01-01 00:00:00.000000'
FROM n
"""
_PROFILES = """
INSERT INTO profiles (customer_id, as_of, frequency, monetary, revenue_year, activity, missing, segment)
SELECT id, '2026-03-31', id % 50, id % 9000, (id * 48271 % 1000003) / 10.0,
       CASE id * 7 % 3 WHEN 0 THEN 'new' WHEN 1 THEN 'slowing' ELSE 'active' END, '[]', 'small'
FROM customers
"""
_PLAN = {
    "key": "bench",
    "name": "Benchmark",
    "survey": "none",
    "population": {"segments": ["small"], "as_of": "2026-03-31"},
    "arms": [
        {"key": "control", "label": "As today", "channel": "field-rep", "share": 0.5},
        {"key": "pilot", "label": "Service desk", "channel": "service-desk", "share": 0.5},
    ],
    "calendar": {"start": "2026-04-01", "end": "2026-07-01", "survey_until": "2026-07-22"},
    "outcomes": [
        {"key": "revenue", "label": "Revenue", "source": {"part": "revenue"}, "role": "primary", "margin": 5,
         "margin_reason": "Less is not felt"},
        {"key": "cost", "label": "Cost", "source": {"part": "cost-to-serve"}, "higher_is_better": False},
    ],
    "analyses": [
        {"outcome": "revenue", "analysis": {"part": "non-inferiority", "settings": {"margin": 5}}},
        {"outcome": "cost", "analysis": {"part": "welch"}},
    ],
    "decision": {"not_worse": "revenue", "cheaper": "cost"},
}  # fmt: skip


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of one go."""
    started = time.process_time()
    work()
    return time.process_time() - started


def alternately(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest CPU time of each, taken in turns so that a busy machine is busy for all."""
    best = dict.fromkeys(works, math.inf)
    for _ in range(rounds):
        for name, work in works.items():
            best[name] = min(best[name], cpu(work))
    return best


def bare_shuffle(codes: Ints, seed: int = 1) -> Ints:
    """Arms in turn along a permutation sorted by stratum."""
    line = np.random.default_rng(seed).permutation(len(codes))
    line = line[np.argsort(codes.astype(np.uint8)[line], kind="stable")]
    arms = np.empty(len(codes), dtype=np.int64)
    arms[line] = np.arange(len(codes)) & 1
    return arms


def our_draw(frame: Frame) -> tuple[Ints, Floats]:
    """Arms and probabilities by the product's usual design."""
    keys = random_keys("seed", "assignment", len(frame) + STRATA + SPARE_KEYS)
    found = StratifiedBlocks().assign(frame, SHARES, keys)
    return found.arms, found.probabilities


def peer(codes: Ints) -> Callable[[], object] | None:
    """The peer on the same strata, if it is installed and the size is not beyond it."""
    if importlib.util.find_spec("stochatreat") is None or len(codes) > PEER_AT_MOST:
        return None
    import pandas as pd
    from stochatreat import stochatreat

    table = pd.DataFrame({"id": np.arange(len(codes)), "stratum": codes})
    return lambda: stochatreat(data=table, stratum_cols=["stratum"], treats=2, idx_col="id", random_state=1)


def in_memory(most: int) -> None:
    """All sizes up to the largest, in powers of ten."""
    print(f"In memory, {STRATA} strata: CPU ms")
    print(
        f"{'customers':>12}{'ours':>10}{'bare':>10}{'ratio':>7}{'stochatreat':>13}{'times':>7}{'growth':>8}{'memory':>10}"
    )
    before: tuple[int, float] | None = None
    for size in (10**power for power in range(5, 9)):
        if size > most:
            break
        codes = np.random.default_rng(5).integers(0, STRATA, size)
        frame = Frame(range(size), codes, range(STRATA))
        works: dict[str, Callable[[], object]] = {
            "ours": lambda frame=frame: our_draw(frame),
            "bare": lambda codes=codes: bare_shuffle(codes),
        }
        found = alternately(works, 15 if size < 10**6 else 7)
        peers = peer(codes)
        theirs = alternately({"peer": peers}, 2)["peer"] if peers else None
        told = f"{theirs * 1000:>13.0f}{theirs / found['ours']:>7.1f}" if theirs else f"{'-':>13}{'-':>7}"
        growth = math.log(found["ours"] / before[1]) / math.log(size / before[0]) if before else math.nan
        print(
            f"{size:>12,}{found['ours'] * 1000:>10.1f}{found['bare'] * 1000:>10.1f}{found['ours'] / found['bare']:>7.2f}"
            f"{told}{growth:>8.2f}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:>7.0f} MB",
            flush=True,
        )
        before = size, found["ours"]


@contextmanager
def base(folder: Path, customers: int) -> Iterator[Flask]:
    """An installation with so many customers and a plan for half of them, sealed."""
    app = create_app(Config(secret_key="k" * 16 + "3v9Tq27mWzR5bLpN", data_dir=folder))
    with app.app_context(), clock.travelling(datetime(2026, 4, 1, 9, tzinfo=UTC)):
        db.create_all()
        service.register_survey_lookup(app, {"none": (1, "0" * 64)}.get)
        service.register_plan_check(app, lambda _plan, _place: None)
        with transaction() as work:
            work.session.add(
                Segment(key="small", name="Small", position=0, rule="everyone", settings={}, channel="field-rep")
            )
            work.session.execute(sa.text(_CUSTOMERS), {"many": customers})
            work.session.execute(sa.text(_PROFILES))
        service.create(SYSTEM, plan_for(customers))
        print(f"{customers:>12,}  seal {cpu(lambda: service.seal(SYSTEM, 'bench')):.2f} s", flush=True)
        yield app
        db.session.remove()
        db.engine.dispose()


def plan_for(customers: int) -> Plan:
    """Half of the customers, from 60 strata."""
    return Plan.model_validate({**_PLAN, "sampling": {"size": customers // 2, "strata": ["region", "activity"]}})


def query_of(plan: Plan) -> str:
    """The very statement with which the product reads who is eligible."""
    statement: Any = eligibility.chosen_query(plan)
    return str(statement.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": True}))


def bare_store(path: Path, query: str) -> None:
    """Read, draw, write, commit, with nothing but sqlite3 and numpy."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(query).fetchall()
        index: dict[tuple[str, ...], int] = {}
        codes = np.fromiter((index.setdefault(row[2:], len(index)) for row in rows), np.int64, len(rows))
        labels = [" · ".join(key) for key in index]
        line = np.random.default_rng(1).permutation(len(rows))
        line = line[np.argsort(codes.astype(np.uint8)[line], kind="stable")]
        drawn = line[::2]
        units = [
            (1, rows[place][1], labels[code], ("control", "pilot")[turn & 1], 0.5, 0.5)
            for turn, (place, code) in enumerate(zip(drawn.tolist(), codes[drawn].tolist(), strict=True))
        ]
        connection.executemany(
            "INSERT INTO units (experiment_id, customer_id, stratum, arm, inclusion_probability, arm_probability) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            units,
        )
        connection.execute("COMMIT")


def with_store(most: int) -> None:
    """Our draw and the bare one on copies of one base."""
    print("\nWith the store: CPU s")
    for customers in (size for size in (100_000, 1_000_000) if size <= most):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "ours"
            with base(folder, customers):
                query = query_of(service.plan_of(service.get("bench")))
                with transaction():
                    db.session.execute(sa.text("SELECT 1"))
                copy = Path(name) / "bare.sqlite"
                db.session.remove()
                db.engine.dispose()
                with closing(sqlite3.connect(folder / "pilot.sqlite")) as whole:
                    whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shutil.copy(folder / "pilot.sqlite", copy)
                bare = cpu(lambda copy=copy, query=query: bare_store(copy, query))
                ours = cpu(lambda: service.draw(SYSTEM, "bench", "3 17 22 41 56 88"))
                again = cpu(lambda: service.replay("bench"))
            print(
                f"{customers:>12,}  draw {ours:.2f} s, bare {bare:.2f} s, ratio {ours / bare:.2f}; replay {again:.2f} s; "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
                flush=True,
            )


def main() -> None:
    """First in memory, then with the store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000_000, help="most in memory")
    parser.add_argument("--stored", type=int, default=1_000_000, help="most in the store")
    asked = parser.parse_args()
    in_memory(asked.customers)
    with_store(asked.stored)


if __name__ == "__main__":
    main()
