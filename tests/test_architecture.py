"""The arrows of the house: what may import what, and what only one place may do."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pilot"

LAYERS = (
    ("pilot", "parts", "console", "clock", "events", "errors", "faults", "pictures", "resources", "testing"),
    ("analysis",),
    ("config",),
    ("plugins",),
    ("db", "jobs"),
    ("web", "numerals"),
    ("accounts",),
    ("mail",),
    ("customers",),
    ("experiments",),
    ("handling",),
    ("surveys",),
    ("reports",),
    ("api",),
    ("plugins.builtin",),
    ("app",),
    ("demo",),
    ("cli", "commands", "compare", "doctor", "printed"),
)
"""From the ground up: a module imports from its own layer and from those below."""

FEATURES = ("accounts", "mail", "customers", "experiments", "handling", "surveys", "reports")
DOORS = {
    "accounts": {"service", "models", "guards"},
    "mail": {"service", "models", "transports"},
    "customers": {"service", "models", "importers", "rules", "orderstore", "engines", "story", "wording", "ruleforms"},
    "experiments": {"service", "models", "sampling", "assignment", "plan", "past", "agreed"},
    "handling": {"service", "models", "channels", "rollout"},
    "surveys": {"service", "models", "questions", "definition"},
    "reports": {"service", "models", "outcomes", "sections"},
}
"""What a feature shows to others: its service, its models and its contracts."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (below for other in child.orelse for below in (other, *nodes(other)))
        else:
            yield child
            yield from nodes(child)


def imports(module: str) -> set[str]:
    """Everything a module imports, at its top or inside a function: modules of ours, and names of others."""
    found = set()
    for node in nodes(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            source = str(node.module)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                found.add(full if full in SOURCES or not source.startswith("pilot") else source)
    return found


def own_imports(module: str) -> list[str]:
    return sorted(name for name in imports(module) if name.split(".")[0] == "pilot")


def layer(module: str) -> int:
    inner = module.removeprefix("pilot.")
    for number, names in reversed(list(enumerate(LAYERS))):
        if any(inner == name or inner.startswith(f"{name}.") for name in names):
            return number
    raise AssertionError(f"{module} stands in no layer: give it a place in LAYERS")


def feature(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FEATURES else None


def room(module: str) -> str:
    return module.split(".")[-1]


def calls(module: str) -> Iterator[str]:
    return (ast.unparse(node.func) for node in nodes(tree(module)) if isinstance(node, ast.Call))


@pytest.mark.parametrize("module", SOURCES)
def test_imports_run_downwards(module: str) -> None:
    assert [target for target in own_imports(module) if layer(target) > layer(module)] == []


@pytest.mark.parametrize("module", [module for module in SOURCES if feature(module)])
def test_a_feature_is_entered_by_its_doors(module: str) -> None:
    own = feature(module)
    strangers = [target for target in own_imports(module) if feature(target) not in (None, own)]
    assert [target for target in strangers if room(target) not in DOORS[str(feature(target))]] == []


@pytest.mark.parametrize("module", [module for module in SOURCES if room(module) in ("views", "public", "rest")])
def test_pages_leave_the_models_of_other_features_alone(module: str) -> None:
    models = [target for target in own_imports(module) if room(target) == "models"]
    assert [target for target in models if feature(target) != feature(module)] == []


@pytest.mark.parametrize(
    "module", [module for module in SOURCES if feature(module) and room(module) in ("service", "models")]
)
def test_services_never_see_a_request(module: str) -> None:
    assert (
        imports(module) & {f"flask.{name}" for name in ("request", "session", "flash", "redirect", "render_template")}
        == set()
    )
    assert [
        target for target in own_imports(module) if room(target) in ("views", "public", "rest", "forms", "commands")
    ] == []


@pytest.mark.parametrize("module", [module for module in SOURCES if module.startswith("pilot.analysis")])
def test_the_statistics_know_nothing_of_the_web(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(module)}
    assert foreign & {"flask", "flask_babel", "sqlalchemy", "wtforms", "jinja2"} == set()


@pytest.mark.parametrize("module", SOURCES)
def test_only_one_place_commits_and_only_one_asks_for_the_time(module: str) -> None:
    called = set(calls(module))
    if module != "pilot.db":
        assert [name for name in called if name.endswith(".commit")] == []
    if module != "pilot.clock":
        times = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time")
        assert [name for name in called if name.endswith(times)] == []


def test_every_module_says_what_it_hides() -> None:
    assert [module for module in SOURCES if room(module) in ("utils", "helpers", "common", "misc", "tools")] == []
    assert [module for module in SOURCES if not ast.get_docstring(tree(module)) and tree(module).body] == []


def test_setup_cfg_lists_every_package() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    mapped = {line.split(" = ")[0].strip() for line in settings["options"]["package_dir"].strip().splitlines()}
    assert listed == {module_name(path) for path in PACKAGE.rglob("__init__.py")} | mapped


def test_setup_cfg_declares_every_library_that_is_imported() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    declared = {re.split(r"[<>=\[]", line)[0] for line in settings["options"]["install_requires"].split()}
    modules = {name.split(".")[0] for module in SOURCES for name in imports(module)}
    modules -= {*sys.stdlib_module_names, "pilot"}
    shippers = packages_distributions()
    shipped = {module: {name.lower().replace("_", "-") for name in shippers[module]} for module in modules}
    assert {module: names for module, names in shipped.items() if not names & declared} == {}
