"""`pilot mail`: send what is due, and say how the outbox stands."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from flask.cli import with_appcontext

from pilot.console import json_option, result, say, table
from pilot.mail import service


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
    if sent.uncertain:
        say(f"{sent.uncertain} handed over without an answer: `pilot mail status` lists them.")


@mail.command()
@json_option
@with_appcontext
def status(as_json: bool) -> None:
    """Count messages by state, and list those of which nobody knows whether they arrived."""
    counted = service.counts()
    open_ends = [
        {"id": message.id, "key": message.key, "since": message.settled_at, "reason": message.reply}
        for message in service.uncertain()
    ]
    result(
        {"counts": counted, "uncertain": open_ends},
        as_json,
        lambda: "\n\n".join(
            [table(["state", "messages"], counted.items())]
            + ([table(["id", "key", "since", "reason"], (row.values() for row in open_ends))] if open_ends else [])
        ),
    )


def _sentence(sent: service.SendResult) -> str:
    return (
        f"{sent.sent} sent, {sent.deferred} to be tried again, {sent.failed} failed, "
        f"{sent.withdrawn} withdrawn, {sent.uncertain} uncertain."
    )


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr when that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Sending mail", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
