"""`pilot profile`, `pilot segments`, `pilot movements` and `pilot erase`."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.console import count, json_option, progress, result, say, table
from pilot.customers import service
from pilot.customers.people import erasing
from pilot.customers.profiling.printing import summed_up
from pilot.customers.segmenting import movements as moving
from pilot.errors import InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_LISTED = 50


@click.command()
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day of the profile.  [default: today, or that of the newest order if long ago]",
)
@json_option
@with_appcontext
def profile(as_of: datetime | None, as_json: bool) -> None:
    """Make every customer's profile anew and sum the base up."""
    day: date = as_of.date() if as_of else service.sensible_day()
    with progress("Profiles", service.customer_count()) as wrote:
        service.rebuild_profiles(SYSTEM, day, wrote=wrote)
    summary = service.base_summary()
    result(summary, as_json, lambda: summed_up(summary))


@click.command()
@click.option("--set", "set_file", type=_FILE, help="TOML file with the segments, in order of precedence.")
@json_option
@with_appcontext
def segments(set_file: Path | None, as_json: bool) -> None:
    """Put every customer into its segment.

    With --set, the segments are defined first.
    """
    if set_file:
        followed = service.set_segments(SYSTEM, _segments_of(set_file), place=set_file.name)
        if followed.total:
            say(f"The handling of {count(followed.total, 'customer')} follows their segment: see pilot movements.")
    found = service.evaluate_segments(SYSTEM)
    rows = [
        {
            "key": segment.key,
            "name": segment.name,
            "customers": found.counts[segment.key],
            "rule": service.sentence(segment),
            "channel": segment.channel,
            "settle_days": segment.settle_days,
            "approval": segment.approval,
        }
        for segment in service.segments()
    ]
    data = {"segments": rows, "unmatched": found.unmatched, "moved": found.moved, "waiting": found.waiting}
    result(data, as_json, lambda: _segmented(rows, found))


@click.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only those shown by profiles of this day and later.")
@click.option("--segment", help="Only those out of or into the segment of this key.")
@click.option("--state", type=click.Choice(moving.STATES), help="Only those in this state.")
@click.option("--approve", type=int, multiple=True, metavar="ID", help="Apply this proposed movement; repeatable.")
@click.option("--decline", type=int, multiple=True, metavar="ID", help="Leave the handling as it is; repeatable.")
@json_option
@with_appcontext
def movements(
    since: datetime | None,
    segment: str | None,
    state: str | None,
    approve: tuple[int, ...],
    decline: tuple[int, ...],
    as_json: bool,
) -> None:
    """List who crossed from one segment to another, and why.

    With --approve or --decline, decide about movements first.
    """
    if approve:
        done = moving.approve(SYSTEM, approve)
        say(f"{count(done.done, 'movement')} approved" + (f", {done.held} held by a pilot." if done.held else "."))
    if decline:
        say(f"{count(moving.decline(SYSTEM, decline).done, 'movement')} declined.")
    wanted = moving.Wanted(state, segment, since.date() if since else None)
    counts = moving.counted(wanted)
    rows = moving.find(wanted, limit=None if as_json else _LISTED)
    result({"counts": counts, "movements": rows}, as_json, lambda: _moved(rows, counts, state))


@click.command()
@click.argument("customer")
@json_option
@with_appcontext
def erase(customer: str, as_json: bool) -> None:
    """Forget a customer, with its orders and touches.

    Its refused rows go too, and its facts also where it is not in the base.

    It is final. The profiles of the others stay as they are until they are made anew.
    """
    erased = erasing.erase(SYSTEM, customer)
    told = (
        f"{count(erased.facts, 'file')} of orders and touches, {count(erased.lists, 'list')} of refused rows or uploads"
    )
    result(
        {"erased": customer, "files": erased.facts, "lists": erased.lists},
        as_json,
        lambda: f"Customer {customer} is erased{f' (it stood in {told})' if any(erased) else ''}.",
    )


def toml_of(path: Path) -> dict[str, Any]:
    """What a TOML file holds."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", place=str(path), remedy="Check path and permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is not TOML: {error}", place=path.name, remedy="Correct the file") from error


def _segments_of(path: Path) -> list[dict[str, Any]]:
    document = toml_of(path)
    found = document.pop("segments", None)
    if document or not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(
            "the file does not hold segments alone",
            place=path.name,
            remedy="Write a [[segments]] for each, and no more",
        )
    return found


def _moved(rows: list[dict[str, Any]], counts: dict[str, int], state: str | None) -> str:
    if not rows:
        return "There is no such movement."
    body = [
        (
            str(row["id"]),
            str(row["as_of"] or row["at"].date()),
            _short(f"{row['ref']} {row['name']}", 30),
            row["after"] if row["before"] == row["after"] else f"{row['before'] or '-'} → {row['after'] or '-'}",
            row["state"] + (f" ({row['experiment']})" if row["experiment"] else ""),
            ", ".join(_fact(name, **fact) for name, fact in row["facts"].items()) or row["reason"],
        )
        for row in rows
    ]
    total = counts[state] if state else sum(counts.values())
    lines = [table(["Id", "Day", "Customer", "Movement", "State", "Why"], body), ""]
    lines.append(", ".join(f"{number:,} {name}" for name, number in counts.items() if number) + ".")
    if total > len(rows):
        lines.append(f"The newest {len(rows)} of {total:,}; all of them with --json.")
    return "\n".join(lines)


def _fact(name: str, before: Any, after: Any) -> str:
    """What a rule looked at; what has not changed is no change."""
    return f"{name} {_told(after)}" if before == after else f"{name} {_told(before)} → {_told(after)}"


def _told(value: Any) -> str:
    """A fact for people: numbers with thousands, without needless decimals."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    return "-" if value is None else str(value)


def _segmented(rows: list[dict[str, Any]], found: service.SegmentCounts) -> str:
    unmatched, moved = found.unmatched, found.moved
    total = sum(row["customers"] for row in rows) + unmatched
    body = [
        (
            row["name"],
            row["customers"],
            f"{row['customers'] / total if total else 0:>6.1%}",
            row["rule"],
            row["channel"],
        )
        for row in rows
    ]
    lines = [table(["Segment", "Customers", " Share", "Rule", "Channel"], body), ""]
    if unmatched:
        lines.append(f"{_number(unmatched, 'customers')} in no segment: no rule matches.")
    if not total:
        lines.append("No customer has a profile yet. Make them with: pilot profile")
    else:
        lines.append(f"{_number(moved, 'customers') if moved else 'Nobody'} crossed from one segment to another.")
    if found.waiting:
        lines.append(f"{_number(found.waiting, 'customers')} will cross once they have belonged elsewhere long enough.")
    return "\n".join(lines)


def _number(number: int, kind: str) -> str:
    """A number of customers, orders or touches: `1 customer`, `3 touches`."""
    return count(number, "touch" if kind == "touches" else kind.removesuffix("s"), kind)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
