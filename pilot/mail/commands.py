"""`pilot mail`: send what is due, and say how the outbox stands."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import count, json_option, result, say, table
from pilot.db import transaction
from pilot.errors import InputError
from pilot.mail import service

SHOWN = 20


@click.group()
def mail() -> None:
    """Messages to customers: the outbox and its way out."""


@mail.command()
@click.option("--limit", type=click.IntRange(min=1), help="Send at most this many messages.")
@json_option
@with_appcontext
def send(limit: int | None, as_json: bool) -> None:
    """Send what is due. May run beside itself, be interrupted, and be run again."""
    with _bar() as progress:
        sent = service.send_due(limit, progress=progress)
    result(dataclasses.asdict(sent), as_json, lambda: _sentence(sent))
    if sent.uncertain or sent.failed:
        say("`pilot mail status` lists what failed or is uncertain, with the reasons.")


@mail.command()
@json_option
@with_appcontext
def status(as_json: bool) -> None:
    """Count messages by state, and list those to look at.

    They failed, or nobody knows whether they arrived.
    """
    counted = service.counts()
    bad = [
        {"id": item.id, "key": item.key, "state": item.state, "since": item.settled_at, "reason": item.reply}
        for item in service.troubles()
    ]

    def text() -> str:
        if not bad:
            return table(["state", "messages"], counted.items())
        shown = table(list(bad[0]), (row.values() for row in bad[:SHOWN]))
        more = f"\n… and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
        again = "Send them again with `pilot mail resend ID ...`, or --failed for all that failed."
        return f"{table(['state', 'messages'], counted.items())}\n\n{shown}{more}\n\n{again}"

    result({"counts": counted, "troubles": bad}, as_json, text)


@mail.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--failed", is_flag=True, help="All that failed; uncertain ones are named one by one.")
@json_option
@with_appcontext
def resend(ids: tuple[int, ...], failed: bool, as_json: bool) -> None:
    """Queue messages again that failed or are uncertain.

    IDS are their numbers in `pilot mail status`.
    """
    chosen = [*ids, *(item.id for item in service.troubles() if failed and item.state == "failed")]
    if not chosen:
        raise InputError("no message was named", remedy="Give numbers from `pilot mail status`, or --failed")
    with transaction():
        for number in dict.fromkeys(chosen):
            service.resend(SYSTEM, number)
    queued = len(set(chosen))
    result({"queued": queued}, as_json, lambda: f"{count(queued, 'message')} queued again. Send: pilot mail send")


def _sentence(sent: service.SendResult) -> str:
    return (
        f"{sent.sent:,} sent, {sent.deferred:,} to be tried again, {sent.failed:,} failed, "
        f"{sent.withdrawn:,} withdrawn, {sent.uncertain:,} uncertain."
    )


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr when that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Sending mail", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
