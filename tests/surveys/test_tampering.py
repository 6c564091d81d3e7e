"""Nobody is reminded, invited or asked under a plan or a survey that was edited afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.db import db, transaction
from pilot.errors import CheckFailed
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment
from pilot.experiments.plan import canonical, plan_hash
from pilot.mail.models import OutboxMessage
from pilot.surveys import service
from pilot.surveys.answering import questionnaire
from pilot.surveys.models import Invitation, Survey

from .conftest import SURVEYED, World


def test_no_reminder_is_queued_under_another_plan(sqlite_app: Flask, world: World, operator: Actor) -> None:
    service.open_wave(operator, "desk")
    with transaction() as work:
        work.session.execute(sa.update(OutboxMessage).values(state="sent"))
        experiment = work.session.get_one(Experiment, world.experiment_id)
        experiment.plan = experiment.plan.replace("Service desk", "Another desk")
    clock.travel(SURVEYED + timedelta(days=5))
    with pytest.raises(CheckFailed, match="the stored plan is not the one that was sealed"):
        service.remind(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count()).where(OutboxMessage.kind == "reminder")) == 0


def test_no_survey_but_the_sealed_one_is_opened(sqlite_app: Flask, world: World, operator: Actor) -> None:
    with transaction() as work:
        experiment = work.session.get_one(Experiment, world.experiment_id)
        plan = experiments.plan_of(experiment).model_copy(update={"survey_version": 1, "survey_digest": "5" * 64})
        experiment.plan, experiment.plan_hash = canonical(plan), plan_hash(plan)
    with pytest.raises(CheckFailed, match="survey 'satisfaction' is not the one that was sealed with the plan"):
        service.open_wave(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count(Invitation.id))) == 0


def test_a_stored_survey_that_was_edited_is_asked_of_nobody(
    sqlite_app: Flask, world: World, link: Callable[[str], str]
) -> None:
    with transaction() as work:
        survey = work.session.scalars(sa.select(Survey)).one()
        survey.definition = {**survey.definition, "title": {"en": "Other", "it": "Altro", "pl": "Inny"}}
    with pytest.raises(CheckFailed, match="the stored survey is not the one that was published"):
        questionnaire(survey.id, survey.digest)
    with pytest.raises(CheckFailed):
        service.save_page(link("C0").removeprefix("/s/"), 1, {"csat": 4}, language="en")
