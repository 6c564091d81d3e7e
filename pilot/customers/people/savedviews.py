"""Views of the customer list that people keep, for themselves or for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pilot.accounts.service import Actor, record
from pilot.customers.models import SavedView
from pilot.customers.people.listing import READERS
from pilot.db import db, transaction
from pilot.errors import InputError, NotFound

_LONGEST = 80


def keep(actor: Actor, name: str, query: Mapping[str, Any], *, shared: bool = False) -> SavedView:
    """Keep a view under a name of the actor's own; one of that name is replaced.

    Args:
        actor: Whose it is.
        name: Up to 80 characters.
        query: What the view shows, as plain values.
        shared: Whether all who read the list see it.

    Raises:
        InputError: The name is empty or too long.
    """
    actor.require(*READERS)
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST:
        raise InputError("the view needs a name", remedy=f"Give it one of at most {_LONGEST} characters")
    with transaction() as work:
        own = (SavedView.owner == actor.name) & (SavedView.name == name)
        view = work.session.scalar(sa.select(SavedView).where(own).with_for_update())
        if view is None:
            view = SavedView(owner=actor.name, name=name)
            work.session.add(view)
        view.query, view.shared = dict(query), shared
        record(actor, "view kept", f"view:{name}", shared=shared)
    return view


def kept(actor: Actor) -> list[SavedView]:
    """The actor's own views and those that others share, by name."""
    seen = (SavedView.owner == actor.name) | SavedView.shared
    return list(db.session.scalars(sa.select(SavedView).where(seen).order_by(SavedView.name, SavedView.id)))


def view(actor: Actor, number: int) -> SavedView:
    """One of those that `kept` gives.

    Raises:
        NotFound: There is none of this number that the actor may see.
    """
    found = db.session.get(SavedView, number)
    if found is None or not (found.shared or found.owner == actor.name):
        raise NotFound("there is no such view", remedy="Choose one from the list of customers")
    return found


def forget(actor: Actor, number: int) -> None:
    """Delete a view of the actor's own.

    Raises:
        NotFound: The actor has none of this number.
    """
    with transaction() as work:
        found = view(actor, number)
        if found.owner != actor.name:
            raise NotFound("this view belongs to somebody else", remedy=f"Ask {found.owner} to delete it")
        work.session.delete(found)
        record(actor, "view deleted", f"view:{found.name}")
