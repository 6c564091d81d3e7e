from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, Joint, Moments, NotEnoughData, Scale
from pilot.analysis.arrays import evidence_of
from pilot.analysis.compliance import complier_effect
from pilot.analysis.contract import Analysis
from pilot.analysis.methods.changes import DifferenceInDifferences
from pilot.analysis.methods.compliance import ComplierAverage
from pilot.analysis.methods.welch import StratifiedDifference, Welch
from pilot.errors import InputError

Y = [4, 3, 5, 2, 4, 3, 4, 5, 3, 4, 2, 5, 5, 4, 5, 3, 4, 5, 4, 5, 2, 5, 4, 5]
RECEIVED = [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1]
BEFORE = [3, 3, 4, 3, 4, 2, 4, 4, 3, 3, 2, 4, 4, 3, 4, 3, 3, 4, 4, 4, 3, 4, 3, 5]
ARM = ["control"] * 12 + ["pilot"] * 12
STRATUM = ["a", "b"] * 12
TYPICAL = [0.03, 0.07, 0.18, 0.42, 0.30]
POWER_178 = 0.80580683120221


def evidence(*, strata: bool = False, value: list[int] = Y, **covariates: list[int]) -> Evidence:
    return evidence_of(
        "csat",
        Scale.RATING,
        ("control", "pilot"),
        arm=ARM,
        value=value,
        stratum=STRATUM if strata else None,
        covariates=covariates,
    )


def compared(analysis: Analysis, found_in: Evidence) -> Comparison:
    found = analysis.compare(found_in, "pilot")
    assert isinstance(found, Comparison)
    return found


def test_the_delta_method_is_two_stage_least_squares() -> None:
    # R 4.2.2, estimatr 1.0.6: iv_robust(y ~ received | arm, se_type = "HC2"): 1.0 (0.55829052623908)
    found = compared(ComplierAverage(interval="delta"), evidence(received=RECEIVED))
    assert (found.estimate, found.standard_error) == pytest.approx((1.0, 0.55829052623908), rel=1e-11)


def test_fieller_holds_the_effects_that_welch_does_not_refute() -> None:
    # R 4.2.2: uniroot(function(b) t.test((y - b * received) ~ arm)$p.value - 0.05): -0.89688510320792, 2.1392783936553;
    # t.test(y ~ arm)$p.value 0.17561140094859; t.test(received ~ arm)$statistic^2 11.468085106383
    found = compared(ComplierAverage(), evidence(received=RECEIVED))
    assert (found.low, found.high) == pytest.approx((-0.89688510320792, 2.1392783936553), rel=1e-9)
    assert found.p_value == pytest.approx(0.17561140094859, rel=1e-10)
    assert found.details["F of the first stage"] == pytest.approx(11.468085106383, rel=1e-10)
    assert found.details["share handled by the pilot channel in pilot"] == pytest.approx(9 / 12)
    assert found.details["share handled by the pilot channel in control"] == pytest.approx(2 / 12)


def test_the_difference_by_assignment_stands_beside_it() -> None:
    found, plain = compared(ComplierAverage(), evidence(received=RECEIVED)), compared(Welch(), evidence())
    assert found.details["difference by assignment"] == pytest.approx(plain.estimate)
    assert (found.details["low by assignment"], found.details["high by assignment"]) == pytest.approx(
        (plain.low, plain.high)
    )
    assert "58.3 % of all; over all assigned customers csat is 0.58 higher" in found.sentence


def test_with_full_compliance_it_is_the_difference_by_assignment() -> None:
    found = compared(ComplierAverage(), evidence(received=[0] * 12 + [1] * 12))
    plain = compared(Welch(), evidence())
    assert (found.estimate, found.low, found.high) == pytest.approx((plain.estimate, plain.low, plain.high), rel=1e-9)
    assert found.details["F of the first stage"] is None


def test_strata_are_weighted_above_and_below_the_line() -> None:
    found = compared(ComplierAverage(), evidence(strata=True, received=RECEIVED))
    plain = compared(StratifiedDifference(), evidence(strata=True))
    shares = compared(StratifiedDifference(), evidence(strata=True, value=RECEIVED))
    assert found.estimate == pytest.approx((plain.estimate or 0) / (shares.estimate or 1))


def test_a_weak_first_stage_is_warned_of_and_a_hopeless_one_has_a_reason() -> None:
    weak = compared(ComplierAverage(), evidence(received=[0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, *RECEIVED[12:]]))
    assert any("hardly known" in warning for warning in weak.warnings)
    for received, reason in (
        ([0, 0, 1] * 4 + [0, 1, 0] * 3 + [0, 1, 1], "has no bounds"),
        ([0, 0, 1] * 8, "moved nobody towards it"),
        (RECEIVED[::-1], "moved nobody towards it"),
    ):
        found = ComplierAverage().compare(evidence(received=received), "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason


def test_what_was_received_is_yes_or_no() -> None:
    with pytest.raises(InputError, match="other values than 0 and 1"):
        ComplierAverage().compare(evidence(received=[2 * value for value in RECEIVED]), "pilot")
    with pytest.raises(InputError, match="not clear which covariate"):
        ComplierAverage().compare(evidence(received=RECEIVED, before=BEFORE), "pilot")
    found = compared(ComplierAverage(received="received"), evidence(before=BEFORE, received=RECEIVED))
    assert found.estimate == pytest.approx(1.0)


def test_equal_answers_leave_nothing() -> None:
    found = ComplierAverage().compare(evidence(value=[4] * 24, received=RECEIVED), "pilot")
    assert isinstance(found, NotEnoughData)
    assert "no spread" in found.reason


def test_the_difference_of_changes_equals_r() -> None:
    # R 4.2.2: t.test((y - before) ~ arm): 0.1666667, stderr 0.27293762931291, df 22, p 0.54769517591084,
    # interval -0.39937133198294 0.73270466531628; and estimatr 1.0.6: lm_robust(v ~ post * arm, clusters = customer,
    # se_type = "CR0") gives post:arm 0.1666667 with 0.27293762931291 after the factor sqrt(12 / 11) of each arm's n - 1
    found = compared(DifferenceInDifferences(), evidence(before=BEFORE))
    assert (found.estimate, found.standard_error, found.df, found.p_value, found.low, found.high) == pytest.approx(
        (1 / 6, 0.27293762931291, 22, 0.54769517591084, -0.39937133198294, 0.73270466531628), rel=1e-10
    )
    assert found.details["mean before in pilot"] == pytest.approx(np.mean(BEFORE[12:]))
    assert found.outcome == "csat"
    assert found.sentence.startswith("the change of csat since before is 0.17 higher in pilot than in control")


def test_card_and_krueger_as_printed() -> None:
    # Card and Krueger 1994, American Economic Review 84:772, table 3, row 4 (stores with data in both waves): change in
    # full-time equivalents -2.28 (1.25) in Pennsylvania, 0.47 (0.48) in New Jersey; difference 2.75 (1.34).
    n, change, error = np.array([[75], [309]]), np.array([[-2.28], [0.47]]), np.array([[1.25], [0.48]])
    squares = error**2 * n * (n - 1)
    mean = np.stack([change, np.zeros((2, 1))], axis=2)
    cross = np.zeros((2, 1, 2, 2))
    cross[..., 0, 0] = squares
    found = DifferenceInDifferences().compare(
        Evidence(
            "employment",
            Scale.NUMBER,
            True,
            ("Pennsylvania", "New Jersey"),
            moments=Moments(n, change, squares),
            joint=Joint(("employment", "before"), n, mean, cross),
        ),
        "New Jersey",
    )
    assert isinstance(found, Comparison)
    assert (round(found.estimate or 0, 2), round(found.standard_error or 0, 2)) == (2.75, 1.34)


def test_strata_of_changes_and_different_starts() -> None:
    changes = [after - before for after, before in zip(Y, BEFORE, strict=True)]
    plain = evidence_of("csat", Scale.NUMBER, ("control", "pilot"), arm=ARM, value=changes, stratum=STRATUM)
    one = compared(DifferenceInDifferences(), evidence(strata=True, before=BEFORE))
    two = compared(StratifiedDifference(), plain)
    assert (one.estimate, one.low, one.high) == pytest.approx((two.estimate, two.low, two.high), rel=1e-10)
    assert any("standard deviations apart" in warning for warning in one.warnings)


def test_changes_that_are_all_equal_leave_nothing() -> None:
    found = DifferenceInDifferences().compare(evidence(before=[value - 1 for value in Y]), "pilot")
    assert isinstance(found, NotEnoughData)
    assert found.reason.startswith("of the changes since before: all answers of each arm are equal")


def test_power_of_a_difference_of_changes() -> None:
    # R 4.2.2: power.t.test(n = 64, delta = 0.5, strict = TRUE)$power 0.80145955792233
    assert DifferenceInDifferences().power(Expected(sd=1.0), 0.5, (64, 64)) == pytest.approx(0.80145955792233, abs=1e-9)


@pytest.mark.parametrize(
    "analysis",
    [
        ComplierAverage(received="received"),
        ComplierAverage("received", "delta"),
        DifferenceInDifferences(before="before"),
    ],
    ids=lambda part: f"{part.key} {part.settings().get('interval', '')}",
)
@given(seed=st.integers(0, 10_000), shift=st.integers(-3, 9))
@settings(max_examples=15, deadline=None)
def test_order_and_constants_do_not_matter(analysis: Analysis, seed: int, shift: int) -> None:
    order = np.random.default_rng(seed).permutation(24)
    moved = evidence_of(
        "csat",
        Scale.NUMBER,
        ("control", "pilot"),
        arm=[ARM[k] for k in order],
        value=[Y[k] + shift for k in order],
        stratum=["layer " + STRATUM[k] for k in order],
        covariates={"received": [RECEIVED[k] for k in order], "before": [BEFORE[k] for k in order]},
    )
    first = compared(analysis, evidence(strata=True, received=RECEIVED, before=BEFORE))
    second = compared(analysis, moved)
    assert (second.estimate, second.low, second.high) == pytest.approx(
        (first.estimate, first.low, first.high), abs=1e-8
    )


def complier_rates(n: int, moved: float, repeats: int, *, delta: bool = False) -> tuple[float, float]:
    """Shares of intervals that exclude the truth, and of unbounded ones; the willing are half a point happier anyway."""
    rng = np.random.default_rng(n)
    missed = unbounded = 0
    for _ in range(repeats):
        willing = rng.random((2, n)) < moved
        received = willing * np.array([[0], [1]])
        value = rng.choice(5, size=(2, n), p=TYPICAL) + 0.5 * willing + 0.3 * received
        table = np.stack([value, received], axis=2)[:, None]
        mean = table.mean(axis=2)
        gap = table - mean[:, :, None]
        joint = Joint(("y", "d"), np.full((2, 1), n), mean, np.einsum("asij,asik->asjk", gap, gap))
        found = complier_effect(joint, [1.0], delta=delta)
        unbounded += found is None
        missed += found is not None and not found.ratio.low <= 0.3 <= found.ratio.high
    return missed / repeats, unbounded / repeats


def test_coverage_of_fieller() -> None:
    missed, unbounded = complier_rates(60, 0.6, 600)
    assert 0.02 < missed < 0.08
    assert unbounded == 0


@pytest.mark.slow
@pytest.mark.parametrize(("n", "moved"), [(30, 0.8), (100, 0.5), (1000, 0.3)])
def test_coverage_of_the_effect_on_compliers(n: int, moved: float) -> None:
    for delta in (False, True):
        missed, unbounded = complier_rates(n, moved, 4000, delta=delta)
        assert abs(missed - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / 4000) + 0.003
        assert unbounded == 0


def test_power_is_that_of_the_difference_by_assignment() -> None:
    # R 4.2.2: power.t.test(n = 178, delta = 0.5 * 0.6, strict = TRUE)$power 0.80580683120221
    expected = Expected(sd=1.0, compliers=0.6)
    assert ComplierAverage().power(expected, 0.5, (178, 178)) == pytest.approx(POWER_178, abs=1e-8)
    # 0.6 of the effect takes 1 / 0.36 times as many, but for the t law's share in small numbers
    one, all_come = (ComplierAverage().sample_size(Expected(sd=1.0, compliers=c), 0.5)[0] for c in (0.6, 1.0))
    assert one / all_come == pytest.approx(1 / 0.36, rel=0.02)
    assert ComplierAverage().mde(expected, (178, 178), power=POWER_178, sign=-1) == pytest.approx(-0.5, abs=1e-6)
    with pytest.raises(InputError, match="share of compliers is needed"):
        ComplierAverage().power(Expected(sd=1.0), 0.5, (178, 178))
    with pytest.raises(InputError, match="compliers"):
        Expected(compliers=0.0)


@pytest.mark.parametrize("interval", ["fieller", "delta"])
def test_simulated_power_of_the_effect_on_compliers(interval: Literal["fieller", "delta"]) -> None:
    rng, n, rounds, shown = np.random.default_rng(17), 100, 600, 0
    for _ in range(rounds):
        received = (rng.random((2, n)) < 0.7) * np.array([[0], [1]])
        table = np.stack([rng.normal(size=(2, n)) + 0.6 * received, received], axis=2)[:, None]
        mean = table.mean(axis=2)
        gap = table - mean[:, :, None]
        joint = Joint(("y", "d"), np.full((2, 1), n), mean, np.einsum("asij,asik->asjk", gap, gap))
        found = complier_effect(joint, [1.0], delta=interval == "delta")
        shown += found is not None and not found.ratio.low <= 0 <= found.ratio.high
    # the pilot arm's spread is wider by that of who came along: 1 + 0.6^2 x 0.7 x 0.3
    expected = Expected(sd=1.0, sd_pilot=math.sqrt(1 + 0.36 * 0.21), compliers=0.7)
    power = ComplierAverage(interval=interval).power(expected, 0.6, (n, n))
    assert abs(shown / rounds - power) < 4 * math.sqrt(power * (1 - power) / rounds)
