"""A plan whose outcomes could never be measured is refused before the seal, not after the pilot."""

from __future__ import annotations

import pytest
from flask import Flask

from pilot.accounts.service import SYSTEM
from pilot.errors import PlanError
from pilot.experiments.plan import load_toml
from pilot.reports.preflight import check_outcomes
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition

from .conftest import EXAMPLES

PLAN = (EXAMPLES / "plan.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _published(sqlite_app: Flask) -> None:
    surveys.publish(SYSTEM, load_definition(EXAMPLES / "survey.toml"))


def refused(old: str, new: str) -> str:
    assert old in PLAN
    with pytest.raises(PlanError) as caught:
        check_outcomes(load_toml(PLAN.replace(old, new)), "plan.toml")
    return str(caught.value)


def test_the_example_passes() -> None:
    check_outcomes(load_toml(PLAN), "plan.toml")


def test_a_question_that_the_survey_lacks_is_named_with_those_it_has() -> None:
    sentence = refused('question = "nps"', 'question = "npq"')
    assert sentence.startswith("plan.toml: outcomes[3].source.settings.question: the survey has no question 'npq'.")
    assert "csat, nps" in sentence


def test_a_question_without_a_score_is_refused() -> None:
    assert "outcomes[3].source.settings.suffix" in refused('question = "nps"', 'question = "comment"')


def test_an_analysis_for_another_scale_is_refused() -> None:
    sentence = refused(
        'outcome = "recommend"\nanalysis = { part = "welch" }',
        'outcome = "recommend"\nanalysis = { part = "newcombe" }',
    )
    assert "analyses[3].analysis.part: newcombe does not suit outcome 'recommend', whose scale is rating" in sentence
    assert sentence.endswith("newcombe is for: binary.")


def test_a_survey_that_is_not_published_is_refused() -> None:
    assert "'contentment' of the plan is not published" in refused('survey = "satisfaction"', 'survey = "contentment"')


@pytest.mark.parametrize("part", ["brunner-munzel", "nps-difference", "proportional-odds", "chi-square"])
def test_an_analysis_whose_effect_no_margin_can_be_held_against_is_refused(part: str) -> None:
    sentence = refused(
        'outcome = "recommend"\nanalysis = { part = "welch" }',
        f'outcome = "recommend"\nanalysis = {{ part = "{part}" }}',
    )
    assert f"{part} gives no difference on the scale of 'recommend'" in sentence


def test_an_analysis_that_needs_more_than_the_outcome_can_give_is_refused() -> None:
    sentence = refused(
        'outcome = "cost"\nanalysis = { part = "stratified-difference" }',
        'outcome = "cost"\nanalysis = { part = "lin" }',
    )
    assert "lin needs rows, which cost-to-serve cannot give" in sentence
    assert sentence.endswith("Choose an analysis that needs no more than: assigned, moments.")
