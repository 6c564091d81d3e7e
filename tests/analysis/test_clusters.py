from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pilot.analysis import Clusters, Comparison, Evidence, Expected, NotEnoughData, Scale
from pilot.analysis.arrays import evidence_of
from pilot.analysis.clusters import (
    cluster_robust,
    design_effect,
    intraclass_correlation,
    whole_clusters,
)
from pilot.analysis.clustershuffle import cluster_permutation
from pilot.analysis.contract import Analysis
from pilot.analysis.methods.clusters import ClusterMeans, ClusterPermutation, ClusterRobust
from pilot.analysis.methods.welch import Welch
from pilot.analysis.planning import Losses, plan_size
from pilot.analysis.reach import reach
from pilot.errors import InputError

SIZES = [3, 5, 2, 4, 6, 3, 4, 5, 2, 6]
REP = np.repeat(range(10), SIZES)
Y = [
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
STRATUM = [("1", "2", "1", "2", "1", "1", "2", "1", "2", "2")[rep] for rep in REP]
TYPICAL = np.array([0.03, 0.07, 0.18, 0.42, 0.30])
CEILING = np.array([0.01, 0.02, 0.05, 0.22, 0.70])


def evidence(
    *, arm: list[str] = ARM, stratum: list[str] | None = None, cluster: np.ndarray | None = REP, value: list[int] = Y
) -> Evidence:
    return evidence_of(
        "csat",
        Scale.RATING,
        ("control", "pilot"),
        arm=arm,
        value=value,
        stratum=stratum,
        cluster=None if cluster is None else cluster.tolist(),
    )


def compared(analysis: Analysis, found_in: Evidence) -> Comparison:
    found = analysis.compare(found_in, "pilot")
    assert isinstance(found, Comparison)
    return found


CROSSED = ["pilot" if k % 3 == 0 else "control" for k in range(1, 41)]
ACROSS = ["1" if k % 4 >= 2 else "2" for k in range(1, 41)]


@pytest.mark.parametrize(
    ("analysis", "found_in", "expected"),
    [
        # R 4.2.2, clubSandwich 0.5.8: coef_test(lm(y ~ arm [+ factor(stratum)]), vcovCR(cluster, type), Satterthwaite)
        (ClusterRobust(), evidence(), (0.45, 0.34427931194190, 6.94702702702703, 0.23278497684101)),
        (
            ClusterRobust(),
            evidence(stratum=STRATUM),
            (0.46769230769231, 0.43262151958430, 5.51004633289618, 0.32469656958841),
        ),
        # Clusters with customers in both arms, and in several strata
        (
            ClusterRobust(),
            evidence(arm=CROSSED),
            (0.037037037037037, 0.240592398782844, 8.09596191496712, 0.881424494961497),
        ),
        (
            ClusterRobust(),
            evidence(arm=CROSSED, stratum=ACROSS),
            (0.062857142857143, 0.218146576188710, 8.131502783474565, 0.780446416917567),
        ),
    ],
)
def test_cr2_equals_clubsandwich(analysis: Analysis, found_in: Evidence, expected: tuple[float, ...]) -> None:
    found = compared(analysis, found_in)
    assert (found.estimate, found.standard_error, found.df, found.p_value) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("by_strata", "expected"),
    [
        # vcovCR(type = "CR1"), naive-t with 9 degrees of freedom
        (False, (0.45, 0.32414417231295, 9.0)),
        (True, (0.46769230769231, 0.36078148791702, 9.0)),
    ],
)
def test_cr1_equals_clubsandwich(by_strata: bool, expected: tuple[float, ...]) -> None:
    found = compared(ClusterRobust(correction="CR1", by_strata=by_strata), evidence(stratum=STRATUM))
    assert (found.estimate, found.standard_error, found.df) == pytest.approx(expected, rel=1e-11)


def test_clusters_of_one_are_welch() -> None:
    # HC2 of a difference of means is Welch's variance, and Bell and McCaffrey's working model pools the spreads:
    # the degrees of freedom are those of Welch with equal spreads.
    found = compared(ClusterRobust(), evidence(cluster=np.arange(40)))
    plain = compared(Welch(), evidence())
    assert (found.estimate, found.standard_error) == pytest.approx((plain.estimate, plain.standard_error), rel=1e-12)
    assert found.df == pytest.approx(38)


def test_cluster_means_are_welch_on_the_means() -> None:
    means = [float(np.mean(np.array(Y)[rep == REP])) for rep in range(10)]
    plain = evidence_of("csat", Scale.NUMBER, ("control", "pilot"), arm=["control"] * 5 + ["pilot"] * 5, value=means)
    one, two = compared(ClusterMeans(), evidence()), compared(Welch(), plain)
    assert (one.estimate, one.standard_error, one.df, one.p_value) == pytest.approx(
        (two.estimate, two.standard_error, two.df, two.p_value), rel=1e-10
    )
    assert "5 and 5 clusters" in one.sentence


def test_intraclass_correlation_by_the_analysis_of_variance() -> None:
    # R 4.2.2: anova(lm(y ~ arm + cluster)): mean squares 1.370833333333 and 0.932777777778; n0 = 3.875
    found = compared(ClusterRobust(), evidence()).details
    assert found["intraclass correlation"] == pytest.approx(0.108093287866, abs=1e-11)
    variation = np.std(SIZES) / 4
    assert found["design effect"] == pytest.approx(1 + ((1 + variation**2) * 4 - 1) * 0.108093287866)
    assert design_effect(20, 0.05) == pytest.approx(1.95)


def test_intraclass_correlation_is_undefined_where_nothing_can_be_told() -> None:
    apart = evidence(cluster=np.arange(40)).clusters
    assert apart is not None
    assert intraclass_correlation(apart) is None


def exhaustive(values: np.ndarray, arm: np.ndarray, stratum: np.ndarray, shift: float = 0.0) -> tuple[float, float]:
    """Both tails, by building every assignment."""
    moved = values - shift * arm
    ways = [
        itertools.combinations(np.flatnonzero(stratum == s), int(arm[stratum == s].sum())) for s in np.unique(stratum)
    ]
    sums = np.array([moved[list(itertools.chain(*choice))].sum() for choice in itertools.product(*ways)])
    observed = moved[arm == 1].sum()
    return float((sums >= observed - 1e-9).mean()), float((sums <= observed + 1e-9).mean())


@given(seed=st.integers(0, 100_000), strata=st.integers(1, 3))
@example(seed=16710, strata=2)  # a tail of exactly 5 percent
@settings(max_examples=30, deadline=None)
def test_the_permutation_law_equals_counting_every_assignment(seed: int, strata: int) -> None:
    rng = np.random.default_rng(seed)
    values, arm = rng.integers(2, 11, 9) / 2.0, rng.integers(0, 2, 9)
    stratum = rng.integers(0, strata, 9)
    law = cluster_permutation(values, arm, stratum, 0.9)
    if law is None:
        return
    upper, lower = exhaustive(values, arm, stratum)
    assert (math.exp(law.log_upper), math.exp(law.log_lower)) == pytest.approx((upper, lower), rel=1e-9)
    if law.low is not None:
        assert (
            exhaustive(values, arm, stratum, law.low - 1e-6)[0]
            <= 0.05
            < exhaustive(values, arm, stratum, law.low + 1e-6)[0]
        )
    if law.high is not None:
        assert (
            exhaustive(values, arm, stratum, law.high + 1e-6)[1]
            <= 0.05
            < exhaustive(values, arm, stratum, law.high - 1e-6)[1]
        )


def test_the_permutation_test_equals_coin() -> None:
    # R 4.2.2, coin 1.4-2: pvalue(oneway_test(means ~ arm, distribution = "exact")) 0.031746031746032
    means = [3.2, 4.1, 3.6, 2.9, 3.8, 4.4, 4.0, 4.6, 3.9, 4.3]
    law = cluster_permutation(means, [0] * 5 + [1] * 5, [0] * 10)
    assert law is not None
    assert math.exp(law.log_p) == pytest.approx(0.031746031746032, rel=1e-12)
    assert law.estimate == pytest.approx(4.24 - 3.52)
    assert (law.low or 0) > 0


def test_sixteen_against_sixteen_are_counted_and_random_assignments_agree() -> None:
    rng = np.random.default_rng(8)
    values, arm, none = rng.normal(size=32), np.arange(32) % 2, np.zeros(32, dtype=int)
    law = cluster_permutation(values + 0.7 * arm, arm, none)
    assert law is not None
    assert law.draws == 0
    assert math.exp(law.log_assignments) == pytest.approx(math.comb(32, 16))
    # The same clusters and far ones in a stratum without control are too many to list, and change nothing.
    many = cluster_permutation(
        np.concatenate([values + 0.7 * arm, rng.normal(size=8)]),
        np.concatenate([arm, [0, 0, 0, 0, 1, 1, 1, 1]]),
        np.concatenate([none, np.ones(8, dtype=int)]),
        draws=40_000,
    )
    assert many is not None
    assert many.draws == 40_000
    alone = cluster_permutation(values + 0.7 * arm, arm, none, draws=1)
    assert alone == law


def test_random_assignments_are_near_the_exact_law_and_repeat_with_their_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    values, arm, stratum = rng.normal(size=24), np.arange(24) % 2, np.arange(24) // 12
    exact = cluster_permutation(values, arm, stratum)
    monkeypatch.setattr("pilot.analysis.clustershuffle.MOST_LISTED", 5)
    one, two = (cluster_permutation(values, arm, stratum, seed=3) for _ in range(2))
    assert exact is not None
    assert one is not None
    assert one == two
    p = math.exp(exact.log_p)
    assert math.exp(one.log_p) == pytest.approx(p, abs=4 * math.sqrt(p / 100_000))
    assert (one.low, one.high) == pytest.approx((exact.low, exact.high), abs=0.03)


def test_too_few_clusters_for_an_exact_test_are_refused() -> None:
    for reps, reason in ((6, "only 20 ways"), (4, "only 6 ways")):
        kept = [k for k in range(40) if REP[k] < reps]
        arm = ["control" if REP[k] < reps / 2 else "pilot" for k in kept]
        found = ClusterPermutation().compare(evidence(arm=arm, cluster=REP[kept], value=[Y[k] for k in kept]), "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason
    strict = ClusterPermutation(level=0.999).compare(evidence(), "pilot")
    assert isinstance(strict, NotEnoughData)
    assert "could never be below 0.0079" in strict.reason


def test_clusters_in_both_arms_are_said_or_refused() -> None:
    found = compared(ClusterRobust(), evidence(arm=CROSSED))
    assert any("have answers in both arms" in warning for warning in found.warnings)
    for analysis in (ClusterMeans(), ClusterPermutation()):
        refused = analysis.compare(evidence(arm=CROSSED), "pilot")
        assert isinstance(refused, NotEnoughData)
        assert "take the cluster as a stratum" in refused.reason


def test_few_clusters_are_warned_of() -> None:
    few = np.where(REP < 5, REP % 3, 5 + REP % 3)
    for analysis in (ClusterRobust(), ClusterMeans()):
        assert any(
            "below 10 in all and 5 in an arm" in warning
            for warning in compared(analysis, evidence(cluster=few)).warnings
        )
    assert any("degrees of freedom" in warning for warning in compared(ClusterRobust(), evidence(cluster=few)).warnings)
    assert not any("below 10" in warning for warning in compared(ClusterRobust(), evidence()).warnings)


@pytest.mark.parametrize("analysis", [ClusterRobust(), ClusterMeans(), ClusterPermutation()], ids=lambda part: part.key)
def test_what_cannot_be_compared_has_a_reason(analysis: Analysis) -> None:
    single = evidence(cluster=np.where(REP < 5, 0, REP))
    equal = evidence(value=[4] * 40)
    empty = evidence(arm=["pilot"] * 40)
    for found_in, reason in (
        (single, "control has only one cluster"),
        (equal, "no spread"),
        (empty, "control has no answers"),
    ):
        found = analysis.compare(found_in, "pilot")
        assert isinstance(found, NotEnoughData)
        assert reason in found.reason
    with pytest.raises(InputError, match="needs clusters"):
        analysis.compare(evidence(cluster=None), "pilot")


def test_arms_that_are_the_strata_cannot_be_told_apart() -> None:
    found = ClusterRobust().compare(evidence(stratum=["a" if arm == "pilot" else "b" for arm in ARM]), "pilot")
    assert isinstance(found, NotEnoughData)
    assert found.reason == "every stratum has one arm only"


def test_clusters_across_strata_are_shuffled_together_and_that_is_said() -> None:
    found = compared(ClusterPermutation(), evidence(stratum=ACROSS))
    assert any("10 clusters lie across strata" in warning for warning in found.warnings)
    inside = compared(ClusterPermutation(), evidence(stratum=STRATUM))
    assert "shuffles inside strata" in inside.method
    whole = whole_clusters(evidence(stratum=STRATUM).clusters)  # type: ignore[arg-type]
    assert whole is not None
    assert whole.n.tolist() == SIZES


@pytest.mark.parametrize("analysis", [ClusterRobust(), ClusterMeans(), ClusterPermutation()], ids=lambda part: part.key)
@given(seed=st.integers(0, 10_000), shift=st.integers(-3, 7))
@settings(max_examples=10, deadline=None)
def test_order_labels_constants_and_swapped_arms(analysis: Analysis, seed: int, shift: int) -> None:
    order = np.random.default_rng(seed).permutation(40)
    moved = evidence(
        arm=[ARM[k] for k in order],
        stratum=["s" + STRATUM[k] for k in order],
        cluster=100 - REP[order],
        value=[Y[k] + shift for k in order],
    )
    swapped = evidence(arm=ARM[::-1], stratum=STRATUM)
    first = compared(analysis, evidence(stratum=STRATUM))
    second, mirrored = compared(analysis, moved), compared(analysis, swapped)
    assert (second.estimate, second.low, second.high) == pytest.approx(
        (first.estimate, first.low, first.high), abs=1e-7
    )
    turned = [-(value or 0) for value in (first.estimate, first.high, first.low)]
    assert (mirrored.estimate, mirrored.low, mirrored.high) == pytest.approx(turned, abs=1e-7)
    assert mirrored.log_p == pytest.approx(first.log_p, abs=1e-7)


@pytest.mark.parametrize("analysis", [ClusterRobust(), ClusterMeans(), ClusterPermutation()])
@pytest.mark.parametrize(
    ("clusters", "power"),
    # R 4.2.2, clusters as values, as Donner and Klar 2000, 5.2: power.t.test(n, delta = 3 * sqrt(2 / n), strict = TRUE)$power
    [
        (6, 0.77140143535154),
        (8, 0.7965450101338),
        (10, 0.80970693696306),
        (20, 0.83233445710267),
        (40, 0.84204667053129),
    ],
)
def test_power_with_clusters(analysis: Analysis, clusters: int, power: float) -> None:
    """Independent values with one cluster less in each arm are worth as much as t with clusters less two."""
    losses = Losses(icc=0.05, cluster_size=20)
    effect = 3 * math.sqrt(2 * (1 + 19 * 0.05) / 20 / clusters)
    drawn = (20.0 * clusters, 20.0 * clusters)
    found = reach(analysis, Expected(sd=1.0), drawn, losses, effect=effect)
    assert found.power == pytest.approx(power, abs=0.005)
    planned = plan_size(analysis.sample_size(Expected(sd=1.0), effect, power=power), losses)
    assert planned.clusters == pytest.approx((clusters, clusters), abs=1)


def test_clusters_are_said_once() -> None:
    expected = Expected(sd=1.0)
    assert ClusterRobust().sample_size(expected, 0.3) == Welch().sample_size(expected, 0.3)  # independent values
    with pytest.raises(InputError, match="cluster-means compares clusters, and nothing is said of them") as refused:
        reach(ClusterMeans(), expected, (400, 400), effect=0.3)
    assert refused.value.place == "cluster_size"


def drawn(rng: np.random.Generator, reps: int, size: int, shares: np.ndarray, icc: float) -> Clusters:
    """Ratings of customers whose latent satisfaction shares a part with their rep's other customers."""
    from scipy.special import ndtri

    cuts = ndtri(np.cumsum(shares)[:-1])
    n = rng.integers(size // 2, size + size // 2 + 1, reps)
    label = np.repeat(np.arange(reps), n)
    latent = math.sqrt(icc) * rng.normal(size=reps)[label] + math.sqrt(1 - icc) * rng.normal(size=len(label))
    value = np.searchsorted(cuts, latent) + 1.0
    mean = np.bincount(label, value) / n
    m2 = np.bincount(label, (value - mean[label]) ** 2)
    return Clusters(np.arange(reps), np.arange(reps) % 2, np.zeros(reps, dtype=np.int64), n, mean, m2)


def rejections(reps: int, repeats: int, shares: np.ndarray, icc: float, *, simple: bool = False) -> float:
    rng, refuted = np.random.default_rng(reps), 0
    for _ in range(repeats):
        found = cluster_robust(drawn(rng, reps, 12, shares, icc), simple=simple)
        refuted += found is not None and found.log_p < math.log(0.05)
    return refuted / repeats


def test_type_one_error_of_cr2_with_few_clusters() -> None:
    # Research: 4.9-5.2 percent with 6 reps, 5.2-6.2 with 10; CR1 with t 10 percent with 6.
    assert 0.035 < rejections(6, 1500, TYPICAL, 0.15) < 0.065
    assert rejections(6, 1500, TYPICAL, 0.15, simple=True) > 0.06


@pytest.mark.slow
@pytest.mark.parametrize("shares", [TYPICAL, CEILING], ids=["typical", "ceiling"])
@pytest.mark.parametrize("reps", [10, 20, 40])
@pytest.mark.parametrize("icc", [0.0, 0.15])
def test_type_one_error_of_cr2(reps: int, icc: float, shares: np.ndarray) -> None:
    assert 0.035 < rejections(reps, 6000, shares, icc) < 0.065


@pytest.mark.slow
@pytest.mark.parametrize("reps", [10, 20])
def test_type_one_error_and_coverage_of_the_cluster_permutation(reps: int) -> None:
    # Research: 4.0-4.9 percent with 10 reps, 4.9-5.4 with 20; exact tests are never above the level.
    rng, refuted, covered = np.random.default_rng(reps), 0, 0
    for _ in range(1500):
        clusters = drawn(rng, reps, 12, TYPICAL, 0.15)
        law = cluster_permutation(clusters.mean, clusters.arm, clusters.stratum)
        assert law is not None
        refuted += law.log_p <= math.log(0.05)
        covered += (law.low or -9) <= 0 <= (law.high or 9)
    assert 0.025 < refuted / 1500 < 0.065
    assert covered == 1500 - refuted
