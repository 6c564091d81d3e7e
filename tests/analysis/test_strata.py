"""Strata that cannot be compared: the same rule, in the same words, in every stratified analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pilot.analysis import Analysis, Comparison, Evidence, NotEnoughData, Scale
from pilot.analysis.arrays import evidence_of
from pilot.analysis.methods.noninferiority import Equivalence, NonInferiority, NonInferiorityShares
from pilot.analysis.methods.noninferiorityranks import NonInferiorityRanks
from pilot.analysis.methods.welch import StratifiedDifference
from pilot.analysis.pairs import Pair
from pilot.analysis.strata import inside_strata, lost_share
from pilot.plugins.builtin.analyses import register_analyses

from .conftest import instance

STRATIFIED = {
    "stratified-difference",
    "winsorised-difference",
    "relative-change",
    "ratio",
    "bootstrap",
    "exact-permutation",
    "exact-rank-permutation",
    "van-elteren",
    "proportional-odds",
    "nps-difference",
    "cmh",
    "mantel-haenszel",
    "stratified-miettinen-nurminen",
    "non-inferiority",
    "non-inferiority-shares",
    "non-inferiority-ranks",
    "equivalence",
    "cuped",
    "lin",
    "ancova",
    "difference-in-differences",
    "rerandomised-difference",
    "cluster-robust",
    "mixed-model",
    "gee",
    "kaplan-meier",
    "restricted-mean-time",
    "log-rank",
    "cox",
    "survey-weighted",
    "weighted-ranks",
    "weighted-response",
    "manski-bounds",
    "tipping-point",
    "complier-effect",
    "heterogeneity",
    "group-sequential",
    "always-valid",
    "normal-posterior",
}
ANALYSES = [instance(part) for part in register_analyses() if part.key in STRATIFIED]
SCALES = (Scale.RATING, Scale.BINARY, Scale.MONEY, Scale.TIME)
LOWEST, HIGHEST = {Scale.RATING: 1, Scale.BINARY: 0, Scale.MONEY: 1, Scale.TIME: 1}, {Scale.RATING: 5, Scale.BINARY: 1}


def test_every_stratified_analysis_there_is_stands_in_the_list() -> None:
    assert {part.key for part in ANALYSES} == STRATIFIED


def forty(scale: Scale, points: bool, *, lonely: int) -> Evidence:
    """Two strata of 20 with both arms, and one in which all customers are in the pilot arm and as good as can be."""
    rng = np.random.default_rng(7)
    low, high = (0, 10) if points else (LOWEST[scale], HIGHEST.get(scale, 12))
    size = 40 + lonely
    value = np.append(rng.integers(low, high + 1, 40), np.full(lonely, high))
    arm = np.append(np.arange(40) % 2, np.ones(lonely))
    received = np.where(rng.random(size) < 0.8, arm, 1 - arm)
    found = evidence_of(
        "y",
        scale,
        ("control", "pilot"),
        arm=["pilot" if one else "control" for one in arm],
        value=value,
        stratum=["a"] * 20 + ["b"] * 20 + ["c"] * lonely,
        cluster=[f"{k // 4}" for k in range(size)],
        covariates={"event": received},
    )
    if found.rows is not None:
        found = replace(found, rows=replace(found.rows, weight=np.linspace(1, 2, 64)[:size]))
    assert found.moments is not None
    return replace(found, assigned=found.moments.n + 2 * (found.moments.n > 0))


def named(analysis: Analysis) -> Analysis:
    """The analysis with the one covariate there is."""
    names = {
        name: "event" for name in ("event", "received", "before", "denominator") if getattr(analysis, name, None) == ""
    }
    return replace(analysis, **names) if names else analysis  # type: ignore[type-var]


def numbers(found: Comparison) -> dict[str, float]:
    names = ("estimate", "low", "high", "standard_error", "statistic", "df", "p_value", "log_p")
    every = {**{name: getattr(found, name) for name in names}, **found.details}
    return {name: value for name, value in every.items() if value is not None}


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
def test_a_stratum_without_an_arm_changes_nothing_and_is_said(analysis: Analysis) -> None:
    scale = next(scale for scale in SCALES if scale in analysis.scales)
    points = analysis.key == "nps-difference"
    found = named(analysis).compare(forty(scale, points, lonely=6), "pilot")
    without = named(analysis).compare(forty(scale, points, lonely=0), "pilot")
    assert isinstance(found, Comparison)
    assert isinstance(without, Comparison)
    assert numbers(found) == pytest.approx(numbers(without), rel=1e-9)
    assert [(one.n, one.mean) for one in found.arms] == [(one.n, one.mean) for one in without.arms]
    (said,) = [warning for warning in found.warnings if "were left out" in warning]
    assert said.startswith("Strata without ")
    assert ": c (" in said
    assert "(6 " in said or "(8 " in said  # the worst-case bounds count the assigned
    assert said.endswith("% of the assigned customers); the result does not speak of them.")


def rating(*arms: Sequence[Sequence[int]], population: Sequence[int] | None = None) -> Evidence:
    strata = [f"s{k}" for k in range(len(arms[0]))]
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), arms, strata=strata, population=population
    )


LARGE = [4, 6, 20, 60, 40]
SAME = (LARGE, LARGE)


@pytest.mark.parametrize("units", [20, 90])
def test_a_margin_is_not_kept_where_more_than_a_twentieth_cannot_be_compared(units: int) -> None:
    """20 of 1,020 customers are 2 %, 90 of 1,090 are 8.3 %; in both cases the pilot arm's are all satisfied."""
    # at a margin of 0.35 the worse limit, -0.235, leaves room for the 0.078 by which 2 % could differ at most
    evidence = rating([LARGE, [0] * 5], [LARGE, [0, 0, 0, 0, 9]], population=[1000, units])
    for analysis in (NonInferiority(0.35), Equivalence(0.35), NonInferiorityRanks(0.1)):
        found = analysis.compare(evidence, "pilot")
        assert isinstance(found, Comparison)
        assert found.passed == (units == 20)
        (check,) = [check for check in found.checks if check.name == "like with like"]
        assert check.value == pytest.approx(units / (1000 + units))
        assert check.status == ("pass" if units == 20 else "fail")
        assert ("the rule does not pass, because too many customers" in found.sentence) == (units == 90)
        assert any("above 5 %: whatever the interval" in warning for warning in found.warnings) == (units == 90)


def test_a_margin_must_hold_beyond_the_shift_that_uncompared_customers_could_make() -> None:
    """2 % on a scale of 1 to 5 could shift the difference by 0.02 x 4 (Manski's bound): too much for a margin of 0.3."""
    evidence = rating([LARGE, [0] * 5], [LARGE, [0, 0, 0, 0, 9]], population=[1000, 20])
    found = NonInferiority(0.3).compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert found.low == pytest.approx(-0.2355, abs=1e-4)
    assert [check.value for check in found.checks if check.name == "worst shift"] == [pytest.approx(80 / 1020)]
    assert found.passed is False
    assert "the rule does not pass, because" in found.sentence


def test_shares_are_not_kept_within_a_margin_either() -> None:
    counts = [[[20, 180], [0, 0]], [[20, 180], [0, 30]]]
    for weights in ("mantel-haenszel", "population"):
        verdicts = []
        for population in ([1000, 20], [1000, 90]):
            evidence = Evidence.from_counts(
                "yes", Scale.BINARY, ("control", "pilot"), (0, 1), counts, strata=("a", "b"), population=population
            )
            found = NonInferiorityShares(0.1, weights=weights).compare(evidence, "pilot")  # type: ignore[arg-type]
            assert isinstance(found, Comparison)
            verdicts.append(found.passed)
        assert verdicts == [True, False]


def test_joined_strata_that_the_arms_share_unequally_count_by_what_is_unequal() -> None:
    """Strata of 1 v 30 and 30 v 1: joined they hold 300 of 1,000 customers, of which 29 in 31 are not alike."""
    thin, full = [0, 0, 0, 1, 0], [1, 2, 5, 12, 10]
    evidence = rating([LARGE, thin, full], [LARGE, full, thin], population=[700, 150, 150])
    found = NonInferiority(0.5).compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    (check,) = [check for check in found.checks if check.name == "like with like"]
    assert check.value == pytest.approx(0.3 * 29 / 31)
    assert found.low is not None
    assert found.low > -0.5
    assert found.passed is False
    assert any("joined, with the next smallest where needed: s1, s2 (62 answers, 30 % of the population); the arms differ by 93.5 %" in w for w in found.warnings)  # fmt: skip


def test_no_stratum_with_both_arms_leaves_nothing() -> None:
    found = StratifiedDifference().compare(rating([LARGE, [0] * 5], [[0] * 5, LARGE]), "pilot")
    assert isinstance(found, NotEnoughData)
    assert found.reason == "no stratum has both arms, so nothing can be compared inside strata"


def test_a_stratum_that_nobody_answered_in_is_left_out_with_its_share() -> None:
    found = StratifiedDifference().compare(rating([LARGE, [0] * 5], [LARGE, [0] * 5], population=[900, 100]), "pilot")
    assert isinstance(found, Comparison)
    text = "Strata without answers in one of the arms were left out: s1 (0 answers, 10 % of the population); the result does not speak of them."
    assert text in found.warnings


def test_lost_answers_count_for_the_response_although_their_stratum_is_left_out() -> None:
    evidence = rating([LARGE, [0] * 5], [LARGE, [0, 0, 0, 5, 35]])
    evidence = replace(evidence, assigned=np.array([[130, 40], [130, 40]]))
    found = StratifiedDifference().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    (check,) = [check for check in found.checks if check.name == "equal response"]
    assert check.status == "warn"
    assert [arm.assigned for arm in found.arms] == [170, 170]


def test_many_strata_are_named_in_part_and_counted() -> None:
    empty = [[0] * 5 for _ in range(8)]
    single = [[0, 0, 1, 0, 0] for _ in range(8)]
    found = StratifiedDifference().compare(rating([LARGE, *empty], [LARGE, *single]), "pilot")
    assert isinstance(found, Comparison)
    assert any("left out: s1, s2, s3, s4, s5 and 3 more (8 answers, " in warning for warning in found.warnings)


def test_a_pair_without_strata_or_with_both_arms_everywhere_is_left_as_it_is() -> None:
    for evidence in (rating([LARGE], [LARGE]), rating([LARGE, LARGE], [LARGE, LARGE])):
        pair = Pair.of(StratifiedDifference(), evidence, "pilot")
        assert inside_strata(pair) is pair
        assert lost_share(pair) == 0
