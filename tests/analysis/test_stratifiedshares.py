from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, NotEnoughData, Scale
from pilot.analysis.methods.shares import MiettinenNurminen
from pilot.analysis.methods.stratifiedshares import MantelHaenszel, StratifiedMiettinenNurminen
from pilot.analysis.scores import difference_interval, difference_z
from pilot.analysis.stratifiedshares import (
    common_difference,
    common_odds_ratio,
    common_ratio,
    mantel_haenszel_z,
    odds_homogeneity,
)

YES = np.array([[4, 17, 15, 22], [25, 34, 28, 52]])
N = np.array([[17, 25, 25, 33], [33, 50, 50, 67]])
WEIGHTS = N.prod(axis=0) / N.sum(axis=0)


def evidence(yes: np.ndarray, n: np.ndarray, **more: object) -> Evidence:
    counts = np.stack([n - yes, yes], axis=2)
    strata = [f"s{k}" for k in range(yes.shape[1])]
    return Evidence.from_counts("kept", Scale.BINARY, ("control", "pilot"), (0, 1), counts, strata=strata, **more)  # type: ignore[arg-type]


# R 4.2.2, metafor 3.8-1: rma.mh(ai, n1i, ci, n2i, measure = "RD" / "RR" / "OR", correct = FALSE)
def test_common_effects_as_in_metafor() -> None:
    difference, ratio, odds = common_difference(YES, N), common_ratio(YES, N), common_odds_ratio(YES, N)
    assert difference is not None
    assert ratio is not None
    assert odds is not None
    assert (difference.estimate, difference.standard_error) == pytest.approx(
        (0.1142057102855, 0.0594229768654), rel=1e-10
    )
    assert difference.interval() == pytest.approx((-0.0022611842248, 0.2306726047958), rel=1e-9)
    assert (math.log(ratio.estimate), ratio.standard_error) == pytest.approx(
        (0.1795336779423, 0.0973917005664), rel=1e-10
    )
    assert (math.log(odds.estimate), odds.standard_error) == pytest.approx(
        (0.4923836302762, 0.2528931060800), rel=1e-10
    )
    # mantelhaen.test(correct = FALSE)
    assert odds.interval() == pytest.approx((0.996727616378, 2.685978275802), rel=1e-10)


def test_cochran_mantel_haenszel_without_correction_and_homogeneity() -> None:
    assert mantel_haenszel_z(YES, N) ** 2 == pytest.approx(3.891766017, rel=1e-9)
    alike = odds_homogeneity(YES, N)
    assert alike is not None
    # rma.mh: BD 10.0552830236, p 0.0181; TA 10.0509335204, p 0.0181381067601
    assert (alike.breslow_day, alike.tarone) == pytest.approx((10.0552830236358, 10.0509335204319), rel=1e-11)
    assert (alike.df, alike.p_value) == (3, pytest.approx(0.0181381067601, rel=1e-10))


# R 4.2.2: uniroot() on the statistic, restricted shares by uniroot() on the slope of the likelihood.
def test_stratified_score_interval_agrees_with_an_independent_search() -> None:
    assert difference_interval(YES, N, weights=WEIGHTS) == pytest.approx(
        (0.000723190454635, 0.229765284814688), abs=1e-11
    )
    assert difference_interval(YES, N, weights=[500, 100, 200, 300]) == pytest.approx(
        (0.109317413499, 0.401570062669), abs=1e-11
    )
    assert difference_z(YES, N, weights=[500, 100, 200, 300]) ** 2 == pytest.approx(11.588840878291, rel=1e-10)


tables = st.integers(1, 5).flatmap(
    lambda strata: st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1)),
        min_size=strata,
        max_size=strata,
    )
)


@given(tables)
@settings(max_examples=30, deadline=None)
def test_score_test_with_mantel_haenszel_weights_is_cochran_mantel_haenszel(
    rows: list[tuple[int, int, float, float]],
) -> None:
    n = np.array([[row[0] for row in rows], [row[1] for row in rows]])
    yes = np.rint(n * np.array([[row[2] for row in rows], [row[3] for row in rows]]))
    assert difference_z(yes, n, weights=n.prod(axis=0) / n.sum(axis=0)) == pytest.approx(
        mantel_haenszel_z(yes, n), abs=1e-7
    )


@given(tables)
@settings(max_examples=30, deadline=None)
def test_swapped_arms_and_relabelled_strata(rows: list[tuple[int, int, float, float]]) -> None:
    n = np.array([[row[0] for row in rows], [row[1] for row in rows]])
    yes = np.rint(n * np.array([[row[2] for row in rows], [row[3] for row in rows]])).astype(int)
    one, two = common_difference(yes, n), common_difference(yes[::-1, ::-1], n[::-1, ::-1])
    assert (one is None) == (two is None)
    if one and two:
        assert (two.estimate, two.standard_error) == pytest.approx((-one.estimate, one.standard_error), abs=1e-12)
    for ratio in (common_ratio, common_odds_ratio):
        one, two = ratio(yes, n), ratio(yes[::-1, ::-1], n[::-1, ::-1])
        if one and two:
            assert (two.estimate, two.standard_error) == pytest.approx((1 / one.estimate, one.standard_error))


def compared(analysis: MantelHaenszel | StratifiedMiettinenNurminen, given: Evidence) -> Comparison:
    found = analysis.compare(given, "pilot")
    assert isinstance(found, Comparison)
    return found


def test_measures_are_said_in_their_own_words() -> None:
    data = evidence(YES, N)
    assert compared(MantelHaenszel(), data).sentence == (
        "kept is 11.4 percentage points higher in pilot than in control (95 % interval -0.2 to 23.1; "
        "200 and 100 customers); the interval includes no difference."
    )
    assert compared(MantelHaenszel("odds"), data).sentence == (
        "the common odds ratio of kept is 1.64 in pilot against control (95 % interval 1.00 to 2.69; "
        "200 and 100 customers); the interval includes no difference."
    )
    control, pilot = compared(MantelHaenszel(), data).arms
    assert (pilot.mean or 0) - (control.mean or 0) == pytest.approx(0.1142057102855)
    assert any("an average of unlike ones" in warning for warning in compared(MantelHaenszel("ratio"), data).warnings)


def test_population_weights_answer_another_question() -> None:
    data = evidence(YES, N, population=[500, 100, 200, 300])
    by_population = compared(StratifiedMiettinenNurminen("population"), data)
    assert (by_population.low, by_population.high) == pytest.approx((0.109317413499, 0.401570062669), abs=1e-10)
    assert "4 strata weighted by population" in by_population.method
    assert compared(StratifiedMiettinenNurminen(), data).low == pytest.approx(0.000723190454635, abs=1e-10)


def test_one_stratum_is_miettinen_nurminen() -> None:
    data = evidence(YES[:, :1], N[:, :1])
    plain = MiettinenNurminen().compare(data, "pilot")
    assert isinstance(plain, Comparison)
    for weights in ("mantel-haenszel", "population"):
        one = compared(StratifiedMiettinenNurminen(weights), data)
        assert (one.estimate, one.low, one.high, one.log_p) == pytest.approx(
            (plain.estimate, plain.low, plain.high, plain.log_p)
        )


def test_strata_without_an_arm_are_counted_and_named() -> None:
    yes, n = np.column_stack([YES, [3, 0]]), np.column_stack([N, [9, 0]])
    for analysis in (MantelHaenszel(), StratifiedMiettinenNurminen(), StratifiedMiettinenNurminen("population")):
        found, before = compared(analysis, evidence(yes, n)), compared(analysis, evidence(YES, N))
        assert any("one of the arms were left out: s4 (9 customers, " in warning for warning in found.warnings)
        assert found.estimate == pytest.approx(before.estimate)


def test_few_large_and_many_small_strata_keep_the_level() -> None:
    """Coverage of Sato's and of the score interval in 12 strata of about 8, and in 2 of 50 per arm."""
    random = np.random.default_rng(5)
    for strata, size in ((12, 4), (2, 50)):
        n = np.full((2, strata), size)
        base = np.linspace(0.5, 0.8, strata)
        covered = np.zeros(2)
        for _ in range(1500):
            yes = random.binomial(n, np.stack([base, base + 0.1]))
            sato = common_difference(yes, n)
            assert sato is not None
            low, high = sato.interval()
            score = abs(difference_z(yes, n, 0.1, weights=np.ones(strata)))
            covered += [low <= 0.1 <= high, score <= 1.959964]
        assert (np.abs(covered / 1500 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1500) + 0.003).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [30, 100, 1000])
def test_false_alarms_over_four_strata(size: int) -> None:
    random = np.random.default_rng(size)
    base = np.array([0.3, 0.7, 0.85, 0.92])[None, :]
    n = np.full((2, 4), size // 4)
    alarms = 0
    for _ in range(10_000):
        alarms += abs(mantel_haenszel_z(random.binomial(n, np.repeat(base, 2, axis=0)), n)) > 1.959964
    assert abs(alarms / 10_000 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 10_000) + 0.003


@pytest.mark.parametrize(
    ("analysis", "yes", "n", "reason"),
    [
        (MantelHaenszel(), [[0, 5], [0, 7]], [[4, 5], [6, 7]], "gave the same answer"),
        (MantelHaenszel("odds"), [[0, 0], [2, 3]], [[4, 5], [6, 7]], "too few customers said yes or no"),
        (MantelHaenszel(), [[3, 0], [0, 4]], [[5, 0], [0, 8]], "no stratum has both arms"),
        (StratifiedMiettinenNurminen(), [[3, 0], [0, 4]], [[5, 0], [0, 8]], "no stratum has both arms"),
        (StratifiedMiettinenNurminen("population"), [[0, 0], [1, 4]], [[0, 0], [5, 8]], "control has no customers"),
    ],
)
def test_too_little_is_an_outcome_with_a_reason(
    analysis: MantelHaenszel, yes: list[list[int]], n: list[list[int]], reason: str
) -> None:
    found = analysis.compare(evidence(np.array(yes), np.array(n)), "pilot")
    assert isinstance(found, NotEnoughData)
    assert reason in found.reason


def test_a_share_almost_of_all_keeps_its_digits() -> None:
    # Two roots of the cubic lie close together here; R 4.2.2: mantelhaen.test(..., correct = FALSE) has X^2 = 19.00000000.
    n, yes = np.array([[14, 19], [27, 1]]), np.array([[14.0, 19.0], [27.0, 0.0]])
    z = difference_z(yes, n, weights=n.prod(axis=0) / n.sum(axis=0))
    assert z == pytest.approx(mantel_haenszel_z(yes, n), rel=1e-12)
    assert z == pytest.approx(-math.sqrt(19), rel=1e-12)
