"""For authors of plugins: proves in their own tests that a part keeps the promises the host relies on.

from pilot.testing import contract_checks

def test_my_part():
    contract_checks(MyRule(limit=5))
"""

from __future__ import annotations

import dataclasses
import json
import re

from pilot.errors import InputError
from pilot.parts import Part

_KEY = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NO_SETTING = "no-such-setting"


def contract_checks(part: Part) -> None:
    """Check one part, with settings of the author's choice.

    Raises:
        AssertionError: It breaks its contract; every broken promise is listed.
    """
    faults = [*_shape(part), *_methods(part)] or [*_settings(part), *part.faults()]
    if faults:
        raise AssertionError(f"{type(part).__name__} breaks the contract of parts: {'; '.join(faults)}")


def _shape(part: Part) -> list[str]:
    faults = []
    params = getattr(part, "__dataclass_params__", None)
    if params is None or not params.frozen:
        faults.append("it is not decorated with @dataclass(frozen=True)")
    if not _KEY.fullmatch(str(getattr(part, "key", ""))):
        faults.append("its key is not lower case words joined by hyphens")
    if not str(getattr(part, "label", "")).strip():
        faults.append("it has no label")
    if params is not None and {"key", "label"} & {field.name for field in dataclasses.fields(part)}:  # type: ignore[arg-type]
        faults.append("key or label is a setting; annotate them with ClassVar or not at all")
    return faults


def _methods(part: Part) -> list[str]:
    """Methods that the contract asks for and the part does not have."""
    missing = [name for name in dir(part) if getattr(getattr(type(part), name, None), "__isabstractmethod__", False)]
    return [f"it lacks {name}" for name in missing]


def _settings(part: Part) -> list[str]:
    """Settings survive being written as JSON, and what is no setting is refused."""
    try:
        stored = json.dumps(part.settings(), allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"its settings are not plain JSON: {error}"]
    faults = []
    try:
        restored = type(part).restore(json.loads(stored))
    except InputError as error:
        return [f"its own settings are refused: {error}"]
    if restored != part:
        faults.append(f"restored from {stored} it is another part: {restored!r} is not {part!r}")
    try:
        type(part).restore({**json.loads(stored), _NO_SETTING: 1})
    except InputError:
        pass
    else:
        faults.append("an unknown setting is accepted in silence")
    return faults
