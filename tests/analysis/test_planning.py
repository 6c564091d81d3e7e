"""From analysed units to customers to draw, and back."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from pilot.analysis import (
    Analysis,
    Evidence,
    ExactPermutation,
    Expected,
    Moments,
    NonInferiority,
    Scale,
    Welch,
    exact_permutation,
)
from pilot.analysis.methods.noninferiority import NonInferiorityShares
from pilot.analysis.methods.sampleratio import SampleRatio
from pilot.analysis.planning import Losses, check_clusters, plan_size, smallest_cluster_p
from pilot.analysis.precision import survey_precision, survey_size
from pilot.analysis.reach import at_level, reach, several_arms
from pilot.analysis.sizing import smallest_effect, smallest_size
from pilot.errors import InputError
from pilot.plugins.builtin.analyses import register_analyses

from .conftest import instance

PAGE = Path(__file__).resolve().parents[2] / "docs" / "planning.md"

TWO = 2 * float(ndtr(2)) - 1
"""The level at which the normal quantile is 2, as Cochran takes it."""


def test_a_share_of_a_small_island_is_cochrans() -> None:
    # Cochran 1977, 4.4: within 5 % of a share near 50 %, n0 = 400; of 3,200 inhabitants, n = 356.
    assert survey_size(0.05, share=0.5, level=TWO) == pytest.approx(400)
    assert round(survey_size(0.05, share=0.5, population=3_200, level=TWO)) == 356


def test_a_mean_of_a_seed_bed_is_cochrans() -> None:
    # Cochran 1977, 4.6: mean 19, variance 85.6, within 10 %: n0 = 95; of 430 feet of bed, n = 78.
    assert round(survey_size(1.9, sd=math.sqrt(85.6), level=TWO)) == 95
    assert round(survey_size(1.9, sd=math.sqrt(85.6), population=430, level=TWO)) == 78


@given(
    half=st.floats(0.01, 0.2), share=st.none() | st.floats(0.05, 0.95), population=st.none() | st.integers(50, 10**6)
)
@settings(max_examples=30, deadline=None)
def test_precision_is_the_reverse_of_size(half: float, share: float | None, population: int | None) -> None:
    sd = None if share is not None else 0.7
    size = survey_size(half, share=share, sd=sd, population=population)
    assert survey_precision(size, share=share, sd=sd, population=population) == pytest.approx(half, rel=1e-9)
    assert population is None or size <= population


def test_who_asks_everybody_knows_everything() -> None:
    assert survey_precision(900, share=0.7, population=900) == 0
    assert survey_precision(900, share=0.7) == pytest.approx(1.959963985 * math.sqrt(0.7 * 0.3 / 900))


def test_a_clustered_plan_is_the_published_one() -> None:
    # BMJ 2013;346:f2839: 340 patients, intracluster correlation 0.05, 46 per practice: 1104 patients of 24 practices.
    losses = Losses(icc=0.05, cluster_size=46)
    found = plan_size((170, 170), losses)
    assert losses.design_effect == pytest.approx(3.25)
    assert sum(found.answers) == pytest.approx(1105)
    assert round(sum(found.answers) / 46) == 24
    assert found.clusters == (14, 14)  # 12.01, up, and one more for the t law
    assert found.drawn == (14 * 46, 14 * 46)


@pytest.mark.parametrize(("size", "effect", "worth"), [(10, 1.153, 34), (20, 1.323, 60), (40, 1.663, 96)])
def test_design_effects_are_the_published_ones(size: int, effect: float, worth: int) -> None:
    # Killip, Mahfoud and Pearce 2004, Annals of Family Medicine 2:204, table: 4 clusters, rho 0.017.
    found = Losses(icc=0.017, cluster_size=size).design_effect
    assert found == pytest.approx(effect, abs=1e-9)
    assert int(4 * size / found) == worth


def test_unequal_clusters_follow_eldridge() -> None:
    # Eldridge, Ashby and Kerry 2006: 1 + ((1 + 0.65^2) 10 - 1) 0.05.
    assert Losses(icc=0.05, cluster_size=10, cluster_cv=0.65).design_effect == pytest.approx(1.66125)


def test_the_design_effect_after_losses_is_that_of_thinned_clusters() -> None:
    rng = np.random.default_rng(5)
    drawn = rng.choice([4, 10, 22], size=200_000)
    losses = Losses(0.5, 0.2, 0.08, drawn.mean(), drawn.std() / drawn.mean())
    left = rng.binomial(drawn, 0.4)
    # The variance of the mean of all who answer, in units of independent answers: 1 + (sum m^2 / sum m - 1) icc.
    assert losses.design_effect == pytest.approx(1 + ((left**2).sum() / left.sum() - 1) * 0.08, rel=2e-3)
    assert losses.design_effect < Losses(1.0, 0.0, 0.08, losses.cluster_size, losses.cluster_cv).design_effect


def test_losses_are_applied_backwards_along_the_way() -> None:
    found = plan_size((100, 50), Losses(response=0.5, attrition=0.2, icc=0.1, cluster_size=5))
    effect = 1 + 0.4 * (5 - 1) * 0.1  # whoever answers has 0.4 x 4 others beside it
    assert found.answers == pytest.approx((100 * effect, 50 * effect))
    assert found.asked == pytest.approx((200 * effect, 100 * effect))
    assert found.clusters == (58 + 1, 29 + 1)  # 290 and 145 customers, and one more cluster for the t law
    assert [step.name for step in found.steps] == ["analysed", "answers", "asked", "reached", "clusters", "drawn"]
    assert found.total == sum(found.drawn) == 5 * sum(found.clusters)


def test_every_stratum_of_every_arm_is_rounded_up() -> None:
    found = plan_size((101, 33, 33), strata={"north": 2, "south": 1})
    assert found.by_stratum == {"north": (68, 22, 22), "south": (34, 11, 11)}
    assert found.drawn == (102, 33, 33)
    assert found.total == 168
    assert (
        found.steps[-1].sentence
        == "Rounded up in each of 2 strata, 102, 33 and 33 customers are drawn, 168 altogether."
    )


def test_whole_numbers_are_not_rounded_up_by_floating_point() -> None:
    assert plan_size((30, 30), Losses(response=0.3)).drawn == (100, 100)


def test_the_frame_is_held_against_the_sum_and_never_shrinks_it() -> None:
    free = plan_size((80, 80))
    tight = plan_size((80, 80), frame=165)
    assert tight.drawn == free.drawn == (80, 80)  # no finite population correction
    assert tight.fits
    assert tight.steps[-1].sentence == "The frame has 165 customers, so that is 97 % of it."
    small = plan_size((80, 80), frame=150)
    assert not small.fits
    assert small.lacking == {"": 10}
    assert small.warnings[0].startswith("The frame lacks 10 customers: draw all of them")


def test_a_stratum_can_be_too_small_where_the_frame_is_not() -> None:
    found = plan_size((80, 80), strata={"north": 0.5, "south": 0.5}, frame={"north": 70, "south": 900, "east": 40})
    assert found.frame == 1_010
    assert found.lacking == {"north": 10}
    assert "in the stratum north" in found.warnings[0]
    assert "in the stratum north" in str(found)


def test_three_against_three_clusters_are_refused() -> None:
    # With 3 v 3 reps an exact test can never reach p < 0.1.
    assert smallest_cluster_p([3, 3]) == pytest.approx(0.1)
    with pytest.raises(InputError, match=r"3 against 3 clusters .* never below 0.1.* at least 4 clusters"):
        check_clusters([3, 3])
    check_clusters([4, 4])
    with pytest.raises(InputError):
        check_clusters([4, 4, 2])
    with pytest.raises(InputError):
        plan_size((20, 20), Losses(icc=0.01, cluster_size=60))


def test_few_clusters_warn() -> None:
    found = plan_size((60, 60), Losses(icc=0.001, cluster_size=25))
    assert found.clusters == (4, 4)
    assert "below 5 use the exact test" in found.warnings[0]


@pytest.mark.parametrize(
    ("losses", "strata"),
    [
        (Losses(), None),
        (Losses(0.42, 0.13), {"a": 0.2, "b": 0.5, "c": 0.3}),
        (Losses(0.6, 0.1, 0.05, 12, 0.4), None),
    ],
)
def test_what_was_planned_reaches_what_was_wanted(losses, strata) -> None:
    expected = Expected(sd=1.1, share=0.4)
    analysis = NonInferiority(margin=0.3)
    planned = plan_size(analysis.sample_size(expected, 0.0), losses, strata=strata)
    control, pilot = planned.drawn
    found = reach(analysis, expected, (control, pilot), losses, effect=0.0)
    assert 0.8 <= found.power < 0.83
    assert found.smallest == 0  # of this margin, no true difference already passes
    seen = reach(Welch(), expected, (control, pilot), losses, sign=-1)
    assert seen.power is None
    assert Welch().power(expected, seen.smallest, seen.analysed) == pytest.approx(0.8, abs=1e-9)
    assert seen.smallest < 0


def test_units_per_arm_are_those_of_the_table() -> None:
    # Julious 2004, Statistics in Medicine 23:1921, table of units per arm at 90 % power by the noncentral t law; R:
    # ceiling(power.t.test(delta = d, power = 0.9)$n).
    for effect, units in {0.05: 8407, 0.1: 2103, 0.2: 527, 0.25: 338, 0.5: 86, 1.0: 23}.items():
        assert plan_size(Welch().sample_size(Expected(sd=1.0), effect, power=0.9)).drawn == (units, units)


def test_several_arms_share_control_and_error() -> None:
    one = several_arms(Welch(), Expected(sd=1.0), 0.3, 1)
    assert one == pytest.approx(Welch().sample_size(Expected(sd=1.0), 0.3))
    control, *pilots = several_arms(Welch(), Expected(sd=1.0), 0.3, 4)
    assert len(pilots) == 4
    assert control / pilots[0] == pytest.approx(2)  # the root of four
    strict = Welch(level=1 - 0.05 / 4)
    assert strict.power(Expected(sd=1.0), 0.3, (control, pilots[0])) == pytest.approx(0.8, abs=1e-9)
    even = strict.sample_size(Expected(sd=1.0), 0.3)
    assert control + sum(pilots) < 5 * even[0]
    assert at_level(NonInferiority(margin=0.2), 0.9) == NonInferiority(margin=0.2, level=0.9)


def test_unequal_arms_stay_unequal() -> None:
    control, pilot = plan_size(Welch().sample_size(Expected(sd=1.0, share=0.25), 0.5), Losses(response=0.5)).drawn
    assert control == pytest.approx(3 * pilot, abs=3)


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: Losses(response=0.0), "response"),
        (lambda: Losses(response=1.1), "response"),
        (lambda: Losses(attrition=1.0), "attrition"),
        (lambda: Losses(icc=-0.1), "icc"),
        (lambda: Losses(cluster_size=0.5), "cluster_size"),
        (lambda: Losses(icc=0.05), "cluster_size"),
        (lambda: Losses(cluster_cv=math.nan), "cluster_cv"),
        (lambda: plan_size((10,)), "analysed"),
        (lambda: plan_size((10, math.inf)), "analysed"),
        (lambda: plan_size((10, 0)), "analysed"),
        (lambda: plan_size((10, 10), strata={"a": -1.0, "b": 2.0}), "strata"),
        (lambda: plan_size((10, 10), strata={"a": 0.0}), "strata"),
        (lambda: plan_size((90, 90), Losses(icc=0.1, cluster_size=5), strata={"a": 1.0}), "strata"),
        (lambda: plan_size((10, 10), strata={"a": 1.0}, frame={"b": 50}), "frame"),
        (lambda: plan_size((10, 10), frame=0), "frame"),
        (lambda: plan_size((10, 10), frame=-50), "frame"),
        (lambda: plan_size((10, 10), frame=math.nan), "frame"),
        (lambda: plan_size((10, 10), frame={}), "frame"),
        (lambda: plan_size((10, 10), strata={"a": 1.0}, frame={"a": 0}), "frame"),
        (lambda: plan_size((10, 10), strata={"a": 1.0}, frame={"a": 50, "b": -1}), "frame"),
        (lambda: Expected(mean=math.nan), "mean"),
        (lambda: Expected(levels=(1.0, math.inf), shares=(0.5, 0.5)), "levels"),
        (lambda: Welch().sample_size(Expected(sd=1.0), math.nan), "effect"),
        (lambda: Welch().sample_size(Expected(sd=1.0), math.inf), "effect"),
        (lambda: Welch().power(Expected(sd=1.0), math.nan, (30, 30)), "effect"),
        (lambda: Welch().power(Expected(sd=1.0), 0.5, (math.nan, 3)), "n"),
        (lambda: Welch().power(Expected(sd=1.0), 0.5, n=(30, math.inf)), "n"),
        (lambda: Welch().power(Expected(sd=1.0), 0.5, (0, 30)), "n"),
        (lambda: Welch().mde(Expected(sd=1.0), (30, math.nan)), "n"),
        (lambda: NonInferiority(margin=0.2).sample_size(Expected(sd=1.0), math.nan), "effect"),
        (lambda: reach(Welch(), Expected(sd=1.0), (30, 30), effect=math.nan), "effect"),
        (lambda: reach(Welch(), Expected(sd=1.0), (math.nan, 30)), "drawn"),
        (lambda: reach(Welch(), Expected(sd=1.0), (math.inf, 30), Losses(icc=0.1, cluster_size=10)), "drawn"),
        (lambda: several_arms(Welch(), Expected(sd=1.0), math.nan, 2), "effect"),
        (lambda: reach(Welch(), Expected(sd=1.0), (30, 30), Losses(icc=0.1, cluster_size=10)), "clusters"),
        (lambda: several_arms(Welch(), Expected(sd=1.0), 0.3, 0), "pilots"),
        (lambda: at_level(SampleRatio(), 0.9), "sample-ratio"),
        (lambda: survey_size(0.0, share=0.5), "half_width"),
        (lambda: survey_size(0.1), "share"),
        (lambda: survey_size(0.1, share=0.5, sd=1.0), "share"),
        (lambda: survey_size(0.1, share=1.0), "share"),
        (lambda: survey_size(0.1, sd=0.0), "sd"),
        (lambda: survey_precision(0, share=0.5), "answers"),
        (lambda: survey_precision(60, share=0.5, population=50), "answers"),
    ],
)
def test_what_cannot_be_is_refused(call, place) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.place == place


def test_a_power_that_is_no_number_is_no_size() -> None:
    with pytest.raises(InputError, match=r"no number of units is enough\. .*where there is a margin"):
        smallest_size(lambda _: math.nan, 0.5, 0.8, place="here")
    with pytest.raises(InputError, match="no effect that the scale allows"):
        smallest_effect(lambda _: math.nan, 1, 0.8, place="here")


def test_the_worked_examples_of_the_page_are_true() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 15
    assert done.failed == 0


LEVELS = np.arange(1.0, 6.0)
TYPICAL = np.array([0.03, 0.07, 0.18, 0.42, 0.30])


def moved(shares: np.ndarray, effect: float) -> np.ndarray:
    """The distribution nearest to this one (exponential tilting) whose mean lies `effect` higher."""
    low, high = -5.0, 5.0
    for _ in range(80):
        middle = (low + high) / 2
        tilted = shares * np.exp(middle * LEVELS)
        tilted /= tilted.sum()
        low, high = (middle, high) if tilted @ LEVELS < shares @ LEVELS + effect else (low, middle)
    return tilted


def spread(shares: np.ndarray) -> float:
    return math.sqrt(float(shares @ (LEVELS - shares @ LEVELS) ** 2))


def shown_by_permutation(n: int, effect: float, runs: int) -> tuple[float, float, float]:
    """Share of simulated pilots with an exact p value up to 5 %; planned power; planned power without the step."""
    rng, other = np.random.default_rng(n), moved(TYPICAL, effect)
    tables = np.stack([rng.multinomial(n, shares, size=runs) for shares in (TYPICAL, other)], axis=1)
    shown = sum(exact_permutation(table[:, None], LEVELS).log_p <= math.log(0.05) for table in tables) / runs
    both = {"sd": spread(TYPICAL), "sd_pilot": spread(other)}
    expected = Expected(levels=tuple(LEVELS), shares=tuple(TYPICAL), **both)
    part = ExactPermutation()
    return shown, part.power(expected, effect, (n, n)), part.power(Expected(**both), effect, (n, n))


@pytest.mark.parametrize(("n", "effect"), [(60, -0.5), (200, 0.25)])
def test_planned_power_of_the_exact_test_is_simulated(n: int, effect: float) -> None:
    shown, planned, _ = shown_by_permutation(n, effect, 300)
    assert planned == pytest.approx(shown, abs=3.5 * math.sqrt(shown * (1 - shown) / 300))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "effect"), [(60, -0.5), (200, 0.25)])
def test_half_a_step_is_what_the_exact_test_costs(n: int, effect: float) -> None:
    shown, planned, without = shown_by_permutation(n, effect, 6_000)
    error = math.sqrt(shown * (1 - shown) / 6_000)
    assert planned == pytest.approx(shown, abs=2.5 * error)
    assert without > shown + error


def test_power_of_the_exact_test_is_that_of_t_less_half_a_step() -> None:
    # R 4.2.2: q <- qt(0.975, 118); e <- sqrt(2 / 60);
    # pt(q, 118, (0.5 - 1 / 60) / e, lower.tail = FALSE) + pt(-q, 118, (0.5 + 1 / 60) / e)
    expected = Expected(sd=1.0, levels=tuple(LEVELS), shares=tuple(TYPICAL))
    assert ExactPermutation().power(expected, 0.5, (60, 60)) == pytest.approx(0.74721879743117, abs=1e-9)
    assert ExactPermutation().power(expected, -0.5, (60, 60)) == pytest.approx(0.74721879743117, abs=1e-9)
    plain = Expected(sd=1.0)
    assert ExactPermutation().power(plain, 0.5, (60, 60)) == Welch().power(plain, 0.5, (60, 60))


@pytest.mark.parametrize("part", register_analyses())
def test_every_analysis_plans_or_says_what_does(part: type[Analysis]) -> None:
    analysis = instance(part)
    answers = tuple(float(level) for level in range(11))
    expected = Expected(
        mean=0.5,
        sd=0.5,
        levels=answers,
        shares=(1 / 11,) * 11,
        pilots=2,
        strata=(2, 1),
        compliers=0.8,
        response=(0.999, 0.999),
    )
    if not analysis.sizes:
        with pytest.raises(InputError, match="Plan with an analysis that does"):
            analysis.power(expected, 0.1, (100, 100))
        return
    chances = [analysis.power(expected, 0.1, (n, n)) for n in (100, 400, 1_000)]
    assert 0 <= chances[0] < chances[1] <= chances[2] <= 1 + 1e-12


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_not_worse_is_planned_alike_whichever_way_is_better(higher_is_better: bool) -> None:
    """`effect` is positive where the pilot arm is better: 2 minutes saved, or gained, of 10 that may be lost."""
    rng, n, runs, sign = np.random.default_rng(21), 60, 2_000, 1 if higher_is_better else -1
    spreads, analysis = np.array([20.0, 30.0]), NonInferiority(margin=10.0)
    size, passed = np.array([[n], [n]]), 0
    for _ in range(runs):
        mean = rng.normal([50.0, 50.0 + 2.0 * sign], spreads / math.sqrt(n))
        m2 = spreads**2 * rng.chisquare(n - 1, 2)
        moments = Moments(size, mean[:, None], m2[:, None])
        evidence = Evidence("minutes", Scale.NUMBER, higher_is_better, ("control", "desk"), moments=moments)
        passed += bool(analysis.compare(evidence, "desk").passed)  # type: ignore[union-attr]
    planned = analysis.power(Expected(sd=20.0, sd_pilot=30.0), 2.0, (n, n))
    assert planned == pytest.approx(passed / runs, abs=4 * math.sqrt(planned * (1 - planned) / runs))


def test_a_share_that_had_better_be_small_is_planned_by_its_complement() -> None:
    """8 % complain, 5 % would: `mean` is the 92 % who do not, and `effect` the 3 points more; 8 points may be lost."""
    rng, n, runs, passed = np.random.default_rng(22), (90, 90), 700, 0
    analysis = NonInferiorityShares(margin=0.08)
    for _ in range(runs):
        yes = rng.binomial(n, (0.08, 0.05))
        counts = [[[size - some, some]] for size, some in zip(n, yes, strict=True)]
        evidence = Evidence.from_counts(
            "complains", Scale.BINARY, ("control", "desk"), (0, 1), counts, higher_is_better=False
        )
        passed += bool(analysis.compare(evidence, "desk").passed)  # type: ignore[union-attr]
    planned = analysis.power(Expected(mean=0.92), 0.03, n)
    assert planned == pytest.approx(passed / runs, abs=0.04)  # Farrington and Manning's is an approximation
    assert abs(analysis.power(Expected(mean=0.08), 0.03, n) - passed / runs) > 0.08  # the other share is not the same
