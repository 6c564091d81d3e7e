from __future__ import annotations

import math

import numpy as np
import pytest

from pilot.analysis.representativeness import (
    Dispositions,
    against_population,
    partial_r,
    r_indicator,
    response_rates,
)
from pilot.errors import InputError


def test_a_sample_like_its_population_has_no_distance() -> None:
    found = against_population([30, 50, 20], [300, 500, 200])
    assert (found.dissimilarity, found.chi_square, found.log_p) == pytest.approx((0, 0, 0))


def test_chi_square_is_that_of_the_hypergeometric_law() -> None:
    # Two levels: (x - n p)^2 over the variance n p q (N - n) / (N - 1). 40 of 100 drawn from 300 of 1000.
    found = against_population([40, 60], [300, 700])
    variance = 100 * 0.3 * 0.7 * 900 / 999
    assert found.chi_square == pytest.approx(10**2 / variance, rel=1e-12)
    assert math.exp(found.log_p) == pytest.approx(
        0.0215010706477, rel=1e-10
    )  # R: pchisq(5.285714286, 1, lower = FALSE)
    assert found.dissimilarity == pytest.approx(0.1)
    # without correction it is R's chisq.test(c(40, 60), p = c(.3, .7)): 4.7619
    assert found.chi_square * 900 / 999 == pytest.approx(4.761904761905)


def test_a_whole_population_is_itself() -> None:
    assert against_population([300, 700], [300, 700]).chi_square == 0


def test_the_r_indicator_by_hand() -> None:
    # rates 0.3 and 0.7 in two halves of 200: standard deviation 0.2, so R is 0.6 (Schouten et al. 2009, formula 2)
    found = r_indicator([30, 70], [100, 100])
    assert found.unadjusted == pytest.approx(1 - 2 * 0.2 * math.sqrt(200 / 199))
    adjusted = 0.04 * 200 / 199 * (1 + 1 / 200) - (0.21 + 0.21) / 200
    assert found.r == pytest.approx(1 - 2 * math.sqrt(adjusted))
    assert found.rate == pytest.approx(0.5)
    assert found.variation == pytest.approx(math.sqrt(adjusted) / 0.5)
    even = r_indicator([50, 50], [100, 100])
    assert (even.r, even.standard_error) == (1, None)
    assert r_indicator([0, 100], [100, 100]).r == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("rates", "units"), [([0.3, 0.5, 0.7, 0.4], [50, 100, 80, 70]), ([0.3, 0.5, 0.7, 0.4], [500, 1000, 800, 700])]
)
def test_bias_and_standard_error_of_the_r_indicator(rates: list[float], units: list[int]) -> None:
    rng = np.random.default_rng(1)
    found = [r_indicator(rng.binomial(units, rates), units) for _ in range(1500)]
    share = np.array(units) / sum(units)
    truth = 1 - 2 * math.sqrt(float(share @ (np.array(rates) - share @ rates) ** 2))
    values = np.array([one.r for one in found])
    errors = np.array([one.standard_error or 0 for one in found])
    assert abs(values.mean() - truth) < 0.25 * values.std()
    assert abs(values.mean() - truth) < abs(np.mean([one.unadjusted for one in found]) - truth)
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_partial_indicators_split_the_spread() -> None:
    # The first variable decides alone: 0.3 against 0.7; the second does nothing.
    answered, assigned = [[30, 30], [70, 70]], [[100, 100], [100, 100]]
    first, second = partial_r(answered, assigned, 0), partial_r(answered, assigned, 1)
    assert (first.unconditional, second.unconditional) == pytest.approx((0.2, 0))
    assert first.by_category == pytest.approx([-0.2 / math.sqrt(2), 0.2 / math.sqrt(2)])
    assert first.conditional == pytest.approx(0.2 * math.sqrt(400 / 399))
    assert second.conditional == 0


def test_aapor_rates_by_their_definitions() -> None:
    units = Dispositions(
        complete=60, partial=10, refusal=20, non_contact=15, other=5, unknown=30, unknown_other=10, not_eligible=40
    )
    # eligible 110, not eligible 40: e = 110 / 150
    rates = response_rates(units)
    assert rates == pytest.approx(
        {
            "RR1": 60 / 150,
            "RR2": 70 / 150,
            "RR3": 60 / (110 + 40 * 110 / 150),
            "RR4": 70 / (110 + 40 * 110 / 150),
            "RR5": 60 / 110,
            "RR6": 70 / 110,
        }
    )
    assert response_rates(units, 1.0)["RR3"] == rates["RR1"]
    assert response_rates(units, 0.0)["RR4"] == rates["RR6"]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="more units in the sample"):
        against_population([40, 60], [30, 700])
    with pytest.raises(InputError, match="only one level"):
        against_population([40, 0], [300, 0])
    with pytest.raises(InputError, match="more units answered"):
        r_indicator([11, 3], [10, 10])
    with pytest.raises(InputError, match="nobody answered"):
        r_indicator([0, 0], [10, 10])
    with pytest.raises(InputError, match="no unit is known to be eligible"):
        response_rates(Dispositions(complete=0, unknown=9))
    with pytest.raises(InputError, match="number is negative"):
        response_rates(Dispositions(complete=3, refusal=-1))
