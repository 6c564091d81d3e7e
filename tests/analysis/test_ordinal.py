"""Proportional odds held against R 4.2.2, ordinal 2022.11-16."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale
from pilot.analysis.methods.ordinal import ProportionalOddsModel
from pilot.analysis.methods.ranks import MannWhitney
from pilot.analysis.ordinal import MAX_STRATA, ProportionalOdds, Unfit, proportional_odds
from pilot.errors import InputError

CONTROL, PILOT = (4, 6, 20, 48, 22), (3, 5, 12, 25, 15)
LARGE = ((4, 6, 20, 48, 22), (3, 5, 19, 25, 48))
SMALL = ((6, 9, 14, 16, 5), (4, 7, 15, 18, 6))
TINY = ((1, 0, 2, 0, 1), (0, 0, 0, 1, 0))
STRATA = np.array([LARGE, SMALL, TINY]).transpose(1, 0, 2)
TYPICAL = (0.03, 0.07, 0.18, 0.42, 0.30)
CEILING = (0.01, 0.02, 0.05, 0.22, 0.70)


def rating(control: object, pilot: object) -> Evidence:
    counts = np.array([np.atleast_2d(control), np.atleast_2d(pilot)])
    strata = [f"s{k}" for k in range(counts.shape[1])]
    levels = range(1, counts.shape[2] + 1)
    return Evidence.from_counts("csat", Scale.RATING, ("control", "pilot"), levels, counts, strata=strata)


def fitted(counts: object) -> ProportionalOdds:
    found = proportional_odds(counts)  # type: ignore[arg-type]
    assert isinstance(found, ProportionalOdds), found
    return found


def test_without_strata_as_clm_fits_it() -> None:
    # ordinal::clm(v ~ g): coefficients, errors and log likelihood; anova against v ~ 1; confint (profile, interpolated)
    found = fitted([[CONTROL], [PILOT]])
    assert found.beta == pytest.approx(-0.0390000429707, abs=1e-7)
    assert found.standard_error == pytest.approx(0.302900609656, rel=1e-7)
    assert found.thresholds == pytest.approx(
        [-3.0992355520573, -2.0799460780295, -0.8025575771114, 1.1871739502418], abs=1e-6
    )
    assert found.log_likelihood == pytest.approx(-214.310252499, abs=1e-8)
    assert found.log_likelihood_null == pytest.approx(-214.3185405, abs=1e-7)
    assert math.exp(found.log_p()) == pytest.approx(0.89756, abs=1e-5)
    assert found.profile_interval() == pytest.approx((-0.633274932198, 0.556155271828), abs=1e-5)


def test_with_strata_as_clm_fits_it() -> None:
    # ordinal::clm(v ~ s + g)
    found = fitted(STRATA)
    assert found.beta == pytest.approx(0.584907923966, abs=1e-7)
    assert found.standard_error == pytest.approx(0.211269464130, rel=1e-7)
    assert found.strata == pytest.approx([-1.275907749843, -1.095945336748], abs=1e-6)
    assert found.log_likelihood == pytest.approx(-420.038265229, abs=1e-8)
    assert found.root**2 == pytest.approx(7.74256, abs=1e-5)
    assert math.exp(found.log_p()) == pytest.approx(0.0053934, abs=1e-7)
    assert found.profile_interval() == pytest.approx((0.172432079063, 1.001249692132), abs=1e-5)
    assert found.wald_interval() == pytest.approx(
        (0.584907923966 - 1.959963984540 * 0.211269464130, 0.584907923966 + 1.959963984540 * 0.211269464130), abs=1e-7
    )


def test_the_score_test_of_proportionality() -> None:
    # R 4.2.2, numDeriv: gradient and expected information of the model with an odds ratio for each threshold, at the fit
    # above: 6.51065966311. The likelihood ratio (ordinal::nominal_test) gives 6.553199122.
    statistic, df = fitted(STRATA).proportional
    assert statistic == pytest.approx(6.51065966311, rel=1e-6)
    assert df == 3


def test_the_limits_of_the_profile_are_where_the_likelihood_has_dropped() -> None:
    found = fitted(STRATA)
    for limit in found.profile_interval(0.9):
        table = STRATA.astype(float)
        # 1.6448536269514722^2 / 2 = 1.352771727: 0.95 quantile of the normal law
        assert found.log_likelihood - _profiled(table, limit) == pytest.approx(1.352771727, abs=1e-6)


def _profiled(table: np.ndarray, beta: float) -> float:
    """The likelihood at a log odds ratio, maximised over all else by a general optimiser."""
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(point: np.ndarray) -> float:
        cuts, shifts = np.cumsum([point[0], *np.exp(point[1:4])]), np.concatenate([[0], point[4:]])
        lean = cuts - shifts[None, :, None] - beta * np.array([0, 1])[:, None, None]
        edges = np.concatenate([np.zeros((2, 3, 1)), expit(lean), np.ones((2, 3, 1))], axis=2)
        return -float((table * np.log(np.maximum(np.diff(edges, axis=2), 1e-300))).sum())

    start = np.array([-3.0, 0.0, 0.3, 0.7, -1.3, -1.0])
    return -float(minimize(loss, start, method="BFGS", options={"gtol": 1e-8}).fun)


def test_on_yes_and_no_it_is_the_odds_ratio_of_the_table() -> None:
    # log(30 * 25 / (10 * 15)) and sqrt(1/30 + 1/25 + 1/10 + 1/15); both arms in one threshold, so nothing to check
    found = fitted([[(25, 15)], [(10, 30)]])
    assert found.beta == pytest.approx(math.log(5), abs=1e-9)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 30 + 1 / 25 + 1 / 10 + 1 / 15), rel=1e-9)
    assert found.proportional == (0.0, 0)


tables = st.lists(st.tuples(*[st.lists(st.integers(0, 6), min_size=4, max_size=4)] * 2), min_size=1, max_size=3).map(
    lambda strata: np.array(strata).transpose(1, 0, 2)
)


@given(tables)
@settings(max_examples=30, deadline=None)
def test_swapping_arms_or_turning_the_scale_mirrors(counts: np.ndarray) -> None:
    one = proportional_odds(counts)
    for mirrored in (counts[::-1], counts[:, :, ::-1]):
        two = proportional_odds(mirrored)
        assert isinstance(two, Unfit) == isinstance(one, Unfit)
        if isinstance(one, ProportionalOdds) and isinstance(two, ProportionalOdds):
            assert two.beta == pytest.approx(-one.beta, abs=1e-6)
            assert two.standard_error == pytest.approx(one.standard_error, rel=1e-5)
            low, high = one.profile_interval()
            assert two.profile_interval() == pytest.approx((-high, -low), abs=1e-5)
            assert low < one.beta < high


@given(tables)
@settings(max_examples=20, deadline=None)
def test_order_of_strata_and_empty_levels_do_not_matter(counts: np.ndarray) -> None:
    one = proportional_odds(counts)
    wider = np.insert(counts[:, ::-1], 2, 0, axis=2)
    two = proportional_odds(wider)
    assert isinstance(two, Unfit) == isinstance(one, Unfit)
    if isinstance(one, ProportionalOdds) and isinstance(two, ProportionalOdds):
        assert (two.beta, two.log_likelihood) == pytest.approx((one.beta, one.log_likelihood), abs=1e-6)


@pytest.mark.parametrize(
    ("control", "pilot", "reason"),
    [
        ((3, 4, 0, 0), (0, 0, 3, 4), "not finite; use brunner-munzel"),
        ((3, 4, 2, 0), (0, 0, 2, 4), "not finite; use brunner-munzel"),
        ((0, 0, 9, 0), (0, 0, 7, 0), "two different values"),
        ((0, 0, 0, 0), (1, 2, 3, 4), "control has no answers"),
        ((1, 2, 3, 4), (0, 1, 0, 0), "pilot has only one"),
        ([(3, 4, 0, 0), (0, 0, 3, 2)], [(2, 3, 0, 0), (0, 0, 3, 4)], "join strata"),
    ],
)
def test_no_finite_odds_ratio_is_an_outcome_with_a_reason(control: object, pilot: object, reason: str) -> None:
    found = ProportionalOddsModel().compare(rating(control, pilot), "pilot")
    assert isinstance(found, NotEnoughData)
    assert reason in found.reason


def test_a_stratum_at_the_end_of_the_scale_is_left_out_and_said() -> None:
    evidence = rating([LARGE[0], (0, 0, 0, 0, 9)], [LARGE[1], (0, 0, 0, 0, 12)])
    found = ProportionalOddsModel().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert found.details["log odds ratio"] == pytest.approx(fitted([[LARGE[0]], [LARGE[1]]]).beta)
    assert any("1 strata with one value" in warning for warning in found.warnings)


def test_the_record_speaks_of_odds() -> None:
    found = ProportionalOddsModel().compare(rating(*STRATA), "pilot")
    assert isinstance(found, Comparison)
    assert found.estimate == pytest.approx(math.exp(0.584907923966))
    assert found.sentence == (
        "the odds ratio of csat is 1.79 in pilot against control (95 % interval 1.19 to 2.72; 151 and 154 answers); "
        "the whole interval lies on the better side."
    )
    assert found.p_value == pytest.approx(0.0053934, abs=1e-7)
    wald = ProportionalOddsModel(interval="wald").compare(rating(*STRATA), "pilot")
    assert isinstance(wald, Comparison)
    assert wald.p_value == pytest.approx(2 * 0.5 * math.erfc(0.584907923966 / 0.211269464130 / math.sqrt(2)), rel=1e-6)


def test_what_does_not_fit_is_warned_of() -> None:
    crossed = ProportionalOddsModel().compare(rating((10, 20, 60, 20, 10), (40, 15, 10, 15, 40)), "pilot")
    assert isinstance(crossed, Comparison)
    assert any("brunner-munzel does not assume this" in warning for warning in crossed.warnings)
    small = ProportionalOddsModel().compare(rating(*TINY[::-1]), "pilot")
    assert isinstance(small, NotEnoughData)
    sparse = ProportionalOddsModel().compare(rating([(1, 2, 2)] * 8, [(1, 1, 2)] * 8), "pilot")
    assert isinstance(sparse, Comparison)
    assert any("van-elteren fits better" in warning for warning in sparse.warnings)
    assert any("below 50" in warning for warning in sparse.warnings)


def test_too_many_strata_are_refused() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(InputError, match="too many for fixed effects"):
        ProportionalOddsModel().compare(rating(*rng.integers(1, 9, (2, MAX_STRATA + 1, 5))), "pilot")


def test_whitehead_s_sample_size() -> None:
    # Whitehead 1993: n per arm = 6 (z(0.975) + z(0.8))^2 / (theta^2 (1 - sum p^3)), p the mean shares: 242 for an odds ratio
    # of 1.6 and typical ratings
    expected = Expected(levels=(1, 2, 3, 4, 5), shares=TYPICAL)
    control, pilot = ProportionalOddsModel().sample_size(expected, math.log(1.6))
    below = np.cumsum(TYPICAL)[:-1]
    moved = np.diff(np.concatenate([[0], below / (below + (1 - below) * 1.6), [1]]))
    mean = (np.array(TYPICAL) + moved) / 2
    assert control == pytest.approx(6 * 7.8488797 / (math.log(1.6) ** 2 * (1 - (mean**3).sum())), rel=1e-6)
    assert math.ceil(control) == math.ceil(pilot) == 242
    with pytest.raises(InputError, match="shares"):
        ProportionalOddsModel().power(Expected(sd=1), 0.5, (50, 50))


def moved(shares: tuple[float, ...], odds_ratio: float) -> np.ndarray:
    below = np.cumsum(shares)[:-1]
    return np.diff(np.concatenate([[0], below / (below + (1 - below) * odds_ratio), [1]]))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [TYPICAL, CEILING])
@pytest.mark.parametrize("n", [50, 100, 1000])
def test_type_one_error_and_cover(shape: tuple[float, ...], n: int) -> None:
    # Wald: 5.5 percent at 50 and 150 per arm
    rng, draws = np.random.default_rng(n), 3000
    rejected = covered = 0
    for table in rng.multinomial(n, shape, (draws, 2)):
        rejected += fitted(table[:, None]).log_p() < math.log(0.05)
    pilot = rng.multinomial(n, moved(shape, 1.8), draws)
    for pair in zip(rng.multinomial(n, shape, draws), pilot, strict=True):
        low, high = fitted(np.stack(pair)[:, None]).profile_interval()
        covered += low <= math.log(1.8) <= high
    assert 0.035 <= rejected / draws <= 0.065
    assert 0.935 <= covered / draws <= 0.97


@pytest.mark.slow
def test_the_planned_size_has_its_power() -> None:
    # 242 per arm: 79.9 percent by Mann-Whitney
    rng, draws = np.random.default_rng(242), 2000
    shown = [0, 0]
    for control, pilot in zip(
        rng.multinomial(242, TYPICAL, draws), rng.multinomial(242, moved(TYPICAL, 1.6), draws), strict=True
    ):
        shown[0] += fitted(np.stack([control, pilot])[:, None]).log_p() < math.log(0.05)
        ranks = MannWhitney().compare(rating(control, pilot), "pilot")
        assert isinstance(ranks, Comparison)
        shown[1] += (ranks.p_value or 1) < 0.05
    assert [count / draws for count in shown] == pytest.approx([0.8, 0.799], abs=4 * math.sqrt(0.16 / draws) + 0.003)


def test_a_stratum_with_an_infinite_effect_is_no_fit() -> None:
    # Only the first stratum's pilot arm has the highest level and only the second's the lowest: the shift between the
    # strata and the lowest threshold grow without end, and the odds ratio had a standard error of 0.
    counts = [[[0, 1, 0], [0, 1, 0]], [[0, 2, 1], [2, 0, 0]]]
    assert proportional_odds(counts) is Unfit.STRATA


def test_a_limit_that_cannot_be_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted([[CONTROL], [PILOT]])
    model = type(found._model)
    plain, farthest = model.profiled, found.beta + 0.1

    def breaks_off(self: object, beta: float, start: object) -> float:
        return plain(self, beta, start) if beta < farthest else -1e100  # type: ignore[arg-type]

    monkeypatch.setattr(model, "profiled", breaks_off)
    assert found.profile_interval() is None
    lost = ProportionalOddsModel().compare(rating(CONTROL, PILOT), "pilot")
    assert isinstance(lost, NotEnoughData)
    assert "set interval to wald" in lost.reason
    assert isinstance(ProportionalOddsModel(interval="wald").compare(rating(CONTROL, PILOT), "pilot"), Comparison)
