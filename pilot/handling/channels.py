"""The contract of handling channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from pilot.handling.models import Case
from pilot.parts import Part


class HandlingChannel(Part):
    """One way of looking after customers, with its cost rates in the currency of the installation."""

    @abstractmethod
    def hand_over(self, cases: Sequence[Case]) -> None:
        """Take these customers on. Called again for the same cases it does no harm."""

    def take_back(self, cases: Sequence[Case]) -> None:
        """Look after these customers no longer. Called again for the same cases it does no harm."""

    @abstractmethod
    def cost(self, kind: str, minutes: float) -> float:
        """What one touch costs: `kind` is call, mail or visit."""
