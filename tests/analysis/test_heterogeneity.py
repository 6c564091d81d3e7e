from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Expected, NotEnoughData, Scale, Welch
from pilot.analysis.heterogeneity import Variation, gail_simon
from pilot.analysis.methods.heterogeneity import Heterogeneity
from pilot.analysis.noncentral import f_power
from pilot.analysis.tails import log_f_upper, t_quantile
from pilot.errors import InputError

# Gail and Simon 1985, Biometrics 41:361: disease-free at three years, four groups by age and receptor.
EFFECTS = (0.163, -0.114, -0.047, -0.151)
ERRORS = (0.0788, 0.0689, 0.0614, 0.0547)


def test_gail_and_simons_example() -> None:
    statistic, p = gail_simon(EFFECTS, ERRORS)
    assert round(statistic, 2) == 4.28
    assert round(p, 3) == 0.088


# Gail and Simon 1985, table 1, 5 %: critical values by the number of groups.
@pytest.mark.parametrize(("groups", "critical"), [(2, 2.71), (3, 4.23), (4, 5.43), (5, 6.50)])
def test_gail_and_simons_table(groups: int, critical: float) -> None:
    def p(value: float) -> float:
        root = math.sqrt(value)
        return gail_simon([root, -root] + [0.0] * (groups - 2), [1.0] * groups)[1]

    assert p(critical + 0.005) < 0.05 < p(critical - 0.005)


def test_effects_of_one_sign_never_change_it() -> None:
    assert gail_simon([0.1, 0.2, 0.0], [0.1, 0.1, 0.1]) == (0.0, 1.0)


def test_cochrans_q_and_its_profile() -> None:
    # R 4.2.2, metafor 3.8-1: rma(d, sei = s, method = "PM"): QE 11.429260455322, QEp 0.009617366521; tau and its
    # limits to the four digits its own search is good for.
    found = Variation.of(EFFECTS, ERRORS)
    assert (found.q, found.p_value_of_q) == pytest.approx((11.429260455322, 0.009617366521), rel=1e-9)
    assert found.spread == pytest.approx(0.119764604, abs=2e-4)
    assert found.spread_interval() == pytest.approx((0.033206663564, 0.5178575238), abs=2e-4)
    # Q at the limits is the chi-square quantile: qchisq(c(.975, .025), 3)
    for limit, quantile in zip(found.spread_interval(), (9.348403604, 0.215795283), strict=True):
        weights = 1 / (np.array(ERRORS) ** 2 + limit**2)
        centre = weights @ np.array(EFFECTS) / weights.sum()
        assert weights @ (np.array(EFFECTS) - centre) ** 2 == pytest.approx(quantile, rel=1e-8)
    assert found.share == pytest.approx(1 - 3 / 11.429260455322)


def test_welchs_f_as_in_r() -> None:
    # R 4.2.2: oneway.test(y ~ g) on the three samples below: F = 3.4560382, denom df = 6.8554404, p = 0.09162561086
    samples = ([5, 3, 4, 4, 5, 2], [1, 2, 4, 3], [5, 5, 4, 5, 3, 5, 4])
    means = [np.mean(sample) for sample in samples]
    errors = [np.std(sample, ddof=1) / math.sqrt(len(sample)) for sample in samples]
    found = Variation.of(means, errors, [len(sample) - 1 for sample in samples])
    assert found.f == pytest.approx((3.4560382, 6.8554404), abs=5e-8)
    assert math.exp(found.log_p) == pytest.approx(0.09162561086, rel=1e-9)


def test_tail_of_f_as_in_r() -> None:
    # R 4.2.2: pf(3000, 2, 8.5, lower.tail = FALSE, log.p = TRUE), pf(1e5, 3, 4000, ...)
    assert log_f_upper(3000, 2, 8.5) == pytest.approx(-27.88367306, rel=1e-9)
    assert log_f_upper(1e5, 3, 4000) == pytest.approx(-8657.551879, rel=1e-9)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 2), st.integers(2, 60)), min_size=2, max_size=6),
    st.floats(0.1, 9),
)
@settings(max_examples=30, deadline=None)
def test_order_sign_and_scale_of_the_strata(rows: list[tuple[float, float, int]], factor: float) -> None:
    one = Variation.of(*zip(*rows, strict=True))
    estimates, errors, df = zip(*rows[::-1], strict=True)
    two = Variation.of([-factor * x for x in estimates], [factor * x for x in errors], df)
    assert two.q == pytest.approx(one.q, rel=1e-7, abs=1e-9)
    assert two.log_p == pytest.approx(one.log_p, rel=1e-6, abs=1e-7)
    assert (two.spread, *two.spread_interval()) == pytest.approx(
        tuple(factor * x for x in (one.spread, *one.spread_interval())), rel=1e-5, abs=1e-6
    )
    low, high = one.spread_interval()
    assert low <= one.spread <= high


def rating(*arms: list[list[int]], **more: object) -> Evidence:
    strata = [f"s{k}" for k in range(len(arms[0]))]
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), arms, strata=strata, **more
    )  # type: ignore[arg-type]


def test_details_hold_each_stratum_with_its_interval() -> None:
    evidence = rating([[4, 6, 20, 48, 22], [6, 9, 14, 16, 5]], [[3, 5, 19, 45, 28], [9, 12, 14, 11, 4]])
    found = Heterogeneity().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert found.details["s0: difference"] == pytest.approx(0.12)
    assert found.details["s1: difference"] == pytest.approx(-0.32)
    assert (found.details["s1: low"] or 0) < -0.32 < (found.details["s1: high"] or 0)
    # Two strata: F is the square of Welch-Satterthwaite's t of the difference between their effects.
    gap, low, high = (found.details[name] or 0 for name in ("s1 minus s0", "minus low", "minus high"))
    assert gap == pytest.approx(-0.44)
    half = t_quantile(0.975, found.df or 0) * 0.44 / math.sqrt(found.statistic or 1)
    assert (low, high) == pytest.approx((-0.44 - half, -0.44 + half))
    assert found.sentence.startswith(
        "the effect on csat varies over 2 strata with a standard deviation of 0.24 (95 % interval 0.00 to "
    )
    assert any("below 5 the spread between them is hardly known" in warning for warning in found.warnings)
    assert "a change of sign between strata has p" in found.sentence


def test_false_alarms_of_the_interaction() -> None:
    """Three strata with unlike spreads and sizes, the same effect in each: the test alarms in 5 %."""
    random = np.random.default_rng(4)
    runs, levels = 6_000, np.arange(1, 6)
    estimates, errors, df = (np.empty((runs, 3)) for _ in range(3))
    shapes = ((0.03, 0.07, 0.18, 0.42, 0.30), (0.2, 0.1, 0.1, 0.2, 0.4), (0.1, 0.2, 0.4, 0.2, 0.1))
    for k, (size, shares) in enumerate(zip((12, 30, 60), shapes, strict=True)):
        counts = random.multinomial(size, shares, size=(runs, 2))
        means = counts @ levels / size
        parts = (counts * (levels - means[..., None]) ** 2).sum(axis=2) / (size - 1) / size
        estimates[:, k], errors[:, k] = means[:, 1] - means[:, 0], np.sqrt(parts.sum(axis=1))
        df[:, k] = parts.sum(axis=1) ** 2 * (size - 1) / (parts**2).sum(axis=1)
    rows = zip(estimates, errors, df, strict=True)
    alarms = sum(Variation.of(*row).log_p < math.log(0.05) for row in rows)
    assert abs(alarms / runs - 0.05) < 4 * math.sqrt(0.05 * 0.95 / runs) + 0.003


def test_strata_without_spread_are_named() -> None:
    evidence = rating(
        [[4, 6, 20, 48, 22], [6, 9, 14, 16, 5], [0, 0, 0, 0, 9]],
        [[3, 5, 19, 45, 28], [9, 12, 14, 11, 4], [0, 0, 0, 0, 8]],
    )
    found = Heterogeneity().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert any("left aside: s2" in warning for warning in found.warnings)
    assert found.details["Q df"] == 1


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        (([[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]), "there are no strata"),
        (([[1, 2, 3, 4, 5], [0, 0, 0, 0, 9]], [[5, 4, 3, 2, 1], [0, 0, 0, 0, 7]]), "it takes two strata with a spread"),
    ],
)
def test_too_few_strata_are_an_outcome_with_a_reason(arms: tuple[list[list[int]], ...], reason: str) -> None:
    found = Heterogeneity().compare(rating(*arms), "pilot")
    assert isinstance(found, NotEnoughData)
    assert reason in found.reason


def test_strata_that_differ_less_than_chance_give_no_upper_limit() -> None:
    # R 4.2.2, metafor 3.8-1: confint(rma(yi, vi, method = "PM")) calls this interval the empty set.
    counts = [[[5, 9, 20, 40, 26]] * 3, [[4, 8, 19, 41, 28]] * 3]
    evidence = Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 3, 4, 5), counts, strata=tuple("abc")
    )
    found = Heterogeneity().compare(evidence, "pilot")
    assert isinstance(found, Comparison)
    assert (found.estimate, found.low, found.high) == (0, 0, None)
    assert found.sentence.startswith("csat differs less between the 3 strata than chance alone would let it; ")


def test_power_of_the_interaction() -> None:
    # R 4.2.2, two strata of 50 per cell, effects 0.6 apart: pf(qf(0.95, 1, 196), 1, 196, ncp = 0.36 / 0.08, lower.tail = FALSE)
    halves = Expected(sd=1.0, strata=(1, 1))
    gap = 0.6 / math.sqrt(2)
    assert Heterogeneity().power(halves, gap, (100, 100)) == pytest.approx(0.56001779696935, abs=1e-9)
    assert Heterogeneity().power(halves, -gap, (100, 100)) == Heterogeneity().power(halves, gap, (100, 100))
    assert Heterogeneity().power(halves, 0.0, (100, 100)) == pytest.approx(0.05, abs=1e-12)
    assert Heterogeneity().power(halves, 0.6, (2, 100)) == 0


def test_an_interaction_as_large_as_the_effect_needs_four_times_as_many() -> None:
    # Brookes et al. 2004, J. Clinical Epidemiology 57:229: "inflated fourfold".
    many = Heterogeneity().sample_size(Expected(sd=1.0, strata=(0.5, 0.5)), 0.2 / math.sqrt(2))[0]
    assert many / Welch().sample_size(Expected(sd=1.0), 0.2)[0] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize(("strata", "effects"), [((3, 1), (0.0, 0.8)), ((1, 1, 1, 1), (0.0, 0.7, 0.2, 0.5))])
def test_planned_power_is_that_of_the_test(strata: tuple[float, ...], effects: tuple[float, ...]) -> None:
    rng, runs, spreads, n = np.random.default_rng(6), 4_000, np.array([[1.0], [1.4]]), np.array([[240], [160]])
    cells = n * np.array(strata) / sum(strata)
    errors = spreads / np.sqrt(cells)
    means = rng.normal(0, errors, (runs, *cells.shape))
    parts = errors**2 * rng.chisquare(cells - 1, (runs, *cells.shape)) / (cells - 1)
    estimates, variances = means[:, 1] - means[:, 0] + effects, parts.sum(axis=1)
    df = variances**2 / (parts**2 / (cells - 1)).sum(axis=1)
    rows = zip(estimates, np.sqrt(variances), df, strict=True)
    shown = sum(Variation.of(*row).log_p < math.log(0.05) for row in rows) / runs
    expected = Expected(sd=1.0, sd_pilot=1.4, strata=strata)
    found = Heterogeneity().power(expected, float(np.std(effects, ddof=1)), (240, 160))
    assert found == pytest.approx(shown, abs=4 * math.sqrt(shown * (1 - shown) / runs))


def test_strata_must_be_said() -> None:
    with pytest.raises(InputError, match="at least two strata"):
        Heterogeneity().power(Expected(sd=1.0), 0.3, (100, 100))
    with pytest.raises(InputError, match="above 0"):
        Expected(sd=1.0, strata=(0.5, 0.0))


@pytest.mark.parametrize(
    ("centre", "df", "within", "power"),
    [
        (7.3, 2, 57, 0.65034487607289),
        (0.4, 9, 12.5, 0.057404229579294),
        (60, 3, 500, 0.99999985393922),
        (25, 4, 1e5, 0.98936113554514),
    ],
)
def test_the_noncentral_f_law(centre: float, df: float, within: float, power: float) -> None:
    # R 4.2.2: 1 - pf(qf(0.95, df, within), df, within, ncp = centre)
    assert f_power(centre, df, within, 0.95) == pytest.approx(power, rel=1e-9)


@pytest.mark.parametrize("strata", [(1, 1), (5, 1, 1), (1,) * 40])
def test_small_variation_takes_many_but_never_no_number(strata: tuple[float, ...]) -> None:
    expected = Expected(sd=1.0, strata=strata, share=0.1)
    n = Heterogeneity().sample_size(expected, 0.01)
    assert Heterogeneity().power(expected, 0.01, n) == pytest.approx(0.8, abs=1e-8)
    assert Heterogeneity().mde(expected, n) == pytest.approx(0.01, rel=1e-6)
    assert f_power(1e12, len(strata) - 1, 1e9, 0.95) == 1
