from __future__ import annotations

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from pilot.errors import InputError
from pilot.plugins.builtin.questions import Choice, Comment, Csat, LikertGrid, Nps, Option, Statement
from pilot.surveys.definition import SurveyDefinition, bring_to_life
from pilot.surveys.forms import read_page
from pilot.surveys.questions import QuestionType

WORD = {"en": "word", "it": "parola", "pl": "słowo"}
GRID = LikertGrid(statements=(Statement("reach", WORD), Statement("reply", WORD), Statement("promises", WORD)))
CHOICE = Choice(options=(Option("phone", WORD), Option("mail", WORD)), other=WORD)
TYPES = [Csat(), Nps(), GRID, CHOICE, Comment()]


pytestmark = pytest.mark.usefixtures("bare_app")


def read(part: QuestionType, **posted: str) -> Any:
    return part.read(MultiDict({key.replace("__", "."): value for key, value in posted.items()}), "q")


def test_zero_is_an_answer() -> None:
    assert read(Nps(), q="0") == 0
    assert Nps().unanswered(0, "q") == []
    assert Nps().score(0) == 0.0
    assert Nps().score(0, "net") == -100.0


@pytest.mark.parametrize("part", TYPES, ids=lambda part: part.key)
def test_an_empty_question_has_no_value_and_no_score(part: QuestionType) -> None:
    value = read(part, q="", q__other="", q__reach="")
    assert value is None
    assert part.unanswered(value, "q")
    assert {part.score(value, suffix) for suffix in part.outcomes()} <= {None}


@pytest.mark.parametrize("posted", ["6", "-1", "4.0", "abc", "4 ", "٤", "<b>4</b>", "1e0"])
@pytest.mark.parametrize("part", [Csat(), CHOICE], ids=["csat", "choice"])
def test_a_value_nobody_could_choose_is_refused(part: QuestionType, posted: str) -> None:
    with pytest.raises(InputError, match="Please choose one of the answers"):
        read(part, q=posted)


@pytest.mark.parametrize(
    ("part", "posted"),
    [
        *[(Csat(), {"q": str(level)}) for level in range(1, 6)],
        *[(Nps(), {"q": str(level)}) for level in range(11)],
        *[(GRID, {"q__reach": a, "q__reply": b, "q__promises": c}) for a, b, c in ("111", "125", "543", "555")],
        *[(CHOICE, {"q": key}) for key in ("phone", "mail", "other")],
    ],
    ids=str,
)
def test_every_answer_scores_on_the_announced_scale(part: QuestionType, posted: dict[str, str]) -> None:
    value = read(part, **posted)
    for suffix, (_scale, levels) in part.outcomes().items():
        assert part.score(value, suffix) in levels
        assert list(levels) == sorted(set(levels))


@pytest.mark.parametrize(("level", "net"), [(0, -100), (6, -100), (7, 0), (8, 0), (9, 100), (10, 100)])
def test_promoters_passives_and_detractors_are_cut_at_nine_and_seven(level: int, net: float) -> None:
    # Reichheld (2003), The one number you need to grow: 9-10 promoters, 7-8 passives, 0-6 detractors.
    assert Nps().score(level, "net") == net


def test_a_grid_keeps_the_rows_that_were_answered_and_has_a_mean_only_when_all_were() -> None:
    partly = read(GRID, q__reach="2", q__promises="5")
    assert partly == {"reach": 2, "promises": 5}
    assert GRID.unanswered(partly, "q") == ["q.reply"]
    assert (GRID.score(partly, "reach"), GRID.score(partly, "reply"), GRID.score(partly)) == (2.0, None, None)
    assert GRID.score({"reach": 2, "reply": 2, "promises": 5}) == 3.0


def test_own_words_belong_to_the_last_option() -> None:
    assert read(CHOICE, q="other", q__other=" by fax ") == {"option": "other", "text": "by fax"}
    assert read(CHOICE, q__other="by fax") == {"option": "other", "text": "by fax"}
    assert read(CHOICE, q="other") == {"option": "other"}
    assert read(CHOICE, q="phone", q__other="by fax") == {"option": "phone"}


def test_a_comment_keeps_its_lines_and_markup_and_loses_control_characters() -> None:
    assert read(Comment(), q=" <b>=SUM(1)\x00\r\n\x1b[31mż\t! \r\n") == "<b>=SUM(1)\n[31mż\t!"


def test_a_comment_that_is_too_long_is_refused_with_both_lengths() -> None:
    assert read(Comment(max_length=5), q="a\r\nbcd") == "a\nbcd"
    with pytest.raises(InputError, match="6 characters, and at most 5"):
        read(Comment(max_length=5), q="a\r\nbcde")


def test_a_page_reports_every_field_at_fault_and_keeps_what_is_right(definition: SurveyDefinition) -> None:
    survey = bring_to_life(definition)
    page = survey.definition.pages[1]
    strict = page.model_copy(
        update={"questions": tuple(item.model_copy(update={"required": True}) for item in page.questions)}
    )
    entry = read_page(survey, strict, MultiDict({"service.reach": "4", "service.reply": "9", "comment": "fine"}))
    assert entry.answers == {"comment": "fine"}
    assert list(entry.errors) == ["service", "channel"]
    entry = read_page(survey, strict, MultiDict({"service.reach": "4", "channel": "phone", "comment": "fine"}))
    assert list(entry.errors) == ["service.reply", "service.understanding", "service.promises"]
