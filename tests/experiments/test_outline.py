"""What a plan may do and its owner should know before the seal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.cli import ScriptInfo

from pilot.experiments.commands import experiment
from pilot.experiments.models import Experiment

KEY = "desk-2026"


@pytest.mark.parametrize(("size", "small"), [(60, False), (40, False), (38, True)])
def test_an_arm_too_small_for_anything_to_show_is_minded(
    small_base: Flask, bring_to: Callable[[str], Experiment], document: dict[str, Any], size: int, small: bool
) -> None:
    document["sampling"] = {"size": size}
    bring_to("draft")
    info, runner = ScriptInfo(create_app=lambda: small_base), small_base.test_cli_runner()
    warning = "Arm pilot gets 19 customers, and not all of them will answer"
    shown = " ".join(runner.invoke(experiment, ["show", KEY], obj=info).stdout.split())
    assert (f"Mind {warning}" in shown) is small
    told = json.loads(runner.invoke(experiment, ["show", KEY, "--json"], obj=info).stdout)["warnings"]
    assert len(told) == (2 if small else 0)
    sealed = runner.invoke(experiment, ["seal", KEY], obj=info)
    assert (f"Mind: {warning}" in sealed.stderr) is small
