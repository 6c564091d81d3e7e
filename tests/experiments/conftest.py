"""A customer base, a plan for it, and an experiment brought to any state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.db import Model, db, transaction
from pilot.experiments import service
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan

AS_OF = date(2026, 3, 31)
REGIONS = ("north", "south", "east", None)
SURVEY = (3, "5" * 64)


@pytest.fixture
def document() -> dict[str, Any]:
    """A sound plan for 60 of the customers of `base`, to be changed at will."""
    return {
        "key": "desk-2026",
        "name": "Service desk instead of field visits",
        "question": "Do small customers stay as satisfied, at lower cost?",
        "survey": "satisfaction",
        "population": {"segments": ["small"], "as_of": AS_OF},
        "sampling": {"size": 60, "strata": ["region"]},
        "arms": [
            {"key": "control", "label": "As today", "channel": "field-rep", "share": 0.5},
            {"key": "pilot", "label": "Service desk", "channel": "service-desk", "share": 0.5},
        ],
        "calendar": {"start": date(2026, 4, 1), "end": date(2026, 7, 1), "survey_until": date(2026, 7, 22)},
        "outcomes": [
            {
                "key": "satisfaction",
                "label": "Satisfaction",
                "source": {"part": "survey-score", "settings": {"question": "csat"}},
                "role": "primary",
                "margin": 0.25,
                "margin_reason": "Less is not felt",
            },
            {
                "key": "cost",
                "label": "Cost to serve",
                "source": {"part": "cost-to-serve"},
                "higher_is_better": False,
            },
        ],
        "analyses": [
            {"outcome": "satisfaction", "analysis": {"part": "non-inferiority", "settings": {"margin": 0.25}}},
            {"outcome": "cost", "analysis": {"part": "welch"}},
        ],
        "decision": {"not_worse": "satisfaction", "cheaper": "cost"},
    }


@pytest.fixture(autouse=True)
def _spring() -> Iterator[None]:
    """It is the first day of handling."""
    with clock.travelling(datetime(2026, 4, 1, 9, tzinfo=UTC)):
        yield


def add_customers(first: int, number: int) -> None:
    """Small customers C0001 and so on, in four regions, one of them unknown."""
    with transaction() as work:
        numbers = range(first, first + number)
        customers = [
            {
                "id": i,
                "ref": f"C{i:04}",
                "name": f"Customer {i}",
                "email": f"c{i}@kunde.example.com",
                "language": ("it", "pl", "en", None)[i % 4],
                "region": REGIONS[i % 7 % 4],
                "digest": "",
                "updated_at": clock.now(),
            }
            for i in numbers
        ]
        profiles = [
            {
                "customer_id": i,
                "as_of": AS_OF,
                "frequency": 3,
                "monetary": 10.0 * i,
                "revenue_year": 10.0 * i,
                "activity": "active",
                "missing": [],
                "segment": "small",
            }
            for i in numbers
        ]
        work.session.execute(sa.insert(Customer), customers)
        work.session.execute(sa.insert(CustomerProfile), profiles)


def fill_base(app: Flask, number: int = 200) -> None:
    """One segment of small customers, and the survey that plans name."""
    with transaction() as work:
        work.session.add(
            Segment(key="small", name="Small", position=0, rule="everyone", settings={}, channel="field-rep")
        )
    add_customers(1, number)
    service.register_survey_lookup(app, {"satisfaction": SURVEY}.get)
    service.register_plan_check(app, lambda plan, place: None)  # there is no real survey here


@pytest.fixture
def base(app: Flask) -> Flask:
    """The application with 200 small customers, on each database."""
    fill_base(app)
    return app


@pytest.fixture
def small_base(sqlite_app: Flask) -> Flask:
    """The application with 200 small customers, on SQLite."""
    fill_base(sqlite_app)
    return sqlite_app


@pytest.fixture
def bring_to(document: dict[str, Any], operator: Actor) -> Callable[[str], Experiment]:
    """Bring a new experiment to a state."""

    def bring_to(state: str) -> Experiment:
        key = document["key"]
        experiment = service.create(operator, Plan.model_validate(document))
        moves: dict[str, Callable[[], Any]] = {
            "draft": lambda: None,
            "sealed": lambda: service.seal(operator, key),
            "drawn": lambda: service.draw(operator, key, "3 17 22 41 56 88"),
            "running": lambda: service.start(operator, key),
            "closed": lambda: _close(operator, key),
            "decided": lambda: service.record_decision(operator, key, "roll_out", {"level": 0.95}),
            "rolled_out": lambda: service.roll_out(operator, key),
        }
        if state == "stopped":
            bring_to("running")
            service.stop(operator, key, "The desk has no staff")
            return experiment
        for move in list(moves.values())[: list(moves).index(state) + 1]:
            move()
        return experiment

    return bring_to


def _close(operator: Actor, key: str) -> None:
    clock.travel(datetime(2026, 7, 22, 17, tzinfo=UTC))
    service.close(operator, key)


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change stored rows behind the product's back."""

    def edit(model: type[Model], where: sa.ColumnElement[bool], **values: Any) -> None:
        with transaction() as work:
            assert work.session.execute(sa.update(model).where(where).values(**values)).rowcount
        db.session.expire_all()

    return edit


@pytest.fixture
def join() -> Callable[[int, int], None]:
    """Let more customers join the base: the number of the first, and how many."""
    return add_customers
