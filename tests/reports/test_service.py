"""Analysing, deciding and reporting a small pilot that was run through the services."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
from flask import Flask
from pypdf import PdfReader

from pilot import clock
from pilot.accounts.service import Actor, trail
from pilot.analysis import Comparison, Evidence
from pilot.analysis.comparison import from_json
from pilot.db import db, transaction
from pilot.errors import CheckFailed, Forbidden, InputError, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Unit
from pilot.mail.models import OutboxMessage
from pilot.plugins.manager import plugins
from pilot.reports import service
from pilot.reports.commands import analyse, decide, report
from pilot.reports.models import AnalysisRun
from pilot.surveys.models import Invitation, Response

from .conftest import import_rows, load_plan, moment


def by_outcome(runs: list[AnalysisRun]) -> dict[tuple[str, str], Comparison]:
    found = {(run.outcome, run.analysis): from_json(run.comparison) for run in runs}
    return {key: item for key, item in found.items() if isinstance(item, Comparison)}


def test_every_planned_analysis_and_every_step_of_the_flow_is_run(
    sqlite_app: Flask, closed_pilot: str, operator: Actor
) -> None:
    runs = service.analyse(operator, closed_pilot)
    planned = [(item.outcome, item.analysis.part) for item in load_plan().analyses]
    assert [(run.outcome, run.analysis) for run in runs] == [
        *sorted(planned, key=lambda item: [outcome.key for outcome in load_plan().outcomes].index(item[0])),
        *(
            (f"flow:{step}", "sample-ratio")
            for step in ("assigned", "notified", "bounced", "handled", "invited", "complete", "analysed")
        ),
    ]
    assert {run.plan_hash for run in runs} == {experiments.get(closed_pilot).plan_hash}
    assert all(run.planned and run.versions["scipy"] for run in runs)


def test_the_numbers_are_those_of_the_facts(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    found = by_outcome(service.analyse(operator, closed_pilot))
    control, pilot = found["cost", "welch"].arms
    # a visit of 55 to 65 against two calls of half of 15 to 25, over the drawn customers in the order of their refs
    units = experiments.units(experiments.get(closed_pilot))
    cost = {arm: [n % 11 for n, unit in enumerate(units) if unit.arm == arm] for arm in ("control", "pilot")}
    assert control.mean == pytest.approx(55 + sum(cost["control"]) / 40)
    assert pilot.mean == pytest.approx(15 + sum(cost["pilot"]) / 40)
    assert (control.n, control.assigned, pilot.n) == (40, 40, 40)
    # orders of the window: customers whose number is not a multiple of 4, each 200.25 and their number
    spent = [200.25 + int(unit.ref[1:]) for unit in units if unit.arm == "pilot" and int(unit.ref[1:]) % 4]
    assert found["revenue", "welch"].arms[1].mean == pytest.approx(sum(spent) / 40)
    assert found["retained", "newcombe"].arms[1].mean == pytest.approx(len(spent) / 40)


def test_evidence_counts_answers_by_arm_and_stratum(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    runs = service.analyse(operator, closed_pilot)
    evidence = Evidence.from_json(next(run.evidence for run in runs if run.outcome == "csat"))
    assert evidence.arms == ("control", "pilot")
    assert evidence.strata == ("north", "south")
    assert evidence.levels == (1, 2, 3, 4, 5)
    assert evidence.assigned is not None
    assert evidence.assigned.tolist() == [[20, 20], [20, 20]]
    assert evidence.population is not None
    assert evidence.population.tolist() == [100, 100]
    assert evidence.counts is not None
    # of 20 in each cell the places 2, 5, 8, ... do not answer and 6, 13 stop half-way; ratings go 3, 4, 5 by threes
    assert evidence.counts.tolist() == [[[0, 0, 6, 3, 3]] * 2] * 2
    happy = Evidence.from_json(next(run.evidence for run in runs if run.outcome == "happy"))
    assert happy.counts is not None
    assert happy.counts.tolist() == [[[6, 6]] * 2] * 2


def test_the_flow_of_each_arm(closed_pilot: str) -> None:
    control, pilot = service.flow(experiments.get(closed_pilot).id)
    assert (control.arm, pilot.arm) == ("control", "pilot")
    for arm in (control, pilot):
        assert (arm.assigned, arm.notified, arm.invited, arm.started, arm.complete) == (40, 40, 40, 28, 24)
        assert (arm.partial, arm.notice_failed, arm.rate) == (4, 0, 0.6)


def test_analysing_again_changes_nothing(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    first = service.analyse(operator, closed_pilot)
    kept = [(run.id, json.dumps(run.comparison), run.at) for run in first]
    clock.travel(moment(8, 1))
    again = service.analyse(operator, closed_pilot)
    assert [(run.id, json.dumps(run.comparison), run.at) for run in again] == kept
    assert [run.id for run in service.runs(first[0].experiment_id)] == [run.id for run in first]
    assert sum(entry.action == "analysed" for entry in trail(f"experiment:{closed_pilot}")) == 1


def test_a_stored_comparison_is_recomputed_from_its_evidence(
    sqlite_app: Flask, closed_pilot: str, operator: Actor
) -> None:
    for run in service.analyse(operator, closed_pilot):
        evidence = Evidence.from_json(run.evidence)
        assert evidence.digest() == run.evidence_digest
        again = plugins().build("analyses", run.analysis, run.settings).compare(evidence, run.arm)
        assert json.loads(json.dumps(again.as_json())) == run.comparison


def test_results_stay_closed_until_the_experiment_closes(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    db.session.execute(sa.text("UPDATE experiments SET state = 'running'"))
    db.session.commit()
    experiment = experiments.get(closed_pilot)
    for look in (
        lambda: service.analyse(operator, closed_pilot),
        lambda: service.decide(operator, closed_pilot),
        lambda: service.material(experiment, "en"),
        lambda: service.write_report(operator, closed_pilot, Path("never.pdf"), "en"),
    ):
        with pytest.raises(StateError):
            look()
    assert db.session.scalar(sa.select(sa.func.count(AnalysisRun.id))) == 0


def test_a_good_and_cheaper_pilot_is_rolled_out_once(closed_pilot: str, operator: Actor) -> None:
    assert service.decide(operator, closed_pilot) == "roll_out"
    experiment = experiments.get(closed_pilot)
    assert (experiment.state, experiment.verdict) == ("decided", "roll_out")
    material = service.material(experiment, "en")
    assert material.decision is not None
    quality, cost = material.decision.arms[0].conditions
    assert (quality.state, quality.threshold, quality.analysis) == ("met", -0.75, "non-inferiority")
    assert (cost.state, cost.analysis) == ("met", "welch")
    with pytest.raises(StateError):
        service.decide(operator, closed_pilot)


def test_unequal_losses_block_a_roll_out(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    in_pilot = sa.select(sa.column("customer_id")).select_from(sa.table("units")).where(sa.column("arm") == "pilot")
    db.session.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.kind == "notice", OutboxMessage.customer_id.in_(in_pilot))
        .values(state="failed")
    )
    db.session.commit()
    assert service.decide(operator, closed_pilot) == "inconclusive"
    arm = service.material(experiments.get(closed_pilot), "en").decision.arms[0]  # type: ignore[union-attr]
    assert (arm.blocked, arm.alarms) == (True, ("notified",))


def completed(arm: str) -> list[int]:
    query = (
        sa.select(Response.id)
        .join(Invitation, Invitation.id == Response.invitation_id)
        .join(Unit, Unit.customer_id == Invitation.customer_id)
        .where(Unit.arm == arm, Response.completed_at.is_not(None))
    )
    return list(db.session.scalars(query.order_by(Response.id)))


def edit(model: type[Any], where: sa.ColumnElement[bool], **values: Any) -> None:
    """Change stored rows behind the product's back."""
    db.session.rollback()
    with transaction() as work:
        assert work.session.execute(sa.update(model).where(where).values(**values)).rowcount


def test_unequal_answering_is_shown_and_blocks_nothing(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    stopped = [number for place, number in enumerate(completed("control")) if place % 4]
    edit(Response, Response.id.in_(stopped), completed_at=None)  # three of four of control, in every stratum
    edit(Response, Response.id.in_(completed("pilot")), answers={"csat": 5})
    assert service.decide(operator, closed_pilot) == "roll_out"
    material = service.material(experiments.get(closed_pilot), "en")
    checks = [(ratio.outcome, ratio.found.passed) for ratio in material.ratios if isinstance(ratio.found, Comparison)]
    assert [step for step, passed in checks if not passed] == ["complete", "analysed"]
    assert material.decision is not None
    assert material.decision.arms[0].alarms == ()


def test_answers_to_uncertain_invitations_raise_no_rate_above_one(sqlite_app: Flask, closed_pilot: str) -> None:
    edit(OutboxMessage, OutboxMessage.kind == "invitation", state="uncertain")
    for arm in service.flow(experiments.get(closed_pilot).id):
        assert (arm.invited, arm.invitation_uncertain, arm.complete, arm.rate) == (0, 40, 24, 0.6)


def test_an_assignment_that_was_edited_is_not_analysed(sqlite_app: Flask, closed_pilot: str, operator: Actor) -> None:
    unit = experiments.units(experiments.get(closed_pilot))[0]
    other = {"control": "pilot", "pilot": "control"}[unit.arm]
    edit(Unit, Unit.id == unit.id, arm=other)
    for act in (service.analyse, service.decide):
        with pytest.raises(CheckFailed, match=f"not the one that was drawn: customer {unit.ref}: arm stored {other}"):
            act(operator, closed_pilot)
    assert db.session.scalar(sa.select(sa.func.count(AnalysisRun.id))) == 0
    assert experiments.get(closed_pilot).state == "closed"


def test_the_decision_keeps_its_numbers_when_facts_arrive_later(
    sqlite_app: Flask, closed_pilot: str, operator: Actor, tmp_path: Path
) -> None:
    service.decide(operator, closed_pilot)
    experiment = experiments.get(closed_pilot)
    before = [result.found for result in service.material(experiment, "en").results]
    late = [(unit.ref, "2026-06-30", "service-desk", "call", 5, "900.00") for unit in experiments.units(experiment)]
    columns = ("customer_ref", "happened_on", "channel", "kind", "minutes", "cost")
    import_rows(operator, tmp_path, "touches", columns, late)
    runs = service.analyse(operator, closed_pilot)
    assert [result.found for result in service.material(experiment, "en").results] == before
    assert by_outcome(runs)["cost", "welch"].arms[0].mean == pytest.approx(960, abs=5)
    assert len(service.runs(experiment.id)) == len(runs)


def test_who_may_do_what(sqlite_app: Flask, closed_pilot: str, tmp_path: Path) -> None:
    agent, viewer, analyst = (
        Actor(f"{role}@example.com", frozenset({role})) for role in ("agent", "viewer", "analyst")
    )
    for actor in (agent, viewer):
        with pytest.raises(Forbidden):
            service.analyse(actor, closed_pilot)
    service.analyse(analyst, closed_pilot)
    with pytest.raises(Forbidden):
        service.decide(analyst, closed_pilot)
    with pytest.raises(Forbidden):
        service.write_report(agent, closed_pilot, tmp_path / "report.pdf", "en")


def test_the_report_is_written_as_a_whole_or_not_at_all(
    sqlite_app: Flask, closed_pilot: str, operator: Actor, tmp_path: Path
) -> None:
    path = tmp_path / "report.pdf"
    with pytest.raises(StateError, match="has not been analysed"):
        service.write_report(operator, closed_pilot, path, "it")
    service.decide(operator, closed_pilot)
    with pytest.raises(InputError, match="cannot be written"):
        service.write_report(operator, closed_pilot, tmp_path / "nowhere" / "report.pdf", "it")
    with pytest.raises(InputError, match="no report in 'de'"):
        service.write_report(operator, closed_pilot, path, "de")
    path.write_text("an older report")
    result = sqlite_app.test_cli_runner().invoke(report, [closed_pilot, "-o", str(path), "--lang", "it"])
    assert (result.exit_code, result.stdout.strip()) == (0, str(path)), result.output
    assert [item.name for item in tmp_path.glob("*report.pdf*")] == ["report.pdf"]
    pages = PdfReader(path).pages
    assert 4 <= len(pages) <= 8
    assert experiments.get(closed_pilot).plan_hash in "".join(page.extract_text() for page in pages).replace("\n", "")


def test_the_commands_tell_a_person_or_a_program(sqlite_app: Flask, closed_pilot: str) -> None:
    def run(command: click.Command, *args: str) -> str:
        result = sqlite_app.test_cli_runner().invoke(command, [closed_pilot, *args], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert json.loads(run(analyse, "--json"))[0]["comparison"]["outcome"] == "csat"
    text = run(analyse)
    assert "Cost to serve" in text
    assert "non-inferiority" in text
    assert "Roll out: “Satisfaction” is not worse" in run(decide)


def test_a_kept_report_is_made_anew_when_what_it_prints_has_changed(
    sqlite_app: Flask, closed_pilot: str, operator: Actor
) -> None:
    service.decide(operator, closed_pilot)

    def kept() -> tuple[Path, int]:
        path = service.kept_report(operator, closed_pilot, "en")
        return path, path.stat().st_mtime_ns

    first = kept()
    assert kept() == first
    edit(OutboxMessage, OutboxMessage.kind == "notice", state="uncertain")
    second = kept()
    settings = sqlite_app.extensions["pilot.config"]
    sqlite_app.extensions["pilot.config"] = settings.model_copy(update={"company": "Alpina Logistica"})
    assert len({first, second, kept()}) == 3
