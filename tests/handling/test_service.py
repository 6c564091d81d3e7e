from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.api import Case, HandlingChannel
from pilot.db import db
from pilot.errors import Forbidden, PluginError, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.handling.service import finish, open_cases, start, stop
from pilot.plugins.manager import plugins

BringTo = Callable[[str], Experiment]


def by_channel(*conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    rows = db.session.execute(sa.select(Case.channel, sa.func.count()).where(*conditions).group_by(Case.channel))
    return {row[0]: row[1] for row in rows}


def test_every_customer_is_handed_to_the_channel_of_its_arm(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    assert start(operator, key) == 60
    assert experiments.get(key).state == "running"
    pairs = db.session.execute(sa.select(Unit.arm, Case.channel).join(Case, Case.customer_id == Unit.customer_id))
    assert {tuple(pair) for pair in pairs} == {("control", "field-rep"), ("pilot", "service-desk")}
    assert by_channel() == {"field-rep": 30, "service-desk": 30}


def test_opening_cases_again_opens_none(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    start(operator, key)
    assert open_cases(operator, experiments.get(key)) == 0
    assert by_channel() == {"field-rep": 30, "service-desk": 30}


def test_an_experiment_starts_once(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    start(operator, key)
    with pytest.raises(StateError):
        start(operator, key)


def test_the_end_closes_all_cases(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    start(operator, key)
    with pytest.raises(StateError):
        finish(operator, key)  # customers can answer until late July
    assert by_channel(Case.closed_at.is_not(None)) == {}
    clock.travel(datetime(2026, 7, 22, 9, tzinfo=UTC))
    assert finish(operator, key) == 60
    assert experiments.get(key).state == "closed"
    assert by_channel(Case.closed_at.is_(None)) == {}


def test_stopping_closes_all_cases(base: Flask, operator: Actor, bring_to: BringTo) -> None:
    experiment = bring_to("drawn")
    opened = start(operator, experiment.key)
    assert stop(operator, experiment.key, "the desk has no people") == opened > 0
    assert experiments.get(experiment.key).state == "stopped"


def test_a_channel_that_refuses_stops_the_start(
    base: Flask, operator: Actor, bring_to: BringTo, document: dict[str, Any]
) -> None:
    @dataclass(frozen=True)
    class Outsourced(HandlingChannel):
        key: ClassVar[str] = "outsourced"
        label: ClassVar[str] = "Outsourced desk"

        def hand_over(self, cases: Sequence[Case]) -> None:
            raise ConnectionError("nobody answers")

        def cost(self, kind: str, minutes: float) -> float:
            return minutes

    plugins().registry.add("handling_channels", [Outsourced], "stranger")
    document["arms"][1]["channel"] = "outsourced"
    key = bring_to("drawn").key
    complaint = "channel 'outsourced' of plugin 'stranger' did not take its customers on: nobody answers"
    with pytest.raises(PluginError, match=complaint):
        start(operator, key)
    assert experiments.get(key).state == "drawn"
    assert by_channel() == {}


def test_only_operations_may_start(base: Flask, bring_to: BringTo) -> None:
    key = bring_to("drawn").key
    with pytest.raises(Forbidden):
        start(Actor("agent", frozenset({"agent"})), key)
