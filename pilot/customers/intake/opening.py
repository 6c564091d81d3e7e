"""Which importer reads a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pilot.customers.importers import Importer
from pilot.customers.intake.fields import FIELDS
from pilot.customers.intake.understanding import Overrules
from pilot.errors import InputError
from pilot.plugins.manager import plugins

_SETTINGS = {
    "columns": "a column map",
    "encoding": "a given encoding",
    "delimiter": "a given delimiter",
    "sheet": "a given sheet",
}


def opened(kind: str, path: Path, overrules: Overrules, key: str | None = None) -> Importer:
    """The importer asked for, or the most special one that recognises the file: the last registered.

    Args:
        kind: `customers`, `orders` or `touches`.
        path: The file.
        overrules: What a person says of it; the importer has it among its settings as far as it takes it.
        key: Key of the importer asked for.

    Raises:
        InputError: There is no such kind or importer, or it does not go by what was said.
    """
    if kind not in FIELDS:
        raise InputError(f"{kind!r} cannot be imported", remedy=f"Import {', '.join(FIELDS)}")
    overrules.check()
    told = {name: getattr(overrules, name) for name in _SETTINGS if getattr(overrules, name)}
    fitting = [part for part in plugins().all("importers") if kind in part.kinds and told.keys() <= _taken(part)]
    if key is not None:
        part = plugins().get("importers", key)
        if part not in fitting:
            lacking = " and ".join(_SETTINGS[name] for name in told if name not in _taken(part))
            raise InputError(
                f"the importer {key!r} does not read {kind}{f' by {lacking}' if lacking else ''}",
                remedy=f"Choose from {', '.join(part.key for part in fitting)}",
            )
        fitting = [part]
    importers: list[Importer] = [part.restore(told) for part in reversed(fitting)]
    recognised = (importer for importer in importers if len(importers) == 1 or importer.recognises(path))
    return next(recognised, importers[-1])  # the general one comes last, and says what is wrong with the file


def _taken(part: Any) -> set[str]:
    return {setting.name for setting in dataclasses.fields(part)}
