from __future__ import annotations

import math

import numpy as np
import pytest

from pilot.analysis import (
    Comparison,
    Evidence,
    Expected,
    Moments,
    NonInferiority,
    NotEnoughData,
    Scale,
    StratifiedDifference,
    mean_difference,
)
from pilot.analysis.methods.noninferiority import Equivalence, NonInferiorityShares
from pilot.analysis.methods.noninferiorityranks import NonInferiorityRanks
from pilot.analysis.methods.ranks import BrunnerMunzel
from pilot.analysis.shares import miettinen_nurminen
from pilot.errors import InputError


def rating(control: list[int], pilot: list[int], **more: object) -> Evidence:
    return Evidence.from_counts(
        "csat",
        Scale.RATING,
        ("control", "pilot"),
        (1, 2, 3, 4, 5),
        [[control], [pilot]],
        **more,  # type: ignore[arg-type]
    )


def cost(mean: tuple[float, float], sd: float = 10.0, n: int = 100) -> Evidence:
    moments = Moments(np.full((2, 1), n), np.array(mean)[:, None], np.full((2, 1), sd**2 * (n - 1)))
    return Evidence("cost", Scale.MONEY, False, ("control", "pilot"), moments=moments)


def compared(evidence: Evidence, margin: float) -> Comparison:
    found = NonInferiority(margin=margin).compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    return found


def test_passes_with_the_limit_inside_the_margin_only() -> None:
    evidence = rating([10, 20, 60, 130, 80], [12, 24, 58, 132, 74])
    low = compared(evidence, 1.0).low
    assert low is not None
    assert low < 0
    assert compared(evidence, -low + 1e-9).passed is True
    assert compared(evidence, -low).passed is False  # exactly on the margin does not pass
    assert compared(evidence, -low - 1e-9).passed is False


def test_p_value_and_limit_agree() -> None:
    evidence = rating([10, 20, 60, 130, 80], [12, 24, 58, 132, 74])
    low = compared(evidence, 1.0).low or 0.0
    assert compared(evidence, -low).p_value == pytest.approx(0.025, rel=1e-9)
    assert compared(evidence, -low).alternative == f"greater than {low:g}"


def test_lower_is_better_turns_the_rule_round() -> None:
    # sd 10, 100 each: standard error 1.4142, t(198) 1.972: 0.5 dearer has the limits -2.289 and 3.289.
    dearer = compared(cost((20.0, 20.5)), 3.0)
    assert (dearer.low, dearer.high) == pytest.approx((-2.289, 3.289), abs=1e-3)
    assert dearer.passed is False
    assert dearer.alternative == "less than 3"
    assert compared(cost((20.0, 20.5)), 3.3).passed is True
    assert math.exp(dearer.log_p or 0) == pytest.approx(0.0393, abs=1e-4)  # t = (0.5 - 3) / 1.4142 = -1.768
    cheaper = compared(cost((20.0, 12.0)), 3.0)
    assert cheaper.passed is True
    assert "even the worse end of the interval stays within the margin of 3.00" in cheaper.sentence


def test_worse_within_the_margin_is_still_called_worse() -> None:
    found = compared(rating([40, 80, 240, 520, 320], [60, 104, 264, 500, 272]), 0.35)
    assert found.passed is True
    assert (found.high or 0) < 0
    assert found.sentence.startswith("csat is 0.15 lower in pilot than in control")
    assert found.sentence.endswith(
        "the whole interval lies below zero, so it is lower, yet by less than the margin of 0.35."
    )


def test_open_and_refuted_are_told_apart() -> None:
    assert "is not ruled out" in compared(rating([1, 2, 6, 13, 8], [1, 2, 6, 13, 8]), 0.1).sentence
    worse = compared(rating([0, 10, 20, 130, 80], [60, 60, 60, 30, 10]), 0.25)
    assert worse.passed is False
    assert "the whole interval lies beyond the margin" in worse.sentence


def test_strata_are_used_where_they_exist() -> None:
    counts = np.array([[[2, 3, 20], [9, 5, 1]], [[1, 4, 15], [12, 14, 6]]])
    evidence = Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3), counts, strata=("north", "south"), population=[500, 100]
    )
    found, stratified = compared(evidence, 0.25), StratifiedDifference().compare(evidence, "pilot")
    assert isinstance(stratified, Comparison)
    assert (found.estimate, found.low, found.high) == (stratified.estimate, stratified.low, stratified.high)
    assert "2 strata weighted by population" in found.method


def test_margin_is_needed_and_positive() -> None:
    with pytest.raises(InputError, match="margin"):
        NonInferiority.restore({})
    for margin in (0, -0.2, float("nan"), float("inf")):
        with pytest.raises(InputError, match="margin"):
            NonInferiority.restore({"margin": margin})


def test_one_answer_is_not_enough() -> None:
    found = NonInferiority(margin=0.2).compare(rating([0, 0, 0, 0, 1], [0, 0, 3, 2, 1]), "pilot")
    assert isinstance(found, NotEnoughData)
    assert found.reason == "control has only one of the answers; a spread needs at least two"


TYPICAL = (0.03, 0.07, 0.18, 0.42, 0.30)
TYPICAL_WORSE = (0.03, 0.07, 0.28, 0.42, 0.20)  # 0.2 lower: a tenth moves from 5 to 4, and a tenth from 4 to 3
CEILING = (0.01, 0.02, 0.05, 0.22, 0.70)
CEILING_WORSE = (0.01, 0.02, 0.05, 0.42, 0.50)


def passes_at_the_margin(control: tuple[float, ...], pilot: tuple[float, ...], n: int, runs: int) -> float:
    """How often an arm that is worse by exactly the margin of 0.2 passes."""
    random = np.random.default_rng(n)
    levels = np.arange(1, 6)
    counts = np.stack([random.multinomial(n, shares, size=runs) for shares in (control, pilot)], axis=1)
    means = counts @ levels / n
    squares = (counts * (levels - means[..., None]) ** 2).sum(axis=2)
    passed = 0
    for mean, m2 in zip(means, squares, strict=True):
        found = mean_difference((n, n), mean, m2)
        passed += found is not None and found.interval()[0] > -0.2
    return passed / runs


def test_an_arm_at_the_margin_passes_as_rarely_as_it_should() -> None:
    rate = passes_at_the_margin(TYPICAL, TYPICAL_WORSE, 60, 8_000)
    assert abs(rate - 0.025) < 4 * math.sqrt(0.025 * 0.975 / 8_000) + 0.003


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 1000])
@pytest.mark.parametrize(("control", "pilot"), [(TYPICAL, TYPICAL_WORSE), (CEILING, CEILING_WORSE)])
def test_an_arm_at_the_margin_passes_at_most_3_3_percent(
    control: tuple[float, ...], pilot: tuple[float, ...], n: int
) -> None:
    runs = 40_000
    rate = passes_at_the_margin(control, pilot, n, runs)
    assert rate < 0.033
    assert abs(rate - 0.025) < 4 * math.sqrt(0.025 * 0.975 / runs) + 0.006


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rate"), [(200, 0.032), (400, 0.05), (1000, 0.05)])
def test_arms_at_the_margin_are_called_equivalent_as_rarely_as_they_should(n: int, rate: float) -> None:
    """At 200 per arm the interval is mostly too wide to fit, so that the chance is below 5 %."""
    random, runs, levels = np.random.default_rng(n), 20_000, np.arange(1, 6)
    counts = np.stack([random.multinomial(n, shares, size=runs) for shares in (TYPICAL, TYPICAL_WORSE)], axis=1)
    means = counts @ levels / n
    squares = (counts * (levels - means[..., None]) ** 2).sum(axis=2)
    passed = 0
    for mean, m2 in zip(means, squares, strict=True):
        found = mean_difference((n, n), mean, m2)
        assert found is not None
        low, high = found.interval(0.9)
        passed += low > -0.2 and high < 0.2
    assert abs(passed / runs - rate) < 4 * math.sqrt(0.05 * 0.95 / runs) + 0.003


# R 4.2.2: power.t.test(delta = effect + margin, sd = 1, sig.level = 0.025, alternative = "one.sided", power = ...)$n;
# the formula of Julious 2004, Statistics in Medicine 23:1921, for non-inferiority.
@pytest.mark.parametrize(
    ("effect", "margin", "power", "n"),
    [
        (0.0, 0.5, 0.9, 85.0312893854),
        (0.0, 0.2, 0.8, 393.406656226),
        (-0.1, 0.2, 0.8, 1570.736888),
        (0.3, 0.2, 0.9, 85.0312893854),
    ],
)
def test_sizes_count_from_the_margin_not_from_zero(effect: float, margin: float, power: float, n: float) -> None:
    found = NonInferiority(margin).sample_size(Expected(sd=1.0), effect, power=power)
    assert found == pytest.approx((n, n), abs=2e-3)


def test_power_with_unequal_arms_and_spreads() -> None:
    # R 4.2.2: 1 - pt(qt(.975, df), df, .4 / se) with Welch's df at sd 1 and 1.3, n 40 and 90.
    expected = Expected(sd=1.0, sd_pilot=1.3)
    assert NonInferiority(0.3).power(expected, 0.1, (40, 90)) == pytest.approx(0.473145288974, abs=1e-10)
    assert NonInferiority(0.2).mde(Expected(sd=1.0), (1000, 1000)) == 0.0  # no effect at all is shown well enough
    with pytest.raises(InputError, match="no number of units is enough"):
        NonInferiority(0.2).sample_size(Expected(sd=1.0), -0.2)


def yes_no(control: tuple[int, int], pilot: tuple[int, int], **more: object) -> Evidence:
    counts = [[[n - yes, yes]] for yes, n in (control, pilot)]
    return Evidence.from_counts("kept", Scale.BINARY, ("control", "pilot"), (0, 1), counts, **more)  # type: ignore[arg-type]


def test_share_and_its_limit_agree_at_the_margin() -> None:
    low, high = miettinen_nurminen((170, 200), (178, 200))
    for evidence, limit in (
        (yes_no((178, 200), (170, 200)), -low),
        (yes_no((22, 200), (30, 200), higher_is_better=False), -low),
    ):
        found = NonInferiorityShares(limit).compare(evidence, "pilot")
        assert isinstance(found, Comparison)
        assert found.p_value == pytest.approx(0.025, rel=1e-7)
        inside = NonInferiorityShares(limit + 1e-6).compare(evidence, "pilot")
        outside = NonInferiorityShares(limit - 1e-6).compare(evidence, "pilot")
        assert isinstance(inside, Comparison)
        assert isinstance(outside, Comparison)
        assert (inside.passed, outside.passed) == (True, False)
        assert (inside.details["Farrington-Manning p"] or 1) < (inside.p_value or 0)
    assert high > 0


def test_worse_share_within_the_margin_is_still_called_worse() -> None:
    found = NonInferiorityShares(0.08).compare(yes_no((1900, 2000), (1840, 2000)), "pilot")
    assert isinstance(found, Comparison)
    assert found.passed is True
    assert found.sentence.endswith(
        "the whole interval lies below zero, so it is lower, yet by less than the margin of 8.0 percentage points."
    )


def test_shares_use_strata_where_there_are_any() -> None:
    counts = [[[10, 90], [30, 40]], [[14, 96], [33, 37]]]
    evidence = Evidence.from_counts(
        "kept", Scale.BINARY, ("control", "pilot"), (0, 1), counts, strata=("a", "b"), population=[900, 100]
    )
    found = NonInferiorityShares(0.15).compare(evidence, "pilot")
    weighted = NonInferiorityShares(0.15, "population").compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert isinstance(weighted, Comparison)
    assert "2 strata by Mantel-Haenszel weights" in found.method
    assert "2 strata weighted by population" in weighted.method
    assert weighted.estimate == pytest.approx(0.9 * (96 / 110 - 90 / 100) + 0.1 * (37 / 70 - 40 / 70))


# R 4.2.2: Farrington and Manning's method 3, the restricted shares by uniroot() on the slope of the likelihood.
@pytest.mark.parametrize(
    ("control", "effect", "margin", "level", "power", "share", "n"),
    [
        (0.85, 0.0, 0.10, 0.95, 0.80, 0.5, (206.903075543, 206.903075543)),
        (0.70, 0.0, 0.07, 0.95, 0.90, 0.5, (899.84151815, 899.84151815)),
        (0.60, 0.05, 0.10, 0.95, 0.80, 2 / 3, (118.10875497, 236.21750994)),
        (0.90, -0.02, 0.08, 0.90, 0.85, 0.5, (403.632909424, 403.632909424)),
    ],
)
def test_sizes_of_shares_by_farrington_and_manning(
    control: float, effect: float, margin: float, level: float, power: float, share: float, n: tuple[float, float]
) -> None:
    analysis = NonInferiorityShares(margin, level=level)
    assert analysis.sample_size(Expected(mean=control, share=share), effect, power=power) == pytest.approx(n, abs=1e-3)


def test_planned_power_of_shares_is_close_to_the_exact_one() -> None:
    # R 4.2.2: all tables of 60 and 60 at 0.85, margin 0.15, gone through with dbinom(): 0.607.
    assert NonInferiorityShares(0.15).power(Expected(mean=0.85), 0.0, (60, 60)) == pytest.approx(0.607, abs=0.03)


def test_ranks_pass_with_the_limit_inside_the_margin_only() -> None:
    evidence = rating([10, 20, 60, 130, 80], [12, 24, 58, 132, 74])
    for form in ("t", "logit"):
        plain = BrunnerMunzel(form=form).compare(evidence, "pilot")
        assert isinstance(plain, Comparison)
        margin = 0.5 - (plain.low or 0)
        at = NonInferiorityRanks(margin, form).compare(evidence, "pilot")
        assert isinstance(at, Comparison)
        assert (at.low, at.high) == (plain.low, plain.high)
        assert at.p_value == pytest.approx(0.025, rel=1e-7)
        inside = NonInferiorityRanks(margin + 1e-6, form).compare(evidence, "pilot")
        assert isinstance(inside, Comparison)
        assert (inside.passed, inside.alternative) == (True, f"greater than {0.5 - margin - 1e-6:g}")
    worse = NonInferiorityRanks(0.2).compare(rating([40, 80, 240, 520, 320], [80, 124, 274, 480, 242]), "pilot")
    assert isinstance(worse, Comparison)
    assert worse.passed is True
    assert worse.sentence.endswith(
        "the whole interval lies on the worse side of one half, yet by less than the margin of 0.2."
    )


def test_ranks_of_an_outcome_where_less_is_better_and_of_separated_arms() -> None:
    turned = rating([1, 2, 6, 13, 8], [1, 2, 6, 13, 8], higher_is_better=False)
    found = NonInferiorityRanks(0.3).compare(turned, "pilot")
    assert isinstance(found, Comparison)
    assert (found.passed, found.alternative) == (True, "less than 0.8")
    apart = NonInferiorityRanks(0.1).compare(rating([0, 9, 11, 0, 0], [0, 0, 0, 8, 12]), "pilot")
    assert isinstance(apart, Comparison)
    assert (apart.passed, apart.p_value) == (True, None)
    assert any("nothing is tested" in warning for warning in apart.warnings)


def test_size_of_ranks_is_noethers_at_the_margin() -> None:
    # Noether 1987: N = (1.959964 + 0.841621)^2 / (12 x 1/4 x 0.1^2) = 261.63 in all, without ties.
    assert sum(NonInferiorityRanks(0.1).sample_size(Expected(), 0.0)) == pytest.approx(261.63, abs=0.01)
    assert sum(NonInferiorityRanks(0.15).sample_size(Expected(), -0.05)) == pytest.approx(261.63, abs=0.01)


def equal(margin: float, **more: object) -> Comparison:
    found = Equivalence(margin).compare(rating([3, 7, 18, 42, 30], [4, 6, 20, 40, 30], **more), "pilot")
    assert isinstance(found, Comparison)
    return found


def test_two_one_sided_tests_as_in_r() -> None:
    # R 4.2.2: t.test(y, x, mu = -.4, alternative = "greater"), t.test(y, x, mu = .4, alternative = "less"),
    # t.test(y, x, conf.level = .9)
    found = equal(0.4)
    assert found.p_value == pytest.approx(0.00590264720760, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((-0.270592462218, 0.210592462218), abs=1e-12)
    assert found.alternative == "between -0.4 and 0.4"
    assert equal(0.2).p_value == pytest.approx(equal(0.2, higher_is_better=False).p_value)


def test_equivalence_passes_with_both_limits_inside_only() -> None:
    edge = -(equal(1.0).low or 0)
    assert (equal(edge + 1e-9).passed, equal(edge).passed) == (True, False)
    assert equal(edge).p_value == pytest.approx(0.05, rel=1e-9)
    assert equal(0.4).sentence.endswith("the whole interval stays within the margin of 0.40 on either side.")
    assert equal(0.2).sentence.endswith("a true difference of 0.20 or more is not ruled out.")
    worse = Equivalence(0.35).compare(rating([40, 80, 240, 520, 320], [60, 104, 264, 500, 272]), "pilot")
    assert isinstance(worse, Comparison)
    assert worse.sentence.endswith("lies below zero, so it is lower, yet by less than the margin of 0.35.")


def test_equivalence_plans_for_the_likely_true_difference() -> None:
    # Normal approximation 2 (1.644854 + 1.281552)^2 / 0.5^2 = 68.5 at power 0.8 and no difference; t adds about one.
    n = Equivalence(0.5).sample_size(Expected(sd=1.0), 0.0)[0]
    assert 68.5 < n < 70.5
    assert Equivalence(0.5).power(Expected(sd=1.0), 0.0, (n, n)) == pytest.approx(0.8, abs=1e-9)
    assert Equivalence(0.5).power(Expected(sd=1.0), 0.5, (n, n)) < 0.0501
