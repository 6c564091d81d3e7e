"""What the analyses of means share: the difference a pair of arms supports, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import ArmSummary, Check, Comparison
from pilot.analysis.contract import Analysis
from pilot.analysis.means import MeanDifference, layers, mean_difference
from pilot.analysis.moments import pooled
from pilot.analysis.pairs import Pair
from pilot.analysis.strata import NO_COMMON_STRATUM, Inside, inside_strata, likeness, strata_weights, unlike

Level = Annotated[float, Field(gt=0.5, le=0.9999999999)]
"""A two-sided confidence level. Nearer to 1 quantiles lose their digits."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference of means, how it was made, and what was looked at beside it.

    Attributes:
        pair: The arms, seen through the strata that were compared.
        difference: The difference.
        method: One line.
        arms: The arms' own numbers.
        checks: Assumptions looked at.
    """

    pair: Pair
    difference: MeanDifference
    method: str
    arms: tuple[ArmSummary, ArmSummary]
    checks: tuple[Check, ...]


def effect(pair: Pair, *, by_strata: bool) -> Effect | str:
    """The difference of means of two arms, or the reason why there is none.

    Args:
        pair: The arms.
        by_strata: Whether to compare inside strata and weight them to the population.
    """
    seen = inside_strata(pair) if by_strata else pair
    lack = lacking(seen)
    if lack:
        return lack
    return _stratified(seen) if by_strata and pair.stratified else _plain(seen)


def lacking(pair: Pair) -> str:
    """Why two arms cannot be compared by their means; empty if they can."""
    for summary in pair.summaries():
        if summary.n == 0:
            return f"{summary.arm} has no {pair.units}"
    if isinstance(pair, Inside) and not pair.kept.any():
        return NO_COMMON_STRATUM
    for summary in pair.summaries():
        if summary.n == 1:
            return f"{summary.arm} has only one of the {pair.units}; a spread needs at least two"
    if not pair.m2.any() and all(summary.sd == 0 for summary in pair.summaries()):
        return f"all {pair.units} of each arm are equal, so there is no spread to measure uncertainty by"
    return ""


def record(
    analysis: Analysis, pair: Pair, *, arms: tuple[ArmSummary, ...], checks: Sequence[Check], **numbers: Any
) -> Comparison:
    """A comparison of this pair by this analysis; every check that did not pass becomes a warning."""
    every = (*checks, *review.disagreement(numbers), *review.excluded(pair))
    if analysis.on_scale and not unlike(every):
        every = (*every, *likeness(pair, every))
    if not any("cluster" in check.name for check in every):
        every = (*every, *review.ignored(analysis, pair))
    return Comparison(
        analysis=analysis.key,
        outcome=pair.evidence.outcome,
        arm=pair.arm,
        control=pair.control,
        arms=arms,
        settings=analysis.settings(),
        checks=every,
        warnings=review.warnings(every),
        **numbers,
    )


def _plain(pair: Pair) -> Effect | str:
    groups = [pooled(pair.n[row], pair.mean[row], pair.m2[row]) for row in (0, 1)]
    n, mean, m2 = zip(*groups, strict=True)
    difference = mean_difference(n, mean, m2)
    if difference is None:
        return f"the {pair.units} show no spread to measure uncertainty by"
    checks = (*_common(pair), *review.balance(pair))
    return Effect(pair, difference, "Welch's t, unequal variances", pair.summaries(), checks)


def _stratified(pair: Pair) -> Effect | str:
    weights, source = strata_weights(pair)
    found = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
    difference = mean_difference(found.n, found.mean, found.m2, found.weights)
    if difference is None:
        return (
            f"inside the strata all {pair.units} of each arm are equal, so there is no spread to measure uncertainty by"
        )
    checks = (*_common(pair), *review.cells(pair, found))
    strata = "1 stratum" if found.n.shape[1] == 1 else f"{found.n.shape[1]} strata"
    method = f"Stratified difference, {strata} weighted by {source}, Satterthwaite's t"
    arms = pair.summaries(np.asarray(difference.means))
    return Effect(pair, difference, method, arms, checks)


def _common(pair: Pair) -> tuple[Check, ...]:
    return (
        review.sizes(pair),
        *review.spread(pair),
        *review.ceiling(pair),
        *review.tails(pair),
        *review.rare(pair),
        *review.response(pair),
    )
