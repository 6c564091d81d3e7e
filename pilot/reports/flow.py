"""The flow of an experiment: what became of every assigned customer, by arm and stratum, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from pilot.db import db
from pilot.experiments.models import Unit
from pilot.mail.models import OutboxMessage
from pilot.surveys.models import Invitation, Response, Wave

STEPS = ("notified", "invited", "complete")
"""The steps whose reached customers are held against the assigned shares (sample ratio)."""

BLOCKING = ("notified", "invited")
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

    @property
    def partial(self) -> int:
        """Began to answer and did not finish."""
        return self.started - self.complete

    @property
    def rate(self) -> float | None:
        """Complete answers per invitation that went out, uncertain ones included; None where none did."""
        out = self.invited + self.invitation_uncertain
        return self.complete / out if out else None


def cells(experiment_id: int) -> list[Flow]:
    """The flow by arm and stratum, in one grouped query; ordered by both labels."""
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
    return sorted((Flow(*row) for row in rows), key=lambda cell: (cell.arm, cell.stratum))


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
