from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.arrays import evidence_of
from pilot.analysis.balance import kolmogorov_smirnov, mahalanobis, response_balance, standardised
from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.methods.balance import Balance
from pilot.analysis.moments import Joint
from pilot.errors import InputError

AGE = [5.0, 7, 3, 9, 12, 4, 6, 8, 2, 11, 1, 13]
ORDERS = [1.0, 4, 2, 2, 7, 5, 3, 3, 6, 8, 1, 2]
ARM = [0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
STRATUM = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def twelve(*, strata: bool = False, **covariates: list[float]) -> Evidence:
    return evidence_of(
        "csat",
        Scale.RATING,
        ("control", "desk"),
        arm=[("control", "desk")[a] for a in ARM],
        value=[1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 3, 4],
        stratum=[f"s{s}" for s in STRATUM] if strata else None,
        covariates=covariates or {"age": AGE, "orders": ORDERS},
    )


def compared(analysis: Balance, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "desk")
    assert isinstance(found, Comparison)
    return found


def test_the_standardised_difference_is_that_of_the_tables() -> None:
    # Austin 2009: (m1 - m0) / sqrt((s1^2 + s0^2) / 2). Means 70 and 66, standard deviations 8 and 10: 4 / sqrt(82)
    found = standardised([100, 50], [66, 70], [99 * 100.0, 49 * 64.0])
    assert found is not None
    assert found.difference == pytest.approx(4 / math.sqrt(82))
    assert found.variance_ratio == pytest.approx(0.64)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 100 + 1 / 50 + 16 / 82 / 300))
    assert standardised([1, 50], [66, 70], [0.0, 1.0]) is None
    assert standardised([9, 9], [1, 2], [0.0, 0.0]) is None
    assert standardised([9, 9], [1, 1], [0.0, 0.0]) is None
    one = standardised([9, 9], [1, 1], [0.0, 8.0])
    assert one is not None
    assert (one.difference, one.variance_ratio) == (0, None)


def sums(x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Sum of the pilot arm less what its number would have on average, over strata."""
    stratum = np.array(STRATUM)
    return sum(
        x[(stratum == s) & (arm == 1)].sum(axis=0) - (arm[stratum == s] == 1).sum() * x[stratum == s].mean(axis=0)
        for s in (0, 1)
    )


def test_the_distance_is_that_of_all_assignments() -> None:
    x, stratum = np.column_stack([AGE, ORDERS]), np.array(STRATUM)
    arm = np.array(ARM)
    every = []
    for first in itertools.combinations(range(6), 3):
        for second in itertools.combinations(range(6, 12), 3):
            shuffled = np.zeros(12, dtype=int)
            shuffled[[*first, *second]] = 1
            every.append(sums(x, shuffled))
    covariance = np.cov(np.array(every).T, bias=True)
    moved = sums(x, arm)
    expected = moved @ np.linalg.solve(covariance, moved)
    assert (arm[stratum == 0].sum(), arm[stratum == 1].sum()) == (3, 3)
    joint = twelve(strata=True).joint
    assert joint is not None
    found = mahalanobis(joint.n, joint.mean[..., 1:], joint.cross[..., 1:, 1:])
    assert found is not None
    assert (found.distance, found.df) == (pytest.approx(expected, rel=1e-10), 2)
    assert found.log_p == pytest.approx(-expected / 2)  # two degrees of freedom: exp(-x / 2)


def test_columns_that_repeat_each_other_count_once() -> None:
    double = compared(Balance(), twelve(age=AGE, months=[12 * a for a in AGE]))
    single = compared(Balance(), twelve(age=AGE))
    assert (double.statistic, double.df) == (pytest.approx(single.statistic), 1)


def test_the_largest_difference_is_named_with_an_interval_for_all() -> None:
    found = compared(Balance(), twelve())
    age = [np.array(AGE)[np.array(ARM) == row] for row in (0, 1)]
    difference = (age[1].mean() - age[0].mean()) / math.sqrt((age[0].var(ddof=1) + age[1].var(ddof=1)) / 2)
    assert found.measure == "standardised difference of age"
    assert found.estimate == pytest.approx(difference)
    assert found.high == pytest.approx(
        difference + 2.241403 * (found.standard_error or 0), abs=1e-5
    )  # qnorm(1 - .025 / 2)
    assert found.arms[1].mean == pytest.approx(age[1].mean())
    assert [check.status for check in found.checks if check.name.startswith("balance")] == ["fail", "fail"]
    assert found.passed is None
    only = compared(Balance(covariates=("orders",)), twelve())
    assert only.measure == "standardised difference of orders"


@given(counts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=4, max_size=30), swap=st.booleans())
@settings(max_examples=30, deadline=None)
def test_swapping_arms_and_rescaling_columns(counts: list[tuple[int, int]], swap: bool) -> None:
    arms = [("control", "desk")[a] for a, _ in counts]
    values = np.array([float(v) for _, v in counts])
    other = [("desk", "control")[a] for a, _ in counts] if swap else arms
    both = [
        Balance().compare(
            evidence_of("y", Scale.MONEY, ("control", "desk"), arm=own, value=values, covariates={"x": x}), "desk"
        )
        for own, x in ((arms, values), (other, 3 * values + 7))
    ]
    assert type(both[0]) is type(both[1])
    if isinstance(both[0], NotEnoughData) or isinstance(both[1], NotEnoughData):
        return
    sign = -1 if swap else 1
    assert both[1].estimate == pytest.approx(sign * (both[0].estimate or 0), abs=1e-9)
    assert both[1].statistic == pytest.approx(both[0].statistic, abs=1e-7)


def test_bands_and_spreads_are_warned_of() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=400)
    base = (base - base.mean()) / base.std(ddof=1)
    covariates = {"even": np.tile(base, 2), "near": np.r_[base, base + 0.2], "far": np.r_[base, base + 0.4], "wide": np.r_[base, 2 * base]}  # fmt: skip
    evidence = evidence_of("y", Scale.MONEY, ("control", "desk"), arm=["control"] * 400 + ["desk"] * 400, value=np.tile(base, 2), covariates=covariates)  # fmt: skip
    found = compared(Balance(), evidence)
    status = {check.name: check.status for check in found.checks}
    assert status["balance of even"] == "pass"
    assert status["balance of near"] == "warn"
    assert status["balance of far"] == "fail"
    assert status["variance ratio of wide"] == "warn"
    assert any(
        "far differs by 0.40 standard deviations (chance alone: up to 0.14" in warning for warning in found.warnings
    )


def test_what_cannot_be_compared_says_so() -> None:
    constant = Balance().compare(twelve(flag=[1.0] * 6 + [1.0] * 6), "desk")
    assert isinstance(constant, NotEnoughData)
    assert constant.reason == "flag is 1 for all customers, so its standardised difference is undefined"
    beside = compared(Balance(), twelve(flag=[1.0] * 12, age=AGE))
    assert beside.measure == "standardised difference of age"
    assert beside.details["difference of flag"] is None
    assert "flag is 1 for all customers, so its standardised difference is undefined." in beside.warnings
    apart = Balance().compare(twelve(flag=[float(a) for a in ARM]), "desk")
    assert isinstance(apart, NotEnoughData)
    assert apart.reason == "flag is 0 for all customers of control and 1 for all of desk: no spread to compare by"
    evidence = twelve()
    assert evidence.joint is not None
    empty = replace(evidence.joint, n=evidence.joint.n * [[1], [0]])
    nobody = Balance().compare(replace(evidence, joint=empty), "desk")
    assert isinstance(nobody, NotEnoughData)
    assert nobody.reason.startswith("desk has fewer than two customers")
    with pytest.raises(InputError, match="needs a covariate"):
        Balance().compare(replace(evidence, joint=None), "desk")
    with pytest.raises(InputError, match="no covariate 'gone'"):
        Balance(covariates=("gone",)).compare(evidence, "desk")


def test_kolmogorov_smirnov_is_that_of_r() -> None:
    # R 4.2.2: ks.test(c(.61,.29,.06,.59,-1.73,-.74,.51,-.56), c(.39,1.64,.05,-.06,.64,-.82,.37,1.77,1.09,-1.28,2.36,1.31))
    found = kolmogorov_smirnov(
        [0.61, 0.29, 0.06, 0.59, -1.73, -0.74, 0.51, -0.56],
        [0.39, 1.64, 0.05, -0.06, 0.64, -0.82, 0.37, 1.77, 1.09, -1.28, 2.36, 1.31],
    )
    assert found.gap == pytest.approx(0.5)
    assert found.p_value == pytest.approx(KS_P, rel=1e-9)
    with pytest.raises(InputError, match="empty"):
        kolmogorov_smirnov([], [1.0])


KS_P = 0.149559418909


def test_response_moves_the_arms_apart() -> None:
    # control: everybody 0 or 2 and half of each answers; pilot arm: only the twos answer
    assigned = Joint(("x",), np.array([[100], [100]]), np.ones((2, 1, 1)), np.full((2, 1, 1, 1), 100.0))
    answered = Joint(("x",), np.array([[50], [60]]), np.array([[[1.0]], [[1.5]]]), np.array([[[[50.0]]], [[[45.0]]]]))
    found = response_balance(assigned, answered)[0]
    assert (found.assigned, found.control) == (0, 0)
    assert found.pilot == pytest.approx(0.5 / math.sqrt(100 / 99))
    assert found.answered == pytest.approx(0.5 / math.sqrt((50 / 49 + 45 / 59) / 2))
    with pytest.raises(InputError, match="different columns"):
        response_balance(assigned, replace(answered, columns=("y",)))


def test_the_omnibus_p_is_right_under_random_assignment() -> None:
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.lognormal(size=60), rng.integers(1, 6, 60), rng.normal(size=60)])
    stratum, alarms, rounds = np.repeat([0, 1, 2], 20), 0, 1500
    for _ in range(rounds):
        arm = np.concatenate([rng.permutation(np.repeat([0, 1], 10)) for _ in range(3)])
        cells = [[x[(arm == row) & (stratum == s)] for s in range(3)] for row in (0, 1)]
        mean = np.array([[cell.mean(axis=0) for cell in own] for own in cells])
        cross = np.array([[9 * np.cov(cell.T) for cell in own] for own in cells])
        found = mahalanobis(np.full((2, 3), 10), mean, cross)
        assert found is not None
        alarms += found.log_p < math.log(0.05)
    assert abs(alarms / rounds - 0.05) < 4 * math.sqrt(0.05 * 0.95 / rounds) + 0.003
