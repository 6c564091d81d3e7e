"""`pilot import`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import count, json_option, result, table
from pilot.customers import service
from pilot.customers.commands import toml_of
from pilot.customers.service import ImportResult
from pilot.errors import CheckFailed, InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_MEANINGS = {("cancelled", "true"): "cancelled", ("cancelled", ""): "not cancelled"}
_SHOWN = 10


@click.command("import")
@click.argument("kind", type=click.Choice(service.KINDS))
@click.argument("file", type=_FILE)
@click.option("--map", "map_file", type=_FILE, help='TOML file with lines such as ref = "Their column".')
@click.option("--importer", help="Key of the importer; by default the one that recognises the file.")
@click.option("--strict", is_flag=True, help="Take all rows or none.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and write nothing.")
@click.option("--rejects", type=_FILE, help="Where refused rows go.  [default: FILE-rejects.csv, in this folder]")
@json_option
@with_appcontext
def import_(
    kind: str,
    file: Path,
    map_file: Path | None,
    importer: str | None,
    strict: bool,
    dry_run: bool,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Take customers, orders or touches in from FILE.

    The same file again changes nothing. Exit code 1 if no row of it can be taken over.
    """
    if rejects is None and not dry_run:
        rejects = Path(f"{file.name.removesuffix('.gz').removesuffix('.csv')}-rejects.csv")
    mapping = _mapping(map_file) if map_file else None
    taken = service.import_file(
        SYSTEM, kind, file, mapping=mapping, importer=importer, strict=strict, dry_run=dry_run, rejects=rejects
    )
    result(dataclasses.asdict(taken), as_json, lambda: _told(taken, file, dry_run=dry_run))
    if taken.rejected and not taken.accepted and not taken.unchanged:
        raise CheckFailed(
            "no row of it can be taken over", place=file.name, remedy="Correct the file, or say with --map what is what"
        )


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


def _told(taken: ImportResult, file: Path, *, dry_run: bool) -> str:
    """What became of a file: the counts, how it was read, and the first refusals."""
    if not taken.accepted and taken.unchanged:
        return f"{file.name} is in the base already: nothing was changed ({_number(taken.unchanged, taken.kind)})."
    lines = [_outcome(taken, file, dry_run=dry_run), "", *_how_read(taken.how)]
    if taken.errors:
        rows = [(error.line, error.column, _short(error.value, 30), error.reason) for error in taken.errors[:_SHOWN]]
        lines += ["", table(["Line", "Column", "Value", "Refused because"], rows)]
        if taken.rejected > _SHOWN:
            lines.append(f"… and {taken.rejected - _SHOWN:,} more")
    if taken.rejects_file:
        lines += ["", f"All refused rows, with their reasons: {taken.rejects_file}"]
    return "\n".join(lines)


def _outcome(taken: ImportResult, file: Path, *, dry_run: bool) -> str:
    verb = "would be taken over" if dry_run else "taken over"
    counts = [f"{_number(taken.accepted, taken.kind)} {verb}"]
    if taken.unchanged:
        counts.append(f"{taken.unchanged:,} unchanged")
    counts.append(f"{taken.rejected:,} refused" if taken.rejected else "none refused")
    return f"{file.name}: {', '.join(counts)}."


def _how_read(how: dict[str, Any]) -> list[str]:
    """How the file was understood, for a person to check."""
    facts = [("Text", f"{how['encoding']}, columns separated by {how['delimiter']}")] if "encoding" in how else []
    facts += [(label, how[name]) for name, label in (("numbers", "Numbers"), ("days", "Dates")) if name in how]
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
