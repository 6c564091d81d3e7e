from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, NotEnoughData, Scale, Welch
from pilot.analysis.bayes import BetaDifference, NormalDifference, dirichlet_difference, normal_posterior
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


def test_dirichlet_of_two_levels_is_beta_within_its_own_error() -> None:
    found = dirichlet_difference([[32, 48], [14, 56]], (0, 1), prior=2.0, draws=400_000, seed=3)
    beta = BetaDifference((57, 15), (49, 33))
    assert (found.mean, found.sd) == pytest.approx((beta.mean, beta.sd), rel=1e-12)
    assert found.interval() == pytest.approx(beta.interval(), abs=4 * found.limit_error())
    assert found.above() == pytest.approx(beta.above(), abs=4 * found.chance_error(beta.above()))
    assert found.expected_loss() == pytest.approx(beta.expected_loss(), abs=1e-5)


def test_moments_of_a_dirichlet_mean() -> None:
    # One answer on 1 and one on 3 of three levels, prior worth 3: parameters 2, 1, 2. The mean is 2, and its variance
    # (2 x 1 + 2 x 1) / 5, the spread of the shares over the levels, divided by 5 + 1.
    found = dirichlet_difference([[1, 0, 1], [1, 0, 1]], (1, 2, 3), prior=3.0, draws=1_000)
    assert found.mean == pytest.approx(0, abs=1e-15)
    assert found.sd == pytest.approx(math.sqrt(2 * (4 / 5) / 6))


def test_arms_with_the_same_answers_are_drawn_independently() -> None:
    found = dirichlet_difference([[5, 9, 6], [5, 9, 6]], (1, 2, 3), draws=20_000)
    assert found.draws.std() == pytest.approx(found.sd, rel=0.03)
    assert found.above() == pytest.approx(0.5, abs=1e-12)  # mirrored exactly


@given(
    st.lists(st.integers(0, 30), min_size=10, max_size=10),
    st.integers(-7, 7),
)
@settings(max_examples=20, deadline=None)
def test_dirichlet_mirrors_shifts_and_repeats(values: list[int], shift: int) -> None:
    counts = np.array(values).reshape(2, 5)
    levels = np.arange(1, 6)
    one = dirichlet_difference(counts, levels, draws=2_000)
    two = dirichlet_difference(counts[::-1], levels + shift, draws=2_000)
    assert np.allclose(one.draws, -two.draws[::-1], atol=1e-12)
    assert (one.mean, one.interval()) == (
        pytest.approx(-two.mean, abs=1e-12),
        pytest.approx(tuple(-x for x in two.interval()[::-1]), abs=1e-12),
    )
    assert np.array_equal(one.draws, dirichlet_difference(counts, levels, draws=2_000).draws)


def rating(control: list[int], pilot: list[int], **more: object) -> Evidence:
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), [[control], [pilot]], **more
    )  # type: ignore[arg-type]


def test_dirichlet_states_seed_draws_and_monte_carlo_error() -> None:
    found = Dirichlet(margin=0.2).compare(rating([3, 7, 18, 42, 30], [2, 5, 15, 40, 38]), "pilot")
    assert isinstance(found, Comparison)
    assert "100,000 draws, seed 1" in found.method
    assert 0 < (found.details["Monte Carlo error of a limit"] or 0) < 0.003
    # Posterior means by hand: (389 + 3) / 101 and (407 + 3) / 101.
    assert found.estimate == pytest.approx((410 - 392) / 101)
    other = Dirichlet(margin=0.2, seed=2).compare(rating([3, 7, 18, 42, 30], [2, 5, 15, 40, 38]), "pilot")
    assert isinstance(other, Comparison)
    assert abs((other.low or 0) - (found.low or 0)) < 6 * (found.details["Monte Carlo error of a limit"] or 0)


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


def test_too_little_and_impossible_priors() -> None:
    for analysis in (BetaBinomial(),):
        found = analysis.compare(yes_no((0, 0), (3, 9)), "pilot")
        assert isinstance(found, NotEnoughData)
        assert found.reason == "control has no customers"
    with pytest.raises(InputError, match="prior_sd"):
        NormalPosterior.restore({})
    with pytest.raises(InputError, match="prior_yes"):
        BetaBinomial.restore({"prior_yes": 0})


def test_no_pair_of_laws_loses_its_chance() -> None:
    # scipy 1.17 gives no number for betaincinv(4, 2, 1e-121), nor for betaincinv(1.02, 0.36, 5e-18).
    sizes = (0.25, 0.36, 1.02, 2.0, 4.0, 400.0)
    laws_of_all = list(product(sizes, sizes))
    for pilot, control in product(laws_of_all, laws_of_all):
        one, two = BetaDifference(pilot, control).above(), BetaDifference(control, pilot).above()
        assert one + two == pytest.approx(1, abs=1e-6), (pilot, control)
