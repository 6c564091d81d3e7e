"""The contract of an analysis plugin."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.parts import Part


class Analysis(Part):
    """Compares one pilot arm with control from the evidence it declared.

    Attributes:
        needs: What it asks the host for. Counts and moments must be in the evidence; `ASSIGNED` is used where known.
        scales: The scales it is right for.
        reference: Where the method is described.
    """

    needs: ClassVar[frozenset[Need]]
    scales: ClassVar[frozenset[Scale]]
    reference: ClassVar[str]

    @abstractmethod
    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """Compare `arm` with the first arm of the evidence. Never changes the evidence.

        Raises:
            InputError: The evidence lacks counts or moments that `needs` names, its scale does not fit, or there is no such arm.
        """
