"""Built-in handling channels. Their rates are defaults in the currency of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from pilot.api import Case, HandlingChannel, hookimpl

Rate = Annotated[float, Field(ge=0)]


@hookimpl
def register_handling_channels() -> list[type[HandlingChannel]]:
    """The rep in the field and the desk in the house."""
    return [FieldRep, ServiceDesk]


@dataclass(frozen=True)
class _PaidByTime(HandlingChannel):
    """A channel whose cases lie in this application, paid by working time and journeys.

    Attributes:
        cost_per_minute: Working time, with all that hangs on it.
        cost_per_visit: The journey of a visit, beside the minutes spent there.
    """

    cost_per_minute: Rate
    cost_per_visit: Rate

    def hand_over(self, cases: Sequence[Case]) -> None:
        """Nothing to be sent anywhere: those who work the cases find them here, once they are open."""

    def cost(self, kind: str, minutes: float) -> float:
        """The minutes at their rate and, for a visit, the journey."""
        return minutes * self.cost_per_minute + (self.cost_per_visit if kind == "visit" else 0.0)


@dataclass(frozen=True)
class FieldRep(_PaidByTime):
    """The customer's sales rep calls, writes and visits, as the list in the rep's own hands says."""

    key: ClassVar[str] = "field-rep"
    label: ClassVar[str] = "Field rep"

    cost_per_minute: Rate = 1.1
    cost_per_visit: Rate = 38.0


@dataclass(frozen=True)
class ServiceDesk(_PaidByTime):
    """A trained desk calls and writes regularly; a visit is the exception and as dear as the rep's."""

    key: ClassVar[str] = "service-desk"
    label: ClassVar[str] = "Service desk"

    cost_per_minute: Rate = 0.75
    cost_per_visit: Rate = 38.0
