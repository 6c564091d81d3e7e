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
    "analyse": ("pilot.reports.commands:analyse", "Compare the arms of a closed EXPERIMENT as its plan says."),
    "compare": ("pilot.compare:compare", "Compare the arms in FILE, a table with one row per customer."),
    "demo": ("pilot.demo.commands:demo", "Run a whole pilot, from customer base to PDF, and serve it."),
    "doctor": ("pilot.commands:doctor", "Check this installation; exit 1 if something is wrong."),
    "erase": (
        "pilot.customers.commands:erase",
        "Forget a customer, with its orders and touches.",
    ),
    "experiment": ("pilot.experiments.commands:experiment", "Plan, seal, draw and run an experiment."),
    "import": ("pilot.customers.intake.commands:import_", "Take customers, orders or touches in from FILE."),
    "mail": ("pilot.mail.commands:mail", "Messages to customers: the outbox and its way out."),
    "movements": ("pilot.customers.commands:movements", "List who crossed from one segment to another, and why."),
    "plugins": ("pilot.commands:plugins", "List plugins with their versions, hooks and parts."),
    "profile": ("pilot.customers.commands:profile", "Make every customer's profile anew and sum the base up."),
    "replay": ("pilot.experiments.commands:replay", "Repeat the draw of an experiment and compare every customer."),
    "report": ("pilot.reports.commands:report", "Write the report of a closed and analysed EXPERIMENT as a PDF."),
    "segments": ("pilot.customers.commands:segments", "Put every customer into its segment."),
    "serve": ("pilot.commands:serve", "Serve the web site and do what is due."),
    "survey": ("pilot.surveys.commands:survey", "Publish surveys, send personal links, and see what came back."),
    "upgrade": ("pilot.commands:upgrade", "Bring the database to the schema of this version."),
    "users": ("pilot.accounts.commands:users", "Staff accounts and their roles."),
    "worker": ("pilot.commands:worker", "Do what is due, without the web site."),
}
"""Where each command is, and what it does in a line: its own first sentence."""

_WITHOUT_DATA = ("demo", "doctor", "upgrade")
"""Commands that make an installation, or say why there is none; any other would mistake a new folder for it."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pilot")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Run randomised pilots on your own customers, from the base to the report."""

    def create() -> Flask:
        from pilot.app import create_app
        from pilot.config import load

        config = load()
        if ctx.invoked_subcommand not in _WITHOUT_DATA:
            config.require_data()
        return create_app(config)

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
