from __future__ import annotations

import math

import pytest
from scipy import stats

from pilot.analysis import tails


@pytest.mark.parametrize("df", [1.5, 17.8, 36671.2])
@pytest.mark.parametrize("t", [-2.0, 0.0, 1.9, 7.5, 30.0])
def test_t_tail_is_scipy_s(t: float, df: float) -> None:
    assert tails.log_t_upper(t, df) == pytest.approx(stats.t.logsf(t, df), rel=1e-12)


@pytest.mark.parametrize(("t", "df"), [(38.0, 36671.2), (37.5, 1e6), (1e8, 40.0)])
def test_far_t_tail_joins_the_near_one(t: float, df: float) -> None:
    # Where scipy still has a number it is the reference, and beyond the tail falls on as its density does.
    far = tails.log_t_upper(1.001 * t, df) - tails.log_t_upper(t, df)
    steps = 300
    slope = sum(
        math.exp(
            stats.t.logpdf(t * (1 + 0.001 * (k + 0.5) / steps), df)
            - tails.log_t_upper(t * (1 + 0.001 * (k + 0.5) / steps), df)
        )
        for k in range(steps)
    )
    assert far == pytest.approx(-slope * t * 0.001 / steps, rel=1e-6)


@pytest.mark.parametrize(("yes", "n", "share"), [(0, 5, 0.3), (5, 5, 0.3), (40, 100, 0.5), (900, 1000, 0.5)])
def test_binomial_tails_are_scipy_s(yes: int, n: int, share: float) -> None:
    at_least, at_most = tails.log_binomial_tails(yes, n, share)
    assert at_least == pytest.approx(stats.binom.logsf(yes - 1, n, share), rel=1e-9, abs=1e-12)
    assert at_most == pytest.approx(stats.binom.logcdf(yes, n, share), rel=1e-9, abs=1e-12)


def test_binomial_tail_beyond_all_doubles() -> None:
    # 0.5^2000, exactly: all of 2,000 where half was planned.
    assert tails.log_binomial_tails(2000, 2000, 0.5)[0] == pytest.approx(-2000 * math.log(2), rel=1e-12)


def test_no_p_value_is_ever_zero() -> None:
    assert tails.p_value(-1e6) > 0
