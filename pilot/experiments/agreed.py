"""What a plan agrees on beforehand: its decision table, its looks before the close, its way of rolling out."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise, product
from typing import TYPE_CHECKING

from pilot.errors import PlanError

if TYPE_CHECKING:
    from pilot.experiments.plan import DecisionRow, Plan

QUALITY = ("not_worse", "unclear", "worse")
COST = ("cheaper", "unclear", "dearer")
GUARDRAILS = ("held", "broken")
AT_LOOKS = "group-sequential"
"""The analysis that pays for looks."""


def row_of(rows: tuple[DecisionRow, ...], quality: str, cost: str, guardrails: str) -> int:
    """The number of the row, from 1, that stands for these states. A checked table has exactly one."""
    return _matching(rows, quality, cost, guardrails)[0]


def look_days(plan: Plan) -> tuple[date, ...]:
    """The first day of each planned look before the close: it is taken from this day on, until the next one's."""
    if plan.looks is None:
        return ()
    span = _span(plan)
    return plan.looks.days or tuple(
        plan.calendar.start + timedelta(days=math.ceil(round(share * span, 6))) for share in plan.looks.shares
    )


def look_shares(plan: Plan) -> tuple[float, ...]:
    """The share of the pilot's time at each planned look, three decimals; the last is the close, at 1. Without looks: 1."""
    if plan.looks is None:
        return (1.0,)
    passed = [share_of_time(plan, day) for day in plan.looks.days]
    return (*(passed or plan.looks.shares), 1.0)


def share_of_time(plan: Plan, day: date) -> float:
    """The share of the days from the start of handling to the last day of answering that have passed, three decimals."""
    return round(min(1.0, max(0.0, (day - plan.calendar.start).days / _span(plan))), 3)


def check_table(plan: Plan) -> None:
    """Every combination of states is covered by exactly one row of the decision table.

    Raises:
        PlanError: One is covered by none, or by two.
    """
    rows = plan.decision.rows
    for states in product(QUALITY, COST, GUARDRAILS):
        found = _matching(rows, *states)
        said = f"quality {states[0]!r}, cost {states[1]!r}, guardrails {states[2]!r}"
        if not found:
            raise PlanError(
                f"no row says what follows from {said}",
                place="decision.table",
                remedy="Add a row for it; a state may be 'any'",
            )
        if len(found) > 1:
            raise PlanError(
                f"rows {found[0]} and {found[1]} both stand for {said}",
                place=f"decision.table[{found[1] - 1}]",
                remedy="Narrow one of them, so that exactly one row stands for each combination",
            )


def check_guardrails(plan: Plan) -> None:
    """A guardrail with a margin has an analysis: it could not speak otherwise.

    Raises:
        PlanError: One has none.
    """
    analysed = {planned.outcome for planned in plan.analyses}
    for number, outcome in enumerate(plan.outcomes):
        if outcome.role == "guardrail" and outcome.margin is not None and outcome.key not in analysed:
            raise PlanError(
                f"the guardrail {outcome.key!r} can stop a roll-out, but no analysis compares it",
                place=f"outcomes[{number}].margin",
                remedy=f"Add an analysis with outcome = {outcome.key!r}, or leave the margin out",
            )


def check_looks(plan: Plan) -> None:
    """Looks lie inside the pilot, in order, and the deciding outcomes pay for them.

    Raises:
        PlanError: They do not.
    """
    looks = plan.looks
    if looks is None:
        return
    if bool(looks.days) == bool(looks.shares):
        raise PlanError(
            "looks are given by their days or by shares of the pilot's time",
            place="looks",
            remedy="Give one of `days` and `shares`, with a value for each look before the close",
        )
    name = "days" if looks.days else "shares"
    for number, (before, after) in enumerate(pairwise((plan.calendar.start, *look_days(plan)))):
        if after <= before or after > plan.calendar.survey_until:
            raise PlanError(
                f"the look on {after} does not lie after {before} and within the pilot",
                place=f"looks.{name}[{number}]",
                remedy=f"Give the looks in order, after {plan.calendar.start} and up to {plan.calendar.survey_until}",
            )
    for key in dict.fromkeys((plan.decision.not_worse, plan.decision.cheaper)):
        _check_paid(plan, key, looks.spending)


def check_ladder(plan: Plan) -> None:
    """The steps of the roll-out rise to everybody.

    Raises:
        PlanError: They do not.
    """
    shares = plan.ladder.shares
    rising = all(before < after for before, after in pairwise((0.0, *shares)))
    if not shares or not rising or shares[-1] != 1:
        raise PlanError(
            "the steps of the roll-out do not rise to 1",
            place="ladder.shares",
            remedy="Give rising shares, the last of them 1, such as [0.1, 0.5, 1.0]",
        )


def _check_paid(plan: Plan, key: str, spending: str) -> None:
    """A deciding outcome is compared by bounds for all looks, the close being the last: no error is spent twice."""
    shares = look_shares(plan)
    number = len(shares)
    wanted = {"looks": number, "look": number, "information": list(shares), "spending": spending}
    for place, planned in enumerate(plan.analyses):
        if planned.outcome != key:
            continue
        given = {name: planned.analysis.settings.get(name) for name in wanted}
        given["information"] = list(given["information"] or ())
        given["spending"] = given["spending"] or "obrien-fleming"
        if planned.analysis.part != AT_LOOKS or given != wanted:
            raise PlanError(
                f"{key!r} decides, and this analysis of it does not pay for the looks before the close",
                place=f"analyses[{place}].analysis",
                remedy=f'Write {{ part = "{AT_LOOKS}", settings = {{ looks = {number}, look = {number}, '
                f'information = {list(shares)}, spending = "{spending}" }} }}, or leave `looks` out',
            )


def _matching(rows: tuple[DecisionRow, ...], quality: str, cost: str, guardrails: str) -> list[int]:
    return [
        number
        for number, row in enumerate(rows, start=1)
        if row.quality in ("any", quality) and row.cost in ("any", cost) and row.guardrails in ("any", guardrails)
    ]


def _span(plan: Plan) -> int:
    return max(1, (plan.calendar.survey_until - plan.calendar.start).days)
