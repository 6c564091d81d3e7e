"""What has to hold of a plan before it is sealed, so that its arms can be compared: afterwards it would be too late."""

from __future__ import annotations

from pilot.analysis import Analysis, Scale
from pilot.errors import PilotError, PlanError
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.plugins.manager import plugins
from pilot.reports.outcomes import Outcome


def check_plan(plan: Plan, place: str) -> None:
    """The pilot arms are handled otherwise than control, and `check_outcomes`.

    Raises:
        PlanError: One thing is not so; the place names its key in the plan.
    """
    control = plan.arms[0]
    for number, arm in enumerate(plan.arms[1:], start=1):
        if arm.channel == control.channel:
            raise PlanError(
                f"arm {arm.key!r} is handled by {arm.channel!r}, as {control.key} is: there would be nothing to compare",
                place=f"{place}: arms[{number}].channel",
                remedy="Give it another handling channel; `pilot plugins` lists them",
            )
    check_outcomes(plan, place)


def check_outcomes(plan: Plan, place: str) -> None:
    """Every outcome can be measured, margins lie within its scale, and every analysis is right for it.

    Raises:
        PlanError: One is not; the place names its key in the plan.
    """
    measured: dict[str, tuple[Scale, Outcome]] = {}
    for number, outcome in enumerate(plan.outcomes):
        key = f"{place}: outcomes[{number}].source"
        part: Outcome = plugins().build("outcomes", outcome.source.part, outcome.source.settings, place=key)
        try:
            measured[outcome.key] = part.scale(plan), part
            limits = part.limits(plan)
        except PilotError as error:
            where = f"{key}.settings.{error.place}" if error.place else key
            raise PlanError(error.reason, place=where, remedy=error.remedy) from error
        _check_margin(outcome, limits, f"{place}: outcomes[{number}].margin")
    for number, planned in enumerate(plan.analyses):
        where = f"{place}: analyses[{number}].analysis"
        analysis: Analysis = plugins().build("analyses", planned.analysis.part, planned.analysis.settings, place=where)
        scale, part = measured[planned.outcome]
        if scale not in analysis.scales:
            raise PlanError(
                f"{analysis.key} does not suit outcome {planned.outcome!r}, whose scale is {scale}",
                place=f"{where}.part",
                remedy=f"{analysis.key} is for: {', '.join(sorted(analysis.scales))}",
            )
        if not analysis.on_scale:
            raise PlanError(
                f"{analysis.key} gives no difference on the scale of {planned.outcome!r}, as margin and report need it",
                place=f"{where}.part",
                remedy="Choose one that does, such as stratified-difference; `pilot compare` does all others on a file",
            )
        lacking = analysis.asks(scale) - part.offers
        if lacking:
            raise PlanError(
                f"{analysis.key} needs {', '.join(sorted(lacking))}, which {part.key} cannot give",
                place=f"{where}.part",
                remedy="Choose an analysis that needs no more than: " + ", ".join(sorted(part.offers)),
            )


def _check_margin(outcome: PlannedOutcome, limits: tuple[float, float] | None, place: str) -> None:
    """A margin as wide as the scale would accept anything."""
    if outcome.margin is not None and limits is not None and outcome.margin >= limits[1] - limits[0]:
        raise PlanError(
            f"the margin {outcome.margin:g} is as wide as the whole scale of {outcome.key!r}, {limits[0]:g} to "
            f"{limits[1]:g}: no arm could be worse by more",
            place=place,
            remedy="Give it on that scale, for instance 0.05 for five percentage points of a share",
        )
