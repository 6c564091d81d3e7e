"""The contract of segment rules."""

from __future__ import annotations

from abc import abstractmethod

import sqlalchemy as sa

from pilot.parts import Part


class SegmentRule(Part):
    """Decides from the profile whether a customer belongs. Evaluated by the database, at any number of customers."""

    @abstractmethod
    def condition(self) -> sa.ColumnElement[bool]:
        """The rule as an expression over `CustomerProfile` (and `Customer`, which is joined)."""

    @abstractmethod
    def sentence(self) -> str:
        """The rule in words, in the language of the page, e.g. `revenue of the last twelve months below 5,000`."""
