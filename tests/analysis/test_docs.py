from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from pilot.plugins.builtin.analyses import register_analyses

DOCS = Path(__file__).resolve().parents[2] / "docs"
KEYS = [part.key for part in register_analyses()]
PARTS = ("**Answers**", "**Formula", "**Assumes**", "**Not**", "**Settings", "**Command", "**Reference")


@pytest.mark.parametrize("page", sorted((DOCS / "analyses").glob("*.md")), ids=lambda page: page.stem)
def test_the_worked_examples_of_a_page_are_true(page: Path) -> None:
    done = doctest.testfile(str(page), module_relative=False)
    assert done.attempted > 1
    assert done.failed == 0


@pytest.mark.parametrize("key", KEYS)
def test_every_analysis_has_its_page_with_all_parts(key: str) -> None:
    text = (DOCS / "analyses" / f"{key}.md").read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith(f"`{key}`")
    assert [part for part in PARTS if part not in text] == []


def test_the_index_leads_to_every_page_and_no_page_is_left_over() -> None:
    index = (DOCS / "analyses.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"(analyses/{key}.md)" not in index] == []
    assert {page.stem for page in (DOCS / "analyses").glob("*.md")} <= set(KEYS)
