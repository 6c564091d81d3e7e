"""A plan and its experiment in words, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from pilot import console
from pilot.analysis.apportionment import apportion
from pilot.analysis.review import SMALL_ARM
from pilot.errors import NotFound
from pilot.experiments.agreed import look_days
from pilot.experiments.difference import changes
from pilot.experiments.models import Experiment
from pilot.experiments.plan import USUAL_TABLE, PartChoice, Plan, PlannedOutcome
from pilot.experiments.sealing import plan_in, versions
from pilot.experiments.units import Layer

WIDTH = 110
_MARGIN = 14
_STAMPS = (
    ("created", "created_at"),
    ("sealed", "sealed_at"),
    ("drawn", "drawn_at"),
    ("started", "started_at"),
    ("closed", "closed_at"),
    ("decided", "decided_at"),
    ("rolled out", "rolled_out_at"),
    ("stopped", "stopped_at"),
)


def outline(experiment: Experiment, plan: Plan, layers: Sequence[Layer]) -> str:
    """Everything decided beforehand and everything drawn, on about one screen."""
    blocks = [
        [f"{plan.name}", f"{experiment.key}, {experiment.state.replace('_', ' ')}"],
        _plan(plan),
        _comparison(plan),
        _agreed(plan),
        _seal(experiment, plan),
        _history(experiment),
    ]
    text = "\n\n".join("\n".join(block) for block in blocks)
    return f"{text}\n\n{_strata(plan, layers)}" if layers else text


def warnings(plan: Plan) -> list[str]:
    """What is allowed, and may well be regretted: arms too small for anything to show."""
    sizes = apportion(plan.sampling.size, [arm.share for arm in plan.arms])
    return [
        f"Arm {arm.key} gets {size} customers, and not all of them will answer; below {SMALL_ARM} an interval is only a "
        "rough guide, and hardly any difference shows"
        for arm, size in zip(plan.arms, sizes, strict=True)
        if size < SMALL_ARM
    ]


def amendments(experiment: Experiment, number: int | None = None) -> list[dict[str, Any]]:
    """What each amendment changed, as plain values; with a number, only that version.

    Raises:
        NotFound: There is no such version, or it is the first.
    """
    every = versions(experiment)
    found = [
        {
            "number": after.number,
            "at": after.at.isoformat(),
            "actor": after.actor,
            "reason": after.reason,
            "plan_hash": after.plan_hash,
            "frame_anew": before.frame_digest != after.frame_digest,
            "changes": [asdict(change) for change in changes(plan_in(before), plan_in(after))],
        }
        for before, after in pairwise(every)
        if number in (None, after.number)
    ]
    if number is not None and not found:
        raise NotFound(f"version {number} is no amendment", remedy=f"There are versions 2 to {len(every)}")
    return found


def _plan(plan: Plan) -> Iterable[str]:
    calendar, sampling = plan.calendar, plan.sampling
    last = calendar.end - timedelta(days=1)
    layered = f", in strata by {_listed(sampling.strata)}" if sampling.strata else ""
    if plan.question:
        yield _entry("Question", " ".join(plan.question.split()))
    yield _entry(
        "Who",
        f"Customers of {_plural('segment', plan.population.segments)} {_listed(plan.population.segments)} on "
        f"{_day(plan.population.as_of)} whom a mail can reach",
    )
    yield _entry("Sample", f"{sampling.size:,} customers{layered}. Design: {_part(sampling.design)}")
    for number, arm in enumerate(plan.arms):
        yield _entry(
            "" if number else "Arms",
            f"{arm.key}: {100 * arm.share:g} %, {arm.label} ({arm.channel})",
        )
    yield _entry("", f"Design: {_part(plan.assignment)}")
    for warning in warnings(plan):
        yield _entry("Mind", warning)
    yield _entry("Handling", f"from {_day(calendar.start)} to {_day(last)}")
    version = "newest version at the seal" if plan.survey_version is None else f"version {plan.survey_version}"
    yield _entry("Survey", f"{plan.survey} ({version}), answered until {_day(calendar.survey_until)}")
    own = _listed(sorted(plan.notice))
    yield _entry("Notice", f"own text in {own}; otherwise the built-in text" if own else "the built-in text")


def _comparison(plan: Plan) -> Iterable[str]:
    for number, outcome in enumerate(plan.outcomes):
        yield _entry("" if number else "Outcomes", _outcome(outcome))
        analyses = [planned.analysis for planned in plan.analyses if planned.outcome == outcome.key]
        yield _entry("", "  by " + ", then ".join(map(_part, analyses)) if analyses else "  not compared")
    rule = plan.decision
    margin = plan.outcome(rule.not_worse).margin
    yield _entry(
        "Decision",
        f"Roll out if {rule.not_worse} is not worse than in control by {margin:g} or more and {rule.cheaper} is "
        f"lower than in control, both at {100 * rule.level:g} % confidence",
    )


def _agreed(plan: Plan) -> Iterable[str]:
    """The decision table, the looks and the ladder."""
    rows = [(row.quality, row.cost, row.guardrails, row.verdict, row.note) for row in plan.decision.rows]
    if plan.decision.table and plan.decision.table != USUAL_TABLE:
        for number, states in enumerate(rows):
            quality, cost, guardrails, verdict, note = (text.replace("_", " ") for text in states)
            told = f"quality {quality}, cost {cost}, guardrails {guardrails}: {verdict}" + (
                f" ({note})" if note else ""
            )
            yield _entry("" if number else "By the table", told)
    days = look_days(plan)
    yield _entry("Looks", ", ".join(map(_day, days)) + ", before the close" if days else "none before the close")
    ladder = plan.ladder
    yield _entry(
        "Roll-out",
        f"{', '.join(f'{100 * share:g} %' for share in ladder.shares)}, {ladder.days_between} days between steps, "
        f"{100 * ladder.hold_out:g} % held out",
    )


def _outcome(outcome: PlannedOutcome) -> str:
    direction = "higher" if outcome.higher_is_better else "lower"
    margin = "" if outcome.margin is None else f", margin {outcome.margin:g}"
    return f"{outcome.key}: {outcome.label} ({outcome.role}, {direction} is better{margin})"


def _seal(experiment: Experiment, plan: Plan) -> Iterable[str]:
    if experiment.plan_hash is None:
        yield _entry("Seal", "none yet: everything above can still change")
        return
    yield _entry("Plan hash", experiment.plan_hash)
    yield _entry("Frame", f"{experiment.frame_digest}\n{experiment.frame_size:,} customers were eligible")
    for version in versions(experiment)[1:]:
        yield _entry("Amended", f"{_day(version.at.date())}, version {version.number}: {version.reason}")
    if plan.sampling.public_source:
        yield _entry("Public from", plan.sampling.public_source)
    if experiment.seed is not None:
        yield _entry("Public value", str(experiment.public_value))
        yield _entry("Seed", f"{experiment.seed}\nby {experiment.algorithm}")


def _history(experiment: Experiment) -> Iterable[str]:
    moments: list[tuple[str, datetime]] = [
        (name, moment) for name, stamp in _STAMPS if (moment := getattr(experiment, stamp)) is not None
    ]
    for number, (name, moment) in enumerate(moments):
        yield _entry("" if number else "History", f"{name:<11}{_day(moment.date())}, {moment:%H:%M} UTC")
    if experiment.stop_reason:
        yield _entry("Stopped", experiment.stop_reason)
    if experiment.verdict:
        yield _entry("Verdict", experiment.verdict.replace("_", " "))


def _strata(plan: Plan, layers: Sequence[Layer]) -> str:
    arms = [arm.key for arm in plan.arms]
    rows: list[list[object]] = [
        [layer.label or "all", layer.population, sum(layer.assigned.values()), *(layer.assigned[arm] for arm in arms)]
        for layer in layers
    ]
    totals = [sum(int(str(row[column])) for row in rows) for column in range(1, 3 + len(arms))]
    return console.table(["Stratum", "Eligible", "Drawn", *arms], [*rows, ["Together", *totals]])


def _entry(name: str, text: str) -> str:
    lines = [
        part
        for line in text.split("\n")
        for part in textwrap.wrap(line, WIDTH - _MARGIN, subsequent_indent="  ", drop_whitespace=True)
    ]
    return f"{name:<{_MARGIN}}" + ("\n" + " " * _MARGIN).join(lines)


def _part(choice: PartChoice) -> str:
    settings: dict[str, Any] = choice.settings
    inner = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None)
    return f"{choice.part} ({inner})" if inner else choice.part


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _plural(word: str, items: Sequence[object]) -> str:
    return word if len(items) == 1 else f"{word}s"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
