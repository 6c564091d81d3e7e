"""The exact permutation law, held against counting with whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pilot.analysis import exact_permutation
from pilot.errors import InputError

SHAPES = {
    "typical": (0.03, 0.07, 0.18, 0.42, 0.30),
    "ceiling": (0.01, 0.02, 0.05, 0.22, 0.70),
    "polarised": (0.20, 0.10, 0.10, 0.20, 0.40),
    "1-3-5 only": (0.3, 0, 0.3, 0, 0.4),
    "1-5 only": (0.5, 0, 0, 0, 0.5),
    "nearly 1-5": (0.48, 0.02, 0, 0, 0.5),
    "all 5": (0, 0, 0, 0, 1),
}


def counted(counts: np.ndarray, levels: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Upper and lower tail of the pilot arm's sum, by counting every way to shuffle in whole numbers."""
    ways = {0: 1}
    every, observed = 1, 0
    for stratum in range(counts.shape[1]):
        both, drawn = counts[:, stratum].sum(axis=0).tolist(), int(counts[1, stratum].sum())
        found = {(0, 0): 1}
        for times, level in zip(both, levels, strict=True):
            longer: dict[tuple[int, int], int] = {}
            for (n, total), count in found.items():
                for taken in range(min(times, drawn - n) + 1):
                    key = n + taken, total + taken * level
                    longer[key] = longer.get(key, 0) + count * comb(times, taken)
            found = longer
        joint: dict[int, int] = {}
        for before, count in ways.items():
            for (n, total), more in found.items():
                if n == drawn:
                    joint[before + total] = joint.get(before + total, 0) + count * more
        ways, every = joint, every * comb(sum(both), drawn)
        observed += int(counts[1, stratum] @ levels)
    upper = sum(count for total, count in ways.items() if total >= observed)
    lower = sum(count for total, count in ways.items() if total <= observed)
    return Fraction(upper, every), Fraction(lower, every)


def log(share: Fraction) -> float:
    """Logarithm of a fraction whose numerator and denominator are too large for a float."""
    return _log(share.numerator) - _log(share.denominator)


def _log(number: int) -> float:
    shift = max(0, number.bit_length() - 900)
    return math.log(number >> shift) + shift * math.log(2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("strata", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_counting_in_whole_numbers(shape: str, strata: int, seed: int) -> None:
    rng = np.random.default_rng([seed, strata, len(shape)])
    other = SHAPES[shape] if seed % 2 else SHAPES["typical"]
    sizes = rng.integers(0, 30 // strata, size=(2, strata))
    counts = np.array(
        [
            [rng.multinomial(size, np.array(p) / sum(p)) for size in row]
            for row, p in zip(sizes, (SHAPES[shape], other), strict=True)
        ]
    )
    law = exact_permutation(counts, (1, 2, 3, 4, 5))
    upper, lower = counted(counts, (1, 2, 3, 4, 5))
    assert law.log_upper == pytest.approx(log(upper), rel=1e-9, abs=1e-11)
    assert law.log_lower == pytest.approx(log(lower), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(
    ("control", "pilot"),
    [
        ((100, 1, 90, 0, 110), (90, 0, 100, 1, 109)),
        ((150, 0, 0, 1, 150), (120, 1, 0, 0, 180)),
        ((290, 0, 1, 0, 9), (9, 1, 0, 0, 290)),
    ],
)
def test_side_lobes_of_answers_on_few_levels_are_kept(control: tuple[int, ...], pilot: tuple[int, ...]) -> None:
    both = [a + b for a, b in zip(control, pilot, strict=True)]
    n, observed = sum(pilot), sum(k * c for k, c in enumerate(pilot))
    upper = 0
    for first in range(both[0] + 1):
        for second in range(both[1] + 1):
            for third in range(both[2] + 1):
                for fourth in range(both[3] + 1):
                    fifth = n - first - second - third - fourth
                    if second + 2 * third + 3 * fourth + 4 * fifth >= observed and 0 <= fifth <= both[4]:
                        upper += math.prod(map(comb, both, (first, second, third, fourth, fifth)))
    law = exact_permutation([control, pilot], (1, 2, 3, 4, 5))
    assert law.log_upper == pytest.approx(_log(upper) - _log(comb(sum(both), n)), rel=1e-9)


@pytest.mark.parametrize("yes", [12, 20, 37, 60])
def test_two_levels_are_the_hypergeometric_law(yes: int) -> None:
    counts = [[70, 30], [100 - yes, yes]]
    law = exact_permutation(counts, (0, 1))
    reference = stats.hypergeom(200, 30 + yes, 100)
    assert math.exp(law.log_upper) == pytest.approx(reference.sf(yes - 1), rel=1e-9)
    assert math.exp(law.log_lower) == pytest.approx(reference.cdf(yes), rel=1e-9)


def test_the_lady_tasting_tea_is_fisher_s() -> None:
    # Fisher 1935, The Design of Experiments, ch. 2: three of four cups right, 17 of 70 ways are as good or better.
    law = exact_permutation([[3, 1], [1, 3]], (0, 1))
    assert math.exp(law.log_upper) == pytest.approx(17 / 70, rel=1e-12)
    assert math.exp(law.log_p) == pytest.approx(34 / 70, rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "levels"),
    [
        ([[1000, 0], [0, 1000]], (0, 1)),  # p of about 1e-600: no double holds it
        ([[1900, 100], [100, 1900]], (0, 1)),
        ([[900, 0], [1, 899]], (1, 5)),
        ([[3, 2000], [0, 2100]], (0, 1)),
    ],
)
def test_far_tails_keep_nine_digits(counts: list[list[int]], levels: tuple[int, int]) -> None:
    (no0, yes0), (no1, yes1) = counts
    yes, n, every = yes0 + yes1, no1 + yes1, no0 + yes0 + no1 + yes1
    ways = sum(comb(yes, k) * comb(every - yes, n - k) for k in range(yes1, min(yes, n) + 1))
    law = exact_permutation(counts, levels)
    assert law.log_upper == pytest.approx(_log(ways) - _log(comb(every, n)), rel=1e-9)


def test_a_million_answers_agree_with_the_normal_law() -> None:
    half = np.array([15_000, 35_000, 90_000, 210_000, 150_000])
    law = exact_permutation([half, half + np.array([-300, 0, 0, 0, 300])], (1, 2, 3, 4, 5))
    continuity = 0.5 / law.sd
    assert math.exp(law.log_upper) == pytest.approx(stats.norm.sf(law.z - continuity), rel=1e-4)


def test_scipy_resampling_agrees_within_its_error() -> None:
    control, pilot = [5, 4, 3, 2, 4, 4, 1], [5, 5, 4, 5, 3, 4]
    reference = stats.permutation_test(
        (pilot, control), lambda a, b: np.mean(a) - np.mean(b), permutation_type="independent", n_resamples=np.inf
    )
    counts = [[answers.count(level) for level in range(1, 6)] for answers in (control, pilot)]
    assert math.exp(exact_permutation(counts, range(1, 6)).log_p) == pytest.approx(reference.pvalue, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_never_rejects_more_often_than_it_says(alpha: float) -> None:
    # All shuffles of these answers into 6 and 6, each as often as it happens.
    both, n, levels = (1, 2, 3, 4, 2), 6, (1, 2, 3, 4, 5)
    rejected = 0
    for taken in np.ndindex(*(times + 1 for times in both)):
        if sum(taken) == n:
            counts = [[times - take for times, take in zip(both, taken, strict=True)], list(taken)]
            if math.exp(exact_permutation(counts, levels).log_p) <= alpha:
                rejected += math.prod(map(comb, both, taken))
    assert 0 < rejected <= alpha * comb(sum(both), n)


tables = st.lists(st.tuples(*[st.lists(st.integers(0, 6), min_size=4, max_size=4)] * 2), min_size=1, max_size=3).map(
    lambda strata: np.array(strata).transpose(1, 0, 2)
)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_swapping_arms_or_turning_the_scale_mirrors_the_law(counts: np.ndarray) -> None:
    law = exact_permutation(counts, (1, 2, 3, 5))
    for mirrored in (
        exact_permutation(counts[::-1], (1, 2, 3, 5)),
        exact_permutation(counts[..., ::-1], (-5, -3, -2, -1)),
    ):
        assert (mirrored.log_upper, mirrored.log_lower) == pytest.approx((law.log_lower, law.log_upper), abs=1e-9)
        assert mirrored.z == pytest.approx(-law.z, abs=1e-9)


@given(tables, st.sampled_from([(0.5, -3.0), (100.0, 7.0), (1 / 3, 0.0)]))
@settings(max_examples=40, deadline=None)
def test_unit_origin_order_of_strata_and_of_levels_do_not_matter(
    counts: np.ndarray, change: tuple[float, float]
) -> None:
    law = exact_permutation(counts, (1, 2, 3, 5))
    factor, shift = change
    other = exact_permutation(counts[:, ::-1, ::-1], [factor * level + shift for level in (5, 3, 2, 1)])
    assert (other.log_upper, other.log_lower) == pytest.approx((law.log_upper, law.log_lower), abs=1e-9)


def test_a_stratum_without_both_arms_changes_nothing() -> None:
    counts = np.array([[[2, 3, 4]], [[1, 1, 6]]])
    lonely = np.concatenate([counts, [[[5, 0, 1]], [[0, 0, 0]]]], axis=1)
    assert exact_permutation(lonely, (1, 2, 3)).log_p == pytest.approx(exact_permutation(counts, (1, 2, 3)).log_p)


def test_where_nothing_can_change_nothing_is_surprising() -> None:
    assert exact_permutation([[0, 4], [0, 9]], (1, 2)).log_p == 0
    assert exact_permutation([[3, 4], [0, 0]], (1, 2)).log_p == 0
    assert exact_permutation([[0, 0], [0, 0]], (1, 2)).z == 0


@pytest.mark.parametrize(
    ("counts", "levels", "reason"),
    [
        ([[1, 2], [3, 4]], (1, 2, 3), "shape"),
        ([[1, 2.5], [3, 4]], (1, 2), "whole numbers"),
        ([[1, -2], [3, 4]], (1, 2), "whole numbers"),
        ([[1, 2], [3, 4]], (1, math.pi), "common step"),
        ([[1, 2, 1], [3, 4, 1]], (1, 2, 10_000), "common step"),
    ],
)
def test_refuses_what_is_no_rating(counts: list[list[float]], levels: tuple[float, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        exact_permutation(counts, levels)
