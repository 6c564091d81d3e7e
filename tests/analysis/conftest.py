from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pilot.analysis import Analysis

GIVEN: dict[str, Any] = {
    "margin": 0.3,
    "cap": 10.0,
    "day": 5.0,
    "draws": 1000,
    "tau": 0.5,
    "look": 1,
    "prior_sd": 0.5,
    "acceptance": 0.5,
}
"""Settings that have no default, and those that make an analysis quick."""


def instance(part: type[Analysis]) -> Analysis:
    """The analysis with its defaults, and with a value where there is none."""
    names = {field.name: field for field in fields(part)}  # type: ignore[arg-type]
    wanted = {name: value for name, value in GIVEN.items() if name in names}
    missing = [n for n, field in names.items() if field.default is MISSING and field.default_factory is MISSING]
    assert set(missing) <= set(wanted), (part.key, missing)
    return part.restore({name: wanted[name] for name in (*missing, *(n for n in ("draws",) if n in wanted))})
