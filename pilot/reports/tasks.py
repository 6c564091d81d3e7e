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
from pilot.reports.flow import Flow
from pilot.reports.outcomes import Outcome, Scope

FLOW = "flow:"
"""Stands before the name of a step of the flow where otherwise the key of an outcome stands."""

SAMPLE_RATIO = "sample-ratio"

ALARM = 0.001 / len(flows.STEPS)
"""Alarm level of one step, so that a sound pilot raises an alarm at any of them once in a thousand times (Bonferroni)."""


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
    scope, analysed = scope_of(experiment, plan), None
    for outcome in plan.outcomes:
        analyses = [
            plugins().build("analyses", planned.analysis.part, planned.analysis.settings, place=planned.outcome)
            for planned in plan.analyses
            if planned.outcome == outcome.key
        ]
        if not analyses:
            continue
        evidence = evidence_of(scope, plan, outcome, analyses)
        if outcome.key == plan.decision.not_worse:
            analysed = evidence
        yield from (Task(outcome.key, analysis, evidence, arm) for analysis in analyses for arm in scope.arms[1:])
    yield from flow_tasks(experiment, plan, flows.cells(experiment), analysed)


def flow_tasks(
    experiment: Experiment, plan: Plan, cells: Sequence[Flow], analysed: Evidence | None = None
) -> Iterator[Task]:
    """The sample-ratio check of every step of the flow, for every pilot arm. It reads no answer and no amount.

    Args:
        experiment: Drawn.
        plan: Its plan.
        cells: Its flow by arm and stratum.
        analysed: Of the outcome that decides on quality; without it the last step is left out.
    """
    scope, shares = scope_of(experiment, plan), {arm.key: arm.share for arm in plan.arms}
    for evidence in _flow_evidence(cells, scope, analysed):
        for arm in scope.arms[1:]:
            settings: dict[str, float] = {"alarm": ALARM}
            if evidence.outcome == "assigned" and not plan.sampling.cluster:  # whole clusters are no even numbers
                settings["share"] = shares[arm] / (shares[arm] + shares[scope.arms[0]])
            check = plugins().build("analyses", SAMPLE_RATIO, settings)
            yield Task(FLOW + evidence.outcome, check, evidence, arm)


def scope_of(experiment: Experiment, plan: Plan) -> Scope:
    """What is compared by the plan: its arms, the strata of its frame, and the whole handling period."""
    labels = tuple(layer.label for layer in experiments.layers(experiment))
    arms = tuple(arm.key for arm in plan.arms)
    return Scope(experiment, arms, labels, plan.calendar.start, plan.calendar.end)


def evidence_of(scope: Scope, plan: Plan, outcome: PlannedOutcome, analyses: Sequence[Analysis]) -> Evidence:
    """The evidence of one outcome, for the union of what these analyses need.

    Raises:
        PluginError: The outcome broke its contract.
    """
    part: Outcome = plugins().build("outcomes", outcome.source.part, outcome.source.settings, place=outcome.key)
    try:
        scale = part.scale(plan)
        needs = frozenset[Need]().union(*(analysis.asks(scale) for analysis in analyses))
        return part.evidence(scope, outcome.key, outcome.higher_is_better, needs)
    except PilotError:
        raise
    except Exception as error:
        raise _broken("outcomes", part.key, error) from error


def _flow_evidence(cells: Sequence[Flow], scope: Scope, analysed: Evidence | None) -> Iterator[Evidence]:
    """For each step of the flow: how many of the assigned customers were reached, as yes and no."""
    assigned = np.zeros((len(scope.arms), len(scope.strata)), dtype=np.int64)
    reached = {step: np.zeros_like(assigned) for step in flows.STEPS}
    for cell in cells:
        place = scope.arms.index(cell.arm), scope.strata.index(cell.stratum)
        assigned[place] = cell.assigned
        for step in flows.STEPS[:-1]:
            reached[step][place] = getattr(cell, step)
    if analysed is None or analysed.moments is None:
        del reached[flows.STEPS[-1]]
    else:
        reached[flows.STEPS[-1]] = analysed.moments.n
    for step, numbers in reached.items():
        counts = np.stack([assigned - numbers, numbers], axis=2)
        yield Evidence.from_counts(
            step, Scale.BINARY, scope.arms, (0.0, 1.0), counts, strata=scope.strata, assigned=assigned
        )


def _broken(kind: str, key: str, error: Exception) -> PluginError:
    return PluginError(
        f"{kind} part {key!r} of plugin {plugins().registry.owner(kind, key)!r} failed: {error}",
        remedy="Report this to whoever maintains the plugin, with the log",
    )
