from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from pilot.errors import InputError
from pilot.surveys.definition import SurveyDefinition, bring_to_life, load_definition, parse

from .conftest import EXAMPLE

Break = Callable[[dict[str, Any]], object]


@pytest.fixture
def refused(bare_app: None, tmp_path: Path) -> Callable[[Break], str]:
    """Break the example in one place and return what the author is told."""

    def told(damage: Break) -> str:
        data = tomllib.loads(EXAMPLE.read_text("utf-8"))
        damage(data)
        path = tmp_path / "survey.toml"
        path.write_text(tomli_w.dumps(data), "utf-8")
        with pytest.raises(InputError) as caught:
            load_definition(path)
        return str(caught.value)

    return told


def test_the_example_is_complete_and_has_all_question_types(bare_app: None) -> None:
    survey = load_definition(EXAMPLE)
    assert [question.type for question in survey.questions()] == ["csat", "nps", "likert-grid", "choice", "comment"]


def test_what_is_left_to_defaults_is_written_into_what_gets_frozen(bare_app: None) -> None:
    nps = load_definition(EXAMPLE).pages[0].questions[1]
    assert nps.label["pl"].startswith("Jak bardzo prawdopodobne")
    assert nps.settings["high"]["it"] == "Estremamente probabile"


def test_a_frozen_definition_comes_back_the_same(bare_app: None) -> None:
    survey = load_definition(EXAMPLE)
    again = bring_to_life(parse(survey.as_json())).definition
    assert again == survey
    assert again.digest() == survey.digest()


def _question(data: dict[str, Any], page: int, position: int) -> dict[str, Any]:
    found: dict[str, Any] = data["pages"][page]["questions"][position]
    return found


@pytest.mark.parametrize(
    ("damage", "place", "reason"),
    [
        (lambda data: data["title"].pop("pl"), "survey.toml: title.pl", "the Polish text is missing"),
        (lambda data: data["title"].update(it="  "), "survey.toml: title.it", "the Italian text is missing"),
        (lambda data: data["intro"].update(de="Hallo"), "survey.toml: intro.de", "not one of the languages"),
        (lambda data: data.pop("thanks"), "survey.toml: thanks", "is missing"),
        (lambda data: data.update(titel="x"), "survey.toml: titel", "did you mean 'title'"),
        (lambda data: data.update(title="My survey"), "survey.toml: title", "a text for each language"),
        (lambda data: data.update(pages=[]), "survey.toml: pages", "at least one is needed"),
        (
            lambda data: _question(data, 1, 2)["help"].pop("en"),
            "survey.toml: pages[1].questions[2].help.en",
            "the English text is missing",
        ),
        (
            lambda data: _question(data, 1, 0)["settings"]["statements"][3]["text"].pop("it"),
            "survey.toml: pages[1].questions[0].settings.statements[3].text.it",
            "the Italian text is missing",
        ),
        (
            lambda data: _question(data, 1, 1)["settings"]["other"].pop("pl"),
            "survey.toml: pages[1].questions[1].settings.other.pl",
            "the Polish text is missing",
        ),
        (
            lambda data: _question(data, 0, 0).update(key="nps"),
            "survey.toml: pages[0].questions[1].key",
            "'nps' is used twice",
        ),
        (
            lambda data: _question(data, 0, 0).update(key="page"),
            "survey.toml: pages[0].questions[0].key",
            "a name the page needs itself",
        ),
        (
            lambda data: _question(data, 0, 0).update(key="How happy?"),
            "survey.toml: pages[0].questions[0].key",
            "a key has small letters",
        ),
        (
            lambda data: _question(data, 0, 0).update(requird=True),
            "survey.toml: pages[0].questions[0].requird",
            "did you mean 'required'",
        ),
        (
            lambda data: _question(data, 1, 0).update(type="likert"),
            "survey.toml: pages[1].questions[0].type",
            "Did you mean 'likert-grid'",
        ),
        (
            lambda data: _question(data, 1, 2).update(settings={"max_lenght": 5}),
            "survey.toml: pages[1].questions[2].settings.max_lenght",
            "no setting 'max_lenght'",
        ),
        (
            lambda data: _question(data, 1, 2).update(settings={"max_length": 0}),
            "survey.toml: pages[1].questions[2].settings.max_length",
            "greater than or equal to 1",
        ),
        (
            lambda data: _question(data, 1, 1)["settings"]["options"][0].update(key="phone"),
            "survey.toml: pages[1].questions[1].settings",
            "'phone' is used twice",
        ),
        (
            lambda data: _question(data, 1, 0)["settings"]["statements"][0].update(key="easy to reach"),
            "survey.toml: pages[1].questions[0].settings",
            "'easy to reach' is no key",
        ),
    ],
)
def test_a_fault_is_named_with_its_key(refused: Callable[[Break], str], damage: Break, place: str, reason: str) -> None:
    told = refused(damage)
    assert told.startswith(f"{place}: ")
    assert reason in told


def test_all_missing_texts_are_named_at_once(refused: Callable[[Break], str]) -> None:
    told = refused(lambda data: (data["title"].pop("pl"), data["thanks"].pop("it")))
    assert "title.pl: the Polish text is missing" in told
    assert "thanks.it: the Italian text is missing" in told


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'key = "x', "not valid TOML"),
        ("key = 'łąka'".encode("cp1250"), "not text in UTF-8"),
        (b"\x00" * 1_000_001, "too large for a survey"),
        (b"", "faults"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(bare_app: None, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load_definition(path)
    assert caught.value.place == "broken.toml"


def test_a_file_that_is_not_there_is_named(bare_app: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: the file cannot be read"):
        load_definition(tmp_path / "nowhere.toml")


def test_any_changed_word_changes_the_digest(definition: SurveyDefinition, bare_app: None) -> None:
    changed = definition.model_copy(update={"thanks": {**definition.thanks, "pl": "Dziękujemy!"}})
    assert changed.digest() != definition.digest()
