"""What experiments want to know of outcomes and the decision rule beforehand: the past of an outcome, the rule on a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pilot.analysis import Comparison, NotEnoughData
from pilot.errors import PilotError
from pilot.experiments.past import NO_PAST, Judged, Past, Period
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.plugins.manager import plugins
from pilot.reports import decision as rule
from pilot.reports.outcomes import Outcome


def past(plan: Plan, outcome: PlannedOutcome, refs: Sequence[str], period: Period) -> Past:
    """The past of an outcome; of one that fails or keeps none, why it has none."""
    place = f"outcome {outcome.key}"
    try:
        part: Outcome = plugins().build("outcomes", outcome.source.part, outcome.source.settings, place=place)
        scale, limits = part.scale(plan), part.limits(plan)
    except PilotError as error:
        return Past(None, reason=error.reason)
    asked = not part.facts
    found = part.past(refs, period.start, period.end)
    if found is None:
        return Past(scale, asked, limits, reason=NO_PAST)
    values = np.asarray(found, dtype=np.float64)
    if values.shape != (len(refs),) or not np.isfinite(values).all():
        return Past(scale, asked, limits, reason=f"{part.key} did not give a finite number for every customer")
    return Past(scale, asked, limits, values)


def judge(plan: Plan, found: Mapping[str, Sequence[Comparison | NotEnoughData]]) -> Judged:
    """The decision rule on the comparisons of each pilot arm."""
    arms = [rule.on_arm(plan, arm, comparisons) for arm, comparisons in found.items()]
    conditions = {}
    for place, condition in enumerate(arms[0].conditions):
        states = {arm.conditions[place].state for arm in arms}
        conditions[condition.name] = states.pop() if len(states) == 1 else "open"
    return Judged(rule.overall(arms, plan.decision.level).verdict, conditions)
