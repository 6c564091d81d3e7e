from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.allocation import (
    affordable,
    cost_optimal,
    difference_variance,
    mean_variance,
    neyman,
    proportional,
)
from pilot.errors import InputError

# Cochran 1977, Sampling Techniques, section 5.5, 64 cities: the 16 largest and 48 others, variances 53,843 and 5,581
CITIES, SPREADS = [16, 48], [53_843**0.5, 5_581**0.5]


def test_the_cities_of_cochran() -> None:
    """The book prints 1,882,293 for the total with 6 and 18 cities, and 1,090,827 with 12 and 12, nearly the optimum."""
    assert proportional(24, CITIES).tolist() == [6, 18]
    assert round(64**2 * mean_variance([6, 18], CITIES, SPREADS)) == 1_882_293
    assert neyman(24, CITIES, SPREADS).tolist() == [12, 12]
    assert round(64**2 * mean_variance([12, 12], CITIES, SPREADS)) == 1_090_827


def test_costs_draw_units_away() -> None:
    """By hand: 400 x 10 / 2 = 2,000 and 600 x 20 / 3 = 4,000; a budget of 1,000 buys 1000 x 6000 / (8000 + 36000)."""
    sizes, spreads, costs = [400, 600], [10.0, 20.0], [4.0, 9.0]
    assert cost_optimal(120, sizes, spreads, costs).tolist() == [40, 80]
    bought = affordable(1000, sizes, spreads, costs)
    assert bought == pytest.approx(1000 * 6000 / 44000)
    assert bought * (1 / 3 * 4 + 2 / 3 * 9) == pytest.approx(1000)
    assert neyman(160, sizes, spreads).tolist() == [40, 120]


def test_strata_that_would_be_overfilled_are_taken_whole() -> None:
    """By hand: 10 x 100 : 100 x 4 : 100 x 6 of 60 would give the first 30 of its 10; 50 stay for 2 : 3."""
    assert neyman(60, [10, 100, 100], [100.0, 4.0, 6.0]).tolist() == [10, 20, 30]


def test_minimum_and_strata_smaller_than_it() -> None:
    assert proportional(20, [1, 5, 994], minimum=3).tolist() == [1, 3, 16]
    assert neyman(30, [100, 100, 100], [0.0, 1.0, 2.0], minimum=4).tolist() == [4, 9, 17]
    assert neyman(210, [100, 100, 100], [0.0, 1.0, 2.0]).tolist() == [10, 100, 100]
    assert neyman(12, [20, 60], [0.0, 0.0], minimum=0).tolist() == [3, 9]  # no spread anywhere: in proportion


def test_a_census_and_the_least_that_is_allowed() -> None:
    assert proportional(300, [100, 150, 50]).tolist() == [100, 150, 50]
    assert neyman(6, [100, 150, 50], [1.0, 5.0, 9.0]).tolist() == [2, 2, 2]
    assert mean_variance([100, 150, 50], [100, 150, 50], [1.0, 5.0, 9.0]) == 0


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    spreads=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_no_other_allocation_is_better_by_more_than_rounding(
    sizes: list[int], spreads: list[float], data: st.DataObject
) -> None:
    """Rounded from the best fractions, so at most as far from the best whole numbers as one unit in a stratum is worth."""
    spreads, least = spreads[: len(sizes)], sum(min(2, size) for size in sizes)
    total = data.draw(st.integers(least, sum(sizes)))
    found = neyman(total, sizes, spreads)
    assert found.sum() == total
    assert all(min(2, size) <= units <= size for units, size in zip(found, sizes, strict=True))
    every = [
        units for units in itertools.product(*(range(min(2, size), size + 1) for size in sizes)) if sum(units) == total
    ]
    best = min(every, key=lambda units: mean_variance(units, sizes, spreads))
    assert np.abs(found - np.array(best)).max() <= 1


@given(sizes=st.lists(st.integers(2, 5000), min_size=1, max_size=12), scale=st.floats(0.01, 100), data=st.data())
@settings(max_examples=30, deadline=None)
def test_totals_are_exact_and_units_of_money_do_not_matter(sizes: list[int], scale: float, data: st.DataObject) -> None:
    spreads = data.draw(st.lists(st.floats(0.5, 50), min_size=len(sizes), max_size=len(sizes)))
    total = data.draw(st.integers(2 * len(sizes), sum(sizes)))
    found = neyman(total, sizes, spreads)
    assert found.sum() == total
    assert (found <= sizes).all()
    again = neyman(total, sizes, [scale * spread for spread in spreads])
    assert np.abs(found - again).max() <= 1  # a tie may fall the other way


def test_the_difference_of_arms_takes_four_times_the_variance_without_the_finite_population() -> None:
    """By hand: weights 0.4 and 0.6: 0.16 x 100 / 40 + 0.36 x 400 / 80 = 2.2, times 4 for halves."""
    units, sizes, spreads = [40, 80], [400, 600], [10.0, 20.0]
    assert mean_variance(units, sizes, spreads, finite=False) == pytest.approx(2.2)
    assert difference_variance(units, sizes, spreads) == pytest.approx(8.8)
    assert difference_variance(units, sizes, spreads, share=0.25) == pytest.approx(2.2 / 0.1875)


def test_a_budget_buys_no_more_than_the_strata_hold() -> None:
    """By hand: 100 and 4 are asked for as 10 to 1; 10 of the first are all there are, the rest buys the second."""
    sizes, spreads, costs = [10, 100], [10.0, 0.1], [1.0, 1.0]
    assert affordable(5.5, sizes, spreads, costs) == pytest.approx(5.5)
    assert affordable(60, [10, 100], [100.0, 1.0], [4.0, 1.0]) == pytest.approx(10 + 20)
    assert affordable(10_000, sizes, spreads, costs) == 110
    assert affordable(0, sizes, spreads, costs) == 0
    assert affordable(30, sizes, [1.0, 0.0], costs) == pytest.approx(30)  # no spread comes last


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: proportional(10, [5, 0], labels=("a", "b")), "stratum b: there is no unit"),
        (lambda: proportional(11, [5, 5]), "11 units are asked for, but the strata hold 10"),
        (lambda: proportional(3, [50, 4], labels=("a", "b")), "the smallest is stratum b with 4 units"),
        (lambda: neyman(10, [50, 40], [1.0, -1.0], labels=("a", "b")), "stratum b: a spread is 0 or more"),
        (lambda: neyman(10, [50, 40], [1.0]), "one spread for each of 2 strata"),
        (lambda: cost_optimal(10, [50, 40], [1.0, 2.0], [0.0, 1.0]), "stratum number 1: a cost is above 0"),
        (lambda: mean_variance([0, 5], [50, 40], [1.0, 2.0]), "stratum number 1: no unit is drawn"),
        (lambda: difference_variance([5, 5], [50, 40], [1.0, 2.0], share=1), "1 is no share"),
        (lambda: proportional(math.nan, [5, 5]), "total: nan is no whole number"),
        (lambda: neyman(10.5, [50, 40], [1.0, 2.0]), "total: 10.5 is no whole number"),
        (lambda: proportional(10, [5, 5], minimum=1.5), "minimum: 1.5 is no whole number"),
        (lambda: proportional(10, [5.5, 6.5], labels=("a", "b")), "stratum a: 5.5 is no whole number"),
        (lambda: proportional(10, [50, math.nan]), "stratum number 2: nan is no whole number"),
        (lambda: proportional(10, [50, -3]), "stratum number 2: there is no unit"),
        (lambda: affordable(100, [50, 40], [1.0, 2.0], [0.0, 1.0]), "stratum number 1: a cost is above 0"),
        (lambda: affordable(100, [50, 40], [0.0, 0.0], [1.0, 1.0]), "spread: no stratum has a spread"),
        (lambda: affordable(math.nan, [50, 40], [1.0, 2.0], [1.0, 1.0]), "budget: nan is no budget"),
        (lambda: affordable(-1, [50, 40], [1.0, 2.0], [1.0, 1.0]), "budget: -1 is no budget"),
        (lambda: mean_variance([51, 5], [50, 40], [1.0, 2.0]), "stratum number 1: 51 units are drawn of 50"),
        (lambda: mean_variance([5.5, 5], [50, 40], [1.0, 2.0]), "stratum number 1: 5.5 is no whole number"),
        (lambda: mean_variance([5, -1], [50, 40], [1.0, 0.0]), "stratum number 2: -1 units are drawn of 40"),
        (lambda: mean_variance([5], [50, 40], [1.0, 2.0]), "one number drawn for each of 2 strata"),
        (lambda: proportional(0, []), "sizes: there is no stratum"),
        (lambda: mean_variance([[5, 5]], [50, 40], [1.0, 2.0]), "one number for each stratum"),
        (lambda: mean_variance([5, 5], [50, 40], [1.0]), "one spread for each of 2 strata"),
        (lambda: mean_variance([5, 5], [50, 40], [1.0, math.nan]), "stratum number 2: a spread is 0 or more"),
    ],
)
def test_errors_name_the_stratum(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        call()
