"""What is to be computed: the planned analyses and the checks of the flow, each with the evidence it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pilot.analysis import Analysis, Comparison, Evidence, Need, NotEnoughData, Scale
from pilot.errors import PilotError, PluginError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.plugins.manager import plugins
from pilot.reports import flow as flows
from pilot.reports.outcomes import Outcome, Scope

FLOW = "flow:"
"""Stands before the name of a step of the flow where otherwise the key of an outcome stands."""

SAMPLE_RATIO = "sample-ratio"


@dataclass(frozen=True, slots=True)
class Task:
    """One analysis for one pilot arm, with the evidence it gets.

    `outcome` is the key of the outcome, or `FLOW` and the step of the flow.
    """

    outcome: str
    analysis: Analysis
    evidence: Evidence
    arm: str

    def compare(self) -> Comparison | NotEnoughData:
        """Do it.

        Raises:
            PluginError: The analysis broke its contract.
        """
        try:
            return self.analysis.compare(self.evidence, self.arm)
        except PilotError:
            raise
        except Exception as error:
            raise _broken("analyses", self.analysis.key, error) from error


def tasks(experiment: Experiment, plan: Plan) -> Iterator[Task]:
    """All analyses with their evidence; each outcome is fetched once, for the union of what they need."""
    scope = _scope(experiment, plan)
    for outcome in plan.outcomes:
        analyses = [
            plugins().build("analyses", planned.analysis.part, planned.analysis.settings, place=planned.outcome)
            for planned in plan.analyses
            if planned.outcome == outcome.key
        ]
        if not analyses:
            continue
        evidence = _evidence(scope, plan, outcome, analyses)
        yield from (Task(outcome.key, analysis, evidence, arm) for analysis in analyses for arm in scope.arms[1:])
    check = plugins().build("analyses", SAMPLE_RATIO, {})
    for evidence in _flow_evidence(experiment, scope):
        yield from (Task(FLOW + evidence.outcome, check, evidence, arm) for arm in scope.arms[1:])


def _scope(experiment: Experiment, plan: Plan) -> Scope:
    labels = tuple(layer.label for layer in experiments.layers(experiment))
    arms = tuple(arm.key for arm in plan.arms)
    return Scope(experiment, arms, labels, plan.calendar.start, plan.calendar.end)


def _evidence(scope: Scope, plan: Plan, outcome: PlannedOutcome, analyses: Sequence[Analysis]) -> Evidence:
    part: Outcome = plugins().build("outcomes", outcome.source.part, outcome.source.settings, place=outcome.key)
    try:
        scale = part.scale(plan)
        needs = frozenset[Need]().union(*(analysis.asks(scale) for analysis in analyses))
        return part.evidence(scope, outcome.key, outcome.higher_is_better, needs)
    except PilotError:
        raise
    except Exception as error:
        raise _broken("outcomes", part.key, error) from error


def _flow_evidence(experiment: Experiment, scope: Scope) -> Iterator[Evidence]:
    """For each step of the flow: how many of the assigned customers were reached, as yes and no."""
    cells = {(cell.arm, cell.stratum): cell for cell in flows.cells(experiment.id)}
    assigned = np.zeros((len(scope.arms), len(scope.strata)), dtype=np.int64)
    reached = {step: np.zeros_like(assigned) for step in flows.STEPS}
    for (arm, stratum), cell in cells.items():
        place = scope.arms.index(arm), scope.strata.index(stratum)
        assigned[place] = cell.assigned
        for step in flows.STEPS:
            reached[step][place] = getattr(cell, step)
    for step in flows.STEPS:
        counts = np.stack([assigned - reached[step], reached[step]], axis=2)
        yield Evidence.from_counts(
            step, Scale.BINARY, scope.arms, (0.0, 1.0), counts, strata=scope.strata, assigned=assigned
        )


def _broken(kind: str, key: str, error: Exception) -> PluginError:
    return PluginError(
        f"{kind} part {key!r} of plugin {plugins().registry.owner(kind, key)!r} failed: {error}",
        remedy="Report this to whoever maintains the plugin, with the log",
    )
