"""What came of a survey: dispositions, answers, and counts of ratings, by arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from pilot import clock
from pilot.analysis import Scale
from pilot.customers.models import Customer
from pilot.db import UtcDateTime, db
from pilot.errors import InputError, NotFound
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.mail.models import OutboxMessage
from pilot.surveys.answering import questionnaire
from pilot.surveys.models import DISPOSITIONS, Invitation, Response, Survey, Wave
from pilot.surveys.questions import QuestionType

BATCH = 2000


class Answer(NamedTuple):
    """What one customer answered: values by question key, and whether the answers were sent or left half-way."""

    arm: str
    stratum: str
    answers: dict[str, Any]
    completed: bool


class RatingCount(NamedTuple):
    """How many completed answers of an arm and stratum have this score."""

    arm: str
    stratum: str
    level: float
    n: int


def dispositions(experiment_id: int) -> dict[str, dict[str, int]]:
    """How many invitations of each arm, in the order of the plan, have which of `DISPOSITIONS`; zeros included.

    Each invitation has exactly one: `complete`, else `partial`, else `refusal` (the customer opted out before
    the wave closed), else `non_contact` (the invitation could not be delivered), else `unknown`.
    """
    plan = experiments.plan_of(db.session.get_one(Experiment, experiment_id))
    found = {arm.key: dict.fromkeys(DISPOSITIONS, 0) for arm in plan.arms}
    disposition = _disposition()
    rows = (
        sa.select(Unit.arm, disposition, sa.func.count())
        .join(Wave, Wave.experiment_id == Unit.experiment_id)
        .join(Invitation, (Invitation.wave_id == Wave.id) & (Invitation.customer_id == Unit.customer_id))
        .join(Customer, Customer.id == Unit.customer_id)
        .outerjoin(Response, Response.invitation_id == Invitation.id)
        .outerjoin(OutboxMessage, (OutboxMessage.subject_id == Invitation.id) & (OutboxMessage.kind == "invitation"))
        .where(Unit.experiment_id == experiment_id)
        .group_by(Unit.arm, disposition)
    )
    for arm, name, number in db.session.execute(rows):
        found[arm][name] = number
    return found


def answers(experiment_id: int) -> Iterator[Answer]:
    """All answers of an experiment's survey, sent or left half-way, in the order in which they were begun."""
    rows = (
        sa.select(Unit.arm, Unit.stratum, Response.answers, Response.completed_at)
        .join(Invitation, Invitation.id == Response.invitation_id)
        .join(Wave, Wave.id == Invitation.wave_id)
        .join(Unit, (Unit.experiment_id == Wave.experiment_id) & (Unit.customer_id == Invitation.customer_id))
        .where(Wave.experiment_id == experiment_id)
        .order_by(Response.id)
        .execution_options(yield_per=BATCH)
    )
    for arm, stratum, given, completed_at in db.session.execute(rows):
        yield Answer(arm, stratum, given, completed_at is not None)


def rating_counts(experiment_id: int, question_key: str, suffix: str = "") -> list[RatingCount]:
    """Completed answers counted by arm, stratum and score, ascending; scores nobody gave are left out.

    Args:
        experiment_id: The experiment.
        question_key: A question of its survey.
        suffix: One of the question's `outcomes()`.

    Raises:
        NotFound: The experiment has no survey yet.
        InputError: The survey has no such question, or the question no such outcome.
    """
    part = _question(experiment_id, question_key, suffix)
    tally: Counter[tuple[str, str, float]] = Counter()
    for answer in answers(experiment_id):
        score = part.score(answer.answers.get(question_key), suffix) if answer.completed else None
        if score is not None:
            tally[answer.arm, answer.stratum, score] += 1
    return [RatingCount(*key, n) for key, n in sorted(tally.items())]


def rating_scale(experiment_id: int, question_key: str, suffix: str = "") -> tuple[Scale, Sequence[float]]:
    """The scale of a question of an experiment's survey, and the scores it can have, ascending.

    Raises:
        NotFound, InputError: As in `rating_counts`.
    """
    return _question(experiment_id, question_key, suffix).outcomes()[suffix]


def _question(experiment_id: int, question_key: str, suffix: str) -> QuestionType:
    row = db.session.execute(
        sa.select(Survey.id, Survey.digest)
        .join(Wave, Wave.survey_id == Survey.id)
        .where(Wave.experiment_id == experiment_id)
    ).one_or_none()
    if row is None:
        raise NotFound("this experiment has no survey yet", remedy="Open it with `pilot survey wave`")
    return question_in(questionnaire(*row).parts, question_key, suffix)


def question_in(parts: Mapping[str, QuestionType], question_key: str, suffix: str) -> QuestionType:
    """The question of this key among the parts of a survey.

    Raises:
        InputError: There is no such question, or it has no such outcome.
    """
    if question_key not in parts:
        raise InputError(
            f"the survey has no question {question_key!r}", place="question", remedy=f"Questions: {', '.join(parts)}"
        )
    known = parts[question_key].outcomes()
    if suffix not in known:
        raise InputError(
            f"the question {question_key!r} has no outcome {suffix!r}",
            place="suffix",
            remedy=f"Outcomes: {', '.join(repr(name) for name in known) or 'none'}",
        )
    return parts[question_key]


def _disposition() -> sa.ColumnElement[str]:
    now = sa.literal(clock.now(), UtcDateTime())
    early = Wave.closed_at < Wave.closes_at  # to close it late ends nothing: it was over
    end = sa.case((early, Wave.closed_at), else_=Wave.closes_at)
    until = sa.case((end < now, end), else_=now)
    return sa.case(
        (Response.completed_at.is_not(None), "complete"),
        (Response.id.is_not(None), "partial"),
        (Customer.opted_out_at <= until, "refusal"),
        (OutboxMessage.state == "failed", "non_contact"),
        else_="unknown",
    )
