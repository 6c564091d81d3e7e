"""Customers that are likely one: the same legal entity, the same mail domain, the same address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.customers.bulk import BATCH, batches
from pilot.customers.models import Customer, Duplicate
from pilot.customers.people.quality import only_digits
from pilot.db import Transaction, db, transaction
from pilot.errors import InputError, NotFound

MOST = 10
"""A larger group is a finding about the data, such as a domain that a franchise shares, and no pairs are made of it."""
STATES = ("open", "same", "different")
# fmt: off
PUBLIC = (
    "gmail.com", "googlemail.com", "outlook.com", "outlook.it", "hotmail.com", "hotmail.it", "live.com", "live.it",
    "msn.com", "yahoo.com", "yahoo.it", "yahoo.co.uk", "icloud.com", "me.com", "mac.com", "aol.com", "gmx.com",
    "gmx.net", "proton.me", "protonmail.com", "mail.com", "libero.it", "virgilio.it", "tiscali.it", "alice.it",
    "tin.it", "inwind.it", "iol.it", "fastwebnet.it", "email.it", "pec.it", "legalmail.it", "aruba.it",
    "arubapec.it", "wp.pl", "onet.pl", "o2.pl", "interia.pl", "interia.eu", "poczta.fm", "poczta.onet.pl", "op.pl",
    "vp.pl", "gazeta.pl", "tlen.pl", "btinternet.com", "sky.com", "virginmedia.com", "talktalk.net",
)
# fmt: on
"""Providers whose domain many people have who have nothing else in common."""


@dataclass(frozen=True, slots=True)
class Group:
    """Too many customers with the same value for it to mean that they are one.

    Attributes:
        reason: `legal_entity`, `domain` or `address`.
        value: What they share, as it was compared.
        customers: How many they are.
    """

    reason: str
    value: str
    customers: int


def find(actor: Actor) -> tuple[int, list[Group]]:
    """Look for likely duplicates anew. What a person has decided about a pair stands.

    Returns:
        How many pairs wait for a decision, and the groups that are too large to be pairs, the largest first.
    """
    actor.require("operations")
    groups: list[Group] = []
    with transaction() as work:
        pairs: dict[tuple[int, int], list[str]] = {}
        for reason, key in shared_values().items():
            groups += _large(reason, key)
            for pair in _pairs(key):
                pairs.setdefault(pair, []).append(reason)
        _store(work, pairs)
        waiting = work.session.scalar(sa.select(sa.func.count()).where(Duplicate.state == "open")) or 0
        record(actor, "duplicates sought", "duplicates", open=waiting, groups=len(groups))
    return waiting, sorted(groups, key=lambda group: (-group.customers, group.reason, group.value))


def open_pairs(limit: int = 100) -> list[tuple[Duplicate, Customer, Customer]]:
    """Pairs that wait for a decision, those with most in common first."""
    first, second = aliased(Customer), aliased(Customer)
    query = sa.select(Duplicate, first, second).join(first, first.id == Duplicate.first_id)
    query = query.join(second, second.id == Duplicate.second_id).where(Duplicate.state == "open")
    length = sa.func.json_array_length if _sqlite() else sa.func.jsonb_array_length
    query = query.order_by(length(Duplicate.reasons).desc(), Duplicate.id).limit(limit)
    return [(pair, one, other) for pair, one, other in db.session.execute(query)]


def decide(actor: Actor, number: int, state: str) -> None:
    """Say of a pair whether it is one customer (`same`) or two (`different`), or open the question again (`open`).

    Raises:
        InputError: The state is none of these.
        NotFound: There is no such pair.
    """
    actor.require("operations")
    if state not in STATES:
        raise InputError(f"a pair cannot be {state!r}", remedy=f"Choose from {', '.join(STATES)}")
    with transaction() as work:
        pair = work.session.get(Duplicate, number, with_for_update=True)
        if pair is None:
            raise NotFound("there is no such pair", remedy="Choose one of the list")
        pair.state = state
        pair.decided_at, pair.decided_by = (None, None) if state == "open" else (clock.now(), actor.name)
        record(actor, f"pair {state}", f"duplicate:{pair.first_id}-{pair.second_id}")


def _sqlite() -> bool:
    return db.session.get_bind().dialect.name == "sqlite"


def shared_values() -> dict[str, sa.ColumnElement[str]]:
    """What likely doubles share, by reason, as expressions over `Customer`; NULL or "" where there is nothing to compare."""
    place = sa.func.instr if _sqlite() else sa.func.strpos
    email = sa.func.lower(Customer.email)
    domain = sa.func.substr(email, place(email, "@") + 1)
    street = sa.func.replace(sa.func.replace(sa.func.lower(only_digits(Customer.street)), ",", ""), "'", "")
    return {
        "legal_entity": sa.func.upper(only_digits(Customer.legal_entity)),
        "domain": sa.case((domain.not_in(PUBLIC), domain), else_=""),
        "address": sa.case(
            (
                (sa.func.coalesce(Customer.street, "") != "") & (sa.func.coalesce(Customer.postcode, "") != ""),
                street + sa.literal("|") + only_digits(Customer.postcode),
            ),
            else_="",
        ),
    }


def _grouped(key: sa.ColumnElement[str]) -> sa.Select[str, int]:
    number = sa.func.count().label("customers")
    return sa.select(key.label("value"), number).where(key != "").group_by(key)


def _large(reason: str, key: sa.ColumnElement[str]) -> Iterator[Group]:
    for value, customers in db.session.execute(_grouped(key).having(sa.func.count() > MOST)):
        yield Group(reason, value, customers)


def _pairs(key: sa.ColumnElement[str]) -> Iterator[tuple[int, int]]:
    """The pairs within each group of 2 to `MOST`, smaller id first."""
    shared = _grouped(key).having(sa.func.count().between(2, MOST)).subquery()
    rows = db.session.execute(
        sa.select(shared.c.value, Customer.id)
        .join_from(Customer, shared, key == shared.c.value)
        .order_by(shared.c.value, Customer.id)
        .execution_options(yield_per=BATCH)
    )
    for _value, members in groupby(rows, key=lambda row: row.value):
        yield from combinations([row.id for row in members], 2)


def _store(work: Transaction, pairs: dict[tuple[int, int], list[str]]) -> None:
    """Keep what stands, add what is new, and take away open pairs that have nothing in common any more."""
    known = {
        (row.first_id, row.second_id): (row.id, row.reasons, row.state)
        for row in work.session.execute(
            sa.select(Duplicate.id, Duplicate.first_id, Duplicate.second_id, Duplicate.reasons, Duplicate.state)
        )
    }
    gone = [number for pair, (number, _, state) in known.items() if state == "open" and pair not in pairs]
    for some in batches(gone):
        work.session.execute(sa.delete(Duplicate).where(Duplicate.id.in_(some)))
    new = [
        {"first_id": first, "second_id": second, "reasons": reasons, "state": "open"}
        for (first, second), reasons in pairs.items()
        if (first, second) not in known
    ]
    for some_new in batches(new):
        work.session.execute(sa.insert(Duplicate), some_new)
    changed = [
        {"id": known[pair][0], "reasons": reasons}
        for pair, reasons in pairs.items()
        if pair in known and known[pair][1] != reasons
    ]
    if changed:
        work.session.execute(sa.update(Duplicate), changed)
