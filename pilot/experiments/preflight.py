"""Whether this installation has everything a plan asks for: parts, their settings, segments, strata."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pilot.customers.service import segments
from pilot.errors import PilotError, PlanError
from pilot.experiments.draw import designs_of
from pilot.experiments.eligibility import CLUSTER_FIELDS, MEASURES, STRATUM_FIELDS
from pilot.experiments.plan import PartChoice, Plan, PlannedAnalysis, PlannedOutcome, Population, Sampling
from pilot.experiments.rules import Rule
from pilot.faults import suggestion
from pilot.plugins.manager import plugins


def check(plan: Plan, place: str = "") -> Plan:
    """Hold a plan against the installed parts and the customer base.

    Args:
        plan: A plan that does not contradict itself, as every `Plan`.
        place: What errors call it, e.g. `plan.toml`.

    Returns:
        The plan with the settings of all its parts spelt out, defaults included: a later version of a plugin
        with other defaults cannot change what was planned.

    Raises:
        PlanError: Something it names is not installed, or a setting does not fit. The place is the key.
    """
    try:
        for rule in INSTALLED:
            rule.check(plan)
        complete = complete_sections(plan, Plan.model_fields)
        for rule in FITTING:
            rule.check(complete)
    except PilotError as error:
        raise PlanError(
            error.reason, place=f"{place}: {error.place}" if place else error.place, remedy=error.remedy
        ) from error
    return complete


def _check_segments(plan: Plan) -> None:
    known = [segment.key for segment in segments()]
    for number, key in enumerate(plan.population.segments):
        if key not in known:
            raise PlanError(
                f"there is no segment {key!r}",
                place=f"population.segments[{number}]",
                remedy=suggestion(key, known, "Segments of the base"),
            )


def _check_layers(plan: Plan) -> None:
    for number, field in enumerate(plan.sampling.strata):
        _check_field(field, STRATUM_FIELDS, "to stratify by", f"sampling.strata[{number}]")
    if plan.sampling.cluster:
        _check_field(plan.sampling.cluster, CLUSTER_FIELDS, "that clusters can share", "sampling.cluster")


def _check_channels(plan: Plan) -> None:
    for number, arm in enumerate(plan.arms):
        plugins().get("handling_channels", arm.channel, place=f"arms[{number}].channel")


def _check_field(field: str, known: Sequence[str], use: str, place: str) -> None:
    if field not in known:
        raise PlanError(f"{field!r} is no field {use}", place=place, remedy=suggestion(field, known, "Fields"))


def _check_designs(plan: Plan) -> None:
    """What the designs look at is known of customers, and those made of clusters have some."""
    places = ("sampling.design", "assignment")
    for design, place in zip(designs_of(plan), places, strict=True):
        for name in design.measures():
            _check_field(name, MEASURES, "with a number for every customer", f"{place}.settings")
        if design.wants_clusters and not plan.sampling.cluster:
            raise PlanError(
                f"the design {design.key!r} needs units that stay together",
                place="sampling.cluster",
                remedy=f"Name the field they share: {', '.join(CLUSTER_FIELDS)}",
            )


def complete_sections(plan: Plan, sections: Collection[str]) -> Plan:
    """The plan with the settings of the parts in these sections spelt out.

    Raises:
        InputError: A part is not installed, or a setting does not fit. The place is the key.
    """
    return plan.model_copy(update={name: spell(plan) for name, spell in _SPELT.items() if name in sections})


def _population(plan: Plan) -> Population:
    rule = plan.population.rule
    return plan.population.model_copy(update={"rule": rule and _choice("segment_rules", rule, "population.rule")})


def _sampling(plan: Plan) -> Sampling:
    design = _choice("sampling_designs", plan.sampling.design, "sampling.design")
    return plan.sampling.model_copy(update={"design": design})


def _outcomes(plan: Plan) -> tuple[PlannedOutcome, ...]:
    return tuple(
        outcome.model_copy(update={"source": _choice("outcomes", outcome.source, f"outcomes[{number}].source")})
        for number, outcome in enumerate(plan.outcomes)
    )


def _analyses(plan: Plan) -> tuple[PlannedAnalysis, ...]:
    return tuple(
        planned.model_copy(update={"analysis": _choice("analyses", planned.analysis, f"analyses[{number}].analysis")})
        for number, planned in enumerate(plan.analyses)
    )


_SPELT: Mapping[str, Callable[[Plan], Any]] = {
    "population": _population,
    "sampling": _sampling,
    "assignment": lambda plan: _choice("assignment_designs", plan.assignment, "assignment"),
    "outcomes": _outcomes,
    "analyses": _analyses,
}


def _choice(kind: str, choice: PartChoice, place: str) -> PartChoice:
    part = plugins().get(kind, choice.part, place=f"{place}.part")
    settings = part.restore(choice.settings, place=f"{place}.settings").settings()
    return choice.model_copy(update={"settings": settings})


def _check_margins(plan: Plan) -> None:
    """An analysis with a margin of its own uses the outcome's: there is one margin, decided once."""
    for number, planned in enumerate(plan.analyses):
        own, agreed = planned.analysis.settings.get("margin"), plan.outcome(planned.outcome).margin
        if own is not None and agreed is not None and own != agreed:
            raise PlanError(
                f"the margin {own:g} is not that of outcome {planned.outcome!r}, {agreed:g}",
                place=f"analyses[{number}].analysis.settings.margin",
                remedy="Give both the same margin",
            )


def _check_levels(plan: Plan) -> None:
    """The rule decides by intervals at its own level: without one it could never say roll out."""
    rule = plan.decision
    for name, key in (("not_worse", rule.not_worse), ("cheaper", rule.cheaper)):
        levels = [planned.analysis.settings.get("level") for planned in plan.analyses if planned.outcome == key]
        if rule.level not in levels:
            raise PlanError(
                f"no analysis of {key!r} has an interval at the level of the decision, {rule.level:g}",
                place=f"decision.{name}",
                remedy=f"Give one of them settings = {{ level = {rule.level:g} }}",
            )


INSTALLED = (
    Rule("segments known", _check_segments, ("population",)),
    Rule("fields known", _check_layers, ("sampling",)),
    Rule("channels known", _check_channels, ("arms",)),
)
"""What the plan names is there."""

FITTING = (
    Rule("designs", _check_designs, ("sampling", "assignment")),
    Rule("one margin", _check_margins, ("outcomes", "analyses")),
    Rule("levels", _check_levels, ("outcomes", "analyses", "decision")),
)
"""What holds of a plan whose settings are spelt out."""
