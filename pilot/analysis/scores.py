"""Score tests and intervals for two shares, as difference, ratio or odds ratio: what a true value would make of both.

Under a supposed effect the two shares are estimated together by maximum likelihood, and the observed effect is held
against the variance that these give. The interval is all effects that this test does not refute, so that test and
interval always agree. Every variance carries Miettinen and Nurminen's factor N / (N - 1) unless said otherwise.

Shapes: `yes` and `n` have control in row 0 and the pilot arm in row 1, and one column for each stratum, or none.

Reference: Miettinen and Nurminen 1985, Statistics in Medicine 4:213; Farrington and Manning 1990, 9:1447.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile

_NEAR = 1e-9
"""How close to the estimate a limit of a difference may lie."""

_FAR = 700.0
"""Logarithm beyond which a ratio is taken for 0 or infinite."""


def restricted_shares(yes: npt.ArrayLike, n: npt.ArrayLike, difference: npt.ArrayLike) -> FloatArray:
    """Both shares at maximum likelihood, given that pilot minus control is `difference`: the root of a cubic.

    Args:
        yes: Units with a yes, by (arm, ...); expected ones need not be whole.
        n: Units, in the same shape, above 0.
        difference: Between -1 and 1.

    Returns:
        Shares in the shape of `yes`, control first.
    """
    (yes0, yes1), (n0, n1) = (np.asarray(values, dtype=np.float64) for values in (yes, n))
    d = np.asarray(difference, dtype=np.float64)
    p1, p0, ratio = yes1 / n1, yes0 / n0, n0 / n1
    a = 1 + ratio
    b = -(1 + ratio + p1 + ratio * p0 + d * (ratio + 2)) / (3 * a)
    c = (d * d + d * (2 * p1 + ratio + 1) + p1 + ratio * p0) / a
    v = b**3 - b * c / 2 - p1 * d * (1 + d) / (2 * a)
    u = np.copysign(np.sqrt(np.maximum(b * b - c / 3, 0.0)), v)
    cosine = np.divide(v, u**3, out=np.ones_like(u), where=u != 0)
    pilot = 2 * u * np.cos((math.pi + np.arccos(np.clip(cosine, -1, 1))) / 3) - b
    # without a difference two roots may meet, and a cosine would lose half the digits of what is simply the pooled share
    pilot = np.where(d == 0, (yes0 + yes1) / (n0 + n1), np.clip(pilot, np.maximum(d, 0), np.minimum(1 + d, 1)))
    return np.stack([np.clip(pilot - d, 0, 1), pilot])


def difference_z(
    yes: npt.ArrayLike,
    n: npt.ArrayLike,
    difference: float = 0.0,
    *,
    weights: npt.ArrayLike | None = None,
    corrected: bool = True,
) -> float:
    """How many standard errors the observed difference of shares lies above a supposed one.

    Args:
        yes: Units with a yes, by arm or by (arm, stratum); control first.
        n: Units in the same shape, above 0.
        difference: The supposed true difference, between -1 and 1.
        weights: Of the strata; they need not sum to 1.
        corrected: Whether the variance carries N / (N - 1); without it this is Farrington and Manning's test.
    """
    gap, error = _gap(_columns(yes), _columns(n), _share(weights, n), difference, corrected)
    return gap / error if error > 0 else 0.0


def difference_interval(
    yes: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95, *, weights: npt.ArrayLike | None = None
) -> tuple[float, float]:
    """The differences of shares that the score test does not refute, plain or weighted over strata.

    Args:
        yes: Units with a yes, by arm or by (arm, stratum); control first.
        n: Units in the same shape, above 0.
        level: Two-sided confidence level.
        weights: Of the strata; they need not sum to 1.
    """
    from scipy.optimize import brentq

    table, sizes, share = _columns(yes), _columns(n), _share(weights, n)
    estimate = float((table[1] / sizes[1] - table[0] / sizes[0]) @ share)
    z = normal_quantile((1 + level) / 2)

    def limit(side: int) -> float:
        def outside(d: float) -> float:
            gap, error = _gap(table, sizes, share, d, True)
            return -side * gap - z * error

        near = estimate + side * _NEAR
        if side * near >= 1 or outside(near) >= 0:
            return max(-1.0, min(1.0, estimate))
        return float(brentq(outside, near, float(side), xtol=1e-14, rtol=1e-14))

    return limit(-1), limit(1)


def ratio_z(yes: npt.ArrayLike, n: npt.ArrayLike, ratio: float) -> float:
    """How many standard errors the observed pilot share lies above `ratio` times control's.

    Args:
        yes: Units with a yes, control first.
        n: Units, control first.
        ratio: The supposed true ratio of shares, above 0.
    """
    (yes0, yes1), (n0, n1) = np.asarray(yes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    total = n0 + n1
    half = (ratio * (n1 + yes0) + yes1 + n0) / 2
    # The smaller root, written so that it does not lose digits where the shares are small.
    control = (yes0 + yes1) / (half + math.sqrt(max(half * half - total * ratio * (yes0 + yes1), 0.0)))
    pilot = min(ratio * control, 1.0)
    variance = (pilot * (1 - pilot) / n1 + ratio**2 * control * (1 - control) / n0) * total / (total - 1)
    gap = yes1 / n1 - ratio * yes0 / n0
    return float(gap / math.sqrt(variance)) if variance > 0 else 0.0


def odds_z(yes: npt.ArrayLike, n: npt.ArrayLike, odds: float) -> float:
    """How many standard errors the observed yes of the pilot arm lie above what an odds ratio would give.

    Args:
        yes: Units with a yes, control first.
        n: Units, control first.
        odds: The supposed true odds ratio, above 0.
    """
    (yes0, yes1), (n0, n1) = np.asarray(yes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    total, said = n0 + n1, yes0 + yes1
    linear = n1 * odds + n0 - said * (odds - 1)
    root = math.sqrt(linear**2 + 4 * n0 * (odds - 1) * said)
    control = min(2 * said / (linear + root), 1.0)
    pilot = control * odds / (1 + control * (odds - 1))
    spreads = n1 * pilot * (1 - pilot), n0 * control * (1 - control)
    if min(spreads) <= 0:
        return 0.0
    return float((yes1 - n1 * pilot) * math.sqrt((1 / spreads[0] + 1 / spreads[1]) * (total - 1) / total))


def ratio_interval(yes: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The ratios of shares that the score test does not refute; control has at least one yes."""
    low = 0.0 if np.asarray(yes)[1] == 0 else _log_crossing(lambda t: ratio_z(yes, n, math.exp(t)), level, 1)
    return low, _log_crossing(lambda t: ratio_z(yes, n, math.exp(t)), level, -1)


def odds_interval(yes: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The odds ratios that the score test does not refute; control has a yes, and the pilot arm a no."""
    nothing = np.asarray(yes)[1] == 0 or np.asarray(yes)[0] == np.asarray(n)[0]
    low = 0.0 if nothing else _log_crossing(lambda t: odds_z(yes, n, math.exp(t)), level, 1)
    return low, _log_crossing(lambda t: odds_z(yes, n, math.exp(t)), level, -1)


def _gap(yes: FloatArray, n: FloatArray, share: FloatArray, difference: float, corrected: bool) -> tuple[float, float]:
    """Observed minus supposed difference, and its standard error under the supposition."""
    shares = restricted_shares(yes, n, difference)
    variance = (shares * (1 - shares) / n).sum(axis=0)
    if corrected:
        total = n.sum(axis=0)
        variance = variance * total / (total - 1)
    observed = yes / n
    return float((observed[1] - observed[0]) @ share) - difference, math.sqrt(float(share**2 @ variance))


def _columns(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64).reshape(2, -1)


def _share(weights: npt.ArrayLike | None, n: npt.ArrayLike) -> FloatArray:
    share = np.ones(_columns(n).shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(share / share.sum())


def _log_crossing(z: Callable[[float], float], level: float, side: int) -> float:
    """The ratio at which a falling `z` of its logarithm comes to `side` times the quantile."""
    from scipy.optimize import brentq

    target = side * normal_quantile((1 + level) / 2)
    low = high = 0.0
    step = 1.0
    while z(low) <= target and low > -_FAR:
        low, step = low - step, 2 * step
    step = 1.0
    while z(high) >= target and high < _FAR:
        high, step = high + step, 2 * step
    return math.exp(float(brentq(lambda t: z(t) - target, low, high, xtol=1e-14, rtol=1e-14)))
