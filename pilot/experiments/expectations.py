"""What is to be expected of each outcome: by the plan's own word, else from the company's data, else assumed and said so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from pilot.analysis import Clusters, Expected, Losses, Scale, intraclass_correlation
from pilot.analysis.moments import pooled
from pilot.experiments.draw import designs_of, draw_sample
from pilot.experiments.past import Past, moments_by, past_of
from pilot.experiments.plan import Expectation, Plan, PlannedOutcome
from pilot.experiments.sampling import Floats, Frame, Ints

RESPONSE = 0.35
"""Share of those asked who answer, where nobody said: what a mail with two reminders brings among small customers."""
ICC = 0.05
"""How alike customers of a cluster are, where neither plan nor data say."""
QUARTER = 0.25
"""Ratings spread by about a quarter of their scale: 1.0 from 1 to 5, 2.5 from 0 to 10."""
SMALL = 0.2
"""Cohen's small effect, in standard deviations, where the plan wants none in particular."""

NO_SPREAD = "in the period before there is nothing of it, or all customers had the same"
"""Why orders or touches tell nothing."""

_BEFORE_PERIOD = ("revenue_band", "activity", "segment")
"""Strata that are made of the very orders that the baseline is made of."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is expected of control.

    Attributes:
        outcome: In the plan.
        scale: Of the outcome; None where it cannot be measured.
        mean, sd: Of control; None where not known.
        origin: Where `sd` (of a yes or no, `mean`) comes from: `plan`, `data`, `assumed`, or `unknown`.
        explained: Share of the variance that lies between the strata.
        strata: Mean and standard deviation by stratum, where the data tell.
        icc: How alike customers of a cluster are; 0 where customers are assigned one by one.
        icc_origin: Where `icc` comes from.
        effect: True difference, pilot minus control, that is planned for; None where nothing is known.
        effect_origin: `plan`, `margin` (no difference at all, against a margin) or `assumed`.
        asked: Whether only those who answer have a value.
        values: Of everybody in the frame before the pilot; None without a past.
        reason: Why something is unknown.
    """

    outcome: PlannedOutcome
    scale: Scale | None
    mean: float | None = None
    sd: float | None = None
    origin: str = "unknown"
    explained: float = 0.0
    strata: tuple[tuple[str, int, float, float], ...] = ()
    icc: float = 0.0
    icc_origin: str = ""
    effect: float | None = None
    effect_origin: str = ""
    asked: bool = False
    values: Floats | None = None
    reason: str = ""

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.outcome.higher_is_better else -1

    def effect_for(self, *, against_margin: bool) -> float | None:
        """The effect planned for: a difference is looked for by an analysis without a margin, were it as large as that."""
        if self.effect_origin == "margin" and not against_margin and self.outcome.margin is not None:
            return self.sign * self.outcome.margin
        return self.effect

    def expected(self, plan: Plan, arm: int, *, better: bool, by_strata: bool) -> Expected:
        """For an analysis of one pilot arm.

        Args:
            plan: The plan.
            arm: Position of the arm.
            better: Whether the mean is to be the share of the better answer of a yes or no.
            by_strata: Whether the analysis looks inside strata.
        """
        control, pilot = plan.arms[0].share, plan.arms[arm].share
        mean = self.mean
        if mean is not None and better and self.scale is Scale.BINARY and self.sign < 0:
            mean = 1 - mean
        return Expected(
            mean=mean,
            sd=self.sd,
            share=pilot / (control + pilot),
            explained=self.explained if by_strata else 0.0,
            pilots=len(plan.arms) - 1,
        )


@dataclass(frozen=True, slots=True)
class Assumed:
    """Losses on the way from a drawn customer to a value, each with where it comes from: `plan`, `data` or `assumed`."""

    response: float
    response_origin: str
    attrition: float
    attrition_origin: str
    cluster_size: float = 1.0
    cluster_cv: float = 0.0

    def losses(self, baseline: Baseline) -> Losses:
        """Those of one outcome: orders and touches of all who were drawn count, answered or gone."""
        lost = {"response": self.response, "attrition": self.attrition} if baseline.asked else {}
        icc = baseline.icc if self.cluster_size > 1 else 0.0
        return Losses(**lost, icc=icc, cluster_size=self.cluster_size, cluster_cv=self.cluster_cv)


def assumed(plan: Plan, frame: Frame) -> Assumed:
    """What is lost on the way, and how large clusters will be among those drawn."""
    said = plan.expected
    found = Assumed(
        RESPONSE if said.response is None else said.response,
        "assumed" if said.response is None else "plan",
        said.attrition or 0.0,
        "assumed" if said.attrition is None else "plan",
    )
    if not by_cluster(plan) or frame.clusters is None:
        return found
    units = frame
    if plan.sampling.size < len(frame):
        units = frame.at(draw_sample(plan, frame, "expectation").positions)
    sizes = np.bincount(units.together())
    return replace(found, cluster_size=float(sizes.mean()), cluster_cv=float(sizes.std() / sizes.mean()))


def by_cluster(plan: Plan) -> bool:
    """Whether whole clusters are assigned."""
    return designs_of(plan)[1].wants_clusters


def made_of_the_period(plan: Plan) -> bool:
    """Whether strata are made of the orders that the baseline is made of: they explain less of what is to come."""
    return any(field in _BEFORE_PERIOD for field in plan.sampling.strata)


def baseline(plan: Plan, outcome: PlannedOutcome, frame: Frame) -> Baseline:
    """What is expected of one outcome in the control arm."""
    past, said = past_of(plan, outcome, frame), plan.expected.outcomes.get(outcome.key, Expectation())
    found = Baseline(outcome, past.scale, asked=past.asked, values=past.values, reason=past.reason)
    if past.scale is None:
        return found
    if past.values is not None and len(past.values):
        found = _from_data(found, past.values, frame)
    found = _as_said(_guessed(found, past), said)
    if by_cluster(plan):
        found = _with_icc(found, plan, frame)
    return _with_effect(found, said)


def _from_data(found: Baseline, values: Floats, frame: Frame) -> Baseline:
    n, means, squares = moments_by(values, frame.strata, len(frame.labels))
    total, mean, m2 = pooled(n, means, squares)
    if total < 2 or m2 <= 0:
        return replace(found, mean=mean, reason=NO_SPREAD)
    strata = tuple(
        (label, int(units), float(centre), math.sqrt(own / (units - 1)) if units > 1 else 0.0)
        for label, units, centre, own in zip(frame.labels, n, means, squares, strict=True)
    )
    inside = float(squares.sum()) / (total - len(n)) if total > len(n) else m2 / (total - 1)
    explained = max(0.0, 1 - inside / (m2 / (total - 1)))
    spread = math.sqrt(m2 / (total - 1))
    return replace(found, mean=mean, sd=spread, origin="data", explained=explained, strata=strata)


def _guessed(found: Baseline, past: Past) -> Baseline:
    """What scales tell where there are no data."""
    if found.sd is not None:
        return found
    if found.scale is Scale.BINARY:
        return replace(found, mean=0.5, sd=0.5, origin="assumed") if found.mean is None else found
    if past.limits is not None and found.asked:
        low, high = past.limits
        return replace(found, mean=(low + high) / 2, sd=(high - low) * QUARTER, origin="assumed")
    return found


def _as_said(found: Baseline, said: Expectation) -> Baseline:
    """What the plan says goes before everything else; what strata explain was measured against another spread."""
    sd = said.sd
    if said.mean is not None and found.scale is Scale.BINARY and 0 < said.mean < 1:
        sd = sd or math.sqrt(said.mean * (1 - said.mean))
    mean = found.mean if said.mean is None else said.mean
    return replace(found, mean=mean) if sd is None else replace(found, mean=mean, sd=sd, origin="plan")


def _with_icc(found: Baseline, plan: Plan, frame: Frame) -> Baseline:
    if plan.expected.icc is not None:
        return replace(found, icc=plan.expected.icc, icc_origin="plan")
    measured = None if found.values is None else _icc(found.values, frame.together())
    if measured is None:
        return replace(found, icc=ICC, icc_origin="assumed")
    return replace(found, icc=min(max(measured, 0.0), 0.99), icc_origin="data")


def _icc(values: Floats, clusters: Ints) -> float | None:
    n, mean, m2 = moments_by(values, clusters, int(clusters.max()) + 1)
    none = np.zeros(len(n), dtype=np.int64)
    return intraclass_correlation(Clusters(np.arange(len(n)), none, none, n, mean, m2))


def _with_effect(found: Baseline, said: Expectation) -> Baseline:
    if said.effect is not None:
        return replace(found, effect=said.effect, effect_origin="plan")
    if found.outcome.margin is not None:
        return replace(found, effect=0.0, effect_origin="margin")
    if found.sd is None:
        return found
    return replace(found, effect=found.sign * SMALL * found.sd, effect_origin="assumed")
