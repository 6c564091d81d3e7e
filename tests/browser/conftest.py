"""A live site on a free port, a real browser, and experiments in every state to look at."""

from __future__ import annotations

import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from waitress.server import create_server

from pilot import clock, config
from pilot.accounts.service import SYSTEM, add_user
from pilot.app import create_app
from pilot.customers import service as customers
from pilot.customers.intake.service import import_file
from pilot.db import db, transaction
from pilot.experiments import service as experiments
from pilot.experiments.models import Unit
from pilot.experiments.plan import Plan, load_toml
from pilot.handling import service as handling
from pilot.mail import service as mail
from pilot.reports import service as reports
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition
from pilot.surveys.models import Invitation, Response, Wave

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXAMPLES = Path(__file__).parents[2] / "examples"
CUSTOMERS, SAMPLE = 100, 40
SECRET = "kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu"
COMPANY = "Trasporti Adriatica S.p.A."
EMAIL, PASSWORD = "anna.kowalska@example.com", "rather-long-and-calm"


@dataclass(frozen=True)
class Site:
    """A site that answers, and who may log in there."""

    url: str
    email: str = EMAIL
    password: str = PASSWORD


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's own browser, headless."""
    if not Path(CHROMIUM).exists():
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new window of a new visitor, 1440 pixels wide, English, light."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en", color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture
def site(sqlite_app: Flask) -> Iterator[Site]:
    """The test's own application behind waitress on a free port, with one member of operations."""
    add_user(SYSTEM, EMAIL, "operations", PASSWORD)
    with serving(sqlite_app) as url:
        yield Site(url)


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a draft, a running and a decided pilot, to be looked at and not changed."""
    folder = tmp_path_factory.mktemp("site")
    app = create_app(
        config.Config(secret_key=SECRET, data_dir=folder, company=COMPANY, mail_settings={"path": str(folder / "mail")})
    )
    with app.app_context():
        db.create_all()
        add_user(SYSTEM, EMAIL, "operations", PASSWORD)
        stage()
        clock.reset()
        db.session.remove()
    with serving(app) as url:
        yield Site(url)
    with app.app_context():
        db.engine.dispose()


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve the application on a free port of this machine; gives its address."""
    server = create_server(app, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join(timeout=5)


def stage() -> None:
    """A draft, a running and a decided pilot on one small base, each brought as far as it is by the services."""
    clock.travel(datetime(2026, 7, 1, 8, tzinfo=UTC))
    _base()  # all of its orders and touches have happened
    clock.travel(datetime(2026, 4, 1, 8, tzinfo=UTC))
    surveys.publish(SYSTEM, load_definition(EXAMPLES / "survey.toml"))
    experiments.create(SYSTEM, _plan("winback-2026", "Win back customers who went quiet"))
    clock.travel(datetime(2026, 4, 1, 9, tzinfo=UTC))
    _run("inside-2026", "Inside sales for the south", answered=5)
    clock.travel(datetime(2026, 4, 1, 10, tzinfo=UTC))
    _run("desk-2026", "Service desk instead of field visits", answered=17)
    clock.travel(datetime(2026, 7, 22, 17, tzinfo=UTC))
    surveys.close_wave(SYSTEM, "desk-2026")
    handling.finish(SYSTEM, "desk-2026")
    reports.analyse(SYSTEM, "desk-2026")
    reports.decide(SYSTEM, "desk-2026")


def _base() -> None:
    """Customers with a few orders and touches each, through the importers."""
    people = [f"C{n:03d},Customer {n},c{n}@example.com,it,{('North', 'South')[n % 2]},Rossi" for n in range(CUSTOMERS)]
    orders = [
        f"C{n:03d},A{n}-{month},2026-{month:02d}-15,{100 + n}.50" for n in range(CUSTOMERS) for month in (1, 2, 3, 5)
    ]
    touches = [
        f"C{n:03d},2026-05-{1 + n % 28:02d},service-desk,call,{5 + n % 9},{2 + n % 9}.25" for n in range(CUSTOMERS)
    ]
    folder = config.current().data_dir
    for kind, head, rows in (
        ("customers", "ref,name,email,language,region,sales_rep", people),
        ("orders", "customer_ref,order_ref,ordered_on,amount", orders),
        ("touches", "customer_ref,happened_on,channel,kind,minutes,cost", touches),
    ):
        path = folder / f"{kind}.csv"
        path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
        import_file(SYSTEM, kind, path, strict=True)
    customers.rebuild_profiles(SYSTEM, date(2026, 3, 31))
    customers.set_segments(SYSTEM, tomllib.loads((EXAMPLES / "segments.toml").read_text(encoding="utf-8"))["segments"])
    customers.evaluate_segments(SYSTEM)


def _plan(key: str, name: str) -> Plan:
    plan = load_toml(EXAMPLES / "plan.toml")
    sampling = plan.sampling.model_copy(update={"size": SAMPLE, "strata": ("region",)})
    return plan.model_copy(update={"key": key, "name": name, "sampling": sampling})


def _run(key: str, name: str, *, answered: int) -> None:
    """From the plan to the survey in the field: this many customers of each arm have answered, two more began to."""
    experiments.create(SYSTEM, _plan(key, name))
    experiments.seal(SYSTEM, key)
    experiments.draw(SYSTEM, key, "Lotto 31 March 2026: 7 19 33 48 61 90")
    handling.start(SYSTEM, key)
    experiments.notify(SYSTEM, key)
    mail.send_due()
    clock.travel(datetime(2026, 7, 1, 9, tzinfo=UTC))
    surveys.open_wave(SYSTEM, key)
    mail.send_due()
    with transaction():
        _answer(experiments.get(key).id, answered)


def _answer(experiment_id: int, answered: int) -> None:
    rows = (
        sa.select(Unit.arm, Invitation.id)
        .join(Wave, Wave.experiment_id == Unit.experiment_id)
        .join(Invitation, (Invitation.wave_id == Wave.id) & (Invitation.customer_id == Unit.customer_id))
        .where(Unit.experiment_id == experiment_id)
        .order_by(Invitation.id)
    )
    so_far: Counter[str] = Counter()
    for arm, invitation in db.session.execute(rows).all():
        number, so_far[arm] = so_far[arm], so_far[arm] + 1
        if number < answered + 2:
            done = clock.now() if number < answered else None
            answers = {"csat": 3 + number % 3, "nps": 6 + number % 5}
            db.session.add(
                Response(
                    invitation_id=invitation,
                    answers=answers,
                    pages=1,
                    language="it",
                    started_at=clock.now(),
                    saved_at=clock.now(),
                    completed_at=done,
                )
            )
