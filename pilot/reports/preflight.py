"""What has to hold of a plan's outcomes before it is sealed: afterwards it would be too late."""

from __future__ import annotations

from pilot.analysis import Analysis
from pilot.errors import PilotError, PlanError
from pilot.experiments.plan import Plan
from pilot.plugins.manager import plugins
from pilot.reports.outcomes import Outcome


def check_outcomes(plan: Plan, place: str) -> None:
    """Every outcome can be measured, and every analysis is right for the scale of its outcome.

    Raises:
        PlanError: One is not; the place names its key in the plan.
    """
    scales = {}
    for number, outcome in enumerate(plan.outcomes):
        key = f"{place}: outcomes[{number}].source"
        part: Outcome = plugins().build("outcomes", outcome.source.part, outcome.source.settings, place=key)
        try:
            scales[outcome.key] = part.scale(plan)
        except PilotError as error:
            where = f"{key}.settings.{error.place}" if error.place else key
            raise PlanError(error.reason, place=where, remedy=error.remedy) from error
    for number, planned in enumerate(plan.analyses):
        analysis: type[Analysis] = plugins().get("analyses", planned.analysis.part)
        scale = scales[planned.outcome]
        if scale not in analysis.scales:
            raise PlanError(
                f"{analysis.key} does not suit outcome {planned.outcome!r}, whose scale is {scale}",
                place=f"{place}: analyses[{number}].analysis.part",
                remedy=f"{analysis.key} is for: {', '.join(sorted(analysis.scales))}",
            )
