"""Tail probabilities and quantiles, with logarithms where the tail itself underflows.

Only `scipy.special`: importing `scipy.stats` takes longer than any analysis here.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy.special import betainc, betaln, log_ndtr, ndtri, stdtr, stdtrit

_DEEP = 1e-290
"""Below this a tail is computed by its logarithm."""


def p_value(log_p: float) -> float:
    """The p value of a logarithm; never 0: where it underflows, the smallest ordinary number stands for it."""
    return max(math.exp(log_p), sys.float_info.min)


def two_sided(log_smaller_tail: float) -> float:
    """Logarithm of twice the smaller tail, at most 1."""
    return min(0.0, math.log(2) + log_smaller_tail)


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable lies with this probability."""
    return float(ndtri(probability))


def log_normal_upper(z: float) -> float:
    """Logarithm of the chance that a standard normal variable exceeds `z`."""
    return float(log_ndtr(-z))


def t_quantile(probability: float, df: float) -> float:
    """The value below which a t variable with `df` degrees of freedom lies with this probability."""
    return float(stdtrit(df, probability))


def log_t_upper(t: float, df: float) -> float:
    """Logarithm of the chance that a t variable with `df` degrees of freedom exceeds `t`."""
    tail = float(stdtr(df, -t))
    if tail > _DEEP:
        return math.log(tail)
    return _log_incomplete_beta(df / 2, 0.5, -math.log1p(t * t / df), -math.log1p(df / (t * t))) - math.log(2)


def log_f_upper(f: float, df: float, df_within: float) -> float:
    """Logarithm of the chance that an F variable exceeds `f`, which is above 0.

    Args:
        f: The value.
        df: Degrees of freedom of the numerator.
        df_within: Those of the denominator.
    """
    odds = math.log(df * f / df_within)
    return _log_beta_tail(df_within / 2, df / 2, -float(np.logaddexp(0, odds)), -float(np.logaddexp(0, -odds)))


def log_binomial_tails(successes: int, trials: int, probability: float) -> tuple[float, float]:
    """Logarithms of the chances of at least, and of at most, this many successes."""
    log_yes, log_no = math.log(probability), math.log1p(-probability)
    failures = trials - successes
    at_least = 0.0 if successes == 0 else _log_beta_tail(successes, failures + 1, log_yes, log_no)
    at_most = 0.0 if failures == 0 else _log_beta_tail(failures, successes + 1, log_no, log_yes)
    return at_least, at_most


def _log_beta_tail(a: float, b: float, log_x: float, log_rest: float) -> float:
    tail = float(betainc(a, b, math.exp(log_x)))
    return math.log(tail) if tail > _DEEP else _log_incomplete_beta(a, b, log_x, log_rest)


def _log_incomplete_beta(a: float, b: float, log_x: float, log_rest: float) -> float:
    """Logarithm of the regularised incomplete beta function at `x`, far below its centre, by a continued fraction.

    Reference: Abramowitz and Stegun 1964, 26.5.8, evaluated by Lentz's method; it converges quickly in the tail.

    Args:
        a: First parameter.
        b: Second parameter.
        log_x: Logarithm of `x`.
        log_rest: Logarithm of `1 - x`.
    """
    x = math.exp(log_x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return a * log_x + b * log_rest - math.log(a) - float(betaln(a, b)) + math.log(fraction)
