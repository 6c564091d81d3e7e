"""Unconditional exact tests of two shares: Barnard's with the pooled z, and Boschloo's with Fisher's p.

A statistic orders all tables with the given arm sizes. The p value is the chance of a table at least as extreme as the
observed one, at the common share that makes it largest. Given the total of yes that chance does not depend on the
share, so it is summed once for each total; a binomial mixture over the totals then gives the chance at any share.

Reference: Barnard 1947, Biometrika 34:123; Suissa and Shuster 1985, JRSS A 148:317; Boschloo 1970, Statistica
Neerlandica 24:1; Lydersen, Fagerland and Laake 2009, Statistics in Medicine 28:1159.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from pilot.analysis.moments import FloatArray
from pilot.analysis.shares import YesOf
from pilot.errors import InputError

LARGEST = 4_000
"""Units of both arms together up to which all tables are gone through."""

_TIE = 1e-7
"""Tables whose statistics differ by less than this share are equally extreme."""

_DENSE = 16
"""Shares tried within one standard deviation of an observed share."""

_BLOCK = 200
"""Shares tried at once."""

_PEAKS = 3
"""Highest local maxima that are climbed to the top."""

_Chosen = Callable[[int, FloatArray, FloatArray], np.ndarray]


def barnard(pilot: YesOf, control: YesOf) -> float:
    """Logarithm of the two-sided p value of equal shares, tables ordered by the pooled z.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.

    Raises:
        InputError: There are more units than can be gone through.
    """
    (yes1, n1), (yes0, n0) = pilot, control
    observed = _squared_z(np.asarray(float(yes1)), yes1 + yes0, n1, n0)

    def extreme(total: int, yes: FloatArray, _: FloatArray) -> np.ndarray:
        return _squared_z(yes, total, n1, n0) >= observed * (1 - _TIE)

    return _largest(_by_total(n1, n0, extreme), n1 + n0)


def boschloo(pilot: YesOf, control: YesOf) -> float:
    """Logarithm of the two-sided p value of equal shares, tables ordered by Fisher's two-sided p.

    Fisher's p is that of all tables no more probable than the observed one, given the total of yes.

    Args:
        pilot: (yes, n) of the pilot arm.
        control: (yes, n) of control.

    Raises:
        InputError: There are more units than can be gone through.
    """
    (yes1, n1), (yes0, n0) = pilot, control
    first = max(0, yes1 + yes0 - n0)
    observed = _fisher(_log_mass(np.arange(first, min(n1, yes1 + yes0) + 1), yes1 + yes0, n1, n0))[yes1 - first]

    def extreme(_: int, __: FloatArray, mass: FloatArray) -> np.ndarray:
        return np.asarray(_fisher(mass) <= observed + _TIE)

    return _largest(_by_total(n1, n0, extreme), n1 + n0)


def _by_total(n1: int, n0: int, extreme: _Chosen) -> FloatArray:
    """For each total of yes: logarithm of the chance of an extreme table, given that total."""
    if n1 + n0 > LARGEST:
        raise InputError(
            f"{n1 + n0:,} customers have too many tables to go through",
            remedy=f"Up to {LARGEST:,} it is exact; use miettinen-nurminen or fisher for more",
        )
    found = np.full(n1 + n0 + 1, -np.inf)
    for total in range(n1 + n0 + 1):
        yes = np.arange(max(0, total - n0), min(n1, total) + 1)
        mass = _log_mass(yes, total, n1, n0)
        chosen = extreme(total, yes.astype(np.float64), mass)
        if chosen.any():
            found[total] = min(0.0, float(_log_sum(mass[chosen])))
    return found


def _log_mass(yes: np.ndarray, total: int, n1: int, n0: int) -> FloatArray:
    """Logarithms of the hypergeometric chances of the pilot arm's yes."""
    others = total - yes
    log_ways = -sum(gammaln(part + 1.0) for part in (yes, n1 - yes, others, n0 - others))
    return np.asarray(log_ways - _log_sum(log_ways))


def _fisher(mass: FloatArray) -> FloatArray:
    """Logarithm of Fisher's p of each table: the mass of all that are no more probable."""
    order = np.argsort(mass, kind="stable")
    running = np.logaddexp.accumulate(mass[order])
    last = np.searchsorted(mass[order], mass + _TIE, side="right") - 1
    return np.asarray(running[last])


def _squared_z(yes1: FloatArray, total: int, n1: int, n0: int) -> FloatArray:
    share = total / (n1 + n0)
    variance = share * (1 - share) * (1 / n1 + 1 / n0)
    gap = yes1 / n1 - (total - yes1) / n0
    return np.asarray(gap * gap / variance if variance > 0 else np.zeros_like(gap))


def _largest(by_total: FloatArray, n: int) -> float:
    """The largest chance over all common shares, in logarithms."""
    totals = np.flatnonzero(by_total > -np.inf)
    log_ways = gammaln(n + 1) - gammaln(totals + 1) - gammaln(n - totals + 1) + by_total[totals]

    def chance(angles: FloatArray) -> FloatArray:
        yes, no = 2 * np.log(np.sin(angles))[:, None], 2 * np.log(np.cos(angles))[:, None]
        return _log_sum(log_ways + totals * yes + (n - totals) * no)

    return min(0.0, highest(chance, spaced(n)))


def spaced(n: int, dense: int = _DENSE) -> FloatArray:
    """Angles whose squared sines are shares, so close that no chance of `n` units can peak between two of them unseen.

    On this scale a share is known to `1 / (2 sqrt n)` everywhere, so no peak is narrower than that.
    """
    steps = max(64, math.ceil(dense * math.pi * math.sqrt(n)))
    return np.asarray((np.arange(steps) + 0.5) * (math.pi / 2 / steps), dtype=np.float64)


def highest(chance: Callable[[FloatArray], FloatArray], angles: FloatArray) -> float:
    """The largest chance, or logarithm of one, from a look at these angles and a climb to the top of the best peaks."""
    height = np.concatenate([chance(block) for block in np.array_split(angles, math.ceil(len(angles) / _BLOCK))])
    inner = np.r_[-np.inf, height, -np.inf]
    peaks = np.flatnonzero((height >= inner[:-2]) & (height >= inner[2:]))
    best = peaks[np.argsort(height[peaks])[-_PEAKS:]]
    return max(_climb(chance, angles[peak], math.pi / 2 / len(angles)) for peak in best)


def _climb(chance: Callable[[FloatArray], FloatArray], peak: float, step: float) -> float:
    from scipy.optimize import minimize_scalar

    low, high = max(peak - step, step / 100), min(peak + step, math.pi / 2 - step / 100)

    def depth(angle: float) -> float:
        return -float(chance(np.array([angle]))[0])

    found = minimize_scalar(depth, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    return -min(float(found.fun), depth(peak))


def _log_sum(terms: FloatArray) -> FloatArray:
    """Logarithm of the sum of exponentials along the last axis."""
    largest = terms.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(terms - largest).sum(axis=-1)) + largest[..., 0])
