"""The work list: customers whose data somebody is to complete, the most valuable first.

Whoever works it, in the house or outside, sees of a customer its name, its city and the fields to be filled in; nothing
tells what it buys, how it is handled or what it takes part in. Each customer is claimed for a while by one person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.customers.models import Completion, ConfidentialityAcceptance, Customer, CustomerChange, ListedCustomer
from pilot.customers.people.entries import customer_value
from pilot.customers.people.listing import ListQuery, fitting
from pilot.customers.people.listkeys import GAPS
from pilot.customers.people.plausible import doubt, refusal
from pilot.db import Transaction, db, transaction
from pilot.errors import Forbidden, InputError, NotFound, StateError

WORKERS = ("outsourced", "agent")
LEASE = timedelta(minutes=30)
LONGEST_NOTE = 400
SURE = "sure-"
"""Before the name of a field: the value in it that somebody insists on though it looks mistyped."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker sees of a customer: all there is to see.

    Attributes:
        number: The task's own number; it says nothing about the customer.
        name, city: Who it is; the city is None where it is not known.
        fields: Those to be filled in, of `GAPS`.
        until: When the claim ends.
    """

    number: int
    name: str
    city: str | None
    fields: tuple[str, ...]
    until: datetime


def build(actor: Actor, fields: Sequence[str], query: ListQuery) -> int:
    """Put the customers who lack one of the fields on the work list, and take off it whoever is not wanted any more.

    What is claimed at this moment stays as it is, and so does what was found to be impossible.

    Args:
        actor: Of operations.
        fields: What is to be completed, of `GAPS`.
        query: Which customers, as in the list of customers.

    Returns:
        How many are left to be completed.

    Raises:
        InputError: No field was chosen, or one that is not kept track of.
    """
    actor.require("operations")
    if unknown := [name for name in fields if name not in GAPS]:
        raise InputError(f"{unknown[0]!r} cannot be completed", remedy=f"Choose from {', '.join(GAPS)}")
    if not fields:
        raise InputError(_("no field is chosen"), remedy=_("Choose at least one field to be completed"))
    with transaction() as work:
        work.session.execute(sa.delete(Completion).where(Completion.state == "open", free()))
        lacking = ListedCustomer.missing.op("&")(sum(1 << GAPS.index(name) for name in fields))
        wanted = sa.and_(lacking != 0, *fitting(query))
        for mask in work.session.scalars(sa.select(lacking).where(wanted).distinct()).all():
            _enlist(work, wanted & (lacking == mask), [name for bit, name in enumerate(GAPS) if mask & 1 << bit])
        left = work.session.scalar(sa.select(sa.func.count()).where(Completion.state == "open")) or 0
        narrows = {name: str(value) for name, value in query.narrows().items()}
        record(actor, "work list built", "completion", fields=list(fields), left=left, **narrows)
    return left


def accepted(actor: Actor, text: str) -> bool:
    """Whether the actor has accepted this confidentiality text, word for word."""
    own = (ConfidentialityAcceptance.actor == actor.name) & (ConfidentialityAcceptance.text_hash == text_hash(text))
    return db.session.scalar(sa.select(ConfidentialityAcceptance.id).where(own)) is not None


def accept(actor: Actor, text: str, shown: str) -> None:
    """Keep that the actor accepts the confidentiality text.

    Args:
        actor: Who accepts it.
        text: The text as it is now.
        shown: Hash of the text that the actor has read.

    Raises:
        StateError: The text has changed since it was shown.
    """
    actor.require(*WORKERS)
    if shown != text_hash(text):
        raise StateError(_("the text has changed since it was shown"), remedy=_("Read it again"))
    with transaction() as work:
        if not accepted(actor, text):
            work.session.add(ConfidentialityAcceptance(actor=actor.name, text_hash=shown, at=clock.now()))
            record(actor, "confidentiality accepted", f"user:{actor.name}", text_hash=shown)


def text_hash(text: str) -> str:
    """SHA-256 of a confidentiality text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def claimed(actor: Actor) -> Task | None:
    """The customer that the actor works on now; None if there is none."""
    actor.require(*WORKERS)
    mine = (Completion.claimed_by == actor.name) & (Completion.claimed_until > clock.now())
    found = db.session.scalar(sa.select(Completion).where(Completion.state == "open", mine))
    return _task(found) if found else None


def claim(actor: Actor, text: str) -> Task | None:
    """The next customer to complete, for half an hour the actor's alone: the one claimed already, or a new one.

    Args:
        actor: Who works.
        text: The confidentiality text, which the actor must have accepted.

    Returns:
        None if there is nothing left to do.

    Raises:
        Forbidden: The text has not been accepted.
    """
    actor.require(*WORKERS)
    if not accepted(actor, text):
        raise Forbidden(_("the confidentiality text has not been accepted"), remedy=_("Read and accept it first"))
    with transaction() as work:
        if task := claimed(actor):
            return task
        following = sa.select(Completion).where(Completion.state == "open", free())
        following = following.order_by(Completion.priority.desc(), Completion.id).limit(1)
        while found := work.session.scalar(following.with_for_update(skip_locked=True)):
            found.claimed_by, found.claimed_until = actor.name, clock.now() + LEASE
            task = _task(found)
            if task.fields:
                record(actor, "claimed", f"completion:{found.id}")
                return task
            _settle(actor, found, "done")  # an import has brought it meanwhile
            work.session.flush()
    return None


def save(actor: Actor, number: int, entries: Mapping[str, str]) -> Task | None:
    """Write what the actor found out into the customer; empty entries are left out.

    Args:
        actor: Whose task it is.
        number: Of the task.
        entries: By field what was typed; by `SURE` and the field the value that the actor insists on.

    Returns:
        The task with what is still to be filled in; None once nothing is.

    Raises:
        FieldErrors: Entries cannot be taken over; nothing is written then.
        NotFound: There is no such task, or it is not the actor's.
        StateError: The claim is over and somebody else has the customer.
    """
    actor.require(*WORKERS)
    with transaction() as work:
        found = _own(work, actor, number)
        fields = _task(found).fields
        customer = work.session.get_one(Customer, found.customer_id, with_for_update=True)
        values = checked(fields, entries, customer.language)
        if values:
            write(work, actor, customer, values)
        if set(values) == set(fields):
            _settle(actor, found, "done")
            return None
        found.claimed_by, found.claimed_until = actor.name, clock.now() + LEASE
        return _task(found)


def give_up(actor: Actor, number: int, note: str) -> None:
    """Note that a customer's data cannot be completed, and why.

    Raises:
        InputError: There is no reason, or it is too long.
        NotFound, StateError: As for `save`.
    """
    actor.require(*WORKERS)
    note = " ".join(note.split())
    if not note or len(note) > LONGEST_NOTE:
        raise FieldErrors({"note": _("Write in a few words why it is not possible.")})
    with transaction() as work:
        found = _own(work, actor, number)
        found.note = note
        _settle(actor, found, "impossible")


def give_back(actor: Actor, number: int) -> None:
    """Let somebody else complete a customer.

    Raises:
        NotFound, StateError: As for `save`.
    """
    actor.require(*WORKERS)
    with transaction() as work:
        found = _own(work, actor, number)
        found.claimed_by = found.claimed_until = None
        record(actor, "given back", f"completion:{found.id}")


class FieldErrors(InputError):
    """Entries that cannot be taken over, with what is wrong by field.

    Attributes:
        doubts: Those of the fields whose entry is taken over if the person insists.
    """

    def __init__(self, errors: Mapping[str, str], doubts: Collection[str] = ()) -> None:
        super().__init__(next(iter(errors.values())).rstrip("."))
        self.errors = dict(errors)
        self.doubts = frozenset(doubts)


def free() -> sa.ColumnElement[bool]:
    """Whether nobody works on it now."""
    return Completion.claimed_until.is_(None) | (Completion.claimed_until <= clock.now())


def _enlist(work: Transaction, which: sa.ColumnElement[bool], fields: list[str]) -> None:
    """Add those customers, who all lack the same fields; one who was completed before is opened again."""
    from sqlalchemy.dialects import postgresql, sqlite

    insert: Any = (sqlite if db.session.get_bind().dialect.name == "sqlite" else postgresql).insert(Completion)
    columns = ("customer_id", "fields", "priority", "state")
    told = sa.literal(fields, sa.inspect(Completion).c["fields"].type)
    rows = sa.select(ListedCustomer.customer_id, told, ListedCustomer.revenue_year, sa.literal("open"))
    # A customer who has gone meanwhile is still in the copy.
    rows = rows.where(which, sa.exists().where(Customer.id == ListedCustomer.customer_id))
    insert = insert.from_select(columns, rows)
    cleared = {"claimed_by": None, "claimed_until": None, "note": None, "done_at": None, "done_by": None}
    renewed = {name: insert.excluded[name] for name in columns[1:]} | cleared
    work.session.execute(
        insert.on_conflict_do_update(
            index_elements=["customer_id"], set_=renewed, where=sa.inspect(Completion).c["state"] == "done"
        )
    )


def _task(found: Completion) -> Task:
    """What is still to be filled in, as the customer is now."""
    customer = db.session.get_one(Customer, found.customer_id)
    fields = tuple(name for name in found.fields if not getattr(customer, name))
    assert found.claimed_until is not None  # noqa: S101
    return Task(found.id, customer.name or customer.ref, customer.city, fields, found.claimed_until)


def _own(work: Transaction, actor: Actor, number: int) -> Completion:
    """The actor's task of this number. A claim that is over still holds as long as nobody else has the customer."""
    found = work.session.get(Completion, number, with_for_update=True)
    if found is None or found.claimed_by is None:
        raise NotFound(_("there is no such task"), remedy=_("Take the next customer"))
    if found.state != "open" or found.claimed_by != actor.name:
        raise StateError(_("this customer is not yours any more"), remedy=_("Take the next customer"))
    return found


def checked(fields: Sequence[str], entries: Mapping[str, str], language: str | None) -> dict[str, str]:
    """The values that were entered, as an import would take them over, unless they can hardly be meant."""
    values, errors, doubts = {}, {}, set()
    language = entries.get("language") or language
    for name in fields:
        text = entries.get(name, "")
        try:
            value = customer_value(name, text)
        except InputError as error:
            errors[name] = error.reason
            continue
        if not value:
            continue
        values[name] = value
        if reason := refusal(name, value, language):
            errors[name] = reason
        elif (reason := doubt(name, value)) and entries.get(SURE + name) != text:
            errors[name] = reason
            doubts.add(name)
    if errors:
        raise FieldErrors(errors, doubts)
    return values


def write(work: Transaction, actor: Actor, customer: Customer, values: Mapping[str, str]) -> None:
    """Write the values. The digest stays that of the imported row: the same row again changes nothing."""
    before = {name: getattr(customer, name) for name in values}
    at = clock.now()
    for name, value in values.items():
        setattr(customer, name, value)
    customer.by_hand = sorted({*customer.by_hand, *values})
    customer.updated_at = at
    work.session.add(
        CustomerChange(customer_id=customer.id, at=at, actor=actor.name, before=before, after=dict(values))
    )
    record(actor, "completed", f"customer:{customer.id}", fields=sorted(values))


def _settle(actor: Actor, found: Completion, state: str) -> None:
    found.state, found.done_at, found.done_by = state, clock.now(), actor.name
    found.claimed_until = None
    record(actor, state, f"completion:{found.id}")
