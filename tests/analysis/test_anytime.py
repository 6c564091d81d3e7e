"""Intervals and p values that are valid at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale, Welch
from pilot.analysis.anytime import AlwaysValid, confidence_sequence, mixture_test
from pilot.analysis.means import mean_difference
from pilot.analysis.methods.sequential import AlwaysValidDifference
from pilot.analysis.sequential import Bounds

LEVELS = (1, 2, 3, 4, 5)
TYPICAL = (0.03, 0.07, 0.18, 0.42, 0.30)


def test_the_mixture_is_the_average_likelihood_ratio() -> None:
    # R 4.2.2: integrate(dnorm(0.41, d, 0.15) * dnorm(d, 0, 0.2)) / dnorm(0.41, 0, 0.15), and the root of its 20.
    found = mixture_test(0.41, 0.15, 0.2)
    assert found.log_likelihood_ratio == pytest.approx(1.87992993179, abs=1e-9)
    assert found.log_p == pytest.approx(-1.87992993179, abs=1e-9)
    assert found.interval() == pytest.approx((0.41 - 0.496542900619, 0.41 + 0.496542900619), abs=1e-9)


def test_the_confidence_sequence_is_that_of_the_paper() -> None:
    # Waudby-Smith et al. 2024, equation 2: with 500 units, sd 1 and rho 0.1 the half width is
    # sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha)).
    low, high = AlwaysValid(0.0, 1 / math.sqrt(500), 500 * 0.1**2).interval()
    assert (low, high) == pytest.approx((-0.136673836703, 0.136673836703), abs=1e-10)


def test_the_confidence_sequence_is_narrowest_where_it_was_asked_to_be() -> None:
    # R 4.2.2: optimize(function(r) sqrt((1 + r) / r * (log(1 + r) - 2 * log(0.05)))).
    found = confidence_sequence(0.0, 1.0, 300, 300)
    assert found.ratio == pytest.approx(8.21196851, rel=1e-5)
    assert found.bound() == pytest.approx(3.03512241, abs=1e-7)
    others = [confidence_sequence(0.0, 1.0, 300, narrowest).bound() for narrowest in (100, 200, 400, 900)]
    assert min(others) > found.bound()


@given(
    estimate=st.floats(-5, 5), error=st.floats(0.01, 3), ratio=st.floats(0.01, 1e4), level=st.sampled_from((0.9, 0.95))
)
@settings(max_examples=30, deadline=None)
def test_test_and_interval_agree(estimate: float, error: float, ratio: float, level: float) -> None:
    found = AlwaysValid(estimate, error, ratio)
    low, high = found.interval(level)
    assert low < estimate < high
    if abs(found.log_p - math.log(1 - level)) > 1e-9:
        assert (found.log_p < math.log(1 - level)) == (low > 0 or high < 0)


def test_it_is_wider_than_one_look_and_never_misses_more_often_than_said() -> None:
    looks, tau = 50, 0.2  # every 10 answers per arm up to 500, with a spread of 1
    information = tuple((look + 1) / looks for look in range(looks))
    bounds = tuple(mixture_test(0.0, math.sqrt(2 / (10 * (look + 1))), tau).bound() for look in range(looks))
    assert min(bounds) > 2.5
    assert 0.003 < Bounds(information, bounds).error < 0.05


def rated(pilot=(3, 5, 19, 45, 48), control=(4, 6, 20, 48, 22), levels=LEVELS) -> Evidence:
    return Evidence.from_counts("csat", Scale.RATING, ("control", "desk"), levels, [[control], [pilot]])


def compared(evidence: Evidence, **settings_) -> Comparison:
    found = AlwaysValidDifference(**settings_).compare(evidence, "desk")
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize("method", ["mixture", "confidence-sequence"])
def test_the_estimate_is_welchs_and_the_interval_wider(method) -> None:
    plain, found = Welch().compare(rated(), "desk"), compared(rated(), method=method)
    assert isinstance(plain, Comparison)
    assert found.estimate == pytest.approx(plain.estimate, abs=1e-12)
    assert found.low < plain.low
    assert found.high > plain.high
    assert found.p_value > plain.p_value
    assert math.exp(found.log_p) == pytest.approx(found.p_value)
    assert (found.high - found.low) / 2 == pytest.approx(found.details["bound"] * found.standard_error)
    assert "however often" in found.sentence


def test_tau_counts_in_standard_deviations() -> None:
    one, two = compared(rated()), compared(rated(levels=(10, 20, 30, 40, 50)))
    assert two.log_p == pytest.approx(one.log_p, abs=1e-9)
    assert (two.low, two.high) == pytest.approx((10 * one.low, 10 * one.high), abs=1e-9)
    pooled = math.sqrt(sum((arm.n - 1) * arm.sd**2 for arm in one.arms) / (sum(arm.n for arm in one.arms) - 2))
    direct = mixture_test(one.estimate, one.standard_error, 0.2 * pooled)
    assert one.log_p == pytest.approx(direct.log_p, abs=1e-12)


def test_swapping_arms_mirrors() -> None:
    one, two = compared(rated()), compared(rated((4, 6, 20, 48, 22), (3, 5, 19, 45, 48)))
    assert (two.estimate, two.low, two.high) == pytest.approx((-one.estimate, -one.high, -one.low), abs=1e-12)


def test_strong_results_keep_their_p_value_above_zero() -> None:
    found = compared(rated(control=(100_000, 0, 0, 0, 1), pilot=(1, 0, 0, 0, 100_000)))
    assert found.p_value > 0
    assert found.log_p < -1000


def test_without_spread_nothing_is_said() -> None:
    found = AlwaysValidDifference().compare(rated((0, 0, 9, 0, 0), (0, 0, 9, 0, 0)), "desk")
    assert isinstance(found, NotEnoughData)
    assert isinstance(AlwaysValidDifference().compare(rated((0, 0, 0, 0, 0)), "desk"), NotEnoughData)


def test_freedom_to_look_costs_units() -> None:
    expected = Expected(sd=1.0)
    control, pilot = AlwaysValidDifference().sample_size(expected, 0.2)
    single = Welch().sample_size(expected, 0.2)[0]
    assert control == pilot
    assert 1.7 < control / single < 2.1
    error = math.sqrt(2 / control)
    assert ndtr(0.2 / error - mixture_test(0.0, error, 0.2).bound()) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("method", "most"), [("mixture", 0.012), ("confidence-sequence", 0.02)])
def test_ratings_err_less_than_said_over_five_looks(method, most) -> None:
    # Simulated before: 0.1 to 0.6 % and 0.7 to 1.2 % over five looks of 20 further answers per arm.
    assert five_looks(2_000, method) <= most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "least", "most"), [("mixture", 0.0005, 0.01), ("confidence-sequence", 0.004, 0.016)]
)
def test_ratings_err_less_than_said_over_five_looks_in_many_trials(method, least, most) -> None:
    assert least <= five_looks(40_000, method) <= most


def five_looks(replicates: int, method: str) -> float:
    """How often one of five looks at ratings, 20 further answers per arm each, refutes a true null."""
    counts = np.random.default_rng(4).multinomial(20, TYPICAL, size=(replicates, 5, 2)).cumsum(axis=1)
    n, values = counts.sum(axis=3), np.array(LEVELS)
    mean = counts @ values / n
    m2 = counts @ values**2 - n * mean**2
    crossed = 0
    for trial in range(replicates):
        for look in range(5):
            found = mean_difference(n[trial, look], mean[trial, look], m2[trial, look])
            assert found is not None
            spread = math.sqrt(m2[trial, look].sum() / (n[trial, look].sum() - 2))
            if method == "mixture":
                valid = mixture_test(found.estimate, found.standard_error, 0.2 * spread)
            else:
                valid = confidence_sequence(found.estimate, found.standard_error, n[trial, look].sum(), 100)
            if valid.log_p <= math.log(0.05):
                crossed += 1
                break
    return crossed / replicates
