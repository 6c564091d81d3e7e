"""Is this installation well? Each check says in a sentence what it saw, or what is wrong and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from flask import Flask, current_app

from pilot import clock, config, jobs, resources
from pilot.db import db
from pilot.errors import CheckFailed, ConfigError, MissingLibrary, PilotError
from pilot.plugins.manager import plugins

OLDEST_SQLITE = (3, 35)
"""The first SQLite that can say what an UPDATE changed."""

TOLERATED_SKEW = timedelta(seconds=5)
SPACE_NEEDED = 2**30
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(make_app: Callable[[], Flask]) -> list[Finding]:
    """Examine the machine, then the installation; without a usable configuration only the machine."""
    findings = _run(_MACHINE)
    try:
        app = make_app()
    except PilotError as error:
        return [*findings, Finding("configuration", False, error.reason, error.remedy)]
    with app.app_context():
        return findings + _run(_INSTALLATION)


def require_database() -> None:
    """Let pass if the database answers and behaves as we need it.

    Raises:
        CheckFailed: It does not.
    """
    _database()


def require_schema() -> None:
    """Let pass if the database has the tables that this version expects.

    Raises:
        CheckFailed: The database does not answer, or its schema is another one.
    """
    _schema()


def revision() -> str | None:
    """The revision the database is at; None before its first upgrade.

    Raises:
        CheckFailed: The database does not answer.
    """
    from alembic.migration import MigrationContext

    with _connected() as connection:
        found: str | None = MigrationContext.configure(connection).get_current_revision()
    return found


def _run(checks: Mapping[str, Callable[[], str]]) -> list[Finding]:
    findings = []
    for name, check in checks.items():
        try:
            findings.append(Finding(name, True, check()))
        except PilotError as error:
            findings.append(Finding(name, False, error.reason, error.remedy))
    return findings


def _python() -> str:
    return f"Python {platform.python_version()} on {platform.system()}"


def _pdf() -> str:
    from pilot.reports.pdf import library

    return f"WeasyPrint {library().__version__}, Pango found"


def _fonts() -> str:
    folders = [Path(folder).expanduser() for folder in _FONT_FOLDERS]
    count = sum(1 for folder in folders for font in folder.rglob("*.[ot]tf"))
    if not count:
        raise MissingLibrary(
            "no fonts are installed", remedy="On Debian or Ubuntu run `apt-get install fonts-dejavu-core`"
        )
    return f"{count:,} font files"


def _secret() -> str:
    return f"set, {len(config.current().secret_key)} characters"


def _database() -> str:
    with _connected() as connection:
        if connection.dialect.name != "sqlite":
            return f"{connection.dialect.name} {connection.exec_driver_sql('SHOW server_version').scalar()}"
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if mode != "wal":
        raise CheckFailed(
            f"SQLite's journal mode is {mode}, not wal: readers and writers would wait for each other",
            remedy="Put PILOT_DATA_DIR on a local disk, not on a network share",
        )
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CheckFailed(f"SQLite {sqlite3.sqlite_version} is too old", remedy="Use a newer Python, or PostgreSQL")
    return f"SQLite {sqlite3.sqlite_version}, journal mode wal"


def _schema() -> str:
    from alembic.script import ScriptDirectory

    wanted, found = ScriptDirectory(str(resources.folder("migrations"))).get_current_head(), revision()
    if found != wanted:
        raise CheckFailed(
            f"the database is at revision {found}, this version needs {wanted}", remedy="Run `pilot upgrade`"
        )
    return f"up to date, revision {found}"


def _data_folder() -> str:
    folder = config.current().data_dir.resolve()
    if not os.access(folder, os.W_OK):
        raise CheckFailed(
            f"{folder} cannot be written", remedy="Give it to the user that runs this, or set PILOT_DATA_DIR"
        )
    free = shutil.disk_usage(folder).free
    if free < SPACE_NEEDED:
        raise CheckFailed(f"{folder} has less than a gigabyte left", remedy="Make room, or set PILOT_DATA_DIR")
    return f"{folder}, {free / 2**30:,.0f} GB free"


def _queue() -> str:
    try:
        waiting = jobs.of(current_app).waiting()
    except sqlite3.Error as error:
        raise CheckFailed(
            f"the queue cannot be opened: {error}", remedy="Look at queue.sqlite in PILOT_DATA_DIR"
        ) from error
    return f"{waiting:,} waiting"


def _mail() -> str:
    settings = config.current()
    transport = plugins().build(
        "mail_transports", settings.mail_transport, settings.mail_settings, place="PILOT_MAIL_SETTINGS"
    )
    try:
        with transport.connect():
            return f"{transport.label}: answers"
    except OSError as error:
        raise CheckFailed(
            f"the mail transport {transport.key} does not answer: {error}",
            remedy="Check PILOT_MAIL_TRANSPORT and PILOT_MAIL_SETTINGS, and that the relay runs",
        ) from error


def _clock() -> str:
    zone = config.current().timezone
    try:
        local = clock.now().astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"PILOT_TIMEZONE: {zone!r} is unknown", remedy="Use an IANA name like Europe/Rome") from error
    skew = _skew()
    if skew > TOLERATED_SKEW:
        raise CheckFailed(
            f"this machine's clock and the database's differ by {skew.total_seconds():.0f} s",
            remedy="Let both machines keep their time with NTP",
        )
    return f"{local:%Y-%m-%d %H:%M} in {zone}"


def _skew() -> timedelta:
    """How far the clock of another machine's database is from ours."""
    with _connected() as connection:
        if connection.dialect.name == "sqlite":
            return timedelta(0)
        theirs: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return abs(theirs - clock.now())


def _plugins() -> str:
    known = plugins().info()
    return f"{len(known)} plugins, {sum(len(plugin.parts) for plugin in known)} parts"


def _connected() -> sa.Connection:
    try:
        return db.engine.connect()
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise CheckFailed(
            f"the database does not answer: {reason}", remedy="Check PILOT_DATABASE_URL and that the server runs"
        ) from error


_MACHINE = {"python": _python, "pdf": _pdf, "fonts": _fonts}
_INSTALLATION = {
    "secret": _secret,
    "data folder": _data_folder,
    "database": _database,
    "schema": _schema,
    "queue": _queue,
    "mail": _mail,
    "clock": _clock,
    "plugins": _plugins,
}
