from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from pilot.analysis import Comparison, Evidence, Expected, Joint, NotEnoughData, Scale, Welch
from pilot.analysis.arrays import evidence_of
from pilot.analysis.balance import mahalanobis
from pilot.analysis.means import mean_difference
from pilot.analysis.methods.regression import Lin
from pilot.analysis.methods.rerandomisation import RerandomisedDifference
from pilot.analysis.methods.welch import StratifiedDifference
from pilot.analysis.rerandomisation import (
    Criterion,
    RerandomisedLaw,
    acceptance_threshold,
    explained_difference,
    kept_variance,
)
from pilot.analysis.rerandomisationtest import rerandomisation_test
from pilot.errors import InputError


def test_threshold_and_kept_variance_are_morgan_and_rubins() -> None:
    # Morgan and Rubin 2012, sections 2 and 4: ten covariates and one assignment in a thousand give 1.48 and 0.12
    assert round(acceptance_threshold(0.001, 10), 2) == 1.48
    assert round(kept_variance(0.001, 10), 2) == 0.12
    # closed forms: two covariates, an exponential law; one covariate, a normal law cut off on both sides
    a = acceptance_threshold(0.1, 2)
    assert a == pytest.approx(-2 * math.log(0.9), rel=1e-12)
    assert kept_variance(0.1, 2) == pytest.approx(1 - a / 2 * 0.9 / 0.1, rel=1e-10)
    root = float(ndtri(0.525))
    density = math.exp(-(root**2) / 2) / math.sqrt(2 * math.pi)
    assert kept_variance(0.05, 1) == pytest.approx(1 - 2 * root * density / 0.05, rel=1e-9)


def test_without_acceptance_nothing_is_kept_from_the_normal_law() -> None:
    assert acceptance_threshold(1.0, 3) == math.inf
    assert kept_variance(1.0, 3) == 1
    for share in (0.0, 0.5, 0.999, 1 - 1e-9):
        law = RerandomisedLaw(1.0, 3, share)
        assert law.variance == 1
        assert law.quantile(0.975) == pytest.approx(1.959963984540054, rel=1e-12)


@pytest.mark.parametrize(
    ("covariates", "acceptance", "share", "quantile", "above"),
    [
        (1, 0.05, 0.5, 1.38681121237, 1.11824711698e-05),
        (2, 0.1, 0.9, 0.746320923595, 4.81690170372e-18),
        (5, 0.001, 0.5, 1.40639322245, 1.44414444793e-05),
        (10, 0.001, 0.8, 1.06558993531, 5.37014294857e-09),
        (3, 0.01, 0.999, 0.281771691422, None),
    ],
)
def test_the_law_is_that_of_r(
    covariates: int, acceptance: float, share: float, quantile: float, above: float | None
) -> None:
    # R 4.2.2: integrate(dnorm(x) * pchisq(a - x^2, K - 1) / p * pnorm((q - sqrt(R2) x) / sqrt(1 - R2), lower = FALSE)), uniroot
    law = RerandomisedLaw(acceptance, covariates, share)
    assert law.quantile(0.975) == pytest.approx(quantile, rel=1e-10)
    assert law.quantile(0.025) == pytest.approx(-law.quantile(0.975), rel=1e-12)
    if above is not None:  # the integral in R is good to 1e-4 in the second, far tail
        assert law.upper(3) == pytest.approx(above, rel=1e-3 if above < 1e-17 else 1e-7)
        assert law.log_upper(3) == pytest.approx(math.log(law.upper(3)), rel=1e-10)


def test_with_a_t_law_it_is_wider() -> None:
    # R 4.2.2: the same with pt(..., 20)
    assert RerandomisedLaw(0.01, 3, 0.5, 20).quantile(0.975) == pytest.approx(1.48941670609, rel=1e-10)


def test_far_tails_have_logarithms() -> None:
    assert RerandomisedLaw(0.01, 5, 0.5, 30).log_upper(400) == pytest.approx(-141.752301677, rel=1e-6)
    assert RerandomisedLaw(1.0, 5, 0.5).log_upper(40) == pytest.approx(-804.608442014, abs=1e-6)


@given(acceptance=st.floats(0.001, 1), covariates=st.integers(1, 40), share=st.floats(0, 0.99), df=st.floats(3, 200))
@settings(max_examples=30, deadline=None)
def test_the_law_is_a_law(acceptance: float, covariates: int, share: float, df: float) -> None:
    law = RerandomisedLaw(acceptance, covariates, share, df)
    assert law.upper(0) == pytest.approx(0.5, abs=1e-9)
    assert law.upper(1) > law.upper(2) > 0
    assert law.upper(-1) == pytest.approx(1 - law.upper(1), abs=1e-9)
    assert law.upper(law.quantile(0.9)) == pytest.approx(0.1, abs=1e-9)
    narrower = RerandomisedLaw(acceptance / 2, covariates, share, df)
    assert narrower.quantile(0.975) <= law.quantile(0.975) + 1e-9


def test_distances_of_single_assignments_are_those_of_moments() -> None:
    rng = np.random.default_rng(3)
    x, stratum = rng.normal(size=(30, 3)), np.repeat([0, 1], [12, 18])
    arm = np.concatenate([rng.permutation([0] * 6 + [1] * 6), rng.permutation([0] * 9 + [1] * 9)])
    cells = [[x[(arm == a) & (stratum == s)] for s in (0, 1)] for a in (0, 1)]
    n = [[len(cell) for cell in row] for row in cells]
    mean = [[cell.mean(axis=0) for cell in row] for row in cells]
    cross = [[(cell - cell.mean(axis=0)).T @ (cell - cell.mean(axis=0)) for cell in row] for row in cells]
    found = mahalanobis(n, mean, cross)
    assert found is not None
    criterion = Criterion.of(x, arm, stratum)
    assert criterion.covariates == found.df == 3
    assert criterion.distances(arm) == pytest.approx([found.distance], rel=1e-9)


def test_the_distance_has_its_mean_over_all_assignments_and_knows_repeated_columns() -> None:
    x = np.random.default_rng(4).normal(size=(8, 2))
    arms = np.array([[i in chosen for i in range(8)] for chosen in combinations(range(8), 4)], dtype=float)
    criterion = Criterion.of(x, arms[0])
    assert criterion.distances(arms).mean() == pytest.approx(2, rel=1e-9)
    repeated = Criterion.of(np.column_stack([x, x[:, 0] * 3 + 1, np.ones(8)]), arms[0])
    assert repeated.covariates == 2
    assert repeated.distances(arms) == pytest.approx(criterion.distances(arms), rel=1e-6)


def test_a_criterion_refuses_what_it_cannot_weigh() -> None:
    with pytest.raises(InputError, match="no covariate differs"):
        Criterion.of(np.ones(6), [0, 1] * 3)
    with pytest.raises(InputError, match="no finite number"):
        Criterion.of([1, 2, math.nan, 4], [0, 1, 0, 1])
    for share in (0, 1.5):
        with pytest.raises(InputError, match="no share of assignments"):
            acceptance_threshold(share, 2)
    with pytest.raises(InputError, match="there must be a covariate"):
        kept_variance(0.1, 0)
    with pytest.raises(InputError, match="no probability"):
        RerandomisedLaw(0.1, 2, 0.5).quantile(1)


Y8, X8 = np.array([3.1, 4.0, 5.2, 4.4, 6.1, 5.0, 7.3, 6.6]), np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
A8 = np.array([0, 1, 1, 0, 0, 1, 1, 0])


def test_the_exact_test_counts_the_acceptable_assignments() -> None:
    """By hand: of 70 ways to take four of eight, those with rank sums of 16 to 20 are within a distance of 2/3."""
    found = rerandomisation_test(Y8, A8, X8, 2 / 3)
    acceptable = [list(chosen) for chosen in combinations(range(8), 4) if 16 <= sum(X8[list(chosen)]) <= 20]
    gaps = [Y8[chosen].mean() - np.delete(Y8, chosen).mean() for chosen in acceptable]
    observed = Y8[A8 == 1].mean() - Y8[A8 == 0].mean()
    smaller = min(sum(gap >= observed - 1e-9 for gap in gaps), sum(gap <= observed + 1e-9 for gap in gaps))
    assert found.exact
    assert found.assignments == len(acceptable)
    assert found.estimate == pytest.approx(observed)
    assert found.p_value == pytest.approx(min(1, 2 * smaller / len(gaps)))
    assert found.error == 0
    every = rerandomisation_test(Y8, A8, X8, math.inf)
    assert every.assignments == 70


@given(seed=st.integers(0, 10**6), strata=st.booleans())
@settings(max_examples=20, deadline=None)
def test_test_and_interval_agree_and_arms_swap(seed: int, strata: bool) -> None:
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=12), rng.permutation([0, 1] * 6)
    stratum = np.repeat([0, 1], 6) if strata else None
    y = x + rng.normal(size=12)
    if strata and not all(0 < arm[stratum == s].sum() < 6 for s in (0, 1)):
        return
    threshold = max(2.0, float(Criterion.of(x, arm, stratum).distances(arm)[0]))
    found = rerandomisation_test(y, arm, x, threshold, stratum=stratum, level=0.9)
    turned = rerandomisation_test(y, 1 - arm, x, threshold, stratum=stratum, level=0.9)
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.estimate == pytest.approx(-found.estimate)
    if found.low is None or found.high is None:
        return
    assert turned.low == pytest.approx(-found.high)
    width = found.high - found.low
    for shift, held in (
        (found.low + 0.01 * width, True),
        (found.low - 1e-6 * width, False),
        (found.high + 1e-6 * width, False),
    ):
        shifted = rerandomisation_test(y - shift * arm, arm, x, threshold, stratum=stratum, level=0.9)
        assert (shifted.p_value > 0.1) == held


def test_drawn_assignments_come_near_the_exact_test_and_state_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = rerandomisation_test(Y8, A8, X8, 1.0)
    monkeypatch.setattr("pilot.analysis.rerandomisationtest.MAX_WAYS", 0)
    drawn = rerandomisation_test(Y8, A8, X8, 1.0, draws=20_000, seed=3)
    assert not drawn.exact
    assert drawn.assignments == 20_001
    assert 0 < drawn.error < 0.01
    assert abs(drawn.p_value - exact.p_value) < 4 * drawn.error
    assert drawn == rerandomisation_test(Y8, A8, X8, 1.0, draws=20_000, seed=3)
    assert drawn != rerandomisation_test(Y8, A8, X8, 1.0, draws=20_000, seed=4)


def test_the_randomisation_test_refuses_other_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"distance of 0.0\d+ is above 0.001"):
        rerandomisation_test(Y8, [1, 0, 0, 1, 0, 1, 1, 0], np.append(X8[:7], 8.5), 0.001)
    with pytest.raises(InputError, match="an arm has no units"):
        rerandomisation_test(Y8, np.ones(8), X8, 1.0)
    monkeypatch.setattr("pilot.analysis.rerandomisationtest.MAX_WAYS", 0)
    monkeypatch.setattr("pilot.analysis.rerandomisationtest.MAX_TRIES", 10)
    with pytest.raises(InputError, match="are acceptable"):
        rerandomisation_test(Y8, A8, X8, 1e-6, draws=1_000_000)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"value": [*Y8[:7], math.nan]}, "value: entry 8 is no finite number"),
        ({"value": [-math.inf, *Y8[1:]]}, "value: entry 1 is no finite number"),
        ({"value": Y8[:7]}, "value: there are 7 entries for 8 units"),
        ({"arm": A8[:7]}, "value: there are 8 entries for 7 units"),
        ({"arm": [1, 2, 0, 0, 1, 0, 1, 0]}, "arm: entry 2 is neither 0 nor 1"),
        ({"covariates": X8[:7]}, "covariates: there are 7 entries for 8 units"),
        ({"stratum": [1, 2]}, "stratum: there are 2 entries for 8 units"),
        ({"threshold": math.nan}, "threshold: nan is no distance"),
        ({"threshold": -1.0}, "threshold: -1 is no distance"),
        ({"level": 1.5}, "level: 1.5 is no level"),
        ({"level": math.nan}, "level: nan is no level"),
        ({"draws": 0}, "draws: 0 assignments cannot be drawn"),
    ],
)
def test_the_randomisation_test_names_what_it_cannot_use(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}"):
        rerandomisation_test(**{"value": Y8, "arm": A8, "covariates": X8, "threshold": 1.0} | changed)


def test_the_randomisation_test_keeps_its_level_where_covariates_predict() -> None:
    """400 pilots of 10 customers without an effect, R squared 0.8: at most 5 % below 0.05, and not far below."""
    rng = np.random.default_rng(8)
    threshold, small = acceptance_threshold(0.3, 1), 0
    for _ in range(400):
        x = rng.normal(size=10)
        y = 2 * x + rng.normal(size=10)
        arms = np.array([rng.permutation([0, 1] * 5) for _ in range(60)])
        arm = arms[np.argmax(Criterion.of(x, arms[0]).distances(arms) <= threshold)]
        small += (
            rerandomisation_test(y, arm, x, max(threshold, 1e-9 + Criterion.of(x, arm).distances(arm)[0])).p_value
            <= 0.05
        )
    assert 0.015 < small / 400 < 0.085


def joint_of(y: np.ndarray, x: np.ndarray, arm: np.ndarray) -> Joint:
    columns = np.column_stack([y, x])
    cells = [columns[arm == row] for row in (0, 1)]
    means = np.array([[cell.mean(axis=0)] for cell in cells])
    cross = np.array([[(cell - cell.mean(axis=0)).T @ (cell - cell.mean(axis=0))] for cell in cells])
    n = np.array([[len(cell)] for cell in cells])
    return Joint(("y", *(f"x{k}" for k in range(x.shape[1]))), n, means, cross)


def covered(
    per_arm: int, covariates: int, explained: float, repeats: int, levels: list[float] | None
) -> tuple[float, float]:
    """Shares of intervals that hold no difference, by the law of the draw and by Welch's t."""
    rng = np.random.default_rng(21)
    threshold, first = acceptance_threshold(0.02, covariates), np.arange(2 * per_arm) % 2
    held = plain = 0
    for _ in range(repeats):
        x = rng.normal(size=(2 * per_arm, covariates))
        y = x.sum(axis=1) * math.sqrt(explained / covariates) + math.sqrt(1 - explained) * rng.normal(size=2 * per_arm)
        y = y if levels is None else np.digitize(y, ndtri(np.cumsum(levels))) + 1.0
        criterion, arm = Criterion.of(x, first), None
        while arm is None:
            arms = rng.permuted(np.broadcast_to(first, (200, 2 * per_arm)), axis=1)
            accepted = arms[criterion.distances(arms) <= threshold]
            arm = accepted[0] if len(accepted) else None
        joint = joint_of(y, x, arm)
        difference = mean_difference(joint.n, joint.mean[..., 0], joint.cross[..., 0, 0])
        found = explained_difference(joint, [1.0])
        assert difference is not None
        assert found is not None
        law = RerandomisedLaw(0.02, covariates, found.r_squared, difference.df)
        held += abs(difference.estimate) <= law.quantile(0.975) * difference.standard_error
        plain += difference.log_p > math.log(0.05)
    return held / repeats, plain / repeats


def test_coverage_is_nominal_and_welch_is_needlessly_wide() -> None:
    held, plain = covered(30, 3, 0.7, 300, None)
    assert 0.905 < held < 0.985
    assert plain > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, [0.03, 0.07, 0.18, 0.42], [0.01, 0.02, 0.05, 0.22]])
@pytest.mark.parametrize("explained", [0.0, 0.6])
@pytest.mark.parametrize("per_arm", [30, 100])
def test_coverage_on_values_and_ratings(per_arm: int, explained: float, levels: list[float] | None) -> None:
    held, plain = covered(per_arm, 3, explained, 2000, levels)
    assert 0.93 < held < 0.97
    assert plain > (0.975 if explained else 0.93)


def customers(size: int, *, strata: bool = False, seed: int = 5) -> Evidence:
    rng = np.random.default_rng(seed)
    x = rng.normal(10, 2, size)
    arm = np.arange(size) % 2
    return evidence_of(
        "revenue",
        Scale.NUMBER,
        ("control", "pilot"),
        arm=["pilot" if one else "control" for one in arm],
        value=3 * x + rng.normal(0, 2, size) + 1.5 * arm,
        stratum=["north" if k % 4 < 2 else "south" for k in range(size)] if strata else None,
        covariates={"before": x},
    )


def compared(analysis: RerandomisedDifference, evidence: Evidence) -> Comparison:
    found = analysis.compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize("strata", [False, True])
def test_the_estimate_is_welchs_and_the_interval_narrower(strata: bool) -> None:
    evidence = customers(80, strata=strata)
    found = compared(RerandomisedDifference(0.3), evidence)
    plain = (StratifiedDifference() if strata else Welch()).compare(evidence, "pilot")
    assert isinstance(plain, Comparison)
    assert found.estimate == plain.estimate
    assert (found.details["low without rerandomisation"], found.details["high without rerandomisation"]) == (
        plain.low,
        plain.high,
    )
    assert found.low is not None
    assert found.high is not None
    assert plain.low is not None
    assert plain.high is not None
    assert found.high - found.low < 0.6 * (plain.high - plain.low)
    everything = compared(RerandomisedDifference(1.0), evidence)
    assert (everything.low, everything.high) == pytest.approx((plain.low, plain.high), rel=0.02)
    explained = found.details["explained variance"]
    lin = Lin().compare(evidence, "pilot")
    assert isinstance(lin, Comparison)
    assert explained == pytest.approx(lin.details["explained variance"], abs=0.05)


def test_missing_answers_thin_out_what_was_balanced() -> None:
    """Twice as many assigned as analysed halve the part of the variance that the draw took away."""
    evidence = customers(80)
    full = compared(RerandomisedDifference(0.3), evidence).details["explained variance"]
    assert evidence.moments is not None
    half = Evidence.from_json({**evidence.as_json(), "assigned": (2 * evidence.moments.n).tolist()})
    assert compared(RerandomisedDifference(0.3), half).details["explained variance"] == pytest.approx((full or 0) / 2)


def test_an_assignment_that_was_not_accepted_is_told() -> None:
    evidence = customers(80)
    found = compared(RerandomisedDifference(0.001), evidence)
    assert any("would not have accepted these arms" in warning for warning in found.warnings)
    (check,) = [check for check in found.checks if check.name == "accepted assignment"]
    assert check.status == "warn"
    assert evidence.moments is not None
    assigned = Evidence.from_json({**evidence.as_json(), "assigned": evidence.moments.n.tolist()})
    (check,) = [c for c in compared(RerandomisedDifference(0.001), assigned).checks if c.name == "accepted assignment"]
    assert check.status == "fail"


def test_scaling_shifting_and_swapping() -> None:
    evidence = customers(60)
    found = compared(RerandomisedDifference(0.2), evidence)
    assert evidence.rows is not None
    rows, names = evidence.rows, ("control", "pilot")
    other = evidence_of(
        "revenue",
        Scale.NUMBER,
        names,
        arm=[names[1 - a] for a in rows.arm][::-1],
        value=(7 + 100 * rows.value)[::-1],
        covariates={"before": (3 - rows.covariates["before"] / 7)[::-1]},
    )
    turned = compared(RerandomisedDifference(0.2), other)
    assert found.low is not None
    assert found.high is not None
    assert (turned.estimate, turned.low, turned.high) == pytest.approx(
        (-100 * (found.estimate or 0), -100 * found.high, -100 * found.low), rel=1e-8
    )
    assert turned.log_p == pytest.approx(found.log_p, rel=1e-8)


def test_what_cannot_be_compared_has_a_reason() -> None:
    flat = evidence_of(
        "a",
        Scale.NUMBER,
        ("control", "pilot"),
        arm=["control", "pilot"] * 5,
        value=range(10),
        covariates={"x": [1] * 10},
    )
    found = RerandomisedDifference(0.01).compare(flat, "pilot")
    assert isinstance(found, NotEnoughData)
    assert "balance nothing" in found.reason
    with pytest.raises(InputError, match="no covariate 'age'"):
        RerandomisedDifference(0.01, ("age",)).compare(customers(20), "pilot")


def test_planning_saves_what_the_covariates_explain() -> None:
    """With nearly all balanced away, as many customers fewer as the covariates explain; without rerandomisation none."""
    expected = Expected(sd=1.0, explained=0.5)
    few = RerandomisedDifference(1e-5, ("before",)).sample_size(expected, 0.2)
    plain = Welch().sample_size(Expected(sd=1.0), 0.2)
    assert few[0] == pytest.approx(plain[0] / 2, rel=0.01)
    all_ = RerandomisedDifference(1.0, ("before",)).sample_size(expected, 0.2)
    assert all_[0] == pytest.approx(plain[0], rel=0.02)
    assert RerandomisedDifference(0.01, ("a", "b")).sample_size(expected, 0.2) > RerandomisedDifference(
        0.01
    ).sample_size(expected, 0.2)


@pytest.mark.parametrize(("missing", "apart", "status"), [(1, 0.8, "warn"), (40, 0.1, "pass"), (40, 1.5, "warn")])
def test_missing_answers_explain_some_distance_and_no_more(missing: int, apart: float, status: str) -> None:
    """Arms 0.8 standard deviations apart were never accepted at 1 %, whether or not one answer of 120 is missing."""
    spread = np.linspace(-1.7, 1.7, 60)
    arm = ["control"] * 60 + ["pilot"] * 60
    before = np.concatenate([spread, spread + apart])
    kept = np.setdiff1d(np.arange(120), np.arange(0, 2 * missing, 2) if missing > 1 else [60])
    evidence = evidence_of(
        "revenue",
        Scale.NUMBER,
        ("control", "pilot"),
        arm=[arm[place] for place in kept],
        value=before[kept] + np.sin(kept),
        covariates={"before": before[kept]},
    )
    evidence = Evidence.from_json({**evidence.as_json(), "assigned": [[60], [60]]})
    (check,) = [c for c in compared(RerandomisedDifference(0.01), evidence).checks if c.name == "accepted assignment"]
    assert check.status == status
