"""From units that must be analysed to customers to draw, in the right order, and back.

Backwards along the customer's way: so many independent values are needed; customers of one cluster are alike, so more
of them must answer; not all who are asked answer; not all who were drawn are still customers when they are asked; whole
customers, or whole clusters, are drawn in every arm and stratum. Only then is the sum held against the frame.

The number that the *contrast of arms* needs is never reduced because the frame is small: that variance stands for what
would have happened to the same customers in the other arm, which nobody sees however many are drawn. The finite
population correction belongs to descriptions of the frame: `pilot.analysis.precision`.

Reference: Eldridge, Ashby and Kerry 2006, Int. J. Epidemiology 35:1292; Donner and Klar 2000, Cluster Randomization
Trials, chapter 5; Imbens and Rubin 2015, Causal Inference, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pilot.analysis.clusters import design_effect
from pilot.errors import InputError

ALPHA = 0.05
"""A design whose exact test of clusters can never reach this p value is refused."""

FEW_CLUSTERS = 5
"""Fewer clusters than this in an arm deserve a warning: the usual intervals are then a rough guide."""

_SLACK = 1e-9
"""What rounding up forgives: 100.0000000001 is 100."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What lies between a drawn customer and a value in the analysis.

    Attributes:
        response: Share of those asked who answer.
        attrition: Share of those drawn who are gone before they are asked.
        icc: Intraclass correlation, where clusters (sales reps, legal entities) are assigned as a whole; else 0.
        cluster_size: Drawn customers per cluster, on average.
        cluster_cv: Coefficient of variation of the clusters' sizes.
    """

    response: float = 1.0
    attrition: float = 0.0
    icc: float = 0.0
    cluster_size: float = 1.0
    cluster_cv: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: A share is no share, a size is none, or customers are alike in clusters of unsaid size.
        """
        for name, holds, remedy in (
            ("response", 0 < self.response <= 1, "It is a share above 0, up to 1"),
            ("attrition", 0 <= self.attrition < 1, "It is a share from 0 to below 1"),
            ("icc", 0 <= self.icc < 1, "It lies from 0 to below 1, mostly at 0.01 to 0.1"),
            ("cluster_size", 1 <= self.cluster_size < math.inf, "A cluster has at least one customer"),
            ("cluster_cv", 0 <= self.cluster_cv < math.inf, "It is 0 where all clusters are of one size"),
        ):
            if not holds:
                raise InputError(f"{getattr(self, name):g} cannot be", place=name, remedy=remedy)
        if self.icc > 0 and not self.clustered:
            raise InputError(
                "customers of a cluster are alike, but a cluster has one only",
                place="cluster_size",
                remedy="Say how many customers a cluster has on average",
            )

    @property
    def kept(self) -> float:
        """Share of the drawn customers who are analysed."""
        return self.response * (1 - self.attrition)

    @property
    def clustered(self) -> bool:
        """Whether clusters are assigned."""
        return self.cluster_size > 1

    @property
    def design_effect(self) -> float:
        """How many answers say as much as one independent answer, with the clusters as they are after the losses.

        A customer who answers has `kept * ((1 + cv^2) m - 1)` others of the same cluster beside it: losses at random
        shrink clusters and make them more unequal, and both are in this number.
        """
        if not self.clustered:
            return 1.0
        left = self.kept * self.cluster_size
        thinned = math.sqrt(self.cluster_cv**2 + (1 - self.kept) / left)
        return design_effect(left, self.icc, thinned)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: a number per arm, control first, and what it means."""

    name: str
    numbers: tuple[float, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How many customers to draw, and how that came about.

    Attributes:
        analysed: Independent values that each arm needs, control first, unrounded.
        answers: Values each arm needs, after the design effect.
        asked: Customers to ask.
        drawn: Customers to draw for each arm: whole customers in every stratum.
        by_stratum: Customers to draw by stratum, for each arm; empty where there are no strata.
        clusters: Clusters to assign to each arm; empty where customers are assigned one by one.
        total: Customers to draw altogether.
        frame: Customers there are, or None if that was not said.
        lacking: How many the frame lacks, by stratum ("" for the whole); empty where it is large enough.
        steps: Each number with its sentence.
        warnings: What a reader must see beside the number.
    """

    analysed: tuple[float, ...]
    answers: tuple[float, ...]
    asked: tuple[float, ...]
    drawn: tuple[int, ...]
    by_stratum: Mapping[str, tuple[int, ...]]
    clusters: tuple[int, ...]
    total: int
    frame: int | None
    lacking: Mapping[str, int]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the frame has enough customers."""
        return not self.lacking

    def __str__(self) -> str:
        """All steps, one to a line."""
        return "\n".join([*(step.sentence for step in self.steps), *self.warnings])


def plan_size(
    analysed: Sequence[float],
    losses: Losses = Losses(),
    *,
    strata: Mapping[str, float] | None = None,
    frame: int | Mapping[str, int] | None = None,
) -> SampleSize:
    """How many customers to draw so that each arm ends with the values it needs.

    Args:
        analysed: Independent values that control and each pilot arm need, as `Analysis.sample_size` gives them.
        losses: What lies between drawing and analysis.
        strata: Share of each stratum in the sample; they need not sum to 1.
        frame: Customers there are: altogether, or by stratum.

    Raises:
        InputError: A number is none, strata and clusters are mixed, a stratum is unknown, the frame is empty, or so few
            clusters result that their exact test can never be significant.
    """
    needed = tuple(float(units) for units in analysed)
    if len(needed) < 2 or not all(0 < units < math.inf for units in needed):
        raise InputError("each arm needs a number of values above 0", place="analysed")
    _check_frame(frame)
    if losses.clustered and strata:
        raise InputError(
            "clusters are assigned as a whole, so customers cannot be rounded by stratum",
            place="strata",
            remedy="Plan the clusters without strata, or stratify the clusters",
        )
    answers = tuple(units * losses.design_effect for units in needed)
    asked = tuple(units / losses.response for units in answers)
    reached = tuple(units / (1 - losses.attrition) for units in asked)
    clusters = _clusters(reached, losses)
    by_stratum = _by_stratum(reached, strata or {})
    drawn = _drawn(reached, clusters, by_stratum, losses)
    lacking = _lacking(drawn, by_stratum, frame)
    size = SampleSize(
        analysed=needed,
        answers=answers,
        asked=asked,
        drawn=drawn,
        by_stratum=by_stratum,
        clusters=clusters,
        total=sum(drawn),
        frame=sum(frame.values()) if isinstance(frame, Mapping) else frame,
        lacking=lacking,
        steps=(),
        warnings=(),
    )
    return replace(size, steps=_steps(size, losses, reached), warnings=_warnings(size))


def smallest_cluster_p(clusters: Sequence[int]) -> float:
    """The smallest two-sided p value an exact test of two arms of clusters can have: two results out of all ways."""
    return min(1.0, 2 / math.comb(sum(clusters), clusters[0]))


def check_clusters(clusters: Sequence[int], alpha: float = ALPHA) -> None:
    """Refuse a design in which no result could ever be significant.

    Args:
        clusters: Clusters of control and of each pilot arm.
        alpha: Two-sided error.

    Raises:
        InputError: The exact test of an arm against control cannot reach `alpha`; the remedy says what can.
    """
    for pilot in clusters[1:]:
        smallest = smallest_cluster_p([clusters[0], pilot])
        if smallest > alpha:
            enough = next(n for n in range(1, 100) if smallest_cluster_p([n, n]) <= alpha)
            raise InputError(
                f"with {clusters[0]} against {pilot} clusters the p value of the exact test is never below "
                f"{smallest:.2g}, whatever happens",
                place="clusters",
                remedy=f"Assign at least {enough} clusters to each arm, or customers instead of clusters",
            )


def _clusters(drawn: tuple[float, ...], losses: Losses) -> tuple[int, ...]:
    """Whole clusters of each arm, and the one more that a t law takes (Donner and Klar 2000, 5.2)."""
    if not losses.clustered:
        return ()
    clusters = tuple(_up(units / losses.cluster_size) + 1 for units in drawn)
    check_clusters(clusters)
    return clusters


def _by_stratum(drawn: tuple[float, ...], strata: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    whole = math.fsum(strata.values())
    if strata and not (all(0 <= share < math.inf for share in strata.values()) and whole > 0):
        raise InputError("shares of strata are not negative and not all 0", place="strata")
    return {name: tuple(_up(units * share / whole) for units in drawn) for name, share in strata.items()}


def _drawn(
    exact: tuple[float, ...], clusters: tuple[int, ...], by_stratum: Mapping[str, tuple[int, ...]], losses: Losses
) -> tuple[int, ...]:
    if clusters:
        return tuple(_up(number * losses.cluster_size) for number in clusters)
    if by_stratum:
        return tuple(sum(arm) for arm in zip(*by_stratum.values(), strict=True))
    return tuple(_up(units) for units in exact)


def _check_frame(frame: int | Mapping[str, int] | None) -> None:
    counts = list(frame.values()) if isinstance(frame, Mapping) else [] if frame is None else [frame]
    if not all(0 <= count < math.inf for count in counts):
        raise InputError("a number of customers is 0 or more", place="frame", remedy="Correct the number")
    if frame is not None and sum(counts) == 0:
        raise InputError(
            "the frame is empty", place="frame", remedy="Say how many customers there are, or leave it out"
        )


def _lacking(
    drawn: tuple[int, ...], by_stratum: Mapping[str, tuple[int, ...]], frame: int | Mapping[str, int] | None
) -> dict[str, int]:
    if frame is None:
        return {}
    wanted = {"": sum(drawn)}
    available = {"": frame} if isinstance(frame, int) else dict(frame)
    if by_stratum and isinstance(frame, Mapping):
        unknown = sorted(set(by_stratum) - set(frame))
        if unknown:
            raise InputError(f"the frame has no stratum {unknown[0]!r}", place="frame", remedy="Give its customers too")
        wanted = {name: sum(arms) for name, arms in by_stratum.items()}
    elif isinstance(frame, Mapping):
        available = {"": sum(frame.values())}
    return {name: units - available[name] for name, units in wanted.items() if units > available[name]}


def _steps(size: SampleSize, losses: Losses, reached: tuple[float, ...]) -> tuple[Step, ...]:
    """Every step that changes a number, and the first and the last."""
    steps = [Step("analysed", size.analysed, f"The analysis needs {_arms(size.analysed)} independent values.")]
    if losses.clustered:
        effect = losses.design_effect
        steps.append(
            Step(
                "answers",
                size.answers,
                f"Customers of a cluster are alike (intraclass correlation {losses.icc:g}), and {_short(losses.kept)} "
                f"of {losses.cluster_size:g} are left in each: {effect:.3g} answers count as one, so "
                f"{_arms(size.answers)}.",
            )
        )
    if losses.response < 1:
        text = f"{_short(losses.response)} of those asked answer, so {_arms(size.asked)} are asked."
        steps.append(Step("asked", size.asked, text))
    if losses.attrition > 0:
        text = f"{_short(losses.attrition)} are gone before they are asked, so {_arms(reached)} are drawn."
        steps.append(Step("reached", reached, text))
    if size.clusters:
        more = "and one more for each arm because few of them tell their spread"
        text = f"In whole clusters, {more}: {_arms(size.clusters)} clusters."
        steps.append(Step("clusters", size.clusters, text))
    strata = f" in each of {len(size.by_stratum)} strata" if size.by_stratum else ""
    text = f"Rounded up{strata}, {_arms(size.drawn)} customers are drawn, {size.total:,} altogether."
    steps.append(Step("drawn", size.drawn, text))
    if size.frame is not None:
        text = f"The frame has {size.frame:,} customers, so that is {_short(size.total / size.frame)} of it."
        steps.append(Step("frame", (float(size.frame),), text))
    return tuple(steps)


def _warnings(size: SampleSize) -> tuple[str, ...]:
    found = [
        f"The frame lacks {count:,} customers{f' in the stratum {name}' if name else ''}: draw all of them and see "
        "what they can show, or plan for a larger effect."
        for name, count in size.lacking.items()
    ]
    if size.clusters and min(size.clusters) < FEW_CLUSTERS:
        found.append(
            f"An arm has only {min(size.clusters)} clusters; below {FEW_CLUSTERS} use the exact test of clusters."
        )
    return tuple(found)


def _arms(numbers: Sequence[float]) -> str:
    """Numbers of the arms, control first: `86 and 86`, with a decimal where they are not whole."""
    shown = [f"{number:,}" if isinstance(number, int) else f"{number:,.1f}" for number in numbers]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _short(share: float) -> str:
    return f"{100 * share:.3g} %"


def _up(units: float) -> int:
    return max(1, math.ceil(units * (1 - _SLACK)))
