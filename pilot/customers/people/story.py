"""One customer's story: what happened with it, from all rooms of the house, on one time line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain, groupby
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask import Flask, current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from pilot.accounts.service import Actor
from pilot.config import current
from pilot.customers.models import Customer, CustomerChange, Import, Movement, Segment
from pilot.customers.orderstore import OrderFact, TouchFact, store
from pilot.customers.people.listing import READERS
from pilot.customers.wording import FIELD_NAMES, channel_names
from pilot.db import db
from pilot.errors import NotFound
from pilot.web import money

KINDS = {
    "order": lazy_gettext("Orders"),
    "touch": lazy_gettext("Touches"),
    "movement": lazy_gettext("Movements"),
    "change": lazy_gettext("Changes"),
    "import": lazy_gettext("Imports"),
    "pilot": lazy_gettext("Pilots"),
    "survey": lazy_gettext("Surveys"),
}
"""What a story tells of, with what pages call it."""
PAGE = 50
_CONTACTS = {"call": lazy_gettext("Call"), "mail": lazy_gettext("Mail"), "visit": lazy_gettext("Visit")}
_STATES = {
    "proposed": lazy_gettext("its new handling waits for approval"),
    "held": lazy_gettext("held back: the customer is in a running pilot"),
    "declined": lazy_gettext("the new handling was declined"),
    "overtaken": lazy_gettext("overtaken by a later movement"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened.

    Attributes:
        at: The day, or the moment where it is known.
        kind: One of `KINDS`.
        title: What happened, in the reader's language.
        details: More about it, a line each.
        changes: Field, value before and value after, for what was changed.
        good: False for what went wrong, such as a cancelled order.
    """

    at: date | datetime
    kind: str
    title: str
    details: tuple[str, ...] = ()
    changes: tuple[tuple[str, str | None, str | None], ...] = ()
    good: bool = True

    @property
    def day(self) -> date:
        """The day it happened, where the company is."""
        if isinstance(self.at, datetime):
            return self.at.astimezone(ZoneInfo(current().timezone)).date()
        return self.at


Teller = Callable[[Actor, int], Iterable[Entry]]
"""Tells what another room knows of a customer, as far as the reader's roles allow."""


@dataclass(frozen=True, slots=True)
class Story:
    """A page of a story.

    Attributes:
        months: The first day of each month with its entries, newest first.
        counts: How many entries there are of each kind, whatever page and filter.
        page: The number of this page, from 1.
        pages: How many there are.
    """

    months: list[tuple[date, list[Entry]]]
    counts: dict[str, int]
    page: int
    pages: int


def register_story(app: Flask, teller: Teller) -> None:
    """Let another room tell what it knows of a customer."""
    app.extensions.setdefault("pilot.story", []).append(teller)


def customer(number: int) -> Customer:
    """The customer of this id.

    Raises:
        NotFound: There is none.
    """
    found = db.session.get(Customer, number)
    if found is None:
        raise NotFound("there is no such customer", remedy="Search the list of customers")
    return found


def story(actor: Actor, number: int, *, kind: str = "", page: int = 1) -> Story:
    """What happened with a customer, newest first.

    Args:
        actor: Who reads it; the rooms tell what its roles allow.
        number: The customer's id.
        kind: Only this of `KINDS`; all if it is none of them.
        page: From 1; the last one if there are not so many.

    Raises:
        NotFound: There is no such customer.
    """
    actor.require(*READERS)
    told = list(_told(actor, customer(number)))
    counts = {name: sum(entry.kind == name for entry in told) for name in KINDS}
    chosen = [entry for entry in told if entry.kind == kind] if kind in KINDS else told
    chosen.sort(key=lambda entry: (entry.day, isinstance(entry.at, datetime) and entry.at.timestamp()), reverse=True)
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(max(page, 1), pages)
    shown = chosen[(page - 1) * PAGE : page * PAGE]
    months = groupby(shown, key=lambda entry: entry.day.replace(day=1))
    return Story([(month, list(entries)) for month, entries in months], counts, page, pages)


def _told(actor: Actor, whose: Customer) -> Iterator[Entry]:
    orders, touches = store().story(whose.ref)
    tellers: list[Teller] = current_app.extensions.get("pilot.story", [])
    yield from map(_order, orders)
    yield from map(_touch, touches)
    yield from _movements(whose)
    yield from _changes(whose)
    yield from chain.from_iterable(teller(actor, whose.id) for teller in tellers)


def _order(fact: OrderFact) -> Entry:
    title = _("Order %(number)s, %(amount)s", number=fact.order_ref, amount=money(float(fact.amount)))
    return Entry(fact.day, "order", title, (_("cancelled"),) if fact.cancelled else (), good=not fact.cancelled)


def _touch(fact: TouchFact) -> Entry:
    channel = channel_names().get(fact.channel, fact.channel)
    title = f"{_CONTACTS.get(fact.kind, fact.kind)}, {channel}"
    minutes = round(fact.minutes)
    taken = ngettext("%(num)s minute", "%(num)s minutes", minutes)
    return Entry(fact.day, "touch", title, (f"{taken}, {money(float(fact.cost))}",))


def _movements(whose: Customer) -> Iterator[Entry]:
    names = {segment.key: segment.name for segment in db.session.scalars(sa.select(Segment))}
    channels = channel_names()
    for moved in db.session.scalars(sa.select(Movement).where(Movement.customer_id == whose.id)):
        before, after = (names.get(key, key) if key else _("no segment") for key in (moved.before, moved.after))
        details = [moved.reason] if moved.reason else []
        if moved.channel_after and moved.channel_after != moved.channel_before:
            details.append(_("Handled by: %(channel)s", channel=channels.get(moved.channel_after, moved.channel_after)))
        if moved.state in _STATES:
            details.append(str(_STATES[moved.state]))
        title = _("From %(before)s to %(after)s", before=before, after=after)
        if moved.before == moved.after:
            title = _("Stays in %(segment)s", segment=after)
        yield Entry(moved.at, "movement", title, tuple(details))


def _changes(whose: Customer) -> Iterator[Entry]:
    query = sa.select(CustomerChange, Import).outerjoin(Import, Import.id == CustomerChange.import_id)
    for change, source in db.session.execute(query.where(CustomerChange.customer_id == whose.id)):
        title = _("Changed by %(who)s", who=change.actor)
        if source is not None:
            title = _("Changed by the import of %(file)s", file=source.filename)
        yield Entry(change.at, "change", title, changes=tuple(_differences(change)))
    if whose.created_by_import_id is not None:
        first = db.session.get_one(Import, whose.created_by_import_id)
        yield Entry(first.at, "import", _("Came with the import of %(file)s", file=first.filename), (first.actor,))


def _differences(change: CustomerChange) -> Iterator[tuple[str, str | None, str | None]]:
    order = list(FIELD_NAMES)
    names = {*change.before, *change.after}
    for name in sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name)):
        yield str(FIELD_NAMES.get(name, name)), _plain(change.before.get(name)), _plain(change.after.get(name))


def _plain(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
