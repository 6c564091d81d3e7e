from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask

from pilot import clock
from pilot.db import db, transaction
from pilot.errors import StateError
from pilot.mail.models import OutboxMessage
from pilot.surveys.commands import survey
from pilot.surveys.service import PAUSE

from .conftest import EXAMPLE, World

Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_app: Flask) -> Run:
    def invoke(*arguments: Any) -> Result:
        db.session.rollback()
        return sqlite_app.test_cli_runner().invoke(survey, [str(argument) for argument in arguments])

    return invoke


def test_a_survey_goes_from_file_to_dispositions(run: Run, world: World) -> None:
    assert json.loads(run("import", EXAMPLE, "--json").stdout)["version"] == 1
    opened = json.loads(run("wave", "desk", "--json").stdout)
    assert (opened["wave"], opened["invited"]) == (1, 8)
    with transaction() as work:
        work.session.execute(sa.update(OutboxMessage).values(state="sent"))
    clock.travel(clock.now() + PAUSE)
    assert json.loads(run("remind", "desk", "--json").stdout) == {"experiment": "desk", "reminded": 8}
    assert run("close", "desk").stdout == "The survey of desk is closed.\n"
    counts = json.loads(run("dispositions", "desk", "--json").stdout)
    assert counts["pilot"] == {"complete": 0, "partial": 0, "refusal": 0, "non_contact": 0, "unknown": 4}
    table = run("dispositions", "desk").stdout.splitlines()
    assert table[0].split() == ["Arm", "Invited", "complete", "partial", "refusal", "non-contact", "unknown"]
    assert table[1].split() == ["control", "4", "0", "0", "0", "0", "4"]


def test_what_cannot_be_done_is_an_error_and_prints_no_result(run: Run, world: World) -> None:
    run("wave", "desk")
    again = run("wave", "desk")
    assert isinstance(again.exception, StateError)
    assert again.stdout == ""
