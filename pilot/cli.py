"""The `pilot` command. Each feature keeps its commands in `commands.py`; they are imported when used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from flask import Flask
from flask.cli import ScriptInfo

from pilot import __version__
from pilot.console import LazyGroup
from pilot.errors import PilotError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

COMMANDS = {
    "analyse": "pilot.reports.commands:analyse",
    "compare": "pilot.compare:compare",
    "demo": "pilot.demo.commands:demo",
    "doctor": "pilot.commands:doctor",
    "experiment": "pilot.experiments.commands:experiment",
    "import": "pilot.customers.commands:import_",
    "mail": "pilot.mail.commands:mail",
    "plugins": "pilot.commands:plugins",
    "profile": "pilot.customers.commands:profile",
    "replay": "pilot.experiments.commands:replay",
    "report": "pilot.reports.commands:report",
    "segments": "pilot.customers.commands:segments",
    "serve": "pilot.commands:serve",
    "survey": "pilot.surveys.commands:survey",
    "upgrade": "pilot.commands:upgrade",
    "users": "pilot.accounts.commands:users",
    "worker": "pilot.commands:worker",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pilot")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Run randomised pilots on your own customers, from the base to the report."""

    def create() -> Flask:
        from pilot.app import create_app

        return create_app()

    ctx.obj = ScriptInfo(create_app=create)


def _database_errors() -> type[DBAPIError]:
    """Imported only when something has failed."""
    from sqlalchemy.exc import DBAPIError

    return DBAPIError


def main() -> None:
    """Entry point: runs the command and turns errors meant for people into one line and an exit code."""
    try:
        group(standalone_mode=False)
    except PilotError as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(error.exit_code)
    except _database_errors() as error:
        reason = str(error.orig).strip().partition("\n")[0]
        click.secho(
            f"The database refuses: {reason}. Is it there and up to date? Run pilot doctor.", fg="red", err=True
        )
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
