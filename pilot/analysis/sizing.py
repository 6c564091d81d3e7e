"""Planning a size: what is expected, and the smallest number of units or effect with the wanted power."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pilot.errors import InputError

_MOST = 1e12
"""Units per arm beyond which no pilot will go."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a planner expects, before anything is known.

    Attributes:
        mean: Mean of control; of a yes or no outcome its share of yes, where a margin is planned for its share of the
            better answer. None where it does not matter.
        sd: Standard deviation in control, and in the pilot arm unless `sd_pilot` says otherwise.
        sd_pilot: Standard deviation in the pilot arm.
        levels, shares: Expected distribution of control over the levels of a rating; they give `mean` and `sd`.
        share: The pilot arm's share of the units of both arms.
        explained: Share of the variance that strata or covariates explain (R squared).
        events: Share of all units in which the event of a time outcome is seen.
        pilots: Number of pilot arms, each as large as the one planned; asked for where one level holds for all arms.
        strata: Shares of the strata, where effects of strata are compared; they need not sum to 1.
        compliers: Share of customers whose handling the assignment changes, where the effect on them is planned.
        response: Shares of the assigned customers of control and of the pilot arm who answer, where answers are missing.
    """

    mean: float | None = None
    sd: float | None = None
    sd_pilot: float | None = None
    levels: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    share: float = 0.5
    explained: float = 0.0
    events: float = 1.0
    pilots: int = 1
    strata: tuple[float, ...] = ()
    compliers: float | None = None
    response: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be expected.

        Raises:
            InputError: A share is no share, a spread is not above 0, a mean or level is not finite, levels and shares do not
                fit, or there is no arm.
        """
        for place, holds, text, remedy in (
            ("share", 0 < self.share < 1, f"{self.share:g} is no share", "It lies between 0 and 1"),
            ("explained", 0 <= self.explained < 1, f"{self.explained:g} is no share", "It lies from 0 to below 1"),
            ("events", 0 < self.events <= 1, f"{self.events:g} is no share", "It lies above 0, up to 1"),
            ("pilots", self.pilots >= 1, "there is at least one pilot arm", ""),
            ("strata", _all_above_0(self.strata), "shares of strata are above 0", "Leave empty strata out"),
            ("compliers", _are_shares(self.compliers), "a share lies above 0, up to 1", ""),
            ("response", _are_shares(*self.response or ()), "a share lies above 0, up to 1", ""),
            ("mean", self.mean is None or math.isfinite(self.mean), "the mean is no finite number", ""),
            ("levels", all(map(math.isfinite, self.levels)), "a level is no finite number", ""),
            ("sd", _all_above_0((self.sd,)), "a spread is above 0", ""),
            ("sd_pilot", _all_above_0((self.sd_pilot,)), "a spread is above 0", ""),
            ("shares", len(self.levels) == len(self.shares), "there must be one share for each level", ""),
            ("shares", _is_whole(self.shares), "the shares of the levels must be 0 or more and sum to 1", ""),
        ):
            if not holds:
                raise InputError(text, place=place, remedy=remedy)

    @property
    def spreads(self) -> tuple[float, float]:
        """Standard deviations of control and of the pilot arm, after what strata and covariates explain.

        Raises:
            InputError: Neither `sd` nor levels are given.
        """
        control = self.sd if self.sd is not None else self._sd_of_levels()
        pilot = control if self.sd_pilot is None else self.sd_pilot
        kept = math.sqrt(1 - self.explained)
        return control * kept, pilot * kept

    @property
    def centre(self) -> float:
        """Mean of control.

        Raises:
            InputError: Neither `mean` nor levels are given.
        """
        if self.mean is not None:
            return self.mean
        if not self.levels:
            raise InputError("the mean (for yes or no: the share) of control is needed", place="mean")
        return float(np.dot(self.levels, self.shares))

    def _sd_of_levels(self) -> float:
        if not self.levels:
            raise InputError("the standard deviation is needed", place="sd")
        values, shares = np.asarray(self.levels), np.asarray(self.shares)
        spread = math.sqrt(float(shares @ (values - self.centre) ** 2))
        if spread == 0:
            raise InputError("all is expected on one level, so there is no spread", place="shares")
        return spread


def check_planned(effect: float, n: Sequence[float]) -> None:
    """Refuse an effect, or numbers of units, that no plan can have.

    Args:
        effect: The true effect.
        n: Units of control and of the pilot arm.

    Raises:
        InputError: The effect is not finite, or an arm has not a finite number of units above 0.
    """
    if not math.isfinite(effect):
        raise InputError(f"an effect of {effect:g} cannot be planned", place="effect", remedy="Give a finite number")
    for units in n:
        if not 0 < units < math.inf:
            raise InputError(
                f"an arm cannot have {units:g} units", place="n", remedy="Give the units of each arm, above 0"
            )


def smallest_size(
    power_at: Callable[[tuple[float, float]], float], share: float, wanted: float, *, place: str
) -> tuple[float, float]:
    """Units of control and pilot arm, unrounded, at which a power that grows with them is reached.

    Raises:
        InputError: `wanted` is no chance, or even the largest size does not reach it.
    """
    _check_chance(wanted)

    def excess(log_total: float) -> float:
        total = math.exp(log_total)
        return power_at((total * (1 - share), total * share)) - wanted

    low, high = math.log(4 / min(share, 1 - share)), math.log(_MOST)
    if not excess(high) >= 0:  # nor where it is not a number
        raise InputError(
            "no number of units is enough",
            place=place,
            remedy="Plan a larger effect; where there is a margin, the true effect must lie on its wanted side",
        )
    total = math.exp(low if excess(low) >= 0 else _root(excess, low, high))
    return total * (1 - share), total * share


def smallest_effect(power_at: Callable[[float], float], sign: int, wanted: float, *, place: str) -> float:
    """The effect of this sign nearest to 0 at which a power that grows with it is reached.

    Raises:
        InputError: `wanted` is no chance, or no effect reaches it.
    """
    _check_chance(wanted)
    if power_at(0.0) >= wanted:
        return 0.0
    high = 1e-6
    while high < _MOST:
        try:
            if power_at(sign * high) >= wanted:
                return sign * _root(lambda size: power_at(sign * size) - wanted, 0.0, high)
        except InputError:  # beyond the scale
            break
        high *= 1.5
    raise InputError("no effect that the scale allows is large enough", place=place, remedy="Plan more units")


def _all_above_0(numbers: Sequence[float | None]) -> bool:
    return all(number is None or 0 < number < math.inf for number in numbers)


def _are_shares(*numbers: float | None) -> bool:
    return all(number is None or 0 < number <= 1 for number in numbers)


def _is_whole(shares: Sequence[float]) -> bool:
    return not shares or (min(shares) >= 0 and math.isclose(sum(shares), 1, abs_tol=1e-6))


def _check_chance(wanted: float) -> None:
    if not 0 < wanted < 1:
        raise InputError(f"{wanted:g} is no chance", place="power", remedy="It lies between 0 and 1, mostly at 0.8")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-14))
