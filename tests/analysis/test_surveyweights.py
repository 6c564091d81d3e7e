from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.arrays import evidence_of
from pilot.analysis.calibration import (
    calibrate,
    calibrated_mean,
    indicators,
    post_stratify,
    rake,
    weighting_classes,
)
from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.methods.surveyweights import SurveyWeighted, WeightedResponse
from pilot.analysis.methods.welch import StratifiedDifference, Welch
from pilot.analysis.sizing import Expected
from pilot.analysis.surveyweights import Design, design_effect, kish, mean, rao_scott, ratio, total
from pilot.errors import InputError

# Sixteen customers of eight reps in two strata, made up for these tests.
Y = [4, 5, 3, 2, 5, 4, 1, 3, 4, 5, 2, 3, 4, 4, 5, 1]
X = [10, 12, 8, 7, 15, 11, 5, 9, 13, 14, 6, 8, 10, 11, 16, 4]
W = np.array([2, 2, 2, 2, 3, 3, 3, 3, 1.5, 1.5, 4, 4, 2, 2, 5, 5])
S = np.array([1] * 6 + [2] * 10)
C = np.repeat(np.arange(1, 9), 2)
N = np.array([12.0] * 6 + [20.0] * 10)
A = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0])
G = np.array([1, 1, 2, 2, 1, 2, 1, 2, 2, 1, 2, 1, 2, 2, 1, 1])
H = np.array([1, 2, 1, 2, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2, 2, 1])

CLUSTERED = Design(W, S, C)
SINGLE = Design(W)


def sixteen(*, strata: bool = True, clusters: bool = True, weight: np.ndarray | None = W) -> Evidence:
    evidence = evidence_of(
        "csat",
        Scale.RATING,
        ("control", "desk"),
        arm=[("control", "desk")[a] for a in A],
        value=Y,
        stratum=[f"s{s}" for s in S] if strata else None,
        cluster=C.tolist() if clusters else None,
    )
    assert evidence.rows is not None
    return replace(evidence, rows=replace(evidence.rows, weight=weight))


def compared(evidence: Evidence) -> Comparison:
    found = SurveyWeighted().compare(evidence, "desk")
    assert isinstance(found, Comparison)
    return found


# R's survey package, data(api), apiclus2: per district the schools it has and the api00 of those drawn, of 757 districts
DISTRICTS = """1 821|1 773|3 716 740 600|1 811|3 472 568 520|3 591 544 612|4 901 890 903 926|1 453|4 545 601 584 569|
11 612 622 783 622 610|2 524 536|1 636|5 698 614 701 713 666|4 927 934 933 903|5 911 889 842 874 861|4 553 554 601 652|
1 607|5 631 644 646 690 717|2 622 566|5 547 541 621 615 596|5 912 951 929 912 909|2 803 759|36 479 660 545 502 478|1 710|
28 769 808 840 840 865|7 824 892 818 868 821|72 690 489 807 580 537|14 645 542 543 641 486|7 743 773 772 795 756|
2 794 751|4 631 627 555 608|3 670 738 772|2 711 673|2 711 730|1 468|9 742 776 626 766 742|1 747|2 620 602|
6 851 844 861 869 895|1 653"""


def test_two_stages_are_those_of_the_survey_package() -> None:
    """Its printed mean is 670.81 with standard error 30.099: svydesign(id = ~dnum + snum, fpc = ~fpc1 + fpc2)."""
    drawn = [[int(number) for number in district.split()] for district in DISTRICTS.split("|")]
    values = [value for _, *schools in drawn for value in schools]
    district = np.repeat(np.arange(40), [len(schools) - 1 for schools in drawn])
    there = np.array([drawn[k][0] for k in district], dtype=float)
    weight = 757 / 40 * there / np.bincount(district)[district]
    design = Design(weight, cluster=district, population=np.full(126, 757.0), parts_there=there)
    found, whole = mean(values, design), total(values, design)
    assert (found.value, found.standard_error) == pytest.approx((670.811808118, 30.0990273768), rel=1e-11)
    assert (whole.value, whole.standard_error, whole.df) == pytest.approx((3440375.75, 926665.58609, 39), rel=1e-11)


PAIRS = {
    "weight": np.repeat([10.0, 12.5, 4.5, 3.0], [4, 4, 3, 3]),
    "stratum": np.repeat([1, 2], [8, 6]),
    "cluster": np.repeat([1, 2, 3, 4], [4, 4, 3, 3]),
    "population": np.repeat([10.0, 6.0], [8, 6]),
    "part": np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 8]),
    "parts_there": np.repeat([4.0, 5.0, 3.0, 2.0], [4, 4, 3, 3]),
}


def test_parts_of_clusters_in_strata() -> None:
    # R 4.2.2, survey 4.1-1: svydesign(id = ~p + u, strata = ~st, fpc = ~f1 + f2, weights = ~w); svymean, svytotal
    values, design = [3, 5, 4, 2, 7, 6, 6, 9, 1, 2, 4, 3, 3, 5], Design(**PAIRS)
    found, whole = mean(values, design), total(values, design)
    assert (found.value, found.standard_error) == pytest.approx((4.92888888889, 1.29516841579), rel=1e-11)
    assert (whole.value, whole.standard_error, whole.df) == pytest.approx((554.5, 188.145555355, 2), rel=1e-11)
    complete = replace(design, parts_there=np.full(14, 2.0))
    assert mean(values, complete).standard_error == mean(values, replace(design, parts_there=None)).standard_error


def test_a_second_stage_that_cannot_be_known_is_refused() -> None:
    with pytest.raises(InputError, match="needs clusters and their number"):
        Design(W, S, C, parts_there=np.full(16, 5.0))
    single = Design(np.ones(4), cluster=np.array([7, 7, 8, 9]), population=np.full(4, 9.0), parts_there=np.full(4, 3.0))
    with pytest.raises(InputError, match="cluster 8 has one unit only"):
        mean([1, 2, 3, 4], single)


def test_estimates_are_those_of_r() -> None:
    # R 4.2.2, survey 4.1-1: svydesign(ids = ~c, strata = ~s, weights = ~w[, fpc = ~N]); svymean, svytotal, svyratio
    finite = replace(CLUSTERED, population=N)
    for found, value, error in (
        (mean(Y, CLUSTERED), 3.25555555556, 0.330498231361),
        (mean(Y, finite), 3.25555555556, 0.286219864264),
        (total(Y, CLUSTERED), 146.5, 21.8346055609),
        (ratio(Y, X, CLUSTERED), 0.338728323699, 0.0138590054889),
        (mean(Y, CLUSTERED, A == 1), 3.61538461538, 0.358909329351),  # subset(design, a == 1)
        (mean(Y, finite, A == 1), 3.61538461538, 0.310824596873),
        (mean(Y, Design(W, S)), 3.25555555556, 0.419795709931),
    ):
        assert (found.value, found.standard_error) == pytest.approx((value, error), rel=1e-10)
    assert mean(Y, CLUSTERED).df == 6  # degf(design)
    assert design_effect(Y, CLUSTERED) == pytest.approx(0.805250490464, rel=1e-10)  # svymean(~y, deff = "replace")


def test_equal_weights_give_the_plain_mean_and_a_full_sample_no_error() -> None:
    found = mean(Y, Design(np.full(16, 3.0)))
    assert (found.value, found.standard_error) == pytest.approx((np.mean(Y), np.std(Y, ddof=1) / 4))
    assert mean(Y, Design(np.ones(16), population=np.full(16, 16.0))).standard_error == 0
    low, high = found.interval()
    assert high - found.value == pytest.approx(2.131449545559 * np.std(Y, ddof=1) / 4)  # qt(.975, 15)
    assert low < found.value


def test_kish() -> None:
    assert kish([1, 1, 1, 1]) == (4, 1)
    assert kish([1, 3]) == pytest.approx((1.6, 1.25))  # 16 / 10
    assert kish([1, 3], [2, 1]) == pytest.approx(kish([1, 1, 3]))


def test_rao_scott_is_that_of_r() -> None:
    # svychisq(~a + h, design, statistic = "F"): F, ndf, ddf, p; statistic = "Chisq": X-squared, p
    found = rao_scott(A, H, CLUSTERED)
    assert (found.f, *found.f_df, found.p_value) == pytest.approx((2.7195154931, 1, 6, 0.150222822602), rel=1e-9)
    assert (found.pearson, found.first_order_p) == pytest.approx((1.133332141, 0.0991281009076), rel=1e-9)
    alone = rao_scott(A, H, SINGLE)
    assert (alone.f, alone.p_value) == pytest.approx((0.889135157901, 0.360652306486), rel=1e-9)
    wide = rao_scott(G, Y, CLUSTERED)
    assert (wide.f, *wide.f_df) == pytest.approx((2.8790696344374, 2.1886413042881, 13.1318478257287), rel=1e-9)
    assert (wide.p_value, wide.first_order_p) == pytest.approx((0.0884330125681, 0.0213353134038), rel=1e-9)
    with pytest.raises(InputError, match="one value only"):
        rao_scott(A, np.ones(16), SINGLE)


def test_calibrated_means_are_those_of_r() -> None:
    # postStratify(~g: 30, 20); calibrate(~factor(g) + factor(h): 50, 20, 28), linear and calfun = "raking"; calibrate(~x: 50, 520)
    post = post_stratify(W, G - 1, [30, 20])
    margins, totals = indicators(G, H), [30, 20, 28]
    linear, raked = calibrate(W, margins, totals), calibrate(W, margins, totals, distance="raking")
    line = np.column_stack([np.ones(16), X])
    regression = calibrate(W, line, [50, 520])
    for found, value, error in (
        (calibrated_mean(Y, SINGLE, indicators(G), post), 3.26304675716, 0.44260207246),
        (calibrated_mean(Y, SINGLE, margins, linear), 3.42287696536, 0.241875945708),
        (calibrated_mean(Y, SINGLE, margins, raked), 3.42855281111, 0.240408165955),
        (calibrated_mean(Y, SINGLE, line, regression), 3.53646309259, 0.118676859735),
        (calibrated_mean(Y, CLUSTERED, line, regression), 3.53646309259, 0.142453286294),
    ):
        assert (found.value, found.standard_error) == pytest.approx((value, error), rel=1e-9)
    assert linear[:2] == pytest.approx([2.05379105284, 2.71712393567], rel=1e-10)
    assert raked[:2] == pytest.approx([2.03285555619, 2.74261062724], rel=1e-9)


def test_raking_converges_to_the_margins_and_says_so() -> None:
    margins = [(G - 1, [30, 20]), (H - 1, [22, 28])]
    found = rake(W, margins)
    assert found.converged
    assert found.weights == pytest.approx(calibrate(W, indicators(G, H), [30, 20, 28], distance="raking"), rel=1e-7)
    assert np.bincount(H - 1, found.weights) == pytest.approx([22, 28])
    trimmed = rake(W, margins, trim=(0.4, 1.8))
    assert (trimmed.converged, trimmed.trimmed) == (True, 1)
    assert trimmed.weights.max() == pytest.approx(1.8 * 50 / 16)
    narrow = rake(W, margins, trim=(0.9, 1.1), rounds=50)
    assert not narrow.converged
    assert (narrow.rounds, narrow.trimmed) == (50, 16)
    assert narrow.gap > 0.05


def test_weighting_classes() -> None:
    assert weighting_classes([[100, 50], [80, 0]], [[50, 50], [20, 0]]).tolist() == [[2, 1], [4, 0]]
    with pytest.raises(InputError, match="nobody of a class"):
        weighting_classes([10], [0])
    with pytest.raises(InputError, match="more answers"):
        weighting_classes([10], [11])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Design(np.array([1.0, 0.0])), "weight is not a finite number above 0"),
        (lambda: mean(Y, Design(W, np.arange(16))), "one unit only"),
        (lambda: mean(Y, CLUSTERED, A == 9), "denominator sums to 0"),
        (lambda: post_stratify(W, G - 1, [30, 20, 5]), "no unit in the sample"),
        (lambda: post_stratify(W, G, [30, 20]), "that the population lacks"),
        (lambda: rake(W, [(G - 1, [30, 20]), (H - 1, [22, 30])]), "different totals"),
        (lambda: calibrate(W, np.column_stack([X, X]), [1, 1]), "depend on each other"),
        (lambda: calibrate(W, indicators(G), [-5, 20], distance="raking"), "no weights above 0"),
        (lambda: design_effect(np.ones(16), SINGLE), "all values are equal"),
        (lambda: Design(W, S[:9]), "stratum: there are 9 entries for 16 units"),
        (lambda: Design(W, S, C[:9]), "cluster: there are 9 entries for 16 units"),
        (lambda: Design(W, population=np.full(9, 99.0)), "population: there are 9 entries for 16 units"),
        (lambda: mean(Y, Design(W, population=np.full(16, math.nan))), "population: .*more units were drawn than"),
        (lambda: mean(Y, Design(W, population=np.zeros(16))), "population: .*more units were drawn than there are"),
        (lambda: total(Y, Design(W, S, population=np.full(16, 3.0))), "population: .*more units were drawn than"),
        (lambda: mean(Y, replace(CLUSTERED, population=np.full(16, 1.0))), "population: .*more clusters were drawn"),
        (lambda: mean(PAIRS["part"], Design(**PAIRS | {"parts_there": np.ones(14)})), "parts_there: .*more parts were"),
        (lambda: mean([*Y[:15], math.nan], SINGLE), "values: entry 16 is no finite number"),
        (lambda: total([math.inf, *Y[1:]], SINGLE), "values: entry 1 is no finite number"),
        (lambda: mean(Y[:9], SINGLE), "values: there are 9 entries for 16 units"),
        (lambda: ratio(Y, X[:9], SINGLE), "denominator: there are 9 entries for 16 units"),
        (lambda: ratio([*Y[:15], math.nan], X, SINGLE), "numerator: entry 16 is no finite number"),
        (lambda: mean(Y, SINGLE, [True]), "domain: there are 1 entries for 16 units"),
        (lambda: design_effect(Y[:9], SINGLE), "values: there are 9 entries for 16 units"),
        (lambda: rao_scott(G, H[:9], SINGLE), "columns: there are 9 entries for 16 units"),
        (lambda: kish([0, 0]), "weights: no weight is above 0"),
        (lambda: kish([]), "weights: no weight is above 0"),
        (lambda: kish([1, -1]), "weights: entry 2 is no finite number from 0"),
        (lambda: kish([1, math.nan]), "weights: entry 2 is no finite number from 0"),
        (lambda: kish([1, 2], [1, -1]), "counts: entry 2 is no finite number from 0"),
        (lambda: kish([1, 2], [1, 2, 3]), "counts: there are 3 entries for 2 weights"),
    ],
)
def test_what_cannot_be_used_is_refused(call: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        call()  # type: ignore[operator]


def test_the_contrast_of_arms_is_that_of_r() -> None:
    # svyglm(y ~ a, svydesign(ids = ~1, strata = ~interaction(a, s), weights = ~w)): 0.634992458522 (0.793251870006)
    found = compared(sixteen(clusters=False))
    assert (found.estimate, found.standard_error) == pytest.approx((0.634992458522, 0.793251870006), rel=1e-10)
    assert "answers inside arms and strata" in found.method
    # svyglm(y ~ a, svydesign(ids = ~c, strata = ~s, weights = ~w)): reps have customers in both arms
    both = compared(sixteen())
    assert (both.estimate, both.standard_error) == pytest.approx((0.634992458522, 0.265653280271), rel=1e-10)
    assert "clusters inside strata" in both.method


def test_equal_weights_are_no_weights() -> None:
    evidence = sixteen(strata=False, clusters=False, weight=np.full(16, 7.0))
    found, plain = compared(evidence), Welch().compare(evidence, "desk")
    assert isinstance(plain, Comparison)
    assert (found.estimate, found.standard_error, found.df, found.log_p) == pytest.approx(
        (plain.estimate, plain.standard_error, plain.df, plain.log_p)
    )


def test_the_finite_population_never_narrows_a_contrast() -> None:
    evidence = sixteen(clusters=False)
    small = replace(evidence, population=np.array([6, 10]))  # all customers there are, in the sample
    assert compared(small).standard_error == compared(evidence).standard_error


@given(order=st.permutations(range(16)), factor=st.sampled_from([0.01, 30.0]), shift=st.integers(-5, 5))
@settings(max_examples=20, deadline=None)
def test_order_size_of_weights_constants_and_swapped_arms(order: list[int], factor: float, shift: int) -> None:
    evidence = sixteen()
    rows = evidence.rows
    assert rows is not None
    assert rows.cluster is not None
    found = compared(evidence)
    mixed = replace(
        rows,
        arm=rows.arm[order],
        stratum=rows.stratum[order],
        value=rows.value[order] + shift,
        cluster=rows.cluster[order],
        weight=W[order] * factor,
    )
    other = compared(replace(evidence, rows=mixed))
    assert (other.estimate, other.standard_error, other.df) == pytest.approx(
        (found.estimate, found.standard_error, found.df)
    )
    swapped = compared(replace(evidence, rows=replace(rows, arm=1 - rows.arm)))
    assert (swapped.estimate, swapped.low, swapped.log_p) == pytest.approx((-(found.estimate or 0), -(found.high or 0), found.log_p))  # fmt: skip


def test_heavy_and_unequal_weights_are_warned_of() -> None:
    weight = np.ones(16)
    weight[0] = 60
    found = compared(sixteen(weight=weight, clusters=False))
    assert any("widen the variance of control by a factor of 6" in warning for warning in found.warnings)
    assert any("1 above 5 times" in warning for warning in found.warnings)
    assert not any("weight" in warning for warning in compared(sixteen(weight=np.ones(16))).warnings)


def test_strata_too_thin_for_a_variance_are_joined_and_named() -> None:
    evidence = sixteen(clusters=False)
    assert evidence.rows is not None
    stratum = evidence.rows.stratum.copy()
    stratum[:2] = 2
    thin = replace(
        evidence,
        strata=("s1", "s2", "s3"),
        moments=None,
        counts=None,
        levels=(),
        rows=replace(evidence.rows, stratum=stratum),
    )
    thin = replace(thin, moments=evidence_of("csat", Scale.RATING, ("control", "desk"), arm=[("control", "desk")[a] for a in A], value=Y, stratum=[str(s) for s in stratum]).moments)  # fmt: skip
    found = compared(thin)
    assert any(
        "were joined for the variance, with the next smallest where needed: s1, s3 (6 answers, " in w
        for w in found.warnings
    )
    assert found.estimate == compared(evidence).estimate


def test_a_single_cluster_is_an_outcome_with_a_reason() -> None:
    evidence = sixteen(strata=False)
    assert evidence.rows is not None
    nested = replace(evidence, rows=replace(evidence.rows, cluster=np.where(A == 1, 99, C)))
    found = SurveyWeighted().compare(nested, "desk")
    assert isinstance(found, NotEnoughData)
    assert found.reason == "desk has a single cluster; a spread needs at least two"
    few = replace(evidence, rows=replace(evidence.rows, cluster=np.where(A == 1, 90 + C % 3, C)))
    assert any("3 clusters; below 5" in warning for warning in compared(few).warnings)


def test_weights_are_needed() -> None:
    with pytest.raises(InputError, match="needs weights") as caught:
        SurveyWeighted().compare(sixteen(weight=None), "desk")
    assert "--weight" in str(caught.value)


def test_planning_counts_the_design_effect() -> None:
    expected = Expected(sd=1.0)
    plain = SurveyWeighted().sample_size(expected, 0.3)
    assert SurveyWeighted(design_effect=1.4).sample_size(expected, 0.3) == pytest.approx([1.4 * n for n in plain])
    # R 4.2.2: power.t.test(delta = .3, sd = 1, power = .8): n = 175.3851
    assert plain[0] == pytest.approx(175.3851, abs=1e-3)
    assert WeightedResponse().power(expected, 0.3, plain) == pytest.approx(0.8)


def survey(assigned: list[list[int]] | None = None) -> Evidence:
    """Two strata; happy customers of the pilot arm's second stratum answer more."""
    return Evidence.from_counts(
        "csat",
        Scale.RATING,
        ("control", "desk"),
        (1, 2, 3, 4, 5),
        [[[2, 4, 10, 20, 14], [6, 8, 6, 4, 1]], [[1, 3, 9, 15, 12], [8, 10, 11, 8, 3]]],
        strata=("large", "small"),
        assigned=assigned,
    )


def test_answers_stand_for_their_arm_and_stratum() -> None:
    evidence = survey([[80, 100], [80, 100]])
    found = WeightedResponse().compare(evidence, "desk")
    assert isinstance(found, Comparison)
    large, small = 154 / 40 - 190 / 50, 108 / 40 - 61 / 25
    assert found.estimate == pytest.approx((80 * large + 100 * small) / 180)
    assert found.details["unweighted difference"] == pytest.approx(262 / 80 - 251 / 75)
    assert found.details["response rate of control"] == pytest.approx(75 / 180)
    weights = [[160 / 360 / 50] * 50 + [200 / 360 / 25] * 25, [160 / 360 / 40] * 40 + [200 / 360 / 40] * 40]
    check = next(check for check in found.checks if check.name == "unequal weights")
    assert check.value == pytest.approx(max(kish(arm)[1] for arm in weights))
    same = StratifiedDifference().compare(evidence, "desk")
    assert isinstance(same, Comparison)
    assert (found.standard_error, found.df) == pytest.approx((same.standard_error, same.df))
    assert found.sentence.endswith("44.4 % and 41.7 % of the assigned customers answered.")


def test_unknown_and_impossible_assigned_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="how many customers were assigned") as caught:
        WeightedResponse().compare(survey(), "desk")
    assert "Use --assigned if every row of the file is an assigned customer" in str(caught.value)
    with pytest.raises(InputError, match="more answers than assigned"):
        WeightedResponse().compare(survey([[80, 20], [80, 100]]), "desk")


def rejections(size: int, rounds: int, seed: int) -> tuple[float, float]:
    """False alarms and misses of the interval with weights of 1 to 4 that go with the answers; the effect is 0.3."""
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], size)
    evidence = evidence_of(
        "csat", Scale.RATING, ("control", "pilot"), arm=["control"] * size + ["pilot"] * size, value=arm
    )
    evidence = replace(evidence, counts=None, levels=())
    assert evidence.rows is not None
    alarms = misses = 0
    levels, typical = [1, 2, 3, 4, 5], np.array([0.03, 0.07, 0.18, 0.42, 0.30])
    for _ in range(rounds):
        weight = rng.choice([1.0, 2.0, 4.0], 2 * size)
        happy, unhappy = (rng.choice(levels, 2 * size, p=law).astype(float) for law in (typical, typical[::-1]))
        value = np.where(weight == 4, unhappy, happy)
        for effect in (0.0, 0.3):
            rows = replace(evidence.rows, weight=weight, value=value + effect * arm)
            found = SurveyWeighted().compare(replace(evidence, rows=rows), "pilot")
            assert isinstance(found, Comparison)
            if effect:
                misses += not (found.low or 0) <= effect <= (found.high or 0)
            else:
                alarms += (found.p_value or 0) < 0.05
    return alarms / rounds, misses / rounds


def test_false_alarms_with_unequal_weights() -> None:
    allowed = 4 * math.sqrt(0.05 * 0.95 / 250) + 0.003
    assert all(abs(rate - 0.05) < allowed for rate in rejections(100, 250, 3))


@pytest.mark.slow
@pytest.mark.parametrize("size", [30, 100, 1000])
def test_false_alarms_and_coverage_with_unequal_weights(size: int) -> None:
    rounds = 3000
    allowed = 4 * math.sqrt(0.05 * 0.95 / rounds) + 0.003
    assert all(abs(rate - 0.05) < allowed for rate in rejections(size, rounds, 4))
