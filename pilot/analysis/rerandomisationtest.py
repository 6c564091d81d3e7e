"""The randomisation test over all assignments that a rerandomised draw would have accepted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pilot.analysis.entries import check_length, numbers_of
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.rerandomisation import ROUNDING, Criterion, groups_of
from pilot.errors import InputError

MAX_WAYS = 200_000
"""Assignments up to which all are looked at; beyond, some are drawn."""

MAX_TRIES = 50_000_000
"""Assignments drawn at most to find acceptable ones."""

_BLOCK = 2_000_000
"""Cells of assignments handled at once."""


@dataclass(frozen=True, slots=True)
class RerandomisationTest:
    """What the acceptable assignments say of a difference of means.

    Attributes:
        estimate: The difference, pilot minus control.
        p_value: Two-sided: twice the smaller tail, the observed assignment included.
        low, high: Shifts that the test leaves open; None where no shift can be ruled out on that side.
        assignments: Acceptable assignments compared, the observed one included.
        exact: Whether these are all there are.
        error: Monte Carlo standard error of the p value; 0 if exact.
    """

    estimate: float
    p_value: float
    low: float | None
    high: float | None
    assignments: int
    exact: bool
    error: float


def rerandomisation_test(
    value: npt.ArrayLike,
    arm: npt.ArrayLike,
    covariates: npt.ArrayLike,
    threshold: float,
    *,
    stratum: npt.ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4_999,
    seed: int = 1,
) -> RerandomisationTest:
    """Compare the difference of means with that of all assignments that the design would have accepted.

    All are looked at where there are no more than `MAX_WAYS` assignments; else `draws` acceptable ones are drawn. The interval
    holds the shifts that the test leaves open; they follow from the same assignments.

    Args:
        value: Of each unit.
        arm: 1 for the pilot arm.
        covariates: By unit, or by (unit, covariate), as they were balanced.
        threshold: Largest Mahalanobis distance that is accepted.
        stratum: The stratum of each unit, where arms were assigned inside strata.
        level: Two-sided confidence level of the interval.
        draws: Acceptable assignments to be drawn.
        seed: Of the draws.

    Raises:
        InputError: An arm is empty, the observed assignment would not have been accepted, or acceptable ones are too rare;
            a value is no finite number, columns differ in length, or a setting is out of its range.

    Reference: Morgan and Rubin 2012, section 2.2; Gerber and Green 2012, Field Experiments, chapter 3.
    """
    _check_settings(threshold, level, draws)
    y, pilot = _columns(value, arm, covariates, stratum)
    criterion = Criterion.of(covariates, pilot, stratum)
    largest = threshold * (1 + ROUNDING)
    if criterion.distances(pilot)[0] > largest:
        raise InputError(
            f"the assignment's distance of {criterion.distances(pilot)[0]:.3g} is above {threshold:.3g}",
            place="arm",
            remedy="Give the threshold that the draw used",
        )
    groups = groups_of(stratum, len(y))
    exact = _ways(pilot, groups) <= MAX_WAYS
    blocks = _every(pilot, groups) if exact else _drawn(pilot, groups, np.random.default_rng(seed))
    accepted = _accepted(blocks, criterion, largest, None if exact else draws)
    return _tested(y, pilot, accepted, level, exact=exact)


def _check_settings(threshold: float, level: float, draws: int) -> None:
    checks: tuple[tuple[str, float, Callable[[float], bool], str, str], ...] = (
        ("threshold", threshold, lambda value: value >= 0, "is no distance", "Give the threshold that the draw used"),
        ("level", level, lambda value: 0 < value < 1, "is no level", "It lies between 0 and 1, mostly at 0.95"),
        ("draws", draws, lambda value: value >= 1, "assignments cannot be drawn", "Ask for a thousand or more"),
    )
    for place, value, holds, reason, remedy in checks:
        if not holds(value):
            raise InputError(f"{value:g} {reason}", place=place, remedy=remedy)


def _columns(
    value: npt.ArrayLike, arm: npt.ArrayLike, covariates: npt.ArrayLike, stratum: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """Outcomes and arms, after all columns were looked through."""
    pilot = np.atleast_1d(np.asarray(arm, dtype=np.float64))
    for place, column in (("value", value), ("covariates", covariates), ("stratum", stratum)):
        if column is not None:
            check_length(column, len(pilot), place)
    y = numbers_of(value, "value", remedy="The test needs the outcome of every unit that was assigned")
    if (wrong := ~np.isin(pilot, (0, 1))).any():
        raise InputError(
            f"entry {int(np.argmax(wrong)) + 1} is neither 0 nor 1", place="arm", remedy="Give 1 for the pilot arm"
        )
    if not 0 < pilot.sum() < len(pilot):
        raise InputError("an arm has no units", place="arm", remedy="Give units of both arms")
    return y, pilot


def _tested(
    y: FloatArray, pilot: FloatArray, accepted: FloatArray, level: float, *, exact: bool
) -> RerandomisationTest:
    n1 = pilot.sum()
    contrast = np.where(pilot > 0, 1 / n1, -1 / (len(pilot) - n1))
    observed = float(contrast @ y)
    contrasts = accepted / n1 - (1 - accepted) / (len(pilot) - n1)
    moved = contrasts @ pilot  # what a shift of 1 adds to each difference; 1 for the observed assignment
    others = moved < 1 - ROUNDING
    edges = np.sort((observed - contrasts[others] @ y) / (1 - moved[others]))
    same = int((~others).sum()) if exact else int((~others).sum()) + 1
    total = len(edges) + same
    slack = ROUNDING * max(float(np.abs(y).max()), 1e-300)
    tails = [same + int((edges <= slack).sum()), same + int((edges >= -slack).sum())]
    p = min(1.0, 2 * min(tails) / total)
    place = math.floor((1 - level) / 2 * total * (1 + ROUNDING)) - same
    low, high = (None, None) if place < 0 else (float(edges[place]), float(edges[-1 - place]))
    half = p / 2
    error = 0.0 if exact else 2 * math.sqrt(half * (1 - half) / total)
    return RerandomisationTest(observed, p, low, high, total, exact, error)


def _ways(pilot: FloatArray, groups: list[IntArray]) -> int:
    return math.prod(math.comb(len(own), int(pilot[own].sum())) for own in groups)


def _every(pilot: FloatArray, groups: list[IntArray]) -> Iterator[FloatArray]:
    """All assignments with as many pilot units in each stratum."""
    found = np.zeros((1, len(pilot)))
    for own in groups:
        chosen = np.array(list(combinations(own.tolist(), int(pilot[own].sum()))), dtype=np.int64)
        part = np.zeros((len(chosen), len(pilot)))
        np.put_along_axis(part, chosen, 1.0, axis=1)
        found = (found[:, None] + part[None]).reshape(-1, len(pilot))
    yield found


def _drawn(pilot: FloatArray, groups: list[IntArray], rng: np.random.Generator) -> Iterator[FloatArray]:
    """Random assignments with as many pilot units in each stratum, in blocks, without end but for `MAX_TRIES`."""
    size = max(1, _BLOCK // len(pilot))
    for _ in range(0, MAX_TRIES, size):
        found = np.empty((size, len(pilot)))
        for own in groups:
            found[:, own] = rng.permuted(np.broadcast_to(pilot[own], (size, len(own))), axis=1)
        yield found


def _accepted(blocks: Iterator[FloatArray], criterion: Criterion, largest: float, wanted: int | None) -> FloatArray:
    found: list[FloatArray] = []
    number = 0
    for block in blocks:
        found.append(block[criterion.distances(block) <= largest])
        number += len(found[-1])
        if wanted is not None and number >= wanted:
            return np.concatenate(found)[:wanted]
    if wanted is not None:
        raise InputError(
            f"of {MAX_TRIES:,} assignments only {number:,} are acceptable",
            place="threshold",
            remedy="Ask for fewer draws, or give the threshold that the draw used",
        )
    return np.concatenate(found)
