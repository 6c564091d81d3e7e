from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pilot.analysis import Comparison, Evidence, Moments, NotEnoughData, SampleRatio, Scale
from pilot.analysis.methods.sampleratio import against_assigned, against_share
from pilot.errors import InputError


def sizes(n: list[list[int]], assigned: list[list[int]] | None = None) -> Evidence:
    array = np.array(n)
    return Evidence(
        "answered",
        Scale.RATING,
        True,
        ("control", "pilot"),
        tuple(f"s{k}" for k in range(array.shape[1])),
        assigned=None if assigned is None else np.array(assigned),
        moments=Moments(array, np.zeros(array.shape), np.zeros(array.shape)),
    )


def compared(evidence: Evidence, **settings: float) -> Comparison:
    found = SampleRatio(**settings).compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    return found


def test_planned_share_is_the_binomial_law_and_pearson_s_chi_square() -> None:
    found = against_share(88, 112, 0.5)
    assert found.chi_square == pytest.approx(stats.chisquare([88, 112]).statistic)
    assert math.exp(found.log_p) == pytest.approx(stats.binomtest(88, 200, 0.5).pvalue, rel=1e-10)
    uneven = against_share(30, 170, 0.25)
    assert uneven.chi_square == pytest.approx(stats.chisquare([30, 170], [50, 150]).statistic)
    assert math.exp(uneven.log_p) == pytest.approx(2 * stats.binom.cdf(30, 200, 0.25), rel=1e-10)


def test_assigned_numbers_are_fisher_s_table() -> None:
    found = against_assigned(np.array([[61], [45]]), np.array([[80], [80]]))
    tail = stats.hypergeom(160, 106, 80).cdf(45)
    assert math.exp(found.log_p) == pytest.approx(2 * tail, rel=1e-9)
    # Mantel and Haenszel's chi-square of one table is (N - 1) / N times Pearson's.
    pearson = stats.chi2_contingency([[61, 19], [45, 35]], correction=False).statistic
    assert found.chi_square == pytest.approx(pearson * 159 / 160)


def test_losses_in_one_arm_alone_sound_the_alarm() -> None:
    found = compared(sizes([[800], [760]], [[800], [800]]))
    assert found.passed is False
    assert found.estimate is None
    assert "760 of 800 assigned customers of pilot and 800 of 800 of control" in found.sentence
    assert "find the cause" in found.sentence
    assert found.warnings


def test_equal_losses_do_not() -> None:
    found = compared(sizes([[310], [305]], [[800], [800]]))
    assert found.passed is True
    assert found.warnings == ()


def test_opposite_losses_in_two_strata_are_seen() -> None:
    found = compared(sizes([[90, 50], [50, 90]], [[100, 100], [100, 100]]))
    assert found.p_value == 1  # overall they cancel
    assert [check.status for check in found.checks] == ["pass", "fail", "fail"]
    assert found.passed is False


def test_a_step_of_the_flow_counts_its_yes() -> None:
    assigned = [[800], [800]]
    step = Evidence.from_counts(
        "notified", Scale.BINARY, ("control", "pilot"), (0, 1), [[[0, 800]], [[40, 760]]], assigned=assigned
    )
    assert compared(step).log_p == pytest.approx(compared(sizes([[800], [760]], assigned)).log_p)


def test_without_assigned_numbers_equal_arms_are_expected_unless_said_otherwise() -> None:
    assert compared(sizes([[100], [210]])).passed is False
    assert compared(sizes([[100], [210]]), share=2 / 3).passed is True
    assert compared(sizes([[100], [112]]), alarm=0.4).passed is True


def test_type_one_error_keeps_the_alarm_level() -> None:
    # All outcomes of 200 customers in equal arms, each with its chance.
    alarms = sum(
        stats.binom.pmf(k, 200, 0.5) for k in range(201) if against_share(k, 200 - k, 0.5).log_p < math.log(0.01)
    )
    assert 0.005 < alarms <= 0.01


def test_nobody_is_not_enough() -> None:
    assert isinstance(SampleRatio().compare(sizes([[0], [0]]), "pilot"), NotEnoughData)
    found = SampleRatio().compare(sizes([[0], [3]], [[0], [5]]), "pilot")
    assert found == NotEnoughData("sample-ratio", "answered", "pilot", "nobody was assigned to control")


def test_more_reached_than_assigned_is_refused() -> None:
    with pytest.raises(InputError, match="more units were reached"):
        SampleRatio().compare(sizes([[9], [9]], [[8], [9]]), "pilot")


def test_unlike_assigned_sizes_are_never_called_chance() -> None:
    found = compared(sizes([[400], [600]], [[400], [600]]))
    assert found.passed is True
    assert found.sentence.endswith(
        "no customer was lost; the assigned sizes themselves were not tested, set share to test them."
    )
    assert compared(sizes([[400], [600]], [[400], [600]]), share=0.5).passed is False


def test_losses_are_what_assigned_numbers_test() -> None:
    alike = compared(sizes([[310], [305]], [[800], [800]]))
    assert "as many were lost in both arms as chance explains (exact p 0.8" in alike.sentence
    unlike = compared(sizes([[800], [760]], [[800], [800]]))
    assert "chance alone can hardly explain such losses (exact p " in unlike.sentence


def test_an_alarm_of_strata_alone_names_them() -> None:
    found = compared(sizes([[90, 50], [50, 90]], [[100, 100], [100, 100]]))
    assert "chance alone can hardly explain such losses inside s0 and s1: find the cause" in found.sentence
    found = compared(sizes([[90, 50, 5], [50, 90, 5]]))
    assert "chance alone can hardly explain such sizes inside s0 and s1: find the cause" in found.sentence
