"""The steps of the flow as a running pilot shows them: counts by arm, and the first step at which the arms went apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from pilot.analysis import Comparison
from pilot.analysis.evidence import Evidence
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment
from pilot.reports import flow as flows
from pilot.reports import telling, wording
from pilot.reports.flow import Flow
from pilot.reports.tasks import ALARM, FLOW, flow_tasks


@dataclass(frozen=True, slots=True)
class StepRatio:
    """One step of the flow.

    Attributes:
        step: One of `pilot.reports.flow.STEPS`.
        counts: Customers by arm, control first.
        p: Smallest exact p value of the pilot arms; None where nothing could be tested.
        state: `fine`, `broken`, or `none` where nobody has come this far, or nothing was lost.
        arm: The first pilot arm that differs; empty where none does.
    """

    step: str
    counts: tuple[int, ...]
    p: float | None
    state: str
    arm: str = ""


def steps(experiment: Experiment, cells: Sequence[Flow], analysed: Evidence | None = None) -> list[StepRatio]:
    """Every step, each pilot arm held against control within strata.

    The alarm level of a step is 0.001 over the number of steps, and over that of pilot arms. No answer is read.

    Args:
        experiment: Drawn.
        cells: Its flow by arm and stratum.
        analysed: Of the outcome that decides on quality, once results are open.
    """
    plan = experiments.plan_of(experiment)
    arms, pilots = [arm.key for arm in plan.arms], len(plan.arms) - 1
    by_step: dict[str, list[tuple[str, Comparison | None]]] = {}
    counts: dict[str, tuple[int, ...]] = {}
    for task in flow_tasks(experiment, plan, cells, analysed):
        step, found = task.outcome.removeprefix(FLOW), task.compare()
        by_step.setdefault(step, []).append((task.arm, found if isinstance(found, Comparison) else None))
        counts[step] = _reached(task.evidence, arms)
    return [_step(name, found, counts[name], pilots) for name, found in by_step.items()]


def first_broken(found: Sequence[StepRatio]) -> StepRatio | None:
    """The first step at which the arms went apart; what comes after it is its consequence, or may be."""
    return next((item for item in found if item.state == "broken"), None)


def in_words(experiment: Experiment, found: StepRatio | None) -> str:
    """What the first broken step says, or that none is, in the language of the page."""
    if found is None:
        return str(_("The arms are as they were assigned at every step so far: what differs, chance explains."))
    plan = experiments.plan_of(experiment)
    labels = {arm.key: arm.label for arm in plan.arms}
    numbers = dict(zip(labels, found.counts, strict=True))
    return str(
        _(
            "The first broken step is “%(step)s”: %(pilot)s %(reached)s, %(control)s %(other)s customers. Chance alone would "
            "hardly ever do that (p = %(p)s). Find the cause before anything else is read.",
            step=telling.step_name(found.step),
            pilot=labels[found.arm],
            reached=wording.count(numbers[found.arm]),
            control=plan.arms[0].label,
            other=wording.count(found.counts[0]),
            p=wording.p_value(found.p),
        )
    )


def _reached(evidence: Evidence, arms: Sequence[str]) -> tuple[int, ...]:
    counts = evidence.counts
    return () if counts is None else tuple(int(counts[evidence.index(arm), :, -1].sum()) for arm in arms)


def _step(step: str, found: Sequence[tuple[str, Comparison | None]], counts: tuple[int, ...], pilots: int) -> StepRatio:
    empty = [arm for (arm, _), number in zip(found, counts[1:], strict=True) if not number]
    if not any(counts) and step != flows.STEPS[0]:
        return StepRatio(step, counts, None, "none")
    values = [item.p_value for _, item in found if item is not None and item.p_value is not None]
    broken = [arm for arm, item in found if item is None or _is_alarm(item, pilots)]
    if step == flows.STEPS[0] and any(counts):  # an arm without anybody is no arm, however few were drawn
        broken += [arm for arm in (empty if counts[0] else [found[0][0]]) if arm not in broken]
    p = min(values, default=None)
    return StepRatio(step, counts, p, "broken" if broken else "fine", broken[0] if broken else "")


def _is_alarm(found: Comparison, pilots: int) -> bool:
    """Whether the whole or a stratum lies below its level; strata share it, as in the check itself."""
    strata = max(1, len(found.checks) - 1)
    levels = [ALARM / pilots, *([ALARM / pilots / strata] * strata)]
    return any(
        check.value is not None and check.value < level for check, level in zip(found.checks, levels, strict=False)
    )
