"""`pilot compare`: one analysis on a flat file. Needs no database and no configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from pilot import console
from pilot.analysis import Analysis, ArmSummary, Comparison, Evidence, NotEnoughData, Scale
from pilot.analysis.frames import Columns, read_evidence
from pilot.analysis.sentences import p_text, percent
from pilot.errors import CheckFailed, InputError

Found = Comparison | NotEnoughData


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--arm", metavar="COL", help="Column that says which arm a row belongs to.")
@click.option("--outcome", metavar="COL", help="Column with the outcome.")
@click.option("--analysis", "key", metavar="KEY", help="What to do; --list shows all.")
@click.option("--control", metavar="VALUE", help="Value of the arm column that is control; found by its name by default.")
@click.option("--stratum", "strata", metavar="COL", multiple=True, help="Stratum column; several are crossed.")
@click.option("--scale", type=click.Choice([scale.value for scale in Scale]), help="Of the outcome; found from its values by default.")
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
    """Compare the arms in FILE, a CSV (also .gz) or Parquet file with one row per customer."""
    if show_list:
        return _print_list(_analyses(), as_json)
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
    analysis: Analysis = Plugins().build("analyses", key, given, place="--set")
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
    return "\n\n".join(_block(item) for item in found)


def _block(item: Found) -> str:
    if isinstance(item, NotEnoughData):
        return f"{item.arm}: {item.outcome}\n\n  Not enough data for {item.analysis}: {item.reason}."
    head = f"{item.arm} against {item.control}: {item.outcome}"
    lines = [head, f"  {item.method}", "", _indent(_arm_table(item.arms)), "", *_numbers(item), "", _wrap(item.sentence)]
    lines += [_wrap(f"! {warning}") for warning in item.warnings]
    return "\n".join(lines)


def _arm_table(arms: Sequence[ArmSummary]) -> str:
    assigned = any(summary.assigned is not None for summary in arms)
    columns = ["Arm", *(["Assigned"] if assigned else []), "n", "Mean", "SD"]
    rows = [
        [arm.arm, *([arm.assigned] if assigned else []), arm.n, _figure(arm.mean), _figure(arm.sd)] for arm in arms
    ]
    return console.table(columns, rows)


def _numbers(item: Comparison) -> list[str]:
    p = "" if item.log_p is None else f"p {p_text(item.log_p)}, {item.alternative}"
    if item.estimate is None or item.low is None or item.high is None:
        test = "" if item.statistic is None else f"chi-square {item.statistic:.4f}"
        return [f"  {item.measure.capitalize()}: {test}, {p}"]
    digits = max(4, 2 - math.floor(math.log10(item.high - item.low)))
    return [
        f"  {item.measure.capitalize()}: {item.estimate:,.{digits}f}",
        f"  {percent(item.level)} interval: {item.low:,.{digits}f} to {item.high:,.{digits}f}",
        *([f"  {p[0].upper()}{p[1:]}"] if p else []),
        *([f"  Margin {item.margin:g}: {'inside' if item.passed else 'not shown to be inside'}"] if item.margin else []),
    ]
