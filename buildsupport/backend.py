"""Build backend: setuptools, after compiling the message catalogues.

Only the `.po` files are kept under version control; a wheel, and an editable install alike, needs the
compiled `.mo` files beside them.
"""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools import build_meta as _setuptools
from setuptools.build_meta import *  # noqa: F403

_CATALOGUES = Path(__file__).resolve().parent.parent / "pilot" / "translations"


def compile_catalogues() -> None:
    """Write a `messages.mo` beside each `messages.po`."""
    for source in _CATALOGUES.glob("*/LC_MESSAGES/*.po"):
        with source.open("rb") as readable:
            catalogue = read_po(readable, locale=source.parent.parent.name)
        with source.with_suffix(".mo").open("wb") as writable:
            write_mo(writable, catalogue)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Build a wheel with compiled catalogues."""
    compile_catalogues()
    return _setuptools.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """Build an editable wheel with compiled catalogues."""
    compile_catalogues()
    return _setuptools.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    """Build a source archive with compiled catalogues."""
    compile_catalogues()
    return _setuptools.build_sdist(sdist_directory, config_settings)


if __name__ == "__main__":
    compile_catalogues()
