"""What is missing, what can hardly be right, and who is likely the same customer twice."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.models import Customer, Duplicate
from pilot.customers.people import duplicates, quality
from pilot.db import db, transaction
from pilot.errors import Forbidden, InputError, NotFound

from ..adding import add

OPERATOR = Actor("op@example.com", frozenset({"operations"}))


def test_each_field_tells_what_is_missing_and_what_is_odd(app: Flask) -> None:
    add(
        {"name": "12345", "email": "info@a.example", "phone": "+39 (051)", "language": "it", "postcode": "4012"},
        {"name": "3 Fratelli", "email": "INFO2@b.example", "phone": "1234567890123456", "language": "it",
         "postcode": "40121", "legal_entity": "IT 01234567890"},
        {"name": "", "email": "informatica@c.example", "phone": "", "language": "pl", "postcode": "00-950",
         "legal_entity": "123-456-78-9"},
        {"name": "Anna", "email": "biuro@d.example", "language": "pl", "postcode": "00950x"},
        {"name": "Rossi Mario", "language": "it", "legal_entity": "RSSMRA80A01F205X", "postcode": ""},
        {"name": "Smith", "language": "en", "postcode": "SW1A 1AA", "legal_entity": "1"},
        listed=False,
    )  # fmt: skip
    told = quality.counts()
    assert told["name"] == {"empty": 1, "name_of_digits": 1}
    assert told["email"] == {"empty": 2, "role_address": 3}
    assert told["phone"] == {"empty": 4, "short_phone": 1, "long_phone": 1, "shared_phone": 0}
    assert told["postcode"] == {"empty": 1, "odd_postcode": 2}
    assert told["legal_entity"] == {"empty": 2, "odd_tax_number": 1}
    assert told["city"] == {"empty": 6}


def test_a_number_that_many_share_is_found_however_it_is_written(app: Flask) -> None:
    written = ("051 44 55 66", "051-445566", "(051)445566", "051/44.55.66", "051445566")
    add(*({"phone": phone} for phone in (*written, "02 1", "02 1")), listed=False)
    assert quality.counts()["phone"]["shared_phone"] == 5


def test_nothing_is_wrong_with_an_empty_base(app: Flask) -> None:
    assert {number for field in quality.counts().values() for number in field.values()} == {0}


def pairs() -> dict[tuple[str, str], tuple[list[str], str]]:
    names = {customer.id: customer.name for customer in db.session.scalars(sa.select(Customer))}
    found = db.session.scalars(sa.select(Duplicate))
    return {(names[pair.first_id], names[pair.second_id]): (pair.reasons, pair.state) for pair in found}


TWINS = (
    {"name": "A", "legal_entity": "IT 0123", "email": "anna@firm.example"},
    {"name": "B", "legal_entity": "it-0123", "email": "BRUNO@FIRM.EXAMPLE"},
    {"name": "C", "street": "Via Roma, 1", "postcode": "40 121", "email": "c@gmail.com"},
    {"name": "D", "street": "via  roma 1", "postcode": "40121", "email": "d@gmail.com"},
    {"name": "E", "street": "via roma 1", "postcode": None, "legal_entity": ""},
    {"name": "F", "legal_entity": "", "street": ""},
)


def test_what_customers_share_makes_them_pairs(app: Flask) -> None:
    add(*TWINS, listed=False)
    assert duplicates.find(OPERATOR) == (2, [])
    assert pairs() == {
        ("A", "B"): (["legal_entity", "domain"], "open"),
        ("C", "D"): (["address"], "open"),
    }
    first = duplicates.open_pairs()[0]
    assert [customer.name for customer in first[1:]] == ["A", "B"]  # most in common


def test_a_decision_stands_and_what_is_no_pair_any_more_goes(app: Flask) -> None:
    add(*TWINS, listed=False)
    duplicates.find(OPERATOR)
    numbers = {reasons[0]: number for number, reasons in db.session.execute(sa.select(Duplicate.id, Duplicate.reasons))}
    duplicates.decide(OPERATOR, numbers["legal_entity"], "different")
    with transaction() as work:
        work.session.execute(sa.update(Customer).where(Customer.name.in_(["B", "D"])).values(email=None, street=None))
    assert duplicates.find(OPERATOR)[0] == 0
    assert pairs() == {("A", "B"): (["legal_entity"], "different")}
    pair = db.session.scalars(sa.select(Duplicate)).one()
    assert (pair.decided_by, pair.decided_at is None) == ("op@example.com", False)
    duplicates.decide(OPERATOR, pair.id, "open")
    assert (pair.state, pair.decided_by) == ("open", None)


def test_a_large_group_is_a_finding_and_no_thousand_pairs(app: Flask) -> None:
    add(*({"email": f"shop{n}@chain.example", "name": f"S{n:02d}"} for n in range(11)), listed=False)
    waiting, groups = duplicates.find(OPERATOR)
    assert waiting == 0
    assert groups == [duplicates.Group("domain", "chain.example", 11)]
    with transaction() as work:
        work.session.execute(sa.delete(Customer).where(Customer.name == "S10"))
    assert duplicates.find(OPERATOR) == (45, [])  # 10 · 9 / 2


def test_wrong_decisions_are_refused(app: Flask) -> None:
    with pytest.raises(InputError):
        duplicates.decide(OPERATOR, 1, "merged")
    with pytest.raises(NotFound):
        duplicates.decide(OPERATOR, 1, "same")
    with pytest.raises(Forbidden):
        duplicates.find(Actor("x", frozenset({"agent"})))
