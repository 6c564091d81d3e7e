"""What the commands say is grammar as well."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from flask import Flask
from flask.cli import ScriptInfo

from pilot.db import db
from pilot.experiments.commands import replay
from pilot.experiments.models import Experiment, Unit

KEY = "desk-2026"
BringTo = Callable[[str], Experiment]


def test_one_difference_is_called_one(small_base: Flask, bring_to: BringTo, edit: Callable[..., None]) -> None:
    bring_to("drawn")
    edit(Unit, Unit.id == db.session.scalar(sa.select(sa.func.min(Unit.id))), inclusion_probability=0.5)
    info = ScriptInfo(create_app=lambda: small_base)
    done = small_base.test_cli_runner().invoke(replay, [KEY], obj=info, standalone_mode=False)
    assert str(done.exception).startswith(f"the draw of {KEY} does not repeat (1 difference). ")
