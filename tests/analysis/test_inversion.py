"""The exact permutation interval, held against testing every shift by counting all shuffles in fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import exact_permutation, inversion, mean_difference
from pilot.analysis.inversion import permutation_interval
from pilot.errors import InputError

LEVELS = (1, 2, 3, 4, 5)


def counted(strata: Sequence[tuple[Sequence[int], Sequence[int]]], shift: Fraction) -> tuple[Fraction, Fraction]:
    """Tails of the pilot arm's sum once a shift is taken off it, over all shuffles inside strata."""
    sums, observed = [], Fraction(0)
    for control, pilot in strata:
        values = [Fraction(value) for value in control] + [value - shift for value in pilot]
        sums.append([sum(taken, Fraction(0)) for taken in combinations(values, len(pilot))])
        observed += sum(values[len(control) :], Fraction(0))
    every = [sum(parts, Fraction(0)) for parts in product(*sums)]
    upper, lower = sum(total >= observed for total in every), sum(total <= observed for total in every)
    return Fraction(upper, len(every)), Fraction(lower, len(every))


def tally(strata: Sequence[tuple[Sequence[int], Sequence[int]]], levels: Sequence[int]) -> np.ndarray:
    return np.array(
        [[[list(arm).count(level) for level in levels] for arm in stratum] for stratum in strata]
    ).transpose(1, 0, 2)


def open_at(strata: Sequence[tuple[Sequence[int], Sequence[int]]], shift: Fraction, tail: Fraction) -> bool:
    return min(counted(strata, shift)) > tail


@pytest.mark.parametrize("level", [0.95, 0.9])
@pytest.mark.parametrize(
    "strata",
    [
        [((5, 4, 3, 2, 4, 4, 1), (5, 5, 4, 5, 3, 4))],
        [((3, 2, 4, 3, 5, 2), (10, 7, 9, 4, 10, 8))],
        [((1, 1, 1, 2), (5, 5, 5, 4))],
        [((3, 8, 6), (10, 7, 9, 4)), ((1, 2, 2), (2, 5, 3, 3)), ((4,), (6,))],
    ],
)
def test_the_limits_are_the_last_shifts_that_are_not_refuted(
    strata: list[tuple[Sequence[int], Sequence[int]]], level: float
) -> None:
    found = permutation_interval(tally(strata, range(1, 11)), range(1, 11), level)
    tail, little = Fraction(round(1000 * (1 - level))) / 2000, Fraction(1, 10_000)
    assert found.exact
    assert found.low is not None
    assert found.high is not None
    low, high = (Fraction(limit).limit_denominator(1000) for limit in (found.low, found.high))
    assert float(low) == pytest.approx(found.low, abs=1e-12)
    assert open_at(strata, low, tail)
    assert not open_at(strata, low - little, tail)
    assert open_at(strata, high, tail)
    assert not open_at(strata, high + little, tail)


def test_an_interval_by_hand_where_a_common_routine_is_too_short() -> None:
    # Counting all 1,716 shuffles: at a shift of 2.4 the smaller tail is 53 / 1716 = 0.0309, so 2.4 is not refuted at 95
    # percent. exactRankTests 0.8-35 prints -0.3333 to 2.3333.
    strata = [((5, 4, 3, 2, 4, 4, 1), (5, 5, 4, 5, 3, 4))]
    assert min(counted(strata, Fraction(12, 5))) == Fraction(53, 1716)
    found = permutation_interval(tally(strata, LEVELS), LEVELS)
    assert (found.low, found.high) == pytest.approx((-1 / 3, 2.5))


def test_too_few_answers_refute_nothing() -> None:
    # 3 and 3: the smallest tail is 1 / 20
    found = permutation_interval([[3, 0], [0, 3]], (0, 1))
    assert (found.low, found.high) == (None, None)
    # 4 and 4: 1 / 70 < 0.025
    assert permutation_interval([[4, 0], [0, 4]], (0, 1)).low is not None
    assert permutation_interval([[4, 3], [0, 0]], (0, 1)).high is None
    # 3 and 3 at 90 percent: a tail of exactly half the error refutes, so something is
    assert permutation_interval([[3, 0], [0, 3]], (0, 1), 0.9).low is not None


tables = st.lists(st.tuples(*[st.lists(st.integers(0, 7), min_size=5, max_size=5)] * 2), min_size=1, max_size=3).map(
    lambda strata: np.array(strata).transpose(1, 0, 2)
)


@given(tables)
@settings(max_examples=30, deadline=None)
def test_swapping_turning_scaling_and_the_test_itself(counts: np.ndarray) -> None:
    found, law = permutation_interval(counts, LEVELS), exact_permutation(counts, LEVELS)
    swapped = permutation_interval(counts[::-1], LEVELS)
    turned = permutation_interval(counts[:, ::-1, ::-1], [-level for level in LEVELS[::-1]])
    scaled = permutation_interval(counts, [0.5 * level + 7 for level in LEVELS])
    if found.low is None or found.high is None:
        assert swapped.low is turned.low is scaled.low is None
        return
    assert found.low <= found.high
    for mirrored in (swapped, turned):
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    assert (scaled.low, scaled.high) == pytest.approx((found.low / 2, found.high / 2), abs=1e-9)
    if law.sd > 0:
        assert (found.low <= 0 <= found.high) == (min(law.log_upper, law.log_lower) > math.log(0.025))


@pytest.mark.parametrize("n", [40, 400, 3000])
def test_agrees_with_testing_shifted_ratings(n: int) -> None:
    # A limit rounded to 1/50 is a shift on a common lattice, where the exact law of the shifted ratings is at hand.
    rng = np.random.default_rng(n)
    counts = np.stack([rng.multinomial(n, p) for p in ((0.03, 0.07, 0.18, 0.42, 0.30), (0.02, 0.05, 0.13, 0.40, 0.40))])
    found = permutation_interval(counts[:, None], LEVELS)
    assert found.exact
    for limit, side in ((found.low, -1), (found.high, 1)):
        inside, outside = (round(50 * (limit or 0)) - side + far for far in (-side, 2 * side))
        tails = []
        for shift in (inside, outside):
            steps = np.concatenate([50 * np.array(LEVELS), 50 * np.array(LEVELS) - shift])
            spread = np.zeros((2, 10), dtype=int)
            spread[0, :5], spread[1, 5:] = counts
            law = exact_permutation(spread, steps.tolist())
            tails.append(law.log_upper if side < 0 else law.log_lower)
        assert tails[0] > math.log(0.025) >= tails[1]


def test_large_numbers_use_the_normal_law_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[[30, 70, 180, 420, 300]], [[20, 50, 130, 400, 400]]])
    exact = permutation_interval(counts, LEVELS)
    monkeypatch.setattr(inversion, "MAX_POINTS", 1000)
    normal = permutation_interval(counts, LEVELS)
    assert exact.exact
    assert not normal.exact
    assert (normal.low, normal.high) == pytest.approx((exact.low, exact.high), abs=0.002)


def test_near_welch_at_a_thousand_answers() -> None:
    counts = np.array([[30, 70, 180, 420, 300], [20, 50, 130, 400, 400]])
    means = counts @ LEVELS / 1000
    squares = [float(row @ (np.array(LEVELS) - mean) ** 2) for row, mean in zip(counts, means, strict=True)]
    welch = mean_difference([1000, 1000], means, squares)
    assert welch is not None
    found = permutation_interval(counts[:, None], LEVELS)
    assert (found.low, found.high) == pytest.approx(welch.interval(), abs=0.003)


def test_refuses_what_is_no_rating() -> None:
    with pytest.raises(InputError, match="common step"):
        permutation_interval([[1, 2], [3, 4]], (1, math.pi))


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 30, 100])
def test_covers_a_shift_at_least_as_often_as_it_says(n: int) -> None:
    rng, draws = np.random.default_rng(n), 2000
    covered = 0
    for table in rng.multinomial(n, (0.1, 0.2, 0.4, 0.2, 0.1), (draws, 2)):
        shifted = np.zeros((2, 6), dtype=int)
        shifted[0, :5], shifted[1, 1:] = table
        found = permutation_interval(shifted, range(1, 7))
        covered += found.low is None or found.low <= 1 <= (found.high or 0)
    assert covered / draws >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / draws)
