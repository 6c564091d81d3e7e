from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.analysis import Comparison, Evidence, Newcombe, NotEnoughData, Scale, newcombe, wilson
from pilot.errors import InputError


# Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3.
@pytest.mark.parametrize(
    ("yes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_as_published(yes: int, n: int, low: float, high: float) -> None:
    assert [round(limit, 4) for limit in wilson(yes, n)] == [low, high]


# Newcombe 1998, Statistics in Medicine 17:873, Table II, method 10.
@pytest.mark.parametrize(
    ("pilot", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombe_interval_as_published(
    pilot: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    assert [round(limit, 4) for limit in newcombe(pilot, control)] == [low, high]


arms = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(arms, arms)
def test_limits_stand_in_order_and_mirror(pilot: tuple[int, int], control: tuple[int, int]) -> None:
    low, high = newcombe(pilot, control)
    difference = pilot[0] / pilot[1] - control[0] / control[1]
    assert -1 <= low <= difference <= high <= 1 + 1e-12
    assert newcombe(control, pilot) == pytest.approx((-high, -low))
    turned = newcombe((pilot[1] - pilot[0], pilot[1]), (control[1] - control[0], control[1]))
    assert turned == pytest.approx((-high, -low))


def evidence(control: tuple[int, int], pilot: tuple[int, int], **more: object) -> Evidence:
    counts = [[[n - yes, yes]] for yes, n in (control, pilot)]
    return Evidence.from_counts("retained", Scale.BINARY, ("control", "pilot"), (0, 1), counts, **more)  # type: ignore[arg-type]


def test_comparison_carries_score_test_and_says_it_in_points() -> None:
    found = Newcombe().compare(evidence((48, 80), (56, 70)), "pilot")
    assert isinstance(found, Comparison)
    assert found.estimate == pytest.approx(0.2)
    # Pearson's chi-square of (56, 14; 48, 32): 150 (56 * 32 - 48 * 14)^2 / (70 * 80 * 104 * 46) = 7.0234
    assert (found.statistic or 0) ** 2 == pytest.approx(150 * 1120**2 / (70 * 80 * 104 * 46))
    assert found.p_value == pytest.approx(math.erfc(math.sqrt(150 * 1120**2 / (70 * 80 * 104 * 46) / 2)))
    assert found.sentence == (
        "retained is 20.0 percentage points higher in pilot than in control "
        "(95 % interval 5.2 to 33.4; 70 and 80 customers); the whole interval lies on the better side."
    )


def test_nobody_said_yes_still_has_an_interval() -> None:
    found = Newcombe().compare(evidence((0, 30), (0, 40)), "pilot")
    assert isinstance(found, Comparison)
    assert found.p_value == 1
    assert found.low is not None
    assert found.low < 0 < (found.high or 0)
    assert "differs by less than 0.1 percentage points" in found.sentence


def test_an_arm_without_customers_is_not_enough() -> None:
    found = Newcombe().compare(evidence((3, 10), (0, 0)), "pilot")
    assert found == NotEnoughData("newcombe", "retained", "pilot", "pilot has no customers")


def test_other_values_than_0_and_1_are_refused() -> None:
    table = [[[1, 2, 3]], [[1, 2, 3]]]
    with pytest.raises(InputError, match="0 and 1 only"):
        Newcombe().compare(Evidence.from_counts("x", Scale.BINARY, ("a", "b"), (0, 1, 2), table), "b")
