"""Tables held against R 4.2.2 (stats, coin 1.4-2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Analysis, Comparison, Evidence, Expected, NotEnoughData, Scale, exact_permutation, newcombe
from pilot.analysis.methods.tables import ChiSquareTest, CochranMantelHaenszel, Trend
from pilot.analysis.ranks import compare_ranks, win_probability
from pilot.analysis.tables import chi_square, largest_share_difference, log_chi_square_upper, score_difference
from pilot.errors import InputError

CONTROL, PILOT = (4, 6, 20, 48, 22), (3, 5, 12, 25, 15)
LARGE = ((4, 6, 20, 48, 22), (3, 5, 19, 45, 28))
SMALL = ((6, 9, 14, 16, 5), (4, 7, 15, 18, 6))
TINY = ((1, 0, 2, 0, 1), (0, 0, 0, 1, 0))
STRATA = np.array([LARGE, SMALL, TINY]).transpose(1, 0, 2)
EVERY = (
    ChiSquareTest(),
    Trend(),
    Trend(scores="ridits"),
    CochranMantelHaenszel(),
    CochranMantelHaenszel(scores="ridits"),
)


def rating(control: object, pilot: object) -> Evidence:
    counts = np.array([np.atleast_2d(control), np.atleast_2d(pilot)])
    strata = [f"s{k}" for k in range(counts.shape[1])]
    levels = range(1, counts.shape[2] + 1)
    return Evidence.from_counts("csat", Scale.RATING, ("control", "pilot"), levels, counts, strata=strata)


def compared(analysis: Analysis, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "pilot")
    assert isinstance(found, Comparison), found
    return found


def test_chi_square_as_r_computes_it() -> None:
    # R 4.2.2: chisq.test(rbind(CONTROL, PILOT), correct = FALSE)
    found = chi_square([CONTROL, PILOT])
    assert found is not None
    assert found.statistic == pytest.approx(0.858310293926732, rel=1e-9)
    assert (found.df, found.units, found.smallest) == (4, 160, pytest.approx(2.625))
    assert math.exp(found.log_p) == pytest.approx(0.930464194392107, rel=1e-9)
    assert found.sparse == pytest.approx(0.3)


def test_empty_levels_are_no_degrees_of_freedom() -> None:
    with_gap, without = chi_square([(4, 0, 9), (7, 0, 3)]), chi_square([(4, 9), (7, 3)])
    assert with_gap == without
    assert chi_square([(0, 4), (0, 9)]) is None
    assert chi_square([(1, 4), (0, 0)]) is None


@pytest.mark.parametrize(
    ("x", "df", "expected"),
    [(2500, 3, -1246.31336858694), (1e5, 1, -50005.9822640849), (30, 4, -12.2274112777602)],
)
def test_the_tail_of_chi_square_keeps_its_logarithm(x: float, df: float, expected: float) -> None:
    # R 4.2.2: pchisq(x, df, lower.tail = FALSE, log.p = TRUE)
    assert log_chi_square_upper(x, df) == pytest.approx(expected, rel=1e-10)


def test_cramer_s_v_and_its_limits() -> None:
    # R 4.2.2: chi-square 16.2418831168831 of 115; uniroot of pchisq(x, 2, ncp) = 0.975 and 0.025
    found = chi_square([[10, 20, 30], [25, 20, 10]])
    assert found is not None
    squares = [v**2 * 115 for v in found.cramer_v()]
    assert squares == pytest.approx([16.2418831168831, 3.57025648534359, 34.6601136401239], rel=1e-8)


def test_the_largest_difference_of_shares_by_hand() -> None:
    # 48 of 100 against 25 of 60 at level 4: the largest of five differences, each at 99 percent.
    found = largest_share_difference([CONTROL, PILOT])
    assert found.position == 3
    assert found.estimate == pytest.approx(25 / 60 - 48 / 100)
    assert (found.low, found.high) == newcombe((25, 60), (48, 100), 0.99)
    two = largest_share_difference([(10, 30), (20, 20)])
    assert (two.low, two.high) == newcombe((20, 40), (10, 40), 0.95)


def test_linear_by_linear_as_coin_computes_it() -> None:
    # coin 1.4-2: lbl_test: chi-square ... = (N - 1) r^2 = 0.077766132654589; prop.trend.test times (N - 1) / N is equal
    found = compared(Trend(), rating(CONTROL, PILOT))
    assert found.details["chi-square"] == pytest.approx(0.077766132654589, rel=1e-9)
    assert found.statistic == pytest.approx(-0.278865796853234, rel=1e-9)
    assert found.p_value == pytest.approx(0.780347817817501, rel=1e-9)
    assert (found.details["correlation"] or 0) ** 2 * 159 == pytest.approx(0.077766132654589)
    # R 4.2.2: t.test(rep(1:5, PILOT), rep(1:5, CONTROL))
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (-0.0466666666666664, -0.3869439320375133, 0.2936105987041804), rel=1e-8
    )
    assert (found.standard_error, found.df) == pytest.approx((0.1717929659407551, 115.3678948298561266), rel=1e-9)


def test_cochran_mantel_haenszel_as_r_computes_it() -> None:
    # coin 1.4-2: independence_test(v ~ arm | stratum, teststat = "scalar")
    found = compared(CochranMantelHaenszel(), rating(*STRATA))
    assert found.statistic == pytest.approx(1.298758833172243, rel=1e-9)
    assert found.p_value == pytest.approx(0.194026706460281, rel=1e-9)
    assert found.statistic == pytest.approx(exact_permutation(STRATA, range(1, 6)).z, rel=1e-9)
    # R 4.2.2: mantelhaen.test(A, correct = FALSE) on [12 30; 8 25] and [5 20; 9 16]
    yes = Evidence.from_counts(
        "kept", Scale.BINARY, ("control", "pilot"), (0, 1), [[[12, 30], [5, 20]], [[8, 25], [9, 16]]], strata=("a", "b")
    )
    kept = compared(CochranMantelHaenszel(), yes)
    assert kept.details["chi-square"] == pytest.approx(0.230986473765050, rel=1e-9)
    assert kept.p_value == pytest.approx(0.630793335870222, rel=1e-9)


def test_the_estimate_is_weighted_as_the_test_is() -> None:
    # Differences 0.12 and 0.20 with weights 100 x 100 / 200 = 50 and 50 x 50 / 100 = 25
    found = score_difference(STRATA[:, :2], range(1, 6))
    assert found is not None
    assert found.estimate == pytest.approx((50 * 0.12 + 25 * 0.20) / 75)
    variances = [
        sum(np.var(np.repeat(np.arange(5), arm), ddof=1) / sum(arm) for arm in stratum) for stratum in (LARGE, SMALL)
    ]
    assert found.standard_error == pytest.approx(math.sqrt((50**2 * variances[0] + 25**2 * variances[1]) / 75**2))


def test_pairs_of_customers_add_the_spread_of_both() -> None:
    # Pairs (pilot, control): seven of (3, 2), one of (2, 2), two of (1, 2). With one unit per arm the variance of a pair's
    # difference is taken as its square: 9 in all, over 10^2.
    control, pilot = [(0, 1, 0)] * 10, [(0, 0, 1)] * 7 + [(0, 1, 0)] + [(1, 0, 0)] * 2
    found = compared(CochranMantelHaenszel(), rating(control, pilot))
    assert found.estimate == pytest.approx(0.5)
    assert found.standard_error == pytest.approx(0.3)
    assert found.statistic == pytest.approx(5 / 3)


def test_ridits_are_ranks() -> None:
    found, ranks = compared(Trend(scores="ridits"), rating(*LARGE)), win_probability(compare_ranks(STRATA[:, :1]))
    assert ranks is not None
    assert found.estimate == pytest.approx(ranks.estimate - 0.5)
    # (N - 1) r^2 of ranks is the square of the Mann-Whitney z
    assert found.statistic == pytest.approx(ranks.z, rel=1e-9)
    assert found.sentence.startswith("the mean ridit of csat is 0.034 higher in pilot")


tables = st.lists(st.tuples(*[st.lists(st.integers(0, 6), min_size=4, max_size=4)] * 2), min_size=1, max_size=3).map(
    lambda strata: np.array(strata).transpose(1, 0, 2)
)


@given(tables)
@settings(max_examples=30, deadline=None)
def test_swapping_arms_mirrors_and_order_of_strata_does_not_matter(counts: np.ndarray) -> None:
    for analysis in EVERY:
        one, two, three = (
            analysis.compare(rating(*table), "pilot") for table in (counts, counts[::-1], counts[:, ::-1])
        )
        if not isinstance(one, Comparison):
            assert isinstance(two, NotEnoughData)
            assert isinstance(three, NotEnoughData)
            continue
        assert isinstance(two, Comparison)
        assert isinstance(three, Comparison)
        mirrored = [-(value or 0) for value in (one.estimate, one.high, one.low)]
        assert [two.estimate, two.low, two.high] == pytest.approx(mirrored, abs=1e-9)
        assert two.log_p == pytest.approx(one.log_p, abs=1e-8)
        assert (three.estimate, three.log_p) == pytest.approx((one.estimate, one.log_p), abs=1e-8)


def test_one_stratum_makes_cmh_the_trend() -> None:
    one, two = (compared(part, rating(*LARGE)) for part in (Trend(), CochranMantelHaenszel()))
    assert (one.estimate, one.low, one.p_value) == (two.estimate, two.low, two.p_value)


def test_the_sentence_names_the_level() -> None:
    found = compared(ChiSquareTest(), rating(LARGE[0], (3, 5, 10, 25, 57)))
    assert found.sentence == (
        "of all values of csat the arms differ most in 5, which is 35.0 percentage points more frequent in pilot than in "
        "control (95 % interval for all values together 17.3 to 49.8; 100 and 100 answers); the whole interval lies on one "
        "side of no difference."
    )
    assert found.details["level"] == 5
    assert found.details["difference of shares at 4"] == pytest.approx(-0.23)


def test_sparse_tables_are_warned_of() -> None:
    assert any(
        "expected count below 5" in warning for warning in compared(ChiSquareTest(), rating(CONTROL, PILOT)).warnings
    )
    assert compared(ChiSquareTest(), rating((20, 30, 40), (20, 35, 40))).warnings == ()


@pytest.mark.parametrize(
    ("control", "pilot", "reason"),
    [
        ((0, 0, 0), (1, 2, 3), "control has no answers"),
        ((1, 2, 3), (0, 1, 0), "pilot has only one"),
        ((0, 0, 9), (0, 0, 7), "equal"),
    ],
)
def test_too_little_is_an_outcome_with_a_reason(control: Sequence[int], pilot: Sequence[int], reason: str) -> None:
    for analysis in EVERY:
        found = analysis.compare(rating(control, pilot), "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason


def test_strata_without_both_arms_are_named() -> None:
    found = compared(CochranMantelHaenszel(), rating([LARGE[0], (1, 2, 3, 1, 0)], [LARGE[1], (0,) * 5]))
    left_out = "Strata without answers in one of the arms were left out: s1 (7 answers, "
    assert any(warning.startswith(left_out) for warning in found.warnings)
    alone = CochranMantelHaenszel().compare(rating([(1, 2, 3), (0, 0, 0)], [(0, 0, 0), (3, 2, 1)]), "pilot")
    assert isinstance(alone, NotEnoughData)
    assert "no stratum has both arms" in alone.reason


def test_power_of_chi_square() -> None:
    # R, pwr: pwr.chisq.test(w = 0.2, N = 200, df = 4, sig.level = 0.05): 0.6047246657
    expected = Expected(levels=(1, 2, 3, 4, 5), shares=(0.03, 0.07, 0.18, 0.42, 0.30))
    assert ChiSquareTest().power(expected, 0.2, (100, 100)) == pytest.approx(0.6047246657, abs=1e-9)
    with pytest.raises(InputError, match="no Cramer's V"):
        ChiSquareTest().power(expected, 1.2, (100, 100))
    with pytest.raises(InputError, match="levels"):
        ChiSquareTest().power(Expected(sd=1), 0.2, (100, 100))


def test_power_of_a_trend_is_that_of_a_difference_of_means() -> None:
    # R 4.2.2: power.t.test(n = 64, delta = 0.5, sd = 1): 0.8014596
    assert Trend().power(Expected(sd=1), 0.5, (64, 64)) == pytest.approx(0.8014596, abs=2e-6)
    with pytest.raises(InputError, match="mann-whitney"):
        Trend(scores="ridits").power(Expected(sd=1), 0.5, (64, 64))


SHAPES = {"typical": (0.03, 0.07, 0.18, 0.42, 0.30), "ceiling": (0.01, 0.02, 0.05, 0.22, 0.70)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_type_one_error_of_trend_and_cover_of_its_interval(shape: str, n: int) -> None:
    rng, draws = np.random.default_rng(n), 3000
    rejected = covered = 0
    for table in rng.multinomial(n, SHAPES[shape], (draws, 2)):
        found = score_difference(table[:, None], range(1, 6))
        assert found is not None
        rejected += found.log_p < math.log(0.05)
        low, high = found.interval()
        covered += low <= 0 <= high
    assert abs(rejected / draws - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / draws) + 0.003
    assert 0.935 <= covered / draws <= 0.97


@pytest.mark.parametrize("n", [10, 50])
def test_type_one_error_of_cmh_in_four_strata(n: int) -> None:
    # 4.7-5.0 percent without continuity correction at 20 to 200 per arm
    rng, draws = np.random.default_rng(n), 3000
    strata = [np.roll(SHAPES["typical"], shift) for shift in (0, 0, 1, 3)]
    tables = np.stack([rng.multinomial(n, shares, (draws, 2)) for shares in strata], axis=2)
    found = [score_difference(table, range(1, 6)) for table in tables]
    rejected = np.mean([one is not None and one.log_p < math.log(0.05) for one in found])
    assert abs(rejected - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / draws) + 0.003


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
def test_type_one_error_of_chi_square_and_the_joint_cover_of_its_intervals(n: int) -> None:
    rng, draws = np.random.default_rng(n), 6000
    rejected = missed = 0
    for table in rng.multinomial(n, SHAPES["typical"], (draws, 2)):
        found, largest = chi_square(table), largest_share_difference(table)
        assert found is not None
        rejected += found.log_p < math.log(0.05)
        missed += not largest.low <= 0 <= largest.high
    assert 0.035 <= rejected / draws <= 0.065
    assert missed / draws <= 0.055
