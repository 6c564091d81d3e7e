"""What experiments tell of a customer: which it was drawn into, and its arm."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from flask_babel import gettext as _

from pilot.accounts.service import Actor
from pilot.customers.people.story import Entry
from pilot.db import db
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.service import plan_of

READERS = ("operations", "analyst", "viewer")
"""Who learns the arm; those who handle customers do not, as knowing it could change how they are treated."""


def tell(actor: Actor, customer_id: int) -> Iterator[Entry]:
    """The experiments that a customer was drawn into, once they are drawn."""
    query = sa.select(Experiment, Unit.arm).join(Unit, Unit.experiment_id == Experiment.id)
    for experiment, arm in db.session.execute(query.where(Unit.customer_id == customer_id)):
        if experiment.drawn_at is None or not actor.may(*READERS):
            continue
        labels = {known.key: known.label for known in plan_of(experiment).arms}
        yield Entry(
            experiment.drawn_at,
            "pilot",
            _("Drawn into the pilot %(name)s", name=experiment.name),
            (_("Arm: %(arm)s", arm=labels.get(arm, arm)),),
        )
