"""The net promoter score of answers from 0 to 10: promoters (9, 10) less detractors (0 to 6), in points of a hundred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import IntArray
from pilot.errors import InputError

POINTS = (-100.0, 0.0, 100.0)
"""What a detractor, a passive and a promoter count for; the mean is the score."""

_PASSIVE, _PROMOTER, _HIGHEST = 7, 9, 10


def recoded(counts: npt.ArrayLike, levels: Sequence[float], *, place: str = "") -> IntArray:
    """Counts of detractors, passives and promoters, in place of those of the levels.

    The variance of a mean of these three values is the multinomial one, `promoters + detractors - (promoters -
    detractors)^2` as shares: it knows that no customer is both.

    Args:
        counts: Counts whose last axis is the levels.
        levels: Whole numbers from 0 to 10, or the points -100, 0 and 100 themselves.
        place: What the error names.

    Raises:
        InputError: The levels are others, or end so low that the question can hardly have gone to 10.

    Reference: Reichheld 2003, Harvard Business Review 81(12):46; Rocks 2016, The American Statistician 70:365.
    """
    table = np.asarray(counts, dtype=np.int64)
    groups = [_group(level, given=levels, place=place) for level in levels]
    found = np.zeros((*table.shape[:-1], len(POINTS)), dtype=np.int64)
    for position, group in enumerate(groups):
        found[..., group] += table[..., position]
    return found


def _group(level: float, *, given: Sequence[float], place: str) -> int:
    if set(given) <= set(POINTS) and max(abs(value) for value in given) > _HIGHEST:
        return POINTS.index(level)
    if not all(value in range(_HIGHEST + 1) for value in given) or max(given) < _PASSIVE:
        raise InputError(
            f"answers run from {min(given):g} to {max(given):g}, not from 0 to 10",
            place=place,
            remedy="A net promoter score needs the question from 0 to 10; use welch or mann-whitney for other scales",
        )
    return 0 if level < _PASSIVE else 1 if level < _PROMOTER else 2
