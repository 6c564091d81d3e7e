"""Analysing a closed experiment, deciding by the rule of its plan, and writing the report."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import sqlalchemy as sa

from pilot import __version__, clock, config
from pilot.accounts.service import Actor, record
from pilot.analysis import Evidence
from pilot.analysis.comparison import from_json
from pilot.db import db, transaction
from pilot.errors import CheckFailed, InputError, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan
from pilot.plugins.manager import plugins
from pilot.reports import decision as rule
from pilot.reports import flow as flows
from pilot.reports import ratios
from pilot.reports.decision import Decision
from pilot.reports.flow import Flow
from pilot.reports.material import Amendment, DeviatingLook, Draw, Material, Moves, Result, Stratum
from pilot.reports.models import AnalysisRun, Look
from pilot.reports.ratios import StepRatio
from pilot.reports.tasks import FLOW, Task, tasks

OPENED = ("closed", "decided", "rolled_out")
"""States in which results may be looked at."""


def analyse(actor: Actor, key: str) -> list[AnalysisRun]:
    """Run every planned analysis for every pilot arm, and the sample-ratio check of every step of the flow.

    Doing it again on the same evidence under the same plan changes nothing and returns the same runs.

    Args:
        actor: Of operations or an analyst.
        key: Of the experiment.

    Returns:
        The runs, planned outcomes first, in the order of the plan.

    Raises:
        StateError: The experiment is not closed: results stay closed until then.
        CheckFailed: The stored assignment is not the one that was drawn.
        PluginError: An outcome or analysis broke its contract; the reason names it.
    """
    actor.require("operations", "analyst")
    experiment = experiments.get(key)
    _require_open(experiment)
    _require_true_draw(key)
    plan = experiments.plan_of(experiment)
    rows = [_row(experiment, task) for task in tasks(experiment, plan)]
    with transaction():
        db.session.execute(sa.select(Experiment.id).where(Experiment.id == experiment.id).with_for_update())
        newest = {_subject(run): run for run in runs(experiment.id)}
        current = [_current(newest.get(_subject(row)), row) for row in rows]
        fresh = [run for run in current if run.id is None]
        db.session.add_all(fresh)
        if fresh:
            record(actor, "analysed", f"experiment:{key}", runs=len(fresh), plan=experiment.plan_hash)
        db.session.flush()
        return current


def runs(experiment_id: int) -> list[AnalysisRun]:
    """The newest run of every analysis, in the order in which they were first run."""
    query = sa.select(AnalysisRun).where(AnalysisRun.experiment_id == experiment_id).order_by(AnalysisRun.id)
    return list({_subject(run): run for run in db.session.scalars(query)}.values())


def flow(experiment_id: int) -> list[Flow]:
    """What became of the assigned customers, by arm, control first."""
    experiment = db.session.get_one(Experiment, experiment_id)
    arms = [arm.key for arm in experiments.plan_of(experiment).arms]
    return flows.by_arm(flows.cells(experiment), arms)


def flow_steps(experiment: Experiment) -> list[StepRatio]:
    """Every step of the flow with its counts by arm, and whether the arms went apart there; nothing before the draw.

    What was analysed is counted once results are open.
    """
    if experiment.drawn_at is None:
        return []
    analysed = None
    if experiment.state in OPENED:
        quality = experiments.plan_of(experiment).decision.not_worse
        analysed = next((_result(run).evidence for run in runs(experiment.id) if run.outcome == quality), None)
    return ratios.steps(experiment, flows.cells(experiment), analysed)


def decide(actor: Actor, key: str) -> str:
    """Apply the decision rule of the plan to the newest analysis, and keep the verdict for good.

    Returns:
        `roll_out`, `do_not` or `inconclusive`.

    Raises:
        StateError: The experiment is not closed, or is decided already.
    """
    actor.require("operations")
    experiment = experiments.get(key)
    if experiment.state != "closed":
        raise StateError(
            f"the experiment {key} is {experiment.state}",
            remedy="The decision is made once, after the experiment was closed",
        )
    found = analyse(actor, key)
    with transaction():
        decision = apply_rule(experiments.plan_of(experiment), found)
        experiments.record_decision(actor, key, decision.verdict, decision.as_json())
    return decision.verdict


def apply_rule(plan: Plan, found: Sequence[AnalysisRun]) -> Decision:
    """What the decision rule of a plan makes of these runs."""
    arms = [_judge(plan, [run for run in found if run.arm == arm.key], arm.key) for arm in plan.arms[1:]]
    return rule.overall(arms, plan.decision.level, [run.id for run in found])


def material(experiment: Experiment, language: str) -> Material:
    """Everything a report or page may say of a closed experiment.

    After the decision it is made of the runs the decision rests on, whatever was run later.

    Raises:
        StateError: The experiment is not closed.
    """
    _require_open(experiment)
    plan = experiments.plan_of(experiment)
    decision = None if experiment.decision is None else Decision.from_json(experiment.decision)
    found = runs(experiment.id) if decision is None else _these(decision.runs)
    results = [_result(run) for run in found]
    keys = {outcome.key for outcome in plan.outcomes}
    return Material(
        plan=plan,
        plan_hash=experiment.plan_hash or "",
        moves=Moves(
            experiment.sealed_at,
            experiment.drawn_at,
            experiment.started_at,
            experiment.closed_at,
            experiment.decided_at,
        ),
        draw=Draw(
            experiment.seed or "",
            experiment.public_value or "",
            experiment.frame_digest or "",
            experiment.frame_size or 0,
            experiment.algorithm or "",
        ),
        flow=tuple(flow(experiment.id)),
        strata=tuple(
            Stratum(layer.label, layer.population, tuple(layer.assigned.values()))
            for layer in experiments.layers(experiment)
        ),
        results=tuple(result for result in results if result.outcome in keys and not result.is_flow),
        ratios=tuple(result for result in results if result.is_flow),
        decision=decision,
        company=config.current().company,
        language=language,
        amendments=tuple(_amendments(experiment)),
        deviating_looks=tuple(DeviatingLook(look.at, look.reason) for look in _looks(experiment) if look.reason),
    )


def write_report(actor: Actor, key: str, path: Path, language: str) -> Path:
    """Write the report of a closed and analysed experiment as a PDF; an existing file is replaced as a whole.

    Args:
        actor: Of operations, an analyst or a viewer.
        key: Of the experiment.
        path: Where to.
        language: One of `pilot.config.LANGUAGES`.

    Raises:
        StateError: The experiment is not closed, or was not analysed.
        MissingLibrary: The text layout library Pango is not installed.
        InputError: The file cannot be written there, or there is no such language.
    """
    from pilot.reports import document, pdf

    actor.require("operations", "analyst", "viewer")
    if language not in config.LANGUAGES:
        raise InputError(f"there is no report in {language!r}", remedy=f"Languages: {', '.join(config.LANGUAGES)}")
    found = material(experiments.get(key), language)
    if not found.results:
        raise StateError(f"{key} has not been analysed", remedy=f"Run `pilot analyse {key}` first")
    _replace(path, pdf.render(document.write(found)))
    return path


def kept_report(actor: Actor, key: str, language: str) -> Path:
    """The report of what is known now, from the installation's own folder.

    It is written once: it says the same as long as nothing new is known.

    Raises:
        StateError: The experiment is not closed, or was not analysed.
        MissingLibrary: The text layout library Pango is not installed.
    """
    experiment = experiments.get(key)
    _require_open(experiment)
    settings = config.current()
    printed = [asdict(arm) for arm in flow(experiment.id)], settings.company, settings.currency, settings.timezone
    known = [__version__, language, experiment.plan_hash, experiment.state, experiment.decision, printed]
    digests = [[run.id, run.evidence_digest, run.comparison] for run in runs(experiment.id)]
    name = hashlib.sha256(json.dumps([known, digests], sort_keys=True).encode()).hexdigest()[:24]
    path = (config.current().data_dir / "reports" / f"{key}-{language}-{name}.pdf").resolve()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_report(actor, key, path, language)
    return path


def _amendments(experiment: Experiment) -> Iterator[Amendment]:
    for item in experiments.versions(experiment)[1:]:
        after = experiment.drawn_version is not None and item.number > experiment.drawn_version
        yield Amendment(item.number, item.at, item.reason or "", after)


def _looks(experiment: Experiment) -> list[Look]:
    return list(db.session.scalars(sa.select(Look).where(Look.experiment_id == experiment.id).order_by(Look.id)))


def _row(experiment: Experiment, task: Task) -> AnalysisRun:
    return AnalysisRun(
        experiment_id=experiment.id,
        outcome=task.outcome,
        arm=task.arm,
        analysis=task.analysis.key,
        settings=task.analysis.settings(),
        planned=True,
        plan_hash=experiment.plan_hash,
        evidence=task.evidence.as_json(),
        evidence_digest=task.evidence.digest(),
        comparison=task.compare().as_json(),
        versions=_versions(task.analysis.key),
        at=clock.now(),
    )


def _subject(run: AnalysisRun) -> tuple[str, str, str, str]:
    """What a run is about: runs of one subject replace each other."""
    return run.outcome, run.arm, run.analysis, json.dumps(run.settings, sort_keys=True)


def _current(newest: AnalysisRun | None, row: AnalysisRun) -> AnalysisRun:
    """The newest run of the subject as long as nothing else is known since, otherwise the row, as its successor.

    What was known before and holds again is a new run as well: the newest is always the one to be shown.
    """
    known = [row.plan_hash, row.evidence_digest]
    if newest is not None and [newest.plan_hash, newest.evidence_digest] == known:
        return newest
    identity = [row.experiment_id, row.outcome, row.arm, row.analysis, row.settings, *known]
    if newest is not None:
        identity.append(newest.fingerprint)
    row.fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return row


def _versions(analysis: str) -> dict[str, str]:
    owner = plugins().registry.owner("analyses", analysis)
    plugin = next((info.version for info in plugins().info() if info.name == owner), __version__)
    libraries = {name: version(name) for name in ("numpy", "scipy")}
    return {"pilot": __version__, "python": platform.python_version(), **libraries, f"plugin {owner}": plugin}


def _these(ids: Iterable[int]) -> list[AnalysisRun]:
    query = sa.select(AnalysisRun).where(AnalysisRun.id.in_(list(ids)))
    found = {run.id: run for run in db.session.scalars(query)}
    return [found[number] for number in ids]


def _result(run: AnalysisRun) -> Result:
    return Result(
        outcome=run.outcome.removeprefix(FLOW),
        arm=run.arm,
        analysis=run.analysis,
        planned=run.planned,
        plan_hash=run.plan_hash,
        evidence=Evidence.from_json(run.evidence),
        found=from_json(run.comparison),
        versions=run.versions,
        is_flow=run.outcome.startswith(FLOW),
    )


def _judge(plan: Plan, found: Sequence[AnalysisRun], arm: str) -> rule.ArmVerdict:
    results = [_result(run) for run in found]
    alarms = [item.outcome for item in results if item.alarm and item.outcome in flows.BLOCKING]
    return rule.on_arm(plan, arm, [item.found for item in results if not item.is_flow], alarms)


def _require_open(experiment: Experiment) -> None:
    if experiment.state not in OPENED:
        raise StateError(
            f"the experiment {experiment.key} is {experiment.state}: results stay closed until it is closed",
            remedy="Close it with `pilot experiment close` once handling and survey are over",
        )


def _require_true_draw(key: str) -> None:
    found = experiments.replay(key)
    if not found.equal:
        raise CheckFailed(
            f"the stored assignment is not the one that was drawn: {found.differences[0]}",
            place=f"experiment {key}",
            remedy=f"Look at all differences with `pilot replay {key}`, and restore the database from a backup",
        )


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there: a full disk leaves no half file."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
            part = Path(out.name)
            try:
                out.write(content)
                out.flush()
                part.chmod(0o644)
                part.replace(path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(
            f"the report cannot be written: {error.strerror}", place=str(path), remedy="Choose another place"
        ) from error
