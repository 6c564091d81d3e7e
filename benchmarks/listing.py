"""The list of customers at size: what a page costs, however far one has turned and whatever one asks for.

The rows are made by the database itself; the copy that the list reads is then made as it is in life. Every question is
asked several times, and the median of its CPU time is printed; the goal is 100 ms at a million customers.

    python benchmarks/listing.py [--customers 1000000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from pilot.app import create_app
from pilot.config import Config
from pilot.customers.people import listkeys
from pilot.customers.people.listing import ListQuery, find
from pilot.db import db, transaction

ROUNDS = 5
_CUSTOMERS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
INSERT INTO customers (id, ref, name, email, language, region, sales_rep, city, digest, updated_at)
SELECT i, printf('C%08d', i),
       -- five trades and 1,000 surnames; one customer in 5,000 is a Zanardi
       substr('Bar      TrattoriaOfficina Studio   Ottica   ', 1 + 9 * (i * 7919 % 5), 9) || ' ' ||
       CASE WHEN i % 5000 = 7 THEN 'Zanardi'
            ELSE substr('ParoliMaseriTosoriViventBelluc', 1 + 3 * (i * 31 % 10), 3)
              || substr('acebidolufanerigomupatevizoqua', 1 + 3 * (i / 7 % 10), 3)
              || substr('linrettiniassellonariucceddune', 1 + 3 * (i / 73 % 10), 3) END || ' srl',
       CASE WHEN i % 5 THEN 'info@firm' || i || '.example' END, 'it', 'Region ' || (i / 3 % 20),
       'Rep ' || (i * 13 % 400), 'City ' || (i * 101 % 3001), 'x', '2026-01-01 00:00:00.000000'
FROM n
"""
_PROFILES = """
INSERT INTO profiles (customer_id, as_of, recency_days, frequency, monetary, revenue_year, last_order, activity, missing,
                      segment, contribution_year, potential)
SELECT id, '2026-01-01', id % 400, id % 50, id % 9000, (id * 48271 % 1000003) / 10.0, date('2026-01-01', -(id * 7 % 1500) || ' days'),
       CASE id * 3 % 10 WHEN 0 THEN 'lost' WHEN 1 THEN 'slowing' ELSE 'active' END, '[]', 'segment-' || (id * 11 % 6),
       (id * 48271 % 1000003) / 30.0, id % 100
FROM customers
"""


def median(work: Callable[[], object]) -> float:
    """CPU milliseconds of the median of several goes, with a new session for each as a request has."""
    taken = []
    for _ in range(ROUNDS):
        db.session.remove()
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken) * 1000


def questions() -> dict[str, Callable[[], object]]:
    """What is asked, by what to call it."""
    first = find(ListQuery())
    middle = find(ListQuery(revenue_to=50_000.0)).after
    return {
        "first page, by revenue": lambda: find(ListQuery()),
        "next page": lambda: find(ListQuery(), after=first.after),
        "a page in the middle": lambda: find(ListQuery(), after=middle),
        "the page before it": lambda: find(ListQuery(), before=middle),
        "by name": lambda: find(ListQuery(sort="name", descending=False)),
        "by last order, 100 lines": lambda: find(ListQuery(sort="last_order", size=100)),
        "search: a number": lambda: find(ListQuery(search="C00004711")),
        "search: rare word": lambda: find(ListQuery(search="zanardi")),
        "search: rare and common word": lambda: find(ListQuery(search="ottica paraceret", sort="name")),
        "search: one letter": lambda: find(ListQuery(search="b")),
        "search: two common words": lambda: find(ListQuery(search="bar srl", sort="city")),
        "search: common word, filter": lambda: find(ListQuery(search="trattoria", segment="segment-3")),
        "search: nobody": lambda: find(ListQuery(search="xylophone")),
        "region (1 in 20), by last order": lambda: find(ListQuery(region="Region 3", sort="last_order")),
        "rep (1 in 400), by revenue": lambda: find(ListQuery(sales_rep="Rep 7")),
        "rep and region: nobody": lambda: find(ListQuery(sales_rep="Rep 7", region="Region 4")),
        "segment and lost, by revenue": lambda: find(ListQuery(segment="segment-3", activity="lost")),
        "region, segment, lost, by name": lambda: find(
            ListQuery(region="Region 3", segment="segment-3", activity="lost", sort="name")
        ),
        "no e-mail, by revenue": lambda: find(ListQuery(missing="email")),
        "revenue range, by name": lambda: find(ListQuery(revenue_from=99_000.0, sort="name")),
        "last order range, by city": lambda: find(
            ListQuery(ordered_from=date(2025, 12, 1), ordered_to=date(2025, 12, 31), sort="city")
        ),
    }


def main() -> None:
    """Make the base, make the copy, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    many = parser.parse_args().customers
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Config(secret_key="k" * 16 + "3v9Tq27mWzR5bLpN", data_dir=Path(folder)))
        with app.app_context():
            db.create_all()
            with transaction() as work:
                work.session.execute(sa.text(_CUSTOMERS), {"many": many})
                work.session.execute(sa.text(_PROFILES))
            for what in ("made", "compared when nothing differs"):
                started = time.process_time()
                listkeys.catch_up()
                spent = time.process_time() - started
                print(f"the copy of {many:,} customers {what}: {spent:.1f} s, {spent / many * 1e6:.1f} µs each")
            size = (Path(folder) / "pilot.sqlite").stat().st_size
            print(f"the database: {size / 2**20:,.0f} MB\n")
            for name, work_of in questions().items():
                print(f"{name:<36} {median(work_of):>8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
