"""The flow of an experiment: what became of every assigned customer, by arm and stratum, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from pilot.customers.models import Customer
from pilot.customers.orderstore import store
from pilot.db import db
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.handling.models import Case
from pilot.mail.models import OutboxMessage
from pilot.surveys.models import Invitation, Response, Wave

STEPS = ("assigned", "notified", "bounced", "handled", "invited", "complete", "analysed")
"""The steps at which the arms are held against what was assigned (sample ratio), in the order of time."""

BLOCKING = ("assigned", "notified", "invited")
"""Those whose alarm stands against a roll-out: they depend on us alone. Whether customers answer may well depend on how
they were handled, so unequal answering is shown and does not block."""


@dataclass(frozen=True, slots=True)
class Flow:
    """How many customers of one arm (and stratum) came how far. All are counted from those assigned.

    A message is `uncertain` where the server's reply to a finished hand-over was lost, `withdrawn` where a
    reason not to send it appeared, and `waiting` until it leaves the outbox.
    """

    arm: str
    stratum: str
    assigned: int
    notified: int
    notice_failed: int
    notice_withdrawn: int
    notice_uncertain: int
    invited: int
    invitation_failed: int
    invitation_withdrawn: int
    invitation_uncertain: int
    started: int
    """Opened the survey and saved or sent an answer."""
    complete: int
    handled: int = 0
    """Looked after by the channel of their arm: their case was not taken back, and no channel of another arm had a touch
    with them."""

    @property
    def bounced(self) -> int:
        """Whose notice could not be delivered."""
        return self.notice_failed

    @property
    def partial(self) -> int:
        """Began to answer and did not finish."""
        return self.started - self.complete

    @property
    def rate(self) -> float | None:
        """Complete answers per invitation that went out, uncertain ones included; None where none did."""
        out = self.invited + self.invitation_uncertain
        return self.complete / out if out else None


def cells(experiment: Experiment) -> list[Flow]:
    """The flow by arm and stratum, ordered by both labels."""
    handled = _handled(experiment)
    found = [replace(cell, handled=handled[cell.arm, cell.stratum]) for cell in _mailed(experiment.id)]
    return sorted(found, key=lambda cell: (cell.arm, cell.stratum))


def _mailed(experiment_id: int) -> list[Flow]:
    """All of it that mail and answers say, in one grouped query."""
    notice, letter = sa.orm.aliased(OutboxMessage), sa.orm.aliased(OutboxMessage)
    wave = sa.select(sa.func.min(Wave.id)).where(Wave.experiment_id == experiment_id).scalar_subquery()
    query = (
        sa.select(
            Unit.arm,
            Unit.stratum,
            sa.func.count(Unit.id),
            *_states(notice),
            *_states(letter),
            sa.func.count(Response.id),
            sa.func.count(Response.completed_at),
        )
        .outerjoin(
            notice,
            (notice.experiment_id == experiment_id)
            & (notice.customer_id == Unit.customer_id)
            & (notice.kind == "notice"),
        )
        .outerjoin(Invitation, (Invitation.wave_id == wave) & (Invitation.customer_id == Unit.customer_id))
        .outerjoin(letter, (letter.kind == "invitation") & (letter.subject_id == Invitation.id))
        .outerjoin(Response, Response.invitation_id == Invitation.id)
        .where(Unit.experiment_id == experiment_id)
        .group_by(Unit.arm, Unit.stratum)
    )
    rows: Any = db.session.execute(query)
    return [Flow(*row) for row in rows]


def _handled(experiment: Experiment) -> Counter[tuple[str, str]]:
    """Customers looked after by the channel of their arm and by no other arm's, by arm and stratum."""
    plan = experiments.plan_of(experiment)
    own = {arm.key: arm.channel for arm in plan.arms}
    query = (
        sa.select(Customer.ref, Unit.arm, Unit.stratum, Case.channel)
        .join(Customer, Customer.id == Unit.customer_id)
        .join(Case, (Case.experiment_id == Unit.experiment_id) & (Case.customer_id == Unit.customer_id))
        .where(Unit.experiment_id == experiment.id, Case.opted_out_at.is_(None))
    )
    places = {
        ref: (arm, stratum) for ref, arm, stratum, channel in db.session.execute(query) if channel == own.get(arm)
    }
    calendar = plan.calendar
    contacts = store().contacts(list(places), calendar.start, calendar.end) if places else []
    others = set(own.values())
    strayed = {row.ref for row in contacts if row.channel in others and row.channel != own[places[row.ref][0]]}
    return Counter(place for ref, place in places.items() if ref not in strayed)


def by_arm(found: Iterable[Flow], arms: Iterable[str]) -> list[Flow]:
    """The flow summed over strata, in the order of `arms`; the stratum of a sum is empty."""
    every = list(found)
    return [_sum(arm, [cell for cell in every if cell.arm == arm]) for arm in arms]


def _sum(arm: str, parts: list[Flow]) -> Flow:
    total: dict[str, Any] = {
        field.name: sum(getattr(part, field.name) for part in parts)
        for field in fields(Flow)
        if field.name not in ("arm", "stratum")
    }
    return Flow(arm=arm, stratum="", **total)


def _states(message: Any) -> list[sa.ColumnElement[int]]:
    return [
        sa.func.count(sa.case((message.state == state, 1))) for state in ("sent", "failed", "withdrawn", "uncertain")
    ]
