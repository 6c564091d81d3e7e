"""A fictitious wholesaler's customer base and two years of its orders, made from a seed.

Nothing here is copied from a real company. Revenue is heavy-tailed, fields are missing or dirty, and the
files look like what an Italian back office exports: semicolons, decimal commas, day first.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

YEARS = 2

REGIONS: dict[str, tuple[str, ...]] = {
    "it": ("Lombardia", "Veneto", "Emilia-Romagna", "Piemonte", "Toscana"),
    "pl": ("Mazowieckie", "Śląskie", "Małopolskie", "Wielkopolskie"),
    "en": ("Malta", "Ireland"),
}
CITIES: dict[str, tuple[str, ...]] = {
    "it": ("Milano", "Verona", "Forlì", "Cantù", "Città di Castello", "Prato"),
    "pl": ("Łódź", "Gdańsk", "Kraków", "Rzeszów", "Bielsko-Biała", "Poznań"),
    "en": ("Valletta", "Cork", "Galway", "Sliema"),
}
TRADES: dict[str, tuple[str, ...]] = {
    "it": ("Ferramenta", "Officine", "Panificio", "Tipografia", "Falegnameria", "Libreria", "Caffè", "Edilizia"),
    "pl": ("Hurtownia", "Zakład", "Piekarnia", "Drukarnia", "Stolarnia", "Księgarnia", "Żłobek", "Usługi"),
    "en": ("Hardware", "Joinery", "Bakery", "Printers", "Books", "Catering", "Garage", "Supplies"),
}
FAMILIES: dict[str, tuple[str, ...]] = {
    "it": ("Bianchi", "Fioravanti", "Nicolò", "De Santis", "Mazzù", "Pellegrini", "Corradi", "D'Agostino", "Zanella"),
    "pl": ("Kowalczyk", "Wiśniewska", "Żurek", "Łukasik", "Dąbrowski", "Górski", "Sęk", "Ćwikła", "Jabłońska"),
    "en": ("Harper", "O'Leary", "Camilleri", "Byrne", "Vella", "Whelan", "Grech", "Nolan", "Fenech"),
}
FORMS = {"it": "S.r.l.", "pl": "sp. z o.o.", "en": "Ltd"}

REPS = tuple(f"Rep {letter}" for letter in "ABCDEFGHIJKL")


@dataclass(frozen=True, slots=True)
class World:
    """The company before the pilot: its customers and what drives their ordering."""

    seed: int
    as_of: date
    refs: tuple[str, ...]
    languages: tuple[str, ...]
    orders_a_year: npt.NDArray[np.float64]
    basket: npt.NDArray[np.float64]
    """Typical amount of one order."""
    joined: npt.NDArray[np.int64]
    """Days before `as_of` on which the customer may first order."""
    left: npt.NDArray[np.int64]
    """Days before `as_of` after which the customer ordered no more; 0 for those who stay."""


def make(seed: int, customers: int, as_of: date) -> World:
    """The world of this seed."""
    rng = np.random.default_rng([seed, 1])
    languages = rng.choice(["it", "pl", "en"], size=customers, p=[0.55, 0.33, 0.12])
    size = rng.normal(0.0, 1.0, customers)
    days = 365 * YEARS
    return World(
        seed=seed,
        as_of=as_of,
        refs=tuple(f"C{number:06d}" for number in range(10001, 10001 + customers)),
        languages=tuple(str(language) for language in languages),
        orders_a_year=np.clip(np.exp(1.55 + 0.55 * size + rng.normal(0, 0.45, customers)), 0.5, 120),
        basket=np.exp(5.1 + 0.85 * size + rng.normal(0, 0.55, customers)),
        joined=np.where(rng.random(customers) < 0.8, days, rng.integers(20, days, customers)),
        left=np.where(rng.random(customers) < 0.88, 0, rng.integers(60, days, customers)),
    )


def write_base(world: World, folder: Path) -> tuple[Path, Path]:
    """Write `customers.csv` and `orders.csv` as the company's own systems would export them.

    Returns:
        The two paths, customers first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    customers, orders = folder / "customers.csv", folder / "orders.csv"
    header = ("Customer no", "Name", "E-mail", "Phone", "Language", "Region", "Sales rep", "City", "Postcode")
    _write(customers, header, _customer_rows(world))
    _write(orders, ("Customer no", "Order no", "Date", "Amount", "Status"), _order_rows(world))
    return customers, orders


def _write(path: Path, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(header)
        writer.writerows(rows)


def _customer_rows(world: World) -> Iterator[tuple[str, ...]]:
    rng = np.random.default_rng([world.seed, 2])
    for number, (ref, language) in enumerate(zip(world.refs, world.languages, strict=True)):
        dirt = rng.random(8)
        region = rng.choice(REGIONS[language])
        family = str(rng.choice(FAMILIES[language]))
        name = f"{rng.choice(TRADES[language])} {family} {FORMS[language]}"
        row = (
            ref,
            name.upper() if dirt[0] < 0.03 else f" {name} " if dirt[0] < 0.05 else name,
            "" if dirt[1] < 0.05 else _address(ref, language),
            "" if dirt[2] < 0.2 else _phone(language, number),
            "" if dirt[3] < 0.06 else language,
            "" if dirt[4] < 0.02 else str(region),
            "" if dirt[5] < 0.04 else REPS[(number * 7 + len(region)) % len(REPS)],
            "" if dirt[6] < 0.03 else str(rng.choice(CITIES[language])),
            "" if dirt[7] < 0.1 else f"{10000 + number * 37 % 89999}",
        )
        yield row
        if number % 4001 == 4000:
            yield row  # exported twice
        if number % 6007 == 6006:
            yield ("", *row[1:])  # lost its number
        if number % 5003 == 5002:
            yield (f"X{number}", "Broken & Sons", "info(at)example.com", *row[3:])


def _address(ref: str, language: str) -> str:
    """Every seventh customer sits behind a mail gateway that opens all links (see `respondents`)."""
    local = {"it": "ufficio", "pl": "biuro", "en": "office"}[language]
    domain = "gateway.example.com" if int(ref[1:]) % 7 == 0 else "example.com"
    return f"{local}@{ref.lower()}.{domain}"


def _phone(language: str, number: int) -> str:
    prefix = {"it": "+39 0", "pl": "+48 ", "en": "+353 "}[language]
    return f"{prefix}{20 + number % 60} {1000000 + number * 7919 % 8999999}"


def _order_rows(world: World) -> Iterator[tuple[str, ...]]:
    rng = np.random.default_rng([world.seed, 3])
    span = world.joined - world.left
    counts = rng.poisson(world.orders_a_year * np.clip(span, 0, None) / 365.0)
    number = 0
    for index, count in enumerate(counts):
        ages = np.sort(rng.integers(world.left[index], max(world.joined[index], world.left[index] + 1), count))[::-1]
        amounts = world.basket[index] * np.exp(rng.normal(-0.08, 0.4, count))
        cancelled = rng.random(count) < 0.015
        for age, amount, void in zip(ages, amounts, cancelled, strict=True):
            number += 1
            day = world.as_of - timedelta(days=int(age))
            status = "cancelled" if void else "shipped"
            yield (world.refs[index], f"O{number:07d}", f"{day:%d/%m/%Y}", comma(float(amount)), status)


def comma(amount: float) -> str:
    """An amount as the company's spreadsheets write it: `1234,50`."""
    return f"{amount:.2f}".replace(".", ",")
