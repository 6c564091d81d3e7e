"""A plan that could tell nothing is refused before the seal: equal arms, boundless margins, thresholds off the scale."""

from __future__ import annotations

import pytest
from flask import Flask

from pilot.accounts.service import SYSTEM
from pilot.errors import PlanError
from pilot.experiments.plan import load_toml
from pilot.reports.preflight import check_plan
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition

from .conftest import EXAMPLES

PLAN = (EXAMPLES / "plan.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _published(sqlite_app: Flask) -> None:
    surveys.publish(SYSTEM, load_definition(EXAMPLES / "survey.toml"))


def changed(*changes: tuple[str, str]) -> str:
    text = PLAN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def refused(*changes: tuple[str, str]) -> str:
    with pytest.raises(PlanError) as caught:
        check_plan(load_toml(changed(*changes)), "plan.toml")
    return str(caught.value)


def test_the_check_that_the_seal_makes_is_this_one(sqlite_app: Flask) -> None:
    assert sqlite_app.extensions["pilot.plan_check"] is check_plan
    check_plan(load_toml(PLAN), "plan.toml")


def test_a_pilot_arm_that_is_handled_as_control_is_refused() -> None:
    assert refused(('channel = "service-desk"', 'channel = "field-rep"')).startswith(
        "plan.toml: arms[1].channel: arm 'pilot' is handled by 'field-rep', as control is: there would be nothing"
    )


@pytest.mark.parametrize(("margin", "accepted"), [("3.9", True), ("4.0", False), ("25.0", False)])
def test_a_margin_as_wide_as_the_scale_is_refused(margin: str, accepted: bool) -> None:
    changes = (("margin = 0.25", f"margin = {margin}"),)
    if accepted:
        check_plan(load_toml(changed(*changes)), "plan.toml")
        return
    sentence = refused(*changes)
    assert sentence.startswith(f"plan.toml: outcomes[0].margin: the margin {float(margin):g} is as wide as the whole")
    assert "'satisfaction', 1 to 5" in sentence


def test_a_margin_of_a_share_written_in_per_cent_is_refused() -> None:
    sentence = refused(
        ('source = { part = "retained" }', 'source = { part = "retained" }\nmargin = 5\nmargin_reason = "x"')
    )
    assert "outcomes[5].margin: the margin 5 is as wide as the whole scale of 'retained', 0 to 1" in sentence


def test_money_has_no_bound_to_a_margin() -> None:
    text = changed(
        ('source = { part = "revenue" }', 'source = { part = "revenue" }\nmargin = 500\nmargin_reason = "x"')
    )
    check_plan(load_toml(text), "plan.toml")


@pytest.mark.parametrize(("threshold", "who"), [("1", "every"), ("-3", "every"), ("5.5", "no"), ("80", "no")])
def test_a_threshold_that_parts_nobody_is_refused(threshold: str, who: str) -> None:
    assert refused(("at_least = 4", f"at_least = {threshold}")) == (
        f"plan.toml: outcomes[2].source.settings.at_least: {who} answer to 'csat' is {threshold} or more: the arms could "
        "not differ. Its scores go from 1 to 5: give one above the lowest."
    )


@pytest.mark.parametrize("threshold", ["1.5", "5"])
def test_a_threshold_within_the_scale_passes(threshold: str) -> None:
    check_plan(load_toml(changed(("at_least = 4", f"at_least = {threshold}"))), "plan.toml")
