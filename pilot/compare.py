"""`pilot compare`: one analysis on a flat file. Needs no database and no configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any

import click

from pilot import console
from pilot.analysis import Analysis, Comparison, Evidence, Need, Scale
from pilot.analysis.choosing import Choice, choose
from pilot.analysis.frames import Columns, read_evidence
from pilot.errors import CheckFailed, InputError
from pilot.printed import Found, as_text


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--arm", metavar="COL", help="Column that says which arm a row belongs to.")
@click.option("--outcome", metavar="COL", help="Column with the outcome.")
@click.option("--analysis", "key", metavar="KEY", help="What to do; --list shows all. Left out, one is chosen.")
@click.option(
    "--control", metavar="VALUE", help="Value of the arm column that is control; found by its name by default."
)
@click.option("--stratum", "strata", metavar="COL", multiple=True, help="Stratum column; several are crossed.")
@click.option("--cluster", metavar="COL", help="Units that belong together, such as the customers of a rep.")
@click.option("--covariate", "covariates", metavar="COL", multiple=True, help="A further number; may be repeated.")
@click.option("--weight", metavar="COL", help="Weight of a row, above 0.")
@click.option("--assigned", is_flag=True, help="Every row is an assigned customer; an empty outcome is no answer.")
@click.option("--levels", metavar="1,2,...", help="All values a rating may have; others are refused.")
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
    settings: tuple[str, ...],
    show_list: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Compare the arms in FILE, a table with one row per customer.

    FILE is a CSV (also .gz) or Parquet file.
    """
    if show_list:
        _print_list(_analyses(), as_json)
        return
    if file is None or arm is None or outcome is None:
        raise click.UsageError("FILE, --arm and --outcome are needed (or --list)")
    columns = Columns(arm, outcome, reading["strata"], reading["covariates"], reading["cluster"], reading["weight"])
    scale, arms = _outcome(file, columns, key, reading)
    choice = None if key else _choice(scale, columns, arms)
    analysis = _build(choice.key if choice else str(key), settings)
    _check_columns(analysis, columns)
    evidence = _read(file, columns, scale, analysis.asks(scale), reading)
    found = [analysis.compare(evidence, pilot) for pilot in evidence.arms[1:]]
    document = _document(file, columns, analysis, evidence, found)
    console.result(
        {**document, "chosen_because": choice.reason if choice else None},
        as_json,
        lambda: as_text(found, " ".join(_remarks(choice, evidence, reading))),
    )
    _fail_on_alarm(found)


def _remarks(choice: Choice | None, evidence: Evidence, reading: dict[str, Any]) -> Iterator[str]:
    """What was decided for whoever left it open."""
    if choice:
        yield f"Chosen: {choice.key}. {choice.reason}"
    if reading["scale"] is None:
        yield f"By its values {evidence.outcome} is taken for: {evidence.scale.value} (--scale says otherwise)."


def _read(
    file: Path, columns: Columns, scale: Scale | None, needs: Iterable[Need], reading: dict[str, Any]
) -> Evidence:
    clusters = (Need.CLUSTERS,) if columns.cluster else ()  # also for analyses that ignore them, and then say so
    return read_evidence(
        file,
        columns,
        needs={*needs, *clusters},
        control=reading["control"],
        scale=scale,
        levels=_levels(reading["levels"]),
        assigned=reading["assigned"],
        higher_is_better=not reading["lower_is_better"],
    )


def _levels(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(level) for level in text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} are no levels", place="--levels", remedy="Write them as 1,2,3,4,5") from error


def _outcome(file: Path, columns: Columns, key: str | None, reading: dict[str, Any]) -> tuple[Scale, int]:
    """The scale of the outcome and the number of arms: as told, as the analysis can only mean it, or as it looks."""
    scales = _part(key).scales if key else frozenset()
    told = Scale(reading["scale"]) if reading["scale"] else Scale.TIME if scales == {Scale.TIME} else None
    found = _read(file, Columns(columns.arm, columns.outcome), told, (), reading)
    return found.scale, len(found.arms)


def _choice(scale: Scale, columns: Columns, arms: int) -> Choice:
    """The analysis for what these columns are."""
    return choose(
        scale,
        strata=bool(columns.strata),
        clusters=columns.cluster is not None,
        weights=columns.weight is not None,
        covariates=bool(columns.covariates),
        arms=arms,
    )


def _check_columns(analysis: Analysis, columns: Columns) -> None:
    """A column that the analysis would pass over is a mistake of whoever named it."""
    named = {"--weight": ("weights", columns.weight), "--covariate": ("covariates", columns.covariates)}
    instead = {"weights": "survey-weighted", "covariates": "cuped or lin"}
    for option, (what, given) in named.items():
        if given and what not in analysis.uses():
            raise InputError(
                f"{analysis.key} uses no {what}", place=option, remedy=f"Use {instead[what]}, or leave it out"
            )


def _analyses() -> list[type[Analysis]]:
    from pilot.plugins.manager import Plugins

    return Plugins().all("analyses")


def _build(key: str, settings: Iterable[str]) -> Analysis:
    given = dict(_setting(text) for text in settings)
    return _part(key).restore(given, place="--set")


def _part(key: str) -> type[Analysis]:
    from pilot.plugins.manager import Plugins

    part: type[Analysis] = Plugins().get("analyses", key, place="--analysis")
    return part


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


def _document(
    file: Path, columns: Columns, analysis: Analysis, evidence: Evidence, found: Sequence[Found]
) -> dict[str, Any]:
    return {
        "file": str(file),
        "columns": asdict(columns),
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
            "scales": [scale.value for scale in Scale if scale in part.scales],
            "needs": [need.value for need in Need if need in part.needs],
            "settings": [_setting_text(setting) for setting in fields(part)],  # type: ignore[arg-type]
            "plans": part.sizes,
            "reference": part.reference,
        }
        for part in parts
    ]
    console.result(rows, as_json, lambda: "\n".join(_paragraph(row) for row in rows))


def _paragraph(row: dict[str, Any]) -> str:
    scales = "all scales" if len(row["scales"]) == len(Scale) else ", ".join(row["scales"])
    lines = [f"{row['key']}: {row['label']}", f"    for {scales}; needs {', '.join(row['needs'])}"]
    if row["settings"]:
        lines.append(f"    --set {', '.join(row['settings'])}")
    return "\n".join(lines)


def _setting_text(setting: Field[Any]) -> str:
    """`level=0.95`; the name alone where it must be given."""
    return setting.name if setting.default is MISSING else f"{setting.name}={json.dumps(setting.default, default=str)}"
