"""What holds for every built-in analysis, whatever the evidence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import (
    Analysis,
    Comparison,
    Evidence,
    ExactPermutation,
    Moments,
    Newcombe,
    NonInferiority,
    NotEnoughData,
    SampleRatio,
    Scale,
    StratifiedDifference,
    Welch,
    exact_permutation,
)
from pilot.analysis.comparison import from_json
from pilot.errors import InputError
from pilot.plugins.builtin.analyses import register_analyses

from .conftest import instance

ARMS = ("control", "pilot", "other")
ANALYSES = (Welch(), StratifiedDifference(), Newcombe(), ExactPermutation(), NonInferiority(margin=0.3), SampleRatio())
EFFECTS = [part for part in ANALYSES if not isinstance(part, SampleRatio)]


@st.composite
def some_evidence(draw: st.DrawFn, scales: tuple[Scale, ...] = (Scale.RATING, Scale.BINARY)) -> Evidence:
    scale = draw(st.sampled_from(scales))
    levels = (0, 1) if scale is Scale.BINARY else (1, 2, 3, 4, 5)
    strata = draw(st.integers(1, 4))
    size = len(ARMS) * strata * len(levels)
    counts = np.array(draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))).reshape(len(ARMS), strata, -1)
    lost = draw(st.none() | st.integers(0, 3))
    return Evidence.from_counts(
        "outcome",
        scale,
        ARMS,
        levels,
        counts,
        strata=[f"s{k}" for k in range(strata)],
        higher_is_better=draw(st.booleans()),
        assigned=None if lost is None else counts.sum(axis=2) + lost,
        population=draw(st.none() | st.just(range(10, 10 + strata)).map(list)),
    )


def numbers(found: Comparison) -> list[float]:
    values = [found.estimate, found.low, found.high, found.standard_error, found.statistic, found.df, found.p_value]
    values += [found.log_p, *(arm.mean for arm in found.arms), *(arm.sd for arm in found.arms)]
    return [value for value in (*values, *(check.value for check in found.checks)) if value is not None]


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
@given(evidence=some_evidence())
@settings(max_examples=60, deadline=None)
def test_gives_finite_numbers_and_a_sentence_or_a_reason(analysis: Analysis, evidence: Evidence) -> None:
    if evidence.scale not in analysis.scales:
        return
    before = evidence.digest()
    found = analysis.compare(evidence, "pilot")
    assert evidence.digest() == before
    assert from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found
    if isinstance(found, NotEnoughData):
        assert found.reason
        return
    assert all(math.isfinite(value) for value in numbers(found))
    assert 0 < (found.p_value or 0) <= 1
    assert found.sentence.endswith(".")
    assert not any(word in found.sentence for word in ("significant", "proven", "no effect", "nan"))
    if found.estimate is not None:
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("analysis", EFFECTS, ids=lambda part: part.key)
@given(evidence=some_evidence())
@settings(max_examples=40, deadline=None)
def test_swapping_arms_mirrors_the_effect(analysis: Analysis, evidence: Evidence) -> None:
    if evidence.scale not in analysis.scales or evidence.counts is None:
        return
    swapped = _with(
        evidence, evidence.counts[[1, 0, 2]], None if evidence.assigned is None else evidence.assigned[[1, 0, 2]]
    )
    one, two = analysis.compare(evidence, "pilot"), analysis.compare(swapped, "pilot")
    if isinstance(one, NotEnoughData) or isinstance(two, NotEnoughData):
        assert type(one) is type(two)
        return
    assert (two.estimate, two.low, two.high) == pytest.approx(
        tuple(-(x or 0.0) for x in (one.estimate, one.high, one.low)), abs=1e-9
    )
    if one.alternative.startswith("two-sided"):
        assert two.log_p == pytest.approx(one.log_p, abs=1e-9)


@pytest.mark.parametrize(
    "analysis",
    [Welch(), StratifiedDifference(), ExactPermutation(), NonInferiority(margin=0.3)],
    ids=lambda part: part.key,
)
@given(evidence=some_evidence((Scale.RATING,)), shift=st.integers(-7, 7))
@settings(max_examples=30, deadline=None)
def test_a_constant_and_the_names_of_strata_do_not_matter(analysis: Analysis, evidence: Evidence, shift: int) -> None:
    assert evidence.counts is not None
    order = list(range(len(evidence.strata)))[::-1]
    other = Evidence.from_counts(
        "outcome",
        Scale.RATING,
        ARMS,
        [level + shift for level in evidence.levels],
        evidence.counts[:, order],
        strata=[f"layer {k}" for k in order],
        higher_is_better=evidence.higher_is_better,
        assigned=None if evidence.assigned is None else evidence.assigned[:, order],
        population=None if evidence.population is None else evidence.population[order],
    )
    one, two = analysis.compare(evidence, "pilot"), analysis.compare(other, "pilot")
    if isinstance(one, NotEnoughData) or isinstance(two, NotEnoughData):
        assert type(one) is type(two)
        return
    assert (two.estimate, two.low, two.high) == pytest.approx((one.estimate, one.low, one.high), abs=1e-9)
    assert two.log_p == pytest.approx(one.log_p, abs=1e-7)


@given(evidence=some_evidence((Scale.RATING,)))
@settings(max_examples=30, deadline=None)
def test_one_stratum_is_welch(evidence: Evidence) -> None:
    assert evidence.counts is not None
    whole = Evidence.from_counts(
        "outcome", Scale.RATING, ARMS, evidence.levels, evidence.counts.sum(axis=1, keepdims=True)
    )
    one, two = Welch().compare(whole, "pilot"), StratifiedDifference().compare(whole, "pilot")
    if isinstance(one, NotEnoughData) or isinstance(two, NotEnoughData):
        assert type(one) is type(two)
        return
    assert (one.estimate, one.low, one.high, one.df, one.log_p) == (two.estimate, two.low, two.high, two.df, two.log_p)


def rating(*arms: list[list[int]], **more: object) -> Evidence:
    strata = [f"s{k}" for k in range(len(arms[0]))]
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), arms, strata=strata, **more
    )  # type: ignore[arg-type]


def compared(analysis: Analysis, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    return found


def test_exact_permutation_reports_the_law_and_names_its_interval() -> None:
    evidence = rating([[1, 2, 6, 12, 9], [3, 3, 5, 6, 2]], [[0, 2, 5, 10, 14], [1, 3, 5, 7, 5]], population=[700, 300])
    found, stratified = compared(ExactPermutation(), evidence), compared(StratifiedDifference(), evidence)
    assert found.log_p == exact_permutation(evidence.counts, evidence.levels).log_p
    assert (found.estimate, found.low, found.high) == (stratified.estimate, stratified.low, stratified.high)
    assert found.method.startswith("Exact permutation test, shuffles inside strata; interval: Stratified difference")
    assert found.alternative == "two-sided (twice the smaller tail)"


def test_the_weights_of_the_population_decide() -> None:
    arms = [[[0, 0, 10, 10, 10], [10, 10, 10, 0, 0]], [[0, 0, 0, 10, 20], [10, 10, 10, 0, 0]]]
    north = compared(StratifiedDifference(), rating(*arms, population=[1000, 0])).estimate
    south = compared(StratifiedDifference(), rating(*arms, population=[0, 1000])).estimate
    half = compared(StratifiedDifference(), rating(*arms, population=[500, 500]))
    assert (north, south) == pytest.approx((2 / 3, 0))
    assert half.estimate == pytest.approx(1 / 3)
    control, pilot = half.arms
    assert (pilot.mean or 0) - (control.mean or 0) == pytest.approx(1 / 3)
    assert "weighted by population" in half.method


def test_a_stratum_with_an_empty_arm_is_left_out_and_named() -> None:
    evidence = rating(
        [[1, 2, 6, 12, 9], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2]], [[0, 2, 5, 10, 14], [1, 1, 1, 1, 1], [1, 2, 3, 2, 2]]
    )
    found = compared(StratifiedDifference(), evidence)
    assert any("were left out: s1 (5 answers, " in warning for warning in found.warnings)
    assert "2 strata" in found.method


def test_small_arms_and_ceilings_are_warned_of() -> None:
    found = compared(Welch(), rating([[0, 0, 1, 2, 9]], [[0, 1, 1, 2, 11]]))
    assert any("below 20" in warning for warning in found.warnings)
    assert any("75 % of the answers of control are 5" in warning for warning in found.warnings)


def test_an_arm_of_equal_answers_is_warned_of() -> None:
    found = compared(Welch(), rating([[0, 0, 0, 0, 30]], [[0, 1, 4, 12, 13]]))
    assert any("All 30 answers of control are equal" in warning for warning in found.warnings)


def test_unequal_response_is_warned_of_where_assigned_numbers_are_known() -> None:
    counts = [[[2, 4, 20, 40, 30]], [[1, 2, 8, 20, 25]]]
    unequal = compared(Welch(), rating(*counts, assigned=[[150], [150]]))
    assert any("37.3 % of the customers of pilot and 64 % of control" in warning for warning in unequal.warnings)
    equal = compared(Welch(), rating(*counts, assigned=[[192], [112]]))
    assert equal.warnings == ()
    assert any(check.name == "equal response" and check.status == "pass" for check in equal.checks)


def test_arms_made_up_differently_are_warned_of_where_strata_are_ignored() -> None:
    evidence = rating([[2, 4, 20, 40, 30], [1, 2, 3, 4, 2]], [[1, 2, 3, 4, 2], [2, 4, 20, 40, 30]])
    assert any("use stratified-difference" in warning for warning in compared(Welch(), evidence).warnings)
    assert not any("use stratified" in warning for warning in compared(StratifiedDifference(), evidence).warnings)


def test_rare_answers_are_warned_of_where_a_t_interval_is_used() -> None:
    evidence = Evidence.from_counts("left", Scale.BINARY, ("control", "pilot"), (0, 1), [[[97, 3]], [[92, 8]]])
    assert any("use newcombe" in warning for warning in compared(Welch(), evidence).warnings)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([[[0, 0, 0, 0, 0]], [[1, 2, 3, 4, 5]]], "control has no answers"),
        ([[[0, 0, 0, 0, 9]], [[0, 0, 0, 0, 7]]], "so there is no spread"),
        ([[[0, 0, 0, 0, 9]], [[0, 0, 7, 0, 0]]], "so there is no spread"),
    ],
)
def test_too_little_is_an_outcome_with_a_reason(counts: list[list[list[int]]], reason: str) -> None:
    for analysis in (Welch(), StratifiedDifference(), ExactPermutation(), NonInferiority(margin=0.2)):
        found = analysis.compare(rating(*counts), "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason


def test_nothing_to_shuffle_is_an_outcome_with_a_reason() -> None:
    alone = ExactPermutation().compare(rating([[1, 2, 3, 4, 5], [0] * 5], [[0] * 5, [1, 2, 3, 4, 5]]), "pilot")
    assert isinstance(alone, NotEnoughData)
    assert "no stratum has both arms" in alone.reason
    flat = [[1, 2, 3, 4, 5], [1, 0, 0, 0, 0]], [[0] * 5, [1, 2, 3, 4, 5]]
    assert isinstance(ExactPermutation().compare(rating(*flat), "pilot"), NotEnoughData)


def test_wrong_scale_missing_counts_and_wrong_arms_are_refused() -> None:
    evidence = rating([[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5]])
    with pytest.raises(InputError, match="does not fit"):
        Newcombe().compare(evidence, "pilot")
    with pytest.raises(InputError, match="unknown arm"):
        Welch().compare(evidence, "nobody")
    with pytest.raises(InputError, match="is control"):
        Welch().compare(evidence, "control")
    with pytest.raises(InputError, match="needs counts"):
        ExactPermutation().compare(replace(evidence, counts=None, levels=()), "pilot")


@pytest.mark.parametrize("part", register_analyses(), ids=lambda part: part.key)
def test_settings_survive_storage_and_every_part_names_its_source(part: type[Analysis]) -> None:
    analysis = instance(part)
    assert part.restore(analysis.settings()) == analysis
    assert part.reference
    assert part.scales
    with pytest.raises(InputError, match="no setting"):
        part.restore({"colour": "red"})


def test_money_needs_moments_only() -> None:
    moments = Moments(np.array([[50], [60]]), np.array([[10.0], [12.0]]), np.array([[4900.0], [5900.0]]))
    found = compared(Welch(), Evidence("revenue", Scale.MONEY, True, ("control", "pilot"), moments=moments))
    assert found.sentence == (
        "revenue is 2.00 higher in pilot than in control (95 % interval -1.80 to 5.80; 60 and 50 customers); "
        "the interval includes no difference."
    )


def test_importing_the_statistics_loads_no_web_and_no_database() -> None:
    code = "import sys, pilot.analysis, pilot.analysis.frames; print([m for m in ('flask', 'sqlalchemy', 'duckdb', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _with(evidence: Evidence, counts: np.ndarray, assigned: np.ndarray | None) -> Evidence:
    return Evidence.from_counts(
        evidence.outcome,
        evidence.scale,
        evidence.arms,
        evidence.levels,
        counts,
        strata=evidence.strata,
        higher_is_better=evidence.higher_is_better,
        assigned=assigned,
        population=evidence.population,
    )
