"""Chances of the verdicts of the decision rule."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.means import mean_difference
from pilot.analysis.verdicts import ExpectedOutcome, both_below, size_to_roll_out, verdict_chances
from pilot.errors import InputError


def outcome(effect: float, n: float, sd: float = 1.0) -> ExpectedOutcome:
    return ExpectedOutcome(effect, sd, (n, n))


@pytest.mark.parametrize(("n", "percent"), [(100, 27), (200, 51), (400, 80)])
def test_a_good_pilot_is_rolled_out_as_often_as_simulated(n: int, percent: int) -> None:
    # Simulated before: 27, 51 and 80 % at margin 0.2, sd 1, no true difference and a saving of half a spread.
    found = verdict_chances(outcome(0.0, n), outcome(-0.5, n), 0.2)
    assert 100 * found.roll_out == pytest.approx(percent, abs=1)
    assert found.do_not < 0.001


def test_a_pilot_at_the_margin_is_hardly_rolled_out() -> None:
    for n in (30, 100, 400):  # Simulated before: 2.5 to 2.6 %
        assert verdict_chances(outcome(-0.2, n), outcome(-5.0, n), 0.2).roll_out == pytest.approx(0.025, abs=1e-6)


def test_single_chances_are_those_of_the_noncentral_t_law() -> None:
    # R 4.2.2: power.t.test(n = 100, delta, sd = 1, sig.level = 0.025, alternative = "one.sided") at 0.2 and 0.5.
    kept = verdict_chances(outcome(0.0, 100), outcome(-9.0, 100), 0.2).roll_out
    cheaper = verdict_chances(outcome(9.0, 100), outcome(-0.5, 100), 0.2).roll_out
    assert (kept, cheaper) == pytest.approx((0.2902664046, 0.9404271823), abs=1e-7)
    assert verdict_chances(outcome(0.0, 100), outcome(-0.5, 100), 0.2).roll_out == pytest.approx(kept * cheaper)


def test_correlated_outcomes_follow_the_bivariate_normal_law() -> None:
    # R 4.2.2, mvtnorm 1.1-3: pmvnorm (Miwa) of the two estimates, 20,000 per arm, correlation 0.4.
    found = verdict_chances(outcome(-0.19, 20_000), outcome(-0.02, 20_000, 0.9), 0.2, correlation=0.4)
    assert (found.roll_out, found.do_not) == pytest.approx((0.060741190, 0.001552811), abs=2e-5)


def test_customers_without_an_answer_still_cost() -> None:
    asked = ExpectedOutcome(0.0, 1.0, (60, 60))
    known = ExpectedOutcome(-0.3, 1.0, (150, 150))
    most, fewer = (verdict_chances(asked, replace(known, n=(n, n)), 0.4) for n in (150, 60))
    assert most.roll_out > fewer.roll_out
    # Half of those with a cost answer: the correlation of the estimates is that of the customers times sqrt(1 / 2).
    loose = verdict_chances(outcome(-0.19, 20_000), outcome(-0.02, 40_000), 0.2, correlation=0.4)
    tight = verdict_chances(
        outcome(-0.19, 20_000), outcome(-0.02, 20_000, math.sqrt(0.5)), 0.2, correlation=0.4 * math.sqrt(0.5)
    )
    assert loose.roll_out == pytest.approx(tight.roll_out, abs=1e-4)


def test_what_happens_in_simulated_pilots() -> None:
    rng, pilots, n = np.random.default_rng(11), 2_000, (40, 60)
    effects, spreads, correlation = (-0.15, -0.35), (0.9, 1.3), 0.5
    rolled = refused = 0
    for _ in range(pilots):
        limits = []
        noise = [rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size) for size in n]
        for column in (0, 1):
            values = [spreads[column] * noise[0][:, column], effects[column] + spreads[column] * noise[1][:, column]]
            found = mean_difference(n, [v.mean() for v in values], [v.var() * len(v) for v in values])
            assert found is not None
            limits.append(found.interval())
        (worst, best), (lowest, highest) = limits
        rolled += worst > -0.3 and highest < 0
        refused += best < -0.3 or lowest > 0
    expected = verdict_chances(
        ExpectedOutcome(effects[0], spreads[0], n), ExpectedOutcome(effects[1], spreads[1], n), 0.3, correlation=0.5
    )
    for count, chance in ((rolled, expected.roll_out), (refused, expected.do_not)):
        assert abs(count / pilots - chance) <= 4 * math.sqrt(chance * (1 - chance) / pilots) + 0.003


@given(first=st.floats(-1, 1), second=st.floats(-1, 1), n=st.integers(5, 500), correlation=st.floats(-1, 1))
@settings(max_examples=30, deadline=None)
def test_chances_are_chances(first: float, second: float, n: int, correlation: float) -> None:
    found = verdict_chances(outcome(first, n), outcome(second, n), 0.2, correlation=correlation)
    chances = (found.roll_out, found.do_not, found.inconclusive)
    assert min(chances) >= 0
    assert sum(chances) == pytest.approx(1, abs=1e-9)
    scaled = verdict_chances(outcome(3 * first, n, 3), outcome(7 * second, n, 7), 0.6, correlation=correlation)
    assert scaled.roll_out == pytest.approx(found.roll_out, abs=1e-9)


def test_both_below_is_right_where_it_is_known() -> None:
    for correlation in (-0.99, -0.5, 0.0, 0.3, 0.9, 0.999):  # Sheppard 1899: the quadrant
        quadrant = 0.25 + math.asin(correlation) / (2 * math.pi)
        assert both_below(0.0, 0.0, correlation) == pytest.approx(quadrant, abs=1e-9)
    assert both_below(0.5, 0.7, 0.9) == pytest.approx(0.6592296432604662, abs=1e-9)  # R, mvtnorm: pmvnorm
    assert both_below(-0.3, 0.7, 1.0) == pytest.approx(0.3820885778110474)
    assert both_below(-0.3, 0.7, -1.0) == pytest.approx(0.758036347776927 - 0.617911422188953, abs=1e-12)
    assert both_below(math.inf, 0.7, 0.4) == pytest.approx(0.7580363477769270)


def test_the_size_to_roll_out_is_the_smallest() -> None:
    satisfaction, cost = ExpectedOutcome(0.0, 1.0, (60, 60)), ExpectedOutcome(-0.4, 1.0, (100, 150))
    control, pilot = size_to_roll_out(satisfaction, cost, 0.2, correlation=-0.3)
    assert control == pytest.approx(pilot)
    costed = replace(cost, n=(control / 0.6, pilot / 0.4))
    found = verdict_chances(replace(satisfaction, n=(control, pilot)), costed, 0.2, correlation=-0.3)
    assert found.roll_out == pytest.approx(0.8, abs=1e-9)
    assert str(found) == "roll out 80 %, do not 0 %, inconclusive 20 %"


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: verdict_chances(outcome(0, 9), outcome(0, 9), 0.0), "margin"),
        (lambda: verdict_chances(outcome(0, 9), outcome(0, 9), math.nan), "margin"),
        (lambda: verdict_chances(outcome(0, 9), outcome(0, 9), 0.2, correlation=1.2), "correlation"),
        (lambda: verdict_chances(outcome(0, 9), outcome(0, 9), 0.2, level=0.3), "level"),
        (lambda: outcome(0, 1), "n"),
        (lambda: outcome(0, math.nan), "n"),
        (lambda: outcome(0, math.inf), "n"),
        (lambda: outcome(math.nan, 9), "effect"),
        (lambda: outcome(-math.inf, 9), "effect"),
        (lambda: outcome(0, 9, math.nan), "sd"),
        (lambda: replace(outcome(0, 9), n=(9, math.nan)), "n"),
        (lambda: outcome(0, 9, 0.0), "sd"),
        (lambda: size_to_roll_out(outcome(-0.5, 9), outcome(-1, 9), 0.2), "chance"),
    ],
)
def test_what_cannot_be_is_refused(call, place) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.place == place
