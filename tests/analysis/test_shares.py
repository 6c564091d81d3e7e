from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Newcombe, NotEnoughData, Scale, newcombe, wilson
from pilot.analysis.contract import Analysis
from pilot.analysis.methods.shares import MiettinenNurminen, OddsRatio, RiskRatio
from pilot.analysis.scores import (
    difference_interval,
    difference_z,
    odds_interval,
    odds_z,
    ratio_interval,
    ratio_z,
    restricted_shares,
)
from pilot.analysis.shares import agresti_caffo, clopper_pearson, miettinen_nurminen
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError


# Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3.
@pytest.mark.parametrize(
    ("yes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_as_published(yes: int, n: int, low: float, high: float) -> None:
    assert [round(limit, 4) for limit in wilson(yes, n)] == [low, high]


# Newcombe 1998, Statistics in Medicine 17:873, Table II, method 10.
@pytest.mark.parametrize(
    ("pilot", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombe_interval_as_published(
    pilot: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    assert [round(limit, 4) for limit in newcombe(pilot, control)] == [low, high]


arms = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(arms, arms)
def test_limits_stand_in_order_and_mirror(pilot: tuple[int, int], control: tuple[int, int]) -> None:
    low, high = newcombe(pilot, control)
    difference = pilot[0] / pilot[1] - control[0] / control[1]
    assert -1 <= low <= difference <= high <= 1 + 1e-12
    assert newcombe(control, pilot) == pytest.approx((-high, -low))
    turned = newcombe((pilot[1] - pilot[0], pilot[1]), (control[1] - control[0], control[1]))
    assert turned == pytest.approx((-high, -low))


def evidence(control: tuple[int, int], pilot: tuple[int, int], **more: object) -> Evidence:
    counts = [[[n - yes, yes]] for yes, n in (control, pilot)]
    return Evidence.from_counts("retained", Scale.BINARY, ("control", "pilot"), (0, 1), counts, **more)  # type: ignore[arg-type]


def test_comparison_carries_score_test_and_says_it_in_points() -> None:
    found = Newcombe().compare(evidence((48, 80), (56, 70)), "pilot")
    assert isinstance(found, Comparison)
    assert found.estimate == pytest.approx(0.2)
    # Pearson's chi-square of (56, 14; 48, 32): 150 (56 * 32 - 48 * 14)^2 / (70 * 80 * 104 * 46) = 7.0234
    assert (found.statistic or 0) ** 2 == pytest.approx(150 * 1120**2 / (70 * 80 * 104 * 46))
    assert found.p_value == pytest.approx(math.erfc(math.sqrt(150 * 1120**2 / (70 * 80 * 104 * 46) / 2)))
    assert found.sentence == (
        "retained is 20.0 percentage points higher in pilot than in control "
        "(95 % interval 5.2 to 33.4; 70 and 80 customers); the whole interval lies on the better side."
    )


def test_nobody_said_yes_still_has_an_interval() -> None:
    found = Newcombe().compare(evidence((0, 30), (0, 40)), "pilot")
    assert isinstance(found, Comparison)
    assert found.p_value == 1
    assert found.low is not None
    assert found.low < 0 < (found.high or 0)
    assert "the observed difference in retained between pilot and control is 0 (" in found.sentence


def test_an_arm_without_customers_is_not_enough() -> None:
    found = Newcombe().compare(evidence((3, 10), (0, 0)), "pilot")
    assert found == NotEnoughData("newcombe", "retained", "pilot", "pilot has no customers")


def test_other_values_than_0_and_1_are_refused() -> None:
    table = [[[1, 2, 3]], [[1, 2, 3]]]
    with pytest.raises(InputError, match="0 and 1 only"):
        Newcombe().compare(Evidence.from_counts("x", Scale.BINARY, ("a", "b"), (0, 1, 2), table), "b")


# Newcombe 1998, Statistics in Medicine 17:873, Table II, method 6.
@pytest.mark.parametrize(
    ("pilot", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0528, 0.3382),
        ((9, 10), (3, 10), 0.1700, 0.8406),
        ((6, 7), (2, 7), 0.0342, 0.8534),
        ((5, 56), (0, 29), -0.0326, 0.1933),
        ((0, 10), (0, 20), -0.1658, 0.2844),
        ((0, 10), (0, 10), -0.2879, 0.2879),
        ((10, 10), (0, 20), 0.7156, 1.0000),
        ((10, 10), (0, 10), 0.6636, 1.0000),
    ],
)
def test_miettinen_nurminen_interval_as_published(
    pilot: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    assert [round(limit, 4) for limit in miettinen_nurminen(pilot, control)] == [low, high]


# R 4.2.2: the restricted maximum by uniroot() on the slope of the likelihood, the limits by uniroot() on the statistic.
@pytest.mark.parametrize(
    ("pilot", "control", "difference", "ratio", "odds"),
    [
        (
            (56, 70),
            (48, 80),
            (0.0528297132458, 0.338172940016),
            (1.07904711953, 1.67214535909),
            (1.28157319326, 5.54020222219),
        ),
        (
            (7, 34),
            (1, 34),
            (0.0270416265834, 0.345291216966),
            (1.20856797509, 43.0329722387),
            (1.24662236025, 56.4615755454),
        ),
    ],
)
def test_score_intervals_agree_with_an_independent_search(
    pilot: tuple[int, int],
    control: tuple[int, int],
    difference: tuple[float, float],
    ratio: tuple[float, float],
    odds: tuple[float, float],
) -> None:
    yes, n = (control[0], pilot[0]), (control[1], pilot[1])
    assert difference_interval(yes, n) == pytest.approx(difference, abs=1e-10)
    assert ratio_interval(yes, n) == pytest.approx(ratio, rel=1e-9)
    assert odds_interval(yes, n) == pytest.approx(odds, rel=1e-9)


def test_ratio_interval_without_the_factor_is_koopmans() -> None:
    # Koopman 1984, Biometrics 40:513, example: 36 of 40 against 16 of 80, printed 2.94 to 7.15. It has no N / (N - 1).
    low, high = 2.94, 7.15
    z = normal_quantile(0.975)
    for limit in (low, high):
        around = [
            abs(ratio_z((16, 36), (80, 40), edge)) * math.sqrt(120 / 119) for edge in (limit - 0.005, limit + 0.005)
        ]
        assert min(around) < z < max(around)


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.floats(-0.99, 0.99),
)
@settings(max_examples=200, deadline=None)
def test_restricted_shares_are_the_most_likely_ones(
    pilot: tuple[int, int], control: tuple[int, int], difference: float
) -> None:
    yes, n = np.array([control[0], pilot[0]]), np.array([control[1], pilot[1]])
    found = restricted_shares(yes, n, difference)
    assert found[1] - found[0] == pytest.approx(difference, abs=1e-12)

    def likelihood(first: float) -> float:
        shares = np.array([first, first + difference])
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(yes > 0, yes * np.log(shares), 0) + np.where(n > yes, (n - yes) * np.log1p(-shares), 0)
        return float(parts.sum())

    low, high = max(0.0, -difference), min(1.0, 1 - difference)
    best = likelihood(float(found[0]))
    for step in (1e-2, 1e-4, 1e-5):
        for other in (found[0] - step, found[0] + step):
            if low < other < high:
                assert best >= likelihood(float(other)) - 1e-9 * max(1.0, abs(best))


@given(arms, arms, st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=30, deadline=None)
def test_test_and_interval_agree_and_mirror(pilot: tuple[int, int], control: tuple[int, int], level: float) -> None:
    yes, n, z = (control[0], pilot[0]), (control[1], pilot[1]), normal_quantile((1 + level) / 2)
    low, high = miettinen_nurminen(pilot, control, level)
    if low > -1 + 1e-9:
        assert difference_z(yes, n, low) == pytest.approx(z, abs=1e-5)
    if high < 1 - 1e-9:
        assert difference_z(yes, n, high) == pytest.approx(-z, abs=1e-5)
    assert miettinen_nurminen(control, pilot, level) == pytest.approx((-high, -low), abs=1e-9)
    if control[0]:
        assert ratio_z(yes, n, ratio_interval(yes, n, level)[1]) == pytest.approx(-z, abs=1e-7)
        if pilot[0]:
            assert ratio_interval(yes[::-1], n[::-1], level)[1] == pytest.approx(
                1 / ratio_interval(yes, n, level)[0], rel=1e-7
            )
        if pilot[0] < pilot[1]:
            assert odds_z(yes, n, odds_interval(yes, n, level)[1]) == pytest.approx(-z, abs=1e-7)


def test_without_a_margin_all_three_scores_are_one() -> None:
    yes, n = (48, 56), (80, 70)
    # Pearson's chi-square 7.0234 times 149 / 150.
    wanted = math.sqrt(150 * 1120**2 / (70 * 80 * 104 * 46) * 149 / 150)
    assert (difference_z(yes, n), ratio_z(yes, n, 1.0), odds_z(yes, n, 1.0)) == pytest.approx((wanted,) * 3)
    assert difference_z(yes, n, corrected=False) ** 2 == pytest.approx(150 * 1120**2 / (70 * 80 * 104 * 46))


# R 4.2.2: binom.test(); Newcombe 1998, 17:857, Table I, method 5 prints 0.2527 0.3676, 0.0578 0.1617, 0.0000 0.1684, 0.0009 0.1776.
@pytest.mark.parametrize(
    ("yes", "n", "low", "high"),
    [
        (81, 263, 0.252736745585, 0.367621922601),
        (15, 148, 0.0578440100834, 0.161650490349),
        (0, 20, 0, 0.168433470983),
        (1, 29, 0.00087264688358, 0.177644295489),
    ],
)
def test_clopper_pearson_interval_as_in_r(yes: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(yes, n) == pytest.approx((low, high), abs=1e-12)


def test_agresti_caffo_adds_a_yes_and_a_no() -> None:
    # By hand: 57/72 and 49/82; sqrt(0.16493/72 + 0.24046/82) = 0.07226; 0.19411 -+ 1.95996 x 0.07226.
    assert agresti_caffo((56, 70), (48, 80)) == pytest.approx((0.05248, 0.33574), abs=5e-5)
    assert agresti_caffo((1, 1), (0, 1))[1] <= 1


def all_tables(n: tuple[int, int], shares: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """All tables that carry weight, as yes by (arm, table), and their chances."""
    chances = []
    for size, share in zip(n, shares, strict=True):
        k = np.arange(size + 1)
        ways = math.lgamma(size + 1) - np.array([math.lgamma(i + 1) + math.lgamma(size - i + 1) for i in k])
        chances.append(np.exp(ways + k * math.log(share) + (size - k) * math.log1p(-share)))
    weight = np.outer(*chances)
    kept = np.nonzero(weight > 1e-12)
    return np.stack(kept), weight[kept]


def exact_coverage(n: tuple[int, int], shares: tuple[float, float]) -> float:
    """Chance that the score interval covers: it does where the score test of the true difference does not refute."""
    yes, weight = all_tables(n, shares)
    units = np.array(n)[:, None] * np.ones_like(yes)
    difference = shares[1] - shares[0]
    found = restricted_shares(yes, units, difference)
    variance = (found * (1 - found) / units).sum(axis=0) * sum(n) / (sum(n) - 1)
    gap = yes[1] / n[1] - yes[0] / n[0] - difference
    return float(weight[np.abs(gap) <= normal_quantile(0.975) * np.sqrt(variance)].sum())


# Top box of the typical ratings (0.30), of the ceiling (0.70), and shares near the end.
@pytest.mark.parametrize("n", [(30, 30), (100, 100), (1000, 1000), (30, 90)])
@pytest.mark.parametrize("shares", [(0.30, 0.30), (0.70, 0.70), (0.70, 0.80), (0.90, 0.85)])
def test_score_interval_covers_as_often_as_it_says(n: tuple[int, int], shares: tuple[float, float]) -> None:
    assert 0.945 <= exact_coverage(n, shares) <= 0.96


@pytest.mark.parametrize("n", [(30, 30), (100, 100), (30, 90)])
@pytest.mark.parametrize("shares", [(0.30, 0.30), (0.70, 0.80), (0.90, 0.85)])
def test_newcombe_covers_as_often_as_it_says(n: tuple[int, int], shares: tuple[float, float]) -> None:
    yes, weight = all_tables(n, shares)
    covered = 0.0
    for (control, pilot), chance in zip(yes.T.tolist(), weight, strict=True):
        low, high = newcombe((pilot, n[1]), (control, n[0]))
        covered += chance * (low <= shares[1] - shares[0] <= high)
    assert 0.94 <= covered <= 0.97


def test_miettinen_nurminen_says_what_newcombe_says() -> None:
    found = MiettinenNurminen().compare(evidence((48, 80), (56, 70)), "pilot")
    assert isinstance(found, Comparison)
    assert found.sentence == (
        "retained is 20.0 percentage points higher in pilot than in control "
        "(95 % interval 5.3 to 33.8; 70 and 80 customers); the whole interval lies on the better side."
    )
    assert (found.p_value or 0) < 0.05


def test_ratios_carry_the_difference_beside_them() -> None:
    ratio = RiskRatio().compare(evidence((48, 80), (56, 70), higher_is_better=False), "pilot")
    assert isinstance(ratio, Comparison)
    assert ratio.estimate == pytest.approx(4 / 3)
    assert ratio.details["difference of shares"] == pytest.approx(0.2)
    assert ratio.sentence == (
        "the risk ratio of retained is 1.33 in pilot against control (95 % interval 1.08 to 1.67; 70 and 80 customers); "
        "the whole interval lies on the worse side."
    )
    odds = OddsRatio().compare(evidence((48, 80), (56, 70)), "pilot")
    assert isinstance(odds, Comparison)
    assert odds.estimate == pytest.approx(56 * 32 / (14 * 48))
    assert odds.p_value == pytest.approx(ratio.p_value)


@pytest.mark.parametrize(
    ("analysis", "control", "pilot", "reason"),
    [
        (RiskRatio(), (0, 30), (3, 30), "none of the customers of control is a yes"),
        (OddsRatio(), (0, 30), (3, 30), "none of the customers of control is a yes"),
        (OddsRatio(), (20, 30), (30, 30), "none of the customers of pilot is a no"),
        (MiettinenNurminen(), (3, 30), (0, 0), "pilot has no customers"),
    ],
)
def test_a_ratio_that_is_infinite_is_an_outcome_with_a_reason(
    analysis: Analysis, control: tuple[int, int], pilot: tuple[int, int], reason: str
) -> None:
    found = analysis.compare(evidence(control, pilot), "pilot")
    assert isinstance(found, NotEnoughData)
    assert reason in found.reason


def test_no_yes_in_the_pilot_arm_is_a_ratio_of_0_with_an_upper_limit() -> None:
    for analysis in (RiskRatio(), OddsRatio()):
        found = analysis.compare(evidence((3, 40), (0, 30)), "pilot")
        assert isinstance(found, Comparison)
        assert (found.estimate, found.low) == (0, 0)
        assert 1 < (found.high or 0) < 2


def test_no_observed_difference_is_not_called_none_shown() -> None:
    evidence = Evidence.from_counts("kept", Scale.BINARY, ("control", "desk"), (0, 1), [[[10, 30]], [[10, 30]]])
    same = Newcombe().compare(evidence, "desk")
    assert isinstance(same, Comparison)
    assert same.sentence.startswith(
        "the observed difference in kept between desk and control is 0 (95 % interval -18.6 to 18.6; 40 and 40 customers)"
    )
    close = Evidence.from_counts(
        "kept", Scale.BINARY, ("control", "desk"), (0, 1), [[[30_001, 30_000]], [[30_000, 30_001]]]
    )
    found = Newcombe().compare(close, "desk")
    assert isinstance(found, Comparison)
    assert found.sentence.startswith(
        "the observed difference in kept between desk and control is less than 0.1 percent"
    )
