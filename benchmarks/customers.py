"""Imports beside the bare limits, in one run: CPU time for each row, ratios, memory, and how the cost grows with rows.

Bare limits: Python's csv module and one upsert by `executemany`, in one transaction of an SQLite file with a 256 MB page
cache, for customers; DuckDB's COPY of the CSV file to Parquet for orders. Ours include detection, every check, the search
for customers that are there already, and the order store's durable file. Each runs in a process of its own, whose start
(loading the program and its libraries, once) is not counted.

With `--memory` the most memory that each import held, by size of the file, beside a program that only started.

    python benchmarks/customers.py [--customers 1000000] [--orders-each 5] [--seed 1] [--sorted] [--memory]
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FIELDS = (
    "ref",
    "name",
    "email",
    "phone",
    "language",
    "region",
    "sales_rep",
    "street",
    "city",
    "postcode",
    "legal_entity",
    "sector",
)
_FIRST = [
    "Bar",
    "Bottega",
    "Caffè",
    "Ferramenta",
    "Forno",
    "Hotel",
    "Officina",
    "Pizzeria",
    "Studio",
    "Trattoria",
    "Zakład",
    "Sklep",
]
_LAST = [
    "Rossi",
    "Bianchi",
    "Esposito",
    "Ferrari",
    "Colombo",
    "Żurek",
    "Nowak",
    "Kowalski",
    "Wójcik",
    "Romano",
    "Greco",
    "Forlì",
]
_PLACES = ("Roma", "Milano", "Forlì", "Łódź", "Kraków", "Torino", "Bari", "Gdańsk")


def write_customers(path: Path, rows: int, seed: int, *, ordered: bool) -> None:
    """A file of customers as an Italian spreadsheet saves it, in random order unless `ordered`."""
    rng = random.Random(seed)
    numbers = list(range(rows))
    if not ordered:
        rng.shuffle(numbers)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(FIELDS)
        writer.writerows(_customer(number, rng) for number in numbers)


def _customer(number: int, rng: random.Random) -> tuple[str, ...]:
    place = rng.choice(_PLACES)
    return (
        f"K{number:08d}",
        f"{rng.choice(_FIRST)} {rng.choice(_LAST)} {number % 9973}",
        f"info{number}@azienda{number % 99_991}.example.com",
        f"+39 0{rng.randrange(10, 99)} {rng.randrange(10**6, 10**7)}",
        rng.choice(("it", "pl", "en")),
        f"Regione {rng.randrange(20)}",
        f"Rep {rng.randrange(200)}",
        f"Via {rng.choice(_LAST)} {rng.randrange(1, 300)}",
        place,
        f"{rng.randrange(100_000):05d}",
        f"IT{rng.randrange(10**11):011d}",
        rng.choice(("Retail", "Horeca", "Crafts", "Health")),
    )


def write_orders(path: Path, customers: int, each: int, seed: int) -> None:
    """A file of orders with days and amounts as Italians write them."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("customer_ref;order_ref;ordered_on;amount;cancelled\r\n")
        for number in range(customers * each):
            day = f"{rng.randrange(1, 29):02d}/{rng.randrange(1, 13):02d}/{rng.randrange(2022, 2026)}"
            amount = f"{rng.randrange(100, 100_000) / 100:.2f}".replace(".", ",")
            out.write(
                f"K{rng.randrange(customers):08d};A{number:09d};{day};{amount};{'x' if number % 50 == 0 else ''}\r\n"
            )


def bare_upsert(folder: Path, file: Path) -> None:
    """Csv and `executemany`."""
    database = folder / "bare.sqlite"
    database.unlink(missing_ok=True)
    columns = ", ".join(f"{name} TEXT" for name in FIELDS[1:])
    changes = ", ".join(f"{name} = excluded.{name}" for name in FIELDS[1:])
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute(f"CREATE TABLE customers (id INTEGER PRIMARY KEY, ref TEXT UNIQUE, {columns})")
    with file.open(encoding="utf-8", newline="") as rows:
        reader = csv.reader(rows, delimiter=";")
        next(reader)
        connection.executemany(
            f"INSERT INTO customers ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
            f"ON CONFLICT (ref) DO UPDATE SET {changes}",
            reader,
        )
    connection.commit()
    connection.close()


def bare_copy(folder: Path, file: Path) -> None:
    """DuckDB from CSV to Parquet, with its own detection of delimiter and types."""
    import duckdb

    started.append(_used())
    engine = duckdb.connect(":memory:", config={"memory_limit": "512MB", "temp_directory": str(folder / "spill")})
    engine.execute(f"COPY (FROM read_csv('{file}')) TO '{folder / 'bare.parquet'}' (FORMAT parquet, COMPRESSION zstd)")
    finished.append(_used())


def ours(kind: str) -> Callable[[Path, Path], None]:
    """An import of this kind by the product, without the start of the application."""

    def run(folder: Path, file: Path) -> None:
        from pilot.accounts.service import SYSTEM
        from pilot.customers.intake.service import import_file

        with _application(folder):
            import_file(SYSTEM, kind, _one_row(folder, kind), dry_run=True)
            started.append(_used())
            import_file(SYSTEM, kind, file)
            finished.append(_used())

    return run


def _one_row(folder: Path, kind: str) -> Path:
    """A file that makes the program load all it needs."""
    path = folder / "one.csv"
    write_customers(path, 1, 1, ordered=True) if kind == "customers" else write_orders(path, 1, 1, 1)
    return path


def nothing(folder: Path, _file: Path) -> None:
    """The program alone."""
    from pilot.accounts.service import SYSTEM
    from pilot.customers.intake.service import import_file

    with _application(folder):
        import_file(SYSTEM, "orders", _one_row(folder, "orders"), dry_run=True)


started: list[float] = []
finished: list[float] = []


@contextmanager
def _application(folder: Path) -> Iterator[None]:
    from pilot.app import create_app
    from pilot.config import load
    from pilot.db import db

    app = create_app(load(secret_key="benchmark-only-kX3v9Tq27mWzR5bLpN8cYd4HsJ", data_dir=folder / "data"))
    with app.app_context():
        (folder / "data").mkdir(exist_ok=True)
        db.create_all()
        yield


WORKS: dict[str, Callable[[Path, Path], None]] = {
    "bare upsert": bare_upsert,
    "bare copy": bare_copy,
    "customers": ours("customers"),
    "orders": ours("orders"),
    "nothing": nothing,
}
GROWING = {"customers": (100_000, 1_000_000, 3_000_000), "orders": (1_000_000, 5_000_000, 10_000_000)}


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(work: str, folder: Path, file: Path) -> dict[str, Any]:
    """CPU seconds, wall seconds and megabytes of one piece of work in a process of its own."""
    command = [sys.executable, __file__, "--work", work, "--folder", str(folder), "--file", str(file)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def _work(arguments: argparse.Namespace) -> None:
    before, clock = _used(), time.monotonic()
    WORKS[arguments.work](arguments.folder, arguments.file)
    taken = finished[0] - started[0] if finished else _used() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": taken, "wall": time.monotonic() - clock, "megabytes": peak}))


def _line(name: str, rows: int, found: dict[str, Any], against: float = 0.0) -> float:
    each = found["cpu"] / rows * 1e6
    ratio = f"{each / against:8.2f}" if against else f"{'-':>8}"
    print(f"{name:<34}{rows:>11,}{found['cpu']:>9.2f}{each:>10.2f}{ratio}{found['megabytes']:>9.0f}", flush=True)
    return each


def compare(customers: int, each: int, seed: int, *, ordered: bool) -> dict[str, float]:
    """One size: both kinds beside their limits; CPU microseconds for each row of ours."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        people, orders = folder / "customers.csv", folder / "orders.csv"
        write_customers(people, customers, seed, ordered=ordered)
        write_orders(orders, customers, each, seed)
        limit = _line("csv + executemany", customers, measured("bare upsert", folder, people))
        first = _line("customers, first import", customers, measured("customers", folder, people), limit)
        _line("the same file (to the first)", customers, measured("customers", folder, people), first)
        with people.open("a", encoding="utf-8", newline="") as more:
            csv.writer(more, delimiter=";").writerow(_customer(customers, random.Random(seed)))
        _line("one row more (to the first)", customers + 1, measured("customers", folder, people), first)
        limit = _line("DuckDB COPY", customers * each, measured("bare copy", folder, orders))
        found = _line("orders", customers * each, measured("orders", folder, orders), limit)
        return {"customers": first, "orders": found}


def memory(seed: int) -> None:
    """The peak of each import as files grow."""
    print(f"{'':<34}{'rows':>11}{'MB file':>9}{'MB peak':>9}{'CPU s':>9}")
    for kind, sizes in {"nothing": (1,), **GROWING}.items():
        for rows in sizes:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                file = folder / "rows.csv"
                if kind == "customers":
                    write_customers(file, rows, seed, ordered=False)
                else:
                    write_orders(file, rows // 5 + 1, 5, seed)
                found = measured(kind, folder, file)
                size = file.stat().st_size / 1e6
                print(f"{kind:<34}{rows:>11,}{size:>9.0f}{found['megabytes']:>9.0f}{found['cpu']:>9.1f}", flush=True)


def main() -> None:
    """Compare at a tenth and at the whole size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--orders-each", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sorted", action="store_true", help="Customers in the order of their numbers.")
    parser.add_argument("--memory", action="store_true", help="How memory grows with the file, instead.")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        _work(arguments)
        return
    if arguments.memory:
        memory(arguments.seed)
        return
    print(f"{'':<34}{'rows':>11}{'CPU s':>9}{'us a row':>10}{'ratio':>8}{'MB':>9}")
    sizes = (max(arguments.customers // 10, 1), arguments.customers)
    small, large = (compare(size, arguments.orders_each, arguments.seed, ordered=arguments.sorted) for size in sizes)
    for kind in small:
        print(f"{kind}: {10 * large[kind] / small[kind]:.1f} times the CPU at 10 times the rows")


if __name__ == "__main__":
    main()
