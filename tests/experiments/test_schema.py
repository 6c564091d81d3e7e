"""The JSON Schema, the plan as TOML and back, and the templates."""

import dataclasses
import json
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot import clock
from pilot.accounts.service import Actor
from pilot.errors import NotFound
from pilot.experiments import drafts, service
from pilot.experiments.plan import Plan, canonical, load_toml, to_toml
from pilot.experiments.preflight import check
from pilot.experiments.schema import plan_schema
from pilot.experiments.templates import filled, register_surveys, templates
from pilot.plugins.manager import plugins

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
LABEL = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda text: bool(text.strip())
)
SETTING = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT,
    st.lists(TEXT, max_size=3), st.dictionaries(TEXT, TEXT, max_size=2),
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=LABEL, question=TEXT, chosen=st.dictionaries(TEXT, SETTING, max_size=4), body=TEXT.filter(bool))
def test_a_plan_written_as_toml_is_the_same_plan_when_read(
    document: dict[str, Any], name: str, question: str, chosen: dict[str, Any], body: str
) -> None:
    notice = {"it": {"subject": "Ciao", "body": body.replace("{", "(").replace("}", ")")}}
    plan = Plan.model_validate(
        {
            **document,
            "name": name,
            "question": question,
            "notice": notice,
            "assignment": {"part": "x", "settings": chosen},
        }
    )
    assert canonical(load_toml(to_toml(plan))) == canonical(plan)


def test_a_plan_with_all_settings_spelt_out_comes_back_too(small_base: Flask, document: dict[str, Any]) -> None:
    plan = check(Plan.model_validate(document))
    assert canonical(check(load_toml(to_toml(plan)))) == canonical(plan)


def test_the_schema_knows_the_settings_of_every_part(sqlite_app: Flask) -> None:
    definitions = plan_schema()["$defs"]
    for kind in ("segment_rules", "sampling_designs", "assignment_designs", "outcomes", "analyses"):
        offered = {item["properties"]["part"]["const"]: item for item in definitions[kind]["oneOf"]}
        assert set(offered) == {part.key for part in plugins().all(kind)}
        for part in plugins().all(kind):
            known = offered[part.key]["properties"]["settings"]["properties"] if dataclasses.fields(part) else {}  # type: ignore[arg-type]
            assert set(known) == {field.name for field in dataclasses.fields(part)}  # type: ignore[arg-type]


def test_the_schema_asks_for_what_the_plan_asks_for_and_points_nowhere_else(sqlite_app: Flask) -> None:
    schema = plan_schema()
    assert schema["required"] == [name for name, field in Plan.model_fields.items() if field.is_required()]
    text = json.dumps(schema)
    named = {item.split('"')[0] for item in text.split('"#/$defs/')[1:]}
    assert named <= set(schema["$defs"])
    assert "PartChoice" not in text
    assert schema["$defs"]["Arm"]["properties"]["channel"]["enum"] == ["field-rep", "service-desk"]


@pytest.fixture
def surveyed(small_base: Flask) -> Flask:
    register_surveys(small_base, lambda: {"satisfaction": {"csat": "How satisfied are you?"}})
    return small_base


@pytest.mark.parametrize("key", [template.key for template in templates()])
@pytest.mark.parametrize("language", ["en", "it", "pl"])
def test_a_template_gives_a_plan_without_problems_on_any_base(surveyed: Flask, key: str, language: str) -> None:
    document = filled(key, language)
    assert drafts.problems(document) == []
    assert document["population"]["as_of"] == "2026-03-31"
    assert document["population"]["segments"] == ["small"]


def test_a_template_speaks_the_language_of_the_page(surveyed: Flask) -> None:
    names = {filled("win-back-letter", language)["name"] for language in ("en", "it", "pl")}
    assert names == {"Win-back letter", "Lettera per riconquistare", "List do odzyskania klientów"}


def test_a_template_fits_size_days_and_key_to_the_base(surveyed: Flask, operator: Actor) -> None:
    with clock.travelling(datetime(2026, 4, 1, 9, tzinfo=UTC)):
        first = filled("service-desk", "en")
    assert first["sampling"]["size"] == 200  # 1,600 are asked for, 200 are eligible
    assert date.fromisoformat(first["calendar"]["start"]) == date(2026, 4, 20)  # the Monday after two weeks
    assert date.fromisoformat(first["calendar"]["end"]) == date(2026, 7, 20)  # 13 weeks later
    assert first["key"] == "service-desk-2026"
    drafts.begin(operator, first)
    assert filled("service-desk", "en")["key"] == "service-desk-2026-2"


def test_an_unknown_template_is_told(surveyed: Flask) -> None:
    with pytest.raises(NotFound, match="service-desc"):
        filled("service-desc", "en")


def test_commands_print_schema_and_toml_and_create_from_a_template(surveyed: Flask, tmp_path: Path) -> None:
    run = FlaskCliRunner(surveyed).invoke
    from pilot.experiments.commands import experiment

    assert json.loads(run(experiment, ["schema"]).output)["title"] == "Plan"
    path = tmp_path / "plan.toml"
    assert run(experiment, ["create", "--template", "service-desk", "-o", str(path)]).exit_code == 0
    assert tomllib.loads(path.read_text(encoding="utf-8"))["population"]["segments"] == ["small"]
    assert run(experiment, ["create", str(path)]).exit_code == 0
    shown = run(experiment, ["show", "service-desk-2026", "--toml"])
    assert canonical(check(load_toml(shown.stdout))) == service.get("service-desk-2026").plan
    assert run(experiment, ["create", "--template", "quarterly-call"]).exit_code == 0
    assert service.get("quarterly-call-2026").state == "draft"


def test_a_file_that_is_there_is_not_overwritten(surveyed: Flask, tmp_path: Path) -> None:
    from pilot.experiments.commands import experiment

    path = tmp_path / "plan.toml"
    path.write_text("mine", encoding="utf-8")
    result = FlaskCliRunner(surveyed).invoke(experiment, ["create", "--template", "service-desk", "-o", str(path)])
    assert result.exit_code != 0
    assert path.read_text(encoding="utf-8") == "mine"
