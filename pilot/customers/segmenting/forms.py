"""A segment as a form: its name and handling beside its rule, read back with what was typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pilot.customers import service
from pilot.customers.people.listkeys import fold
from pilot.customers.rules import SegmentRule
from pilot.customers.segmenting import ruleforms
from pilot.customers.segmenting.ruleforms import Node
from pilot.customers.segmenting.segments import build
from pilot.customers.wording import channel_names
from pilot.errors import InputError

MOST_DAYS = 366
_LONGEST = 40
_KEY = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass
class SegmentForm:
    """What stands in the form, and what is wrong with it, by the name of the field."""

    new: bool
    key: str
    name: str
    channel: str
    settle_days: str
    approval: bool
    root: Node
    errors: dict[str, str] = field(default_factory=dict)


def blank() -> SegmentForm:
    """A new segment."""
    return SegmentForm(True, "", "", next(iter(channel_names()), ""), "0", False, ruleforms.blank("all-of"))


def stored(definition: Mapping[str, Any]) -> SegmentForm:
    """A segment as it is stored.

    Raises:
        InputError: The plugin of one of its rules is not installed any more.
    """
    return SegmentForm(
        new=False,
        key=definition["key"],
        name=definition["name"],
        channel=definition["channel"],
        settle_days=str(definition["settle_days"]),
        approval=definition["approval"],
        root=ruleforms.stored(definition["rule"], definition["settings"]),
    )


def typed(given: MultiDict[str, str]) -> SegmentForm:
    """A segment as it was posted."""
    return SegmentForm(
        new=given.get("new") == "1",
        key=given.get("key", "").strip(),
        name=" ".join(given.get("name", "").split()),
        channel=given.get("channel", ""),
        settle_days=given.get("settle_days", "").strip(),
        approval="approval" in given,
        root=ruleforms.typed(given),
    )


def rule_of(form: SegmentForm) -> SegmentRule | None:
    """The rule in the form; None where something in it is wrong, which is marked then."""
    settings = ruleforms.settings_of(form.root)
    if not ruleforms.sound(form.root):
        return None
    try:
        return build(form.root.rule, settings, ruleforms.ROOT)
    except InputError as error:
        ruleforms.mark(form.root, error.place, error.reason)
        return None


def definition_of(form: SegmentForm) -> dict[str, Any] | None:
    """The segment in the form as it is stored; None where something in it is wrong, which is marked then."""
    rule = rule_of(form)
    if form.new:
        form.key = _key_of(form.key) if form.key else _free_key(form.name)
    form.errors = {name: reason for name, reason in _faults(form).items() if reason}
    if rule is None or form.errors:
        return None
    return {
        "key": form.key,
        "name": form.name,
        "rule": rule.key,
        "settings": rule.settings(),
        "channel": form.channel,
        "settle_days": int(form.settle_days),
        "approval": form.approval,
    }


def _faults(form: SegmentForm) -> dict[str, str]:
    days = form.settle_days
    sound_days = days.isascii() and days.isdecimal() and len(days) <= 3 and int(days) <= MOST_DAYS
    return {
        "name": "" if 0 < len(form.name) <= 80 else _("Give it a name of at most 80 characters."),
        "key": _wrong_key(form),
        "channel": "" if form.channel in channel_names() else _("Choose one of these."),
        "settle_days": "" if sound_days else _("Write a whole number of days from 0 to %(most)s.", most=MOST_DAYS),
    }


def _wrong_key(form: SegmentForm) -> str:
    taken = form.new and form.key in {segment.key for segment in service.segments()}
    if taken:
        return str(_("Another segment has this key."))
    return "" if _KEY.fullmatch(form.key) else str(_("Use small letters a to z, digits and hyphens, a letter first."))


def _key_of(text: str) -> str:
    """A key out of what a person calls it: small letters without accents, digits and hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")
    return (plain if plain[:1].isalpha() else f"segment-{plain}")[:_LONGEST].strip("-")


def _free_key(name: str) -> str:
    """The key of a new segment of this name; where another has it, with a number."""
    key, taken, number = _key_of(name), {segment.key for segment in service.segments()}, 1
    free = key
    while free in taken:
        number += 1
        free = f"{key[: _LONGEST - 4]}-{number}"
    return free
