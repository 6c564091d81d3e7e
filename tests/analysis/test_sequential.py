"""Bounds of several looks, inference after them, and the analyses built on them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale, StratifiedDifference, Welch
from pilot.analysis.means import mean_difference
from pilot.analysis.methods.sequential import GroupSequential
from pilot.analysis.sequential import Bounds, classical_bounds, spending_bounds, spent
from pilot.analysis.stopped import normal_score, repeated_p, stopped_trial
from pilot.errors import InputError

# Jennison and Turnbull 2000, tables 2.1 and 2.3, for 1 to 10 looks.
POCOCK = {
    0.10: (1.645, 1.875, 1.992, 2.067, 2.122, 2.164, 2.197, 2.225, 2.249, 2.270),
    0.05: (1.960, 2.178, 2.289, 2.361, 2.413, 2.453, 2.485, 2.512, 2.535, 2.555),
    0.01: (2.576, 2.772, 2.873, 2.939, 2.986, 3.023, 3.053, 3.078, 3.099, 3.117),
}
OBRIEN_FLEMING = {
    0.10: (1.645, 1.678, 1.710, 1.733, 1.751, 1.765, 1.776, 1.786, 1.794, 1.801),
    0.05: (1.960, 1.977, 2.004, 2.024, 2.040, 2.053, 2.063, 2.072, 2.080, 2.087),
    0.01: (2.576, 2.580, 2.595, 2.609, 2.621, 2.631, 2.640, 2.648, 2.654, 2.660),
}


@pytest.mark.parametrize("alpha", POCOCK)
def test_classical_constants_are_those_of_the_tables(alpha: float) -> None:
    for looks in range(1, 11):
        pocock = classical_bounds("pocock", looks, alpha).upper
        falling = classical_bounds("obrien-fleming", looks, alpha).upper
        assert pocock[-1] == pocock[0] == pytest.approx(POCOCK[alpha][looks - 1], abs=5.1e-4)
        assert falling[-1] == pytest.approx(OBRIEN_FLEMING[alpha][looks - 1], abs=5.1e-4)
        assert falling[0] == pytest.approx(falling[-1] * math.sqrt(looks))


def test_one_look_is_the_ordinary_test() -> None:
    for bounds in (
        classical_bounds("pocock", 1),
        classical_bounds("obrien-fleming", 1),
        spending_bounds("pocock", [1]),
        spending_bounds("obrien-fleming", [1]),
    ):
        assert bounds.upper[0] == pytest.approx(1.959963984540054, abs=1e-9)
        assert bounds.nominal[0] == pytest.approx(0.05, abs=1e-9)
        assert bounds.inflation() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "shares", "alpha", "sides", "upper"),
    [
        # R, ldbounds and gsDesign, five equal looks, as in Jennison and Turnbull 2000, chapter 7.
        ("obrien-fleming", (0.2, 0.4, 0.6, 0.8, 1), 0.05, 2, (4.877, 3.357, 2.680, 2.290, 2.031)),
        ("pocock", (0.2, 0.4, 0.6, 0.8, 1), 0.05, 2, (2.438, 2.427, 2.410, 2.397, 2.386)),
        # R, GroupSeq 1.4: its tests, four equal looks.
        ("obrien-fleming", (0.25, 0.5, 0.75, 1), 0.05, 2, (4.333, 2.963, 2.359, 2.014)),
        # R, rpact 3: its tests, getDesignGroupSequential(typeOfDesign = "asP", alpha = 0.13).
        ("pocock", (0.35, 0.7, 1), 0.13, 1, (1.5446617, 1.4828682, 1.4620058)),
        # R 4.2.2, mvtnorm 1.1-3: roots of pmvnorm (Miwa) at the error spent, before the information is full.
        ("pocock", (0.3, 0.65, 0.9), 0.05, 2, (2.31183530, 2.28814058, 2.33796856)),
        ("obrien-fleming", (0.3, 0.65, 0.9), 0.05, 2, (3.92857254, 2.54789955, 2.13251406)),
    ],
)
def test_spending_bounds_are_the_published_ones(kind, shares, alpha, sides, upper) -> None:
    found = spending_bounds(kind, shares, alpha, sides)
    digits = 1e-7 if upper[0] != round(upper[0], 3) else 5.1e-4
    assert found.upper == pytest.approx(upper, abs=digits)
    assert found.error == pytest.approx(sides * spent(kind, shares[-1], alpha / sides), abs=1e-10)


def test_classical_bounds_with_one_side() -> None:
    # R, rpact 3: its tests, getDesignInverseNormal() with three looks at 0.025.
    found = classical_bounds("obrien-fleming", 3, 0.025, 1)
    assert found.upper == pytest.approx((3.4710914, 2.4544323, 2.0040356), abs=1e-7)
    assert np.cumsum(found.crossing()[0]) == pytest.approx([0.00025917372, 0.0071600594, 0.025], abs=1e-8)
    # R 4.2.2, mvtnorm 1.1-3: root of 1 - pmvnorm(algorithm = Miwa(1024)) = 0.05 for four looks.
    assert classical_bounds("pocock", 4, 0.05, 1).upper[0] == pytest.approx(2.06742909, abs=1e-7)


def test_chances_to_cross_are_those_of_the_multivariate_normal_law() -> None:
    # R 4.2.2, mvtnorm 1.1-3: pmvnorm(algorithm = Miwa(steps = 2048)) for looks at 0.3, 0.65, 1 and drift 2.5.
    information, upper = (0.3, 0.65, 1.0), (2.7, 2.4, 2.1)
    above, below = Bounds(information, upper).crossing(2.5)
    assert above == pytest.approx((0.0916449239, 0.2717256289, 0.3082723769), abs=1e-8)
    assert below[:2] == pytest.approx((2.35766521e-05, 4.49920582e-06), abs=1e-9)
    alone, none = Bounds(information, upper, sides=1).crossing(2.5)
    assert alone[1:] == pytest.approx((0.271725629, 0.308272622), abs=1e-8)
    assert not none.any()


def test_looking_every_time_at_1_96_errs_as_armitage_found() -> None:
    # Armitage, McPherson and Rowe 1969, JRSS A 132:235, table 2.
    for looks, error in {1: 0.050, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}.items():
        every = tuple((look + 1) / looks for look in range(looks))
        assert Bounds(every, (1.959964,) * looks).error == pytest.approx(error, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "power", "factors"),
    [
        # Jennison and Turnbull 2000, tables 2.2 and 2.4, error 0.05, for 2, 3, 4, 5 and 10 looks.
        ("pocock", 0.8, (1.110, 1.166, 1.202, 1.229, 1.301)),
        ("pocock", 0.9, (1.100, 1.151, 1.183, 1.207, 1.271)),
        ("obrien-fleming", 0.8, (1.008, 1.017, 1.024, 1.028, 1.040)),
        ("obrien-fleming", 0.9, (1.007, 1.016, 1.022, 1.026, 1.037)),
    ],
)
def test_the_price_in_units_is_that_of_the_tables(kind, power, factors) -> None:
    for looks, factor in zip((2, 3, 4, 5, 10), factors, strict=True):
        bounds = classical_bounds(kind, looks)
        assert bounds.inflation(power) == pytest.approx(factor, abs=5.1e-4)
        assert bounds.power(bounds.drift(power)) == pytest.approx(power, abs=1e-9)


def test_an_effect_shortens_the_trial() -> None:
    bounds = classical_bounds("pocock", 5)
    still, strong = bounds.expected_information(0.0), bounds.expected_information(6.0)
    assert 0.95 < still < 1
    assert 0.2 < strong < 0.4


def test_bounds_do_not_depend_on_later_looks() -> None:
    whole = spending_bounds("obrien-fleming", (0.3, 0.5, 0.8, 1)).upper
    assert spending_bounds("obrien-fleming", (0.3, 0.5)).upper == pytest.approx(whole[:2], abs=1e-12)


def test_the_last_look_spends_what_is_left_wherever_it_comes() -> None:
    for reached in (0.8, 1.3):
        found = spending_bounds("obrien-fleming", (0.5, 1), information=(0.5, reached))
        assert found.error == pytest.approx(0.05, abs=1e-10)
    early = spending_bounds("obrien-fleming", (0.5, 1), information=(0.5, 0.6)).upper[-1]
    assert early < spending_bounds("obrien-fleming", (0.5, 1)).upper[-1]  # closer looks are more alike


def test_a_stopped_trial_is_read_as_rpact_reads_it() -> None:
    # R, rpact 3: its tests, getAnalysisResults of log-rank statistics 1.52, 1.38, 2.9 with 29 events at look 3 of a
    # Wang-Tsiatis design; final p 0.013371274, median-unbiased hazard ratio 2.632639, interval 1.1294538 to 5.6956842.
    design = Bounds((0.2, 0.4, 0.6, 1), (2.4878815, 2.4031352, 2.3549063, 2.2955206), sides=1)
    error = 2 / math.sqrt(29)
    found = stopped_trial(design, 3, 2.9 * error, error)
    assert found.p_value == pytest.approx(0.013371274, abs=1e-8)
    assert [math.exp(x) for x in (found.estimate, found.low, found.high)] == pytest.approx(
        (2.632639, 1.1294538, 5.6956842), rel=1e-6
    )


def test_a_stopped_trial_is_read_as_groupseq_reads_it() -> None:
    # R, GroupSeq: its vignette 4, Pocock with three looks, Z = 2.5 at the second: the drift lies in 0.30 to 5.38.
    error = math.sqrt(3 / 2)
    found = stopped_trial(classical_bounds("pocock", 3), 2, 2.5 * error, error)
    assert (round(found.low, 2), round(found.high, 2)) == (0.30, 5.38)
    assert found.estimate < 2.5 * error  # results that stop a trial are too large


def test_a_trial_without_earlier_looks_is_the_t_test() -> None:
    plain = mean_difference([12, 15], [3.1, 3.9], [11.0, 13.5])
    assert plain is not None
    found = stopped_trial(spending_bounds("pocock", [0.4, 1]), 1, plain.estimate, plain.standard_error, df=plain.df)
    assert found.estimate == pytest.approx(plain.estimate, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(plain.interval(), abs=1e-8)
    assert math.log(found.p_value) == pytest.approx(plain.log_p, abs=1e-8)


@given(estimate=st.floats(-3, 3), error=st.floats(0.05, 2), look=st.integers(1, 4), df=st.sampled_from((9.0, 80.0)))
@settings(max_examples=20, deadline=None)
def test_a_stopped_trial_mirrors_and_scales(estimate: float, error: float, look: int, df: float) -> None:
    bounds = classical_bounds("obrien-fleming", 4)
    one = stopped_trial(bounds, look, estimate, error, df=df)
    two = stopped_trial(bounds, look, -2 * estimate, 2 * error, df=df)
    assert 0 < one.p_value <= 1
    assert one.low < one.estimate < one.high
    assert two.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert (two.low, two.estimate, two.high) == pytest.approx(
        (-2 * one.high, -2 * one.estimate, -2 * one.low), abs=1e-6 * max(1, abs(estimate), error)
    )
    assert (one.p_value < 0.05) == (one.low > 0 or one.high < 0)


def test_the_repeated_p_value_is_the_error_at_which_the_bound_is_met() -> None:
    for kind in ("pocock", "obrien-fleming"):
        for sides in (1, 2):
            shares = (0.3, 0.6, 0.9)
            z = spending_bounds(kind, shares, 0.02, sides).upper[-1]
            assert repeated_p(kind, shares, z, sides) == pytest.approx(0.02, rel=1e-8)
    assert repeated_p("pocock", [1], -2.2) == pytest.approx(0.02780689502699719, rel=1e-9)  # 2 pnorm(-2.2)
    assert repeated_p("pocock", [0.5, 1], 0.0) == 1
    assert repeated_p("pocock", [1], -2.2, sides=1) == 1


def test_extreme_results_stay_finite() -> None:
    assert repeated_p("obrien-fleming", [0.5, 1], 8.0) == pytest.approx(2 * 6.220960574271785e-16, rel=1e-6)
    assert repeated_p("pocock", [0.5, 1], 30.0) == pytest.approx(1e-100)
    assert stopped_trial(classical_bounds("pocock", 3), 3, 1e6, 1.0).low < 1e6
    assert normal_score(1e9, 5.0) < 37
    assert normal_score(1e9, math.inf) == 37
    assert normal_score(0.0, 5.0) == 0


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: spending_bounds("pocock", []), "looks"),
        (lambda: spending_bounds("pocock", [0.5, 0.5]), "information"),
        (lambda: spending_bounds("pocock", [0.5, 0.4]), "information"),
        (lambda: spending_bounds("pocock", [0.5, math.nan]), "information"),
        (lambda: spending_bounds("pocock", [1], 1.0), "alpha"),
        (lambda: spending_bounds("pocock", [1], 0.5, sides=1), "alpha"),
        (lambda: classical_bounds("pocock", 0), "looks"),
        (lambda: classical_bounds("pocock", 51), "looks"),
        (lambda: Bounds((0.5, 1.0), (2.0,)), "looks"),
        (lambda: Bounds((1.0,), (2.0,), sides=3), "sides"),
        (lambda: classical_bounds("pocock", 2).drift(0.01), "power"),
        (lambda: stopped_trial(classical_bounds("pocock", 2), 3, 1.0, 1.0), "look"),
    ],
)
def test_impossible_designs_are_refused(call, place) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.place == place


LEVELS = (1, 2, 3, 4, 5)
CONTROL, PILOT = (4, 6, 20, 48, 22), (3, 5, 19, 45, 48)


def rated(control=CONTROL, pilot=PILOT, **more) -> Evidence:
    return Evidence.from_counts("csat", Scale.RATING, ("control", "desk"), LEVELS, [[control], [pilot]], **more)


def compared(evidence: Evidence, **settings) -> Comparison:
    found = GroupSequential(**settings).compare(evidence, "desk")
    assert isinstance(found, Comparison)
    return found


def test_one_planned_look_is_welch() -> None:
    plain, found = Welch().compare(rated(), "desk"), compared(rated(), looks=1)
    assert isinstance(plain, Comparison)
    assert (found.estimate, found.low, found.high) == pytest.approx((plain.estimate, plain.low, plain.high), abs=1e-9)
    assert found.log_p == pytest.approx(plain.log_p, abs=1e-8)
    assert found.details["stagewise p"] == pytest.approx(plain.p_value, rel=1e-8)
    assert found.passed == (plain.low > 0 or plain.high < 0)


def test_strata_are_compared_inside() -> None:
    two = Evidence.from_counts(
        "csat", Scale.RATING, ("control", "desk"), LEVELS, [[CONTROL, PILOT], [PILOT, PILOT]], strata=("a", "b")
    )
    plain, found = StratifiedDifference().compare(two, "desk"), compared(two, looks=1)
    assert isinstance(plain, Comparison)
    assert (found.estimate, found.low, found.high) == pytest.approx((plain.estimate, plain.low, plain.high), abs=1e-9)


def test_the_interval_leaves_no_difference_out_exactly_when_the_bound_is_crossed() -> None:
    seen = set()
    for five in range(20, 90, 5):
        for look in (1, 2, 3):
            found = compared(rated(pilot=(3, 5, 19, 45, five)), looks=3, look=look)
            outside = found.low > 0 or found.high < 0
            assert found.passed == outside == (found.p_value <= 0.05)
            seen.add((look, outside))
    assert len(seen) == 6


def test_a_look_is_judged_by_the_information_it_has() -> None:
    early, late = (compared(rated(), planned=planned) for planned in (440, 250))
    assert early.details["information"] == 0.5
    assert late.details["information"] == 0.88
    assert early.details["bound"] == pytest.approx(spending_bounds("obrien-fleming", [0.5]).upper[0])
    assert late.details["bound"] == pytest.approx(spending_bounds("obrien-fleming", [0.88]).upper[0])
    assert not any("Look 1" in text for text in early.warnings)
    assert any("it was planned at 50 %" in text for text in late.warnings)


def test_earlier_looks_count_as_they_were() -> None:
    asked = compared(rated(), look=2, before=(0.3,), planned=220)
    assert asked.details["bound"] == pytest.approx(spending_bounds("obrien-fleming", [0.3, 1]).upper[1])
    assert asked.details["error spent"] == pytest.approx(0.05, abs=1e-9)


def test_what_stops_early_is_called_too_large() -> None:
    found = compared(rated(pilot=(0, 1, 5, 40, 74)), looks=2, spending="pocock")
    assert found.passed
    assert "the bound of look 1 of 2 is crossed on the better side" in found.sentence
    assert any("too large on average" in text for text in found.warnings)
    middle = compared(rated(pilot=(0, 1, 5, 40, 74)), looks=3, look=2, spending="pocock")
    unbiased = middle.details["median-unbiased estimate"]
    assert unbiased < middle.estimate
    assert any(f"the median-unbiased one is {unbiased:.3g}" in text for text in middle.warnings)
    second = compared(rated(pilot=(0, 1, 5, 40, 74)), look=2, spending="pocock")
    assert second.details["median-unbiased estimate"] < second.estimate
    assert not any("too large on average" in text for text in second.warnings)


def test_a_bound_crossed_on_the_worse_side_says_so() -> None:
    found = compared(rated(pilot=(30, 30, 30, 20, 10)))
    assert found.passed
    assert "crossed on the worse side" in found.sentence
    lower_is_better = compared(rated(pilot=(30, 30, 30, 20, 10), higher_is_better=False))
    assert "crossed on the better side" in lower_is_better.sentence


def test_a_very_early_look_says_nothing_and_a_small_one_warns() -> None:
    found = GroupSequential(planned=50_000).compare(rated(), "desk")
    assert isinstance(found, NotEnoughData)
    assert "no error is spent yet" in found.reason
    nobody = GroupSequential(planned=400).compare(rated(pilot=(0, 0, 0, 0, 0)), "desk")
    assert nobody == NotEnoughData("group-sequential", "csat", "desk", "desk has no answers")
    assert isinstance(GroupSequential(planned=10**7).compare(rated(), "desk"), NotEnoughData)
    small = compared(rated(control=(1, 1, 3, 5, 4), pilot=(1, 0, 3, 6, 4)), spending="pocock")
    assert any("below 20 answers in an arm errs more often" in text for text in small.warnings)


@pytest.mark.parametrize(
    ("settings_", "place"),
    [
        ({"look": 3}, "look"),
        ({"look": 2, "before": (0.2, 0.4)}, "before"),
        ({"information": (0.4, 0.7, 1)}, "information"),
        ({"information": (0.4, 0.7)}, "information"),
        ({"look": 2, "looks": 3, "before": (0.9,), "planned": 400}, "information"),
    ],
)
def test_looks_that_contradict_each_other_are_refused(settings_, place) -> None:
    with pytest.raises(InputError) as refused:
        GroupSequential(**settings_).compare(rated(), "desk")
    assert refused.value.place == place


def test_looks_cost_units() -> None:
    expected = Expected(sd=1.0)
    single = GroupSequential(looks=1).sample_size(expected, 0.2)
    # The normal law's 2 (1.959964 + 0.841621)^2 / 0.2^2.
    assert single[0] == pytest.approx(392.44, abs=0.01)
    five = GroupSequential(looks=5, spending="pocock").sample_size(expected, 0.2)
    design = spending_bounds("pocock", [0.2, 0.4, 0.6, 0.8, 1])
    assert five[0] / single[0] == pytest.approx(design.inflation(0.8), abs=1e-6)
    assert GroupSequential(looks=5, spending="pocock").mde(expected, five) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("kind", ["obrien-fleming", "pocock"])
def test_ratings_err_as_planned_over_five_looks(kind) -> None:
    error = five_looks(kind, replicates=2_000)
    # Simulated before: 5.3 and 5.7 % by normal bounds at 20 answers per arm and look; t bounds can only be nearer.
    assert abs(error - 0.053) <= 4 * math.sqrt(0.053 * 0.947 / 2_000) + 0.003


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("shape", ["typical", "ceiling"])
def test_ratings_err_as_planned_over_five_looks_in_many_trials(kind, shape) -> None:
    error = five_looks(kind, replicates=40_000, shape=shape)
    assert 0.035 <= error <= 0.065


def test_without_bounds_five_looks_err_three_times_as_often() -> None:
    assert five_looks(None, replicates=2_000) > 0.11


def five_looks(kind, *, replicates: int, shape: str = "typical") -> float:
    """How often one of five looks, 20 further answers per arm each, refutes a true null of ratings by t tests."""
    shares = {"typical": (0.03, 0.07, 0.18, 0.42, 0.30), "ceiling": (0.01, 0.02, 0.05, 0.22, 0.70)}[shape]
    looks = [(look + 1) / 5 for look in range(5)]
    upper = (1.959964,) * 5 if kind is None else spending_bounds(kind, looks).upper
    rng, levels = np.random.default_rng(20), np.arange(1, 6)
    counts = rng.multinomial(20, shares, size=(replicates, 5, 2)).cumsum(axis=1)
    n = counts.sum(axis=3)
    mean = counts @ levels / n
    m2 = counts @ levels**2 - n * mean**2
    crossed = 0
    for trial in range(replicates):
        for look in range(5):
            found = mean_difference(n[trial, look], mean[trial, look], np.maximum(m2[trial, look], 0.0))
            if found is not None and abs(normal_score(found.t, found.df)) >= upper[look]:
                crossed += 1
                break
    return crossed / replicates


def test_information_is_spent_step_by_step() -> None:
    for kind in ("obrien-fleming", "pocock"):
        used = [spent(kind, share, 0.025) for share in np.linspace(0.01, 1.2, 60)]
        assert all(one <= two for one, two in pairwise(used))
        assert used[-1] == spent(kind, 1.0, 0.025) == 0.025
