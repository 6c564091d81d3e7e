"""A period without any order or touch is pointed out: zeros that nobody imported are no finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.analysis import Evidence, Moments
from pilot.customers.models import Import
from pilot.db import transaction
from pilot.reports import document, results, telling
from pilot.reports.commands import analyse, decide
from pilot.reports.material import Material, Result

NO_TOUCH = "No touch is known from 1 Apr 2026 to 30 Jun 2026, so every customer counts with zero."
NO_ORDER = "No order is known from 1 Apr 2026 to 30 Jun 2026, so every customer counts with zero."


def emptied(material: Material, *outcomes: str) -> Material:
    """The material with nothing but zeros for these outcomes."""
    return replace(
        material, results=tuple(_zero(item) if item.outcome in outcomes else item for item in material.results)
    )


def _zero(result: Result) -> Result:
    found: Evidence = result.evidence
    assert found.moments is not None
    nothing = np.zeros(found.moments.n.shape)
    return replace(result, evidence=replace(found, moments=Moments(found.moments.n, nothing, nothing)))


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [((), []), (("csat",), []), (("cost",), [NO_TOUCH]), (("cost", "retained"), [NO_TOUCH, NO_ORDER])],
)
def test_facts_that_are_missing_altogether_are_named(
    sqlite_app: Flask, make_material: Callable[..., Material], outcomes: tuple[str, ...], expected: list[str]
) -> None:
    found = emptied(make_material(), *outcomes)
    assert [gap.partition(" Import")[0] for gap in telling.gaps(found)] == expected
    assert list(results.read(found).gaps) == telling.gaps(found)
    html = document.write(found)
    assert all(gap in html for gap in expected)


@pytest.mark.parametrize("command", [analyse, decide])
def test_the_commands_point_it_out_beside_the_result(sqlite_app: Flask, closed_pilot: str, command: Any) -> None:
    with transaction() as work:
        work.session.execute(sa.update(Import).where(Import.kind == "touches").values(fact_file=None))
    done = sqlite_app.test_cli_runner().invoke(command, [closed_pilot, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr == f"Mind: {NO_TOUCH} Import the touches of this period, then compare the arms again.\n"
    assert "No touch" not in done.stdout


def test_nothing_is_pointed_out_where_facts_are_known(sqlite_app: Flask, closed_pilot: str) -> None:
    done = sqlite_app.test_cli_runner().invoke(analyse, [closed_pilot], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
