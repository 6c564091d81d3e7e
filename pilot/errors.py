"""Errors a person is meant to read: where, why, and what to do about it."""

from __future__ import annotations


class PilotError(Exception):
    """Base of all errors that are shown to a person as they are.

    Args:
        reason: What is wrong, as a sentence without the final full stop.
        place: File, row, column or key, e.g. `plan.toml: arms[1].share`.
        remedy: What the person can do, as a sentence without the final full stop.
    """

    exit_code = 2
    status = 400

    def __init__(self, reason: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.place, self.remedy = reason, place, remedy

    def __str__(self) -> str:
        head = f"{self.place}: {self.reason}" if self.place else self.reason
        return f"{head}. {self.remedy}." if self.remedy else f"{head}."


class InputError(PilotError):
    """A file, form or argument cannot be used as it is."""


class PlanError(InputError):
    """The plan contradicts itself or names something that does not exist."""


class NotFound(PilotError):
    """The thing that was asked for does not exist."""

    status = 404


class StateError(PilotError):
    """The move is not allowed in the present state."""

    status = 409


class CheckFailed(PilotError):
    """A check answered no: a replay differs, a preflight is red."""

    exit_code = 1
    status = 409


class Forbidden(PilotError):
    """The acting user's roles do not allow this."""

    status = 403


class ConfigError(PilotError):
    """A setting is missing, malformed or unsafe."""


class MissingLibrary(PilotError):
    """A system library is not installed; the remedy names the package."""

    status = 503


class PluginError(PilotError):
    """A plugin broke its contract. The reason names plugin and part."""

    status = 500
