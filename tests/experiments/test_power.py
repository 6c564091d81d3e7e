"""Power of a plan: numbers from pilot.analysis and from textbooks, the base's own data, and what is said to be unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.cli import ScriptInfo

from pilot.accounts.service import SYSTEM
from pilot.analysis import Expected, Losses, NonInferiority, Scale, Welch
from pilot.analysis.reach import reach
from pilot.errors import PlanError
from pilot.experiments import power, powerwording, service
from pilot.experiments.commands import experiment
from pilot.experiments.expectations import QUARTER
from pilot.experiments.past import Judged, Past, period_before, register_past
from pilot.experiments.plan import Plan, canonical
from pilot.experiments.sampling import Frame

SIZES = (600, 400)


def make_frame(clusters: int = 0) -> Frame:
    """A thousand customers in two strata."""
    number = sum(SIZES)
    strata = np.repeat([0, 1], SIZES)
    together = np.arange(number) % clusters if clusters else None
    labels = [f"rep {place:02}" for place in range(clusters)]
    return Frame([f"C{i:04}" for i in range(number)], strata, ["north", "south"], together, labels)


def know(app: Flask, values: Callable[[Frame], Any], frame: Frame) -> None:
    """Give the outcome `cost` a past, and no other one."""

    def lookup(plan: Plan, outcome: Any, refs: Any, period: Any) -> Past:
        if outcome.key == "cost":
            return Past(Scale.MONEY, values=values(frame))
        return Past(Scale.RATING, True, (1.0, 5.0), reason="it has no past")

    register_past(app, lookup, lambda plan, found: Judged("inconclusive", {}))


def bell(frame: Frame) -> Any:
    """Values with mean 50 and standard deviation near 10, as far apart between the strata as inside them."""
    noise = np.random.Philox(key=7).random_raw(len(frame)).astype(float) / 2**64
    from scipy.special import ndtri

    return 50 + 10 * ndtri(noise)


@pytest.fixture
def plan(document: dict[str, Any]) -> Plan:
    return Plan.model_validate(document | {"sampling": {"size": 400, "strata": ["region"]}})


def outcome(found: power.PlanPower, key: str) -> power.OutcomePower:
    return next(item for item in found.outcomes if item.outcome.key == key)


def test_a_difference_is_planned_as_the_analysis_plans_it(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    found = outcome(power.on_frame(plan, frame), "cost")
    sd = float(bell(frame).std(ddof=1))
    same = reach(Welch(), Expected(sd=sd), (200, 200), Losses(), effect=-0.2 * sd, sign=-1)
    assert found.baseline.sd == pytest.approx(sd)
    assert found.baseline.effect == pytest.approx(-0.2 * sd)  # lower is better
    assert found.planned[0].power == pytest.approx(same.power)
    assert found.planned[0].smallest == pytest.approx(same.smallest)
    # Cohen 1988, table 2.4.1: d = 0.2 at 80 % takes 393 or 394 in each group; whole customers in two strata
    assert found.needed is not None
    assert found.needed.drawn[0] in (394, 395)


def test_a_margin_is_planned_with_losses_and_names_the_smallest_margin(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    said = {"response": 0.4, "attrition": 0.05, "outcomes": {"satisfaction": {"sd": 1.0}}}
    wanted = Plan.model_validate(
        plan.model_dump() | {"expected": said, "sampling": {"size": 800, "strata": ["region"]}}
    )
    found = outcome(power.on_frame(wanted, frame), "satisfaction")
    # docs/planning.md: 252.1 values at margin 0.25, 663.5 customers per arm, rounded up in each stratum
    assert found.needed is not None
    assert [round(units, 1) for units in found.needed.analysed] == [252.1, 252.1]
    assert found.needed.drawn == (665, 665)
    assert found.baseline.origin == "plan"
    point = found.planned[0]
    assert point.answers == pytest.approx((152.0, 152.0))
    kept = NonInferiority(margin=point.smallest or 0.0).power(Expected(sd=1.0), 0.0, point.answers)
    assert kept == pytest.approx(0.8, abs=1e-6)


def test_what_nobody_said_is_assumed_and_said_so(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    found = power.on_frame(plan, frame)
    satisfaction = outcome(found, "satisfaction").baseline
    assert (satisfaction.sd, satisfaction.origin) == (4 * QUARTER, "assumed")
    assert found.assumed.response_origin == found.assumed.attrition_origin == "assumed"
    with sqlite_app.test_request_context():
        texts = powerwording.assumptions(found)
        assert any("expected.response" in text for text in texts)
        assert any("expected.outcomes.satisfaction" in text for text in texts)
        assert powerwording.sentence(found, outcome(found, "satisfaction")).startswith(
            "With 200 per arm and 35% answering, an arm that is just as good"
        )


def test_strata_take_their_share_of_the_variance_from_analyses_inside_them(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, lambda units: bell(units) + 40 * units.strata, frame)
    by_strata = {"outcome": "cost", "analysis": {"part": "stratified-difference"}}
    changed = plan.model_dump() | {"analyses": [plan.model_dump()["analyses"][0], by_strata]}
    plain = outcome(power.on_frame(plan, frame), "cost")
    inside = outcome(power.on_frame(Plan.model_validate(changed), frame), "cost")
    # between the strata lies 40^2 * 0.6 * 0.4 = 384, inside them about 100
    assert inside.baseline.explained == pytest.approx(384 / 484, abs=0.02)
    ratio = (inside.planned[0].smallest or 0) / (plain.planned[0].smallest or 1)
    assert ratio == pytest.approx(math.sqrt(1 - inside.baseline.explained), rel=0.01)
    assert [row[:2] for row in inside.baseline.strata] == [("north", 600), ("south", 400)]


def test_clusters_bring_their_intraclass_correlation(sqlite_app: Flask, document: dict[str, Any]) -> None:
    frame = make_frame(clusters=50)
    shift = np.random.Philox(key=11).random_raw(50).astype(float) / 2**64
    know(sqlite_app, lambda units: bell(units) + 20 * shift[units.together()], frame)
    cluster = {
        "sampling": {"size": 1000, "cluster": "sales_rep"},
        "assignment": {"part": "clusters"},
        "analyses": [document["analyses"][0], {"outcome": "cost", "analysis": {"part": "welch"}}],
    }
    found = power.on_frame(Plan.model_validate(document | cluster), frame)
    cost = outcome(found, "cost")
    # variance between reps 20^2 / 12 = 33, inside 100: 0.25
    assert cost.baseline.icc == pytest.approx(0.25, abs=0.07)
    assert (found.assumed.cluster_size, found.assumed.cluster_cv) == (20.0, 0.0)
    assert cost.needed is not None
    assert cost.needed.clusters
    alone = outcome(power.on_frame(Plan.model_validate(document), replace(frame, clusters=None)), "cost")
    assert (cost.planned[0].smallest or 0) < (alone.points[-1].smallest or 0) * 1.5  # both below 0: cost shall fall
    with sqlite_app.test_request_context():
        assert any("whole clusters" in text for text in powerwording.warnings(found))


def test_unequal_arms_and_several_of_them(sqlite_app: Flask, document: dict[str, Any]) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    arms = [
        {"key": "control", "label": "As today", "channel": "field-rep", "share": 0.5},
        {"key": "desk", "label": "Desk", "channel": "service-desk", "share": 0.3},
        {"key": "letter", "label": "Letter", "channel": "service-desk", "share": 0.2},
    ]
    three = Plan.model_validate(document | {"arms": arms, "sampling": {"size": 400}})
    found = outcome(power.on_frame(three, frame), "cost")
    assert [(point.arm, point.drawn) for point in found.planned] == [("desk", (200, 120)), ("letter", (200, 80))]
    smallest = [point.smallest or 0 for point in found.planned]
    assert smallest[1] / smallest[0] == pytest.approx(math.sqrt((1 / 200 + 1 / 80) / (1 / 200 + 1 / 120)), rel=0.02)
    assert found.needed is not None
    # the smaller arm decides: n0 = 2.5 n2, so n2 = 7.85 * 25 * 1.4 by the normal law
    assert found.needed.analysed[2] == pytest.approx((1.96 + 0.8416) ** 2 * 25 * 1.4, rel=0.01)


def test_the_grid_ends_with_the_frame_and_warns_where_it_is_exhausted(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    tiny = {"outcomes": {"cost": {"effect": -0.1}}}
    found = power.on_frame(Plan.model_validate(plan.model_dump() | {"expected": tiny}), frame)
    assert [point.total for point in outcome(found, "cost").points] == [100, 200, 400, 600, 800, 1000]
    with sqlite_app.test_request_context():
        assert any("only 1,000 are eligible" in text for text in powerwording.warnings(found))


def test_an_outcome_without_numbers_is_unknown_and_so_is_the_verdict(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, lambda units: np.zeros(len(units)), frame)
    found = power.on_frame(plan, frame)
    assert outcome(found, "cost").planned == ()
    assert found.verdicts == {}
    assert found.unknown is not None
    json.dumps(found.as_json(), allow_nan=False)


def test_the_verdicts_sum_to_one_and_a_worse_arm_is_seldom_rolled_out(sqlite_app: Flask, plan: Plan) -> None:
    frame = make_frame()
    know(sqlite_app, bell, frame)
    said = {"response": 1.0, "outcomes": {"cost": {"effect": -10.0}, "satisfaction": {"effect": -0.25}}}
    worse = power.on_frame(Plan.model_validate(plan.model_dump() | {"expected": said}), frame).verdicts["pilot"]
    assert worse.roll_out == pytest.approx(0.025, abs=0.001)  # worse by the whole margin
    assert worse.roll_out + worse.do_not + worse.inconclusive == pytest.approx(1)


def test_expectations_are_part_of_the_plan_and_name_its_outcomes(document: dict[str, Any]) -> None:
    told = document | {"expected": {"response": 0.4, "outcomes": {"cost": {"sd": 12.5, "effect": -3}}}}
    assert json.loads(canonical(Plan.model_validate(told)))["expected"]["outcomes"]["cost"]["sd"] == 12.5
    with pytest.raises(PlanError) as refused:
        Plan.model_validate(document | {"expected": {"outcomes": {"costs": {"sd": 1}}}})
    assert refused.value.place == "expected.outcomes.costs"


def test_the_period_before_is_as_long_as_handling(plan: Plan) -> None:
    assert period_before(plan) == (date(2025, 12, 31), date(2026, 4, 1))  # 91 days, up to the day of the profiles


def test_the_command_speaks_of_every_outcome(base: Flask, document: dict[str, Any]) -> None:
    service.create(SYSTEM, Plan.model_validate(document))
    runner, script = base.test_cli_runner(catch_exceptions=False), ScriptInfo(create_app=lambda: base)
    plain = runner.invoke(experiment, ["power", document["key"]], obj=script, standalone_mode=False).stdout
    assert (
        "Satisfaction\n  What can be shown is not known: the survey 'satisfaction' of the plan is not published"
        in plain
    )
    assert "Cost to serve\n  What can be shown is not known" in plain
    told = json.loads(runner.invoke(experiment, ["power", document["key"], "--json"], obj=script).stdout)
    assert [item["outcome"] for item in told["outcomes"]] == ["satisfaction", "cost"]
    assert told["frame"] == 200
