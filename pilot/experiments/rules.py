"""Rules that hold between the keys of a plan. Each raises PlanError with the key's place in the document."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from string import Formatter
from typing import TYPE_CHECKING

from pilot.analysis.apportionment import apportion
from pilot.errors import PilotError, PlanError
from pilot.experiments.agreed import check_guardrails, check_ladder, check_looks, check_table
from pilot.faults import suggestion

if TYPE_CHECKING:
    from pilot.experiments.plan import Plan

PLACEHOLDERS = ("customer", "company", "until")
"""What a notice may fill in: the customer's name, the company's, and the last day of the pilot."""

SMALLEST_ARM = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a function that raises PlanError, and the sections of the plan it reads."""

    name: str
    check: Callable[[Plan], None]
    reads: tuple[str, ...]


def check_rules(plan: Plan) -> None:
    """Refuse a plan that contradicts itself.

    Raises:
        PlanError: The place is the key, e.g. `arms[1].share`.
    """
    for rule in RULES:
        rule.check(plan)


def faults(rules: Iterable[Rule], plan: Plan, sections: Collection[str]) -> Iterator[tuple[Rule, PilotError]]:
    """What rules find wrong with a plan of which only some sections stand: each is asked if all it reads is there."""
    for rule in rules:
        if all(name in sections for name in rule.reads):
            try:
                rule.check(plan)
            except PilotError as error:
                yield rule, error


def _unique(place: str, what: str, keys: Iterable[str], suffix: str = "") -> None:
    seen: set[str] = set()
    for number, key in enumerate(keys):
        if key in seen:
            raise PlanError(
                f"{what} {key!r} stands here a second time", place=f"{place}[{number}]{suffix}", remedy="Remove one"
            )
        seen.add(key)


def _segments(plan: Plan) -> None:
    _unique("population.segments", "segment", plan.population.segments)


def _strata(plan: Plan) -> None:
    _unique("sampling.strata", "stratum field", plan.sampling.strata)


def _outcomes(plan: Plan) -> None:
    _unique("outcomes", "outcome", [outcome.key for outcome in plan.outcomes], ".key")


def _notice(plan: Plan) -> None:
    for language, text in plan.notice.items():
        _placeholders(text.subject, f"notice.{language}.subject")
        _placeholders(text.body, f"notice.{language}.body")


def _expected(plan: Plan) -> None:
    for key in plan.expected.outcomes:
        _known_outcome(key, [outcome.key for outcome in plan.outcomes], f"expected.outcomes.{key}")


def _entities(plan: Plan) -> None:
    if plan.sampling.cluster == "legal_entity" and plan.population.one_per_entity:
        raise PlanError(
            "the customers of a legal entity are to stay together, but only one of each is eligible",
            place="population.one_per_entity",
            remedy="Write one_per_entity = false, or leave sampling.cluster out",
        )


def _arms(plan: Plan) -> None:
    if plan.arms[0].key != "control":
        raise PlanError(
            f"the first arm is {plan.arms[0].key!r}, not 'control'",
            place="arms[0].key",
            remedy="Put the arm that is handled as today first and call it control",
        )
    _unique("arms", "arm", [arm.key for arm in plan.arms], ".key")


def _shares(plan: Plan) -> None:
    shares = [arm.share for arm in plan.arms]
    total = math.fsum(shares)
    if not math.isclose(total, 1.0, abs_tol=1e-9, rel_tol=0.0):
        rest = 1 - math.fsum(shares[:-1])
        last = f"write {rest:.6g} here, or change" if 0 < rest < 1 else "change"
        raise PlanError(
            f"the shares of the arms sum to {total:.6g}, not to 1",
            place=f"arms[{len(shares) - 1}].share",
            remedy=f"{last[0].upper()}{last[1:]} the shares so that together they make 1",
        )
    for number, size in enumerate(apportion(plan.sampling.size, shares)):
        if size < SMALLEST_ARM:
            raise PlanError(
                f"this arm would get {size:,} of {plan.sampling.size:,} customers",
                place=f"arms[{number}].share",
                remedy=f"Raise this share or sampling.size: an arm needs at least {SMALLEST_ARM}",
            )


def _calendar(plan: Plan) -> None:
    calendar = plan.calendar
    days = [
        ("population.as_of", plan.population.as_of),
        ("calendar.start", calendar.start),
        ("calendar.end", calendar.end),
        ("calendar.survey_until", calendar.survey_until),
    ]
    for (earlier, before), (later, after) in pairwise(days):
        if after < before:
            raise PlanError(
                f"{after} lies before {earlier}, {before}",
                place=later,
                remedy="The order is: as_of, start, end, survey_until",
            )
    if calendar.start == calendar.end:
        raise PlanError(
            "handling would not last a single day", place="calendar.end", remedy="Give a day after calendar.start"
        )


def _margins(plan: Plan) -> None:
    for number, outcome in enumerate(plan.outcomes):
        if outcome.margin is not None and not outcome.margin_reason.strip():
            raise PlanError(
                "a margin needs a reason",
                place=f"outcomes[{number}].margin_reason",
                remedy="Say in a sentence why this much worse would still be accepted",
            )


def _analyses(plan: Plan) -> None:
    outcomes = [outcome.key for outcome in plan.outcomes]
    for number, planned in enumerate(plan.analyses):
        _known_outcome(planned.outcome, outcomes, f"analyses[{number}].outcome")
        if planned in plan.analyses[:number]:
            raise PlanError(
                f"{planned.analysis.part} of {planned.outcome!r} stands here a second time",
                place=f"analyses[{number}]",
                remedy="Remove one",
            )


def _decision(plan: Plan) -> None:
    rule, outcomes = plan.decision, [outcome.key for outcome in plan.outcomes]
    analysed = Counter(planned.outcome for planned in plan.analyses)
    for name, key in (("not_worse", rule.not_worse), ("cheaper", rule.cheaper)):
        _known_outcome(key, outcomes, f"decision.{name}")
        if not analysed[key]:
            raise PlanError(
                f"outcome {key!r} decides, but no analysis compares it",
                place=f"decision.{name}",
                remedy=f"Add an analysis with outcome = {key!r}",
            )
    index = outcomes.index(rule.not_worse)
    if plan.outcomes[index].margin is None:
        raise PlanError(
            f"the decision asks whether {rule.not_worse!r} is not worse, but it has no margin",
            place=f"outcomes[{index}].margin",
            remedy="Say how much worse would still be accepted, on the outcome's scale",
        )
    index = outcomes.index(rule.cheaper)
    if plan.outcomes[index].higher_is_better:
        raise PlanError(
            f"the decision asks whether {rule.cheaper!r} is lower, but here higher is better",
            place=f"outcomes[{index}].higher_is_better",
            remedy="Write higher_is_better = false, or let another outcome decide on cost",
        )


def _known_outcome(key: str, outcomes: list[str], place: str) -> None:
    if key not in outcomes:
        raise PlanError(
            f"there is no outcome {key!r}", place=place, remedy=suggestion(key, outcomes, "Outcomes of this plan")
        )


def _placeholders(text: str, place: str) -> None:
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    try:
        fields = [(name, form, turn) for _, name, form, turn in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise PlanError(
            "a brace has no partner", place=place, remedy=f"Placeholders are {known}; write {{{{ for a brace"
        ) from error
    for name, form, turn in fields:
        if name not in PLACEHOLDERS or form or turn:
            written = name + (f"!{turn}" if turn else "") + (f":{form}" if form else "")
            raise PlanError(
                f"unknown placeholder {{{written}}}", place=place, remedy=f"Use {known}; write {{{{ for a brace"
            )


RULES = (
    Rule("segments", _segments, ("population",)),
    Rule("strata", _strata, ("sampling",)),
    Rule("entities", _entities, ("population", "sampling")),
    Rule("arms", _arms, ("arms",)),
    Rule("shares", _shares, ("arms", "sampling")),
    Rule("calendar", _calendar, ("population", "calendar")),
    Rule("outcomes", _outcomes, ("outcomes",)),
    Rule("margins", _margins, ("outcomes",)),
    Rule("analyses", _analyses, ("outcomes", "analyses")),
    Rule("decision", _decision, ("outcomes", "analyses", "decision")),
    Rule("expected", _expected, ("outcomes", "expected")),
    Rule("table", check_table, ("decision",)),
    Rule("guardrails", check_guardrails, ("outcomes", "analyses")),
    Rule("looks", check_looks, ("calendar", "analyses", "decision", "looks")),
    Rule("ladder", check_ladder, ("ladder",)),
    Rule("notice", _notice, ("notice",)),
)
"""In the order in which a plan is told of them."""
