"""Ranks of a weighted sample: the design-based rank test, and the win probability in the population.

Reference: Lumley and Scott 2013, Biometrika 100:831; Brunner and Munzel 2000, Biometrical Journal 42:17, for placements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.analysis.surveyweights import Design
from pilot.analysis.tails import log_t_upper, two_sided


def population_ranks(values: npt.ArrayLike, weight: npt.ArrayLike) -> FloatArray:
    """Where each value stands in the population: the share below it, and half of the share that is equal."""
    levels, place = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    held = np.bincount(place, np.asarray(weight, dtype=np.float64), minlength=len(levels))
    return np.asarray(((np.cumsum(held) - held / 2) / held.sum())[place])


@dataclass(frozen=True, slots=True)
class RankTest:
    """Whether the population's ranks differ between two arms.

    Attributes:
        difference: Of the arms' mean ranks, on a scale from 0 to 1, pilot minus control: the win probability less one half.
        t: The difference in standard errors, as they are where the arms do not differ.
        df: Clusters (units) less strata, less one.
    """

    difference: float
    t: float
    df: int

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value."""
        return two_sided(log_t_upper(abs(self.t), self.df))


def design_rank_test(values: npt.ArrayLike, arm: npt.ArrayLike, design: Design) -> RankTest | None:
    """Lumley and Scott's rank test of two arms, with the ranks that the population has.

    Tied values share the middle of their share of the population. R's `svyranktest` averages over tied units instead, which
    differs, and depends on the order of rows, where these have unequal weights.

    Args:
        values: Of the units.
        arm: 1 for the pilot arm; both arms have units.
        design: How the units were drawn.

    Returns:
        The test, or None where no spread or no degree of freedom is left.

    Raises:
        InputError: The design has a stratum with one cluster.
    """
    rank, pilot = population_ranks(values, design.weight), np.asarray(arm) == 1
    means = [float(np.average(rank[own], weights=design.weight[own])) for own in (~pilot, pilot)]
    scores = design.weight * np.where(pilot, rank - means[1], means[0] - rank)
    for own in (~pilot, pilot):
        scores[own] /= design.weight[own].sum()
    parts, df = design.parts(scores[:, None])
    variance, freedom = float(parts.sum()), int(df.sum()) - 1
    if variance <= 0 or freedom < 1:
        return None
    return RankTest(means[1] - means[0], (means[1] - means[0]) / math.sqrt(variance), freedom)


def win_scores(values: npt.ArrayLike, arm: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[float, FloatArray]:
    """The chance that a pilot customer's value is higher than one of control's, ties split evenly, and its linearised scores.

    Args:
        values: Of the units.
        arm: 1 for the pilot arm; both arms have units.
        weight: How many of the population each unit stands for.

    Returns:
        The win probability in the population, and what each unit adds to its error, whether the arms differ or not.
    """
    value, weights, pilot = (
        np.asarray(values, dtype=np.float64),
        np.asarray(weight, dtype=np.float64),
        np.asarray(arm) == 1,
    )
    beaten = _standing(value[pilot], value[~pilot], weights[~pilot])
    beating = 1 - _standing(value[~pilot], value[pilot], weights[pilot])
    chance = float(np.average(beaten, weights=weights[pilot]))
    scores = np.empty(len(value))
    scores[pilot] = weights[pilot] * (beaten - chance) / weights[pilot].sum()
    scores[~pilot] = weights[~pilot] * (beating - chance) / weights[~pilot].sum()
    return chance, scores


def _standing(values: FloatArray, others: FloatArray, weight: FloatArray) -> FloatArray:
    """Share of the others' weight below each value, and half of what is equal."""
    order = np.argsort(others, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weight[order])])
    left, right = (np.searchsorted(others[order], values, side=side) for side in ("left", "right"))
    return np.asarray((below[left] + below[right]) / (2 * below[-1]))
