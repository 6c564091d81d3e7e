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
from pilot.console import count, json_option, result, table
from pilot.customers.commands import toml_of
from pilot.customers.intake import service
from pilot.customers.intake.service import ImportResult
from pilot.errors import CheckFailed, InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_NUMBER = click.IntRange(1, 2**31 - 1)
_MEANINGS = {("cancelled", "true"): "cancelled", ("cancelled", ""): "not cancelled"}
_SHOWN = 10


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
@click.option("--dry-run", is_flag=True, help="Say what would happen and write nothing.")
@click.option("--rejects", type=_FILE, help="Where refused rows go.  [default: FILE-rejects.csv, in this folder]")
@click.option("--resume", type=_NUMBER, metavar="ID", help="Go on with an interrupted import.")
@click.option("--undo", type=_NUMBER, metavar="ID", help="Take an import back.")
@click.option("--list", "list_", is_flag=True, help="List the imports, the newest first.")
@json_option
@with_appcontext
def import_(
    kind: str | None,
    file: Path | None,
    source: str | None,
    map_file: Path | None,
    importer: str | None,
    encoding: str,
    sheet: str,
    delimiter: str,
    decimal: str,
    days: str,
    strict: bool,
    dry_run: bool,
    rejects: Path | None,
    resume: int | None,
    undo: int | None,
    list_: bool,
    as_json: bool,
) -> None:
    """Take customers, orders or touches in from FILE.

    Or from a database, with --source. The same file again changes nothing. Exit code 1 if no row of it can be taken over.
    """
    if sum((list_, undo is not None, resume is not None)) > (0 if kind or source or dry_run else 1):
        raise click.UsageError("--list, --undo and --resume stand alone: each does one thing, with an import there is.")
    if list_:
        _list(as_json)
        return
    if undo is not None:
        _undo(undo, as_json)
        return
    if resume is not None:
        with _bar() as progress:
            taken = service.resume_import(SYSTEM, resume, progress=progress)
        result(dataclasses.asdict(taken), as_json, lambda: _told(taken, f"import {resume}", dry_run=False))
        return
    if kind is None or (file is None) == (source is None):
        raise click.UsageError("Say what to import (customers, orders or touches) and from which FILE or --source.")
    name = source or str(file and file.name)
    if rejects is None and not dry_run:
        rejects = Path(f"{name.removesuffix('.gz').removesuffix('.csv')}-rejects.csv")
    columns = _mapping(map_file) if map_file else {}
    options: dict[str, Any] = {
        "overrules": service.Overrules(encoding, _sign(delimiter), decimal, days, columns, sheet),
        "strict": strict,
        "dry_run": dry_run,
        "rejects": rejects,
    }
    with _bar() as progress:
        if file is not None:
            taken = service.import_file(SYSTEM, kind, file, importer=importer, progress=progress, **options)
        else:
            taken = service.import_source(SYSTEM, kind, name, progress=progress, **options)
    result(dataclasses.asdict(taken), as_json, lambda: _told(taken, name, dry_run=dry_run))
    if taken.rejected and not taken.accepted and not taken.unchanged:
        raise CheckFailed(
            "no row of it can be taken over", place=name, remedy="Correct the file, or say with --map what is what"
        )


def _list(as_json: bool) -> None:
    entries = service.imports()
    columns = (
        "id",
        "at",
        "kind",
        "filename",
        "state",
        "total",
        "accepted",
        "changed",
        "unchanged",
        "rejected",
        "actor",
    )
    data = [{name: getattr(entry, name) for name in columns} for entry in entries]

    def told() -> str:
        if not entries:
            return "Nothing was imported yet."
        rows = [
            (
                entry.id,
                f"{entry.at:%Y-%m-%d %H:%M}",
                entry.kind,
                _short(entry.filename, 40),
                entry.state,
                entry.accepted,
                entry.changed,
                entry.rejected,
                entry.actor,
            )
            for entry in entries
        ]
        return table(["No", "When (UTC)", "What", "File", "State", "Taken over", "Changed", "Refused", "By"], rows)

    result(data, as_json, told)


def _undo(import_id: int, as_json: bool) -> None:
    entry = service.import_of(import_id)
    undone = service.undo_import(SYSTEM, import_id)
    result(
        {"import_id": import_id, "undone": undone},
        as_json,
        lambda: f"Import {import_id} of {entry.filename} is undone: {_number(undone, entry.kind)}.",
    )


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


def _told(taken: ImportResult, name: str, *, dry_run: bool) -> str:
    """What became of a file: the counts, how it was read, and the first refusals."""
    if not taken.accepted and taken.unchanged:
        return f"{name} is in the base already: nothing was changed ({_number(taken.unchanged, taken.kind)})."
    lines = [_outcome(taken, name, dry_run=dry_run), "", *_how_read(taken.how)]
    if taken.errors:
        rows = [(error.line, error.column, _short(error.value, 30), error.reason) for error in taken.errors[:_SHOWN]]
        lines += ["", table(["Line", "Column", "Value", "Refused because"], rows)]
        if taken.rejected > _SHOWN:
            lines.append(f"… and {taken.rejected - _SHOWN:,} more")
    if taken.rejects_file:
        lines += ["", f"All refused rows, with their reasons: {taken.rejects_file}"]
    return "\n".join(lines)


def _outcome(taken: ImportResult, name: str, *, dry_run: bool) -> str:
    verb = "would be taken over" if dry_run else "taken over"
    counts = [f"{_number(taken.accepted, taken.kind)} {verb}"]
    if taken.changed:
        counts[0] += f" ({taken.changed:,} of them changed)"
    if taken.unchanged:
        counts.append(f"{taken.unchanged:,} unchanged")
    counts.append(f"{taken.rejected:,} refused" if taken.rejected else "none refused")
    return f"{name}: {', '.join(counts)}."


def _how_read(how: dict[str, Any]) -> list[str]:
    """How the file was understood, for a person to check."""
    facts = [("Text", f"{how['encoding']}, columns separated by {how['delimiter']}")] if "encoding" in how else []
    labels = {"format": "Format", "sheet": "Sheet", "source": "Source", "numbers": "Numbers", "days": "Dates"}
    facts += [(label, how[name]) for name, label in labels.items() if name in how]
    columns: dict[str, str] = how.get("columns", {})
    widest = max(map(len, columns), default=0)
    for name, column in columns.items():
        facts.append(("Columns", f"{name:<{widest}} ← {column}{_words_read(name, how.get('words', {}).get(name, {}))}"))
    if how.get("not_read"):
        facts.append(("Not read", ", ".join(how["not_read"])))
    if "derived" in how:
        facts.append(("Derived", how["derived"]))
    if strangers := how.get("customers_not_in_base"):
        facts.append(
            ("Note", f"customers in it who are not in the base: {strangers:,}; their rows count once they are")
        )
    before = ["", *(label for label, _ in facts)]
    return [
        f"  {'' if label == above else label:<9} {fact}" for above, (label, fact) in zip(before, facts, strict=False)
    ]


def _words_read(field: str, words: dict[str, str]) -> str:
    """What words were read as, where that is not what they say."""
    told = [
        f"{word} → {_MEANINGS.get((field, meaning), meaning or 'left empty')}"
        for word, meaning in words.items()
        if word.casefold() != meaning
    ]
    return f"  ({', '.join(told)})" if told else ""


def _number(number: int, kind: str) -> str:
    """A number of customers, orders or touches: `1 customer`, `3 touches`."""
    return count(number, "touch" if kind == "touches" else kind.removesuffix("s"), kind)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
