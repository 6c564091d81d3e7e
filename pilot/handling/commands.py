"""`pilot experiment start`, `close` and `stop`: moves that open and close the customers' cases."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import count, json_option, result
from pilot.handling import service


@click.command()
@click.argument("key")
@json_option
@with_appcontext
def start(key: str, as_json: bool) -> None:
    """Let handling begin.

    Every customer is handed over to the channel of its arm.
    """
    opened = service.start(SYSTEM, key)
    result(
        {"key": key, "state": "running", "cases": opened},
        as_json,
        lambda: f"{key} is running: {count(opened, 'customer')} handed over.",
    )


@click.command()
@click.argument("key")
@json_option
@with_appcontext
def close(key: str, as_json: bool) -> None:
    """End the handling period.

    Cases are closed, and results may be looked at.
    """
    closed = service.finish(SYSTEM, key)
    result(
        {"key": key, "state": "closed", "cases": closed},
        as_json,
        lambda: f"{key} is closed, and {count(closed, 'case')} with it.\nCompare the arms: pilot analyse {key}",
    )


@click.command()
@click.argument("key")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with the experiment")
@json_option
@with_appcontext
def stop(key: str, reason: str, as_json: bool) -> None:
    """End an experiment before its time, for good.

    Its cases are closed, its queued mail is not sent.
    """
    closed = service.stop(SYSTEM, key, reason)
    result(
        {"key": key, "state": "stopped", "cases": closed},
        as_json,
        lambda: f"{key} is stopped, and {count(closed, 'case')} with it. What is still queued for it is not sent.",
    )
