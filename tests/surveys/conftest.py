"""A running experiment with eight customers, and its survey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_babel import Babel

from pilot import clock
from pilot.accounts.service import SYSTEM, Actor
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan, canonical, plan_hash
from pilot.plugins import manager
from pilot.surveys import service
from pilot.surveys.definition import SurveyDefinition, load_definition
from pilot.surveys.models import Invitation

EXAMPLE = Path(__file__).parents[2] / "examples" / "survey.toml"
SURVEYED = datetime(2026, 7, 1, 9, tzinfo=UTC)
LANGUAGES = ("en", "it", "pl", None)


@dataclass(frozen=True)
class World:
    """The experiment `desk` and its customers by ref; even ones are in control, odd ones in the pilot arm."""

    experiment_id: int
    customers: dict[str, int]

    def link(self, ref: str) -> str:
        """Path of a customer's personal link, once the survey is open."""
        wanted = sa.select(Invitation.id).where(Invitation.customer_id == self.customers[ref])
        return f"/s/{service.token_for(db.session.scalars(wanted).one())}"


@pytest.fixture(scope="session")
def _bare() -> Flask:
    app = Flask("bare")
    Babel(app)
    manager.init_app(app)
    return app


@pytest.fixture
def bare_app(_bare: Flask) -> Iterator[None]:
    """Plug-ins and languages, and no database: all that definitions and questions need."""
    with _bare.app_context():
        yield


@pytest.fixture(scope="session")
def definition(_bare: Flask) -> SurveyDefinition:
    with _bare.app_context():
        return load_definition(EXAMPLE)


@pytest.fixture(autouse=True)
def _survey_season() -> Iterator[None]:
    with clock.travelling(SURVEYED):
        yield


@pytest.fixture
def world(app: Flask, definition: SurveyDefinition) -> World:
    return make_world(definition)


@pytest.fixture
def link(world: World, operator: Actor) -> Callable[[str], str]:
    """The survey, opened: from the ref of a customer to the path of their personal link."""
    service.open_wave(operator, "desk")
    return world.link


def make_world(definition: SurveyDefinition) -> World:
    """Publish the survey and put a running experiment into the current application."""
    service.publish(SYSTEM, definition)
    plan = _plan()
    with transaction() as work:
        experiment = Experiment(
            key=plan.key,
            name=plan.name,
            state="running",
            plan=canonical(plan),
            plan_hash=plan_hash(plan),
            created_at=SURVEYED,
        )
        customers = [_customer(number) for number in range(8)]
        work.session.add_all([experiment, *customers])
        work.session.flush()
        work.session.add_all(
            Unit(
                experiment_id=experiment.id,
                customer_id=customer.id,
                stratum="north" if number < 4 else "south",
                arm=("control", "pilot")[number % 2],
                inclusion_probability=0.5,
                arm_probability=0.5,
            )
            for number, customer in enumerate(customers)
        )
        return World(experiment.id, {customer.ref: customer.id for customer in customers})


def _customer(number: int) -> Customer:
    return Customer(
        ref=f"C{number}",
        name=f"Company {number}",
        email=f"c{number}@example.com",
        language=LANGUAGES[number % 4],
        digest="",
        updated_at=SURVEYED,
    )


def _plan() -> Plan:
    return Plan.model_validate(
        {
            "key": "desk",
            "name": "Service desk",
            "population": {"segments": ["small"], "as_of": date(2026, 3, 31)},
            "sampling": {"size": 8},
            "arms": [
                {"key": "control", "label": "Field rep", "channel": "field-rep", "share": 0.5},
                {"key": "pilot", "label": "Service desk", "channel": "service-desk", "share": 0.5},
            ],
            "calendar": {"start": date(2026, 4, 1), "end": date(2026, 7, 1), "survey_until": date(2026, 7, 22)},
            "survey": "satisfaction",
            "outcomes": [
                {
                    "key": "csat",
                    "label": "Satisfaction",
                    "source": {"part": "survey-score", "settings": {"question": "csat"}},
                    "role": "primary",
                    "margin": 0.25,
                    "margin_reason": "A quarter of a point is not felt",
                },
                {"key": "cost", "label": "Cost", "source": {"part": "cost-to-serve"}, "higher_is_better": False},
            ],
            "analyses": [
                {"outcome": "csat", "analysis": {"part": "non-inferiority", "settings": {"margin": 0.25}}},
                {"outcome": "cost", "analysis": {"part": "welch"}},
            ],
            "decision": {"not_worse": "csat", "cheaper": "cost"},
        }
    )
