"""What a customer does with a personal link: come back to it, save a page, send the answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from flask import current_app

from pilot import clock
from pilot.customers.models import Customer
from pilot.db import Transaction, db, transaction
from pilot.errors import CheckFailed, NotFound, StateError
from pilot.events import AnswerReceived
from pilot.experiments.models import Experiment
from pilot.surveys.definition import Questionnaire, bring_to_life, parse
from pilot.surveys.links import hash_of
from pilot.surveys.models import Invitation, Response, Survey, Wave


class SurveyClosed(StateError):
    """The survey takes no answers any more."""

    status = 410


class AlreadyAnswered(StateError):
    """The link has been used; what was sent now is not the answer that was kept."""


class PageSkipped(StateError):
    """An earlier page has not been saved."""


class Standing(Enum):
    """What a personal link is good for at the moment."""

    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Visit:
    """Everything the page and the mails need to know of one invitation, read in one query.

    Attributes:
        language: The one last answered in, else the invitation's.
        pages: How many pages, from the first, have been saved.
        closes_at: First moment at which no answer is taken any more.
        submission_key: Of the page that completed the answers.
    """

    invitation_id: int
    nonce: str
    survey_id: int
    survey_digest: str
    language: str
    standing: Standing
    pages: int
    closes_at: datetime
    submission_key: str | None
    opted_out: bool


def find(token: str) -> Visit | None:
    """The invitation this token opens, or None. A wrong token of whatever shape takes as long as a right one."""
    return _visit(Invitation.token_hash == hash_of(token))


def visit_of(invitation_id: int) -> Visit:
    """The same for the id of an invitation, for the mails about it.

    Raises:
        NotFound: There is no such invitation.
    """
    found = _visit(Invitation.id == invitation_id)
    if found is None:
        raise NotFound(f"there is no invitation {invitation_id}")
    return found


def takes_answers(closes_at: datetime, closed_at: datetime | None, moment: datetime) -> bool:
    """Whether a wave with these dates takes answers at a moment."""
    return closed_at is None and moment < closes_at


def questionnaire(survey_id: int, digest: str) -> Questionnaire:
    """The survey version brought to life; a published version never changes, so it is built once."""
    shelf: dict[str, Questionnaire] = current_app.extensions.setdefault("pilot.questionnaires", {})
    if digest not in shelf:
        document = db.session.scalars(sa.select(Survey.definition).where(Survey.id == survey_id)).one()
        definition = parse(document)
        if definition.digest() != digest:
            raise CheckFailed(
                "the stored survey is not the one that was published", remedy="Restore the database from a backup"
            )
        shelf[digest] = bring_to_life(definition)
    return shelf[digest]


def save_page(token: str, page: int, answers: dict[str, Any], *, language: str) -> None:
    """Keep one page as a draft. Saved again, it replaces what it held.

    Args:
        token: Of the personal link.
        page: Number of the page, from 1.
        answers: Values of its questions by key, as `forms.read_page` returned them.
        language: In which they were given.

    Raises:
        NotFound: The token opens nothing.
        AlreadyAnswered: The answers have been sent.
        SurveyClosed: The survey takes no answers any more.
        PageSkipped: An earlier page has not been saved.
    """
    with transaction() as work:
        invitation, response = _locked(work, token)
        if response is not None and response.completed_at is not None:
            raise AlreadyAnswered("this survey has been answered with this link")
        _save(work, invitation, response, page, answers, language)


def complete(token: str, page: int, answers: dict[str, Any], *, language: str, submission_key: str) -> None:
    """Save the last page and send the answers, once and for all.

    Args:
        token: Of the personal link.
        page: Number of the last page.
        answers: Values of its questions by key.
        language: In which they were given.
        submission_key: Made with the page. The same key again changes nothing and is no error: the customer
            pressed twice, or did not see the reply.

    Raises:
        NotFound, SurveyClosed, PageSkipped: As in `save_page`.
        AlreadyAnswered: The answers have been sent with another key.
    """
    with transaction() as work:
        invitation, response = _locked(work, token)
        if response is not None and response.completed_at is not None:
            if response.submission_key == submission_key:
                return
            raise AlreadyAnswered("this survey has been answered with this link")
        kept = _save(work, invitation, response, page, answers, language)
        kept.completed_at, kept.submission_key = kept.saved_at, submission_key
        work.emit(AnswerReceived(invitation.id, invitation.wave_id))


_VISITS = (
    sa.select(
        Invitation.id,
        Invitation.nonce,
        Invitation.language,
        Wave.survey_id,
        Wave.closes_at,
        Wave.closed_at,
        Survey.digest,
        Experiment.state,
        Response.language.label("answered_in"),
        Response.pages,
        Response.completed_at,
        Response.submission_key,
        Customer.opted_out_at,
    )
    .join(Wave, Wave.id == Invitation.wave_id)
    .join(Survey, Survey.id == Wave.survey_id)
    .join(Experiment, Experiment.id == Wave.experiment_id)
    .join(Customer, Customer.id == Invitation.customer_id)
    .outerjoin(Response, Response.invitation_id == Invitation.id)
)


def _visit(condition: sa.ColumnElement[bool]) -> Visit | None:
    row = db.session.execute(_VISITS.where(condition)).one_or_none()
    if row is None:
        return None
    answered = row.completed_at is not None
    is_open = row.state == "running" and takes_answers(row.closes_at, row.closed_at, clock.now())
    return Visit(
        invitation_id=row.id,
        nonce=row.nonce,
        survey_id=row.survey_id,
        survey_digest=row.digest,
        language=row.answered_in or row.language,
        standing=Standing.ANSWERED if answered else Standing.OPEN if is_open else Standing.CLOSED,
        pages=row.pages or 0,
        closes_at=row.closes_at,
        submission_key=row.submission_key,
        opted_out=row.opted_out_at is not None,
    )


def _locked(work: Transaction, token: str) -> tuple[Invitation, Response | None]:
    """Invitation and response, so that two posts of one link follow each other (SQLite: all writers do)."""
    invitation = work.session.scalar(
        sa.select(Invitation).where(Invitation.token_hash == hash_of(token)).with_for_update()
    )
    if invitation is None:
        raise NotFound("this link is not valid")
    response = work.session.scalar(sa.select(Response).where(Response.invitation_id == invitation.id))
    return invitation, response


def _save(
    work: Transaction,
    invitation: Invitation,
    response: Response | None,
    page: int,
    answers: dict[str, Any],
    language: str,
) -> Response:
    now = clock.now()
    wave = work.session.get_one(Wave, invitation.wave_id, with_for_update={"read": True})  # closing waits for us,
    experiment = work.session.get_one(Experiment, wave.experiment_id, with_for_update={"read": True})  # or we see it
    if experiment.state != "running" or not takes_answers(wave.closes_at, wave.closed_at, now):
        raise SurveyClosed("this survey is closed")
    if response is None:
        response = Response(invitation_id=invitation.id, answers={}, pages=0, started_at=now)
    if page > response.pages + 1:
        raise PageSkipped("an earlier page of this survey has not been saved")
    definition = questionnaire(wave.survey_id, wave.survey.digest).definition
    of_page = {question.key for question in definition.pages[page - 1].questions}
    kept = {key: value for key, value in response.answers.items() if key not in of_page}
    response.answers = kept | answers
    response.pages = max(response.pages, page)
    response.language, response.saved_at = language, now
    work.session.add(response)
    return response
