"""The plan: the one document that says everything decided beforehand."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_KEY = r"^[a-z][a-z0-9-]*$"


class Section(BaseModel):
    """Base of the plan's sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PartChoice(Section):
    """A part by its key, with its settings."""

    part: str
    settings: dict[str, Any] = Field(default_factory=dict)


class Population(Section):
    """Who is eligible: customers of these segments, as profiled on `as_of`, whom a mail can reach."""

    segments: tuple[str, ...] = Field(min_length=1)
    as_of: date


class Sampling(Section):
    """How many are drawn, by which design, in which strata (fields of the customer or profile)."""

    size: int = Field(gt=1)
    strata: tuple[str, ...] = ()
    design: PartChoice = PartChoice(part="stratified")


class Arm(Section):
    """One group: the first arm of a plan is control."""

    key: str = Field(pattern=_KEY)
    label: str
    channel: str
    share: float = Field(gt=0, lt=1)


class Calendar(Section):
    """Handling runs from `start` up to the day before `end`; the survey is answered until `survey_until`."""

    start: date
    end: date
    survey_until: date


class PlannedOutcome(Section):
    """What is compared, and how much worse (`margin`, on the outcome's scale) would still be accepted."""

    key: str = Field(pattern=_KEY)
    label: str
    source: PartChoice
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    higher_is_better: bool = True
    margin: float | None = Field(default=None, gt=0)
    margin_reason: str = ""


class PlannedAnalysis(Section):
    """One analysis of one outcome, decided beforehand."""

    outcome: str
    analysis: PartChoice


class DecisionRule(Section):
    """Roll out if `not_worse` is not worse than control by its margin and `cheaper` is lower than in control."""

    not_worse: str
    cheaper: str
    level: float = Field(default=0.95, gt=0.5, lt=1)


class Plan(Section):
    """The whole plan."""

    key: str = Field(pattern=_KEY, max_length=40)
    name: str = Field(min_length=1, max_length=120)
    question: str = ""
    population: Population
    sampling: Sampling
    assignment: PartChoice = PartChoice(part="stratified-blocks")
    arms: tuple[Arm, ...] = Field(min_length=2)
    calendar: Calendar
    notice: dict[str, Any] = Field(default_factory=dict)
    """Texts of the notice by language: `{"en": {"subject": ..., "body": ...}}`; empty: the built-in text."""
    survey: str
    """Key of the survey; its newest version at the seal is the one that is frozen."""
    survey_version: int | None = None
    outcomes: tuple[PlannedOutcome, ...] = Field(min_length=1)
    analyses: tuple[PlannedAnalysis, ...] = Field(min_length=1)
    decision: DecisionRule
