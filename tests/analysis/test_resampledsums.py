"""The law of a resample's sum, held against counting with whole numbers and against the multinomial."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from pilot.analysis import resampledsums
from pilot.analysis.resampledsums import SumLaw


def law(values: list[float], counts: list[int]) -> SumLaw:
    found = SumLaw.of(np.array(values, dtype=np.float64), np.array(counts))
    assert found is not None
    return found


def counted(steps: list[int], counts: list[int]) -> dict[int, Fraction]:
    """Chances of the sum of a resample, by counting all resamples one unit after the other."""
    ways = {0: 1}
    for _ in range(sum(counts)):
        longer: dict[int, int] = {}
        for total, number in ways.items():
            for step, count in zip(steps, counts, strict=True):
                longer[total + step] = longer.get(total + step, 0) + number * count
        ways = longer
    return {total: Fraction(number, sum(counts) ** sum(counts)) for total, number in ways.items()}


@pytest.mark.parametrize(
    ("values", "counts", "steps"),
    [
        ([1, 2, 3, 4, 5], [2, 3, 5, 20, 12], [0, 1, 2, 3, 4]),
        ([1, 3, 5], [20, 1, 19], [0, 1, 2]),
        ([1, 5], [4, 3], [0, 1]),
        ([0, 2, 5], [3, 1, 2], [0, 2, 5]),
        ([-100, 0, 100], [10, 5, 30], [0, 1, 2]),
        ([4 / 3, 5 / 3, 3.0], [5, 5, 5], [0, 1, 5]),
        ([0.01, 0.02, 30.0], [5, 1, 1], [0, 1, 2999]),
    ],
)
def test_equals_counting_in_whole_numbers(values: list[float], counts: list[int], steps: list[int]) -> None:
    found = law(values, counts)
    assert found.steps.tolist() == steps
    assert found.lowest == 0
    chances, expected = found.chances(), counted(steps, counts)
    assert len(chances) == 1 + max(expected)
    assert chances == pytest.approx(
        [float(expected.get(total, 0)) for total in range(len(chances))], rel=1e-11, abs=1e-13
    )


def test_a_mean_is_drawn_as_often_as_its_chance_says() -> None:
    found = law([1, 2, 4], [3, 2, 2])
    drawn = found.means(100_000, np.random.default_rng(4))
    for total, chance in counted([0, 1, 3], [3, 2, 2]).items():
        assert np.isclose(drawn, 1 + total / 7).mean() == pytest.approx(
            float(chance), abs=1e-4 + 4 * math.sqrt(chance / 100_000)
        )
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / math.sqrt(100_000)  # in random order


def test_many_answers_have_the_normal_law_and_tails_left_out_that_do_not_count() -> None:
    counts = [15_000, 35_000, 90_000, 210_000, 150_000]
    found = law([1, 2, 3, 4, 5], counts)
    chances = found.chances()
    totals = found.lowest + np.arange(len(chances))
    mean, variance = chances @ totals, chances @ (totals - chances @ totals) ** 2
    sample = np.repeat(np.arange(5), counts)
    assert chances.sum() == pytest.approx(1, abs=1e-11)  # the power of 500,000 costs five digits
    assert mean == pytest.approx(sample.sum(), rel=1e-11)
    assert variance == pytest.approx(sample.size * sample.var(), rel=1e-8)
    assert len(chances) < 0.01 * 4 * sample.size


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0, math.pi], [0.0, 1.0, 1e7], [0.0, 1e-6, 1.0]])
def test_values_without_a_coarse_step_have_no_law(values: list[float]) -> None:
    assert SumLaw.of(np.array(values), np.ones(len(values), dtype=np.int64)) is None


def test_a_sum_that_spreads_too_far_has_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampledsums, "MAX_POINTS", 100)
    assert SumLaw.of(np.array([1.0, 2.0]), np.array([5_000, 5_000])) is None
    assert SumLaw.of(np.array([1.0, 2.0]), np.array([5, 5])) is not None
