"""A whole pilot from customer base to PDF, through the same doors that people use."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import threading
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tomli_w
from waitress.server import BaseWSGIServer, create_server

from pilot import clock, resources
from pilot.accounts.service import SYSTEM, add_user
from pilot.app import create_app
from pilot.config import Config, load
from pilot.console import step, track
from pilot.customers import service as customers
from pilot.customers.intake.service import import_file
from pilot.customers.models import Customer, CustomerProfile
from pilot.db import db
from pilot.demo import life, respondents, world
from pilot.errors import InputError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan, load_toml
from pilot.handling import service as handling
from pilot.mail import service as mail
from pilot.reports import service as reports
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition

MARKER = ".pilot-demo"
BASE_AS_OF = date(2026, 3, 31)
LOGIN = "demo@example.com"
SMALLEST_FULL_BASE = 15_000
"""From here on the made-up base holds enough small customers for the example's sample."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What was asked for: how many customers, which seed, where to, and an order file to use instead."""

    customers: int
    seed: int
    out: Path
    orders: Path | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the demo leaves behind: a site that goes on answering, and the numbers of its pilot."""

    server: BaseWSGIServer
    serving: threading.Thread
    address: str
    password: str
    report: Path
    summary: dict[str, Any]


def prepare(out: Path) -> None:
    """Give the demo an empty folder of its own; an earlier demo, finished or interrupted, is cleared away.

    Raises:
        InputError: The folder holds something that no demo made.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise InputError(
            "the folder is not empty and was not made by a demo",
            place=str(out),
            remedy="Choose another folder with --out",
        )
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARKER).touch()


def walk(journey: Journey) -> Arrival:
    """Run the whole pilot. Afterwards the clock reads true time again.

    Raises:
        InputError: The folder or the order file cannot be used.
    """
    prepare(journey.out)
    listener = _listen(journey.port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_app(_configure(journey.out, address))
    server = create_server(app, sockets=[listener], threads=4)
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    try:
        with app.app_context():
            summary = _pilot(journey, address)
            password = add_user(SYSTEM, LOGIN, "admin")[1]
    finally:
        clock.reset()
    (journey.out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False), encoding="utf-8")
    return Arrival(server, serving, address, password, journey.out / "report.pdf", summary)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise InputError(
            f"port {port} cannot be used: {error.strerror}", remedy="Choose another with --port"
        ) from error
    return listener


def _configure(out: Path, address: str) -> Config:
    """Settings of the demo, which win over the environment's: it never touches a real database or mail server.

    They are also written to `pilot.toml`: `PILOT_CONFIG=... pilot serve` works on it later.
    """
    settings: dict[str, Any] = {
        "secret_key": secrets.token_urlsafe(48),
        "data_dir": str(out.resolve()),
        "base_url": address,
        "company": "Nordlicht Logistics",
        "mail_from": "service@nordlicht.example.com",
        "database_url": f"sqlite:///{(out / 'pilot.sqlite').resolve()}",
        "mail_transport": "maildir",
        "mail_settings": {"path": str((out / "mail").resolve())},
    }
    path = out / "pilot.toml"
    path.touch(mode=0o600)
    path.write_text(tomli_w.dumps(settings), encoding="utf-8")
    return load(**settings)


def _pilot(journey: Journey, address: str) -> dict[str, Any]:
    from flask_migrate import upgrade

    upgrade()
    plan = _base(journey)
    clock.travel(datetime.combine(plan.calendar.start - timedelta(days=1), time(9), UTC))
    with step("Survey published, plan sealed"):
        surveys.publish(SYSTEM, load_definition(resources.folder("examples") / "survey.toml"))
        experiments.create(SYSTEM, plan, place=str(journey.out / "plan.toml"))
        experiments.seal(SYSTEM, plan.key)
    with step("Sample drawn and randomised"):
        experiments.draw(SYSTEM, plan.key, public_value=f"demo seed {journey.seed}")
    with step("Notices sent, handling started"):
        experiments.notify(SYSTEM, plan.key)
        mail.send_due()
        clock.travel(datetime.combine(plan.calendar.start, time(7), UTC))
        handling.start(SYSTEM, plan.key)
    _handling_period(journey, plan)
    crowd = _survey(journey, plan, address)
    with step("Experiment closed, arms compared"):
        clock.travel(datetime.combine(plan.calendar.survey_until, time(17), UTC))
        surveys.close_wave(SYSTEM, plan.key)
        handling.finish(SYSTEM, plan.key)
        reports.analyse(SYSTEM, plan.key)
        reports.decide(SYSTEM, plan.key)
    _late_answers(journey, crowd)
    with step("Report written"):
        reports.write_report(SYSTEM, plan.key, journey.out / "report.pdf", "en")
    return _summary(plan, crowd)


def _base(journey: Journey) -> Plan:
    """Import the base and its orders, profile and segment it, and return the plan that fits it."""
    if journey.orders is None:
        clock.travel(datetime.combine(BASE_AS_OF, time(7), UTC))  # its orders have happened, whatever day it is here
        with step(f"A company of {journey.customers:,} customers made up"):
            people, orders = world.write_base(
                world.make(journey.seed, journey.customers, BASE_AS_OF), journey.out / "base"
            )
    else:
        people = orders = journey.orders
    with step("Customers and orders imported"):
        for kind, path in (("customers", people), ("orders", orders)):
            import_file(SYSTEM, kind, path, rejects=journey.out / "base" / f"{kind}-rejects.csv")
    with step("Profile and segments"):
        plan = _plan(journey)
        customers.rebuild_profiles(SYSTEM, plan.population.as_of)
        rules = tomllib.loads((resources.folder("examples") / "segments.toml").read_text(encoding="utf-8"))["segments"]
        customers.set_segments(SYSTEM, rules)
        customers.evaluate_segments(SYSTEM)
    return plan


def _plan(journey: Journey) -> Plan:
    """The example's plan: as it stands for the full made-up base, cut to size for a smaller or real one."""
    path = journey.out / "plan.toml"
    shutil.copyfile(resources.folder("examples") / "plan.toml", path)
    if journey.orders is not None or journey.customers < SMALLEST_FULL_BASE:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if journey.orders is not None:
            _move(document, customers.last_order_day() + timedelta(days=1))
            document["sampling"]["strata"] = ["revenue_band"]
        document["sampling"]["size"] = max(40, customers.customer_count() // 5 // 2 * 2)
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
    return load_toml(path)


def _move(document: dict[str, Any], as_of: date) -> None:
    """Let the pilot of this plan begin where the orders end."""
    document["population"]["as_of"] = as_of
    document["calendar"] = {
        "start": as_of + timedelta(days=1),
        "end": as_of + timedelta(days=92),
        "survey_until": as_of + timedelta(days=113),
    }


def _handling_period(journey: Journey, plan: Plan) -> None:
    """Three months pass: touches and orders happen in the world and are imported from its exports."""
    folder, start, end = journey.out / "base", plan.calendar.start, plan.calendar.end
    with step(f"Handling from {start:%d %B} to {end - timedelta(days=1):%d %B %Y}: touches and orders imported"):
        clock.travel(datetime.combine(end, time(7), UTC))
        subjects = _subjects(plan)
        touches, orders = folder / "touches.csv", folder / "orders-pilot.csv"
        life.write_touches(touches, subjects, journey.seed, start, end)
        life.write_orders(orders, subjects, journey.seed, start, end)
        import_file(SYSTEM, "touches", touches)
        import_file(SYSTEM, "orders", orders)


def _subjects(plan: Plan) -> list[life.Subject]:
    rows = db.session.execute(
        sa.select(
            Customer.ref, Unit.arm, CustomerProfile.frequency, CustomerProfile.monetary, CustomerProfile.first_order
        )
        .join(Unit, Unit.customer_id == Customer.id)
        .join(CustomerProfile, CustomerProfile.customer_id == Customer.id)
        .join(Experiment, Experiment.id == Unit.experiment_id)
        .where(Experiment.key == plan.key)
        .order_by(Customer.ref)
    )
    found = []
    for ref, arm, frequency, monetary, first in rows:
        days = max(90, (plan.population.as_of - first).days) if first else 365
        found.append(life.Subject(ref, arm, 365 * frequency / days, monetary / frequency if frequency else 80.0))
    return found


def _survey(journey: Journey, plan: Plan, address: str) -> respondents.Crowd:
    """Survey wave and one reminder; the customers read their mail and answer over HTTP."""
    mailbox = respondents.Mailbox(journey.out / "mail")
    mailbox.fresh()  # the notices have been read
    crowd = respondents.Crowd(journey.seed, address, _addresses(plan))
    clock.travel(datetime.combine(plan.calendar.end, time(9), UTC))
    with step("Survey links sent"):
        surveys.open_wave(SYSTEM, plan.key)
        mail.send_due()
    with step("Customers answer in their browsers"):
        db.session.rollback()
        for letter in track(mailbox.fresh(), "Customers answer"):
            crowd.receive(letter, "invitation")
    clock.travel(datetime.combine(plan.calendar.end + timedelta(days=7), time(9), UTC))
    with step("One reminder, more answers"):
        surveys.remind(SYSTEM, plan.key)
        mail.send_due()
        db.session.rollback()
        for letter in track(mailbox.fresh(), "Customers answer"):
            crowd.receive(letter, "reminder")
    return crowd


def _addresses(plan: Plan) -> dict[str, tuple[str, str]]:
    rows = db.session.execute(
        sa.select(Customer.email, Customer.ref, Unit.arm)
        .join(Unit, Unit.customer_id == Customer.id)
        .join(Experiment, Experiment.id == Unit.experiment_id)
        .where(Experiment.key == plan.key)
    )
    return {email.lower(): (ref, arm) for email, ref, arm in rows if email}


def _late_answers(journey: Journey, crowd: respondents.Crowd) -> None:
    """A few open their link after the survey has closed, and are told so politely."""
    last = {letter.to: letter for letter in respondents.Mailbox(journey.out / "mail").fresh() if letter.survey}
    for letter in last.values():
        crowd.receive(letter, "late")
    crowd.close()


def _summary(plan: Plan, crowd: respondents.Crowd) -> dict[str, Any]:
    """The pilot's numbers as plain values; equal for equal seeds."""
    found = experiments.get(plan.key)
    return {
        "experiment": plan.key,
        "plan_hash": found.plan_hash,
        "frame_digest": found.frame_digest,
        "seed": found.seed,
        "frame_size": found.frame_size,
        "base": customers.base_summary(),
        "flow": {arm.arm: {**asdict(arm), "partial": arm.partial} for arm in reports.flow(found.id)},
        "comparisons": [run.comparison for run in reports.runs(found.id)],
        "verdict": found.verdict,
        "decision": found.decision,
        "crowd": {
            "completed": crowd.tally.completed,
            "left half-way": crowd.tally.left_half_way,
            "too late": crowd.tally.too_late,
            "links opened by a mail scanner": crowd.tally.opened_by_scanner,
            "refused pages": crowd.tally.refused_pages,
        },
    }
