"""Shares compared inside strata: Mantel and Haenszel's common difference, ratio and odds ratio, and their tests.

All functions take `yes` and `n` by (arm, stratum), control in row 0. A stratum in which an arm is empty has weight 0.

Reference: Mantel and Haenszel 1959, JNCI 22:719; Sato 1989, Biometrics 45:1323; Greenland and Robins 1985,
Biometrics 41:55; Robins, Breslow and Greenland 1986, Biometrics 42:311; Tarone 1985, Biometrika 72:91.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile


@dataclass(frozen=True, slots=True)
class CommonEffect:
    """An effect taken to be the same in all strata.

    Attributes:
        estimate: The difference, ratio or odds ratio.
        standard_error: Of the difference, or of the logarithm of a ratio; above 0.
        logarithmic: Whether the interval is symmetric for the logarithm.
    """

    estimate: float
    standard_error: float
    logarithmic: bool = False

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval."""
        half = normal_quantile((1 + level) / 2) * self.standard_error
        if self.logarithmic:
            return self.estimate * math.exp(-half), self.estimate * math.exp(half)
        return self.estimate - half, self.estimate + half


def common_difference(yes: npt.ArrayLike, n: npt.ArrayLike) -> CommonEffect | None:
    """Mantel and Haenszel's difference of shares, with Sato's variance, right for few large and many small strata.

    Returns:
        The difference, or None where no stratum has both arms, or in none of those that have do answers differ.
    """
    (yes0, yes1), (n0, n1) = _usable(yes, n)
    total = n0 + n1
    weight = n1 * n0 / total
    if not weight.any():
        return None
    estimate = float((weight * (yes1 / n1 - yes0 / n0)).sum() / weight.sum())
    slope = (n1**2 * yes0 - n0**2 * yes1 + n1 * n0 * (n0 - n1) / 2) / total**2
    level = (yes1 * (n0 - yes0) + yes0 * (n1 - yes1)) / (2 * total)
    variance = float(estimate * slope.sum() + level.sum()) / float(weight.sum()) ** 2
    return CommonEffect(estimate, math.sqrt(variance)) if variance > 0 else None


def common_ratio(yes: npt.ArrayLike, n: npt.ArrayLike) -> CommonEffect | None:
    """Mantel and Haenszel's ratio of shares, with Greenland and Robins' variance of its logarithm.

    Returns:
        The ratio, or None where an arm has no yes in the strata that have both arms, or all answers are alike.
    """
    (yes0, yes1), (n0, n1) = _usable(yes, n)
    total = n0 + n1
    pilot, control = float((yes1 * n0 / total).sum()), float((yes0 * n1 / total).sum())
    if pilot == 0 or control == 0:
        return None
    spread = float(((n1 * n0 * (yes1 + yes0) - yes1 * yes0 * total) / total**2).sum())
    variance = spread / (pilot * control)
    return CommonEffect(pilot / control, math.sqrt(variance), True) if variance > 0 else None


def common_odds_ratio(yes: npt.ArrayLike, n: npt.ArrayLike) -> CommonEffect | None:
    """Mantel and Haenszel's odds ratio, with Robins, Breslow and Greenland's variance of its logarithm.

    Returns:
        The odds ratio, or None where it is 0, infinite or undefined.
    """
    (yes0, yes1), (n0, n1) = _usable(yes, n)
    total = n0 + n1
    r, s = yes1 * (n0 - yes0) / total, yes0 * (n1 - yes1) / total
    up, down = float(r.sum()), float(s.sum())
    if up == 0 or down == 0:
        return None
    p, q = (yes1 + n0 - yes0) / total, (yes0 + n1 - yes1) / total
    variance = float((p * r).sum()) / (2 * up**2) + float((p * s + q * r).sum()) / (2 * up * down)
    variance += float((q * s).sum()) / (2 * down**2)
    return CommonEffect(up / down, math.sqrt(variance), True)


def mantel_haenszel_z(yes: npt.ArrayLike, n: npt.ArrayLike) -> float:
    """The pilot arm's yes over strata, against none but chance differences, in standard errors.

    Its square is the Cochran-Mantel-Haenszel chi-square without continuity correction; 0 where nothing can differ.
    """
    (yes0, yes1), (n0, n1) = _usable(yes, n)
    total, said = n0 + n1, yes0 + yes1
    variance = float((n1 * n0 * said * (total - said) / (total**2 * (total - 1))).sum())
    return float((yes1 - n1 * said / total).sum()) / math.sqrt(variance) if variance > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """Whether the odds ratio is the same in all strata.

    Attributes:
        breslow_day: Chi-square with the Mantel-Haenszel odds ratio.
        tarone: The same, corrected for that odds ratio not being the most likely one.
        df: One less than the strata that say something.
        p_value: Of Tarone's.
    """

    breslow_day: float
    tarone: float
    df: int
    p_value: float


def odds_homogeneity(yes: npt.ArrayLike, n: npt.ArrayLike) -> Homogeneity | None:
    """Breslow and Day's test of a common odds ratio, with Tarone's correction.

    Returns:
        The test, or None where fewer than two strata have both answers in both arms together, or there is no odds ratio.

    Reference: Breslow and Day 1980, Statistical Methods in Cancer Research 1, 4.4; Tarone 1985.
    """
    table, sizes = _usable(yes, n)
    said = table.sum(axis=0)
    kept = (said > 0) & (said < sizes.sum(axis=0))
    common = common_odds_ratio(table, sizes)
    if common is None or kept.sum() < 2:
        return None
    (_, yes1), (n0, n1), said = table[:, kept], sizes[:, kept], said[kept]
    fitted = _fitted(common.estimate, said, n0, n1)
    precision = 1 / fitted + 1 / (n1 - fitted) + 1 / (said - fitted) + 1 / (n0 - said + fitted)
    gap = yes1 - fitted
    breslow_day = float((gap**2 * precision).sum())
    tarone = max(0.0, breslow_day - float(gap.sum()) ** 2 / float((1 / precision).sum()))
    df = int(kept.sum()) - 1
    return Homogeneity(breslow_day, tarone, df, float(chdtrc(df, tarone)))


def _fitted(odds: float, said: FloatArray, n0: FloatArray, n1: FloatArray) -> FloatArray:
    """Yes of the pilot arm in each stratum that give this odds ratio at the observed margins."""
    linear = odds * (n1 + said) + n0 - said
    root = np.sqrt(linear**2 - 4 * odds * (odds - 1) * n1 * said)
    return np.asarray(2 * odds * n1 * said / (linear + root))


def _usable(yes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The strata in which both arms have units."""
    table, sizes = (np.asarray(values, dtype=np.float64).reshape(2, -1) for values in (yes, n))
    both = (sizes > 0).all(axis=0)
    return table[:, both], sizes[:, both]
