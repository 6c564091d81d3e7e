from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.arrays import evidence_of
from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.hazards import cox
from pilot.analysis.methods.hazards import CoxRegression, LogRank
from pilot.analysis.methods.survival import KaplanMeier, RestrictedMeanTime
from pilot.analysis.sizing import Expected
from pilot.analysis.survival import events_power, kaplan_meier, log_rank
from pilot.errors import InputError

# Weeks in remission, 6-mercaptopurine against placebo: Freireich et al. 1963, Blood 21:699; the example of most textbooks.
TREATED = ([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35],
           [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])  # fmt: skip
PLACEBO = ([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [1] * 21)

# Thirty customers with ties, two strata and a covariate, made up for these tests.
TIME = [6, 7, 10, 15, 19, 25, 30, 34, 40, 40, 12, 5, 9, 9, 20, 22, 28, 31, 31, 40, 3, 8, 14, 16, 16, 27, 33, 36, 38, 40]
LEFT = [1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0]
ARM = [0] * 15 + [1] * 15
STRATUM = [0, 1, 1] * 10
CLUSTER = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9]
BEFORE = [3, 5, 2, 8, 6, 1, 4, 7, 9, 2, 3, 6, 8, 1, 5, 2, 7, 4, 3, 9, 6, 2, 5, 8, 1, 4, 3, 7, 6, 2]

ALL = [KaplanMeier(day=30), RestrictedMeanTime(day=30), LogRank(), CoxRegression(event="left")]


def thirty(*, strata: bool = False, cluster: Sequence[int] | None = None, **covariates: list[float]) -> Evidence:
    return evidence_of(
        "days",
        Scale.TIME,
        ("control", "desk"),
        arm=[("control", "desk")[a] for a in ARM],
        value=TIME,
        stratum=[f"s{s}" for s in STRATUM] if strata else None,
        cluster=cluster,
        covariates={"left": LEFT, **covariates},
    )


def clustered(cluster: Sequence[int] = CLUSTER) -> Evidence:
    return thirty(cluster=cluster)


def leukaemia() -> Evidence:
    return evidence_of(
        "weeks",
        Scale.TIME,
        ("placebo", "mercaptopurine"),
        arm=["placebo"] * 21 + ["mercaptopurine"] * 21,
        value=PLACEBO[0] + TREATED[0],
        covariates={"relapse": PLACEBO[1] + TREATED[1]},
    )


def compared(analysis: Analysis, evidence: Evidence, arm: str = "desk") -> Comparison:
    found = analysis.compare(evidence, arm)
    assert isinstance(found, Comparison)
    return found


def test_the_curve_is_that_of_the_textbooks() -> None:
    curve = kaplan_meier(*TREATED)
    # Kleinbaum and Klein 2012, Survival Analysis, table 2.1; Collett 2015: S(t) and Greenwood's standard error.
    assert [round(float(share), 4) for share in curve.share] == [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    share, variance = curve.at(10)
    assert (share, math.sqrt(variance)) == pytest.approx(
        (0.752941176471, 0.0963496529943), rel=1e-10
    )  # R survival 3.5-3
    assert curve.at(5.9) == (1.0, 0.0)


def test_intervals_and_restricted_means_are_those_of_r() -> None:
    # R 4.2.2, survival 3.5-3: survfit(Surv(t, e) ~ a, conf.type = "log-log"), summary(times = 30); print(rmean = 30)
    control, pilot = kaplan_meier(TIME[:15], LEFT[:15]), kaplan_meier(TIME[15:], LEFT[15:])
    assert control.interval(30) == pytest.approx((0.0848400004085, 0.565635429555), rel=1e-10)
    assert pilot.interval(30) == pytest.approx((0.3468262116249, 0.835179785763), rel=1e-10)
    mean, variance = pilot.restricted_mean(30)
    assert (mean, math.sqrt(variance)) == pytest.approx((24.4666666667, 2.18911858812), rel=1e-10)
    assert control.restricted_mean(30)[0] == pytest.approx(19.4)


def test_log_rank_is_that_of_r() -> None:
    plain, layered = log_rank(TIME, LEFT, ARM), log_rank(TIME, LEFT, ARM, STRATUM)
    assert plain is not None
    assert layered is not None
    # survdiff(Surv(t, e) ~ a), and + strata(s): chisq, exp, var
    assert plain.z**2 == pytest.approx(1.27739487461, rel=1e-10)
    assert plain.expected == pytest.approx((7.62624742086, 11.37375257914), rel=1e-10)
    assert layered.z**2 == pytest.approx(0.917150907641, rel=1e-10)
    assert layered.variance == pytest.approx(4.52569247923, rel=1e-10)
    # Kleinbaum and Klein 2012, section 2.5: 16.793; expected 10.75 and 19.25.
    remission = log_rank(TREATED[0] + PLACEBO[0], TREATED[1] + PLACEBO[1], [1] * 21 + [0] * 21)
    assert remission is not None
    assert round(remission.z**2, 3) == 16.793
    assert [round(number, 2) for number in remission.expected] == [10.75, 19.25]


def test_cox_is_that_of_r() -> None:
    # coxph(Surv(t, e) ~ a + z + strata(s)): coef, vcov, loglik; cox.zph: p by column and GLOBAL
    found = cox(TIME, LEFT, np.column_stack([ARM, BEFORE]), STRATUM)
    assert found is not None
    assert found.coefficients == pytest.approx([-0.4395612425924, 0.0254431770288], rel=1e-9)
    assert found.covariance.ravel() == pytest.approx(
        [0.215566947888, 0.000634387093858, 0.000634387093858, 0.009172410414142], rel=1e-8
    )
    assert found.log_likelihood == pytest.approx((-39.8796973478, -39.3927991581), rel=1e-11)
    assert found.proportional == pytest.approx([0.284243273471, 0.531963842703, 0.440997015634], rel=1e-8)
    # coxph(Surv(t, e) ~ a): without strata
    plain = cox(TIME, LEFT, ARM)
    assert plain is not None
    assert (plain.coefficients[0], plain.covariance[0, 0]) == pytest.approx((-0.501654461395, 0.214676602876), rel=1e-9)
    assert plain.proportional == pytest.approx([0.34182893994] * 2, rel=1e-9)


def test_cox_with_clusters_is_that_of_r() -> None:
    # R 4.2.2, survival 3.5-3: coxph(Surv(t, e) ~ a + z + strata(s), cluster = g)$var, and coxph(Surv(t, e) ~ a, cluster = g)$var
    found = cox(TIME, LEFT, np.column_stack([ARM, BEFORE]), STRATUM, CLUSTER)
    assert found is not None
    assert found.robust is not None
    assert found.robust.ravel() == pytest.approx(
        [0.1662538394026, -0.01791432394762, -0.0179143239476, 0.00959988190599], rel=1e-8
    )
    result = compared(CoxRegression(), clustered())
    assert result.standard_error == pytest.approx(0.433179077812, rel=1e-9)
    assert (result.statistic, result.p_value) == pytest.approx((-1.15807638709, 0.246832865167), rel=1e-8)
    assert "robust for clusters" in result.method
    assert result.details["clusters in control"] == 5
    assert result.details["clusters in desk"] == 5
    assert any("10 clusters; below 40" in warning for warning in result.warnings)


def test_customers_that_are_their_own_cluster_have_the_usual_error() -> None:
    usual = compared(CoxRegression(), thirty())
    assert compared(CoxRegression(), clustered(range(30))).standard_error == usual.standard_error


def test_one_cluster_in_an_arm_shows_no_spread() -> None:
    found = CoxRegression().compare(clustered([1] * 15 + CLUSTER[15:]), "desk")
    assert isinstance(found, NotEnoughData)
    assert found.reason == "control has only one cluster; a spread between clusters needs at least two"


def test_the_profile_interval_is_that_of_r() -> None:
    # coxph(... offset(b * a) ...): values of b at which twice the fall of the log-likelihood is qchisq(level, 1), by uniroot
    found, plain = cox(TIME, LEFT, np.column_stack([ARM, BEFORE]), STRATUM), cox(TIME, LEFT, ARM)
    assert found is not None
    assert plain is not None
    assert found.profile_interval() == pytest.approx((-1.371616771944, 0.478096862312), abs=1e-9)
    assert found.profile_interval(0.9) == pytest.approx((-1.217061957147, 0.327859381676), abs=1e-9)
    assert plain.profile_interval() == pytest.approx((-1.431778018587, 0.414341244676), abs=1e-9)


def test_the_profile_interval_agrees_with_its_test() -> None:
    evidence = thirty()
    p = compared(CoxRegression(interval="profile"), evidence).p_value
    assert p is not None
    edge = compared(CoxRegression(interval="profile", level=1 - p), evidence)
    assert edge.high == pytest.approx(1, abs=1e-6)
    assert edge.standard_error == compared(CoxRegression(), evidence).standard_error
    beside = compared(CoxRegression(interval="profile"), clustered())
    assert (beside.low, beside.high) == (
        compared(CoxRegression(), clustered()).low,
        compared(CoxRegression(), clustered()).high,
    )
    assert any("no likelihood to profile" in warning for warning in beside.warnings)


def test_cox_of_the_remissions_is_that_of_the_textbooks() -> None:
    found = compared(CoxRegression(), leukaemia(), "mercaptopurine")
    # Efron's ties: b = -1.572 (0.412), as in Kleinbaum and Klein 2012 and in SAS; R prints -1.57212514883.
    assert found.details["log hazard ratio"] == pytest.approx(-1.57212514883, rel=1e-9)
    assert found.standard_error == pytest.approx(0.412396717709, rel=1e-9)
    assert found.sentence == (
        "the hazard ratio of weeks is 0.21 in mercaptopurine against placebo (95 % interval 0.09 to 0.47; 21 and 21 customers); "
        "the whole interval lies on the better side."
    )


def test_without_censoring_curves_are_shares_and_means() -> None:
    time = np.array([5, 5, 10, 20, 40, 80, 90, 100, 100, 120.0])
    curve = kaplan_meier(time, np.ones(10))
    share, variance = curve.at(60)
    assert (share, variance) == pytest.approx((0.5, 0.5 * 0.5 / 10))
    mean, variance = curve.restricted_mean(200)
    assert mean == pytest.approx(time.mean())
    assert variance == pytest.approx(((time - time.mean()) ** 2).sum() / 100)  # the variance of a mean, over n


def test_the_difference_of_retention() -> None:
    found = compared(KaplanMeier(day=30), thirty())
    assert found.estimate == pytest.approx(0.646153846154 - 0.305555555556, rel=1e-9)
    assert found.standard_error == pytest.approx(math.hypot(0.135435460867, 0.127523235899), rel=1e-9)
    assert found.details["low of desk"] == pytest.approx(0.3468262116249, rel=1e-9)
    assert found.sentence.startswith(
        "retention at day 30 (days) is 34.1 percentage points higher in desk than in control"
    )
    assert [arm.mean for arm in found.arms] == pytest.approx([0.305555555556, 0.646153846154], rel=1e-9)
    mean = compared(RestrictedMeanTime(day=30), thirty())
    assert mean.estimate == pytest.approx(24.4666666667 - 19.4, rel=1e-9)
    assert mean.standard_error == pytest.approx(math.hypot(2.62284570951, 2.18911858812), rel=1e-9)


def test_the_ratio_of_the_log_rank_test_is_one_step_of_newton() -> None:
    found = compared(LogRank(), thirty())
    u, v = 9 - 11.37375257914, 4.41108808167
    assert found.estimate == pytest.approx(math.exp(u / v), rel=1e-9)
    assert (found.low, found.high) == pytest.approx(
        tuple(math.exp(u / v + side * 1.959963984540054 / math.sqrt(v)) for side in (-1, 1)), rel=1e-9
    )


def test_strata_are_weighted_to_the_population() -> None:
    evidence = thirty(strata=True)
    parts = []
    for stratum in (0, 1):
        cells = [
            [(t, e) for t, e, a, s in zip(TIME, LEFT, ARM, STRATUM, strict=True) if (a, s) == (arm, stratum)]
            for arm in (0, 1)
        ]
        control, pilot = (kaplan_meier(*zip(*cell, strict=True)).at(30) for cell in cells)
        parts.append((pilot[0] - control[0], pilot[1] + control[1]))
    found = compared(KaplanMeier(day=30), replace(evidence, population=np.array([300, 100])))
    assert found.estimate == pytest.approx(0.75 * parts[0][0] + 0.25 * parts[1][0])
    assert found.standard_error == pytest.approx(math.sqrt(0.5625 * parts[0][1] + 0.0625 * parts[1][1]))
    assert "2 strata weighted by population" in found.method
    pooled = compared(KaplanMeier(day=30, by_strata=False), evidence)
    assert pooled.estimate == compared(KaplanMeier(day=30), thirty()).estimate


def test_a_stratum_not_observed_so_long_is_joined_and_named() -> None:
    evidence = thirty(strata=True)
    assert evidence.rows is not None
    short = replace(
        evidence.rows, value=np.where(evidence.rows.stratum == 0, evidence.rows.value / 10, evidence.rows.value)
    )
    found = compared(KaplanMeier(day=30), replace(evidence, rows=short))
    assert any("were joined, with the next smallest where needed: s0, s1 (" in warning for warning in found.warnings)


def test_strata_that_say_nothing_are_counted() -> None:
    evidence = thirty(strata=True)
    assert evidence.rows is not None
    quiet = {"left": np.where(evidence.rows.stratum == 0, 0.0, evidence.rows.covariates["left"])}
    found = compared(LogRank(), replace(evidence, rows=replace(evidence.rows, covariates=quiet)))
    assert any("10 customers are in strata that cannot compare the arms" in warning for warning in found.warnings)


def test_hazards_that_cross_are_warned_of() -> None:
    # control loses 60 early and nobody later; the pilot arm nobody early and 80 later
    time = np.concatenate([np.arange(1, 61) / 3, np.full(40, 100), 60 + np.arange(1, 81) / 4, np.full(20, 100)])
    event = np.concatenate([np.ones(60), np.zeros(40), np.ones(80), np.zeros(20)])
    evidence = evidence_of(
        "days",
        Scale.TIME,
        ("control", "desk"),
        arm=["control"] * 100 + ["desk"] * 100,
        value=time,
        covariates={"left": event},
    )
    found = compared(CoxRegression(), evidence)
    assert any("changes with time" in warning for warning in found.warnings)


def test_unequal_follow_up_is_warned_of() -> None:
    rng = np.random.default_rng(5)
    time, limit = rng.exponential(200, 200), np.repeat([100.0, 300.0], 100)
    evidence = evidence_of(
        "days",
        Scale.TIME,
        ("control", "desk"),
        arm=["control"] * 100 + ["desk"] * 100,
        value=np.minimum(time, limit),
        covariates={"left": time <= limit},
    )
    assert any("not observed equally long" in warning for warning in compared(LogRank(), evidence).warnings)


@pytest.mark.parametrize("analysis", ALL, ids=lambda part: part.key)
def test_too_little_is_an_outcome_with_a_reason(analysis: Analysis) -> None:
    evidence = thirty()
    assert evidence.rows is not None
    quiet = replace(evidence, rows=replace(evidence.rows, covariates={"left": np.zeros(30)}))
    found = analysis.compare(quiet, "desk")
    assert isinstance(found, NotEnoughData)
    assert "event" in found.reason
    nobody = replace(evidence, arms=("control", "other", "desk"), moments=None)
    rows = replace(evidence.rows, arm=np.zeros(30, dtype=np.int64))
    moments = evidence.moments
    assert moments is not None
    empty = analysis.compare(replace(evidence, rows=rows), "desk")
    assert empty == NotEnoughData(analysis.key, "days", "desk", "desk has no customers")
    with pytest.raises(InputError, match="needs moments"):
        analysis.compare(nobody, "desk")


def test_a_day_that_nobody_reached_is_an_outcome_with_a_reason() -> None:
    for analysis in (KaplanMeier(day=41), RestrictedMeanTime(day=41)):
        found = analysis.compare(thirty(), "desk")
        assert isinstance(found, NotEnoughData)
        assert "until day 41; the longest time is 40 days" in found.reason
    with pytest.raises(InputError, match="nobody was observed for 41 days"):
        kaplan_meier(TIME, LEFT).at(41)


def test_arms_separated_in_time_have_no_hazard_ratio() -> None:
    assert cox([1, 2, 3, 10, 11, 12], [1] * 6, [0, 0, 0, 1, 1, 1]) is None
    assert cox([1, 2, 3, 4], [1, 1, 1, 1], [1, 1, 1, 1]) is None
    assert log_rank([1, 2, 3, 4], [0, 0, 1, 1], [0, 0, 1, 1]) is None


def test_bad_times_and_events_are_refused_by_name() -> None:
    evidence = thirty()
    assert evidence.rows is not None
    with pytest.raises(InputError, match="must be 1 or 0") as caught:
        LogRank().compare(replace(evidence, rows=replace(evidence.rows, covariates={"left": np.full(30, 2.0)})), "desk")
    assert caught.value.place == "days, covariate left"
    with pytest.raises(InputError, match="a time is negative"):
        LogRank().compare(replace(evidence, rows=replace(evidence.rows, value=-evidence.rows.value)), "desk")
    with pytest.raises(InputError, match="not clear which covariate"):
        LogRank().compare(thirty(before=BEFORE), "desk")
    with pytest.raises(InputError, match="no covariate 'gone'"):
        LogRank(event="gone").compare(evidence, "desk")
    with pytest.raises(InputError, match="negative"):
        kaplan_meier([-1.0], [1])


def test_clusters_and_weights_that_are_not_used_are_said() -> None:
    evidence = thirty()
    assert evidence.rows is not None
    rows = replace(evidence.rows, cluster=np.arange(30) // 2, weight=np.linspace(1, 2, 30))
    found = compared(LogRank(), replace(evidence, rows=rows))
    assert any("same cluster are taken as independent" in warning for warning in found.warnings)
    assert any("weights" in warning for warning in found.warnings)


@pytest.mark.parametrize("analysis", ALL, ids=lambda part: part.key)
@given(order=st.permutations(range(30)), scale=st.sampled_from([0.5, 3.0]))
@settings(max_examples=10, deadline=None)
def test_order_unit_of_time_and_swapped_arms(analysis: Analysis, order: list[int], scale: float) -> None:
    evidence = thirty(strata=True)
    rows = evidence.rows
    assert rows is not None
    found = compared(analysis, evidence)
    mixed = replace(rows, arm=rows.arm[order], stratum=rows.stratum[order], value=rows.value[order], covariates={"left": rows.covariates["left"][order]})  # fmt: skip
    assert compared(analysis, replace(evidence, rows=mixed)).estimate == pytest.approx(found.estimate, rel=1e-9)
    longer = replace(evidence, rows=replace(rows, value=rows.value * scale))
    stretched = replace(analysis, day=30 * scale) if hasattr(analysis, "day") else analysis
    factor = scale if analysis.key == "restricted-mean-time" else 1.0
    assert compared(stretched, longer).estimate == pytest.approx(found.estimate * factor, rel=1e-9)
    swapped = compared(analysis, replace(evidence, rows=replace(rows, arm=1 - rows.arm)))
    assert swapped.log_p == pytest.approx(found.log_p, rel=1e-6)
    expected = 1 / found.estimate if found.measure == "hazard ratio" else -found.estimate
    assert swapped.estimate == pytest.approx(expected, rel=1e-6)


def test_planning_follows_schoenfeld() -> None:
    # Schoenfeld 1983; Collett 2015, Modelling Survival Data, chapter on sample size: ratio 0.57, 90 % power, 5 %: 133 deaths.
    # R: 4 * (qnorm(.975) + qnorm(.9))^2 / log(.57)^2 = 133.0148
    control, pilot = LogRank().sample_size(Expected(events=1.0), math.log(0.57), power=0.9)
    assert control + pilot == pytest.approx(133.0148, abs=1e-3)
    assert sum(LogRank().sample_size(Expected(events=0.25), math.log(0.57), power=0.9)) == pytest.approx(
        4 * 133.0148, abs=4e-3
    )
    assert events_power(0.0, 100, 0.5, 0.95) == pytest.approx(0.05)
    assert CoxRegression().mde(Expected(events=0.5), (133, 133), power=0.9, sign=-1) == pytest.approx(
        math.log(0.57), abs=1e-3
    )


def test_planning_retention() -> None:
    # two shares, unpooled: n = (1.959964 + 0.841621)^2 (0.8 * 0.2 + 0.9 * 0.1) / 0.1^2 = 196.222 per arm
    assert KaplanMeier(day=90).sample_size(Expected(mean=0.8), 0.1) == pytest.approx((196.222, 196.222), abs=1e-2)
    with pytest.raises(InputError, match="no share"):
        KaplanMeier(day=90).power(Expected(mean=0.8), 0.3, (100, 100))
    # a z test of two means: n = 2 (1.959964 + 0.841621)^2 (20 / 8)^2 = 98.111 per arm
    assert RestrictedMeanTime(day=90).sample_size(Expected(sd=20), 8) == pytest.approx((98.111, 98.111), abs=1e-2)


def false_alarms(size: int, rounds: int, seed: int) -> dict[str, float]:
    """Share of rounds in which each test refutes arms that do not differ; 25 to 40 % leave, follow-up differs by customer."""
    rng = np.random.default_rng(seed)
    arm, alarms = np.repeat([0, 1], size), np.zeros(4)
    for _ in range(rounds):
        left, limit = rng.exponential(300, 2 * size), rng.uniform(100, 250, 2 * size)
        time, seen = np.minimum(left, limit), left <= limit
        control, pilot = (kaplan_meier(time[arm == row], seen[arm == row]) for row in (0, 1))
        zs = []
        for (value0, variance0), (value1, variance1) in (
            (control.at(90), pilot.at(90)),
            (control.restricted_mean(90), pilot.restricted_mean(90)),
        ):
            zs.append((value1 - value0) / math.sqrt(variance0 + variance1))
        ranks, model = log_rank(time, seen, arm), cox(time, seen, arm)
        assert ranks is not None
        assert model is not None
        zs += [ranks.z, float(model.coefficients[0]) / math.sqrt(model.covariance[0, 0])]
        alarms += np.abs(zs) > 1.959963984540054
    return dict(zip(("curve", "mean", "ranks", "cox"), alarms / rounds, strict=True))


def test_false_alarms_at_100() -> None:
    rates = false_alarms(100, 600, 11)
    allowed = 4 * math.sqrt(0.05 * 0.95 / 600) + 0.003
    assert all(abs(rate - 0.05) < allowed for rate in rates.values()), rates


@pytest.mark.slow
@pytest.mark.parametrize(("size", "curves"), [(30, 0.065), (100, 0.052), (1000, 0.05)])
def test_false_alarms(size: int, curves: float) -> None:
    # statistics of the plan: log-rank 4.9 / 5.1 / 4.6 % at 20 / 60 / 150 per arm, Kaplan-Meier 6.7 / 5.6 / 5.2 %
    rounds = 5000 if size < 1000 else 2000
    rates = false_alarms(size, rounds, 12)
    for name, target in (("curve", curves), ("mean", curves), ("ranks", 0.05), ("cox", 0.05)):
        allowed = 4 * math.sqrt(target * (1 - target) / rounds) + 0.003
        assert abs(rates[name] - target) < allowed, (name, rates)


def test_clusters_that_all_lose_everybody_on_one_day_show_no_spread() -> None:
    found = CoxRegression().compare(
        evidence_of(
            "time",
            Scale.TIME,
            ("control", "pilot"),
            arm=["control", "control", "pilot", "pilot"] * 4,
            value=[3.01] * 16,
            cluster=[f"rep {place % 8}" for place in range(16)],
            covariates={"event": [1] * 16},
        ),
        "pilot",
    )
    assert isinstance(found, NotEnoughData)
    assert found.reason == "the clusters do not differ, so their spread is not seen"
