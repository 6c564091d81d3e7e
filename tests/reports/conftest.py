"""Material made by hand, and a small pilot run from the base to its close through the services."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.analysis import ArmSummary, Comparison, Evidence, Moments, Scale
from pilot.config import current
from pilot.customers import service as customers
from pilot.customers.intake.service import import_file
from pilot.db import db, transaction
from pilot.experiments import service as experiments
from pilot.experiments.models import Unit
from pilot.experiments.plan import Plan, load_toml
from pilot.handling import service as handling
from pilot.mail.models import OutboxMessage
from pilot.reports import decision
from pilot.reports.flow import Flow
from pilot.reports.material import Draw, Material, Moves, Result, Stratum
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition
from pilot.surveys.models import Invitation

EXAMPLES = Path(__file__).parents[2] / "examples"
HASH = "9f2c" * 16
ORDER = ("customer_ref", "order_ref", "ordered_on", "amount", "cancelled")
Z = 1.959964

PLAN = """
key = "desk"
name = "Service desk instead of field visits"
question = "Do small customers stay as satisfied, and does it cost less?"
survey = "satisfaction"
population = { segments = ["small"], as_of = 2026-03-31 }
sampling = { size = 80, strata = ["region"] }
arms = [
    { key = "control", label = "Field rep", channel = "field-rep", share = 0.5 },
    { key = "pilot", label = "Service desk", channel = "service-desk", share = 0.5 },
]
calendar = { start = 2026-04-01, end = 2026-07-01, survey_until = 2026-07-22 }
outcomes = [
    { key = "csat", label = "Satisfaction", source = { part = "survey-score", settings = { question = "csat" } }, role = "primary", margin = 0.75, margin_reason = "Less is not felt" },
    { key = "cost", label = "Cost to serve", source = { part = "cost-to-serve" }, role = "primary", higher_is_better = false },
    { key = "happy", label = "Satisfied (4 or 5)", source = { part = "survey-share", settings = { question = "csat", at_least = 4 } } },
    { key = "revenue", label = "Revenue", source = { part = "revenue" } },
    { key = "retained", label = "Ordered", source = { part = "retained" }, role = "guardrail" },
]
analyses = [
    { outcome = "csat", analysis = { part = "non-inferiority", settings = { margin = 0.75 } } },
    { outcome = "csat", analysis = { part = "exact-permutation" } },
    { outcome = "cost", analysis = { part = "welch" } },
    { outcome = "happy", analysis = { part = "newcombe" } },
    { outcome = "revenue", analysis = { part = "welch" } },
    { outcome = "retained", analysis = { part = "newcombe" } },
]
decision = { not_worse = "csat", cheaper = "cost" }
"""


def moment(month: int, day: int) -> datetime:
    """Nine o'clock of a day in 2026."""
    return datetime(2026, month, day, 9, tzinfo=UTC)


@pytest.fixture
def make_material(app: Flask) -> Callable[..., Material]:
    """Material of two arms of 600: mean satisfaction 4.02 and 4.10, cost 38.20 and 61.90."""

    def make(
        *, plan: str = PLAN, company: str = "Alpina Logistica", satisfaction: float = -0.08, **changes: object
    ) -> Material:
        planned = load_toml(plan)
        rating = _counted("csat", Scale.RATING, (1, 2, 3, 4, 5), [5, 10, 32, 92, 89], [7, 13, 34, 92, 85])
        cost = _measured("cost", (61.9, 38.2), (44.0, 30.0), higher_is_better=False)
        ordered = _counted("retained", Scale.BINARY, (0, 1), [113, 487], [108, 492])
        results = (
            _result(rating, "non-inferiority", satisfaction, 0.092, margin=0.75),
            _result(cost, "welch", -23.7, 2.17),
            _result(ordered, "newcombe", 0.0083, 0.0223),
        )
        quality, saving = results[0].found, results[1].found
        conditions = [decision.not_worse("csat", quality, 0.75), decision.cheaper("cost", saving)]
        made = Material(
            plan=planned,
            plan_hash=HASH,
            moves=Moves(moment(3, 28), moment(3, 30), moment(4, 1), moment(7, 23), moment(7, 24)),
            draw=Draw("ab12" * 16, "3 17 22 41 56 88", "c0de" * 16, 14872, "philox-keys/1"),
            flow=(
                Flow("control", "", 600, 591, 7, 1, 1, 588, 9, 2, 1, 246, 234),
                Flow("pilot", "", 600, 594, 5, 1, 0, 592, 6, 2, 0, 252, 235),
            ),
            strata=(Stratum("north", 8000, (320, 320)), Stratum("south", 6872, (280, 280))),
            results=results,
            ratios=(),
            decision=decision.overall([decision.judge("pilot", conditions)], 0.95),
            company=company,
            language="en",
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    return make


def _counted(outcome: str, scale: Scale, levels: Iterable[float], control: list[int], pilot: list[int]) -> Evidence:
    counts = [[control], [pilot]]
    return Evidence.from_counts(outcome, scale, ("control", "pilot"), tuple(levels), counts, assigned=[[600], [600]])


def _measured(
    outcome: str, means: tuple[float, float], sds: tuple[float, float], *, higher_is_better: bool
) -> Evidence:
    n = np.array([[600], [600]])
    moments = Moments(n, np.array([[mean] for mean in means]), np.array([[599 * sd**2] for sd in sds]))
    return Evidence(outcome, Scale.MONEY, higher_is_better, ("control", "pilot"), assigned=n, moments=moments)


def _result(evidence: Evidence, analysis: str, estimate: float, error: float, margin: float | None = None) -> Result:
    assert evidence.moments is not None
    arms = []
    for place, arm in enumerate(evidence.arms):
        n, mean, m2 = evidence.moments.pooled(place)
        arms.append(ArmSummary(arm, 600, n, mean, (m2 / (n - 1)) ** 0.5))
    found = Comparison(
        analysis, "t interval", evidence.outcome, "difference of means", "pilot", "control", tuple(arms),
        estimate, estimate - Z * error, estimate + Z * error, 0.95, error, p_value=0.03, margin=margin,
    )  # fmt: skip
    return Result(evidence.outcome, "pilot", analysis, True, HASH, evidence, found, {"pilot": "0.1.0"})


# --- a pilot run for real ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data of the closed pilot lie once it was run on SQLite."""
    return tmp_path_factory.mktemp("closed") / "data"


@pytest.fixture
def closed_pilot(app: Flask, operator: Actor, tmp_path: Path, _kept: Path) -> str:
    """The key of a closed pilot: 80 customers, of whom the pilot arm costs 20 a head and control 60.

    Of three customers two begin to answer; both arms give the same mix of 3, 4 and 5, so the difference is zero.
    On SQLite it is run once, and later tests get a copy of its data.
    """
    data, in_file = current().data_dir, db.engine.dialect.name == "sqlite"
    db.engine.dispose()
    if in_file and _kept.exists():
        shutil.copytree(_kept, data, dirs_exist_ok=True)
    else:
        _run_pilot(operator, tmp_path)
        db.session.remove()
        db.engine.dispose()  # which also empties SQLite's write-ahead log into the file
        if in_file:
            shutil.copytree(data, _kept)
    clock.travel(moment(7, 24))
    return "desk"


def _run_pilot(operator: Actor, tmp_path: Path) -> None:
    clock.travel(moment(3, 31))
    _fill_base(operator, tmp_path)
    surveys.publish(operator, load_definition(EXAMPLES / "survey.toml"))
    experiments.create(operator, load_plan())
    experiments.seal(operator, "desk")
    experiments.draw(operator, "desk", "3 17 22 41 56 88")
    experiments.notify(operator, "desk")
    _deliver()
    clock.travel(moment(4, 1))
    handling.start(operator, "desk")
    clock.travel(moment(7, 1))
    orders = [(f"C{i:04}", f"B{i}", "2026-05-10", f"{200 + i}.25", "") for i in range(1, 201) if i % 4]
    import_rows(operator, tmp_path, "orders", ORDER, orders)
    import_rows(
        operator, tmp_path, "touches", ("customer_ref", "happened_on", "channel", "kind", "minutes", "cost"), _touches()
    )
    surveys.open_wave(operator, "desk")
    _deliver()
    clock.travel(moment(7, 3))
    _answer()
    clock.travel(moment(7, 23))
    surveys.close_wave(operator, "desk")
    handling.finish(operator, "desk")


def load_plan() -> Plan:
    """The plan of the small pilot."""
    return load_toml(PLAN)


def _fill_base(operator: Actor, folder: Path) -> None:
    numbers = range(1, 201)
    names = ("customer_ref", "name", "email", "language", "region")
    import_rows(
        operator, folder, "customers", names,
        [(f"C{i:04}", f"Customer {i}", f"c{i}@example.com", ("it", "pl", "en")[i % 3], ("north", "south")[i % 2]) for i in numbers],
    )  # fmt: skip
    import_rows(
        operator, folder, "orders", ORDER, [(f"C{i:04}", f"A{i}", "2026-02-10", f"{100 + i}.50", "") for i in numbers]
    )
    customers.rebuild_profiles(operator, load_plan().population.as_of)
    small = {"key": "small", "name": "Small", "rule": "everyone", "settings": {}, "channel": "field-rep"}
    customers.set_segments(operator, [small])
    customers.evaluate_segments(operator)


def import_rows(
    operator: Actor, folder: Path, kind: str, columns: Iterable[str], rows: Iterable[Iterable[object]]
) -> None:
    """Take rows into the base, all or none."""
    path = folder / f"{kind}.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([columns, *rows])
    import_file(operator, kind, path, strict=True)


def _deliver() -> None:
    """Let all queued mail have been sent; how that is done is tested elsewhere."""
    with transaction() as work:
        work.session.execute(sa.update(OutboxMessage).where(OutboxMessage.state == "queued").values(state="sent"))


def _touches() -> list[tuple[object, ...]]:
    """One visit of 55 to 65 in control, two calls that make 15 to 25 in the pilot arm."""
    rows: list[tuple[object, ...]] = []
    for number, unit in enumerate(experiments.units(experiments.get("desk"))):
        extra = number % 11
        if unit.arm == "control":
            rows.append((unit.ref, "2026-05-04", "field-rep", "visit", 45, f"{55 + extra}.00"))
        else:
            rows += [
                (unit.ref, f"2026-0{month}-04", "service-desk", "call", 8, f"{7.5 + extra / 2:.2f}") for month in (4, 6)
            ]
    return rows


def _answer() -> None:
    """Two of three customers of each arm and stratum answer both pages, one in seven of the rest only the first."""
    query = (
        sa.select(Unit.arm, Unit.stratum, Invitation.id)
        .join(Invitation, Invitation.customer_id == Unit.customer_id)
        .order_by(Unit.arm, Unit.stratum, Invitation.id)
    )
    places: dict[tuple[str, str], int] = {}
    for arm, stratum, invitation in db.session.execute(query).all():
        place = places[arm, stratum] = places.get((arm, stratum), -1) + 1
        answers = {"csat": 3 + place // 3 % 3, "nps": 8}
        token = surveys.token_for(invitation)
        if place % 3 == 2:
            continue
        surveys.save_page(token, 1, answers, language="en")
        if place % 7 != 6:
            surveys.complete(token, 2, {}, language="en", submission_key=f"k{invitation}")
