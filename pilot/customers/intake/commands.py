"""`pilot import`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import json_option, result, say
from pilot.customers.commands import toml_of
from pilot.customers.intake import service, telling
from pilot.customers.intake.requests import Asked
from pilot.customers.intake.service import ImportResult
from pilot.errors import CheckFailed, InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_NUMBER = click.IntRange(1, 2**31 - 1)


@click.command("import")
@click.argument("kind", type=click.Choice(service.KINDS), required=False)
@click.argument("file", type=_FILE, required=False)
@click.option("--source", help="Name of a configured database to ask instead of a FILE.")
@click.option("--map", "map_file", type=_FILE, help='TOML file with lines such as ref = "Their column".')
@click.option("--importer", help="Key of the importer; by default the one that recognises the file.")
@click.option("--encoding", default="", help="Encoding of the file, such as cp1250.  [default: found out]")
@click.option("--sheet", default="", help="Sheet of a spreadsheet.  [default: the first that holds anything]")
@click.option("--delimiter", default="", help="Sign between columns.  [default: found out]")
@click.option(
    "--decimal", default="", type=click.Choice(["", "comma", "point"]), help="Decimal sign.  [default: found out]"
)
@click.option(
    "--days", default="", type=click.Choice(["", "day", "month", "year"]), help="What stands first in a date."
)
@click.option("--strict", is_flag=True, help="Take all rows or none.")
@click.option("--overwrite-by-hand", "overwrite", is_flag=True, help="Take FILE's word where staff filled in another.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and write nothing; also with --undo.")
@click.option("--rejects", type=_FILE, help="Where refused rows go.  [default: FILE-rejects.csv, in this folder]")
@click.option("--resume", type=_NUMBER, metavar="ID", help="Go on with an interrupted import.")
@click.option("--undo", type=_NUMBER, metavar="ID", help="Take an import back, after showing what goes with it.")
@click.option("--yes", is_flag=True, help="Undo without asking.")
@click.option("--list", "list_", is_flag=True, help="List the imports, the newest first.")
@json_option
@with_appcontext
def import_(as_json: bool, **given: Any) -> None:
    """Take customers, orders or touches in from FILE.

    Or from a database, with --source. The same file again changes nothing, unless the base has changed since. Exit code 1
    if the rows were read and none can be taken over or, with --strict, one cannot; 2 if the file cannot be used at all.
    """
    asked = _Asked(**given)
    asked.check()
    if asked.list_:
        entries = service.imports()
        result([telling.entry_of(entry) for entry in entries], as_json, lambda: telling.listing(entries))
    elif asked.undo is not None:
        _undo(asked.undo, as_json, dry_run=asked.dry_run, sure=asked.yes)
    elif asked.resume is not None:
        with _bar() as progress:
            taken = service.resume_import(SYSTEM, asked.resume, progress=progress)
        _tell(taken, f"import {asked.resume}", as_json)
    else:
        _take(asked, as_json)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What stands on the command line, by the names of its options."""

    kind: str | None
    file: Path | None
    source: str | None
    map_file: Path | None
    importer: str | None
    encoding: str
    sheet: str
    delimiter: str
    decimal: str
    days: str
    strict: bool
    overwrite: bool
    dry_run: bool
    rejects: Path | None
    resume: int | None
    undo: int | None
    yes: bool
    list_: bool

    def check(self) -> None:
        """Let pass what asks for one thing.

        Raises:
            click.UsageError: It asks for nothing, or for things that contradict each other.
        """
        acts = sum((self.list_, self.undo is not None, self.resume is not None))
        if acts > (0 if self.kind or self.source or (self.dry_run and self.undo is None) else 1):
            raise click.UsageError(
                "--list, --undo and --resume stand alone: each does one thing, with an import there is."
            )
        if self.yes and self.undo is None:
            raise click.UsageError("--yes answers the question of --undo; nothing else asks one.")
        if not acts and (self.kind is None or (self.file is None) == (self.source is None)):
            raise click.UsageError("Say what to import (customers, orders or touches) and from which FILE or --source.")
        if self.overwrite and self.kind != "customers":
            raise click.UsageError(
                "--overwrite-by-hand is for imports of customers: nothing else is filled in by hand."
            )

    @property
    def name(self) -> str:
        """What the source is called."""
        return self.source or str(self.file and self.file.name)

    def options(self) -> Asked:
        """How it is to be taken in."""
        columns = _mapping(self.map_file) if self.map_file else {}
        rejects = self.rejects
        if rejects is None and not self.dry_run:
            rejects = Path(f"{self.name.removesuffix('.gz').removesuffix('.csv')}-rejects.csv")
        signs = (self.encoding, _sign(self.delimiter), self.decimal, self.days)
        return {
            "overrules": service.Overrules(*signs, columns, self.sheet),
            "strict": self.strict,
            "dry_run": self.dry_run,
            "overwrite": self.overwrite,
            "rejects": rejects,
        }


def _take(asked: _Asked, as_json: bool) -> None:
    options, kind = asked.options(), str(asked.kind)
    with _bar() as progress:
        options["progress"] = progress
        if asked.file is not None:
            taken = service.import_file(SYSTEM, kind, asked.file, importer=asked.importer, **options)
        else:
            taken = service.import_source(SYSTEM, kind, asked.name, **options)
    _tell(taken, asked.name, as_json, dry_run=asked.dry_run)
    if taken.rejected and not taken.accepted and not taken.unchanged:
        raise CheckFailed(
            "no row of it can be taken over",
            place=asked.name,
            remedy="Correct the file, or say with --map what is what",
        )


def _tell(taken: ImportResult, name: str, as_json: bool, *, dry_run: bool = False) -> None:
    result(dataclasses.asdict(taken), as_json, lambda: telling.outcome(taken, name, dry_run=dry_run))


def _undo(import_id: int, as_json: bool, *, dry_run: bool, sure: bool) -> None:
    """Show what undoing takes with it, ask, and undo."""
    seen = service.undo_preview(SYSTEM, import_id)
    shown = dataclasses.asdict(seen)
    if dry_run:
        result(shown, as_json, lambda: telling.undoing(seen))
        return
    say(telling.undoing(seen))
    if not sure:
        if not _somebody_is_there():
            raise click.UsageError("Nobody is here to be asked: look with --dry-run, then say --yes.")
        if not click.confirm(f"Undo import {import_id}?", err=True):
            say("Nothing was undone.")
            sys.exit(1)
    undone = service.undo_import(SYSTEM, import_id)
    told = telling.number_of(undone, seen.kind)
    result({**shown, "undone": undone}, as_json, lambda: f"Import {import_id} of {seen.filename} is undone: {told}.")


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("Taking over", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _sign(delimiter: str) -> str:
    """The delimiter that a person wrote, tabs as they are written at a terminal."""
    return "\t" if delimiter in ("tab", "\\t") else delimiter


def _mapping(path: Path) -> dict[str, str]:
    mapping = toml_of(path)
    for name, column in mapping.items():
        if not isinstance(column, str):
            raise InputError(
                f"{name} is not the name of a column",
                place=path.name,
                remedy='Write one line for each field, such as ref = "Their column"',
            )
    return mapping
