"""The states of an experiment, and the one way from each to the next. What is held here is locked until the transaction ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.db import Transaction, db
from pilot.errors import InputError, NotFound, StateError
from pilot.events import ExperimentMoved
from pilot.experiments.models import Experiment
from pilot.faults import suggestion


@dataclass(frozen=True, slots=True)
class _Move:
    """How a state is reached: from which ones, when it is dated, and what to tell who comes from elsewhere.

    An amendment is no state: it stays in the one it was made in.
    """

    before: tuple[str, ...]
    stamp: str
    remedy: str


_MOVES = {
    "sealed": _Move(("draft",), "sealed_at", "A plan is sealed once; give a changed plan a new key"),
    "drawn": _Move(("sealed",), "drawn_at", "Only a sealed plan is drawn, and only once; `pilot replay` repeats it"),
    "running": _Move(("drawn",), "started_at", "Handling starts once, after the draw"),
    "closed": _Move(("running",), "closed_at", "Only a running experiment can be closed"),
    "decided": _Move(("closed",), "decided_at", "The decision is made once, after the experiment was closed"),
    "rolled_out": _Move(("decided",), "rolled_out_at", "A roll-out needs a decision"),
    "amended": _Move(
        ("sealed", "drawn", "running"), "", "A draft is simply changed; after the close nothing is amended any more"
    ),
    "stopped": _Move(
        ("draft", "sealed", "drawn", "running"), "stopped_at", "Only what has not been closed can be stopped"
    ),
}


def get(key: str) -> Experiment:
    """The experiment of this key.

    Raises:
        NotFound: There is none.
    """
    found = find(key)
    if found is None:
        keys = db.session.scalars(sa.select(Experiment.key))
        raise NotFound(f"there is no experiment {key!r}", remedy=suggestion(key, keys, "Experiments"))
    return found


def find(key: str, *, lock: bool = False) -> Experiment | None:
    """The experiment of this key, if there is one; with `lock`, held until the transaction ends."""
    query = sa.select(Experiment).where(Experiment.key == key)
    return db.session.scalar(query.with_for_update() if lock else query)


def locked(key: str, after: str) -> Experiment:
    """The experiment, held until the transaction ends, if it may move to this state.

    Raises:
        NotFound: There is none.
        StateError: It may not.
    """
    get(key)
    experiment = db.session.scalars(
        sa.select(Experiment).where(Experiment.key == key).with_for_update().execution_options(populate_existing=True)
    ).one()
    way = _MOVES[after]
    if experiment.state not in way.before:
        raise StateError(f"the experiment {key} is {experiment.state}", remedy=way.remedy)
    return experiment


def move(work: Transaction, actor: Actor, experiment: Experiment, after: str, **details: Any) -> None:
    """Enter a state: date it, record it, tell of it."""
    before, experiment.state = experiment.state, after
    setattr(experiment, _MOVES[after].stamp, clock.now())
    record(actor, after, subject(experiment.key), **details)
    work.emit(ExperimentMoved(experiment.id, before, after))


def one_line(text: str, what: str, longest: int) -> str:
    """A text without blanks around it.

    Raises:
        InputError: It is empty, too long or not on one line.
    """
    line = text.strip()
    if not line or len(line) > longest or not line.isprintable():
        raise InputError(f"{what} is empty, too long or not on one line", remedy=f"Give 1 to {longest} characters")
    return line


def subject(key: str) -> str:
    """What the audit trail calls an experiment."""
    return f"experiment:{key}"
