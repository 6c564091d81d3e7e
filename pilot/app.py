"""`create_app()`: the one place where the parts of the product are joined."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask
from flask_migrate import Migrate
from werkzeug.middleware.proxy_fix import ProxyFix

from pilot import db, jobs, resources
from pilot.config import Config, load
from pilot.errors import ConfigError
from pilot.plugins import manager


def create_app(config: Config | None = None, *, plugins: Iterable[object] = ()) -> Flask:
    """Build the application.

    Args:
        config: Its settings; read from `PILOT_*` variables and the TOML file if not given.
        plugins: Plugin objects beside the built-in and installed ones.

    Raises:
        ConfigError: A setting is missing or unsafe.
        PluginError: A plugin broke its contract.
    """
    config = config or load()
    _make_data_dir(config)
    app = Flask("pilot", template_folder=str(resources.folder("templates")), static_folder=str(resources.static()))
    app.config.update(SECRET_KEY=config.secret_key, SQLALCHEMY_DATABASE_URI=config.sqlalchemy_url)
    app.extensions["pilot.config"] = config
    db.init_app(app)
    Migrate(app, db.db, directory=str(resources.folder("migrations")), render_as_batch=True)
    manager.init_app(app, plugins)
    _join(app)
    _web(app)
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=config.trusted_proxies, x_host=0
        )
    return app


def _make_data_dir(config: Config) -> None:
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the data folder cannot be made: {error.strerror}",
            place=f"PILOT_DATA_DIR={config.data_dir}",
            remedy="Choose a folder you may write to",
        ) from error


def _join(app: Flask) -> None:
    """What lower rooms need from higher ones: who writes a message of each kind, how a survey is found, what to run."""
    from pilot.customers.intake.worker import JOB as IMPORTS
    from pilot.customers.intake.worker import work_off as take_in
    from pilot.customers.people.listing import Pilots, register_pilots
    from pilot.customers.people.listkeys import follow
    from pilot.customers.people.story import register_story
    from pilot.customers.profiling.rebuild import work_off
    from pilot.customers.segmenting.movements import register_holds
    from pilot.customers.service import draw_pictures, keep_current, register_plans, sweep_facts
    from pilot.experiments.past import register_past
    from pilot.experiments.rehearsing import JOB as REHEARSALS
    from pilot.experiments.rehearsing import work_off as rehearse
    from pilot.experiments.service import (
        compose_notice,
        held_customers,
        pilot_members,
        pilot_names,
        register_plan_check,
        register_survey_lookup,
        waiting_for_draw,
    )
    from pilot.experiments.spillover import JOB as SPILLOVER
    from pilot.experiments.spillover import check_running
    from pilot.experiments.story import tell as experiments_tell
    from pilot.experiments.templates import register_surveys
    from pilot.mail.service import register_composers, send_batch
    from pilot.reports import past
    from pilot.reports.preflight import check_plan
    from pilot.surveys.service import compose_invitation, latest_version, published_questions
    from pilot.surveys.story import tell as surveys_tell

    register_composers(
        app, {"notice": compose_notice, "invitation": compose_invitation, "reminder": compose_invitation}
    )
    register_survey_lookup(app, latest_version)
    register_surveys(app, published_questions)
    register_plan_check(app, check_plan)
    register_past(app, past.past, past.judge)
    register_holds(app, held_customers)
    register_plans(app, waiting_for_draw)
    register_story(app, experiments_tell)
    register_story(app, surveys_tell)
    register_pilots(app, Pilots(pilot_names, pilot_members))
    jobs.of(app).add("mail", send_batch, minutes=1)
    jobs.of(app).add("segments", keep_current, minutes=2)
    jobs.of(app).add("profiles", work_off, minutes=5)
    jobs.of(app).add(IMPORTS, take_in, minutes=1)
    jobs.of(app).add("pictures", draw_pictures, minutes=2)
    jobs.of(app).add("sweep", sweep_facts, minutes=30)
    jobs.of(app).add("listing", follow, minutes=1)
    jobs.of(app).add(SPILLOVER, check_running, minutes=30)
    jobs.of(app).add(REHEARSALS, rehearse, minutes=1)


def _web(app: Flask) -> None:
    """Pages, in the order of the house; plugins come last and below their own prefix."""
    from pilot import web
    from pilot.accounts import views as accounts
    from pilot.customers.views import BLUEPRINTS as CUSTOMERS
    from pilot.experiments import powerviews, proofpages, wizard
    from pilot.experiments import views as experiments
    from pilot.reports import views as reports
    from pilot.surveys import public as answering

    web.init_app(app)
    accounts.init_app(app)
    for blueprint in (*CUSTOMERS, experiments.bp, powerviews.bp, wizard.bp, proofpages.bp, reports.bp, answering.bp):
        app.register_blueprint(blueprint)
    manager.mount_blueprints(app)
