"""`pilot doctor`: says what is wrong with an installation, and how to mend it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo

from pilot.app import create_app
from pilot.commands import _upgraded, doctor, plugins, upgrade
from pilot.config import Config
from pilot.customers.models import SEARCH_INDEX
from pilot.db import db
from pilot.doctor import Finding, examine
from pilot.errors import CheckFailed, ConfigError


def findings(app: Flask) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(lambda: app)}


def run(command: Any, app: Flask, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, obj=ScriptInfo(create_app=lambda: app))


def change(app: Flask, **settings: Any) -> None:
    app.extensions["pilot.config"] = app.extensions["pilot.config"].model_copy(update=settings)


def test_a_sound_installation_is_found_sound(app: Flask) -> None:
    answer = run(doctor, app, "--json")
    report = json.loads(answer.stdout)
    assert report["ok"], report
    assert answer.exit_code == 0
    assert {"python", "pdf", "fonts", "secret", "database", "schema", "queue", "mail", "clock", "plugins"} <= {
        check["check"] for check in report["checks"]
    }


def test_the_database_in_use_is_described(sqlite_app: Flask) -> None:
    assert findings(sqlite_app)["database"].detail.endswith("journal mode wal")


def test_something_wrong_ends_with_a_remedy_and_exit_code_1(sqlite_app: Flask) -> None:
    change(sqlite_app, timezone="Europe/Rom")
    answer = run(doctor, sqlite_app)
    assert "WRONG" in answer.stdout
    assert "clock: Use an IANA name like Europe/Rome." in answer.stdout
    assert isinstance(answer.exception, CheckFailed)
    assert answer.exception.exit_code == 1


def test_a_relay_that_does_not_answer_is_named(sqlite_app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    change(sqlite_app, mail_transport="smtp", mail_settings={"host": "127.0.0.1", "port": port, "tls": "none"})
    found = findings(sqlite_app)["mail"]
    assert not found.ok
    assert "smtp does not answer" in found.detail
    assert "PILOT_MAIL_SETTINGS" in found.remedy


def test_a_relay_that_answers_is_well(sqlite_app: Flask, smtp_sink: Any) -> None:
    change(
        sqlite_app,
        mail_transport="smtp",
        mail_settings={"host": smtp_sink.host, "port": smtp_sink.port, "tls": "none"},
    )
    assert findings(sqlite_app)["mail"].ok
    assert smtp_sink.messages == []


@pytest.mark.parametrize(
    ("key", "settings"), [("smpt", {}), ("smtp", {"hots": "mail.example.com"}), ("maildir", {"path": 5})]
)
def test_a_wrong_mail_setting_is_found_before_a_mail_is_sent(
    sqlite_app: Flask, key: str, settings: dict[str, Any]
) -> None:
    change(sqlite_app, mail_transport=key, mail_settings=settings)
    assert not findings(sqlite_app)["mail"].ok


def test_a_database_that_does_not_answer_is_a_sentence(config: Callable[..., Config]) -> None:
    app = create_app(config(database_url="postgresql+psycopg://pilot@127.0.0.1:1/pilot"))
    found = findings(app)
    assert not found["database"].ok
    assert found["database"].detail.startswith("the database does not answer: ")
    assert not found["schema"].ok
    with pytest.raises(CheckFailed, match="does not answer"):
        run_raising(upgrade, app)


def test_without_a_usable_configuration_the_machine_is_examined_still() -> None:
    def make_app() -> Flask:
        raise ConfigError("PILOT_SECRET_KEY is missing", remedy="Set it")

    last = examine(make_app)[-1]
    assert (last.check, last.ok, last.remedy) == ("configuration", False, "Set it")


def test_upgrade_makes_the_schema_and_changes_nothing_the_second_time(config: Callable[..., Config]) -> None:
    app = create_app(config())
    answer = run(upgrade, app)
    assert answer.exit_code == 0
    assert answer.stderr == f"The schema was made, revision 0003, in sqlite:///{config().data_dir}/pilot.sqlite\n"
    with app.app_context():
        tables = {name for name in sa.inspect(db.engine).get_table_names() if not name.startswith(SEARCH_INDEX)}
        wanted = set(db.metadata.tables)
    assert tables - {"alembic_version"} == wanted
    answer = run(upgrade, app)
    assert answer.exit_code == 0
    assert answer.stderr == "Nothing to do: the schema is up to date, revision 0003.\n"
    with app.app_context():
        db.engine.dispose()


def test_upgrade_says_from_where_it_moved_the_schema() -> None:
    assert _upgraded("0001", "0002") == "The schema was moved from revision 0001 to 0002."


def test_a_data_folder_that_cannot_be_written_is_named(sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    change(sqlite_app, data_dir=Path("/proc"))
    assert not findings(sqlite_app)["data folder"].ok


def test_plugins_are_listed_with_versions_and_parts(sqlite_app: Flask) -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(run(plugins, sqlite_app, "--json").stdout)}
    assert "segment_rules: revenue-below" in listed["rules"]["parts"]
    assert listed["rules"]["hooks"] == ["register_segment_rules"]
    assert listed["rules"]["version"].count(".") == 2


def run_raising(command: Any, app: Flask) -> None:
    answer = run(command, app)
    if answer.exception:
        raise answer.exception
