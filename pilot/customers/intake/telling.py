"""What `pilot import` says at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pilot.console import count, table
from pilot.customers.intake.lease import busy_until, interrupted, remedy, told
from pilot.customers.intake.requests import ImportResult
from pilot.customers.intake.undoing import UndoPreview, standing
from pilot.customers.models import Import

_MEANINGS = {
    ("cancelled", "true"): "cancelled",
    ("cancelled", ""): "not cancelled",
    ("cancelled", "returned"): "cancelled unless the amount is below zero",
}
_SHOWN = 10
_LISTED = ("id", "at", "kind", "filename", "total", "accepted", "changed", "unchanged", "kept", "replaced", "rejected")


def entry_of(entry: Import) -> dict[str, Any]:
    """An import as it stands, for `--json`: with `until` while it is worked on, and what to do about it if unfinished."""
    running = entry.state == "running"
    return {
        **{name: getattr(entry, name) for name in _LISTED},
        "continues": entry.continues,
        "standing": 0 if entry.state == "undone" else standing(entry),
        "told_otherwise": entry.reading.get("told_otherwise"),
        "actor": entry.actor,
        "state": "interrupted" if interrupted(entry) else entry.state,
        "until": busy_until(entry),
        "remedy": remedy(entry) if running else None,
    }


def listing(entries: Sequence[Import]) -> str:
    """The imports as a table, and below it what can be done about one that is not finished."""
    if not entries:
        return "Nothing was imported yet."
    head = ["No", "When (UTC)", "What", "File", "State", "Taken over", "Changed", "Refused", "By"]
    rows = [
        (
            entry.id,
            f"{entry.at:%Y-%m-%d %H:%M}",
            entry.kind,
            _short(entry.filename, 40),
            "interrupted" if interrupted(entry) else entry.state,
            entry.accepted if entry.remaining is None else f"{entry.remaining:,} of {entry.accepted:,}",
            entry.changed,
            entry.rejected,
            entry.actor,
        )
        for entry in entries
    ]
    notes = (
        f"\nImport {entry.id}: {_retold(entry.kind, told, 'was', 'were', 'became')}."
        for entry in entries
        if (told := entry.reading.get("told_otherwise")) and entry.state != "undone"
    )
    unfinished = (_unfinished(entry) for entry in entries if entry.state == "running")
    return "\n".join((table(head, rows), *notes, *unfinished))


def _unfinished(entry: Import) -> str:
    until = busy_until(entry)
    state = "was interrupted" if until is None else f"is being worked on, at least until {told(until)}"
    how_far = f"{entry.accepted + entry.unchanged:,} of {entry.total or 0:,} rows are done"
    return f"\nImport {entry.id} {state}; {how_far}. {remedy(entry)}."


def _retold(kind: str, told: Mapping[str, Any], is_: str, are: str, becomes: str) -> str:
    """What rows change of what the base told: `3 orders in the base are told otherwise: 1,000.00 becomes 10.00`."""
    number, before, after = told["number"], Decimal(told["before"]), Decimal(told["after"])
    verb = is_ if number == 1 else are
    return f"{number_of(number, kind)} in the base {verb} told otherwise: {before:,.2f} {becomes} {after:,.2f}"


def undoing(seen: UndoPreview) -> str:
    """What undoing an import takes with it."""
    head = f"Undoing import {seen.import_id} of {seen.filename}, as things stand:"
    if seen.kind != "customers":
        return "\n  ".join((head, f"{count(seen.facts, 'row')} would count no more", *_again(seen)))
    lines = [f"{count(seen.gone, 'customer')} would go"]
    if seen.gone:
        told = [
            (seen.by_hand, f"  with {count(seen.by_hand, 'value')} that staff filled in"),
            (seen.completions, f"  with {count(seen.completions, 'entry', 'entries')} of the work list"),
            (seen.movements, f"  with {count(seen.movements, 'movement')} between segments"),
            (seen.changes, f"  with {count(seen.changes, 'change')} in their history"),
            (seen.orders, f"{count(seen.orders, 'order')} of theirs would stay, and count once they are back"),
        ]
        lines += [line for number, line in told if number]
    lines.append(f"{count(seen.restored, 'customer')} would get back values from before")
    if seen.given_back:
        lines.append(f"  among them {count(seen.given_back, 'value')} that staff had filled in")
    return "\n  ".join((head, *lines))


def _again(seen: UndoPreview) -> list[str]:
    """What undoing an import of facts gives back to others."""
    lines = []
    if seen.count_again:
        verb = "is" if seen.count_again == 1 else "are"
        lines.append(
            f"{number_of(seen.count_again, seen.kind)} of it {verb} told by other imports too, and count as they tell"
        )
    if seen.told_otherwise:
        told = f"{seen.told_before:,.2f} becomes {seen.told_after:,.2f}"
        lines.append(f"{number_of(seen.told_otherwise, seen.kind)} they tell otherwise: {told}")
    return lines


def outcome(taken: ImportResult, name: str, *, dry_run: bool) -> str:
    """What became of a file: the counts, how it was read, and the first refusals."""
    if not taken.accepted and taken.unchanged:
        same = f"{name} is in the base already: nothing was changed ({number_of(taken.unchanged, taken.kind)})."
        return "\n".join((same, *_by_hand(taken)))
    lines = [
        _counts(taken, name, dry_run=dry_run),
        *_by_hand(taken),
        *_told_otherwise(taken),
        "",
        *_how_read(taken.how),
    ]
    if taken.errors:
        rows = [(error.line, error.column, _short(error.value, 30), error.reason) for error in taken.errors[:_SHOWN]]
        lines += ["", table(["Line", "Column", "Value", "Refused because"], rows)]
        if taken.rejected > _SHOWN:
            lines.append(f"… and {taken.rejected - _SHOWN:,} more")
    if taken.rejects_file:
        lines += ["", f"All refused rows, with their reasons: {taken.rejects_file}"]
    return "\n".join(lines)


def _counts(taken: ImportResult, name: str, *, dry_run: bool) -> str:
    verb = "would be taken over" if dry_run else "taken over"
    counts = [f"{number_of(taken.accepted, taken.kind)} {verb}"]
    if taken.changed:
        counts[0] += f" ({taken.changed:,} of them changed)"
    if taken.unchanged:
        counts.append(f"{taken.unchanged:,} unchanged")
    counts.append(f"{taken.rejected:,} refused" if taken.rejected else "none refused")
    return f"{name}: {', '.join(counts)}."


def _by_hand(taken: ImportResult) -> list[str]:
    """What became of values that staff filled in."""
    told = []
    if taken.kept:
        values = count(taken.kept, "value") + " that staff filled in"
        told.append(f"{values}: kept, though the file tells otherwise (--overwrite-by-hand takes the file's word).")
    if taken.replaced:
        told.append(f"{count(taken.replaced, 'value')} that staff filled in: overwritten, as was asked for.")
    return told


def _told_otherwise(taken: ImportResult) -> list[str]:
    """What of earlier imports counts no longer as they told it."""
    told = taken.how.get("told_otherwise") if taken.accepted else None
    return [f"{_retold(taken.kind, told, 'is', 'are', 'becomes')}."] if told else []


def _how_read(how: dict[str, Any]) -> list[str]:
    """How the file was understood, for a person to check."""
    facts = [("Text", f"{how['encoding']}, columns separated by {how['delimiter']}")] if "encoding" in how else []
    labels = {"format": "Format", "sheet": "Sheet", "source": "Source", "numbers": "Numbers", "days": "Dates"}
    facts += [(label, how[name]) for name, label in labels.items() if name in how]
    if "continues" in how:
        facts.append(
            ("Goes on", f"with import {how['continues']}: what both tell of an order or touch counts together")
        )
    columns: dict[str, str] = how.get("columns", {})
    widest = max(map(len, columns), default=0)
    for name, column in columns.items():
        facts.append(("Columns", f"{name:<{widest}} ← {column}{_words_read(name, how.get('words', {}).get(name, {}))}"))
    facts += [("Assumed", _strangers(name, unknown)) for name, unknown in how.get("unknown_words", {}).items()]
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


def _strangers(field: str, unknown: dict[str, Any]) -> str:
    """Words of a column that are not known, and what they were taken for."""
    more = f" and {unknown['more']:,} more" if unknown["more"] else ""
    meaning = _MEANINGS.get((field, ""), "left empty")
    return f"{field} {meaning} where the word is not known: {', '.join(unknown['words'])}{more}"


def number_of(number: int, kind: str) -> str:
    """A number of customers, orders or touches: `1 customer`, `3 touches`."""
    return count(number, "touch" if kind == "touches" else kind.removesuffix("s"), kind)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
