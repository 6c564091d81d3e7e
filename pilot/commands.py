"""Commands of the installation as a whole: `doctor`, `plugins`, `serve`, `upgrade`, `worker`."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from dataclasses import asdict

import click
from flask import Flask, current_app
from flask.cli import ScriptInfo, pass_script_info, with_appcontext

from pilot import jobs
from pilot.console import json_option, result, say, table
from pilot.db import db
from pilot.errors import CheckFailed, InputError

_workers = click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that do jobs such as sending mail."
)


@click.command()
@json_option
@pass_script_info
def doctor(info: ScriptInfo, as_json: bool) -> None:
    """Check this installation; exit 1 if something is wrong."""
    from pilot.doctor import Finding, examine

    findings = examine(info.load_app)
    wrong = [finding for finding in findings if not finding.ok]

    def text() -> str:
        def row(finding: Finding) -> tuple[str, str, str]:
            return "ok" if finding.ok else "WRONG", finding.check, finding.detail

        remedies = [f"{finding.check}: {finding.remedy}." for finding in wrong]
        return "\n".join([table(["", "check", "what was seen"], map(row, findings)), *remedies])

    result({"ok": not wrong, "checks": [asdict(finding) for finding in findings]}, as_json, text)
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(findings)} checks failed")


@click.command()
@json_option
@with_appcontext
def plugins(as_json: bool) -> None:
    """List plugins with their versions, hooks and parts."""
    from pilot.plugins.manager import plugins as installed

    known = installed().info()
    result(
        [asdict(plugin) for plugin in known],
        as_json,
        lambda: table(
            ["plugin", "version", "parts"], ((plugin.name, plugin.version, ", ".join(plugin.parts)) for plugin in known)
        ),
    )


@click.command()
@with_appcontext
def upgrade() -> None:
    """Bring the database to the schema of this version. Changes nothing if it has it."""
    import flask_migrate

    from pilot.doctor import require_database, require_schema, revision

    require_database()
    before = revision()
    flask_migrate.upgrade()
    require_schema()
    say(_upgraded(before, revision()))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 means any free one.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1), help="Requests answered at once.")
@_workers
@with_appcontext
def serve(host: str, port: int, threads: int, workers: int) -> None:
    """Serve the web site and do what is due. Ctrl-C or TERM ends it in good order."""
    from waitress.server import create_server

    from pilot.doctor import require_schema

    require_schema()
    app = _application()
    try:
        server = create_server(app, host=host, port=port, threads=threads)
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be listened on: {error.strerror}", remedy="Choose another --port"
        ) from error
    _heed_term()
    with jobs.of(app).working(workers):
        addresses = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
        say(f"Serving {' and '.join(f'http://{name}:{number}' for name, number in addresses)}. Ctrl-C ends it.")
        server.run()  # returns when interrupted, after the requests under way
        server.close()
    say("Stopped.")


@click.command()
@_workers
@with_appcontext
def worker(workers: int) -> None:
    """Do what is due, without the web site. Ctrl-C or TERM ends it in good order."""
    from pilot.doctor import require_schema

    require_schema()
    _heed_term()
    with jobs.of(_application()).working(workers), suppress(KeyboardInterrupt):
        say("Working. Ctrl-C ends it.")
        threading.Event().wait()
    say("Stopped.")


def _upgraded(before: str | None, after: str | None) -> str:
    if before is None:
        where = db.engine.url.render_as_string()
        return f"The schema was made, revision {after}, in {where}"
    if before != after:
        return f"The schema was moved from revision {before} to {after}."
    return f"Nothing to do: the schema is up to date, revision {after}."


def _application() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _heed_term() -> None:
    """Let TERM end the process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
