"""The contract of outcomes: orders, touches or answers turned into evidence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pilot.analysis import Evidence, Need, Scale
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan
from pilot.parts import Part


@dataclass(frozen=True, slots=True)
class Scope:
    """What is being compared: an experiment, its arms (control first) and strata, and the window of facts."""

    experiment: Experiment
    arms: tuple[str, ...]
    strata: tuple[str, ...]
    start: date
    end: date
    """First day after the window."""


class Outcome(Part):
    """Something to be compared between arms. All assigned units count (intention to treat).

    Attributes:
        facts: What it counts that has to be imported: `orders` or `touches`. Who has none counts as zero, so a
            period without any is pointed out.
        offers: What evidence it can give; an analysis that asks for more is refused before the seal.
    """

    facts: ClassVar[str] = ""
    offers: ClassVar[frozenset[Need]] = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})

    @abstractmethod
    def scale(self, plan: Plan) -> Scale:
        """The scale of the outcome. Asked before the seal: what cannot be measured later is refused then.

        Raises:
            InputError: The plan has nothing this outcome could be measured by; the place names the setting.
        """

    def limits(self, plan: Plan) -> tuple[float, float] | None:
        """The least and the greatest value a customer can have; None where there is no bound. Asked before the seal."""
        return (0.0, 1.0) if self.scale(plan) is Scale.BINARY else None

    def past(self, refs: Sequence[str], start: date, end: date) -> npt.NDArray[np.float64] | None:
        """The value each of these customers had from `start` to the day before `end`, for power and rehearsal.

        None, as by default, where the outcome has no past.
        """
        return None

    @abstractmethod
    def evidence(self, scope: Scope, name: str, higher_is_better: bool, needs: frozenset[Need]) -> Evidence:
        """The numbers of this outcome by arm and stratum, fetched inside the data engine.

        Args:
            scope: What is compared.
            name: Key of the outcome in the plan.
            higher_is_better: Its direction in the plan.
            needs: The union of what the plan's analyses ask for.
        """
