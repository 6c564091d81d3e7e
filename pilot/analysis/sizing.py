"""Planning a size: what is expected, and the smallest number of units or effect with the wanted power."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pilot.errors import InputError

_MOST = 1e12
"""Units per arm beyond which no pilot will go."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a planner expects, before anything is known.

    Attributes:
        mean: Mean of control; of a yes or no outcome its share of yes. None where it does not matter.
        sd: Standard deviation in control, and in the pilot arm unless `sd_pilot` says otherwise.
        sd_pilot: Standard deviation in the pilot arm.
        levels, shares: Expected distribution of control over the levels of a rating; they give `mean` and `sd`.
        share: The pilot arm's share of the units of both arms.
        explained: Share of the variance that strata or covariates explain (R squared).
        events: Share of all units in which the event of a time outcome is seen.
    """

    mean: float | None = None
    sd: float | None = None
    sd_pilot: float | None = None
    levels: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    share: float = 0.5
    explained: float = 0.0
    events: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be expected.

        Raises:
            InputError: A share is no share, a spread is not above 0, or levels and shares do not fit.
        """
        if not 0 < self.share < 1:
            raise InputError(f"{self.share:g} is no share", place="share", remedy="It lies between 0 and 1")
        if not 0 <= self.explained < 1:
            raise InputError(f"{self.explained:g} is no share", place="explained", remedy="It lies from 0 to below 1")
        if not 0 < self.events <= 1:
            raise InputError(f"{self.events:g} is no share", place="events", remedy="It lies above 0, up to 1")
        for name in ("sd", "sd_pilot"):
            spread = getattr(self, name)
            if spread is not None and not 0 < spread < math.inf:
                raise InputError("a spread is above 0", place=name)
        if len(self.levels) != len(self.shares):
            raise InputError("there must be one share for each level", place="shares")
        if self.shares and (min(self.shares) < 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-6)):
            raise InputError("the shares of the levels must be 0 or more and sum to 1", place="shares")

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
    if excess(high) < 0:
        raise InputError(
            "no number of units is enough",
            place=place,
            remedy="The true effect must lie on the wanted side of the margin",
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


def _check_chance(wanted: float) -> None:
    if not 0 < wanted < 1:
        raise InputError(f"{wanted:g} is no chance", place="power", remedy="It lies between 0 and 1, mostly at 0.8")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-14))
