from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale
from pilot.analysis.arrays import evidence_of
from pilot.analysis.methods.ranks import BrunnerMunzel
from pilot.analysis.methods.weightedranks import WeightedRanks
from pilot.analysis.surveyweights import Design
from pilot.analysis.weightedranks import design_rank_test, population_ranks, win_scores
from pilot.errors import InputError

# Sixteen customers of eight reps in two strata, made up for these tests.
V = [10.1, 12.4, 8.2, 7.3, 15.5, 11.6, 5.7, 9.8, 13.9, 14.1, 6.2, 8.3, 10.4, 11.5, 16.6, 4.7]
Y = [4, 5, 3, 2, 5, 4, 1, 3, 4, 5, 2, 3, 4, 4, 5, 1]
W = np.array([2, 2, 2, 2, 3, 3, 3, 3, 1.5, 1.5, 4, 4, 2, 2, 5, 5])
S = np.array([1] * 6 + [2] * 10)
C = np.repeat(np.arange(1, 9), 2)
A = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0])
EVEN = np.ones(16)


@pytest.mark.parametrize(
    ("values", "design", "difference", "t", "df", "p"),
    [
        (V, Design(W), 0.087732528909, 0.551844464181, 14, 0.589755813438),
        (V, Design(W, S), 0.087732528909, 0.540166158718, 13, 0.59821488686),
        (V, Design(W, S, C), 0.087732528909, 1.79034653279, 5, 0.133405460573),
        (Y, Design(EVEN), 0.1015625, 0.713252887071, 14, 0.487409238705),
        (Y, Design(EVEN, S, C), 0.1015625, 1.47314101914, 5, 0.20070499562),
    ],
)
def test_the_rank_test_is_that_of_r(
    values: Sequence[float], design: Design, difference: float, t: float, df: int, p: float
) -> None:
    # R 4.2.2, survey 4.1-1: svyranktest(v ~ a, svydesign(ids = ~c, strata = ~s, weights = ~w))
    found = design_rank_test(values, A, design)
    assert found is not None
    assert (found.difference, found.t, found.df) == pytest.approx((difference, t, df), rel=1e-10)
    assert math.exp(found.log_p) == pytest.approx(p, rel=1e-10)


def test_ties_have_the_middle_of_their_share_of_the_population() -> None:
    """By hand: of 10 customers 2 are at 1, 5 at 2, 3 at 3."""
    assert population_ranks([2, 1, 3, 2], [4, 2, 3, 1]).tolist() == pytest.approx([0.45, 0.1, 0.85, 0.45])
    shuffled = np.random.default_rng(1).permutation(16)
    one = design_rank_test(Y, A, Design(W))
    other = design_rank_test(np.array(Y)[shuffled], A[shuffled], Design(W[shuffled]))
    assert one is not None
    assert other is not None
    assert (other.difference, other.t) == pytest.approx((one.difference, one.t), rel=1e-12)


def test_the_win_probability_is_half_more_than_the_difference_of_ranks() -> None:
    """By hand: the pilot's 3 (weight 1) beats the 2s of control (weight 2 of 3), its 2 (weight 3) ties with them."""
    chance, scores = win_scores([2, 3, 3, 2], [0, 0, 1, 1], [2, 1, 1, 3])
    assert chance == pytest.approx((1 * (2 / 3 + 1 / 6) + 3 * (1 / 3)) / 4)
    assert scores.sum() == pytest.approx(0)
    found = design_rank_test(Y, A, Design(W))
    assert found is not None
    assert win_scores(Y, A, W)[0] == pytest.approx(0.5 + found.difference)


def sixteen(weight: np.ndarray | None = W, values: Sequence[float] = Y, *, clusters: bool = True) -> Evidence:
    evidence = evidence_of(
        "csat",
        Scale.RATING,
        ("control", "desk"),
        arm=[("control", "desk")[a] for a in A],
        value=values,
        stratum=[f"s{s}" for s in S],
        cluster=C.tolist() if clusters else None,
    )
    assert evidence.rows is not None
    return replace(evidence, rows=replace(evidence.rows, weight=weight))


def compared(evidence: Evidence) -> Comparison:
    found = WeightedRanks().compare(evidence, "desk")
    assert isinstance(found, Comparison)
    return found


def test_test_and_interval_use_the_design() -> None:
    found = compared(sixteen())
    tested = design_rank_test(Y, A, Design(W, S, C))
    assert tested is not None
    assert (found.statistic, found.df, found.log_p) == pytest.approx((tested.t, tested.df, tested.log_p))
    assert found.details["difference of mean ranks"] == pytest.approx((found.estimate or 0) - 0.5)
    assert found.sentence.startswith("weighted, the win probability of csat is 0.")
    assert "placements over clusters inside strata" in found.method
    assert "few clusters" in {check.name for check in found.checks}


def test_equal_weights_come_near_brunner_and_munzel() -> None:
    rng = np.random.default_rng(2)
    arm = np.repeat(["control", "pilot"], [150, 120])
    evidence = evidence_of("csat", Scale.RATING, ("control", "pilot"), arm=arm.tolist(), value=rng.integers(1, 6, 270))
    assert evidence.rows is not None
    weighted = replace(evidence, rows=replace(evidence.rows, weight=np.full(270, 3.0)))
    found, plain = WeightedRanks().compare(weighted, "pilot"), BrunnerMunzel().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert isinstance(plain, Comparison)
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_only_the_order_of_values_counts_and_swapping_arms_mirrors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 6, 16)
    if len(set(values.tolist())) < 2:
        return
    chance, scores = win_scores(values, A, W)
    assert win_scores(np.exp(values) + 3, A, 7 * W)[0] == pytest.approx(chance)
    turned, mirrored = win_scores(values, 1 - A, W)
    assert turned == pytest.approx(1 - chance)
    assert mirrored == pytest.approx(-scores, abs=1e-12)


def test_what_cannot_be_compared_has_a_reason() -> None:
    for values, reason in (((1 + 3 * A).tolist(), "wholly above"), ([3] * 16, "are equal")):
        found = WeightedRanks().compare(sixteen(values=values, clusters=False), "desk")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason
    with pytest.raises(InputError, match="needs weights"):
        WeightedRanks().compare(sixteen(None), "desk")
    assert design_rank_test([3] * 16, A, Design(W)) is None


@pytest.mark.parametrize("shares", [[0.03, 0.07, 0.18, 0.42, 0.30], [0.01, 0.02, 0.05, 0.22, 0.70]])
@pytest.mark.parametrize("size", [30, 100])
def test_test_and_interval_keep_their_level_under_unequal_weights(size: int, shares: list[float]) -> None:
    rng = np.random.default_rng(size)
    arm = np.arange(2 * size) % 2
    refuted = left = 0
    for _ in range(600):
        values, weight = rng.choice(5, 2 * size, p=shares), rng.choice([1.0, 2.0, 3.0], 2 * size)
        tested = design_rank_test(values, arm, Design(weight))
        chance, scores = win_scores(values, arm, weight)
        spread = math.sqrt(size / (size - 1) * float((scores**2).sum()))
        assert tested is not None
        refuted += tested.log_p < math.log(0.05)
        left += abs(chance - 0.5) <= 2.0 * spread
    assert 0.025 < refuted / 600 < 0.08
    assert left / 600 > 0.92


def test_the_planned_power_is_what_weighted_answers_show() -> None:
    """Weights of 1 and 3 by chance: Kish's effect is 2 (1 + 9) / (1 + 3)^2 = 1.25. Win probability 0.6, 120 per arm."""
    rng, runs, shown = np.random.default_rng(8), 400, 0
    arm = ["control"] * 120 + ["desk"] * 120
    shift = math.sqrt(2) * 0.2533471  # of normal values: 0.2533 is the quantile of 0.6
    for _ in range(runs):
        values = rng.normal(size=240) + np.repeat([0.0, shift], 120)
        evidence = evidence_of("csat", Scale.NUMBER, ("control", "desk"), arm=arm, value=values)
        assert evidence.rows is not None
        rows = replace(evidence.rows, weight=rng.choice([1.0, 3.0], 240))
        found = WeightedRanks().compare(replace(evidence, rows=rows), "desk")
        assert isinstance(found, Comparison)
        assert found.low is not None
        shown += found.low > 0.5
    planned = WeightedRanks(design_effect=1.25).power(Expected(), 0.1, (120, 120))
    assert planned == pytest.approx(shown / runs, abs=4 * math.sqrt(planned * (1 - planned) / runs))
