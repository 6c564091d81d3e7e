"""Nobody is reminded under a plan that was edited after the seal."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.db import db, transaction
from pilot.errors import CheckFailed
from pilot.experiments.models import Experiment
from pilot.mail.models import OutboxMessage
from pilot.surveys import service

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
