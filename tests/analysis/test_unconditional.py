from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Scale
from pilot.analysis.contract import Analysis
from pilot.analysis.fisher import conditional_odds_ratio, exact_odds_interval, fisher_test
from pilot.analysis.methods.unconditional import Barnard, Boschloo, Fisher
from pilot.analysis.shares import miettinen_nurminen
from pilot.analysis.sizing import Expected
from pilot.analysis.unconditional import LARGEST, barnard, boschloo
from pilot.analysis.unconditionalinterval import unconditional_interval
from pilot.errors import InputError


# R 4.2.2: fisher.test(matrix(c(7, 1, 27, 33), 2))$p.value and so on.
@pytest.mark.parametrize(
    ("pilot", "control", "p"),
    [
        ((7, 34), (1, 34), 0.0544001305),
        ((56, 70), (48, 80), 0.0125211297),
        ((92, 100), (85, 110), 0.00407318198),
        ((10, 10), (3, 10), 0.00309597523),
    ],
)
def test_fishers_p_as_in_r(pilot: tuple[int, int], control: tuple[int, int], p: float) -> None:
    assert math.exp(fisher_test(pilot, control).log_p) == pytest.approx(p, rel=1e-8)


def test_the_two_definitions_and_their_mid_p() -> None:
    # R 4.2.2: 2 * phyper(55, 70, 80, 104, lower.tail = FALSE)
    assert math.exp(fisher_test((56, 70), (48, 80), "doubled").log_p) == pytest.approx(0.0126494222598, rel=1e-10)
    # epitools 0.5-10.1: oddsratio.midp(matrix(c(33, 1, 27, 7), 2, byrow = TRUE))$p.value
    assert math.exp(fisher_test((7, 34), (1, 34), "doubled").log_mid_p) == pytest.approx(0.0296562584304, rel=1e-10)
    # Fisher's tea: 1, 16, 36, 16, 1 of 70 ways; three right. As probable: 16 + 1 + 16 + 1; the ties by half.
    tea = fisher_test((3, 4), (1, 4))
    assert math.exp(tea.log_p) * 70 == pytest.approx(34)
    assert math.exp(tea.log_mid_p) * 70 == pytest.approx(18)


def test_a_deep_tail_keeps_its_logarithm() -> None:
    # 2 tables of C(1000, 500): log(2) - log(C(1000, 500)), and 1e-600 for 1000 against 1000.
    exact = math.log(2) - math.log(math.comb(1000, 500))
    assert fisher_test((500, 500), (0, 500)).log_p == pytest.approx(exact, rel=1e-12)
    assert fisher_test((1000, 1000), (0, 1000)).log_p == pytest.approx(math.log(2) - math.log(math.comb(2000, 1000)))


def test_large_arms_keep_nine_digits() -> None:
    # R 4.2.2: fisher.test(matrix(c(502000, 500000, 498000, 500000), 2))$p.value
    found = math.exp(fisher_test((502_000, 10**6), (500_000, 10**6)).log_p)
    assert found == pytest.approx(0.0046983483071, rel=1e-9)


def test_conditional_odds_ratio_and_its_interval() -> None:
    # R 4.2.2: fisher.test(...)$estimate and $conf.int, whose own root search is good to about four digits.
    assert conditional_odds_ratio((56, 70), (48, 80)) == pytest.approx(2.64919027, rel=1e-5)
    assert exact_odds_interval((56, 70), (48, 80)) == pytest.approx((1.20911815, 6.04056145), rel=2e-4)
    low, high = exact_odds_interval((7, 34), (1, 34))
    assert tails((7, 34), (1, 34), low)[1] == pytest.approx(0.025, rel=1e-9)
    assert tails((7, 34), (1, 34), high or 0)[0] == pytest.approx(0.025, rel=1e-9)
    assert conditional_odds_ratio((10, 10), (3, 10)) is None
    assert exact_odds_interval((10, 10), (3, 10))[1] is None
    assert conditional_odds_ratio((0, 10), (3, 10)) == 0
    assert exact_odds_interval((0, 10), (3, 10))[0] == 0


def tails(pilot: tuple[int, int], control: tuple[int, int], odds: float) -> tuple[float, float]:
    """Chances of at most and at least the observed yes under Fisher's noncentral law, from whole numbers."""
    (yes, n1), total, n0 = pilot, pilot[0] + control[0], control[1]
    values = range(max(0, total - n0), min(n1, total) + 1)
    ways = [math.comb(n1, k) * math.comb(n0, total - k) * odds ** (k - yes) for k in values]
    below = sum(way for k, way in zip(values, ways, strict=True) if k <= yes)
    above = sum(way for k, way in zip(values, ways, strict=True) if k >= yes)
    return below / sum(ways), above / sum(ways)


# R 4.2.2: all tables gone through, sum(outer(dbinom(0:n1, n1, p), dbinom(0:n0, n0, p))[extreme]) at its largest p;
# extreme by fisher.test(...)$p.value, or by the squared pooled z.
@pytest.mark.parametrize(
    ("pilot", "control", "by_z", "by_fisher"),
    [
        ((7, 15), (12, 15), 0.06821830932, 0.06821830932),  # scipy's page of barnard_exact prints 0.0681 (3 digits)
        ((7, 34), (1, 34), 0.02810584112, 0.03846392212),
        ((9, 10), (3, 10), 0.007955551147, 0.007955551147),
        ((5, 56), (0, 29), 0.1167471687, 0.1326531977),
        ((10, 10), (0, 10), 1.907348633e-06, 1.907348633e-06),  # 2 / 2^20
    ],
)
def test_unconditional_p_as_gone_through_in_r(
    pilot: tuple[int, int], control: tuple[int, int], by_z: float, by_fisher: float
) -> None:
    assert math.exp(barnard(pilot, control)) == pytest.approx(by_z, rel=1e-7)
    assert math.exp(boschloo(pilot, control)) == pytest.approx(by_fisher, rel=1e-7)


arms = st.integers(1, 25).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(arms, arms)
@settings(max_examples=30, deadline=None)
def test_boschloo_is_never_above_fisher_and_arms_may_be_swapped(
    pilot: tuple[int, int], control: tuple[int, int]
) -> None:
    assert boschloo(pilot, control) <= fisher_test(pilot, control).log_p + 1e-9
    assert boschloo(pilot, control) == pytest.approx(boschloo(control, pilot), abs=1e-7)
    assert barnard(pilot, control) == pytest.approx(barnard(control, pilot), abs=1e-7)
    turned = (pilot[1] - pilot[0], pilot[1]), (control[1] - control[0], control[1])
    assert barnard(*turned) == pytest.approx(barnard(pilot, control), abs=1e-7)


def test_exact_tests_are_never_wrong_too_often() -> None:
    n1, n0 = 7, 9
    tables = list(product(range(n1 + 1), range(n0 + 1)))
    for test in (barnard, boschloo):
        refuted = [table for table in tables if test((table[0], n1), (table[1], n0)) <= math.log(0.05)]
        for share in np.linspace(0.01, 0.99, 99):
            alarm = sum(
                math.comb(n1, a) * math.comb(n0, b) * share ** (a + b) * (1 - share) ** (n1 + n0 - a - b)
                for a, b in refuted
            )
            assert alarm <= 0.05 + 1e-9


def test_false_alarms_of_fisher_and_mid_p() -> None:
    # Exact, at a true share of 0.9 and 50 per arm: 1.8 % for Fisher's p, 3.6 % for the mid-p.
    n = 50
    chance = [math.comb(n, k) * 0.9**k * 0.1 ** (n - k) for k in range(n + 1)]
    alarms = np.zeros(3)
    for a, b in product(range(n + 1), range(n + 1)):
        weight = chance[a] * chance[b]
        if weight < 1e-9:
            continue
        exact, doubled = fisher_test((a, n), (b, n)), fisher_test((a, n), (b, n), "doubled")
        alarms += weight * (np.array([exact.log_p, exact.log_mid_p, doubled.log_mid_p]) <= math.log(0.05))
    assert alarms[0] == pytest.approx(0.018, abs=0.001)
    assert alarms[1:] == pytest.approx([0.036, 0.036], abs=0.001)


def evidence(control: tuple[int, int], pilot: tuple[int, int]) -> Evidence:
    counts = [[[n - yes, yes]] for yes, n in (control, pilot)]
    return Evidence.from_counts("left", Scale.BINARY, ("control", "pilot"), (0, 1), counts, higher_is_better=False)


@pytest.mark.parametrize(
    ("analysis", "words", "definition"),
    [
        (Fisher(), "Fisher's exact p 0.054", "two-sided (all tables no more probable than the observed one)"),
        (
            Fisher(two_sided="doubled", mid=True),
            "Fisher's mid p 0.03",
            "two-sided (twice the smaller tail, ties by half)",
        ),
        (Boschloo(), "Boschloo's exact p 0.038", "two-sided (tables ordered by Fisher's two-sided p)"),
        (Barnard(), "Barnard's exact p 0.028", "two-sided (tables ordered by the pooled z)"),
    ],
)
def test_exact_tests_name_their_definition_and_carry_an_interval(
    analysis: Analysis, words: str, definition: str
) -> None:
    found = analysis.compare(evidence((1, 34), (7, 34)), "pilot")
    assert isinstance(found, Comparison)
    assert found.alternative == definition
    assert found.sentence.endswith(f"{words}.")
    asymptotic = isinstance(analysis, Fisher)
    limits = (miettinen_nurminen if asymptotic else unconditional_interval)((7, 34), (1, 34))
    assert (found.low, found.high) == limits
    assert ("interval: Miettinen-Nurminen" in found.method) == asymptotic


# StatXact 11 and SAS 9.4 as quoted in the tests of R's exact2x2 1.6, uncondExact2x2(2, 7, 6, 13, method = "score",
# tsmethod = "square"): p 0.5374, interval -0.3079 to 0.5542; 0 of 7 against 13 of 13: from 0.6088.
def test_the_exact_interval_is_that_of_statxact() -> None:
    assert unconditional_interval((6, 13), (2, 7)) == pytest.approx((-0.3079, 0.5542), abs=5e-5)
    assert math.exp(barnard((6, 13), (2, 7))) == pytest.approx(0.5374, abs=5e-5)
    low, high = unconditional_interval((13, 13), (0, 7))
    assert (low, high) == (pytest.approx(0.6088, abs=5e-5), 1.0)
    low, high = unconditional_interval((2, 7), (6, 13))  # arms swapped
    assert (low, high) == pytest.approx((-0.5542, 0.3079), abs=5e-5)


@pytest.mark.parametrize(
    ("sizes", "refuted_inside"),
    [
        ((4, 4), 0),
        pytest.param((3, 6), 0, marks=pytest.mark.slow),
        pytest.param((7, 9), 0, marks=pytest.mark.slow),
        pytest.param((3, 14), 4, marks=pytest.mark.slow),  # open differences on both sides of 0, though not 0 itself
    ],
)
def test_the_exact_interval_agrees_with_barnard_s_test_and_covers(sizes: tuple[int, int], refuted_inside: int) -> None:
    n1, n0 = sizes
    tables = list(product(range(n1 + 1), range(n0 + 1)))
    limits = {table: unconditional_interval((table[0], n1), (table[1], n0), 0.9) for table in tables}
    odd = 0
    for (yes1, yes0), (low, high) in limits.items():
        inside, refuted = low <= 0 <= high, barnard((yes1, n1), (yes0, n0)) <= math.log(0.1)
        assert inside or refuted
        odd += inside and refuted
        assert low <= yes1 / n1 - yes0 / n0 <= high
    assert odd == refuted_inside
    for pilot, control in product(np.linspace(0.03, 0.97, 15), np.linspace(0.02, 0.98, 15)):
        covered = sum(
            math.comb(n1, a)
            * math.comb(n0, b)
            * pilot**a
            * (1 - pilot) ** (n1 - a)
            * control**b
            * (1 - control) ** (n0 - b)
            for (a, b), (low, high) in limits.items()
            if low <= pilot - control <= high
        )
        assert covered >= 0.9 - 1e-6


@pytest.mark.parametrize("analysis", [Barnard(), Boschloo()])
def test_beyond_a_hundred_customers_the_interval_is_the_score_one_and_says_so(analysis: Analysis) -> None:
    found = analysis.compare(evidence((1, 60), (7, 60)), "pilot")
    assert isinstance(found, Comparison)
    assert (found.low, found.high) == miettinen_nurminen((7, 60), (1, 60))
    assert found.method.endswith("since there are more than 100 customers")
    with pytest.raises(InputError, match="takes too long"):
        unconditional_interval((7, 60), (1, 60))


def test_the_score_interval_may_be_asked_for() -> None:
    found = Barnard(interval="score").compare(evidence((1, 34), (7, 34)), "pilot")
    assert isinstance(found, Comparison)
    assert (found.low, found.high) == miettinen_nurminen((7, 34), (1, 34))
    assert found.method.endswith("score interval of the difference")


def test_fisher_shows_both_p_values_and_the_odds_ratio() -> None:
    found = Fisher(mid=True).compare(evidence((1, 34), (7, 34)), "pilot")
    assert isinstance(found, Comparison)
    assert found.p_value == found.details["mid-p"]
    assert found.details["exact p"] == pytest.approx(0.0544001305)
    assert found.details["conditional odds ratio"] == pytest.approx(8.3293, abs=1e-3)


def test_too_many_tables_are_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="use miettinen-nurminen or fisher"):
        barnard((10, LARGEST), (10, LARGEST))


def test_fisher_needs_more_customers_than_the_score_test() -> None:
    # Fleiss, Tytun and Ury 1980: n / 4 (1 + sqrt(1 + 4 / (n |d|)))^2 with n = 76.7069 (R: power.prop.test(p1 = .5, p2 = .75,
    # power = .9)) is 84.5176.
    expected = Expected(mean=0.5)
    assert Fisher().sample_size(expected, 0.25, power=0.9) == pytest.approx((84.5176, 84.5176), abs=1e-3)
    assert Boschloo().sample_size(expected, 0.25, power=0.9) == pytest.approx((76.7069, 76.7069), abs=1e-3)
    assert Fisher(mid=True).sample_size(expected, 0.25, power=0.9)[0] == pytest.approx(76.7069, abs=1e-3)


def test_a_p_value_and_an_interval_that_disagree_are_pointed_out() -> None:
    # 0 and 4 of 100: Fisher's p is 0.121 (R 4.2.2: fisher.test), Miettinen and Nurminen's interval leaves 0 out.
    counts = [[[100, 0]], [[96, 4]]]
    found = Fisher().compare(Evidence.from_counts("late", Scale.BINARY, ("control", "pilot"), (0, 1), counts), "pilot")
    assert isinstance(found, Comparison)
    assert found.low is not None
    assert found.low > 0
    assert found.p_value == pytest.approx(0.1212, abs=5e-5)
    assert any("disagree about no difference" in warning for warning in found.warnings)
