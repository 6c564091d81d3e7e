from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.batteries import battery_scores, cronbach_alpha, mcdonald_omega, one_factor
from pilot.errors import InputError

NAN = math.nan

# Twenty customers, five questions, made up for these tests.
ITEMS = np.array(
    [4,5,3,4,4, 2,3,2,1,3, 5,5,4,5,3, 3,3,4,2,4, 1,3,1,2,2, 4,3,5,4,5, 3,2,3,2,1, 5,4,3,5,4, 2,2,3,3,2, 4,3,4,5,4,
     3,4,2,3,4, 4,5,5,4,5, 2,1,2,1,2, 4,4,3,5,3, 2,3,4,2,2, 3,5,3,4,4, 5,3,4,4,3, 1,2,2,3,1, 4,4,5,3,4, 3,2,2,4,3.0]
).reshape(20, 5)  # fmt: skip


def test_alpha_is_that_of_r() -> None:
    # R 4.2.2, psych 2.2.9: alpha(d): raw_alpha, std.alpha, alpha.drop, r.drop; alpha.ci(raw_alpha, 20, 5)
    found = cronbach_alpha(ITEMS)
    assert found.value == pytest.approx(0.863389190989, rel=1e-11)
    assert found.standardised == pytest.approx(0.86321216751, rel=1e-10)
    assert found.without == pytest.approx(
        [0.799175607686, 0.841189582994, 0.85911616555, 0.84162221075, 0.828635346756], rel=1e-11
    )
    assert found.item_rest == pytest.approx(
        [0.816944951558, 0.657224869568, 0.580432260529, 0.660636374875, 0.708272132851], rel=1e-11
    )
    assert (found.low, found.high) == pytest.approx((0.73864649096, 0.939067548222), rel=1e-10)
    assert (found.n, found.left_out) == (20, 0)


def test_omega_is_that_of_r() -> None:
    # R 4.2.2: factanal(d, 1) loadings and uniquenesses (psych 2.2.9 fa(d, 1, fm = "ml") gives the same to 7 digits)
    found = mcdonald_omega(ITEMS)
    assert found.loadings == pytest.approx(
        [0.920800915547, 0.667823466598, 0.655771234627, 0.772727673573, 0.711492157003], rel=1e-8
    )
    assert found.unique == pytest.approx(
        [0.152125673952, 0.554011816887, 0.569964086953, 0.402891943, 0.493778911], rel=1e-7
    )
    # sum(l s)^2 / (sum(l s)^2 + sum(u s^2)); psych's omega.tot, of standardised items: 1 - sum(u) / sum(cor(d))
    assert found.value == pytest.approx(0.867683950609, rel=1e-8)
    standardised = mcdonald_omega(ITEMS, standardised=True)
    assert (standardised.value, standardised.observed) == pytest.approx((0.864838213338, 0.865535689782), rel=1e-8)
    assert not found.improper


def test_a_matrix_with_one_factor_gives_it_back() -> None:
    loadings = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    matrix = np.outer(loadings, loadings) + np.diag(1 - loadings**2)
    found, unique = one_factor(matrix)
    assert found == pytest.approx(loadings, abs=1e-7)
    assert unique == pytest.approx(1 - loadings**2, abs=1e-7)


def test_parallel_items_make_alpha_omega_and_spearman_brown_one() -> None:
    correlation = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    root = np.linalg.cholesky(correlation)
    base = np.linalg.qr(np.column_stack([np.ones(30), np.random.default_rng(1).normal(size=(30, 4))]))[0][:, 1:]
    items = base @ root.T  # columns with exactly these correlations
    expected = 4 * 0.5 / (1 + 3 * 0.5)
    assert cronbach_alpha(items).value == pytest.approx(expected)
    assert mcdonald_omega(items).value == pytest.approx(expected, abs=1e-7)


def test_an_improper_fit_says_so() -> None:
    # the first item all but is the factor: R's factanal stops at its limit of 0.005 too
    items = np.array(
        [4,5,3,4, 2,3,2,1, 5,5,4,5, 3,3,4,3, 1,2,1,2, 4,4,5,4, 3,2,3,2, 5,4,4,5, 2,2,3,2, 4,3,4,4, 3,4,2,3, 5,5,5,4,
         1,1,2,1, 4,4,3,5, 2,3,3,2]
    ).reshape(15, 4)  # fmt: skip
    found = mcdonald_omega(items)
    assert found.improper
    assert found.loadings == pytest.approx([0.997523696577, 0.844381501005, 0.787883313908, 0.911031649249], rel=1e-6)


def test_feldts_interval_covers() -> None:
    rng = np.random.default_rng(3)
    held, rounds = 0, 1000
    for _ in range(rounds):
        items = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))  # correlations of a half: alpha is 5 / 6
        found = cronbach_alpha(items)
        held += found.low <= 5 / 6 <= found.high
    assert abs(held / rounds - 0.95) < 4 * math.sqrt(0.05 * 0.95 / rounds)


def test_scores_turn_items_round_and_ask_for_enough_answers() -> None:
    items = [[5, 1, 4, 4], [NAN, 2, NAN, 5], [NAN, NAN, NAN, 3], [1, 5, NAN, 1]]
    found = battery_scores(items, (1, 5), reverse=[1])
    assert found.values.tolist() == [(5 + 5 + 4 + 4) / 4, (4 + 5) / 2, (1 + 1 + 1) / 3]
    assert found.scored.tolist() == [True, True, False, True]
    assert found.answered.tolist() == [4, 2, 1, 3]
    assert battery_scores(items, (1, 5), minimum=4).values.tolist() == [3.5]


@given(order=st.permutations(range(20)), columns=st.permutations(range(5)), factor=st.sampled_from([0.1, 7.0]))
@settings(max_examples=15, deadline=None)
def test_order_of_units_and_items_and_the_unit_do_not_matter(
    order: list[int], columns: list[int], factor: float
) -> None:
    mixed = factor * ITEMS[order][:, columns] + 3
    assert cronbach_alpha(mixed).value == pytest.approx(cronbach_alpha(ITEMS).value)
    assert mcdonald_omega(mixed).value == pytest.approx(mcdonald_omega(ITEMS).value, rel=1e-6)


def test_units_that_lack_an_item_are_counted() -> None:
    holes = ITEMS.copy()
    holes[3, 2] = holes[7, 0] = NAN
    kept = np.delete(ITEMS, [3, 7], axis=0)
    assert cronbach_alpha(holes).value == cronbach_alpha(kept).value
    assert (cronbach_alpha(holes).left_out, mcdonald_omega(holes).left_out) == (2, 2)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InputError, match="outside 1 to 5"):
        battery_scores([[6, 1], [2, 2]], (1, 5))
    with pytest.raises(InputError, match="items 0 to 1 only"):
        battery_scores([[3, 1], [2, 2]], (1, 5), reverse=[2])
    with pytest.raises(InputError, match="cannot be asked for"):
        battery_scores([[3, 1], [2, 2]], (1, 5), minimum=3)
    with pytest.raises(InputError, match="at least two items"):
        cronbach_alpha([[1], [2], [3]])
    with pytest.raises(InputError, match="fewer than three units"):
        cronbach_alpha([[1, 2], [2, NAN], [3, 3]])
    with pytest.raises(InputError, match="all answers to an item are equal"):
        cronbach_alpha([[1, 2], [1, 4], [1, 3]])
    with pytest.raises(InputError, match="all sums over the items are equal"):
        cronbach_alpha([[1, 5], [2, 4], [3, 3]])
    with pytest.raises(InputError, match="at least three items"):
        mcdonald_omega([[1, 2], [2, 4], [3, 3]])
    with pytest.raises(InputError, match="repeat each other"):
        mcdonald_omega(ITEMS[:, [0, 1, 1]])
