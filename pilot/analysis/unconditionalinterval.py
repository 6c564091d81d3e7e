"""The interval of a difference of shares that belongs to an unconditional exact test: all differences it does not refute.

For a supposed difference all tables are ordered by the distance of their score statistic from 0, as `barnard` orders them by
the pooled z where that difference is 0. p is the chance of a table at least as extreme as the observed one, at the shares
with this difference that make it largest.

Reference: Agresti and Min 2001, Biometrics 57:963; Chan and Zhang 1999, Biometrics 55:1202, invert two one-sided tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from pilot.analysis.moments import FloatArray
from pilot.analysis.scores import restricted_shares
from pilot.analysis.shares import YesOf
from pilot.analysis.unconditional import highest, spaced
from pilot.errors import InputError

MOST = 100
"""Customers of both arms together up to which the interval is computed: about half a second."""

_STEP, _OFFSET = 0.01, 0.0042857142
"""Differences tried from the ends inwards; a stretch that is shorter may be passed over. They are no round ones: at those
many tables are equally extreme, and p stands out as a single point."""

_CLOSE = 1e-7
"""How well a limit is known."""

_TIE = 1e-7
"""Tables whose statistics differ by less than this share are equally extreme."""

_ROUGH = 2
"""Shares tried within one standard deviation of an observed share, for a first look."""

_FAR, _NEAR = 0.8, 0.99
"""The largest chance at a first look, and at a close one, is below the allowed one if it is below this part of it."""


def unconditional_interval(pilot: YesOf, control: YesOf, level: float = 0.95) -> tuple[float, float]:
    """Smallest and largest difference of shares, pilot minus control, that the unconditional exact score test leaves open.

    It covers the true difference at least as often as `level` says. It leaves 0 out only if Barnard's p is at most
    `1 - level`; the other way round too, but for a few tables of very unequal arms, where differences on both sides of a
    refuted 0 are open.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.
        level: Two-sided confidence level.

    Raises:
        InputError: There are more than `MOST` units.
    """
    (yes1, n1), (yes0, n0) = pilot, control
    if n1 + n0 > MOST:
        raise InputError(
            f"the exact interval of {n1 + n0:,} customers takes too long",
            remedy=f"Up to {MOST:,} it is exact; use miettinen-nurminen for more",
        )
    tables = _Tables(yes1, n1, yes0, n0, 1 - level)
    mirrored = _Tables(yes0, n0, yes1, n1, 1 - level)
    low, high = _lowest(tables), -_lowest(mirrored)
    if not low <= 0 <= high and tables.open(0.0):
        low, high = min(low, 0.0), max(high, 0.0)
    return low + 0.0, high + 0.0


@dataclass(frozen=True)
class _Tables:
    """All tables of two arms, the observed one, and the allowed error."""

    yes1: int
    n1: int
    yes0: int
    n0: int
    error: float

    @cached_property
    def _gap(self) -> FloatArray:
        return np.asarray(np.arange(self.n1 + 1)[:, None] / self.n1 - np.arange(self.n0 + 1) / self.n0)

    @property
    def estimate(self) -> float:
        """The observed difference."""
        return float(self._gap[self.yes1, self.yes0])

    def open(self, difference: float) -> bool:
        """Whether the test leaves this difference open."""
        extreme, units = self._extreme(difference), self.n1 + self.n0

        def chance(angles: FloatArray) -> FloatArray:
            return self._chance(extreme, difference, angles)

        for angles, enough in ((spaced(units, _ROUGH), _FAR), (spaced(units), _NEAR)):
            seen = float(chance(angles).max())
            if not enough * self.error <= seen <= self.error:
                return seen > self.error
        return highest(chance, spaced(units)) > self.error

    def _extreme(self, difference: float) -> FloatArray:
        """1 for each table at least as extreme as the observed one, by (pilot yes, control yes)."""
        yes = np.meshgrid(np.arange(self.n0 + 1.0), np.arange(self.n1 + 1.0))
        control, pilot = restricted_shares(yes, (self.n0, self.n1), difference)
        variance = pilot * (1 - pilot) / self.n1 + control * (1 - control) / self.n0
        apart = (self._gap - difference) ** 2
        squared = np.divide(apart, variance, out=np.where(apart > _TIE, np.inf, 0.0), where=variance > 0)
        return np.asarray(squared >= squared[self.yes1, self.yes0] * (1 - _TIE), dtype=np.float64)

    def _chance(self, extreme: FloatArray, difference: float, angles: FloatArray) -> FloatArray:
        """Chance of an extreme table where control's share is this far between its lowest and highest possible value."""
        lowest, highest = max(0.0, -difference), min(1.0, 1 - difference)
        control = lowest + (highest - lowest) * np.sin(angles) ** 2
        pilot = np.clip(control + difference, 0.0, 1.0)
        return np.asarray(((_binomial(self.n1, pilot) @ extreme) * _binomial(self.n0, control)).sum(axis=1))


def _lowest(tables: _Tables) -> float:
    """The smallest difference left open: found in steps from below, then by halving the last step."""
    if tables.open(-1.0):
        return -1.0
    low, high = -1.0, tables.estimate
    for place in np.arange(-1 + _OFFSET, tables.estimate, _STEP).tolist():
        if tables.open(place):
            high = place
            break
        low = place
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (low, middle) if tables.open(middle) else (middle, high)
    return high


def _binomial(n: int, share: FloatArray) -> FloatArray:
    """Chances of 0 to n yes, by (share, yes)."""
    yes = np.arange(n + 1.0)
    ways = gammaln(n + 1) - gammaln(yes + 1) - gammaln(n - yes + 1)
    return np.asarray(np.exp(ways + xlogy(yes, share[:, None]) + xlog1py(n - yes, -share[:, None])))
