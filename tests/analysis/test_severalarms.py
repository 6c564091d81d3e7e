"""Several arms held against R 4.2.2 (stats, multcomp 1.4-22, mvtnorm) and scipy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pilot.analysis import Comparison, Evidence, Expected, Moments, NotEnoughData, Scale, Welch
from pilot.analysis.methods.ranks import BrunnerMunzel, MannWhitney
from pilot.analysis.methods.severalarms import Dunnett, KruskalWallis, WelchAnova
from pilot.analysis.reach import several_arms
from pilot.analysis.severalarms import (
    dunnett_quantile,
    kruskal_wallis,
    kruskal_wallis_power,
    log_dunnett_upper,
    log_range_upper,
    range_quantile,
    upper_quantile,
    welch_anova,
    welch_anova_power,
)
from pilot.errors import InputError

# R: PlantGrowth
PLANTS = (
    (4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14),
    (4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69),
    (6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26),
)
RATINGS = ((4, 6, 20, 48, 22), (3, 5, 12, 25, 15), (1, 4, 10, 20, 30))
EVERY = (WelchAnova(), Dunnett(), KruskalWallis())


def plants() -> Evidence:
    values = [np.array(arm) for arm in PLANTS]
    n, mean = np.array([[len(v)] for v in values]), np.array([[v.mean()] for v in values])
    m2 = np.array([[((v - v.mean()) ** 2).sum()] for v in values])
    return Evidence("weight", Scale.MONEY, True, ("control", "one", "two"), moments=Moments(n, mean, m2))


def ratings(*arms: tuple[int, ...]) -> Evidence:
    names = ("control", "one", "two", "three")[: len(arms)]
    counts = np.array(arms)[:, None]
    return Evidence.from_counts("csat", Scale.RATING, names, range(1, counts.shape[2] + 1), counts)


def compared(analysis: object, evidence: Evidence, arm: str) -> Comparison:
    found = analysis.compare(evidence, arm)  # type: ignore[attr-defined]
    assert isinstance(found, Comparison), found
    return found


@pytest.mark.parametrize(
    ("q", "groups", "df", "expected"),
    [
        (3.877, 3, 10, 0.049987088753522),
        (2.5, 3, 5.3, 0.266665101529144),
        (4.2, 5, 130, 0.028741568249687),
        (2.95, 2, 20, 0.049999844686294),
        (9, 3, 2, 0.043151568839418),
    ],
)
def test_the_studentised_range(q: float, groups: int, df: float, expected: float) -> None:
    # R 4.2.2: ptukey(q, groups, df, lower.tail = FALSE)
    assert math.exp(log_range_upper(q, groups, df)) == pytest.approx(expected, rel=1e-7)
    assert math.exp(log_range_upper(q, groups, df)) == pytest.approx(
        stats.studentized_range.sf(q, groups, df), rel=1e-9
    )


def test_tukey_s_table() -> None:
    # Percentage points of the studentised range, 5 percent: 3 groups, 10 df: 3.88; 5 groups, 20 df: 4.23; 10 groups, 60 df: 4.65
    for groups, df, printed in ((3, 10, 3.88), (5, 20, 4.23), (10, 60, 4.65)):
        assert round(upper_quantile(lambda q, k=groups, f=df: log_range_upper(q, k, f), 0.05), 2) == printed  # type: ignore[misc]


def test_dunnett_s_table() -> None:
    # Dunnett 1964, two-sided 5 percent: 3 arms, 16 df: 2.59; 2 arms, 20 df: 2.38 (equal sizes)
    for arms, df, printed in ((3, 16, 2.59), (2, 20, 2.38)):
        quantile = upper_quantile(lambda t, k=arms, f=df: log_dunnett_upper(t, [10] * (k + 1), f), 0.05)  # type: ignore[misc]
        assert round(quantile, 2) == printed
    # R, mvtnorm: 1 - pmvt for arms of 12 and 30 against 20, |t| < 2.4, 30 df
    assert math.exp(log_dunnett_upper(2.4, (20, 12, 30), 30)) == pytest.approx(0.0422974153796, rel=1e-9)


@pytest.mark.parametrize("t", [3.0, 8.0, 40.0])
def test_two_arms_are_student_s_t_far_into_the_tail(t: float) -> None:
    expected = math.log(2) + stats.t.logsf(t, 25)
    assert log_range_upper(t * math.sqrt(2), 2, 25) == pytest.approx(expected, rel=1e-7)
    assert log_dunnett_upper(t, (10, 17), 25) == pytest.approx(expected, rel=1e-7)


def test_games_and_howell_s_intervals() -> None:
    # R 4.2.2: standard errors and df of Welch, qtukey and ptukey
    one, two = (compared(WelchAnova(), plants(), arm) for arm in ("one", "two"))
    assert (one.estimate, one.low, one.high) == pytest.approx((-0.371, -1.17208750150176, 0.43008750150176), rel=1e-6)
    assert (one.df, one.p_value) == pytest.approx((16.52358505685930, 0.47455492219398), rel=1e-6)
    assert (two.estimate, two.low, two.high) == pytest.approx((0.494, -0.10055443333316, 1.08855443333316), rel=1e-6)
    assert (two.df, two.p_value) == pytest.approx((16.78576448260572, 0.11288917685422), rel=1e-6)
    assert two.sentence.endswith("; the interval holds for 3 comparisons of arms at once.")


def test_welch_s_test_of_all_means() -> None:
    # R 4.2.2: oneway.test(weight ~ group): F = 5.18097240811, denominator df 17.1284186166, p = 0.01739282149
    details = compared(WelchAnova(), plants(), "one").details
    assert details["omnibus statistic"] == pytest.approx(5.18097240811, rel=1e-9)
    assert details["omnibus denominator degrees of freedom"] == pytest.approx(17.1284186166, rel=1e-9)
    assert details["omnibus p"] == pytest.approx(0.01739282149, rel=1e-8)
    alike = welch_anova([5, 5], [1.0, 1.0], [3.0, 2.0])
    assert alike is not None
    assert (alike.statistic, alike.log_p) == (0.0, 0.0)
    assert welch_anova([5, 1], [1.0, 2.0], [3.0, 0.0]) is None
    assert welch_anova([5, 5], [1.0, 2.0], [3.0, 0.0]) is None


def test_dunnett_s_intervals() -> None:
    # multcomp 1.4-22: glht(aov(weight ~ group), mcp(group = "Dunnett")): error 0.27878160840555, p 0.3226956858 and
    # 0.1534858615. Its quantile is drawn at random (2.3335); R's integrate over the same two integrals gives 2.33341154693.
    half = 2.33341154693 * 0.27878160840555
    one, two = (compared(Dunnett(), plants(), arm) for arm in ("one", "two"))
    assert (one.estimate, one.low, one.high) == pytest.approx((-0.371, -0.371 - half, -0.371 + half), rel=1e-7)
    assert (two.estimate, two.low, two.high) == pytest.approx((0.494, 0.494 - half, 0.494 + half), rel=1e-7)
    assert (one.standard_error, one.df) == pytest.approx((0.27878160840555, 27))
    assert (one.p_value, two.p_value) == pytest.approx((0.3226956858, 0.1534858615), rel=1e-7)


def test_kruskal_and_wallis_as_r_computes_it() -> None:
    # R 4.2.2: kruskal.test: 7.787114328947, df 2, p 0.0203727477779; PlantGrowth: 7.98822874944, p 0.018423755731
    found = kruskal_wallis(RATINGS)
    assert found is not None
    assert (found.statistic, found.df, math.exp(found.log_p)) == (
        pytest.approx(7.787114328947, rel=1e-9),
        (2.0,),
        pytest.approx(0.0203727477779, rel=1e-9),
    )
    levels = sorted({value for arm in PLANTS for value in arm})
    growth = kruskal_wallis([[arm.count(level) for level in levels] for arm in PLANTS])
    assert growth is not None
    assert (growth.statistic, math.exp(growth.log_p)) == pytest.approx((7.98822874944, 0.018423755731), rel=1e-9)
    assert kruskal_wallis([(0, 4), (0, 5)]) is None


def test_the_win_probability_holds_for_all_arms() -> None:
    found, alone = (
        compared(KruskalWallis(), ratings(*RATINGS), "two"),
        compared(BrunnerMunzel(level=0.975), ratings(*RATINGS), "two"),
    )
    assert (found.estimate, found.low, found.high) == (alone.estimate, alone.low, alone.high)
    assert found.level == 0.95
    assert found.p_value == pytest.approx(2 * (alone.p_value or 0))
    assert found.details["omnibus statistic"] == pytest.approx(7.787114328947, rel=1e-9)


def test_two_arms_are_the_plain_methods() -> None:
    evidence = ratings(*RATINGS[:2])
    howell, welch = compared(WelchAnova(), evidence, "one"), compared(Welch(), evidence, "one")
    assert (howell.low, howell.high, howell.p_value) == pytest.approx((welch.low, welch.high, welch.p_value), rel=1e-8)
    dunnett = compared(Dunnett(), evidence, "one")
    values = [np.repeat(np.arange(1, 6), arm) for arm in RATINGS[:2]]
    student = stats.ttest_ind(values[1], values[0])
    interval = student.confidence_interval()
    assert (dunnett.low, dunnett.high, dunnett.p_value) == pytest.approx(
        (interval.low, interval.high, student.pvalue), rel=1e-8
    )
    ranks, munzel = compared(KruskalWallis(), evidence, "one"), compared(BrunnerMunzel(), evidence, "one")
    assert (ranks.low, ranks.high, ranks.p_value) == (munzel.low, munzel.high, munzel.p_value)
    z = kruskal_wallis(RATINGS[:2])
    assert z is not None
    assert z.statistic == pytest.approx(0.127433895784212**2, rel=1e-9)  # coin::wilcox_test: Z = -0.127433895784212


def test_order_of_the_other_arms_does_not_matter_and_swapping_mirrors() -> None:
    for analysis in EVERY:
        one = compared(analysis, ratings(*RATINGS), "one")
        other = compared(analysis, ratings(RATINGS[0], RATINGS[2], RATINGS[1]), "two")
        assert (one.estimate, one.low, one.log_p) == pytest.approx((other.estimate, other.low, other.log_p), rel=1e-9)
    for analysis in (WelchAnova(), KruskalWallis()):
        one = compared(analysis, ratings(*RATINGS), "one")
        swapped = compared(analysis, ratings(RATINGS[1], RATINGS[0], RATINGS[2]), "one")
        centre = 1.0 if isinstance(analysis, KruskalWallis) else 0.0
        assert (swapped.low, swapped.high) == pytest.approx(
            (centre - (one.high or 0), centre - (one.low or 0)), abs=1e-9
        )


def test_arms_without_answers_take_no_part_and_are_named() -> None:
    evidence = ratings(*RATINGS[:2], (0, 0, 0, 0, 1), (0, 0, 0, 0, 0))
    for analysis in EVERY:
        found = compared(analysis, evidence, "one")
        assert "Arms with fewer than two answers take no part: two, three." in found.warnings
        assert found.details["arms"] == 2
        lost = analysis.compare(evidence, "three")
        assert isinstance(lost, NotEnoughData)
        assert "three has no answers" in lost.reason


def test_spreads_that_differ_are_warned_of_where_one_is_taken_for_all() -> None:
    evidence = ratings((10, 0, 0, 0, 10), (0, 5, 10, 5, 0), (5, 5, 5, 5, 5))
    assert any("use welch-anova" in warning for warning in compared(Dunnett(), evidence, "one").warnings)
    assert not any("use welch-anova" in warning for warning in compared(WelchAnova(), evidence, "one").warnings)
    constant = compared(Dunnett(), ratings((0, 0, 9), (1, 2, 5), (2, 2, 2)), "one")
    assert any("shows no spread" in warning for warning in constant.warnings)


def test_a_huge_difference_keeps_its_logarithm() -> None:
    evidence = ratings((900, 90, 10, 0, 0), (0, 0, 10, 90, 900), RATINGS[2])
    for analysis in EVERY:
        found = compared(analysis, evidence, "one")
        assert found.log_p is not None
        assert -math.inf < found.log_p < -700
        assert found.p_value == pytest.approx(2.2250738585072014e-308)


def test_separated_arms_fall_back_to_the_exact_p() -> None:
    found = compared(KruskalWallis(), ratings((3, 4, 0, 0), (0, 0, 3, 4), (1, 2, 2, 1)), "one")
    assert found.p_value == pytest.approx(2 * 2 / math.comb(14, 7), rel=1e-9)
    assert "exact permutation p" in found.method


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_all_intervals_together_hold(n: int) -> None:
    rng, draws = np.random.default_rng(n), 500
    missed = dict.fromkeys((part.key for part in EVERY), 0)
    for table in rng.multinomial(n, (0.03, 0.07, 0.18, 0.42, 0.30), (draws, 3)):
        evidence = ratings(*(tuple(row) for row in table))
        for analysis in EVERY:
            null = 0.5 if isinstance(analysis, KruskalWallis) else 0.0
            both = [compared(analysis, evidence, arm) for arm in ("one", "two")]
            missed[analysis.key] += any(not (one.low or 0) <= null <= (one.high or 0) for one in both)
    slack = 4 * math.sqrt(0.05 * 0.95 / draws) + 0.003
    assert abs(missed["dunnett"] / draws - 0.05) <= slack
    assert all(count / draws <= 0.05 + slack for count in missed.values())


def test_power_of_one_arm_among_several() -> None:
    # R 4.2.2, Dunnett by nested integrate() and pt(ncp): three arms of 50 against 80, sd 1, effect 0.5
    assert Dunnett().power(Expected(sd=1.0, pilots=3), 0.5, (80, 50)) == pytest.approx(0.65210669078903, abs=1e-9)
    # R: q <- qtukey(0.95, 3, 78) / sqrt(2); d <- 0.6 / sqrt(2 / 40); pt(q, 78, d, lower.tail = FALSE) + pt(-q, 78, d)
    assert WelchAnova().power(Expected(sd=1.0, pilots=2), 0.6, (40, 40)) == pytest.approx(0.61653480168463, abs=1e-8)
    one = Expected(sd=1.0)
    for analysis in (Dunnett(), WelchAnova()):
        assert analysis.power(one, -0.5, (64, 64)) == pytest.approx(Welch().power(one, 0.5, (64, 64)), abs=1e-9)
        assert analysis.power(one, 0.5, (1, 64)) == 0
    assert KruskalWallis().power(one, 0.1, (90, 90)) == MannWhitney().power(one, 0.1, (90, 90))
    strict = MannWhitney(level=1 - 0.05 / 3).power(one, 0.1, (90, 90))
    assert KruskalWallis().power(Expected(pilots=3), 0.1, (90, 90)) == pytest.approx(strict, abs=1e-12)


@pytest.mark.parametrize("analysis", EVERY)
def test_sizes_of_several_arms_have_the_wanted_power(analysis: Dunnett | WelchAnova | KruskalWallis) -> None:
    expected, effect = Expected(sd=1.0, pilots=2, share=0.4), 0.2
    n = analysis.sample_size(expected, effect)
    assert analysis.power(expected, effect, n) == pytest.approx(0.8, abs=1e-9)
    assert analysis.mde(expected, n) == pytest.approx(effect, abs=1e-9)
    more = analysis.sample_size(replace(expected, pilots=3), effect)
    assert more[0] > n[0]


def test_arms_that_know_of_each_other_need_fewer_units_than_by_bonferroni() -> None:
    known = several_arms(Dunnett(), Expected(sd=1.0), 0.3, 2)
    shared = several_arms(Welch(), Expected(sd=1.0), 0.3, 2)
    assert len(known) == 3
    assert known[0] / known[1] == pytest.approx(math.sqrt(2))
    assert 0.97 * sum(shared) < sum(known) < sum(shared)


def test_planned_power_of_dunnett_and_games_howell_is_simulated() -> None:
    """Unequal arms and spreads; the standard errors are those of the analyses, the critical values as well."""
    rng, runs, n, spreads = np.random.default_rng(11), 20_000, (60, 30), (1.0, 1.6)
    sizes, sds = np.array([60, 30, 30]), np.array([1.0, 1.6, 1.6])
    means = rng.normal(np.array([0.0, 0.9, 0.0]), sds / np.sqrt(sizes), (runs, 3))
    variances = sds**2 * rng.chisquare(sizes - 1, (runs, 3)) / (sizes - 1)
    common = (variances @ (sizes - 1)) / (sizes.sum() - 3) * (1 / 60 + 1 / 30)
    shown = np.abs(means[:, 1] - means[:, 0]) > dunnett_quantile((60, 30, 30), 117, 0.95) * np.sqrt(common)
    expected = Expected(sd=spreads[0], sd_pilot=spreads[1], pilots=2)
    assert Dunnett().power(expected, 0.9, n) == pytest.approx(shown.mean(), abs=4 * math.sqrt(0.25 / runs))
    parts = variances[:, :2] / sizes[:2]
    df = parts.sum(axis=1) ** 2 / (parts**2 / (sizes[:2] - 1)).sum(axis=1)
    grid = np.arange(25.0, 90.0)
    edge = np.interp(df, grid, [range_quantile(3, value, 0.95) for value in grid])
    shown = np.abs(means[:, 1] - means[:, 0]) > edge * np.sqrt(parts.sum(axis=1))
    assert WelchAnova().power(expected, 0.9, n) == pytest.approx(shown.mean(), abs=4 * math.sqrt(0.25 / runs))


def test_power_of_welch_s_f() -> None:
    # R: pf(qf(0.95, 2, 78), 2, 78, ncp = 40 * sum((m - mean(m))^2), lower.tail = FALSE), m = c(0, 0.2, 0.5)
    assert welch_anova_power((0, 0.2, 0.5), (1, 1, 1), (40, 40, 40)) == pytest.approx(0.49306420532971, abs=1e-9)
    # Cohen 1988, table 8.4.4: f = 0.25, three groups, power 0.80: 52 per group; R: power.anova.test gives 0.7967 for the
    # pooled F, whose denominator has 153 degrees of freedom and Welch's 102.
    half = 0.25 * math.sqrt(1.5)
    assert welch_anova_power((-half, 0, half), (1, 1, 1), (52, 52, 52)) == pytest.approx(0.7967, abs=5e-3)
    assert welch_anova_power((0, 1), (1, 1), (1, 9)) == 0


def test_power_of_the_tests_of_all_arms_is_simulated() -> None:
    rng, runs = np.random.default_rng(12), 2_000
    sizes, means, spreads = (50, 30, 40), (0.0, 0.5, 0.1), (0.6, 1.4, 1.0)
    shares = ((0.03, 0.07, 0.18, 0.42, 0.30), (0.05, 0.12, 0.23, 0.40, 0.20), (0.04, 0.06, 0.2, 0.35, 0.35))
    shown = np.zeros(2)
    for _ in range(runs):
        found = [rng.normal(m, s / math.sqrt(n)) for m, s, n in zip(means, spreads, sizes, strict=True)]
        m2 = [s**2 * rng.chisquare(n - 1) for s, n in zip(spreads, sizes, strict=True)]
        ranks = kruskal_wallis([rng.multinomial(2 * n, row) for n, row in zip(sizes, shares, strict=True)])
        tests = (welch_anova(sizes, found, m2), ranks)
        shown += [test is not None and test.log_p < math.log(0.05) for test in tests]
    error = 4 * math.sqrt(0.25 / runs)
    assert welch_anova_power(means, spreads, sizes) == pytest.approx(shown[0] / runs, abs=error)
    assert kruskal_wallis_power(shares, [2 * n for n in sizes]) == pytest.approx(shown[1] / runs, abs=error)
    assert kruskal_wallis_power([[0.5, 0.5], [0.5, 0.5]], (50, 50)) == pytest.approx(0.05, abs=1e-12)
    assert kruskal_wallis_power([[1.0, 0.0], [1.0, 0.0]], (50, 50)) == 0


def test_there_is_a_pilot_arm_to_plan() -> None:
    with pytest.raises(InputError, match="at least one pilot arm"):
        Expected(sd=1.0, pilots=0)
