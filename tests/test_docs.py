"""What the documents promise is what the code does."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path

import pytest
from flask import Flask

from pilot.config import Config
from pilot.plugins import hookspecs
from pilot.plugins.manager import Plugins
from pilot.testing import contract_checks

ROOT = Path(__file__).resolve().parent.parent
HOOKS = [
    f"{name}({', '.join(inspect.signature(function).parameters)})"
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and function.__module__ == hookspecs.__name__
]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    assert f"`{hook}`" in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_the_plugin_of_the_document_registers_and_keeps_the_contract(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    module = types.ModuleType("loyal_customers")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code.group(1), vars(module))
    part = Plugins([module], load_entry_points=False).get("segment_rules", "touches-at-least")
    contract_checks(part(touches=10))


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_settings_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"PILOT_([A-Z_]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) - {"CONFIG"}
    assert {name.lower() for name in named} <= set(Config.model_fields)
