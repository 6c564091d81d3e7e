from __future__ import annotations

import math

import pytest

from pilot.analysis import Expected, StratifiedDifference, Welch
from pilot.analysis.methods.shares import MiettinenNurminen
from pilot.analysis.normalpower import equivalence_power, margin_power, two_one_sided_power
from pilot.analysis.sharepower import fisher_power, score_power
from pilot.errors import InputError


# R 4.2.2: power.t.test(strict = TRUE); Cohen 1988, table 2.4.1, prints 64 for d = 0.5 at 80 %.
def test_power_of_a_difference_as_in_r() -> None:
    expected = Expected(sd=1.0)
    assert Welch().power(expected, 0.8, (25, 25)) == pytest.approx(0.791451289986, abs=1e-10)
    assert Welch().power(expected, -0.8, (25, 25)) == pytest.approx(0.791451289986, abs=1e-10)
    assert StratifiedDifference().power(expected, 0.2, (30, 30)) == pytest.approx(0.118679435564, abs=1e-10)
    assert Welch().power(expected, 0.0, (30, 30)) == pytest.approx(0.05, abs=1e-12)
    assert Welch().sample_size(expected, 0.5)[0] == pytest.approx(63.7656101708, abs=1e-4)
    assert Welch().mde(expected, (64, 64), sign=-1) == pytest.approx(-0.499, abs=1e-3)


def test_what_strata_explain_saves_units() -> None:
    plain = StratifiedDifference().sample_size(Expected(sd=1.0), 0.1)[0]
    saved = StratifiedDifference().sample_size(Expected(sd=1.0, explained=0.25), 0.1)[0]
    assert saved / plain == pytest.approx(0.75, abs=1e-3)


# PowerTOST manual: sampleN.TOST(CV = 0.3) gives n = 40 with power 0.815845 (2 x 2 crossover, ratio 0.95, limits 0.8 to 1.25).
def test_two_one_sided_power_as_published() -> None:
    error = math.sqrt(2 / 40 * math.log(1 + 0.3**2))
    below, above = (math.log(0.95) - math.log(0.8)) / error, (math.log(1.25) - math.log(0.95)) / error
    assert two_one_sided_power(below, above, 38, 0.9) == pytest.approx(0.815845, abs=5e-7)


# R 4.2.2: integrate() over the chi-square law of the spread.
@pytest.mark.parametrize(
    ("n", "power"), [(3, 0.0012197375002), (5, 0.000498229585706), (10, 0.000972503558337), (60, 0.718967945427)]
)
def test_equivalence_power_as_integrated_in_r(n: int, power: float) -> None:
    assert equivalence_power(0.0, 0.5, (1.0, 1.0), (n, n), 0.9) == pytest.approx(power, abs=1e-11)


def test_power_holds_from_tiny_to_huge() -> None:
    assert equivalence_power(0.0, 0.5, (1.0, 1.0), (1e12, 1e12), 0.9) == pytest.approx(1)
    assert margin_power(0.0, 0.5, (1.0, 1.0), (1e12, 1e12), 0.95) == pytest.approx(1)
    assert margin_power(-5.0, 0.5, (1.0, 1.0), (1e6, 1e6), 0.95) == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="at least two units"):
        margin_power(0.0, 0.5, (1.0, 1.0), (1, 50), 0.95)


def test_power_of_shares_as_in_r() -> None:
    # R 4.2.2: power.prop.test(n = 50, p1 = .5, p2 = .75, strict = TRUE)$power; (p1 = .5, p2 = .75, power = .9)$n
    assert score_power(0.5, 0.25, (50, 50), 0.95) == pytest.approx(0.740165901331, abs=2e-6)
    assert MiettinenNurminen().sample_size(Expected(mean=0.5), 0.25, power=0.9)[0] == pytest.approx(
        76.7069301, abs=1e-3
    )
    assert score_power(0.5, 0.0, (50, 50), 0.95) == pytest.approx(0.05, abs=1e-12)
    assert fisher_power(0.5, 0.0, (50, 50), 0.95) == 0


def test_effects_beyond_the_scale_are_refused() -> None:
    with pytest.raises(InputError, match="not between 0 and 1"):
        score_power(0.9, 0.2, (50, 50), 0.95)
    with pytest.raises(InputError, match="no effect that the scale allows"):
        MiettinenNurminen().mde(Expected(mean=0.97), (20, 20))
    with pytest.raises(InputError, match="of control is needed"):
        MiettinenNurminen().power(Expected(), 0.1, (50, 50))
