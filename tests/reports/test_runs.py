"""Whatever evidence comes and goes: the runs that are shown rest on what is known now."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.models import Import
from pilot.db import db, transaction
from pilot.experiments import service as experiments
from pilot.reports import service
from pilot.reports.models import AnalysisRun

from .conftest import import_rows

TOUCH = ("customer_ref", "happened_on", "channel", "kind", "minutes", "cost")


def cost(runs: list[AnalysisRun]) -> str:
    return next(run.evidence_digest for run in runs if run.outcome == "cost")


def withdraw_last_import() -> None:
    with transaction() as work:
        last = work.session.scalar(sa.select(sa.func.max(Import.id)))
        work.session.execute(sa.update(Import).where(Import.id == last).values(fact_file=None))


def test_evidence_that_holds_again_is_shown_again(
    closed_pilot: str, operator: Actor, tmp_path: Path, sqlite_app: Flask
) -> None:
    experiment = experiments.get(closed_pilot)
    first = service.analyse(operator, closed_pilot)
    late = [(unit.ref, "2026-06-30", "service-desk", "call", 5, "900.00") for unit in experiments.units(experiment)]
    import_rows(operator, tmp_path, "touches", TOUCH, late)
    second = service.analyse(operator, closed_pilot)
    withdraw_last_import()
    third = service.analyse(operator, closed_pilot)
    assert cost(first) == cost(third) != cost(second)
    for _ in range(2):
        assert [run.id for run in service.runs(experiment.id)] == [run.id for run in third]
        assert {result.outcome: result.evidence.digest() for result in service.material(experiment, "en").results}[
            "cost"
        ] == cost(first)
        assert [run.id for run in service.analyse(operator, closed_pilot)] == [run.id for run in third]
    # cost, and the step of the flow that shows whom the desk called, and nothing else, were run again
    assert db.session.scalar(sa.select(sa.func.count(AnalysisRun.id))) == len(first) + 4
