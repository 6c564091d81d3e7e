from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc

from pilot.analysis import Analysis, Comparison, Evidence, Expected, NotEnoughData, Scale, Welch
from pilot.analysis.bayes import BetaDifference, NormalDifference, normal_posterior
from pilot.analysis.bayespower import NORMAL_FROM, counted_chance, is_counted
from pilot.analysis.dirichlet import MeanRating, rating_difference
from pilot.analysis.methods.bayes import BetaBinomial, Dirichlet, NormalPosterior
from pilot.errors import InputError


# R 4.2.2: integrate() of dbeta() * pbeta() to 1e-12, limits by uniroot().
@pytest.mark.parametrize(
    ("pilot", "control", "interval", "better", "not_worse", "loss"),
    [
        ((57, 15), (49, 33), (0.05136850822, 0.3327861085), 0.995929539, 0.9995304798, 9.530155681e-05),
        ((1, 31), (4, 37), (-0.1818412504, 0.03950694769), 0.09405795386, 0.3901750466, 0.06908699161),
    ],
)
def test_beta_difference_as_integrated_in_r(
    pilot: tuple[float, float],
    control: tuple[float, float],
    interval: tuple[float, float],
    better: float,
    not_worse: float,
    loss: float,
) -> None:
    found = BetaDifference(pilot, control)
    assert found.interval() == pytest.approx(interval, abs=1e-9)
    assert found.above() == pytest.approx(better, abs=1e-9)
    assert found.above(-0.05) == pytest.approx(not_worse, abs=1e-9)
    assert found.expected_loss() == pytest.approx(loss, rel=1e-8)


def test_uniform_shares_have_a_triangular_difference() -> None:
    found = BetaDifference((1, 1), (1, 1))
    assert found.above(0.5) == pytest.approx(0.125, abs=1e-12)
    assert found.expected_loss() == pytest.approx(1 / 6, abs=1e-12)
    assert found.interval() == pytest.approx((math.sqrt(0.05) - 1, 1 - math.sqrt(0.05)), abs=1e-9)


laws = st.tuples(st.floats(0.25, 400), st.floats(0.25, 400))


@given(laws, laws, st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_beta_difference_mirrors_and_losses_differ_by_the_mean(
    pilot: tuple[float, float], control: tuple[float, float], threshold: float
) -> None:
    one, two = BetaDifference(pilot, control), BetaDifference(control, pilot)
    assert one.above(threshold) == pytest.approx(1 - two.above(-threshold), abs=1e-6)
    assert two.expected_loss() - one.expected_loss() == pytest.approx(one.mean, abs=1e-6)
    turned = BetaDifference(control[::-1], pilot[::-1])
    assert turned.above(threshold) == pytest.approx(one.above(threshold), abs=1e-6)


def test_flat_and_steep_laws_together_keep_their_digits() -> None:
    # P(p1 > p0) with p0 known almost exactly is the upper tail of p1's law: 1 - pbeta(2/3, 2, 3) = 1/9.
    found = BetaDifference((2.0, 3.0), (2e8, 1e8))
    assert found.above() == pytest.approx(1 / 9, abs=1e-6)


def yes_no(control: tuple[int, int], pilot: tuple[int, int], **more: object) -> Evidence:
    counts = [[[n - yes, yes]] for yes, n in (control, pilot)]
    return Evidence.from_counts("kept", Scale.BINARY, ("control", "pilot"), (0, 1), counts, **more)  # type: ignore[arg-type]


def test_beta_binomial_says_chance_and_loss() -> None:
    found = BetaBinomial(margin=0.05).compare(yes_no((48, 80), (56, 70)), "pilot")
    assert isinstance(found, Comparison)
    assert found.p_value is None
    assert found.details["probability better"] == pytest.approx(0.995929539, abs=1e-9)
    assert found.details["probability not worse by the margin"] == pytest.approx(0.9995304798, abs=1e-9)
    assert found.details["expected loss of the pilot arm"] == pytest.approx(9.530155681e-05, rel=1e-7)
    assert found.sentence == (
        "kept is 19.4 percentage points higher in pilot than in control (95 % credible interval 5.1 to 33.3; "
        "70 and 80 customers); given the prior, the chance that pilot is better is 99.6 %."
    )
    less = BetaBinomial(margin=0.05).compare(yes_no((32, 80), (14, 70), higher_is_better=False), "pilot")
    assert isinstance(less, Comparison)
    for name in ("probability better", "probability not worse by the margin", "expected loss of the pilot arm"):
        assert less.details[name] == pytest.approx(found.details[name], abs=1e-9)


@pytest.mark.parametrize(
    ("control", "pilot", "prior"),
    [
        ((32, 48), (14, 56), 2.0),
        ((1, 0), (0, 1), 0.5),
        ((0, 1000), (1, 1000), 0.5),
        ((10**7, 2 * 10**7), (10**7, 2 * 10**7 + 3000), 2.0),
    ],
)
def test_ratings_of_two_levels_have_the_beta_law(
    control: tuple[int, int], pilot: tuple[int, int], prior: float
) -> None:
    found = rating_difference([control, pilot], (0, 1), prior)
    beta = BetaDifference(*((yes + prior / 2, no + prior / 2) for no, yes in (pilot, control)))
    assert (found.mean, found.sd) == pytest.approx((beta.mean, beta.sd), rel=1e-12)
    assert found.interval() == pytest.approx(beta.interval(), abs=1e-9)
    assert [found.above(d) for d in (0.0, -0.02)] == pytest.approx([beta.above(d) for d in (0.0, -0.02)], abs=1e-9)
    assert found.expected_loss() == pytest.approx(beta.expected_loss(), abs=1e-9)


# Brute force: 10,000,000 draws of gamma variables each (numpy 2, seed 5), chance above 0 and above the threshold, quantiles,
# and mean fall; the Monte Carlo errors of the chances are below 0.00016.
BRUTE_FORCE = [
    (
        [[3, 7, 18, 42, 30], [2, 5, 15, 40, 38]],
        [1, 2, 3, 4, 5],
        1,
        -0.2,
        (0.901178, 0.996525, -0.094101, 0.450432, 0.0065546),
    ),
    (
        [[0, 0, 0, 0, 9], [1, 0, 0, 0, 6]],
        [1, 2, 3, 4, 5],
        1,
        -0.2,
        (0.121101, 0.269557, -1.785069, 0.367985, 0.5781004),
    ),
    ([[1, 0, 0], [0, 0, 2]], [1, 2, 5], 0.25, -1, (0.994965, 0.998944, 0.874215, 3.999974, 0.0030921)),
]


@pytest.mark.parametrize(
    ("counts", "levels", "prior", "threshold", "drawn"),
    BRUTE_FORCE,
)
def test_ratings_as_drawn_by_brute_force(
    counts: list[list[int]], levels: list[int], prior: float, threshold: float, drawn: tuple[float, ...]
) -> None:
    found = rating_difference(counts, levels, prior)
    above, beyond, low, high, loss = drawn
    assert (found.above(), found.above(threshold)) == pytest.approx((above, beyond), abs=4 * 0.00016)
    # the drawn quantiles have their error as chances: sqrt(0.025 x 0.975 / 1e7)
    assert (found.above(low), found.above(high)) == pytest.approx((0.975, 0.025), abs=4 * 5e-5)
    assert found.expected_loss() == pytest.approx(loss, abs=4 * found.sd / math.sqrt(1e7))
    assert [found.above(limit) for limit in found.interval()] == pytest.approx([0.975, 0.025], abs=1e-9)


def test_one_arm_as_three_gamma_variables_say() -> None:
    # With one answer on each of 1, 2, 3 and parameters 2, 2, 2 the mean is symmetric about 2; below 1.5 it lies if
    # G1 > G2 + 3 G3 for gamma variables of shape 2. R 4.2.2, integrate() of dgamma and pgamma, rel.tol 1e-12: 0.0546875
    law = MeanRating(np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    below, above, _ = law.at(np.array([1.5, 2.0, 2.5]))
    assert below == pytest.approx([0.0546875, 0.5, 1 - 0.0546875], abs=1e-12)
    assert above == pytest.approx([1 - 0.0546875, 0.5, 0.0546875], abs=1e-12)


def test_far_tails_keep_their_digits() -> None:
    # R 4.2.2: pbeta(0.3, 700, 300) 9.30126177448e-150, and pbeta(0.9, 700, 300, lower = FALSE) 5.30441929263e-69
    law = MeanRating(np.array([300.0, 700.0]), np.array([0.0, 1.0]))
    below, above, _ = law.at(np.array([0.3, 0.9]))
    assert (below[0], above[1]) == pytest.approx((9.30126177448e-150, 5.30441929263e-69), rel=1e-8)


def test_moments_of_a_dirichlet_mean() -> None:
    # One answer on 1 and one on 3 of three levels, prior worth 3: parameters 2, 1, 2. The mean is 2, and its variance
    # (2 x 1 + 2 x 1) / 5, the spread of the shares over the levels, divided by 5 + 1.
    found = rating_difference([[1, 0, 1], [1, 0, 1]], (1, 2, 3), prior=3.0)
    assert found.mean == pytest.approx(0, abs=1e-15)
    assert found.sd == pytest.approx(math.sqrt(2 * (4 / 5) / 6))


def test_many_answers_meet_the_normal_limit_smoothly() -> None:
    shares, levels = np.array([[3, 7, 18, 42, 30], [3, 7, 18, 41, 31]]), (1, 2, 3, 4, 5)
    gaps = []
    for size in (10**2, 10**3, 10**4, 10**5):
        found = rating_difference(shares * size, levels)
        normal = NormalDifference(found.mean, found.sd)
        gaps.append(abs(found.above(found.mean - found.sd) - normal.above(found.mean - found.sd)))
        assert found.interval() == pytest.approx(normal.interval(), abs=0.02 * found.sd)
    # what is left falls with the number of answers: the arms' skewness, which nearly cancels, with its root
    assert all(later < earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] < 1e-5


@given(
    st.lists(st.integers(0, 30), min_size=10, max_size=10),
    st.integers(-7, 7),
)
@settings(max_examples=5, deadline=None)
def test_dirichlet_mirrors_and_shifts(values: list[int], shift: int) -> None:
    counts = np.array(values).reshape(2, 5)
    counts[:, 2] += 1
    levels = np.arange(1, 6)
    one = rating_difference(counts, levels)
    two = rating_difference(counts[::-1], levels + shift)
    turned = rating_difference(counts[::-1, ::-1], levels)
    for threshold in (0.0, -0.3):
        assert one.above(threshold) == pytest.approx(1 - two.above(-threshold), abs=1e-7)
        assert one.above(threshold) == pytest.approx(turned.above(threshold), abs=1e-7)
    assert two.expected_loss() - one.expected_loss() == pytest.approx(one.mean, abs=1e-7)


def rating(control: list[int], pilot: list[int], **more: object) -> Evidence:
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), [[control], [pilot]], **more
    )  # type: ignore[arg-type]


def test_dirichlet_says_chance_and_loss() -> None:
    found = Dirichlet(margin=0.2).compare(rating([3, 7, 18, 42, 30], [2, 5, 15, 40, 38]), "pilot")
    assert isinstance(found, Comparison)
    # Posterior means by hand: (389 + 3) / 101 and (407 + 3) / 101. Chances and limits as drawn by brute force above.
    assert found.estimate == pytest.approx((410 - 392) / 101)
    shown = (found.details["probability better"], found.details["probability not worse by the margin"])
    assert (*shown, found.low, found.high) == pytest.approx(BRUTE_FORCE[0][4][:4], abs=1e-3)
    less = Dirichlet(margin=0.2).compare(
        rating([30, 42, 18, 7, 3], [38, 40, 15, 5, 2], higher_is_better=False), "pilot"
    )
    assert isinstance(less, Comparison)
    for name, value in found.details.items():
        assert less.details[name] == pytest.approx(value, abs=1e-9)


def test_normal_posterior_by_hand() -> None:
    # Precisions 1 / 0.2^2 = 25 and 1 / 0.1^2 = 100: mean (25 x 0.5) / 125 = 0.1, sd 1 / sqrt(125).
    found = normal_posterior(0.5, 0.2, 0.0, 0.1)
    assert (found.mean, found.sd) == pytest.approx((0.1, 1 / math.sqrt(125)))
    # Loss of a standard normal difference: 1 / sqrt(2 pi); at mean 1: phi(1) - Phi(-1) = 0.083315
    assert NormalDifference(0, 1).expected_loss() == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert NormalDifference(1, 1).expected_loss() == pytest.approx(0.0833154706, abs=1e-9)


def test_a_sceptic_shrinks_and_a_flat_prior_does_not() -> None:
    evidence = rating([3, 7, 18, 42, 30], [2, 5, 15, 40, 38])
    plain = Welch().compare(evidence, "pilot")
    assert isinstance(plain, Comparison)
    sceptic, flat = (NormalPosterior(sd).compare(evidence, "pilot") for sd in (0.1, 1e6))
    assert isinstance(sceptic, Comparison)
    assert isinstance(flat, Comparison)
    assert 0 < (sceptic.estimate or 0) < (plain.estimate or 0) / 2
    assert (flat.estimate, flat.standard_error) == pytest.approx((plain.estimate, plain.standard_error), rel=1e-9)
    assert sceptic.details["difference without the prior"] == plain.estimate
    assert sceptic.details["share of the data"] == pytest.approx((sceptic.estimate or 0) / (plain.estimate or 1))


def test_coverage_averaged_over_the_prior_is_exact() -> None:
    """Where shares are drawn from the prior itself, credible intervals cover at their level."""
    random = np.random.default_rng(11)
    shares = random.beta(1, 1, size=(400, 2))
    covered = 0
    for control, pilot in shares:
        yes0, yes1 = random.binomial(30, control), random.binomial(30, pilot)
        chance = BetaDifference((yes1 + 1, 31 - yes1), (yes0 + 1, 31 - yes0)).above(pilot - control)
        covered += 0.025 <= chance <= 0.975
    assert abs(covered / 400 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize(
    ("counts", "levels", "prior", "words"),
    [
        ([[3, 4], [5, 6]], (2, 1), 1.0, "levels: 1 does not come after 2"),
        ([[3, 4], [5, 6]], (1, 1), 1.0, "levels: 1 does not come after 1"),
        ([[3, 4], [5, 6]], (1, math.nan), 1.0, "levels: entry 2 is no finite number"),
        ([[3], [5]], (1,), 1.0, "levels: there is one level only"),
        ([[3, 4], [5, 6]], (1, 2), 0.2, "prior: 0.2 is too small"),
        ([[3, 4], [5, 6]], (1, 2), math.nan, "prior: nan is too small"),
        ([[3, 4], [5, 6]], (1, 2), math.inf, "prior: inf"),
        ([[3, 4], [5, -6]], (1, 2), 1.0, "counts: entry 2, 2 is no finite number from 0"),
        ([[math.nan, 4], [5, 6]], (1, 2), 1.0, "counts: entry 1, 1 is no finite number from 0"),
        ([[0, 0], [5, 6]], (1, 2), 1.0, "counts: control has no answer"),
        ([[3, 4, 1], [5, 6, 1]], (1, 2), 1.0, "counts: there must be one number for each of 2 levels"),
    ],
)
def test_ratings_that_cannot_be_are_refused(counts: list[list[float]], levels: tuple[float, ...], prior, words) -> None:
    with pytest.raises(InputError, match=words):
        rating_difference(counts, levels, prior)


def test_too_little_and_impossible_priors() -> None:
    for analysis in (BetaBinomial(),):
        found = analysis.compare(yes_no((0, 0), (3, 9)), "pilot")
        assert isinstance(found, NotEnoughData)
        assert found.reason == "control has no customers"
    with pytest.raises(InputError, match="prior_sd"):
        NormalPosterior.restore({})
    with pytest.raises(InputError, match="prior_yes"):
        BetaBinomial.restore({"prior_yes": 0})


@pytest.mark.parametrize(
    ("n", "truth", "analysis"),
    [
        ((80, 80), (0.6, 0.8), BetaBinomial()),
        ((100, 100), (0.9, 0.9), BetaBinomial(margin=0.1)),
        ((60, 120), (0.85, 0.85), BetaBinomial(2, 1, margin=0.1, level=0.8)),
        ((60, 60), (0.5, 0.6), BetaBinomial(10, 10, level=0.9)),
        ((100, 200), (0.9, 0.95), BetaBinomial(margin=0.05)),
        ((100, 200), (0.9, 0.95), BetaBinomial()),
        ((60, 60), (0.05, 0.1), BetaBinomial(margin=0.05)),
        ((40, 25), (0.02, 0.3), BetaBinomial(0.25, 0.25)),
        ((10, 300), (0.97, 0.99), BetaBinomial(0.25, 3, margin=0.02)),
    ],
)
def test_power_of_shares_is_that_of_all_tables(
    n: tuple[int, int], truth: tuple[float, float], analysis: BetaBinomial
) -> None:
    total, least = 0.0, 0
    for yes in range(n[0] + 1):  # the fewest yes answers of the pilot arm that are enough only grow
        control = (yes + analysis.prior_yes, n[0] - yes + analysis.prior_no)
        while least <= n[1]:
            law = BetaDifference((least + analysis.prior_yes, n[1] - least + analysis.prior_no), control)
            if law.above(-analysis.margin) >= (1 + analysis.level) / 2:
                break
            least += 1
        total += float(bdtr(yes, n[0], truth[0]) - (bdtr(yes - 1, n[0], truth[0]) if yes else 0)) * (
            float(bdtrc(least - 1, n[1], truth[1])) if least else 1.0
        )
    assert analysis.power(Expected(mean=truth[0]), truth[1] - truth[0], n) == pytest.approx(total, abs=1e-7)


def test_power_of_shares_where_the_normal_law_misled() -> None:
    # Counted with exact tail integrals of all tables; the normal law gives 0.860, 0.335 and 0.495.
    for mean, effect, n, margin, power in (
        (0.9, 0.05, (100, 200), 0.05, 0.925),
        (0.9, 0.05, (100, 200), 0.0, 0.379),
        (0.05, 0.05, (60, 60), 0.05, 0.530),
    ):
        assert round(BetaBinomial(margin=margin).power(Expected(mean=mean), effect, n), 3) == power


@pytest.mark.parametrize(("share", "apart"), [(0.5, 2.8), (0.1, 2.0)])
def test_the_normal_law_takes_over_within_two_points(share: float, apart: float) -> None:
    n = 1.04 * NORMAL_FROM / (share * (1 - share))
    truth = (share, share + apart * math.sqrt(share * (1 - share) * 2 / n))
    assert not is_counted(truth, (n, n))
    assert is_counted(truth, (0.9 * n, 0.9 * n))
    planned = BetaBinomial().power(Expected(mean=share), truth[1] - share, (n, n))
    assert planned == pytest.approx(counted_chance(truth, (round(n), round(n)), (1.0, 1.0), 0.975), abs=0.02)


@pytest.mark.parametrize(("mean", "effect", "share"), [(0.6, 0.2, 0.5), (0.9, 0.05, 0.3), (0.05, 0.3, 0.5)])
def test_planned_sizes_of_shares_are_whole_and_just_enough(mean: float, effect: float, share: float) -> None:
    analysis, expected = BetaBinomial(), Expected(mean=mean, share=share)
    control, pilot = analysis.sample_size(expected, effect)
    assert (control, pilot) == (round(control), round(pilot))
    assert pilot == pytest.approx((control + pilot) * share, abs=1)
    assert analysis.power(expected, effect, (control, pilot)) >= 0.8
    assert analysis.power(expected, effect, (control - 1, pilot - 1)) < 0.81
    assert analysis.mde(expected, (control, pilot)) <= effect + 1e-9


@pytest.mark.slow
def test_simulated_power_of_ratings() -> None:
    rng, levels, rounds = np.random.default_rng(8), (1, 2, 3, 4, 5), 400
    laws = np.array([[0.03, 0.07, 0.18, 0.42, 0.30], [0.02, 0.04, 0.12, 0.40, 0.42]])
    means, n = laws @ levels, (60, 60)
    spread = math.sqrt(laws[1] @ (levels - means[1]) ** 2)
    expected = Expected(levels=levels, shares=tuple(laws[0]), sd_pilot=spread)
    analysis = Dirichlet(prior=4.0)
    shown = sum(
        rating_difference([rng.multinomial(n[row], laws[row]) for row in (0, 1)], levels, 4.0).above() >= 0.975
        for _ in range(rounds)
    )
    power = analysis.power(expected, means[1] - means[0], n)
    assert abs(shown / rounds - power) < 4 * math.sqrt(power * (1 - power) / rounds)


def test_ratings_are_planned_on_their_levels() -> None:
    analysis, expected, n = (
        Dirichlet(),
        Expected(levels=(1, 2, 3, 4, 5), shares=(0.03, 0.07, 0.18, 0.42, 0.30)),
        (60, 60),
    )
    # a prior worth next to nothing leaves the normal law of the difference; R 4.2.2: pnorm(0.4 / sqrt(2 * 1.0179 / 60) -
    # qnorm(0.975)) 0.5837815
    assert Dirichlet(prior=0.25).power(expected, 0.4, n) == pytest.approx(0.5837815, abs=0.01)
    with pytest.raises(InputError, match="levels and their expected shares"):
        analysis.power(Expected(mean=3.9, sd=1.0), 0.3, n)
    with pytest.raises(InputError, match="is not between 1 and 5"):
        analysis.power(expected, 1.2, n)


def test_power_of_a_sceptic() -> None:
    # By hand, Spiegelhalter, Abrams and Myles 2004, ch. 6.5: standard error s = sqrt(2 / 200) = 0.1 and prior sd t = 0.2
    # give a posterior sd of s t / sqrt(s^2 + t^2) = 0.0894427; the estimate must exceed 1.959964 x 0.0894427 x (s^2 + t^2) /
    # t^2 = 0.2191306, and P(Z > (0.2191306 - 0.3) / 0.1) = 0.79065431.
    analysis, expected = NormalPosterior(prior_sd=0.2), Expected(sd=1.0)
    assert analysis.power(expected, 0.3, (200, 200)) == pytest.approx(0.79065431, abs=1e-7)
    flat = NormalPosterior(prior_sd=1e6)
    # R 4.2.2: pnorm(0.3 / 0.1 - qnorm(0.975)) 0.850838416
    assert flat.power(expected, 0.3, (200, 200)) == pytest.approx(0.850838416, abs=1e-8)
    assert NormalPosterior(1e6, margin=0.3).power(expected, 0.0, (200, 200)) == pytest.approx(0.850838416, abs=1e-8)
    rng, shown, rounds = np.random.default_rng(2), 0, 4000
    for estimate in rng.normal(0.3, 0.1, rounds):
        shown += normal_posterior(estimate, 0.1, 0.0, 0.2).above() >= 0.975
    assert shown / rounds == pytest.approx(0.79065, abs=4 * 0.0065)


@pytest.mark.parametrize("analysis", [Dirichlet(), NormalPosterior(0.3)], ids=lambda part: part.key)
def test_planned_sizes_reach_their_power(analysis: Analysis) -> None:
    expected = Expected(levels=(0, 1), shares=(0.4, 0.6), share=0.4)
    n = analysis.sample_size(expected, 0.15)
    assert n[1] / sum(n) == pytest.approx(0.4)
    assert analysis.power(expected, 0.15, n) == pytest.approx(0.8, abs=1e-6)
    assert analysis.mde(expected, n) == pytest.approx(0.15, abs=1e-6)


def test_no_pair_of_laws_loses_its_chance() -> None:
    # scipy 1.17 gives no number for betaincinv(4, 2, 1e-121), nor for betaincinv(1.02, 0.36, 5e-18).
    sizes = (0.25, 0.36, 1.02, 2.0, 4.0, 400.0)
    laws_of_all = list(product(sizes, sizes))
    for pilot, control in product(laws_of_all, laws_of_all):
        one, two = BetaDifference(pilot, control).above(), BetaDifference(control, pilot).above()
        assert one + two == pytest.approx(1, abs=1e-6), (pilot, control)
