from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Clusters, Comparison, Evidence, Expected, NotEnoughData, Scale, Welch
from pilot.analysis.arrays import evidence_of
from pilot.analysis.contract import Analysis
from pilot.analysis.methods.clusters import ClusterMeans
from pilot.analysis.methods.mixedmodels import EstimatingEquations, MixedModel
from pilot.analysis.mixedmodels import estimating_equations, mixed_model, robust_variance, sums_of

SIZES = [3, 5, 2, 4, 6, 3, 4, 5, 2, 6]
REP = np.repeat(range(10), SIZES)
MINUTES = [12, 14, 11, 8, 9, 7, 10, 9, 15, 16, 11, 12, 10, 11, 6, 8, 7, 9, 8, 7]
MINUTES += [14, 15, 13, 10, 12, 11, 12, 17, 16, 18, 15, 17, 9, 11, 13, 14, 12, 13, 15, 14]
CSAT = [
    4,
    5,
    3,
    2,
    4,
    3,
    5,
    4,
    5,
    5,
    3,
    3,
    4,
    2,
    4,
    4,
    5,
    3,
    2,
    5,
    5,
    4,
    5,
    4,
    5,
    3,
    5,
    2,
    3,
    4,
    3,
    5,
    5,
    5,
    4,
    5,
    5,
    4,
    3,
    5,
]
ARM = ["control"] * 20 + ["pilot"] * 20
CROSSED = ["pilot" if k % 3 == 0 else "control" for k in range(1, 41)]
STRATUM = [("1", "2", "1", "2", "1", "1", "2", "1", "2", "2")[rep] for rep in REP]
PARTS = (MixedModel(), EstimatingEquations())


def evidence(
    *,
    value: list[int] = MINUTES,
    arm: list[str] = ARM,
    stratum: list[str] | None = None,
    cluster: np.ndarray = REP,
) -> Evidence:
    return evidence_of(
        "minutes",
        Scale.NUMBER,
        ("control", "pilot"),
        arm=arm,
        value=value,
        stratum=stratum,
        cluster=cluster.tolist(),
    )


def clusters(**more: object) -> Clusters:
    found = evidence(**more).clusters  # type: ignore[arg-type]
    assert found is not None
    return found


def compared(analysis: Analysis, found_in: Evidence) -> Comparison:
    found = analysis.compare(found_in, "pilot")
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize(
    ("found_in", "expected", "variances"),
    [
        # R 4.2.2, lme4 1.1-31 and lmerTest 3.1-3: summary(lmer(y ~ arm [+ stratum] + (1 | rep))), VarCorr
        (evidence(), (2.1560048198, 1.8085936090, 7.8940779015, 0.2678272026), (7.837925167, 1.179242629)),
        (
            evidence(stratum=STRATUM),
            (2.7151176755, 1.6693213092, 6.9773465711, 0.1480128315),
            (6.365926383, 1.176815383),
        ),
        (
            evidence(value=CSAT),
            (0.4536955240, 0.3619897664, 5.5938545627, 0.2599204816),
            (0.07925899011, 0.96239538414),
        ),
        (
            evidence(arm=CROSSED),
            (-0.06312882788, 0.38104538505, 29.20457847266, 0.86955608174),
            (8.296649638, 1.214891796),
        ),
    ],
)
def test_reml_equals_lmertest(found_in: Evidence, expected: tuple[float, ...], variances: tuple[float, ...]) -> None:
    found = compared(MixedModel(), found_in)
    assert (found.estimate, found.standard_error) == pytest.approx(expected[:2], rel=1e-6, abs=1e-8)
    assert (found.df, found.p_value) == pytest.approx(expected[2:], rel=1e-4)
    details = found.details
    assert (details["variance between clusters"], details["variance inside clusters"]) == pytest.approx(
        variances, rel=1e-5
    )


def test_equal_clusters_are_welch_on_their_means_with_pooled_spread() -> None:
    # With equal sizes REML is the analysis of variance, and Satterthwaite's degrees of freedom are clusters less two.
    cluster = np.repeat(range(10), 4)
    found, means = (
        compared(MixedModel(), evidence(cluster=cluster)),
        compared(ClusterMeans(), evidence(cluster=cluster)),
    )
    assert (found.estimate, found.standard_error) == pytest.approx((means.estimate, means.standard_error), rel=1e-7)
    assert found.df == pytest.approx(8, rel=1e-5)
    assert compared(MixedModel(df="between-within"), evidence()).df == 8


def test_no_variance_between_clusters_is_least_squares_with_the_degrees_of_freedom_of_clusters() -> None:
    value = [1, 2, 3, 4] * 5 + [2, 3, 4, 5] * 5
    found = compared(MixedModel(), evidence(value=value, cluster=np.repeat(range(10), 4)))
    assert found.details["variance between clusters"] == 0
    assert found.df == 8
    # The pooled variance of 40 values with 38 degrees of freedom: each arm has 5 times (2.25 + 0.25) * 2 = 25.
    assert (found.estimate, found.standard_error) == pytest.approx((1.0, math.sqrt(50 / 38 * (2 / 20))))
    assert "between-within" in found.method


def test_gee_equals_geepack() -> None:
    # R 4.2.2, geepack 1.3.9: geeglm(minutes ~ arm, id = rep, corstr = "exchangeable"): 2.191164761, alpha 0.813319922
    found = estimating_equations(clusters())
    assert found is not None
    assert found.difference.estimate == pytest.approx(2.191164761, rel=1e-5)
    assert found.correlation == pytest.approx(0.813319922, rel=1e-5)
    assert found.difference.df == 8


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        # R 4.2.2, clubSandwich 0.5.8 on nlme: gls(correlation = corCompSymm(0.5, ~ 1 | rep, fixed = TRUE)),
        # vcovCR(type = "CR3"), which is Mancl and DeRouen's correction
        ({}, (2.45521023766, 1.96257772542)),
        ({"stratum": STRATUM}, (2.92371052669, 1.82099783917)),
        ({"arm": CROSSED}, (-0.0629384255651, 0.4420163383830)),
    ],
)
def test_the_corrected_robust_error_equals_clubsandwich(more: dict[str, object], expected: tuple[float, float]) -> None:
    sums = sums_of(clusters(**more), by_strata=True)
    assert (sums.solved(1.0)[1][-1], math.sqrt(robust_variance(sums, 0.5))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("analysis", PARTS, ids=lambda part: part.key)
def test_what_cannot_be_compared_has_a_reason(analysis: Analysis) -> None:
    for found_in, reason in (
        (evidence(cluster=np.where(REP < 5, 0, REP)), "only one cluster"),
        (evidence(value=[4] * 40), "no spread"),
        (evidence(stratum=["a" if arm == "pilot" else "b" for arm in ARM]), "cannot be told from the strata"),
        (evidence(arm=["pilot"] * 40), "control has no customers"),
    ):
        found = analysis.compare(found_in, "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason


def test_equal_values_inside_every_cluster_leave_the_mixed_model_nothing() -> None:
    found = MixedModel().compare(evidence(value=[int(rep) % 4 for rep in REP]), "pilot")
    assert isinstance(found, NotEnoughData)


@pytest.mark.parametrize("analysis", PARTS, ids=lambda part: part.key)
@given(seed=st.integers(0, 10_000), shift=st.integers(-1000, 1000), scale=st.floats(0.1, 100))
@settings(max_examples=10, deadline=None)
def test_order_labels_scale_and_swapped_arms(analysis: Analysis, seed: int, shift: int, scale: float) -> None:
    order = np.random.default_rng(seed).permutation(40)
    moved = evidence(
        arm=[ARM[k] for k in order],
        stratum=["s" + STRATUM[k] for k in order],
        cluster=100 - REP[order],
        value=[MINUTES[k] * scale + shift for k in order],  # type: ignore[misc]
    )
    swapped = evidence(arm=ARM[::-1], stratum=STRATUM)
    first = compared(analysis, evidence(stratum=STRATUM))
    second, mirrored = compared(analysis, moved), compared(analysis, swapped)
    expected = [(value or 0) * scale for value in (first.estimate, first.low, first.high)]
    assert (second.estimate, second.low, second.high) == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale)
    turned = [-(value or 0) for value in (first.estimate, first.high, first.low)]
    assert (mirrored.estimate, mirrored.low, mirrored.high) == pytest.approx(turned, rel=1e-5)


def test_few_clusters_are_warned_of_and_sizes_are_those_of_means() -> None:
    few = np.where(REP < 5, REP % 3, 5 + REP % 3)
    for analysis in PARTS:
        assert any("below 10 in all" in warning for warning in compared(analysis, evidence(cluster=few)).warnings)
        assert analysis.power(Expected(sd=1.0), 0.3, (205, 205)) == Welch().power(Expected(sd=1.0), 0.3, (205, 205))


@pytest.mark.slow
@pytest.mark.parametrize("reps", [10, 20])
def test_type_one_error(reps: int) -> None:
    rng, refuted = np.random.default_rng(reps), [0, 0]
    for _ in range(1500):
        n = rng.integers(6, 19, reps)
        label = np.repeat(np.arange(reps), n)
        value = rng.choice(5, len(label), p=[0.03, 0.07, 0.18, 0.42, 0.30]) + 0.5 * rng.normal(size=reps)[label]
        mean = np.bincount(label, value) / n
        m2 = np.bincount(label, (value - mean[label]) ** 2)
        given_clusters = Clusters(np.arange(reps), np.arange(reps) % 2, np.zeros(reps, dtype=np.int64), n, mean, m2)
        for place, model in enumerate((mixed_model(given_clusters), estimating_equations(given_clusters))):
            refuted[place] += model is not None and model.difference.log_p < math.log(0.05)
    assert 0.035 < refuted[0] / 1500 < 0.065
    assert 0.02 < refuted[1] / 1500 < 0.065  # Mancl and DeRouen's correction is careful with few clusters
