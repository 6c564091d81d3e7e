"""Nothing is sent under a plan that was edited after the seal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.db import db
from pilot.errors import CheckFailed
from pilot.experiments import service
from pilot.experiments.models import Experiment
from pilot.mail.models import OutboxMessage


def test_no_notice_is_queued_under_another_plan(
    small_base: Flask, operator: Actor, bring_to: Callable[[str], Experiment], edit: Callable[..., None]
) -> None:
    drawn = bring_to("drawn")
    edit(Experiment, Experiment.id == drawn.id, plan=drawn.plan.replace("2026-07-01", "2026-06-01"))
    with pytest.raises(CheckFailed, match="the stored plan is not the one that was sealed"):
        service.notify(operator, "desk-2026")
    assert db.session.scalar(sa.select(sa.func.count(OutboxMessage.id))) == 0
