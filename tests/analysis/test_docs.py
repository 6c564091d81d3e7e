from __future__ import annotations

import doctest
from pathlib import Path

from pilot.plugins.builtin.analyses import register_analyses

PAGE = Path(__file__).resolve().parents[2] / "docs" / "analyses.md"


def test_the_worked_examples_of_the_page_are_true() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 15
    assert done.failed == 0


def test_every_built_in_analysis_has_its_section() -> None:
    sections = [line for line in PAGE.read_text().splitlines() if line.startswith("## ")]
    for part in register_analyses():
        assert any(line.endswith(f"`{part.key}`") for line in sections), part.key
