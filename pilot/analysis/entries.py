"""Columns and tables given by a caller, refused with the name of the entry that cannot be used."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.errors import InputError


def numbers_of(
    values: npt.ArrayLike, place: str, *, least: float = -math.inf, remedy: str = "Correct the number"
) -> FloatArray:
    """Finite numbers as an array.

    Args:
        values: The numbers, in any shape.
        place: What they are called, for errors.
        least: The smallest that there can be.
        remedy: What to do about one that cannot be.

    Raises:
        InputError: One is not finite, or below `least`; it is named by its place from 1. Or they make no table.
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            "these are no numbers, or rows of different lengths",
            place=place,
            remedy="Give as many numbers in every row",
        ) from error
    wrong = ~(np.isfinite(found) & (found >= least))
    if wrong.any():
        limit = f" from {least:g}" if math.isfinite(least) else ""
        where = ", ".join(str(step[0] + 1) for step in np.nonzero(wrong))
        raise InputError(f"entry {where or 1} is no finite number{limit}", place=place, remedy=remedy)
    return found


def check_length(values: npt.ArrayLike, size: int, place: str, *, of: str = "units") -> None:
    """Refuse a column that does not have one entry for each unit.

    Args:
        values: The column, or a table by (unit, column).
        size: Number of units.
        place: What it is called, for errors.
        of: What has the entries.

    Raises:
        InputError: Their numbers differ.
    """
    length = len(np.atleast_1d(np.asarray(values)))
    if length != size:
        raise InputError(f"there are {length:,} entries for {size:,} {of}", place=place, remedy="Give one for each")


def check_ascending(levels: FloatArray) -> None:
    """Refuse levels of which one does not lie above the one before it.

    Raises:
        InputError: There is such a level; it is named.
    """
    wrong = ~(np.diff(levels) > 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{levels[first + 1]:g} does not come after {levels[first]:g}",
            place="levels",
            remedy="Give each level once, in ascending order, with the counts in the same order",
        )
