"""How many answers describe a frame precisely enough, and how precisely so many answers describe it.

Here the finite population correction is right: whoever has answered is known, and only the others are uncertain. It is
wrong for a contrast of arms (see `pilot.analysis.planning`).

Reference: Cochran 1977, Sampling Techniques, 4.4 and 4.6.
"""

from __future__ import annotations

import math

from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError


def survey_size(
    half_width: float,
    *,
    share: float | None = None,
    sd: float | None = None,
    population: int | None = None,
    level: float = 0.95,
) -> float:
    """Answers, unrounded, that describe a frame to within a half width: a share of it, or a mean.

    Args:
        half_width: Wanted half width of the interval.
        share: The expected share; 0.5 is the worst case.
        sd: The expected standard deviation, for a mean.
        population: Customers in the frame; None where it is endless.
        level: Two-sided confidence level.

    Raises:
        InputError: Neither or both of share and spread are given, or a number is out of its range.
    """
    if not 0 < half_width < math.inf:
        raise InputError(f"{half_width:g} is no half width", place="half_width", remedy="It is above 0, such as 0.05")
    endless = (normal_quantile((1 + level) / 2) / half_width) ** 2 * _variance(share, sd)
    if population is None:
        return endless
    return endless / (1 + (endless - (share is not None)) / population)


def survey_precision(
    answers: float,
    *,
    share: float | None = None,
    sd: float | None = None,
    population: int | None = None,
    level: float = 0.95,
) -> float:
    """Half width of the interval with which so many answers describe a frame; the reverse of `survey_size`.

    Args:
        answers: How many.
        share: The expected share.
        sd: The expected standard deviation, for a mean.
        population: Customers in the frame; None where it is endless.
        level: Two-sided confidence level.

    Raises:
        InputError: As for `survey_size`; or there are more answers than customers.
    """
    if answers <= 0 or (population is not None and answers > population):
        raise InputError(f"{answers:g} answers cannot be", place="answers")
    variance = _variance(share, sd) / answers
    if population is not None:
        variance *= (population - answers) / max(population - (share is not None), 1)
    return normal_quantile((1 + level) / 2) * math.sqrt(variance)


def _variance(share: float | None, sd: float | None) -> float:
    if share is not None and sd is None:
        if not 0 < share < 1:
            raise InputError(
                f"{share:g} is no share", place="share", remedy="It lies between 0 and 1; 0.5 is the worst"
            )
        return share * (1 - share)
    if sd is None or share is not None:
        raise InputError("either the share or the standard deviation is needed", place="share")
    if not 0 < sd < math.inf:
        raise InputError("a spread is above 0", place="sd")
    return sd**2
