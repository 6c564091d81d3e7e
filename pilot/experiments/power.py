"""What a pilot of a given size can show, for every outcome of its plan at once.

All formulas are those of `pilot.analysis`: this puts together what is expected, what is lost on the way and which analysis
is planned, and asks them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pilot.analysis import Analysis, ExpectedOutcome, Need, SampleSize, VerdictChances, plan_size, verdict_chances
from pilot.analysis.apportionment import apportion
from pilot.analysis.planning import Losses
from pilot.analysis.reach import reach
from pilot.analysis.sizing import smallest_effect
from pilot.errors import InputError
from pilot.experiments.expectations import Assumed, Baseline, assumed, baseline, by_cluster, made_of_the_period
from pilot.experiments.models import Experiment
from pilot.experiments.past import Period, frame_of, period_before
from pilot.experiments.plan import Plan, PlannedOutcome
from pilot.experiments.sampling import Frame
from pilot.plugins.manager import plugins

WANTED = 0.8
"""The chance to show the effect that a plan aims at."""
FEW = 30
"""Fewer values in an arm than this let the law of its mean depend on single customers."""
NO_SIZE = "none of its planned analyses can plan a size"
NO_NUMBERS = "neither the plan nor the data say how much customers differ"
STEPS = (50, 100, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000, 5000, 10_000, 20_000, 50_000, 100_000)
"""Customers of the smallest pilot arm that are tried."""

_BY_STRATA = frozenset({"stratified-difference", "non-inferiority", "equivalence", "exact-permutation"})
"""Analyses of means that look inside strata: what lies between strata does not disturb them."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one number of customers can show of one outcome in one pilot arm.

    Attributes:
        arm: Key of the pilot arm.
        drawn: Customers of control and of the arm.
        total: Customers of all arms.
        answers: Values to expect of control and of the arm.
        power: Chance to show the planned effect; None where there is none.
        smallest: Smallest difference, with its sign, that is shown with `WANTED`; against a margin, the smallest margin that no difference
            at all is shown to keep. None where none is.
        reason: Why nothing can be shown.
    """

    arm: str
    drawn: tuple[int, int]
    total: int
    answers: tuple[float, float] = (0.0, 0.0)
    power: float | None = None
    smallest: float | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class OutcomePower:
    """One outcome.

    Attributes:
        baseline: What is expected of control.
        analysis: Key of the planned analysis that sizes rest on; empty where there is none.
        margin: The margin it holds against; None for a difference.
        needed: Customers to draw for the planned effect; None where that cannot be said.
        planned: At the size of the plan, for every pilot arm.
        points: Over a grid of sizes, for the smallest pilot arm.
        reason: Why there are no numbers; empty where there are.
    """

    baseline: Baseline
    analysis: str = ""
    margin: float | None = None
    needed: SampleSize | None = None
    planned: tuple[Point, ...] = ()
    points: tuple[Point, ...] = ()
    reason: str = ""

    @property
    def outcome(self) -> PlannedOutcome:
        """In the plan."""
        return self.baseline.outcome


class Unknown(NamedTuple):
    """Of which outcome too little is known, and why."""

    outcome: str
    reason: str


@dataclass(frozen=True, eq=False)
class PlanPower:
    """A plan and what it can show.

    Attributes:
        plan: The plan.
        frame: Customers who can be drawn.
        period: Where the baseline comes from.
        assumed: What is lost on the way.
        outcomes: In the order of the plan.
        verdicts: Chances of the verdicts for each pilot arm, by key, if what is planned for is true.
        unknown: Why there are no chances; None where there are.
        optimistic: Whether strata explain less of what is to come than the baseline says.
    """

    plan: Plan
    frame: int
    period: Period
    assumed: Assumed
    outcomes: tuple[OutcomePower, ...]
    verdicts: dict[str, VerdictChances]
    unknown: Unknown | None
    optimistic: bool

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "key": self.plan.key,
            "frame": self.frame,
            "size": self.plan.sampling.size,
            "period": {"start": self.period.start.isoformat(), "end": self.period.end.isoformat()},
            "losses": asdict(self.assumed),
            "outcomes": [_outcome_json(found) for found in self.outcomes],
            "verdicts": {arm: asdict(chances) for arm, chances in self.verdicts.items()},
            "unknown": None if self.unknown is None else self.unknown._asdict(),
        }


def of(experiment: Experiment, plan: Plan) -> PlanPower:
    """What a plan can show: of the customers it was sealed for, or of those who are eligible now.

    Raises:
        PlanError: There is no profile, or it stands as of another day than the plan's.
        CheckFailed: The file of the sealed frame is gone or was changed.
    """
    return on_frame(plan, frame_of(experiment, plan))


def on_frame(plan: Plan, frame: Frame) -> PlanPower:
    """What a plan can show of these customers."""
    losses = assumed(plan, frame)
    found = tuple(_power(plan, baseline(plan, outcome, frame), losses, frame) for outcome in plan.outcomes)
    verdicts: dict[str, VerdictChances] = {}
    unknown = None
    try:
        verdicts = {arm.key: _chances(plan, found, losses, place) for place, arm in enumerate(plan.arms) if place}
    except InputError as error:
        unknown = Unknown(error.place, error.reason)
    optimistic = made_of_the_period(plan) and any(item.baseline.explained > 0 for item in found)
    return PlanPower(plan, len(frame), period_before(plan), losses, found, verdicts, unknown, optimistic)


def planned_analysis(plan: Plan, outcome: PlannedOutcome) -> Analysis | None:
    """The analysis an outcome's size rests on: the first with a margin, else the first that can be planned."""
    analyses: list[Analysis] = [
        plugins().build("analyses", planned.analysis.part, planned.analysis.settings, place=outcome.key)
        for planned in plan.analyses
        if planned.outcome == outcome.key
    ]
    able = [analysis for analysis in analyses if analysis.sizes]
    return next((analysis for analysis in able if margin_of(analysis) is not None), next(iter(able), None))


def margin_of(analysis: Analysis) -> float | None:
    """The margin an analysis holds a difference against."""
    margin = analysis.settings().get("margin")
    return float(margin) if isinstance(margin, float | int) else None


def _power(plan: Plan, base: Baseline, losses: Assumed, frame: Frame) -> OutcomePower:
    analysis = planned_analysis(plan, base.outcome)
    if analysis is None:
        return OutcomePower(base, reason=NO_SIZE)
    if base.sd is None or base.effect is None:
        reason = base.reason or NO_NUMBERS
        return OutcomePower(base, analysis.key, margin_of(analysis), reason=reason)
    ask = _Question(plan, base, analysis, losses.losses(base))
    smallest = min(range(1, len(plan.arms)), key=lambda place: plan.arms[place].share)
    try:
        needed = ask.needed(frame)
    except InputError as error:
        needed, reason = None, error.reason
    else:
        reason = ""
    return OutcomePower(
        base,
        analysis.key,
        margin_of(analysis),
        needed,
        tuple(ask.at(plan.sampling.size, place) for place in range(1, len(plan.arms))),
        tuple(ask.at(total, smallest) for total in _grid(plan, len(frame), plan.arms[smallest].share)),
        reason,
    )


@dataclass(frozen=True, eq=False)
class _Question:
    """One outcome and its analysis, to be asked about several sizes."""

    plan: Plan
    base: Baseline
    analysis: Analysis
    losses: Losses

    @property
    def better(self) -> bool:
        """Whether effects are positive where the pilot arm is better, as against a margin."""
        return self.analysis.sizes.endswith("positive where the pilot arm is better")

    @property
    def effect(self) -> float:
        """The planned effect in the sense of the analysis."""
        effect = self.base.effect_for(against_margin=margin_of(self.analysis) is not None) or 0.0
        return effect * self.base.sign if self.better else effect

    def at(self, total: int, arm: int) -> Point:
        """What so many customers of all arms show of one arm."""
        sizes = apportion(total, [item.share for item in self.plan.arms])
        drawn = sizes[0], sizes[arm]
        expected = self.base.expected(self.plan, arm, better=self.better, by_strata=self.analysis.key in _BY_STRATA)
        sign = 1 if self.better else self.base.sign
        try:
            found = reach(self.analysis, expected, drawn, self.losses, effect=self.effect, power=WANTED, sign=sign)
        except InputError as error:
            return self._without_smallest(total, arm, drawn, error.reason)
        smallest = self._margin(arm, found.analysed) if self.better else found.smallest
        return Point(self.plan.arms[arm].key, drawn, total, found.answers, found.power, smallest)

    def _without_smallest(self, total: int, arm: int, drawn: tuple[int, int], reason: str) -> Point:
        """Power alone: no difference that the scale allows is large enough to be the smallest."""
        kept = self.losses.kept
        answers = drawn[0] * kept, drawn[1] * kept
        worth = 1 / self.losses.design_effect
        expected = self.base.expected(self.plan, arm, better=self.better, by_strata=self.analysis.key in _BY_STRATA)
        try:
            power = self.analysis.power(expected, self.effect, (answers[0] * worth, answers[1] * worth))
        except InputError:
            power = None
        return Point(self.plan.arms[arm].key, drawn, total, answers, power, reason=reason)

    def _margin(self, arm: int, analysed: tuple[float, float]) -> float | None:
        """The smallest margin that no difference at all is shown to keep."""
        expected = self.base.expected(self.plan, arm, better=True, by_strata=self.analysis.key in _BY_STRATA)

        def power_of(margin: float) -> float:
            if margin <= 0:
                return 0.0
            settings = {**self.analysis.settings(), "margin": margin}
            return type(self.analysis).restore(settings).power(expected, 0.0, analysed)

        try:
            return smallest_effect(power_of, 1, WANTED, place="margin")
        except InputError:
            return None

    def needed(self, frame: Frame) -> SampleSize:
        """Customers to draw in the plan's shares, so that every pilot arm shows the effect with `WANTED`."""
        shares = [arm.share for arm in self.plan.arms]
        totals = []
        for arm in range(1, len(shares)):
            expected = self.base.expected(self.plan, arm, better=self.better, by_strata=self.analysis.key in _BY_STRATA)
            units = self.analysis.sample_size(expected, self.effect, power=WANTED)
            totals.append(sum(units) / (shares[0] + shares[arm]))
        analysed = [max(totals) * share for share in shares]
        if self.losses.clustered or not self.plan.sampling.strata:
            return plan_size(analysed, self.losses, frame=len(frame))
        sizes = dict(zip(frame.labels, frame.sizes().tolist(), strict=True))
        return plan_size(analysed, self.losses, strata=sizes, frame=sizes)


def _grid(plan: Plan, frame: int, share: float) -> list[int]:
    """Sizes of all arms together: round numbers of the smallest arm, the plan's own, and the whole frame."""
    rounded = [math.ceil(step / share - 1e-9) for step in STEPS]
    least = 2 * len(plan.arms)
    sizes = {*(size for size in rounded if size < frame), min(plan.sampling.size, frame), frame}
    return sorted(size for size in sizes if size >= least)


def _chances(plan: Plan, found: Sequence[OutcomePower], losses: Assumed, arm: int) -> VerdictChances:
    """Chances of the verdicts on one arm.

    Raises:
        InputError: Something is not known of one of the two outcomes, or an arm has too few values.
    """
    rule = plan.decision
    satisfaction, cost = (
        next(item for item in found if item.outcome.key == key) for key in (rule.not_worse, rule.cheaper)
    )
    for item in (satisfaction, cost):
        if item.baseline.sd is None or item.baseline.effect is None:
            raise InputError(item.reason or item.baseline.reason, place=item.outcome.label)
    sizes = apportion(plan.sampling.size, [item.share for item in plan.arms])
    drawn = sizes[0], sizes[arm]
    quality = _rule_outcome(plan, satisfaction, losses, drawn, satisfaction.baseline.sign)
    margin = satisfaction.outcome.margin
    if margin is None:
        raise InputError(f"{satisfaction.outcome.label} has no margin", place=rule.not_worse)
    return verdict_chances(quality, _rule_outcome(plan, cost, losses, drawn, 1), margin, level=rule.level)


def _rule_outcome(
    plan: Plan, found: OutcomePower, losses: Assumed, drawn: tuple[int, int], sign: int
) -> ExpectedOutcome:
    base, lost = found.baseline, losses.losses(found.baseline)
    expected = base.expected(plan, 1, better=False, by_strata=found.analysis in _BY_STRATA)
    worth = lost.kept / lost.design_effect
    return ExpectedOutcome(sign * (base.effect or 0.0), expected.spreads[0], (drawn[0] * worth, drawn[1] * worth))


def _outcome_json(found: OutcomePower) -> dict[str, Any]:
    base = found.baseline
    names = ("mean", "sd", "origin", "explained", "icc", "icc_origin", "effect", "effect_origin", "asked")
    return {
        "outcome": base.outcome.key,
        "label": base.outcome.label,
        "scale": base.scale,
        "analysis": found.analysis,
        "margin": found.margin,
        "baseline": {name: getattr(base, name) for name in names},
        "strata": [dict(zip(("stratum", "customers", "mean", "sd"), row, strict=True)) for row in base.strata],
        "needed": None if found.needed is None else {"drawn": found.needed.drawn, "total": found.needed.total},
        "planned": [asdict(point) for point in found.planned],
        "points": [asdict(point) for point in found.points],
        "reason": found.reason,
    }


def clusters_disregarded(plan: Plan, found: OutcomePower) -> bool:
    """Whether clusters are assigned, but the analysis takes customers for independent of each other."""
    analysis = planned_analysis(plan, found.outcome)
    return by_cluster(plan) and analysis is not None and Need.CLUSTERS not in analysis.needs
