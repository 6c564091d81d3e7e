"""What surveys tell of a customer: when it was invited and when it answered, never what."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from flask_babel import gettext as _

from pilot.accounts.service import Actor
from pilot.customers.people.story import Entry
from pilot.db import db
from pilot.surveys.models import Invitation, Response, Survey, Wave


def tell(_actor: Actor, customer_id: int) -> Iterator[Entry]:
    """The invitations of a customer and what became of them."""
    query = (
        sa.select(Survey.key, Wave.number, Invitation.created_at, Response.saved_at, Response.completed_at)
        .join(Wave, Wave.id == Invitation.wave_id)
        .join(Survey, Survey.id == Wave.survey_id)
        .outerjoin(Response, Response.invitation_id == Invitation.id)
        .where(Invitation.customer_id == customer_id)
    )
    for key, wave, invited, saved, completed in db.session.execute(query):
        about = _("%(survey)s, wave %(number)s", survey=key, number=wave)
        yield Entry(invited, "survey", _("Invited to a survey"), (about,))
        if completed is not None:
            yield Entry(completed, "survey", _("Answered the survey"), (about,))
        elif saved is not None:
            yield Entry(saved, "survey", _("Began to answer the survey"), (about,))
