"""What commands print: results on stdout, messages and progress on stderr, `--json` as one document."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from pilot.errors import PilotError

Item = TypeVar("Item")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else."
)


class LazyGroup(click.Group):
    """A group some of whose commands are imported only when asked for.

    So help stays quick, and the group of a feature can offer commands of features above it.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        """`lazy` gives `module:function` and a line of help by the name of the command; the rest is click's."""
        super().__init__(*args, **settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in alphabetical order."""
        return sorted({*self.commands, *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now if it was not before."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with a line of help each, importing none."""
        helps = {name: command.get_short_help_str(formatter.width) for name, command in self.commands.items()}
        helps |= {name: line for name, (_, line) in self.lazy.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(helps.items()))


def say(text: str) -> None:
    """Print a message for the person at the terminal, on stderr."""
    click.echo(text, err=True)


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 touch`, `1,200 orders`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def result(data: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print a command's result on stdout: `data` as JSON, or what `text()` returns.

    Raises:
        PilotError: A number in `data` is not finite, so there is no JSON of it.
    """
    click.echo(_json(data) if as_json else text())


def _json(data: Any) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, indent=2, default=str, allow_nan=False)
    except ValueError as error:
        raise PilotError(
            "a number of the result is not finite, which JSON cannot hold",
            place="--json",
            remedy="Run the command without --json to see it, and correct the setting or file that it comes from",
        ) from error


def table(columns: list[str], rows: Iterable[Iterable[object]], *, title: str = "") -> str:
    """A plain-text table, numbers to the right, as wide as the terminal allows."""
    import io

    from rich.console import Console
    from rich.table import Table

    body = [[("" if cell is None else cell) for cell in row] for row in rows]
    drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[number], int | float) or row[number] == "" for row in body)
        drawn.add_column(column, justify="right" if numeric else "left")
    for row in body:
        drawn.add_row(
            *(
                f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
                for cell in row
            )
        )
    out = io.StringIO()
    Console(file=out, width=None if sys.stdout.isatty() else 120, highlight=False).print(drawn)
    return out.getvalue().rstrip()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a stretch of work on stderr and say when it is done."""
    import time

    started = time.monotonic()
    click.echo(f"  {title} … ", nl=False, err=True)
    try:
        yield
    except BaseException as error:
        click.echo("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", err=True)
        raise
    click.echo(f"done ({time.monotonic() - started:.1f} s)", err=True)


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Pass `items` through, drawing a bar on stderr when that is a terminal."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=title, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr, when that is a terminal; what it yields takes how much is done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total)
        yield lambda done: bars.update(task, completed=done)
