"""The commands `pilot analyse`, `pilot report` and `pilot experiment decide`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _

from pilot import config, console
from pilot.accounts.service import SYSTEM
from pilot.analysis import Comparison

if TYPE_CHECKING:
    from pilot.reports.material import Material
    from pilot.reports.models import AnalysisRun


@click.command("analyse")
@click.argument("experiment")
@console.json_option
@with_appcontext
def analyse(experiment: str, as_json: bool) -> None:
    """Compare the arms of a closed EXPERIMENT as its plan says."""
    from pilot.experiments import service as experiments
    from pilot.reports import service

    found = service.analyse(SYSTEM, experiment)
    language = config.current().language
    material = service.material(experiments.get(experiment), language)
    console.result([_as_json(run) for run in found], as_json, lambda: _comparisons(material))
    _mind(material)


@click.command("decide")
@click.argument("experiment")
@console.json_option
@with_appcontext
def decide(experiment: str, as_json: bool) -> None:
    """Apply the decision rule of the plan to a closed EXPERIMENT.

    The verdict is kept for good.
    """
    from pilot.experiments import service as experiments
    from pilot.reports import service

    service.decide(SYSTEM, experiment)
    found = experiments.get(experiment)
    material = service.material(found, config.current().language)
    console.result(found.decision, as_json, lambda: _verdict(material))
    _mind(material)


@click.command("report")
@click.argument("experiment")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the PDF.",
)
@click.option("--lang", "language", type=click.Choice(config.LANGUAGES), help="Language of the report.")
@with_appcontext
def report(experiment: str, output: Path, language: str | None) -> None:
    """Write the report of a closed and analysed EXPERIMENT as a PDF."""
    from pilot.reports import service

    path = service.write_report(SYSTEM, experiment, output, language or config.current().language)
    click.echo(path)


def _mind(material: Material) -> None:
    from pilot.reports import telling

    for gap in telling.gaps(material):
        console.say(_("Mind: %(warning)s", warning=gap))


def _as_json(run: AnalysisRun) -> dict[str, Any]:
    names = ("id", "outcome", "arm", "analysis", "settings", "planned", "plan_hash", "evidence_digest", "comparison")
    return {name: getattr(run, name) for name in names}


def _comparisons(material: Material) -> str:
    from pilot.reports import wording
    from pilot.reports.wording import Figures

    rows = []
    for result in material.results:
        figures, found = Figures.of(result.evidence), result.found
        outcome = material.outcome(result.outcome)
        cells = [
            wording.short(outcome.label if outcome else result.outcome, 44),
            material.arm_label(result.arm),
            result.analysis,
        ]
        if isinstance(found, Comparison):
            interval = figures.interval(found.low, found.high)
            cells += [figures.difference(found.estimate), interval, wording.p_value(found.p_value)]
        else:
            cells += [wording.DASH, found.reason, wording.DASH]
        rows.append(cells)
    columns = [_("Outcome"), _("Arm"), _("Analysis"), _("Difference"), _("Interval"), "p"]
    lines = [console.table(columns, rows), ""]
    checks, compared = (
        [result.found for result in results if isinstance(result.found, Comparison)]
        for results in (material.ratios, material.results)
    )
    lines += [found.sentence for found in checks]
    lines += dict.fromkeys(f"{found.outcome}: {text}" for found in (*checks, *compared) for text in found.warnings)
    return "\n".join(lines)


def _verdict(material: Material) -> str:
    from pilot.reports import telling

    lines: list[str] = []
    arms = material.decision.arms if material.decision else ()
    for arm in arms:
        head = [material.arm_label(arm.arm)] if len(arms) > 1 else []
        lines += [*head, telling.headline(material.plan, arm), *telling.caveats(material.plan, arm)]
        lines += [f"  - {step}" for step in telling.next_steps(material, arm)]
    return "\n".join(lines)
