"""Publishing surveys, opening and closing waves, and what their mails say.

Answering and results live in modules of their own; what other features use of them is offered from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import force_locale, get_locale, ngettext
from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pilot import clock, config
from pilot.accounts.service import Actor, record
from pilot.analysis import Scale
from pilot.config import LANGUAGES
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import CheckFailed, NotFound, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan
from pilot.mail.models import OutboxMessage
from pilot.mail.service import Content, Withhold, letter, queue_many
from pilot.surveys.answering import Standing, Visit, complete, find, questionnaire, save_page, takes_answers, visit_of
from pilot.surveys.definition import SurveyDefinition, bring_to_life
from pilot.surveys.links import address_of, hash_of, new_nonce, token_of
from pilot.surveys.models import Invitation, Response, Survey, Wave
from pilot.surveys.results import (
    Answer,
    RatingCount,
    answers,
    dispositions,
    question_in,
    rating_counts,
    rating_scale,
)
from pilot.web import day

__all__ = [
    "Answer",
    "RatingCount",
    "answers",
    "close_wave",
    "complete",
    "compose_invitation",
    "dispositions",
    "find",
    "latest_version",
    "open_wave",
    "planned_scale",
    "publish",
    "published_questions",
    "rating_counts",
    "rating_scale",
    "remind",
    "save_page",
    "token_for",
    "wave_of",
]

PAUSE = timedelta(days=3)
"""Between two mails of a survey: who gets two within hours has been sent one too many."""

MOST_REMINDERS = 2
"""Notice, invitation and two reminders: nobody is written to a fifth time."""

BATCH = 2000


def publish(actor: Actor, definition: SurveyDefinition) -> Survey:
    """Freeze a definition as the newest version of its survey; the same content again is the same version.

    Raises:
        Forbidden: The actor is not of operations.
        InputError: The definition has a fault; it names the key.
        StateError: Somebody else published this survey at the same moment.
    """
    actor.require("operations")
    frozen = bring_to_life(definition, place=definition.key).definition
    try:
        with transaction() as work:
            newest = work.session.scalar(_newest(frozen.key))
            if newest is not None and newest.digest == frozen.digest():
                return newest
            version = newest.version + 1 if newest else 1
            survey = Survey(
                key=frozen.key,
                version=version,
                definition=frozen.as_json(),
                digest=frozen.digest(),
                created_at=clock.now(),
            )
            work.session.add(survey)
            record(actor, "published", f"survey:{frozen.key}", version=version, digest=survey.digest)
    except IntegrityError as error:
        raise StateError("this survey was published by somebody else just now", remedy="Try again") from error
    return survey


def latest_version(key: str) -> tuple[int, str] | None:
    """Version and digest of the newest published version of a survey, or None: the look-up of the seal."""
    newest = db.session.scalar(_newest(key))
    return (newest.version, newest.digest) if newest else None


def published_questions() -> dict[str, dict[str, str]]:
    """The texts of the questions that can be compared, by survey and question, in the language of the present page.

    The survey published last comes first.
    """
    newest = sa.select(sa.func.max(Survey.id)).group_by(Survey.key)
    found = {}
    for survey in db.session.scalars(sa.select(Survey).where(Survey.id.in_(newest)).order_by(Survey.id.desc())):
        made = questionnaire(survey.id, survey.digest)
        questions = {question.key: question for page in made.definition.pages for question in page.questions}
        language = get_locale().language
        found[survey.key] = {
            key: questions[key].label.get(language, key) for key, part in made.parts.items() if part.outcomes()
        }
    return found


def open_wave(actor: Actor, experiment_key: str) -> Wave:
    """Invite every unit of the experiment, all arms alike: one personal link each, its mail queued.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such experiment, or its survey is not published.
        StateError: The experiment is not running, its survey was opened before, or its time is over.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = experiments.get(experiment_key)
        work.session.refresh(experiment, with_for_update=True)  # one wave, whoever asks at once
        plan = experiments.plan_of(experiment)
        _check_can_open(experiment, plan)
        wave = Wave(
            experiment_id=experiment.id,
            survey=_planned_survey(plan),
            number=1,
            reminders=0,
            opened_at=clock.now(),
            closes_at=_end_of(plan),
        )
        work.session.add(wave)
        work.session.flush()
        number = _invite(work.session, wave)
        record(actor, "survey opened", f"experiment:{experiment_key}", wave=wave.number, invitations=number)
    return wave


def wave_of(experiment_key: str) -> Wave:
    """The wave of an experiment.

    Raises:
        NotFound: There is no such experiment, or its survey has not been opened.
    """
    experiment = experiments.get(experiment_key)
    wave = db.session.scalar(sa.select(Wave).where(Wave.experiment_id == experiment.id))
    if wave is None:
        raise NotFound(
            "its survey has not been opened",
            place=f"experiment {experiment_key}",
            remedy=f"Open it with `pilot survey wave {experiment_key}`",
        )
    return wave


def remind(actor: Actor, experiment_key: str) -> int:
    """Queue a reminder to everybody whose invitation went out and who has neither answered nor opted out.

    Who has begun to answer gets another text. Who answers before the mail goes out gets none.

    Returns:
        How many reminders were queued.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such experiment, or its survey has not been opened.
        StateError: The survey is closed, has had its reminders, or had its last mail less than `PAUSE` ago.
        CheckFailed: The stored plan is not the one that was sealed.
    """
    actor.require("operations")
    with transaction() as work:
        wave = wave_of(experiment_key)
        experiments.plan_of(work.session.get_one(Experiment, wave.experiment_id))  # nothing goes out under another plan
        if not takes_answers(wave.closes_at, wave.closed_at, clock.now()):
            raise StateError("its survey is closed", place=f"experiment {experiment_key}")
        if wave.reminders >= MOST_REMINDERS:
            raise StateError(
                f"its survey has had {MOST_REMINDERS} reminders",
                place=f"experiment {experiment_key}",
                remedy="Who has not answered by now does not want to",
            )
        _check_pause(wave, experiment_key)
        wave.reminders += 1
        rows = [
            (invitation, f"reminder:{wave.id}:{wave.reminders}:{invitation}", customer)
            for invitation, customer in work.session.execute(_unanswered(wave))
        ]
        queued = queue_many("reminder", rows, wave.experiment_id)
        record(actor, "reminded", f"experiment:{experiment_key}", reminder=wave.reminders, customers=queued)
    return queued


def close_wave(actor: Actor, experiment_key: str) -> None:
    """Take no more answers. Mails that still wait are withdrawn when their turn comes.

    Raises:
        Forbidden: The actor is not of operations.
        NotFound: There is no such experiment, or its survey has not been opened.
        StateError: It is closed already.
    """
    actor.require("operations")
    with transaction():
        wave = wave_of(experiment_key)
        if wave.closed_at is not None:
            raise StateError("its survey is closed already", place=f"experiment {experiment_key}")
        wave.closed_at = clock.now()
        record(actor, "survey closed", f"experiment:{experiment_key}", wave=wave.number)


def token_for(invitation_id: int) -> str:
    """The token of an invitation's personal link.

    Raises:
        NotFound: There is no such invitation.
    """
    return token_of(visit_of(invitation_id).nonce)


def compose_invitation(message: OutboxMessage) -> Content | Withhold:
    """What the mail of an invitation or a reminder says now, or why it is not to be sent."""
    visit = visit_of(message.subject_id)
    if visit.standing is Standing.ANSWERED:
        return Withhold("the customer has answered")
    if visit.standing is Standing.CLOSED:
        return Withhold("the survey is closed")
    if visit.opted_out:
        return Withhold("the customer has opted out")
    with force_locale(visit.language):
        return _letter(visit, reminder=message.kind == "reminder")


def _letter(visit: Visit, *, reminder: bool) -> Content:
    definition = questionnaire(visit.survey_id, visit.survey_digest).definition
    title, intro = definition.title[visit.language], definition.intro[visit.language]
    left = len(definition.pages) - visit.pages
    begun = ngettext(
        "You have begun to answer: one page is left, and then your answers can be sent.",
        "You have begun to answer: %(num)s pages are left, and then your answers can be sent.",
        left,
    )
    until = _(
        "You can answer until %(date)s. The link is for you alone: please do not pass it on.",
        date=day(visit.closes_at - timedelta(seconds=1), "long"),
    )
    subject, button = title, _("Answer the survey")
    if reminder and visit.pages:
        subject, intro, button = _("Almost done: %(title)s", title=title), begun, _("Finish the survey")
    elif reminder:
        subject = _("Reminder: %(title)s", title=title)
    return letter(
        visit.language,
        subject,
        [_("Dear customer,"), intro, until, _("Thank you for your time.")],
        (button, address_of(token_of(visit.nonce))),
        _(
            "You receive this message because you are a customer of %(company)s. If you do not want to be asked "
            "again, reply to it and say so.",
            company=config.current().company,
        ),
    )


def planned_scale(plan: Plan, question: str, suffix: str = "") -> tuple[Scale, Sequence[float]]:
    """The scale of a question of the survey that a plan names, and the scores it can have, ascending.

    Raises:
        NotFound: The survey is not published.
        InputError: It has no such question, or the question no such outcome.
    """
    survey = _planned_survey(plan)
    part = question_in(questionnaire(survey.id, survey.digest).parts, question, suffix)
    return part.outcomes()[suffix]


def _newest(key: str) -> sa.Select[Survey]:
    return sa.select(Survey).where(Survey.key == key).order_by(Survey.version.desc()).limit(1)


def _planned_survey(plan: Plan) -> Survey:
    """The version the plan froze, or the newest for a plan that names none."""
    wanted = _newest(plan.survey)
    if plan.survey_version is not None:
        wanted = wanted.where(Survey.version == plan.survey_version)
    survey = db.session.scalar(wanted)
    if survey is None:
        raise NotFound(
            f"the survey {plan.survey!r} of the plan is not published",
            place=f"experiment {plan.key}",
            remedy="Publish it with `pilot survey import`",
        )
    if plan.survey_digest not in (None, survey.digest):
        raise CheckFailed(
            f"survey {plan.survey!r} is not the one that was sealed with the plan",
            place=f"experiment {plan.key}",
            remedy="Restore the database from a backup",
        )
    return survey


def _check_can_open(experiment: Experiment, plan: Plan) -> None:
    place = f"experiment {experiment.key}"
    if experiment.state != "running":
        raise StateError(
            f"it is {experiment.state}", place=place, remedy="Customers are surveyed while the experiment is running"
        )
    if db.session.scalar(sa.select(Wave.id).where(Wave.experiment_id == experiment.id)) is not None:
        raise StateError(
            "its survey was opened before", place=place, remedy=f"Remind with `pilot survey remind {experiment.key}`"
        )
    if config.today() < plan.calendar.end:
        raise StateError(
            f"handling lasts until {plan.calendar.end}", place=place, remedy="Customers are surveyed when it is over"
        )
    if clock.now() >= _end_of(plan):
        raise StateError(f"the plan lets customers answer until {plan.calendar.survey_until} only", place=place)


def _check_pause(wave: Wave, experiment_key: str) -> None:
    reminded = sa.select(sa.func.max(OutboxMessage.queued_at)).where(
        OutboxMessage.experiment_id == wave.experiment_id, OutboxMessage.kind == "reminder"
    )
    last = db.session.scalar(reminded) or wave.opened_at
    if clock.now() < last + PAUSE:
        raise StateError(
            f"the last mail of its survey was queued on {last:%Y-%m-%d}",
            place=f"experiment {experiment_key}",
            remedy=f"Leave customers {PAUSE.days} days between two mails",
        )


def _end_of(plan: Plan) -> datetime:
    """The first moment after the last day of answering, in the company's time zone."""
    after = plan.calendar.survey_until + timedelta(days=1)
    return datetime.combine(after, time(), ZoneInfo(config.current().timezone))


def _invite(session: Session, wave: Wave) -> int:
    customers = session.execute(
        sa.select(Unit.customer_id, Customer.language)
        .join(Customer, Customer.id == Unit.customer_id)
        .where(Unit.experiment_id == wave.experiment_id)
        .order_by(Unit.id)
    ).all()
    for start in range(0, len(customers), BATCH):
        session.execute(sa.insert(Invitation), _invitations(wave, customers[start : start + BATCH]))
    invited = session.execute(
        sa.select(Invitation.id, Invitation.customer_id).where(Invitation.wave_id == wave.id).order_by(Invitation.id)
    )
    rows = [(invitation, f"invitation:{invitation}", customer) for invitation, customer in invited]
    return queue_many("invitation", rows, wave.experiment_id)


def _invitations(wave: Wave, customers: Sequence[sa.Row[int, str | None]]) -> list[dict[str, object]]:
    found = []
    for customer_id, language in customers:
        nonce = new_nonce()
        found.append(
            {
                "wave_id": wave.id,
                "customer_id": customer_id,
                "nonce": nonce,
                "token_hash": hash_of(token_of(nonce)),
                "language": language if language in LANGUAGES else config.current().language,
                "created_at": wave.opened_at,
            }
        )
    return found


def _unanswered(wave: Wave) -> sa.Select[int, int]:
    return (
        sa.select(Invitation.id, Invitation.customer_id)
        .join(Customer, Customer.id == Invitation.customer_id)
        .join(OutboxMessage, (OutboxMessage.subject_id == Invitation.id) & (OutboxMessage.kind == "invitation"))
        .outerjoin(Response, Response.invitation_id == Invitation.id)
        .where(
            Invitation.wave_id == wave.id,
            OutboxMessage.state.in_(("sent", "uncertain")),
            Customer.opted_out_at.is_(None),
            Response.completed_at.is_(None),
        )
        .order_by(Invitation.id)
    )
