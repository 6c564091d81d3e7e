from __future__ import annotations

import math

import numpy as np
import pytest

from pilot.analysis import Comparison, Evidence, Moments, NonInferiority, NotEnoughData, Scale, StratifiedDifference
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
