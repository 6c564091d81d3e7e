"""The contract of report sections."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pilot.parts import Part

if TYPE_CHECKING:
    from pilot.reports.material import Material


class ReportSection(Part):
    """One stretch of the report.

    Attributes:
        template: Name of its template below `reports/`.
        position: Sections are printed in ascending order of it.
    """

    template: ClassVar[str]
    position: ClassVar[int]

    @abstractmethod
    def context(self, material: Material) -> dict[str, Any] | None:
        """What the template needs, or None: nothing to say, and the section is left out."""
