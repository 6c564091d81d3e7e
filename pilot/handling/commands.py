"""`pilot experiment start`, `close` and `stop`: moves that open and close the customers' cases."""

from __future__ import annotations

from dataclasses import asdict

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import count, json_option, result, say
from pilot.experiments.service import spillover_told
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
    for warning in spillover_told(key):
        say(f"Mind: {warning}. Who it is: pilot experiment spillover {key}")
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


@click.command("opt-out")
@click.argument("key")
@click.argument("customer")
@json_option
@with_appcontext
def opt_out(key: str, customer: str, as_json: bool) -> None:
    """Take a customer out of the treatment, and keep it in its arm.

    CUSTOMER is its number. Its case is handed back and no mail goes out to it any more; in the comparison it still counts in
    the arm that chance put it in.
    """
    new = service.opt_out(SYSTEM, key, customer)
    result(
        {"key": key, "customer": customer, "new": new},
        as_json,
        lambda: f"{customer} takes no part in {key} any more." if new else f"{customer} had opted out before.",
    )


@click.command()
@click.argument("key")
@click.option("--step", type=int, metavar="N", help="Which step of the plan's ladder; the next one by default")
@click.option("--arm", default="", metavar="ARM", help="The pilot arm to roll out; the first one by default")
@json_option
@with_appcontext
def rollout(key: str, step: int | None, arm: str, as_json: bool) -> None:
    """Take the next step of the roll-out.

    Chance decides who is handled the new way at which step, and who is held out to compare with.
    """
    from pilot.handling.rollout import roll_out

    done = roll_out(SYSTEM, key, step, arm)
    result(
        {"key": key, **asdict(done)},
        as_json,
        lambda: (
            f"Step {done.number} of the roll-out of {key} ({100 * done.share:g} %): "
            f"{count(done.handed_over, 'customer')} handed over, {done.waiting:,} wait, {done.held_out:,} held out."
        ),
    )
