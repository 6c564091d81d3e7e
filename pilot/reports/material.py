"""What a report is made of: everything its sections may use, and nothing that identifies a customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pilot.analysis import Comparison, Evidence, NotEnoughData
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.reports import wording
from pilot.reports.decision import Decision, deciding
from pilot.reports.flow import Flow
from pilot.reports.wording import Figures


@dataclass(frozen=True, slots=True)
class Result:
    """One analysis of one outcome (or, for a sample ratio, of one step of the flow) for one pilot arm."""

    outcome: str
    arm: str
    analysis: str
    planned: bool
    plan_hash: str
    evidence: Evidence
    found: Comparison | NotEnoughData
    versions: Mapping[str, str]
    is_flow: bool = False
    """Whether `outcome` is a step of the flow."""

    @property
    def alarm(self) -> bool:
        """Of a step of the flow: the arms are not as they were assigned, or an arm has nobody at all."""
        return self.is_flow and (isinstance(self.found, NotEnoughData) or self.found.passed is False)

    def with_data(self, arm: str) -> int:
        """How many customers of an arm the evidence knows something of."""
        return 0 if self.evidence.moments is None else int(self.evidence.moments.n[self.evidence.index(arm)].sum())

    @property
    def all_zero(self) -> bool:
        """Whether every customer of every arm has the value zero."""
        moments = self.evidence.moments
        if moments is None or not moments.n.any():
            return False
        known = moments.n > 0
        return not moments.mean[known].any() and not moments.m2[known].any()


@dataclass(frozen=True, slots=True)
class Draw:
    """How the sample was drawn and the arms were assigned, so that anyone can repeat it."""

    seed: str
    public_value: str
    frame_digest: str
    frame_size: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class Moves:
    """When the experiment changed its state; None where it did not."""

    sealed: datetime | None = None
    drawn: datetime | None = None
    started: datetime | None = None
    closed: datetime | None = None
    decided: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stratum:
    """One layer of the frame: its customers, and how many of them each arm was given (control first)."""

    label: str
    population: int
    assigned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Amendment:
    """A version of the plan after the one that was sealed first: its number, when, why, and whether the draw was over."""

    number: int
    at: datetime
    reason: str
    after_draw: bool


@dataclass(frozen=True, slots=True)
class DeviatingLook:
    """A look before the close that the plan did not pay for: when, and why."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Material:
    """Everything known of an experiment once it is closed.

    Attributes:
        plan, plan_hash: The sealed plan.
        moves: Dates of its states.
        draw: How it was drawn.
        flow: What became of the assigned customers, by arm, control first.
        strata: Layers of the frame.
        results: Outcomes in the order of the plan, primary first; within one, analyses in the order of the plan.
        ratios: Sample-ratio checks by step of the flow.
        decision: The rule applied; None before the decision.
        company: Name of the company.
        language: Language of the report.
        amendments: Versions of the plan after the first.
        deviating_looks: Looks before the close that the plan did not pay for.
    """

    plan: Plan
    plan_hash: str
    moves: Moves
    draw: Draw
    flow: tuple[Flow, ...]
    strata: tuple[Stratum, ...]
    results: tuple[Result, ...]
    ratios: tuple[Result, ...]
    decision: Decision | None
    company: str
    language: str
    deviating_looks: tuple[DeviatingLook, ...] = ()
    amendments: tuple[Amendment, ...] = ()

    @property
    def date(self) -> datetime | None:
        """The date of the report: of the decision, or of the close before there is one."""
        return self.moves.decided or self.moves.closed

    def arm_label(self, key: str) -> str:
        """How the plan calls an arm."""
        return next((arm.label for arm in self.plan.arms if arm.key == key), key)

    def outcome(self, key: str) -> PlannedOutcome | None:
        """An outcome of the plan."""
        return next((outcome for outcome in self.plan.outcomes if outcome.key == key), None)

    def outcome_label(self, key: str) -> str:
        """How the plan calls an outcome, shortened."""
        return wording.short(self.plan.outcome(key).label, 80)

    def of(self, outcome: str, arm: str | None = None) -> list[Result]:
        """The results of one outcome, of one arm if it is named."""
        return [item for item in self.results if item.outcome == outcome and arm in (None, item.arm)]

    def shown(self, outcome: str, arm: str) -> Result | None:
        """The result that stands for an outcome: the one that decides, else the first with an estimate, else the first."""
        results = self.of(outcome, arm)
        chosen = deciding(outcome, [item.found for item in results], self.plan.decision.level)
        ranked = [item for item in results if item.found is chosen]
        ranked += [item for item in results if isinstance(item.found, Comparison) and item.found.estimate is not None]
        return next(iter([*ranked, *results]), None)

    def sizes(self, outcome: str, arm: str) -> tuple[int, ...]:
        """Customers with data on an outcome: of control, then of the arm; empty where there is no comparison."""
        result = self.shown(outcome, arm)
        if result is None or isinstance(result.found, NotEnoughData):
            return ()
        numbers = {summary.arm: summary.n for summary in result.found.arms}
        return numbers[result.found.control], numbers[result.found.arm]

    def figures(self, outcome: str) -> Figures | None:
        """How the figures of an outcome are written; None where it was not analysed."""
        return next((Figures.of(item.evidence) for item in self.of(outcome)), None)
