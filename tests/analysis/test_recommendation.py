"""The net promoter score held against R 4.2.2 (stats, coin 1.4-2)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale, StratifiedDifference, mean_difference
from pilot.analysis.methods.recommendation import NpsDifference
from pilot.analysis.recommendation import POINTS, recoded
from pilot.errors import InputError

CONTROL, PILOT = (2, 1, 1, 2, 3, 6, 8, 20, 30, 25, 22), (1, 1, 1, 1, 2, 4, 8, 18, 30, 30, 28)


def answers(control: object, pilot: object, levels: object = range(11), **more: object) -> Evidence:
    counts = np.array([np.atleast_2d(control), np.atleast_2d(pilot)])
    strata = [f"s{k}" for k in range(counts.shape[1])]
    return Evidence.from_counts("nps", Scale.RATING, ("control", "pilot"), levels, counts, strata=strata, **more)  # type: ignore[arg-type]


def compared(analysis: NpsDifference, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "pilot")
    assert isinstance(found, Comparison), found
    return found


def test_as_r_s_t_test_of_the_recoded_answers() -> None:
    # R 4.2.2: t.test(recode(rep(0:10, PILOT)), recode(rep(0:10, CONTROL)))
    found = compared(NpsDifference(), answers(CONTROL, PILOT))
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (32.258064516129 - 20, -6.11848025723413, 30.63460928949219), rel=1e-10
    )
    assert found.p_value == pytest.approx(0.19009821282096, rel=1e-9)
    assert (found.standard_error, found.df) == pytest.approx((9.32886765333468, 240.95616870991060), rel=1e-10)


def test_the_variance_is_the_multinomial_one() -> None:
    # Rocks 2016: (p + d - (p - d)^2) / n; the t form divides by n - 1
    found = compared(NpsDifference(), answers(CONTROL, PILOT))
    variance = 0.0
    for counts in (CONTROL, PILOT):
        n, p, d = sum(counts), sum(counts[9:]) / sum(counts), sum(counts[:7]) / sum(counts)
        variance += 100**2 * (p + d - (p - d) ** 2) / (n - 1)
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert found.details["promoters, pilot"] == pytest.approx(58 / 124)
    assert found.details["detractors, control"] == pytest.approx(23 / 120)


def test_the_exact_p_is_that_of_coin() -> None:
    # coin 1.4-2: oneway_test(distribution = exact("shift")): greater 0.11025458991025, less 0.91942252606867
    found = compared(NpsDifference(test="exact"), answers(CONTROL, PILOT))
    assert found.p_value == pytest.approx(2 * 0.11025458991025, rel=1e-9)
    assert found.details["t p"] == pytest.approx(0.19009821282096, rel=1e-9)
    assert found.df is None
    assert "exact permutation p 0.22" in found.sentence


def test_strata_are_weighted_to_the_population() -> None:
    evidence = answers([CONTROL, CONTROL[::-1]], [PILOT, PILOT[::-1]], population=[700, 300])
    points = Evidence.from_counts(
        "nps", Scale.RATING, evidence.arms, POINTS, recoded(evidence.counts, range(11)),
        strata=evidence.strata, population=[700, 300],
    )  # fmt: skip
    found, plain = compared(NpsDifference(), evidence), StratifiedDifference().compare(points, "pilot")
    assert isinstance(plain, Comparison)
    assert (found.estimate, found.low, found.high) == (plain.estimate, plain.low, plain.high)
    assert "weighted by population" in found.method


def test_answers_coded_as_points_are_taken_as_they_are() -> None:
    one = compared(NpsDifference(), answers(CONTROL, PILOT))
    two = compared(NpsDifference(), answers((23, 50, 47), (18, 48, 58), POINTS))
    assert (one.estimate, one.low, one.p_value) == (two.estimate, two.low, two.p_value)


def test_recoding() -> None:
    assert recoded(np.eye(11, dtype=int), range(11)).argmax(axis=1).tolist() == [0] * 7 + [1] * 2 + [2] * 2
    assert recoded([5, 7], (-100, 100)).tolist() == [5, 0, 7]
    assert recoded([1, 2, 3], (0, 8, 10)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("levels", [(1, 2, 3, 4, 5), (0, 5.5, 10), (0, 5, 11), (-100, 50, 100), (-1, 9, 10)])
def test_other_scales_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="not from 0 to 10"):
        NpsDifference().compare(answers((3,) * len(levels), (4,) * len(levels), levels), "pilot")


@pytest.mark.parametrize(
    ("control", "pilot", "reason"),
    [
        ((0,) * 11, PILOT, "control has no answers"),
        ((0,) * 10 + (9,), (0,) * 9 + (3, 9), "no spread"),
        ((1,) + (0,) * 10, PILOT, "only one"),
    ],
)
def test_too_little_is_an_outcome_with_a_reason(control: object, pilot: object, reason: str) -> None:
    found = NpsDifference().compare(answers(control, pilot), "pilot")
    assert isinstance(found, NotEnoughData)
    assert reason in found.reason


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 5), min_size=11, max_size=11)] * 2), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_swapping_arms_and_order_of_strata(strata: list[tuple[list[int], list[int]]]) -> None:
    counts = np.array(strata).transpose(1, 0, 2)
    for test in ("t", "exact"):
        part = NpsDifference(test=test)  # type: ignore[arg-type]
        one, two, three = (part.compare(answers(*table), "pilot") for table in (counts, counts[::-1], counts[:, ::-1]))
        if isinstance(one, Comparison):
            assert isinstance(two, Comparison)
            assert isinstance(three, Comparison)
            mirrored = [-(value or 0) for value in (one.estimate, one.high, one.low)]
            assert [two.estimate, two.low, two.high] == pytest.approx(mirrored, abs=1e-8)
            assert (two.log_p, three.log_p) == pytest.approx((one.log_p, one.log_p), abs=1e-8)
            assert three.estimate == pytest.approx(one.estimate, abs=1e-8)


def test_planning_knows_the_spread_of_the_score() -> None:
    # 45 / 35 / 20 percent: variance 0.65 - 0.25^2 = 0.5875. By the normal law 2 x 0.5875 x 7.848879 / 0.15^2 = 409.9 per arm;
    # R 4.2.2: power.t.test(delta = 0.15, sd = sqrt(0.5875), power = 0.8): n = 410.85
    points = Expected(levels=POINTS, shares=(0.2, 0.35, 0.45))
    scale = Expected(levels=tuple(range(11)), shares=(0.05, 0, 0, 0, 0.05, 0.05, 0.05, 0.15, 0.2, 0.25, 0.2))
    spread = Expected(sd=100 * math.sqrt(0.5875))
    for expected in (points, scale, spread):
        assert NpsDifference().sample_size(expected, 15)[0] == pytest.approx(410.85, abs=0.01)
    assert NpsDifference().mde(points, (410.8475, 410.8475)) == pytest.approx(15, abs=1e-3)
    with pytest.raises(InputError, match="cannot be planned"):
        NpsDifference().power(points, 80, (50, 50))


def simulated(n: int, draws: int, pilot: tuple[float, float, float]) -> tuple[float, float]:
    """Share of draws in which no difference is refuted, and in which the interval covers the true one."""
    control = (0.2, 0.35, 0.45)
    rng, points = np.random.default_rng(n), np.array(POINTS)
    true = points @ pilot - points @ control
    refuted = covered = 0
    for first, second in zip(rng.multinomial(n, control, draws), rng.multinomial(n, pilot, draws), strict=True):
        means = [counts @ points / n for counts in (first, second)]
        squares = [counts @ (points - mean) ** 2 for counts, mean in zip((first, second), means, strict=True)]
        found = mean_difference([n, n], means, squares)
        assert found is not None
        low, high = found.interval()
        refuted += found.log_p < math.log(0.05)
        covered += low <= true <= high
    return refuted / draws, covered / draws


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_type_one_error_and_cover(n: int) -> None:
    # 4.8-5.2 percent in Welch's form at 20 to 200 per arm
    refuted, _ = simulated(n, 3000, (0.2, 0.35, 0.45))
    assert abs(refuted - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / 3000) + 0.003
    _, covered = simulated(n, 3000, (0.1, 0.35, 0.55))
    assert 0.935 <= covered <= 0.97
