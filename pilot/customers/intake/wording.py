"""What pages call kinds and states of imports, the fields of orders and touches, and ways of writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flask_babel import gettext, lazy_gettext, ngettext

from pilot.customers.intake.lease import interrupted
from pilot.customers.intake.understanding import without_doubt
from pilot.customers.models import Import
from pilot.customers.wording import FIELD_NAMES

KIND_NAMES = {
    "customers": lazy_gettext("Customers"),
    "orders": lazy_gettext("Orders"),
    "touches": lazy_gettext("Touches"),
}

FIELDS_OF = {
    "customers": FIELD_NAMES,
    "orders": {
        "customer_ref": lazy_gettext("Customer number"),
        "order_ref": lazy_gettext("Order number"),
        "ordered_on": lazy_gettext("Date"),
        "amount": lazy_gettext("Amount"),
        "cancelled": lazy_gettext("Cancelled"),
    },
    "touches": {
        "customer_ref": lazy_gettext("Customer number"),
        "happened_on": lazy_gettext("Date"),
        "channel": lazy_gettext("Channel"),
        "kind": lazy_gettext("Kind of contact"),
        "minutes": lazy_gettext("Minutes"),
        "cost": lazy_gettext("Cost"),
        "touch_ref": lazy_gettext("Touch number"),
    },
}
"""What pages call the fields of each kind of file."""

STATE_NAMES = {
    "running": lazy_gettext("Running"),
    "interrupted": lazy_gettext("Interrupted"),
    "done": lazy_gettext("Taken over"),
    "failed": lazy_gettext("Failed"),
    "undone": lazy_gettext("Undone"),
}
STATE_TONES = {"running": "is-live", "interrupted": "is-caution", "done": "is-good", "failed": "is-bad"}
"""The class of the badge that shows a state; the others are plain."""

DELIMITER_NAMES = {
    ";": lazy_gettext("semicolon ;"),
    ",": lazy_gettext("comma ,"),
    "\t": lazy_gettext("tab"),
    "|": lazy_gettext("vertical bar |"),
}
DECIMAL_NAMES = {"comma": lazy_gettext("decimal comma, 1.234,50"), "point": lazy_gettext("decimal point, 1,234.50")}
DAY_NAMES = {
    "day": lazy_gettext("day first, 31/12/2026"),
    "month": lazy_gettext("month first, 12/31/2026"),
    "year": lazy_gettext("year first, 2026-12-31"),
}
ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1250": "Windows-1250 (ą ć ę ł ż)",
    "cp1252": "Windows-1252 (à è ì ò ù)",
    "iso8859-2": "ISO 8859-2",
    "cp852": "DOS 852 (ą ć ę ł ż)",
    "cp850": "DOS 850 (à è ì ò ù)",
    "mac-roman": "Mac Roman (à è ì ò ù)",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 LE",
}
"""What can be said of the letters of a file; one who needs another says it on the command line."""

_WORDS = {
    "semicolon": lazy_gettext("semicolon ;"),
    "comma": lazy_gettext("comma ,"),
    "tab": lazy_gettext("tab"),
    "vertical bar": lazy_gettext("vertical bar |"),
    "decimal comma": lazy_gettext("decimal comma"),
    "decimal point": lazy_gettext("decimal point"),
}


class Way(NamedTuple):
    """One thing about how a file was read: its name here, what it is called, what it is, whether that is assumed and why."""

    name: str
    label: str
    value: str
    assumed: bool = False
    why: str = ""


def state_of(entry: Import) -> str:
    """The state of an import, an interrupted one told from one that is being worked on."""
    return "interrupted" if interrupted(entry) else entry.state


def ways(how: Mapping[str, Any]) -> list[Way]:
    """How a file was read, in words."""
    labels = {
        "encoding": gettext("Letters"),
        "delimiter": gettext("Columns are separated by"),
        "format": gettext("Format"),
        "sheet": gettext("Sheet"),
        "source": gettext("Source"),
        "query": gettext("Query"),
        "numbers": gettext("Numbers"),
        "days": gettext("Dates"),
        "derived": gettext("Derived"),
    }
    return [
        _way(name, label, str(how[name]), how.get("doubts", {}).get(name))
        for name, label in labels.items()
        if how.get(name)
    ]


def _way(name: str, label: str, value: str, doubt: Mapping[str, Any] | None) -> Way:
    plain = without_doubt(value)
    shown = str(ENCODINGS.get(plain, _WORDS.get(plain, plain)))
    return Way(name, label, shown, assumed=plain != value, why=_why(name, doubt) if plain != value else "")


def _why(name: str, doubt: Mapping[str, Any] | None) -> str:
    """Why something is assumed: nothing decides it, or too little."""
    if name == "encoding":
        return str(gettext("assumed: signs stand in words where DOS 850 or Mac Roman have letters"))
    if doubt is None:
        return str(gettext("assumed: no value decides it"))
    told = {"num": doubt["values"], "line": doubt["line"], "value": doubt["value"]}
    if doubt["decides"]:
        return str(
            ngettext(
                "assumed: decided by %(num)s value, line %(line)s: %(value)s",
                "assumed: decided by %(num)s values, the first on line %(line)s: %(value)s",
                **told,
            )
        )
    return str(
        ngettext(
            "assumed, being usual for such a file: %(num)s value tells otherwise and cannot be read so, line %(line)s: %(value)s",
            "assumed, being usual for such a file: %(num)s values tell otherwise and cannot be read so, the first on line "
            "%(line)s: %(value)s",
            **told,
        )
    )
