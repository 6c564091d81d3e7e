"""The verdict table of the decision rule. Intervals are written as (low, high) of pilot minus control."""

import math

import pytest

from pilot.analysis import ArmSummary, Comparison, NotEnoughData, Scale, StratifiedDifference, evidence_of
from pilot.reports.decision import ArmVerdict, Decision, cheaper, deciding, judge, needed, not_worse, overall

MARGIN = 0.25
GOOD, LOW_COST = (-0.1, 0.2), (-30.0, -10.0)


def compared(
    outcome: str, limits: tuple[float | None, float | None], *, level: float = 0.95, margin: float | None = None
) -> Comparison:
    low, high = limits
    middle = (high if low is None else low if high is None else (low + high) / 2) or 0.0
    arms = (ArmSummary("control", 600, 230, 4.1, 1.0), ArmSummary("pilot", 600, 230, 4.05, 1.0))
    return Comparison(
        "welch", "t interval", outcome, "difference of means", "pilot", "control", arms, middle, low, high, level,
        margin=margin,
    )  # fmt: skip


def verdict(quality: tuple[float | None, float | None], cost: tuple[float | None, float | None], *alarms: str) -> str:
    conditions = [
        not_worse("csat", compared("csat", quality), MARGIN),
        cheaper("cost", compared("cost", cost)),
    ]
    return judge("pilot", conditions, alarms).verdict


@pytest.mark.parametrize(
    ("quality", "cost", "expected"),
    [
        (GOOD, LOW_COST, "roll_out"),
        ((-0.2, -0.05), LOW_COST, "roll_out"),  # lower, but by less than the margin
        ((-0.3, 0.1), LOW_COST, "inconclusive"),
        (GOOD, (-30.0, 5.0), "inconclusive"),
        ((-0.3, 0.1), (-30.0, 5.0), "inconclusive"),
        ((-0.6, -0.3), LOW_COST, "do_not"),
        (GOOD, (1.0, 9.0), "do_not"),
        ((-0.6, -0.3), (1.0, 9.0), "do_not"),
        ((-0.3, 0.1), (1.0, 9.0), "do_not"),
        ((-0.6, -0.3), (-30.0, 5.0), "do_not"),
        # strict inequalities: a limit exactly on the line decides nothing
        ((-MARGIN, 0.2), LOW_COST, "inconclusive"),
        ((-0.6, -MARGIN), LOW_COST, "inconclusive"),
        (GOOD, (-30.0, 0.0), "inconclusive"),
        (GOOD, (0.0, 9.0), "inconclusive"),
        ((math.nextafter(-MARGIN, 1), 0.2), (-30.0, math.nextafter(0, -1)), "roll_out"),
        # one-sided intervals
        ((-0.1, None), LOW_COST, "roll_out"),
        ((None, 0.1), LOW_COST, "inconclusive"),
        ((None, -0.3), LOW_COST, "do_not"),
        (GOOD, (None, -1.0), "roll_out"),
        (GOOD, (-30.0, None), "inconclusive"),
    ],
)
def test_the_verdict_table(
    quality: tuple[float | None, float | None], cost: tuple[float | None, float | None], expected: str
) -> None:
    assert verdict(quality, cost) == expected


def test_an_alarm_turns_a_yes_into_inconclusive_and_is_named() -> None:
    conditions = [not_worse("csat", compared("csat", GOOD), MARGIN), cheaper("cost", compared("cost", LOW_COST))]
    arm = judge("pilot", conditions, ["complete"])
    assert (arm.verdict, arm.blocked, arm.alarms) == ("inconclusive", True, ("complete",))


def test_an_alarm_never_makes_a_no_milder() -> None:
    assert verdict((-0.6, -0.3), LOW_COST, "complete") == "do_not"


@pytest.mark.parametrize(
    ("limits", "state"),
    [((-0.2, 0.1), "met"), ((0.3, 0.6), "refuted"), ((0.1, 0.3), "open"), ((0.0, 0.25), "open"), ((0.25, 0.5), "open")],
)
def test_where_lower_is_better_the_margin_lies_above_zero(limits: tuple[float, float], state: str) -> None:
    condition = not_worse("complaints", compared("complaints", limits), MARGIN, higher_is_better=False)
    assert (condition.state, condition.threshold) == (state, MARGIN)


def test_too_little_data_is_open_and_keeps_its_reason() -> None:
    condition = not_worse("csat", NotEnoughData("welch", "csat", "pilot", "one answer in control"), MARGIN)
    assert (condition.state, condition.low, condition.reason) == ("open", None, "one answer in control")
    assert judge("pilot", [condition, cheaper("cost", compared("cost", LOW_COST))]).verdict == "inconclusive"


def test_answers_needed_by_the_textbook_formula() -> None:
    # Julious 2004, Statistics in Medicine 23:1921, non-inferiority of means, equal arms:
    # (1.95996 + 0.84162)^2 * 2 * 1.0^2 / 0.2^2 = 392.4
    assert needed((1.0, 1.0), 0.2, 0.95) == 393
    assert needed((1.0, 1.0), 0.0, 0.95) is None


def test_an_open_condition_says_how_many_answers_it_would_take() -> None:
    # the formula above with margin 0.25: 251.2
    assert not_worse("csat", compared("csat", (-0.3, 0.1)), MARGIN).needed == 252
    # with the saving seen, 0.2, and standard deviations of 1: 392.4
    assert cheaper("cost", compared("cost", (-0.5, 0.1))).needed == 393
    assert cheaper("cost", compared("cost", (-0.1, 0.5))).needed is None  # no saving was seen
    assert not_worse("csat", compared("csat", GOOD), MARGIN).needed is None


def test_the_non_inferiority_comparison_at_the_level_of_the_rule_decides() -> None:
    plain, other, own = (
        compared("csat", GOOD),
        compared("csat", GOOD, level=0.9, margin=MARGIN),
        compared("csat", GOOD, margin=MARGIN),
    )
    assert deciding("csat", [plain, other, own], 0.95) is own
    assert deciding("csat", [other, plain], 0.95) is plain
    assert deciding("csat", [other], 0.95) is None
    assert deciding("cost", [plain], 0.95) is None


def test_several_pilot_arms_must_agree() -> None:
    def arm(name: str, quality: tuple[float, float]) -> ArmVerdict:
        conditions = [not_worse("csat", compared("csat", quality), MARGIN), cheaper("cost", compared("cost", LOW_COST))]
        return judge(name, conditions)

    yes, also, no = arm("a", GOOD), arm("b", GOOD), arm("c", (-0.6, -0.3))
    assert overall([yes, also], 0.95).verdict == "roll_out"
    assert overall([yes, no], 0.95).verdict == "inconclusive"


def test_a_decision_is_restored_from_its_json() -> None:
    conditions = [not_worse("csat", compared("csat", (-0.3, 0.1)), MARGIN), cheaper("cost", compared("cost", LOW_COST))]
    decision = overall([judge("pilot", conditions, ["invited"])], 0.95, [7, 8])
    assert Decision.from_json(decision.as_json()) == decision


@pytest.mark.parametrize(("lost", "state"), [(5, "met"), (40, "open")])
def test_a_gain_seen_in_a_part_of_the_customers_only_is_no_yes_for_all(lost: int, state: str) -> None:
    """Where a stratum lost one of its arms, its customers are not compared; above a twentieth of all that is too many."""
    arm = ["control", "pilot"] * 60 + ["control"] * 2
    stratum = ["north"] * 120 + ["south"] * 2
    found = StratifiedDifference().compare(
        evidence_of(
            "cost",
            Scale.MONEY,
            ("control", "pilot"),
            arm=arm,
            value=[20.0 + place % 7 - 9 * (name == "pilot") for place, name in enumerate(arm)],
            stratum=stratum,
            population={"north": 100 - lost, "south": lost},
        ),
        "pilot",
    )
    assert isinstance(found, Comparison)
    condition = cheaper("cost", found)
    assert condition.state == state
    assert condition.high is not None
    assert condition.high < 0
    assert ("cannot be compared like with like" in condition.reason) == (state == "open")
    good = not_worse("csat", compared("csat", GOOD), MARGIN)
    assert judge("pilot", [good, condition]).verdict == ("roll_out" if state == "met" else "inconclusive")
