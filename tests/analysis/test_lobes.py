"""Angles left out of a transform: none that could be heard, for any shape of answers, and the search does not grow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import exact_permutation, permutation
from pilot.analysis.lobes import loud_points

EXPONENT = 50.0
MIXED = {
    "typical": (0.03, 0.07, 0.18, 0.42, 0.30),
    "1-3-5 only": (0.3, 0, 0.3, 0, 0.4),
    "nearly 1-3-5": (0.2999, 0.0001, 0.3, 0.0001, 0.3999),
    "1-5 only": (0.5, 0, 0, 0, 0.5),
    "nearly 1-5": (0.4999, 0.0001, 0, 0, 0.5),
    "few but 5": (0, 0, 0.0001, 0.0002, 0.9997),
}


def exponents(weights: np.ndarray, steps: np.ndarray, points: int) -> np.ndarray:
    """By definition, at every point of the half circle: how far the modulus lies below 1 at least, in logarithms."""
    angles = 2 * np.pi / points * np.arange(points // 2 + 1)
    resultant = np.abs((weights[:, :, None] * np.exp(1j * steps[:, :, None] * angles)).sum(axis=1))
    return np.asarray((weights.sum(axis=1)[:, None] - resultant).sum(axis=0))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(2, 6),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(3, 4000),
)
def test_no_point_that_could_be_heard_is_left_out(
    seed: int, strata: int, levels: int, span: int, magnitude: int, half: int
) -> None:
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.integers(0, span + 1, (strata, levels)), axis=1)
    weights = 10.0 ** rng.uniform(-3, magnitude, (strata, levels))
    points = 2 * half + 1
    found = loud_points(weights, steps, points, EXPONENT)
    assert found[0] == 0
    assert (np.diff(found) > 0).all()
    assert found[-1] <= half
    assert set(np.flatnonzero(exponents(weights, steps, points) <= EXPONENT)) <= set(found.tolist())


@pytest.mark.parametrize("shape", MIXED)
def test_the_law_is_that_of_all_points(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(len(shape))
    counts = np.stack([rng.multinomial(n, MIXED[shape], size=2) for n in (40_000, 41_000)])
    quick = exact_permutation(counts, (1, 2, 3, 4, 5))
    monkeypatch.setattr(permutation, "loud_points", lambda _, __, points, ___: np.arange(points // 2 + 1))
    every = exact_permutation(counts, (1, 2, 3, 4, 5))
    assert quick.log_upper == pytest.approx(every.log_upper, rel=1e-12)
    assert quick.log_lower == pytest.approx(every.log_lower, rel=1e-12)


@pytest.mark.parametrize("shape", MIXED)
def test_as_many_points_at_ten_billion_answers_as_at_a_million(shape: str) -> None:
    """About 35 points in each lobe, however many answers; at most one lobe for each step between two levels."""
    share, steps = np.array(MIXED[shape]), np.arange(5)
    found = []
    for answers in (10**6, 10**10):
        weights = answers * share * (1 - share)
        sd = math.sqrt(weights @ (steps - weights @ steps / weights.sum()) ** 2)
        found.append(len(loud_points(weights[None, :], steps[None, :], 2 * math.ceil(10 * sd) + 1, EXPONENT)))
    assert found[1] <= 1.3 * found[0]
    assert found[1] <= 200


def test_a_trillion_answers_are_no_more_work() -> None:
    """Two levels: the normal law with continuity correction is as good as exact here."""
    half = 5 * 10**11
    counts = [[half, half], [half - 10**6, half + 10**6]]
    law = exact_permutation(counts, (0, 1))
    # Sum above its mean: 1e6 / 2 on each side of 5e5; sd of the hypergeometric law: sqrt(n/2 * 1/2 * 1/2 * 1) = sqrt(1e12 / 8).
    assert law.sd == pytest.approx(math.sqrt(2e12 / 16), rel=1e-6)
    assert law.z == pytest.approx(5e5 / law.sd, rel=1e-9)
    assert law.log_p == pytest.approx(math.log(math.erfc((5e5 - 0.5) / law.sd / math.sqrt(2))), rel=1e-6)
