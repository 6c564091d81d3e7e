"""Rehearsals: false alarms within their binomial bounds, power as the formula says, the same from the same seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.cli import ScriptInfo
from flask.testing import FlaskClient

from pilot.accounts.service import SYSTEM, Actor, add_user
from pilot.analysis import Expected, Newcombe, NonInferiority, Scale, StratifiedDifference, Welch
from pilot.customers.orderstore import Measure, store
from pilot.errors import Forbidden, InputError
from pilot.experiments import rehearsing, service
from pilot.experiments.commands import experiment
from pilot.experiments.expectations import Baseline
from pilot.experiments.past import Judged
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.experiments.rehearsal import Design, Rehearsal, Tried, rehearse
from pilot.experiments.sampling import Frame
from pilot.reports import past

TIMES = 200
BOUNDS = (2, 21)
"""0.1 % and 99.9 % points of a binomial law of 200 times at 5 %."""


def numbers(key: int, size: int) -> Any:
    return np.random.Philox(key=key).random_raw(size).astype(float) / 2**64


@pytest.fixture
def frame() -> Frame:
    return Frame([f"C{i:04}" for i in range(1000)], np.arange(1000) % 2, ["north", "south"])


@pytest.fixture
def plan(document: dict[str, Any]) -> Plan:
    return Plan.model_validate(
        document | {"sampling": {"size": 200, "design": {"part": "simple"}}, "assignment": {"part": "complete"}}
    )


def known(plan: Plan, key: str, values: Any, scale: Scale = Scale.MONEY, effect: float | None = None) -> Baseline:
    outcome: PlannedOutcome = plan.outcome(key)
    spread = float(np.std(values, ddof=1))
    return Baseline(
        outcome, scale, float(np.mean(values)), spread, "data", effect=effect, effect_origin="plan", values=values
    )


def design(
    plan: Plan, frame: Frame, baselines: Sequence[Baseline], analyses: dict[str, Any], **measures: Any
) -> Design:
    return Design(plan, frame, baselines, analyses, measures, past.judge)


def bell(key: int = 5) -> Any:
    from scipy.special import ndtri

    return ndtri(numbers(key, 1000))


def test_false_alarms_lie_in_their_bounds_and_power_is_that_of_the_formula(
    sqlite_app: Flask, plan: Plan, frame: Frame
) -> None:
    base = known(plan, "cost", bell(), effect=-0.4)
    found = rehearse(design(plan, frame, [base], {"cost": [Welch()]}), TIMES).tried[0]
    assert BOUNDS[0] <= found.alarms.hits <= BOUNDS[1]
    assert found.nominal == pytest.approx(0.05)
    assert found.null == 0.0
    formula = Welch().power(Expected(sd=base.sd), -0.4, (100, 100))
    error = (formula * (1 - formula) / TIMES) ** 0.5
    assert found.shown.share == pytest.approx(formula, abs=3.3 * error)
    assert found.verdict == "as_stated"


def test_against_a_margin_the_alarm_is_an_arm_that_is_worse_by_it(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    base = known(plan, "satisfaction", bell(), Scale.NUMBER, 0.0)
    analysis = NonInferiority(margin=0.25)
    found = rehearse(design(plan, frame, [base], {"satisfaction": [analysis]}), TIMES).tried[0]
    assert found.nominal == pytest.approx(0.025)
    assert found.null == -0.25
    assert found.alarms.hits <= 13  # 99.9 % point of a binomial law of 200 times at 2.5 %
    formula = analysis.power(Expected(sd=base.sd), 0.0, (100, 100))
    assert found.shown.share == pytest.approx(formula, abs=3.3 * (formula * (1 - formula) / TIMES) ** 0.5)


def test_a_share_moves_by_the_planted_effect(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    yes = (numbers(3, 1000) < 0.4).astype(float)
    base = known(plan, "satisfaction", yes, Scale.BINARY, 0.2)
    found = rehearse(design(plan, frame, [base], {"satisfaction": [Newcombe()]}), TIMES).tried[0]
    formula = Newcombe().power(Expected(mean=base.mean), 0.2, (100, 100))
    assert found.shown.share == pytest.approx(formula, abs=0.1)
    assert BOUNDS[0] <= found.alarms.hits <= BOUNDS[1]
    too_much = design(plan, frame, [base], {"satisfaction": [Newcombe()]})
    with pytest.raises(InputError, match="cannot move"):
        rehearse(too_much, 1, effects={"satisfaction": 0.7})


def test_an_analysis_that_cries_wolf_is_found_out(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    """Whole clusters in an arm, analysed as if customers were independent: the design effect is 1 + 49 * 0.5."""
    together = np.arange(1000) // 50
    clustered = Frame(frame.refs, frame.strata, frame.labels, together, [f"rep {i:02}" for i in range(20)])
    values = bell() + bell(9)[together]
    changed = plan.model_dump() | {
        "sampling": {"size": 1000, "cluster": "sales_rep"},
        "assignment": {"part": "clusters"},
    }
    clusters = Plan.model_validate(changed)
    found = rehearse(
        design(clusters, clustered, [known(clusters, "cost", values, effect=0.0)], {"cost": [Welch()]}), 60
    )
    assert found.tried[0].verdict == "too_many"
    assert found.tried[0].alarms.share > 0.3


def test_the_rule_is_applied_to_what_was_drawn(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    baselines = [
        known(plan, "satisfaction", bell(1), Scale.NUMBER, 0.0),
        known(plan, "cost", 50 + 10 * bell(2), effect=-10.0),
    ]
    analyses = {"satisfaction": [NonInferiority(margin=0.25)], "cost": [StratifiedDifference()]}
    found = rehearse(design(plan, frame, baselines, analyses), 100)
    assert sum(found.verdicts["same"].values()) == sum(found.verdicts["planned"].values()) == 100
    assert found.conditions["cheaper"]["met"] >= 99  # a whole standard deviation between 100 and 100
    assert found.verdicts["planned"]["roll_out"] == pytest.approx(100 * found.tried[0].shown.share, abs=2)
    assert found.verdicts["same"]["roll_out"] <= 9  # the cheaper half alone is met by chance in 2.5 %


def test_likeness_is_that_of_simple_chance(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    base = known(plan, "cost", bell(), effect=0.5)
    found = rehearse(design(plan, frame, [base], {"cost": [Welch()]}, revenue_year=bell(8)), 200)
    # |d| of two means of 100 has the median 0.6745 * sqrt(2 / 100)
    assert found.likeness[0].median == pytest.approx(0.6745 * 0.1414, rel=0.2)
    assert 0.25 < found.likeness[0].worst < 0.65


def test_the_same_seed_gives_the_same_and_survives_json(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    made = design(plan, frame, [known(plan, "cost", bell(), effect=-0.3)], {"cost": [Welch()]}, potential=bell(4))
    told: list[int] = []
    first = rehearse(made, 20, "a", done=told.append)
    assert told == list(range(1, 21))
    assert first == rehearse(made, 20, "a")
    assert first.likeness != rehearse(made, 20, "b").likeness
    assert Rehearsal.from_json(json.loads(json.dumps(first.as_json()))) == first


def test_what_has_no_past_cannot_be_rehearsed(sqlite_app: Flask, plan: Plan, frame: Frame) -> None:
    flat, none = (
        known(plan, "cost", np.zeros(1000), effect=1.0),
        Baseline(plan.outcomes[0], Scale.RATING, reason="it has no past"),
    )
    found = rehearse(design(plan, frame, [none, flat], {"cost": [Welch()], "satisfaction": [Welch()]}), 3)
    assert found.tried == ()
    assert found.unknown.keys() == {"cost", "satisfaction"}
    assert found.verdicts == {}
    with pytest.raises(InputError, match="there is no outcome 'turnover'"):
        rehearse(design(plan, frame, [none, flat], {}), 1, effects={"turnover": 1.0})


@pytest.fixture
def with_touches(base: Flask, document: dict[str, Any]) -> Flask:
    """The base with touches before the pilot, and a draft."""
    from pilot import clock
    from pilot.customers.models import Import
    from pilot.db import transaction

    rows = [(f"C{i:04}", date(2026, 2, 1 + i % 27), "field-rep", "visit", 30.0, 10 + i % 7) for i in range(1, 181)]
    name = store().add("touches", rows)
    with transaction() as work:
        work.session.add(
            Import(
                kind="touches", filename="t.csv", sha256="0" * 64, importer="csv", reading={}, actor="t", at=clock.now(),
                accepted=180, unchanged=0, rejected=0, fact_file=name,
            )
        )  # fmt: skip
    service.create(SYSTEM, Plan.model_validate(document))
    return base


def test_values_of_the_store_come_customer_by_customer(with_touches: Flask) -> None:
    refs = ["C0200", "C0007", "C0001"]
    assert store().values(refs, Measure.COST, date(2026, 1, 1), date(2026, 4, 1)) == [0.0, 10.0, 11.0]
    assert store().values(refs, Measure.COST, date(2026, 1, 1), date(2026, 2, 3)) == [0.0, 0.0, 11.0]


def test_a_job_rehearses_what_was_asked_for(with_touches: Flask, operator: Actor) -> None:
    run = rehearsing.ask(operator, "desk-2026", 30)
    assert rehearsing.ask(operator, "desk-2026", 30).id == run.id  # it waits already
    assert rehearsing.work_off()
    assert not rehearsing.work_off()
    done = rehearsing.newest("desk-2026")
    assert done is not None
    assert done.result is not None
    assert (done.done, done.failure) == (30, None)
    found = Rehearsal.from_json(done.result)
    assert [item.outcome for item in found.tried] == ["cost"]
    assert found == rehearsing.at_once(operator, "desk-2026", 30)
    assert rehearsing.still_holds(done, service.get("desk-2026"))


def test_a_rehearsal_that_cannot_be_says_why(base: Flask, document: dict[str, Any], operator: Actor) -> None:
    service.create(operator, Plan.model_validate(document | {"sampling": {"size": 500}}))
    rehearsing.ask(operator, "desk-2026", 5)
    assert rehearsing.work_off()
    failed = rehearsing.newest("desk-2026")
    assert failed is not None
    assert "only 200 are eligible" in str(failed.failure)
    with pytest.raises(Forbidden):
        rehearsing.ask(Actor("v@example.com", frozenset({"viewer"})), "desk-2026")
    with pytest.raises(InputError, match="cannot be"):
        rehearsing.ask(operator, "desk-2026", 0)


def test_the_command_counts_and_takes_effects(with_touches: Flask) -> None:
    runner, script = with_touches.test_cli_runner(), ScriptInfo(create_app=lambda: with_touches)

    def run(*arguments: str) -> Any:
        return runner.invoke(experiment, ["rehearse", "desk-2026", *arguments], obj=script, standalone_mode=False)

    done = run("--times", "20", "--effect", "cost=-9", "--json")
    tried = Tried(**json.loads(done.stdout)["tried"][0])
    assert (tried.effect, tried.shown["hits"]) == (-9.0, 20)  # type: ignore[index]
    assert "KEY=VALUE" in str(run("--effect", "cost").exception)
    assert "Satisfaction: cannot be rehearsed" in run("--times", "3").stdout


@pytest.fixture
def staff(with_touches: Flask, client: FlaskClient) -> FlaskClient:
    """A browser in which somebody of operations is logged in."""
    with_touches.config["WTF_CSRF_ENABLED"] = False
    _, password = add_user(SYSTEM, "ops@example.com", "operations")
    assert client.post("/login", data={"email": "ops@example.com", "password": password}).status_code == 302
    return client


def test_the_pages_go_from_nothing_to_a_result(staff: FlaskClient) -> None:
    assert "What this pilot can show" in staff.get("/experiments/desk-2026/power").text
    page = "/experiments/desk-2026/rehearsal"
    assert "Not rehearsed yet" in staff.get(page).text
    assert (
        staff.post(page, data={"times": "0", "seed": "1"}, follow_redirects=True).text.count("0 times cannot be") == 1
    )
    assert "0 of 10 times are done" in staff.post(page, data={"times": "10"}, follow_redirects=True).text
    assert rehearsing.work_off()
    done = staff.get(page).text
    assert "False alarms and power" in done
    assert "it has no past" not in done  # here the survey is not even published
    assert "data:image/svg+xml" in done


def test_a_rule_on_clear_results(document: dict[str, Any]) -> None:
    assert past.judge(Plan.model_validate(document), {"pilot": []}) == Judged(
        "inconclusive", {"not_worse": "open", "cheaper": "open"}
    )
