"""What happens between draw and survey: touches and orders of the customers in the experiment.

This is the simulated world, not the product: it knows the truth (the desk costs less, satisfies about as
well) and writes it into files such as a CRM and an order system would export.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from pilot.demo.world import comma


@dataclass(frozen=True, slots=True)
class Subject:
    """One customer in the experiment, as far as the world's course depends on it."""

    ref: str
    arm: str
    orders_a_year: float
    basket: float


def person(seed: int, ref: str, purpose: str) -> np.random.Generator:
    """The random numbers of one customer: the same whoever asks, in whatever order."""
    return np.random.default_rng([seed, *ref.encode(), *purpose.encode()])


def write_touches(path: Path, subjects: Iterable[Subject], seed: int, start: date, end: date) -> None:
    """Write what the two ways of handling did in the period (`end` exclusive) as `touches.csv`."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(("Customer no", "Date", "Channel", "Kind", "Minutes"))
        for subject in subjects:
            rng = person(seed, subject.ref, "touches")
            plan = _desk(rng) if subject.arm != "control" else _rep(rng)
            for channel, kind, minutes in plan:
                day = start + timedelta(days=int(rng.integers(0, (end - start).days)))
                writer.writerow((subject.ref, f"{day:%d/%m/%Y}", channel, kind, comma(minutes)))


def _rep(rng: np.random.Generator) -> Iterator[tuple[str, str, float]]:
    """The list: now and then a visit, now and then a call."""
    for _ in range(rng.poisson(0.65)):
        yield "field-rep", "visit", float(np.clip(rng.normal(45, 12), 15, 120))
    for _ in range(rng.poisson(0.8)):
        yield "field-rep", "call", float(np.clip(rng.normal(9, 4), 2, 40))


def _desk(rng: np.random.Generator) -> Iterator[tuple[str, str, float]]:
    """The desk: a call a month and a mail every fortnight, mostly kept; here and there the rep still visits."""
    for _ in range(rng.binomial(3, 0.9)):
        yield "service-desk", "call", float(np.clip(rng.normal(8, 3), 2, 30))
    for _ in range(rng.binomial(6, 0.85)):
        yield "service-desk", "mail", float(np.clip(rng.normal(3, 1), 1, 10))
    if rng.random() < 0.04:
        yield "field-rep", "visit", float(np.clip(rng.normal(45, 12), 15, 120))


def write_orders(path: Path, subjects: Iterable[Subject], seed: int, start: date, end: date) -> None:
    """Write the orders of the period (`end` exclusive) as `orders-pilot.csv`."""
    days = (end - start).days
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(("Customer no", "Order no", "Date", "Amount", "Status"))
        for subject in subjects:
            rng = person(seed, subject.ref, "orders")
            lift = 1.03 if subject.arm != "control" else 1.0
            for number in range(rng.poisson(subject.orders_a_year * lift * days / 365)):
                day = start + timedelta(days=int(rng.integers(0, days)))
                amount = subject.basket * float(np.exp(rng.normal(-0.08, 0.4)))
                writer.writerow((subject.ref, f"P{subject.ref}-{number}", f"{day:%d/%m/%Y}", comma(amount), "shipped"))
