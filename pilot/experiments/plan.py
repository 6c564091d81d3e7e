"""The plan: the one document that says everything decided beforehand."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pilot.config import Language
from pilot.errors import CheckFailed, InputError, PlanError
from pilot.experiments.rules import check_rules
from pilot.faults import first_fault, syntax_fault

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=r"^[^\x00-\x1f]*$")
]


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    if not _finite(settings):
        raise ValueError("a setting is not a finite number")
    return settings


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


class Section(BaseModel):
    """Base of the plan's sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PartChoice(Section):
    """A part by its key, with its settings."""

    part: str
    settings: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(default_factory=dict)


class Population(Section):
    """Who is eligible: customers of these segments, as profiled on `as_of`, whom a mail can reach."""

    segments: tuple[str, ...] = Field(min_length=1)
    as_of: date
    rule: PartChoice | None = None
    """A segment rule that has to take the customer too."""
    keep_lost: bool = False
    """Whether customers whose activity is `lost` are eligible."""
    one_per_entity: bool = True
    """Whether of several customers of one legal entity only the one with most revenue is eligible."""


class Sampling(Section):
    """How many are drawn, by which design, in which strata (fields of the customer or profile)."""

    size: int = Field(gt=1)
    strata: tuple[str, ...] = ()
    cluster: str = ""
    """The field whose equal values are a cluster, such as `sales_rep`; empty where every customer stands alone."""
    design: PartChoice = PartChoice(part="stratified")
    public_source: str = ""
    """Where the public value of the draw will come from, named before anybody can know it."""


class Arm(Section):
    """One group: the first arm of a plan is control."""

    key: Key
    label: Label
    channel: str
    share: float = Field(gt=0, lt=1)


class Calendar(Section):
    """Handling runs from `start` up to the day before `end`; the survey is answered until `survey_until`."""

    start: date
    end: date
    survey_until: date


class NoticeText(Section):
    """The notice in one language. Both texts may hold {customer}, {company} and {until}; a blank line parts paragraphs."""

    subject: Label
    body: str = Field(min_length=1)


class PlannedOutcome(Section):
    """What is compared, and how much worse (`margin`, on the outcome's scale) would still be accepted."""

    key: Key
    label: Label
    source: PartChoice
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    higher_is_better: bool = True
    margin: float | None = Field(default=None, gt=0)
    margin_reason: str = ""


class PlannedAnalysis(Section):
    """One analysis of one outcome, decided beforehand."""

    outcome: str
    analysis: PartChoice


class DecisionRow(Section):
    """One row of the decision table: what the outcomes have to show, and the verdict then."""

    quality: Literal["not_worse", "worse", "unclear", "any"] = "any"
    """Of the outcome `not_worse`: within its margin, worse by more than it, or neither is shown."""
    cost: Literal["cheaper", "dearer", "unclear", "any"] = "any"
    """Of the outcome `cheaper`: lower than control, higher, or neither is shown."""
    guardrails: Literal["held", "broken", "any"] = "any"
    """`broken`: a guardrail with a margin is shown to be worse by more than it."""
    verdict: Literal["roll_out", "do_not", "inconclusive"]
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""


class DecisionRule(Section):
    """Roll out if `not_worse` is not worse than control by its margin and `cheaper` is lower than in control."""

    not_worse: str
    cheaper: str
    level: float = Field(default=0.95, gt=0.5, lt=1)
    table: tuple[DecisionRow, ...] = ()
    """What follows from each combination of states, each covered by exactly one row; the usual rule where it is empty."""

    @property
    def rows(self) -> tuple[DecisionRow, ...]:
        """The decision table, the usual one where the plan has none of its own."""
        return self.table or USUAL_TABLE


USUAL_TABLE = (
    DecisionRow(guardrails="broken", verdict="do_not"),
    DecisionRow(quality="not_worse", cost="cheaper", guardrails="held", verdict="roll_out"),
    DecisionRow(quality="worse", guardrails="held", verdict="do_not"),
    DecisionRow(quality="not_worse", cost="dearer", guardrails="held", verdict="do_not"),
    DecisionRow(quality="unclear", cost="dearer", guardrails="held", verdict="do_not"),
    DecisionRow(quality="not_worse", cost="unclear", guardrails="held", verdict="inconclusive"),
    DecisionRow(quality="unclear", cost="cheaper", guardrails="held", verdict="inconclusive"),
    DecisionRow(quality="unclear", cost="unclear", guardrails="held", verdict="inconclusive"),
)
"""Not worse and cheaper: roll out. Shown to be worse or dearer, or a guardrail broken: do not. Otherwise inconclusive."""


class Looks(Section):
    """Looks at results before the close that the plan pays for: on days, or at shares of the pilot's time."""

    days: tuple[date, ...] = ()
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Of the days from the start of handling to the last day of answering; the close is the look after them, at 1."""
    spending: Literal["obrien-fleming", "pocock"] = "obrien-fleming"


class Ladder(Section):
    """How a pilot that succeeded is rolled out: in steps, with a part kept on the old handling to compare with."""

    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.1, 0.5, 1.0)
    """Of those not held out, how many are handled the new way after each step; the last is 1."""
    days_between: int = Field(default=28, ge=1, le=366)
    hold_out: float = Field(default=0.05, ge=0, le=0.5)
    """Share of customers kept on the old handling by chance."""
    hold_days: int = Field(default=365, ge=1, le=1830)
    """So long they are kept there, from the first step on."""


class Expectation(Section):
    """What is expected of one outcome, on its scale. What is left out comes from the company's data, or is assumed."""

    mean: float | None = None
    """Of control; the share of yes of a yes or no."""
    sd: float | None = Field(default=None, gt=0)
    effect: float | None = None
    """The true difference, pilot minus control, that the pilot shall be able to show."""


class Expectations(Section):
    """What is expected before anybody is drawn: for power and rehearsal only, nothing is decided by it."""

    response: float | None = Field(default=None, gt=0, le=1)
    """Share of those asked who answer."""
    attrition: float | None = Field(default=None, ge=0, lt=1)
    """Share of those drawn who are gone before they are asked."""
    icc: float | None = Field(default=None, ge=0, lt=1)
    """How alike the customers of a cluster are, where clusters are assigned."""
    outcomes: dict[Key, Expectation] = Field(default_factory=dict)


class Plan(Section):
    """The whole plan. None exists that contradicts itself: making one raises PlanError with the key's place."""

    key: Key
    name: Label
    question: str = ""
    population: Population
    sampling: Sampling
    assignment: PartChoice = PartChoice(part="stratified-blocks")
    arms: tuple[Arm, ...] = Field(min_length=2)
    calendar: Calendar
    notice: dict[Language, NoticeText] = Field(default_factory=dict)
    """Texts of the notice by language; a language without one gets the built-in text."""
    survey: str
    """Key of the survey; its newest version at the seal is the one that is frozen."""
    survey_version: int | None = None
    survey_digest: str | None = None
    """SHA-256 of the survey's definition; written by the seal."""
    outcomes: tuple[PlannedOutcome, ...] = Field(min_length=1)
    analyses: tuple[PlannedAnalysis, ...] = Field(min_length=1)
    decision: DecisionRule
    looks: Looks | None = None
    """Looks before the close; without them results stay closed until then."""
    ladder: Ladder = Ladder()
    expected: Expectations = Expectations()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_rules(self)
        return self

    def outcome(self, key: str) -> PlannedOutcome:
        """The outcome of this key; a checked plan has every outcome it speaks of."""
        return next(outcome for outcome in self.outcomes if outcome.key == key)


def load_toml(source: Path | str, *, place: str = "") -> Plan:
    """Read a plan.

    Args:
        source: A TOML file, or TOML text.
        place: What errors call it; the file's name by default.

    Raises:
        PlanError: It cannot be read, a key is missing, unknown or of the wrong kind, or two keys contradict
            each other. The error names the key in the file, e.g. `plan.toml: arms[1].share`.
    """
    text = source if isinstance(source, str) else _read(source)
    place = place or ("plan" if isinstance(source, str) else source.name)
    try:
        return Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise syntax_fault(error, text, place) from error
    except ValidationError as error:
        raise first_fault(error, Plan, place) from error
    except PlanError as error:
        raise PlanError(error.reason, place=f"{place}: {error.place}", remedy=error.remedy) from error


def to_toml(plan: Plan) -> str:
    """The plan as TOML that `load_toml` reads again. What is None stands for the default, and is left out."""
    text = canonical(plan)
    return tomli_w.dumps(_without_none(plan.model_dump()), multiline_strings="\\r" not in text)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


def canonical(plan: Plan) -> str:
    """The plan as compact JSON with sorted keys: one text for one plan, however its file was laid out."""
    document = plan.model_dump(mode="json")
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plan_hash(plan: Plan) -> str:
    """SHA-256, in hexadecimal, of the canonical text in UTF-8."""
    return text_hash(canonical(plan))


def text_hash(text: str) -> str:
    """SHA-256, in hexadecimal, of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=16)
def from_canonical(text: str, place: str) -> Plan:
    """The plan that `canonical` wrote. Kept, for the sake of those who ask for every mail.

    Raises:
        CheckFailed: The text is no plan: it was edited where it was stored.
    """
    try:
        return Plan.model_validate_json(text)
    except (ValidationError, PlanError) as error:
        raise CheckFailed(
            "the stored plan can no longer be read", place=place, remedy="Restore the database from a backup"
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(
            "the file is not text in UTF-8", place=str(path), remedy="Save the plan as a TOML file in UTF-8"
        ) from error
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", place=str(path), remedy="Correct the path"
        ) from error
