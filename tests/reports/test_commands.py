"""What `pilot analyse` prints below its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flask import Flask

from pilot.analysis import NotEnoughData
from pilot.reports.commands import _comparisons, analyse
from pilot.reports.material import Material


def test_every_check_of_the_flow_is_told_once(sqlite_app: Flask, closed_pilot: str) -> None:
    told = sqlite_app.test_cli_runner().invoke(analyse, [closed_pilot], catch_exceptions=False).stdout
    for step in ("notified", "invited", "complete"):
        assert f"\n{step}: " in told
        assert f"{step}: {step}" not in told


def test_a_check_that_could_not_be_made_leaves_no_other_sentence_in_its_place(
    sqlite_app: Flask, make_material: Callable[..., Material]
) -> None:
    made = make_material()
    results = tuple(replace(item, found=replace(item.found, sentence="Of a result.")) for item in made.results)
    check = replace(results[0], is_flow=True, found=NotEnoughData("sample-ratio", "notified", "pilot", "too few"))
    assert "Of a result." not in _comparisons(replace(made, results=results, ratios=(check,)))
