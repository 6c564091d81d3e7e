"""`pip install .` into an empty environment gives a working `pilot`, with everything it needs beside the code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCES = ("pilot", "templates", "migrations", "examples", "buildsupport")
UV = Path(sys.executable).with_name("uv")
VISIT = """
import json, pilot
from pilot import resources
from pilot.app import create_app

folders = {name: str(resources.folder(name)) for name in ("templates", "migrations", "examples")}
folders |= {"static": str(resources.static()), "translations": str(resources.translations())}
client = create_app().test_client()
page = client.get("/", follow_redirects=True)
styles = client.get("/static/tokens.css")
print(json.dumps({"folders": folders, "page": page.status_code, "styles": styles.status_code}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the product installed, in a folder with a space in its name.

    The libraries it needs are borrowed from the environment of the tests; `pilot` itself comes from the wheel.
    """
    folder = tmp_path_factory.mktemp("an installation")
    source = folder / "source"
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, source)
    environment = folder / "environment"
    run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", source)
    shutil.rmtree(source)
    return environment


def run(*command: str | Path, **variables: str) -> str:
    """What a command prints, run outside any checkout; its failure is the test's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, env=kept | variables, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> set[str]:
    """Files below a folder that somebody wrote."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.suffix not in (".pyc", ".mo", ".po") and path.name != "__init__.py"}


def test_the_command_works(installed: Path) -> None:
    assert run(installed / "bin" / "pilot", "--version").startswith("pilot, version ")
    for command in ("demo", "doctor", "experiment", "serve"):
        assert command in run(installed / "bin" / "pilot", "--help")


def test_pages_styles_and_migrations_come_along(installed: Path, tmp_path: Path) -> None:
    variables = {"PILOT_SECRET_KEY": "kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu", "PILOT_DATA_DIR": str(tmp_path)}
    run(installed / "bin" / "pilot", "upgrade", **variables)
    seen = json.loads(run(installed / "bin" / "python", "-c", VISIT, **variables))
    assert (seen["page"], seen["styles"]) == (200, 200)
    for name, found in seen["folders"].items():
        folder = Path(found)
        assert folder.is_relative_to(installed), name
        original = CHECKOUT / name if name in SOURCES else CHECKOUT / "pilot" / name
        assert files(folder) == files(original), name
        for catalogue in original.rglob("*.po"):
            assert (folder / catalogue.relative_to(original)).with_suffix(".mo").exists()
