"""Built-in analyses. The methods themselves are in `pilot.analysis`, where a notebook can use them."""

from __future__ import annotations

from pilot.analysis import ExactPermutation, Newcombe, NonInferiority, SampleRatio, StratifiedDifference, Welch
from pilot.api import Analysis, hookimpl


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in analyses."""
    return [Welch, StratifiedDifference, Newcombe, ExactPermutation, NonInferiority, SampleRatio]
