"""Whether an effect is the same in all strata: how much it varies, the test of interaction, and a change of sign.

Reference: Cochran 1954, Biometrics 10:101; Welch 1951, Biometrika 38:330; Paule and Mandel 1982, Journal of Research of
the NBS 87:377; Viechtbauer 2007, Statistics in Medicine 26:37; Higgins and Thompson 2002, 21:1539; Gail and Simon 1985,
Biometrics 41:361.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chdtri

from pilot.analysis.moments import FloatArray
from pilot.analysis.noncentral import f_power
from pilot.analysis.tails import log_f_upper, t_quantile
from pilot.errors import InputError


@dataclass(frozen=True, eq=False)
class Variation:
    """Effects of several strata, held against each other.

    Attributes:
        estimates, variances: Of the strata; variances are above 0.
        df: Degrees of freedom of the variances; infinite where they are known.
    """

    estimates: FloatArray
    variances: FloatArray
    df: FloatArray

    @classmethod
    def of(cls, estimates: npt.ArrayLike, standard_errors: npt.ArrayLike, df: npt.ArrayLike | None = None) -> Variation:
        """The variation of at least two effects.

        Args:
            estimates: Effect in each stratum.
            standard_errors: Their standard errors, above 0.
            df: Degrees of freedom of these; None where they are known.
        """
        found = np.asarray(estimates, dtype=np.float64)
        freedom = np.full(len(found), math.inf) if df is None else np.asarray(df, dtype=np.float64)
        return cls(found, np.asarray(standard_errors, dtype=np.float64) ** 2, freedom)

    @property
    def between(self) -> int:
        """One less than the strata."""
        return len(self.estimates) - 1

    @property
    def q(self) -> float:
        """Cochran's Q: squared deviations from the common effect, each in its own standard error."""
        return self._q(0.0)

    @property
    def p_value_of_q(self) -> float:
        """Of no variation, by chi-square: right where standard errors are known well."""
        return float(chdtrc(self.between, self.q))

    @property
    def share(self) -> float:
        """I squared: the share of the variation between estimates that their own uncertainty does not explain."""
        return max(0.0, 1 - self.between / self.q) if self.q > 0 else 0.0

    @property
    def f(self) -> tuple[float, float]:
        """Welch's F of the interaction, which allows for estimated standard errors, and its denominator's df.

        With two strata it is the square of Welch-Satterthwaite's t of the difference between their effects.
        """
        weights = 1 / self.variances
        spare = float(((1 - weights / weights.sum()) ** 2 / self.df).sum())
        strata = len(self.estimates)
        correction = 1 + 2 * (strata - 2) * spare / (strata**2 - 1)
        within = (strata**2 - 1) / (3 * spare) if spare > 0 else math.inf
        return self.q / self.between / correction, min(within, 1e9)

    @property
    def log_p(self) -> float:
        """Logarithm of the p value of no interaction, by Welch's F."""
        f, within = self.f
        return log_f_upper(f, self.between, within) if f > 0 else 0.0

    def contrast(self, level: float = 0.95) -> tuple[float, float, float]:
        """Of two strata: the second effect minus the first, and its Welch-Satterthwaite t interval."""
        difference = float(self.estimates[1] - self.estimates[0])
        half = t_quantile((1 + level) / 2, self.f[1]) * math.sqrt(float(self.variances.sum()))
        return difference, difference - half, difference + half

    @property
    def spread(self) -> float:
        """Standard deviation of the true effects between strata: Paule and Mandel's estimate, 0 where Q explains itself."""
        return math.sqrt(self._variance_at(float(self.between)))

    def spread_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Q-profile interval of the standard deviation between strata."""
        tail = (1 - level) / 2
        low, high = (self._variance_at(float(chdtri(self.between, upper))) for upper in (tail, 1 - tail))
        return math.sqrt(low), math.sqrt(high)

    def _q(self, variance: float) -> float:
        weights = 1 / (self.variances + variance)
        centre = float(weights @ self.estimates / weights.sum())
        return float(weights @ (self.estimates - centre) ** 2)

    def _variance_at(self, wanted: float) -> float:
        """The variance between strata at which Q comes down to `wanted`; 0 where it is below already."""
        if self.q <= wanted:
            return 0.0
        high = float(self.variances.max())
        while self._q(high) > wanted:
            high *= 2
        return _root(lambda variance: self._q(variance) - wanted, high)


def gail_simon(estimates: npt.ArrayLike, standard_errors: npt.ArrayLike) -> tuple[float, float]:
    """Test that the effect has the same sign in all strata: (statistic, p value).

    The statistic is the smaller of the sums of squared z values on either side of 0; 0, with p = 1, where all lie on one.

    Reference: Gail and Simon 1985, Biometrics 41:361.
    """
    z = np.asarray(estimates, dtype=np.float64) / np.asarray(standard_errors, dtype=np.float64)
    smaller = min(float((z[z > 0] ** 2).sum()), float((z[z < 0] ** 2).sum()))
    if smaller == 0:
        return 0.0, 1.0
    others = len(z) - 1
    chances = (math.comb(others, k) / 2**others * float(chdtrc(k, smaller)) for k in range(1, others + 1))
    return smaller, min(1.0, sum(chances))


def interaction_power(
    effect: float, spreads: tuple[float, float], n: tuple[float, float], strata: Sequence[float], level: float
) -> float:
    """The chance that Welch's F shows that effects differ between strata, by the noncentral F law.

    Args:
        effect: Standard deviation of the true effects between strata, as the analysis estimates it: of two strata, the
            difference of their effects over the root of 2.
        spreads: Standard deviations inside the strata, of control and of the pilot arm.
        n: Their units over all strata, divided over these by their shares.
        strata: Shares of the strata; they need not sum to 1.
        level: Confidence level of the test.

    Raises:
        InputError: There are fewer than two strata.

    Reference: Jan and Shieh 2014, British J. Mathematical and Statistical Psychology 67:72, for Welch's F.
    """
    if len(strata) < 2:
        raise InputError("the shares of at least two strata are needed", place="strata")
    share = np.asarray(strata, dtype=np.float64) / math.fsum(strata)
    cells = np.outer(n, share)
    if cells.min() <= 1:
        return 0.0
    parts = np.square(spreads)[:, None] / cells
    variances = parts.sum(axis=0)
    df = variances**2 / (parts**2 / (cells - 1)).sum(axis=0)
    variation = Variation(np.zeros(len(share)), variances, df)
    # Weights are the shares, over which effects of this standard deviation deviate by 1 - sum share^2 of its square.
    centre = effect**2 * (1 - float(share @ share)) * float((1 / variances).sum())
    return f_power(centre, variation.between, variation.f[1], level)


def _root(function: Callable[[float], float], high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, 0.0, high, xtol=1e-300, rtol=1e-13))
