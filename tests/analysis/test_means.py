from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pilot.analysis import Comparison, Evidence, Scale, StratifiedDifference, mean_difference
from pilot.analysis.means import MeanDifference, layers

SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def moments(*groups: list[float]) -> tuple[list[int], list[float], list[float]]:
    values = [np.array(group) for group in groups]
    return (
        [len(v) for v in values],
        [float(v.mean()) for v in values],
        [float(((v - v.mean()) ** 2).sum()) for v in values],
    )


def difference(*args: object) -> MeanDifference:
    found = mean_difference(*args)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_student_s_sleep_data_as_printed_by_r() -> None:
    # R 4: t.test(extra ~ group, data = sleep)
    # t = -1.8608, df = 17.776, p-value = 0.07939, 95 percent confidence interval -3.3654832 0.2054832
    found = difference(*moments(SLEEP_2, SLEEP_1))
    assert round(found.t, 4) == -1.8608
    assert round(found.df, 3) == 17.776
    assert round(math.exp(found.log_p), 5) == 0.07939
    assert [round(limit, 7) for limit in found.interval()] == [-3.3654832, 0.2054832]


def test_equals_scipy_on_unequal_arms() -> None:
    rng = np.random.default_rng(7)
    pilot, control = rng.normal(10, 3, 40).tolist(), rng.normal(9, 8, 13).tolist()
    reference = stats.ttest_ind(pilot, control, equal_var=False)
    found = difference(*moments(control, pilot))
    assert (found.t, found.df) == pytest.approx((reference.statistic, reference.df), rel=1e-12)
    assert math.exp(found.log_p) == pytest.approx(reference.pvalue, rel=1e-10)
    assert found.interval(0.9) == pytest.approx(tuple(reference.confidence_interval(0.9)), rel=1e-10)
    one_sided = stats.ttest_ind(np.array(pilot) + 0.5, control, equal_var=False, alternative="greater")
    assert math.exp(found.log_p_beyond(-0.5)) == pytest.approx(one_sided.pvalue, rel=1e-10)


def test_strata_by_hand() -> None:
    # Differences 1 and 3, weights 3/4 and 1/4: 1.5. Every cell has n = 4, s2 = 4: the standard errors squared are 2 and 2,
    # the variance is (9/16 + 1/16) * 2 = 1.25, and the four cells have 9/16, 9/16, 1/16, 1/16 of a unit variance each:
    # df = 1.25^2 / ((81 + 81 + 1 + 1) / 256 / 3) = 7.317.
    found = difference([[4, 4]] * 2, [[10, 20], [11, 23]], [[12, 12]] * 2, [300, 100])
    assert found.estimate == pytest.approx(1.5)
    assert found.means == pytest.approx((12.5, 14.0))
    assert found.standard_error == pytest.approx(math.sqrt(1.25))
    assert found.df == pytest.approx(1.25**2 * 256 * 3 / 164)


def test_stiff_numbers_keep_their_spread() -> None:
    # NIST StRD, NumAcc4: 1,001 values around 10,000,000.2 with a standard deviation of 0.1.
    values = [10_000_000.2] + [10_000_000.1, 10_000_000.3] * 500
    found = difference(*moments(values, values))
    assert found.standard_error == pytest.approx(0.1 * math.sqrt(2 / 1001), rel=1e-6)


def test_without_spread_there_is_no_difference_to_speak_of() -> None:
    assert mean_difference([5, 5], [1.0, 2.0], [0.0, 0.0]) is None
    assert mean_difference([5, 1], [1.0, 2.0], [3.0, 0.0]) is None


def test_thin_strata_are_joined_with_their_weight() -> None:
    n, mean, m2 = (
        np.array([[30, 1, 5], [30, 4, 0]]),
        np.array([[1.0, 4, 2], [2, 5, 0]]),
        np.array([[9.0, 0, 4], [9, 2, 0]]),
    )
    found = layers(n, mean, m2, [60, 20, 20], ("big", "thin", "empty"))
    assert found.joined == ("thin", "empty")
    assert found.n.tolist() == [[30, 6], [30, 4]]
    assert found.weights == pytest.approx([0.6, 0.4])
    assert found.mean[0, 1] == pytest.approx((4 + 5 * 2) / 6)


def test_a_thin_stratum_takes_in_the_smallest_other() -> None:
    n = np.array([[30, 0, 8], [30, 1, 8]])
    found = layers(n, np.zeros((2, 3)), np.ones((2, 3)), [1, 1, 1], ("big", "thin", "small"))
    assert found.joined == ("thin", "small")
    assert found.n.tolist() == [[30, 8], [30, 9]]


def test_enough_everywhere_leaves_strata_alone() -> None:
    assert layers(np.full((2, 2), 2), np.zeros((2, 2)), np.ones((2, 2)), [1, 3], ("a", "b")).joined == ()


@pytest.mark.parametrize("stratified", [False, True])
def test_type_one_error_is_near_nominal(stratified: bool) -> None:
    # Ratings with a typical shape (research: 4.6-5.3 percent at 20 to 200 per arm), two strata of different level.
    rng = np.random.default_rng(20)
    rejected = 0
    for _ in range(1500):
        answers = rng.choice(5, size=(2, 2, 25), p=[0.03, 0.07, 0.18, 0.42, 0.30]) + np.array([0, 1])[:, None]
        if not stratified:
            answers = answers[:, :1]
        mean = answers.mean(axis=2)
        m2 = ((answers - mean[..., None]) ** 2).sum(axis=2)
        rejected += difference(np.full(mean.shape, 25), mean, m2, [1] * mean.shape[1]).log_p < math.log(0.05)
    assert 0.035 < rejected / 1500 < 0.065


def test_joined_strata_that_the_arms_share_unequally_are_told() -> None:
    counts = [[[5, 5], [6, 0], [0, 1]], [[5, 5], [0, 1], [1, 5]]]
    evidence = Evidence.from_counts("yes", Scale.BINARY, ("control", "pilot"), (0, 1), counts, strata=("a", "b", "c"))
    found = StratifiedDifference().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert any("71.4 % in their make-up of them, which is not undone" in warning for warning in found.warnings)


def test_equal_values_that_are_no_binary_fractions_have_no_spread() -> None:
    values = np.full(40, 0.1)
    centred = float(((values - values.mean()) ** 2).sum()) + 1e-33  # as summing leaves it
    assert mean_difference([40, 40], [0.1, 0.1], [centred, centred]) is None
