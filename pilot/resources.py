"""Where the files lie that are not code: in an installed wheel or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `templates` or `migrations`: inside the installed package, else beside it in a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def translations() -> Path:
    """The folder of the message catalogues."""
    return _PACKAGE / "translations"


def static() -> Path:
    """The folder of style sheets and scripts."""
    return _PACKAGE / "static"
