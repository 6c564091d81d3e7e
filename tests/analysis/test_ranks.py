"""Ranks held against R (4.2.2, coin 1.4-2), published values, and counting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from pilot.analysis import Analysis, Comparison, Evidence, Expected, Moments, NotEnoughData, Rows, Scale, rankscores
from pilot.analysis.methods.ranks import BrunnerMunzel, MannWhitney
from pilot.analysis.methods.stratifiedranks import ExactRankPermutation, VanElteren
from pilot.analysis.ranks import WinProbability, compare_ranks, win_probability
from pilot.analysis.rankscores import exact_ranks, hodges_lehmann
from pilot.errors import InputError

CONTROL, PILOT = (4, 6, 20, 48, 22), (3, 5, 12, 25, 15)
LARGE = ((4, 6, 20, 48, 22), (3, 5, 19, 45, 28))
SMALL = ((6, 9, 14, 16, 5), (4, 7, 15, 18, 6))
TINY = ((1, 0, 2, 0, 1), (0, 0, 0, 1, 0))
RANKED = (MannWhitney(), MannWhitney(test="exact"), BrunnerMunzel(), BrunnerMunzel(form="logit"), VanElteren())
EVERY = (*RANKED, MannWhitney(test="continuity"), ExactRankPermutation(), ExactRankPermutation(form="logit"))
SHAPES = {"typical": (0.03, 0.07, 0.18, 0.42, 0.30), "ceiling": (0.01, 0.02, 0.05, 0.22, 0.70)}


def rating(control: object, pilot: object, **more: object) -> Evidence:
    """Evidence of ratings from 1; `control` and `pilot` are counts by level, or by stratum and level."""
    counts = np.array([np.atleast_2d(control), np.atleast_2d(pilot)])
    strata = [f"s{k}" for k in range(counts.shape[1])]
    levels = range(1, counts.shape[2] + 1)
    return Evidence.from_counts("csat", Scale.RATING, ("control", "pilot"), levels, counts, strata=strata, **more)  # type: ignore[arg-type]


def compared(analysis: Analysis, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "pilot")
    assert isinstance(found, Comparison), found
    return found


def won(*strata: tuple[Sequence[int], Sequence[int]]) -> WinProbability:
    found = win_probability(compare_ranks(np.array(strata).transpose(1, 0, 2)))
    assert found is not None
    return found


def tally(values: Sequence[int], levels: Sequence[int]) -> list[int]:
    return [list(values).count(level) for level in levels]


# -- against R and print -------------------------------------------------------------------------------------------


def test_mann_whitney_as_r_computes_it() -> None:
    # R 4.2.2: wilcox.test(rep(1:5, PILOT), rep(1:5, CONTROL), exact = FALSE, correct = FALSE / TRUE): W = 2966
    found = won((CONTROL, PILOT))
    assert found.estimate * 100 * 60 == pytest.approx(2966, rel=1e-12)
    assert math.exp(found.log_p_ranks()) == pytest.approx(0.898596989967362, rel=1e-9)
    assert math.exp(found.log_p_ranks(0.5 / 6000)) == pytest.approx(0.900080332239039, rel=1e-9)
    # coin::wilcox_test(distribution = "asymptotic"): Z = -0.127433895784212
    assert found.z == pytest.approx(-0.127433895784212, rel=1e-9)
    evidence = rating(CONTROL, PILOT)
    assert compared(MannWhitney(), evidence).p_value == pytest.approx(0.898596989967362, rel=1e-9)
    assert compared(MannWhitney(test="continuity"), evidence).p_value == pytest.approx(0.900080332239039, rel=1e-9)


def test_the_exact_law_honours_ties_as_coin_does() -> None:
    # coin 1.4-2: wilcox_test(distribution = "exact", alternative = "greater" / "less")
    law = exact_ranks([[CONTROL], [PILOT]]).law
    assert math.exp(law.log_upper) == pytest.approx(0.550876345914527, rel=1e-9)
    assert math.exp(law.log_lower) == pytest.approx(0.450465161246501, rel=1e-9)
    found = compared(MannWhitney(test="exact"), rating(CONTROL, PILOT))
    assert found.p_value == pytest.approx(2 * 0.450465161246501, rel=1e-9)
    assert found.p_value == compared(ExactRankPermutation(), rating(CONTROL, PILOT)).p_value
    # coin: c(5,5,4,5,3,4) against c(5,4,3,2,4,4,1): 151 and 1645 of choose(13, 6) shuffles
    small = exact_ranks([[tally([5, 4, 3, 2, 4, 4, 1], range(1, 6))], [tally([5, 5, 4, 5, 3, 4], range(1, 6))]]).law
    assert math.exp(small.log_upper) * math.comb(13, 6) == pytest.approx(151, rel=1e-9)
    assert math.exp(small.log_lower) * math.comb(13, 6) == pytest.approx(1645, rel=1e-9)


def test_brunner_and_munzel_s_pain_scores() -> None:
    # Brunner and Munzel 2000, table 1; R, lawstat::brunner.munzel.test: statistic 3.1375, df 17.683, p 0.005786,
    # estimate 0.788961, interval 0.5952169 to 0.9827052
    first = tally([1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1], range(1, 6))
    second = tally([3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4], range(1, 6))
    found = compared(BrunnerMunzel(), rating(first, second))
    assert round(found.statistic or 0, 4) == 3.1375
    assert round(found.df or 0, 3) == 17.683
    assert round(found.p_value or 0, 6) == 0.005786
    assert round(found.estimate or 0, 6) == 0.788961
    assert (round(found.low or 0, 7), round(found.high or 0, 7)) == (0.5952169, 0.9827052)


def test_brunner_munzel_on_the_logit_scale_by_hand() -> None:
    # With estimate w and standard error s: log odds log(w / (1 - w)) with error s / (w (1 - w)), t law with the same df.
    plain, logit = (compared(BrunnerMunzel(form=form), rating(CONTROL, (1, 1, 6, 25, 27))) for form in ("t", "logit"))
    w, s = plain.estimate or 0, plain.standard_error or 0
    centre, error = math.log(w / (1 - w)), s / (w * (1 - w))
    quantile = stats.t.ppf(0.975, plain.df)
    assert logit.low == pytest.approx(1 / (1 + math.exp(-(centre - quantile * error))), rel=1e-9)
    assert logit.high == pytest.approx(1 / (1 + math.exp(-(centre + quantile * error))), rel=1e-9)
    assert logit.p_value == pytest.approx(2 * stats.t.sf(centre / error, plain.df), rel=1e-9)


def test_van_elteren_as_coin_computes_it() -> None:
    # coin 1.4-2: independence_test(r ~ arm | stratum, teststat = "scalar"), r = rank / (n + 1) inside the stratum
    found = won(LARGE, SMALL, TINY)
    assert found.z == pytest.approx(1.278535156808028, rel=1e-9)
    assert math.exp(found.log_p_ranks()) == pytest.approx(0.201060796827605, rel=1e-9)
    # outer(p, q, ">") and "==", weights m n / (m + n + 1)
    assert found.estimate == pytest.approx(0.540263192038972, rel=1e-12)
    assert compare_ranks(np.array([LARGE, SMALL, TINY]).transpose(1, 0, 2)).win_probability == pytest.approx(
        [0.5343, 0.5466, 0.75]
    )


def test_newcombe_s_limits_need_no_spread() -> None:
    # R 4.2.2: uniroot of |w - e| = z sqrt(V(w)), V(w) = w (1 - w) (1 + k (1 - w) / (2 - w) + k w / (1 + w)) / (m n),
    # k = (m + n) / 2 - 1
    wholly = won(((3, 4, 2, 0, 0), (0, 0, 0, 3, 4)))
    assert wholly.separated
    assert wholly.interval() == pytest.approx((0.75248290074754, 1.0), abs=1e-10)
    inside = WinProbability(0.8, 0.0, 1, 1, math.sqrt(51 / (12 * 600)), 50)
    assert inside.separation_interval() == pytest.approx((0.643345614521113, 0.894146241651368), abs=1e-10)


def test_hodges_and_lehmann_s_shift() -> None:
    # R 4.2.2: wilcox.test(u, v, conf.int = TRUE, exact = TRUE): 1.7, -1.1 to 5.2
    u, v = [3.1, 4.7, 2.2, 5.9, 8.8, 1.0, 6.3], [2.4, 0.7, 3.3, 1.9, 5.1, 2.8]
    values = sorted(u + v)
    found = hodges_lehmann(values, [tally(v, values), tally(u, values)])  # type: ignore[arg-type]
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((1.7, -1.1, 5.2))


def test_many_values_are_searched_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    values = np.sort(np.round(rng.lognormal(3, 1, 60), 2))
    counts = rng.integers(0, 3, (2, 60))
    listed = hodges_lehmann(values, counts)
    monkeypatch.setattr(rankscores, "_MOST_DIFFERENCES", 1)
    searched = hodges_lehmann(values, counts)
    assert listed is not None
    assert searched is not None
    assert (searched.estimate, searched.low, searched.high) == pytest.approx(
        (listed.estimate, listed.low, listed.high), abs=1e-9
    )
    monkeypatch.setattr(rankscores, "MAX_VALUES", 10)
    assert hodges_lehmann(values, counts) is None


# -- exact by counting ---------------------------------------------------------------------------------------------


def enumerated(strata: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Fraction, Fraction]:
    """Tails of van Elteren's statistic over all shuffles inside strata, in fractions."""
    sums, observed = [], Fraction(0)
    for control, pilot in strata:
        values = [k for arm in (control, pilot) for k, times in enumerate(arm) for _ in range(times)]
        scores = [
            Fraction(sum(2 * (other < value) + (other == value) for other in values) + 1, 2 * (len(values) + 1))
            for value in values
        ]
        sums.append([sum(taken, Fraction(0)) for taken in combinations(scores, sum(pilot))])
        observed += sum(scores[sum(control) :], Fraction(0))
    every = [sum(parts, Fraction(0)) for parts in product(*sums)]
    upper, lower = sum(total >= observed for total in every), sum(total <= observed for total in every)
    return Fraction(upper, len(every)), Fraction(lower, len(every))


@pytest.mark.parametrize(
    "strata",
    [
        [((1, 2, 0, 1), (0, 1, 2, 2))],
        [((1, 2, 0, 1), (0, 1, 2, 2)), ((1, 0, 1, 0), (0, 0, 2, 1))],
        [((1, 1, 0, 0), (0, 1, 1, 0)), ((0, 1, 1, 0), (1, 0, 0, 2)), ((1, 0, 0, 0), (0, 0, 0, 1))],
    ],
)
def test_exact_van_elteren_equals_counting_all_shuffles(strata: list[tuple[Sequence[int], Sequence[int]]]) -> None:
    exact = exact_ranks(np.array(strata).transpose(1, 0, 2))
    upper, lower = enumerated(strata)
    assert not exact.rounded
    assert math.exp(exact.law.log_upper) == pytest.approx(float(upper), rel=1e-9)
    assert math.exp(exact.law.log_lower) == pytest.approx(float(lower), rel=1e-9)
    assert exact.law.z == pytest.approx(won(*strata).z, rel=1e-9)


def test_rounded_scores_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exact_ranks([[CONTROL], [PILOT]])
    monkeypatch.setattr(rankscores, "MAX_STEPS", 100)
    rounded = exact_ranks([[CONTROL], [PILOT]])
    assert not whole.rounded
    assert rounded.rounded
    assert rounded.law.log_p == pytest.approx(whole.law.log_p, abs=2e-3)
    assert rounded.law.z == pytest.approx(whole.law.z, abs=1e-3)


def test_ten_thousand_answers_say_that_scores_were_rounded() -> None:
    evidence = rating(np.array(CONTROL) * 100, np.array(PILOT) * 90 + [0, 0, 0, 0, 300])
    exact, normal = compared(ExactRankPermutation(), evidence), compared(MannWhitney(), evidence)
    assert "rounded to 1/1,000" in exact.method
    assert exact.log_p == pytest.approx(normal.log_p, rel=0.01)


def test_too_many_strata_for_an_exact_law_are_refused() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 9, (2, 300, 5))
    with pytest.raises(InputError, match="too many strata"):
        ExactRankPermutation().compare(rating(*counts), "pilot")
    assert compared(VanElteren(), rating(*counts)).details["exact permutation p"] is None


# -- what must hold for all data -----------------------------------------------------------------------------------

tables = st.lists(st.tuples(*[st.lists(st.integers(0, 6), min_size=4, max_size=4)] * 2), min_size=1, max_size=3).map(
    lambda strata: np.array(strata).transpose(1, 0, 2)
)


@given(tables)
@settings(max_examples=5, deadline=None)
def test_swapping_arms_or_turning_the_scale_mirrors(counts: np.ndarray) -> None:
    for analysis in EVERY:
        results = [analysis.compare(rating(*table), "pilot") for table in (counts, counts[::-1], counts[:, :, ::-1])]
        if isinstance(results[0], NotEnoughData):
            assert all(isinstance(found, NotEnoughData) for found in results)
            continue
        one, *others = (found for found in results if isinstance(found, Comparison))
        assert len(others) == 2
        for two in others:
            mirrored = [1 - (value or 0) for value in (one.estimate, one.high, one.low)]
            assert [two.estimate, two.low, two.high] == pytest.approx(mirrored, abs=1e-9)
            assert two.log_p == pytest.approx(one.log_p, abs=1e-8)


@given(tables)
@settings(max_examples=12, deadline=None)
def test_strata_may_come_in_any_order_and_one_stratum_is_mann_whitney(counts: np.ndarray) -> None:
    one, two = (VanElteren().compare(rating(*table), "pilot") for table in (counts, counts[:, ::-1]))
    if isinstance(one, Comparison):
        assert isinstance(two, Comparison)
        assert (two.estimate, two.low, two.log_p) == pytest.approx((one.estimate, one.low, one.log_p), abs=1e-9)
    whole = rating(*counts.sum(axis=1, keepdims=True))
    stratified, plain = VanElteren().compare(whole, "pilot"), MannWhitney().compare(whole, "pilot")
    if isinstance(plain, Comparison):
        assert isinstance(stratified, Comparison)
        assert (stratified.estimate, stratified.low, stratified.p_value) == (plain.estimate, plain.low, plain.p_value)


@given(tables)
@settings(max_examples=30, deadline=None)
def test_equals_scipy_without_strata(counts: np.ndarray) -> None:
    control, pilot = counts.sum(axis=1)
    found = won((control, pilot)) if control.sum() > 1 and pilot.sum() > 1 else None
    assume(found is not None and not found.separated and found.null_error > 0)
    x, y = (np.repeat(np.arange(4), arm) for arm in (control, pilot))
    munzel = stats.brunnermunzel(x, y)
    whitney = stats.mannwhitneyu(y, x, use_continuity=False, method="asymptotic")
    assert (found.t(), math.exp(found.log_p())) == pytest.approx((munzel.statistic, munzel.pvalue), rel=1e-8, abs=1e-12)  # type: ignore[union-attr]
    assert math.exp(found.log_p_ranks()) == pytest.approx(whitney.pvalue, rel=1e-8)  # type: ignore[union-attr]


@pytest.mark.parametrize(("control", "pilot"), [((32, 48), (14, 56)), ((9, 1), (4, 8))])
def test_on_yes_and_no_it_is_chi_square_less_one_unit(control: tuple[int, int], pilot: tuple[int, int]) -> None:
    size = sum(control) + sum(pilot)
    chi_square = stats.chi2_contingency([control, pilot], correction=False).statistic
    assert won((control, pilot)).z ** 2 == pytest.approx(chi_square * (size - 1) / size, rel=1e-10)


def test_money_is_ranked_from_rows() -> None:
    rng = np.random.default_rng(5)
    value, arm = np.round(rng.lognormal(3, 1, 200), 1), rng.integers(0, 3, 200)
    stratum = rng.integers(0, 2, 200)
    rows = Rows(arm, stratum, value, {})
    n = np.array([[((arm == a) & (stratum == s)).sum() for s in (0, 1)] for a in range(3)])
    mean = np.array([[value[(arm == a) & (stratum == s)].mean() for s in (0, 1)] for a in range(3)])
    evidence = Evidence(
        "revenue",
        Scale.MONEY,
        True,
        ("control", "pilot", "other"),
        ("a", "b"),
        moments=Moments(n, mean, mean),
        rows=rows,
    )
    reference = stats.mannwhitneyu(value[arm == 1], value[arm == 0], use_continuity=False, method="asymptotic")
    assert compared(MannWhitney(), evidence).p_value == pytest.approx(reference.pvalue, rel=1e-9)
    shift = np.median(value[arm == 1][:, None] - value[arm == 0])
    assert compared(MannWhitney(), evidence).details["Hodges-Lehmann shift"] == pytest.approx(shift)
    levels = np.unique(value)
    counts = np.array(
        [
            [[((arm == a) & (stratum == s) & (value == level)).sum() for level in levels] for s in (0, 1)]
            for a in range(3)
        ]
    )
    counted = Evidence.from_counts("x", Scale.COUNT, evidence.arms, levels, counts, strata=("a", "b"))  # type: ignore[arg-type]
    one, two = compared(VanElteren(), evidence), compared(VanElteren(), counted)
    assert (one.estimate, one.low, one.log_p) == pytest.approx((two.estimate, two.low, two.log_p), rel=1e-9)
    with pytest.raises(InputError, match="needs rows"):
        MannWhitney().compare(Evidence("x", Scale.MONEY, True, ("control", "pilot"), moments=Moments(n[:2, :1], n[:2, :1] * 1.0, n[:2, :1] * 1.0)), "pilot")  # fmt: skip


def test_a_large_difference_keeps_its_logarithm() -> None:
    found = compared(MannWhitney(), rating((9000, 900, 90, 9, 1), (1, 9, 90, 900, 9000)))
    assert found.p_value == pytest.approx(2.2250738585072014e-308)
    assert found.log_p == pytest.approx(stats.norm.logsf(found.statistic) + math.log(2), rel=1e-9)


# -- checks, reasons, words ----------------------------------------------------------------------------------------


def test_the_sentence_and_the_shares_of_pairs() -> None:
    found = compared(BrunnerMunzel(), rating(CONTROL, (1, 1, 6, 20, 32)))
    assert found.sentence == (
        "the win probability of csat is 0.68 in pilot against control (95 % interval 0.59 to 0.76; 60 and 100 answers); "
        "the whole interval lies on the better side."
    )
    wins, ties, losses = (found.details[f"share of {name}"] or 0 for name in ("wins", "ties", "losses"))
    assert wins + ties + losses == pytest.approx(1)
    assert wins + ties / 2 == pytest.approx(found.estimate)
    assert found.details["win odds"] == pytest.approx((found.estimate or 0) / (1 - (found.estimate or 0)))
    worse = compared(BrunnerMunzel(), rating(CONTROL, (1, 1, 6, 20, 32), higher_is_better=False))
    assert "worse side" in worse.sentence


def test_separation_falls_back_and_says_so() -> None:
    found = compared(BrunnerMunzel(), rating((3, 4, 2, 0, 0), (0, 0, 0, 3, 4)))
    assert found.p_value == pytest.approx(2 / math.comb(16, 7), rel=1e-9)
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.75248290074754, abs=1e-10)
    assert found.details["win odds"] is None
    assert found.standard_error is None
    assert any("All answers of pilot lie above all of control" in warning for warning in found.warnings)
    assert "exact permutation p" in found.method
    crossed = compared(VanElteren(), rating([(3, 4, 0), (0, 0, 7)], [(0, 0, 7), (3, 4, 0)]))
    assert 0 < (crossed.low or 0) < 0.5 < (crossed.high or 0) < 1
    assert any("In every stratum" in warning for warning in crossed.warnings)


@pytest.mark.parametrize(
    ("control", "pilot", "reason"),
    [
        ((0, 0, 0), (1, 2, 3), "control has no answers"),
        ((1, 2, 3), (0, 1, 0), "pilot has only one"),
        ((0, 0, 9), (0, 0, 7), "are equal"),
    ],
)
def test_too_little_is_an_outcome_with_a_reason(control: Sequence[int], pilot: Sequence[int], reason: str) -> None:
    for analysis in EVERY:
        found = analysis.compare(rating(control, pilot), "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason


def test_strata_without_both_arms_are_counted_and_named() -> None:
    alone = VanElteren().compare(rating([(1, 2, 3), (0, 0, 0)], [(0, 0, 0), (3, 2, 1)]), "pilot")
    assert isinstance(alone, NotEnoughData)
    assert "no stratum has both arms" in alone.reason
    found = compared(VanElteren(), rating([LARGE[0], (1, 2, 3, 1, 0)], [LARGE[1], (0,) * 5]))
    left_out = "Strata without answers in one of the arms were left out: s1 (7 answers, "
    assert any(warning.startswith(left_out) for warning in found.warnings)
    assert found.estimate == pytest.approx(0.5343)


def test_a_stratum_with_one_customer_per_arm_still_counts() -> None:
    # Ten pairs: the pilot unit is higher in 7, equal in 1, lower in 2. Each adds the variance it has under no difference: 1/4
    # where it is no tie.
    control = [(0, 1, 0)] * 10
    pilot = [(0, 0, 1)] * 7 + [(0, 1, 0)] + [(1, 0, 0)] * 2
    found = compared(VanElteren(), rating(control, pilot))
    assert found.estimate == pytest.approx(0.75)
    assert found.standard_error == pytest.approx(math.sqrt(9 / 4) / 10)
    assert found.statistic == pytest.approx(2.5 / math.sqrt(9 / 4))


def test_many_ties_and_unlike_strata_are_warned_of() -> None:
    assert any("ties" in warning for warning in compared(MannWhitney(), rating((1, 2, 60), (1, 1, 70))).warnings)
    evidence = rating([LARGE[0], (1, 2, 3, 4, 2)], [(1, 2, 3, 4, 2), LARGE[1]])
    assert any("use van-elteren" in warning for warning in compared(BrunnerMunzel(), evidence).warnings)
    assert not any("use van-elteren" in warning for warning in compared(VanElteren(), evidence).warnings)


# -- planning ------------------------------------------------------------------------------------------------------


def test_noether_s_sample_size() -> None:
    # Noether 1987: N = (z(0.975) + z(0.8))^2 / (12 c (1 - c) (p - 1/2)^2) = 7.848879 / (3 * 0.01) = 261.63 for p = 0.6
    assert sum(MannWhitney().sample_size(Expected(), 0.1)) == pytest.approx(261.629, abs=1e-3)
    control, pilot = MannWhitney().sample_size(Expected(share=0.25), -0.1)
    assert control + pilot == pytest.approx(261.629 * 0.25 / (0.25 * 0.75), abs=1e-2)
    assert control == pytest.approx(3 * pilot)
    assert MannWhitney().mde(Expected(), (130.8145, 130.8145)) == pytest.approx(0.1, abs=1e-6)


def test_ties_make_the_size_smaller_as_the_variance_does() -> None:
    shares = Expected(levels=(1, 2, 3, 4, 5), shares=SHAPES["typical"])
    kept = 1 - sum(share**3 for share in SHAPES["typical"])
    assert sum(VanElteren().sample_size(shares, 0.1)) == pytest.approx(261.629 * kept, rel=1e-5)
    with pytest.raises(InputError, match="cannot be planned"):
        MannWhitney().power(Expected(), 0.5, (50, 50))


# -- calibration ---------------------------------------------------------------------------------------------------


def moved(shares: Sequence[float], odds_ratio: float) -> np.ndarray:
    below = np.cumsum(shares)[:-1]
    odds = below / (1 - below) / odds_ratio
    return np.diff(np.concatenate([[0], odds / (1 + odds), [1]]))


def simulated(shares: Sequence[float], odds_ratio: float, n: tuple[int, int], draws: int) -> list[WinProbability]:
    rng = np.random.default_rng([*n, round(10 * odds_ratio)])
    control, pilot = rng.multinomial(n[0], shares, draws), rng.multinomial(n[1], moved(shares, odds_ratio), draws)
    found = (win_probability(compare_ranks(np.stack(pair)[:, None])) for pair in zip(control, pilot, strict=True))
    return [one for one in found if one is not None and one.null_error > 0]


def within(rate: float, target: float, draws: int) -> bool:
    return abs(rate - target) <= 4 * math.sqrt(target * (1 - target) / draws) + 0.003


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_type_one_error(shape: str, n: int) -> None:
    # statistics: Mann-Whitney 4.9-5.1 percent, Brunner-Munzel 5.0-5.3 percent at 30 to 200 per arm
    found = simulated(SHAPES[shape], 1.0, (n, n), 3000)
    assert len(found) == 3000
    rejected = [[one.log_p_ranks() < math.log(0.05), one.log_p() < math.log(0.05)] for one in found]
    ranks, munzel = np.mean(rejected, axis=0)
    assert within(ranks, 0.05, 3000)
    assert within(munzel, 0.052, 3000)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [(30, 30), (100, 100), (1000, 1000), (30, 90)])
def test_coverage_under_an_odds_ratio_of_1_8(shape: str, n: tuple[int, int]) -> None:
    # 94.1-95.2 percent plain, 94.6-98.0 percent in logit form
    draws, control, pilot = 10_000, np.array(SHAPES[shape]), moved(SHAPES[shape], 1.8)
    true = float(pilot @ (np.cumsum(control) - control / 2))
    found = simulated(SHAPES[shape], 1.8, n, draws)
    for form, low, high in (("t", 0.935, 0.97), ("logit", 0.935, 0.98)):
        limits = np.array([one.interval(0.95, form) for one in found])  # type: ignore[arg-type]
        assert low <= ((limits[:, 0] <= true) & (true <= limits[:, 1])).mean() <= high


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20, 50])
def test_van_elteren_holds_its_level_in_four_strata(n: int) -> None:
    # 4.8-5.2 percent at 20 to 200 per arm; here arms of n in each of four strata that differ in level
    rng, draws = np.random.default_rng(n), 10_000
    strata = [moved(SHAPES["typical"], odds) for odds in (0.5, 1, 1, 2)]
    counts = np.stack([rng.multinomial(n, shares, (draws, 2)) for shares in strata], axis=2)
    rejected = covered = 0
    for table in counts:
        found = win_probability(compare_ranks(table))
        assert found is not None
        rejected += found.log_p_ranks() < math.log(0.05)
        low, high = found.interval()
        covered += low <= 0.5 <= high
    assert within(rejected / draws, 0.05, draws)
    assert 0.935 <= covered / draws <= 0.97
