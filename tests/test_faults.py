"""A fault in a document is said in the same words, whatever the document is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import InputError, PlanError
from pilot.experiments.plan import load_toml
from pilot.surveys.definition import parse

EXAMPLES = Path(__file__).parents[1] / "examples"


def survey_fault(page: int, question: int, **changes: Any) -> str:
    data = tomllib.loads((EXAMPLES / "survey.toml").read_text(encoding="utf-8"))
    data["pages"][page]["questions"][question] |= changes
    with pytest.raises(InputError) as caught:
        parse(data, place="survey.toml")
    return str(caught.value)


def test_a_survey_and_a_plan_tell_a_value_of_the_wrong_kind_alike() -> None:
    words = "cannot be used here"
    assert f"pages[0].questions[0].required: 'maybe' {words}; write true or false" in survey_fault(
        0, 0, required="maybe"
    )
    assert f"pages[0].questions[0].type: 5 {words}; write a text in quotation marks" in survey_fault(0, 0, type=5)
    plan = (EXAMPLES / "plan.toml").read_text(encoding="utf-8")
    with pytest.raises(PlanError, match=rf"'maybe' {words}\. Write true or false\."):
        load_toml(plan.replace("higher_is_better = false", 'higher_is_better = "maybe"'))


def test_a_survey_and_a_plan_name_the_keys_there_are() -> None:
    assert survey_fault(0, 1, xyz=1).startswith(
        "survey.toml: pages[0].questions[1].xyz: there is no such key; keys here: help, key, label, required, "
    )
    plan = (EXAMPLES / "plan.toml").read_text(encoding="utf-8")
    with pytest.raises(
        PlanError, match=r"there is no such key\. Keys here: cluster, design, public_source, size, strata"
    ):
        load_toml(plan.replace("[sampling]\n", "[sampling]\nxyz = 1\n"))
