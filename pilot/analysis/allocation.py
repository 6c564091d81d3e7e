"""Sharing a sample among strata: in proportion, by spread (Neyman), or by spread and cost; and what that gives.

Every allocation is exact: it sums to the total, takes no more of a stratum than it holds, and no fewer than a minimum. A
stratum that would be overfilled is taken whole, and its rest goes to the others, which is what minimises the variance.

Reference: Neyman 1934, JRSS 97:558; Cochran 1977, Sampling Techniques, sections 5.5 to 5.9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pilot.analysis.apportionment import apportion
from pilot.analysis.moments import FloatArray, IntArray, whole
from pilot.errors import InputError

_LAST = 1e-9
"""Strata of no spread come last: they count as if their spread were so small a share of the largest one."""


def proportional(total: int, sizes: Sequence[int], *, minimum: int = 2, labels: Sequence[str] = ()) -> IntArray:
    """Each stratum in proportion to its size.

    Args:
        total: Units to be drawn.
        sizes: Units that each stratum holds.
        minimum: Units drawn of each stratum at least; all of it where it holds fewer.
        labels: Of the strata, for errors.

    Returns:
        Units to be drawn by stratum; they sum to `total`.

    Raises:
        InputError: The total is too small or too large, a stratum is empty, or a number is not whole; the error names the
            stratum.
    """
    held = _held(sizes, labels)
    return _allocated(total, held, held.astype(np.float64), minimum, labels)


def neyman(
    total: int, sizes: Sequence[int], spreads: Sequence[float], *, minimum: int = 2, labels: Sequence[str] = ()
) -> IntArray:
    """Each stratum in proportion to size times spread, which makes the variance of the mean smallest.

    Args:
        total: Units to be drawn.
        sizes: Units that each stratum holds.
        spreads: Standard deviation in each stratum, 0 or more.
        minimum: As for `proportional`, as are `labels`, the result and the errors.
        labels: Of the strata, for errors.

    Raises:
        InputError: Also where a spread is no number from 0.
    """
    return cost_optimal(total, sizes, spreads, [1.0] * len(sizes), minimum=minimum, labels=labels)


def cost_optimal(
    total: int,
    sizes: Sequence[int],
    spreads: Sequence[float],
    costs: Sequence[float],
    *,
    minimum: int = 2,
    labels: Sequence[str] = (),
) -> IntArray:
    """Each stratum in proportion to size times spread over the root of the cost of a unit.

    Args:
        total: Units to be drawn; `affordable` says how many a budget allows.
        sizes: Units that each stratum holds.
        spreads: Standard deviation in each stratum, 0 or more.
        costs: Cost of one unit in each stratum, above 0.
        minimum: As for `proportional`, as are `labels`, the result and the errors.
        labels: Of the strata, for errors.

    Raises:
        InputError: Also where a spread is no number from 0, or a cost none above 0.
    """
    held = _held(sizes, labels)
    return _allocated(total, held, _score(held, spreads, _costs(costs, held, labels), labels), minimum, labels)


def affordable(budget: float, sizes: Sequence[int], spreads: Sequence[float], costs: Sequence[float]) -> float:
    """Units that a budget allows if they are shared by `cost_optimal` without a minimum, unrounded.

    A stratum that would be overfilled is taken whole; the answer is never above what all strata hold.

    Args:
        budget: What may be spent on units, 0 or more; fixed costs are not in it.
        sizes: Units that each stratum holds.
        spreads: Standard deviation in each stratum; one at least is above 0.
        costs: Cost of one unit in each stratum, above 0.

    Raises:
        InputError: A spread is no number from 0, or all are 0, a cost is none above 0, or the budget none from 0.

    Reference: Cochran 1977, formula 5.24.
    """
    if not 0 <= budget < math.inf:
        raise InputError(f"{budget:g} is no budget", place="budget", remedy="Give a number from 0")
    held = _held(sizes, ())
    cost = _costs(costs, held, ())
    score = _score(held, spreads, cost, ())
    if not np.asarray(spreads).any():
        raise InputError("no stratum has a spread", place="spread", remedy="Give one spread above 0 at least")
    if budget >= cost @ held:
        return float(held.sum())
    return float(np.minimum(_scale(budget, score, np.zeros_like(held), held, cost) * score, held).sum())


def mean_variance(
    units: npt.ArrayLike, sizes: Sequence[int], spreads: Sequence[float], *, finite: bool = True
) -> float:
    """Expected variance of the population's mean, estimated from this allocation.

    Args:
        units: Drawn by stratum: whole numbers, no more than it holds.
        sizes: Units that each stratum holds.
        spreads: Standard deviation in each stratum.
        finite: Whether what is drawn is a part of what is meant: for a mean of these customers, never for a comparison.

    Raises:
        InputError: A stratum with a spread has no units, more were drawn of a stratum than it holds, or a spread is no number
            from 0.
    """
    held = _held(sizes, ())
    spread = _numbers(spreads, held, (), "spread", least=0.0)
    drawn = _whole(units, ())
    _check_drawn(drawn, held, spread)
    left = 1 - drawn / held if finite else 1.0
    return float(((held / held.sum()) ** 2 * spread**2 / np.maximum(drawn, 1) * left).sum())


def difference_variance(
    units: npt.ArrayLike, sizes: Sequence[int], spreads: Sequence[float], *, share: float = 0.5
) -> float:
    """Expected variance of the population-weighted difference of two arms among which each stratum's units are divided.

    Args:
        units: Drawn by stratum.
        sizes: Units that each stratum holds.
        spreads: Standard deviation in each stratum, the same in both arms.
        share: The pilot arm's share of each stratum's units.

    Raises:
        InputError: `share` is none, or as for `mean_variance`.
    """
    if not 0 < share < 1:
        raise InputError(f"{share:g} is no share", place="share", remedy="It lies between 0 and 1")
    return mean_variance(units, sizes, spreads, finite=False) / (share * (1 - share))


def _allocated(total: int, held: IntArray, score: FloatArray, minimum: int, labels: Sequence[str]) -> IntArray:
    """The total in proportion to the scores, between what is asked of each stratum at least and what it holds."""
    for place, number in (("total", total), ("minimum", minimum)):
        if not float(number).is_integer():
            raise InputError(f"{number:g} is no whole number", place=place, remedy="Give whole units")
    floor = np.minimum(max(minimum, 0), held)
    _check_total(total, held, floor, labels)
    scale = _scale(total, score, floor, held, np.ones(len(held)))
    quota = np.clip(scale * score, floor, held)
    free = (scale * score > floor) & (scale * score < held)
    found = np.where(free, 0, np.rint(quota)).astype(np.int64)
    if free.any():
        found[free] = apportion(total - int(found.sum()), score[free].tolist())
    return found


def _scale(total: float, score: FloatArray, floor: IntArray, held: IntArray, cost: FloatArray) -> float:
    """The factor at which scores, kept between their bounds, cost the total; exact, as the sum is made of straight lines."""
    turns = np.unique(np.concatenate([floor, held]) / np.tile(score, 2))
    sums = np.clip(turns[:, None] * score, floor, held) @ cost
    place = min(int(np.searchsorted(sums, total)), len(turns) - 1)
    if place == 0:
        return float(turns[0])
    below, above = sums[place - 1], sums[place]
    return float(turns[place - 1] + (total - below) / (above - below) * (turns[place] - turns[place - 1]))


def _check_total(total: int, held: IntArray, floor: IntArray, labels: Sequence[str]) -> None:
    if total > held.sum():
        raise InputError(f"{total:,} units are asked for, but the strata hold {held.sum():,}", place="total")
    if total < floor.sum():
        short = _named(int(np.argmin(held)), labels)
        raise InputError(
            f"{total:,} units do not give each of {len(held):,} strata its minimum, {floor.sum():,} in all",
            place="total",
            remedy=f"Draw more, or join strata: the smallest is {short} with {held.min():,} units",
        )


def _check_drawn(drawn: IntArray, held: IntArray, spread: FloatArray) -> None:
    if drawn.shape != held.shape:
        raise InputError(
            f"there must be one number drawn for each of {len(held):,} strata", place="units", remedy="Give 0 for none"
        )
    wrong = (drawn < 0) | (drawn > held)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{drawn[first]:,} units are drawn of {held[first]:,}",
            place=_named(first, ()),
            remedy="Draw no more than a stratum holds",
        )
    empty = (drawn < 1) & (spread > 0)
    if empty.any():
        raise InputError("no unit is drawn", place=_named(int(np.argmax(empty)), ()), remedy="Draw two at least")


def _held(sizes: npt.ArrayLike, labels: Sequence[str]) -> IntArray:
    held = _whole(sizes, labels)
    if not len(held):
        raise InputError("there is no stratum", place="sizes", remedy="Give the units of one stratum at least")
    if (held < 1).any():
        raise InputError("there is no unit", place=_named(int(np.argmin(held)), labels), remedy="Leave the stratum out")
    return held


def _whole(values: npt.ArrayLike, labels: Sequence[str]) -> IntArray:
    """Numbers of units by stratum; a part of a unit is refused and not cut off."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise InputError(
            "there must be one number for each stratum", place="sizes", remedy="Give a plain list of numbers"
        )
    wrong = ~np.isfinite(found) | (found != np.rint(found))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"{found[first]:g} is no whole number", place=_named(first, labels), remedy="Give whole units")
    return whole(found)


def _costs(costs: Sequence[float], held: IntArray, labels: Sequence[str]) -> FloatArray:
    return _numbers(costs, held, labels, "cost", least=math.ulp(0.0))


def _score(held: IntArray, spreads: Sequence[float], cost: FloatArray, labels: Sequence[str]) -> FloatArray:
    """What the units of the strata are in proportion to where the variance is smallest."""
    spread = _numbers(spreads, held, labels, "spread", least=0.0)
    return np.asarray(held * np.where(spread > 0, spread, _LAST * spread.max(initial=0.0) or 1.0) / np.sqrt(cost))


def _numbers(values: Sequence[float], held: IntArray, labels: Sequence[str], what: str, *, least: float) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != held.shape:
        raise InputError(f"there must be one {what} for each of {len(held):,} strata", place=what)
    wrong = ~(np.isfinite(found) & (found >= least))
    if wrong.any():
        limit = "0 or more" if least == 0 else "above 0"
        raise InputError(f"a {what} is {limit}", place=_named(int(np.argmax(wrong)), labels))
    return found


def _named(place: int, labels: Sequence[str]) -> str:
    return f"stratum {labels[place]}" if labels else f"stratum number {place + 1}"
