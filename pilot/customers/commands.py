"""`pilot profile`, `pilot segments` and `pilot movements`."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from pilot.accounts.service import SYSTEM
from pilot.config import current, today
from pilot.console import count, json_option, result, table
from pilot.customers import service
from pilot.errors import InputError

_FILE = click.Path(path_type=Path, dir_okay=False)
_LABELS = {"email": "e-mail", "sales_rep": "sales rep"}
_BAR = 30


@click.command()
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Day of the profile.  [default: today]")
@json_option
@with_appcontext
def profile(as_of: datetime | None, as_json: bool) -> None:
    """Make every customer's profile anew and sum the base up."""
    day: date = as_of.date() if as_of else today()
    service.rebuild_profiles(SYSTEM, day)
    summary = service.base_summary()
    result(summary, as_json, lambda: _summed_up(summary))


@click.command()
@click.option("--set", "set_file", type=_FILE, help="TOML file with the segments, in order of precedence.")
@json_option
@with_appcontext
def segments(set_file: Path | None, as_json: bool) -> None:
    """Put every customer into its segment.

    With --set, the segments are defined first.
    """
    if set_file:
        service.set_segments(SYSTEM, _segments_of(set_file), place=set_file.name)
    found = service.evaluate_segments(SYSTEM)
    rows = [
        {
            "key": segment.key,
            "name": segment.name,
            "customers": found.counts[segment.key],
            "rule": service.sentence(segment),
            "channel": segment.channel,
        }
        for segment in service.segments()
    ]
    data = {"segments": rows, "unmatched": found.unmatched, "moved": found.moved}
    result(data, as_json, lambda: _segmented(rows, found.unmatched, found.moved))


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


def _summed_up(summary: dict[str, Any]) -> str:
    """The base in words and bars."""
    profiled, currency = summary["profiled"], current().currency
    if not profiled:
        return "There are no customers yet. Begin with: pilot import customers FILE"
    lines = [
        f"{_number(profiled, 'customers')} as of {summary['as_of']}",
        "",
        f"  {'Orders':<34} {summary['orders']:>14,}",
        f"  {'Revenue, ' + currency:<34} {summary['revenue']:>14,.0f}",
        f"  {'  of the last twelve months':<34} {summary['revenue_year']:>14,.0f}",
    ]
    if summary["share_of_top_fifth"] is not None:
        lines.append(f"  {'  of that from the top fifth':<34} {summary['share_of_top_fifth']:>14.1%}")
    lines += ["", "How they stand, each by its own rhythm", *_bars(summary["activity"], profiled)]
    lines += ["", "What is not known of them", *_bars(summary["missing"], summary["customers"])]
    return "\n".join(lines)


def _bars(counts: dict[str, int], total: int) -> list[str]:
    lines = []
    for name, number in counts.items():
        share = number / total if total else 0.0
        bar = "█" * round(share * _BAR) or ("▏" if number else "")
        lines.append(f"  {_LABELS.get(name, name):<10} {number:>9,} {share:>7.1%}  {bar}".rstrip())
    return lines


def _segmented(rows: list[dict[str, Any]], unmatched: int, moved: int) -> str:
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
    return "\n".join(lines)


def _number(number: int, kind: str) -> str:
    """A number of customers, orders or touches: `1 customer`, `3 touches`."""
    return count(number, "touch" if kind == "touches" else kind.removesuffix("s"), kind)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
