"""What a plan agrees on beforehand: decision table, looks, ladder."""

from __future__ import annotations

from datetime import date
from itertools import product
from typing import Any

import pytest

from pilot.errors import PlanError
from pilot.experiments.agreed import COST, GUARDRAILS, QUALITY, look_days, look_shares, row_of
from pilot.experiments.plan import USUAL_TABLE, Plan

FINAL = {"looks": 3, "look": 3, "information": [0.25, 0.5, 1.0]}


def with_looks(document: dict[str, Any], **looks: Any) -> dict[str, Any]:
    paid = [
        {"outcome": key, "analysis": {"part": "group-sequential", "settings": FINAL}}
        for key in ("satisfaction", "cost")
    ]
    return {**document, "looks": looks, "analyses": paid}


def refused(document: dict[str, Any]) -> PlanError:
    with pytest.raises(PlanError) as caught:
        Plan.model_validate(document)
    return caught.value


def test_the_usual_table_is_the_rule_not_worse_and_cheaper() -> None:
    verdicts = {
        states: USUAL_TABLE[row_of(USUAL_TABLE, *states) - 1].verdict for states in product(QUALITY, COST, GUARDRAILS)
    }
    yes = [states for states, verdict in verdicts.items() if verdict == "roll_out"]
    assert yes == [("not_worse", "cheaper", "held")]
    no = {states for states in verdicts if states[0] == "worse" or states[1] == "dearer" or states[2] == "broken"}
    assert {states for states, verdict in verdicts.items() if verdict == "do_not"} == no


def test_a_combination_without_a_row_is_named(document: dict[str, Any]) -> None:
    document["decision"]["table"] = [
        {"quality": "not_worse", "verdict": "roll_out"},
        {"quality": "worse", "verdict": "do_not"},
    ]
    error = refused(document)
    assert error.place == "decision.table"
    assert error.reason == "no row says what follows from quality 'unclear', cost 'cheaper', guardrails 'held'"


def test_two_rows_for_one_combination_are_named(document: dict[str, Any]) -> None:
    document["decision"]["table"] = [
        {"verdict": "inconclusive"},
        {"quality": "worse", "cost": "dearer", "verdict": "do_not"},
    ]
    error = refused(document)
    assert (error.place, error.reason.partition(" both")[0]) == ("decision.table[1]", "rows 1 and 2")


def test_a_table_of_its_own_decides(document: dict[str, Any]) -> None:
    document["decision"]["table"] = [
        {"quality": "not_worse", "verdict": "roll_out", "note": "whatever it costs"},
        {"quality": "unclear", "verdict": "inconclusive"},
        {"quality": "worse", "verdict": "do_not"},
    ]
    rows = Plan.model_validate(document).decision.rows
    assert rows[row_of(rows, "not_worse", "dearer", "broken") - 1].note == "whatever it costs"


def test_a_guardrail_with_a_margin_needs_an_analysis(document: dict[str, Any]) -> None:
    document["outcomes"].append(
        {
            "key": "revenue",
            "label": "Revenue",
            "source": {"part": "revenue"},
            "role": "guardrail",
            "margin": 20.0,
            "margin_reason": "Two small orders",
        }
    )
    assert refused(document).place == "outcomes[2].margin"
    document["analyses"].append({"outcome": "revenue", "analysis": {"part": "welch"}})
    assert Plan.model_validate(document).outcome("revenue").margin == 20


def test_looks_at_shares_of_the_time_have_their_days(document: dict[str, Any]) -> None:
    # 112 days from 1 April to 22 July: a quarter is 28, a half 56
    plan = Plan.model_validate(with_looks(document, shares=[0.25, 0.5]))
    assert look_days(plan) == (date(2026, 4, 29), date(2026, 5, 27))
    assert look_shares(plan) == (0.25, 0.5, 1.0)
    by_days = Plan.model_validate(with_looks(document, days=["2026-04-29", "2026-05-27"]))
    assert look_shares(by_days) == (0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    ("looks", "place"),
    [
        ({}, "looks"),
        ({"days": ["2026-04-29"], "shares": [0.5]}, "looks"),
        ({"shares": [0.5, 0.25]}, "looks.shares[1]"),
        ({"days": ["2026-04-01"]}, "looks.days[0]"),
        ({"days": ["2026-07-23"]}, "looks.days[0]"),
    ],
)
def test_looks_that_are_none_are_refused(document: dict[str, Any], looks: dict[str, Any], place: str) -> None:
    assert refused(with_looks(document, **looks)).place == place


def test_looks_have_to_be_paid_for_by_the_deciding_outcomes(document: dict[str, Any]) -> None:
    error = refused({**document, "looks": {"shares": [0.25, 0.5]}})
    assert error.place == "analyses[0].analysis"
    assert "looks = 3, look = 3, information = [0.25, 0.5, 1.0]" in str(error.remedy)
    assert refused(with_looks(document, shares=[0.25, 0.75])).place == "analyses[0].analysis"
    assert refused(with_looks(document, shares=[0.25, 0.5], spending="pocock")).place == "analyses[0].analysis"


@pytest.mark.parametrize("shares", [[], [0.5], [0.5, 0.5, 1.0], [0.5, 0.1, 1.0]])
def test_a_ladder_rises_to_everybody(document: dict[str, Any], shares: list[float]) -> None:
    assert refused({**document, "ladder": {"shares": shares}}).place == "ladder.shares"
