"""`pilot compare`: one analysis on a flat file. Needs no database and no configuration."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilot import console
from pilot.analysis import Analysis, ArmSummary, Comparison, Evidence, NotEnoughData, Scale
from pilot.analysis.frames import Columns, read_evidence
from pilot.analysis.sentences import p_text, percent
from pilot.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Found = Comparison | NotEnoughData

_WIDTH = 100
"""Of what is printed where there is no terminal."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--arm", metavar="COL", help="Column that says which arm a row belongs to.")
@click.option("--outcome", metavar="COL", help="Column with the outcome.")
@click.option("--analysis", "key", metavar="KEY", help="What to do; --list shows all.")
@click.option(
    "--control", metavar="VALUE", help="Value of the arm column that is control; found by its name by default."
)
@click.option("--stratum", "strata", metavar="COL", multiple=True, help="Stratum column; several are crossed.")
@click.option(
    "--scale",
    type=click.Choice([scale.value for scale in Scale]),
    help="Of the outcome; found from its values by default.",
)
@click.option("--lower-is-better", is_flag=True, help="Less of the outcome is better, as with cost.")
@click.option("--set", "settings", metavar="K=V", multiple=True, help="A setting of the analysis, e.g. margin=0.25.")
@click.option("--list", "show_list", is_flag=True, help="List the analyses and their settings.")
@console.json_option
def compare(
    file: Path | None,
    arm: str | None,
    outcome: str | None,
    key: str | None,
    control: str | None,
    strata: tuple[str, ...],
    scale: str | None,
    lower_is_better: bool,
    settings: tuple[str, ...],
    show_list: bool,
    as_json: bool,
) -> None:
    """Compare the arms in FILE, a table with one row per customer.

    FILE is a CSV (also .gz) or Parquet file.
    """
    if show_list:
        _print_list(_analyses(), as_json)
        return
    if file is None or arm is None or outcome is None or key is None:
        raise click.UsageError("FILE, --arm, --outcome and --analysis are needed (or --list)")
    analysis = _build(key, settings)
    evidence = read_evidence(
        file,
        Columns(arm, outcome, strata),
        control=control,
        scale=None if scale is None else Scale(scale),
        higher_is_better=not lower_is_better,
    )
    found = [analysis.compare(evidence, pilot) for pilot in evidence.arms[1:]]
    console.result(_document(file, analysis, evidence, found), as_json, lambda: _text(found))
    _fail_on_alarm(found)


def _analyses() -> list[type[Analysis]]:
    from pilot.plugins.manager import Plugins

    return Plugins().all("analyses")


def _build(key: str, settings: Iterable[str]) -> Analysis:
    from pilot.plugins.manager import Plugins

    given = dict(_setting(text) for text in settings)
    analysis: Analysis = Plugins().get("analyses", key, place="--analysis").restore(given, place="--set")
    return analysis


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is no setting", place="--set", remedy="Write it as name=value, e.g. margin=0.25")
    try:
        return name.strip(), json.loads(value)
    except json.JSONDecodeError:
        return name.strip(), value


def _fail_on_alarm(found: Iterable[Found]) -> None:
    alarms = [item for item in found if isinstance(item, Comparison) and item.estimate is None and item.passed is False]
    if alarms:
        raise CheckFailed(
            f"{alarms[0].analysis} sounds the alarm for {', '.join(item.arm for item in alarms)}",
            remedy="Find the cause before believing any comparison of these arms",
        )


def _document(file: Path, analysis: Analysis, evidence: Evidence, found: Sequence[Found]) -> dict[str, Any]:
    return {
        "file": str(file),
        "analysis": analysis.key,
        "settings": analysis.settings(),
        "outcome": evidence.outcome,
        "scale": evidence.scale.value,
        "higher_is_better": evidence.higher_is_better,
        "arms": list(evidence.arms),
        "strata": [label for label in evidence.strata if label],
        "excluded": dict(evidence.excluded),
        "evidence_sha256": evidence.digest(),
        "comparisons": [item.as_json() for item in found],
    }


def _print_list(parts: Sequence[type[Analysis]], as_json: bool) -> None:
    rows = [
        {
            "key": part.key,
            "label": part.label,
            "scales": sorted(scale.value for scale in part.scales),
            "settings": [field.name for field in fields(part)],  # type: ignore[arg-type]
            "reference": part.reference,
        }
        for part in parts
    ]
    console.result(
        rows,
        as_json,
        lambda: console.table(
            ["Analysis", "", "Scales", "Settings"],
            [[row["key"], row["label"], ", ".join(row["scales"]), ", ".join(row["settings"])] for row in rows],
        ),
    )


def _text(found: Sequence[Found]) -> str:
    from rich.console import Console, Group

    out = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    with out.capture() as capture:
        for item in found:
            out.print(Group(*_block(item)), "")
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _block(item: Found) -> Iterator[RenderableType]:
    """One comparison: its arms, the effect with its interval, what it says, and what a reader must know."""
    from rich.padding import Padding
    from rich.text import Text

    if isinstance(item, NotEnoughData):
        yield Text(f"{item.outcome}: {item.arm}", style="bold")
        yield Padding(f"Not enough data for {item.analysis}: {item.reason}.", (1, 2))
        return
    yield Text(f"{item.outcome}: {item.arm} against {item.control}", style="bold")
    yield Padding(Text(item.method, style="dim"), (0, 2))
    yield Padding(_arm_table(item.arms), (1, 2))
    yield Padding(_number_table(item), (0, 2))
    yield Padding(Text(item.sentence), (1, 2))
    for warning in item.warnings:
        yield Padding(Text(f"Mind: {warning}", style="yellow"), (0, 2))


def _arm_table(arms: Sequence[ArmSummary]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("", "n", "mean", "sd"):
        table.add_column(title, justify="right" if title else "left")
    for arm in arms:
        table.add_row(arm.arm, f"{arm.n:,}", _figure(arm.mean), _figure(arm.sd))
    return table


def _number_table(item: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    table.add_column(style="dim")
    for name, value in _numbers(item):
        table.add_row(name, value)
    return table


def _numbers(item: Comparison) -> Iterator[tuple[str, str]]:
    if item.estimate is None or item.low is None or item.high is None:
        yield item.measure, "as planned" if item.passed else "not as planned"
        yield "chi-square", f"{item.statistic:.4f}"
    else:
        digits = max(4, 3 - math.floor(math.log10(item.high - item.low)))
        yield item.measure, f"{item.estimate:,.{digits}f}"
        yield f"{percent(item.level)} interval", f"{item.low:,.{digits}f} to {item.high:,.{digits}f}"
    if item.margin is not None:
        yield "margin", f"{item.margin:g}, {'kept' if item.passed else 'not shown to be kept'}"
    if item.log_p is not None:
        yield "p", f"{p_text(item.log_p)}, {item.alternative}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"
