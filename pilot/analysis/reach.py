"""What a given number of drawn customers can show, and how many units several pilot arms need together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Need
from pilot.analysis.planning import Losses, check_clusters
from pilot.analysis.sizing import Expected
from pilot.errors import InputError

_SLACK = 1e-9


class AllArms(Analysis):
    """An analysis whose level is that of its intervals for all pilot arms together; `Expected.pilots` says how many."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a given number of drawn customers can show.

    Attributes:
        answers: Values to expect in each arm, control first.
        analysed: Independent values they are worth.
        power: The chance to show the effect; None if no effect was given.
        smallest: The smallest effect shown with the wanted power.
    """

    answers: tuple[float, float]
    analysed: tuple[float, float]
    power: float | None
    smallest: float


def reach(
    analysis: Analysis,
    expected: Expected,
    drawn: tuple[float, float],
    losses: Losses = Losses(),
    *,
    effect: float | None = None,
    power: float = 0.8,
    sign: int = 1,
) -> Reach:
    """What a given number of drawn customers can show.

    Args:
        analysis: The analysis that compares the arms.
        expected: What is expected of control, and of the spread.
        drawn: Customers of control and of the pilot arm.
        losses: What lies between drawing and analysis.
        effect: A true effect whose chance to be shown is asked for.
        power: The chance with which the smallest effect shall be shown.
        sign: 1 for an increase, -1 for a decrease.

    Raises:
        InputError: As for `Analysis.power`; an arm has no finite number of customers; the clusters are so few that nothing can be shown; or the analysis is one of
            clusters, and `losses` does not say how large they are.
    """
    if not all(0 < units < math.inf for units in drawn):
        raise InputError(
            "each arm needs a number of customers above 0", place="drawn", remedy="Give both arms' numbers"
        )
    counted = drawn
    if Need.CLUSTERS in analysis.needs and not losses.clustered:
        raise InputError(
            f"{analysis.key} compares clusters, and nothing is said of them",
            place="cluster_size",
            remedy="Say their size and intraclass correlation in the losses",
        )
    if losses.clustered:
        check_clusters([int(units / losses.cluster_size + _SLACK) for units in drawn])
        counted = drawn[0] - losses.cluster_size, drawn[1] - losses.cluster_size
    answers = drawn[0] * losses.kept, drawn[1] * losses.kept
    worth = losses.kept / losses.design_effect
    analysed = counted[0] * worth, counted[1] * worth
    return Reach(
        answers,
        analysed,
        None if effect is None else analysis.power(expected, effect, analysed),
        analysis.mde(expected, analysed, power=power, sign=sign),
    )


def several_arms(
    analysis: Analysis, expected: Expected, effect: float, pilots: int, *, power: float = 0.8
) -> tuple[float, ...]:
    """Units of control and of each of several pilot arms, unrounded, so that each arm shows `effect` with this power.

    Each arm is compared with control at a level that holds for all of them together: the analysis' own where it knows
    several arms (`dunnett`), else Bonferroni's. Control is larger by the root of their number, which needs the fewest
    units altogether (Dunnett 1955, JASA 50:1096).

    Args:
        analysis: The analysis that compares the arms.
        expected: What is expected of control, and of the spread; its `share` and `pilots` are not used.
        effect: The true effect.
        pilots: Number of pilot arms.
        power: The chance of each of them.

    Raises:
        InputError: There is no pilot arm, the analysis has no level to adjust, or as for `Analysis.sample_size`.
    """
    if pilots < 1:
        raise InputError("there is at least one pilot arm", place="pilots")
    together = isinstance(analysis, AllArms)
    strict = analysis if together else at_level(analysis, 1 - (1 - _level(analysis)) / pilots)
    planned = replace(expected, share=1 / (1 + math.sqrt(pilots)), pilots=pilots)
    control, pilot = strict.sample_size(planned, effect, power=power)
    return control, *([pilot] * pilots)


def at_level(analysis: Analysis, level: float) -> Analysis:
    """The same analysis at another confidence level.

    Raises:
        InputError: It has no level.
    """
    _level(analysis)
    return type(analysis).restore({**analysis.settings(), "level": level})


def _level(analysis: Analysis) -> float:
    level: Any = analysis.settings().get("level")
    if not isinstance(level, float):
        raise InputError(f"{analysis.key} has no level to adjust for several arms", place=analysis.key)
    return level
