"""What a value must be to be taken over, field by field: it becomes what is stored, or is refused with a reason.

The functions here are the truth. `pilot.customers.intake.sieve` spares them the values whose answer is plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import sqlalchemy as sa
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from pilot.customers.intake.fields import Content, Field
from pilot.customers.models import Customer
from pilot.plugins.manager import plugins

CONTACT_KINDS = ("call", "mail", "visit")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_FOUR_PLACES = Decimal("0.0001")
_MOST_MONEY = Decimal(10) ** 12
_MOST_MINUTES = 24 * 60
_EARLIEST = date(1900, 1, 2)
"""What other systems write where they know no day lies before it: 1900-01-01, 1899-12-30, 0001-01-01."""
_LENGTHS = {column.name: column.type.length for column in sa.inspect(Customer).c if isinstance(column.type, sa.String)}
_LENGTHS |= {"customer_ref": _LENGTHS["ref"], "order_ref": 64, "channel": 64, "touch_ref": 64}
_NEEDED = {
    "ref": "the row has no customer number",
    "name": "the row has no name",
    "customer_ref": "the row has no customer number",
    "order_ref": "the row has no order number",
    "channel": "the touch has no channel",
}

PLAIN_WORDS = r"[!-~\p{L}]+( [!-~\p{L}]+)*"
"""RE2, and Python but for `\\p{L}`: text that is stored as it stands, on whose ends and inside are no odd blanks."""
PLAIN_ADDRESS = r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z]+"
LONGEST_PLAIN_ADDRESS = 64
"""Characters: no part of an address that is no longer can be too long."""


class Unfit(Exception):
    """A value cannot be taken over.

    Args:
        reason: Why.
        value: What is shown of it.
        unread: Whether it could not even be read, rather than being no good.
    """

    def __init__(self, reason: str, value: str, *, unread: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.value, self.unread = reason, value, unread


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked of one field.

    Attributes:
        known: The field.
        judge: What is stored of a cell as it stands in the file, as text; raises `Unfit`.
        plain: RE2 pattern of cells that need no judging; empty where all values are judged, being few.
        longest: Bytes up to which that holds.
    """

    known: Field
    judge: Callable[[str], str]
    plain: str = ""
    longest: int = 0

    @property
    def name(self) -> str:
        """Our name of the field."""
        return self.known.name

    @property
    def needed(self) -> bool:
        """Whether a row without a text in this field is refused."""
        return self.known.name in _NEEDED


def check_of(known: Field, read: Callable[[str], str | None], complaint: str, decimal: str, today: date) -> Check:
    """The check of one field.

    Args:
        known: The field.
        read: What reads its cells, once stripped.
        complaint: What is said of one that it cannot read.
        decimal: The decimal sign of the file.
        today: What lies later has not happened yet.
    """
    check = _CHECKS.get(known.name)
    if known.content is Content.DAY:
        return Check(known, _judge(read, complaint, lambda text: _day(text, today)))
    if known.content is Content.NUMBER:
        pattern = _PLAIN_NUMBER[known.name].replace("P", re.escape(decimal))
        return Check(known, _judge(read, complaint, check or _amount), pattern, 40)
    if known.content is Content.WORD or known.name == "channel":
        return Check(known, _judge(read, complaint, check or _text_check(known.name)))
    if known.name == "email":
        return Check(known, _judge(read, complaint, _address), PLAIN_ADDRESS, LONGEST_PLAIN_ADDRESS)
    pattern = PLAIN_WORDS if known.name in _NEEDED else f"({PLAIN_WORDS})?"
    return Check(known, _judge(read, complaint, _text_check(known.name)), pattern, _LENGTHS[known.name] or 0)


def is_plain_address(text: str) -> bool:
    """Whether an address that matches `PLAIN_ADDRESS` is stored as it stands, but for the case of its domain."""
    mailbox, _, domain = text.partition("@")
    if mailbox.lower() in CASE_INSENSITIVE_MAILBOX_NAMES and not mailbox.islower():
        return False
    return not domain.lower().endswith(tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES))


def odd_address_patterns() -> tuple[str, str]:
    """RE2 patterns of addresses that `is_plain_address` denies or may deny: by their mailbox, by their domain."""
    mailboxes = "|".join(map(re.escape, sorted(CASE_INSENSITIVE_MAILBOX_NAMES)))
    domains = "|".join(re.escape(name) for name in sorted(SPECIAL_USE_DOMAIN_NAMES))
    return f"(?i)^({mailboxes})@", f"(?i)\\.({domains})$"


def touch_cost() -> Callable[[str, str, str], str]:
    """What a touch costs by the rates of its channel, told channel, kind and minutes."""
    channels = {part.key: part for part in plugins().all("handling_channels")}
    rates: dict[str, Any] = {}

    def cost(channel: str, kind: str, minutes: str) -> str:
        if channel not in rates:
            rates[channel] = channels[channel].restore({})
        return f"{Decimal(str(rates[channel].cost(kind, float(minutes)))).quantize(_FOUR_PLACES, ROUND_HALF_UP):f}"

    return cost


def _judge(read: Callable[[str], str | None], complaint: str, check: Callable[[str], str]) -> Callable[[str], str]:
    def judge(cell: str) -> str:
        text = cell.strip()
        value = read(text) if text else ""
        if value is None:
            raise Unfit(complaint, text, unread=True)
        return check(value)

    return judge


def _text_check(name: str) -> Callable[[str], str]:
    longest, needed = _LENGTHS.get(name), _NEEDED.get(name, "")
    return lambda text: _text(text, longest, needed)


def _text(text: str, longest: int | None, needed: str = "") -> str:
    """The value on one line; blanks at its ends and doubled ones are no part of it."""
    text = " ".join(text.split())
    if needed and not text:
        raise Unfit(needed, text)
    if longest is not None and len(text) > longest:
        raise Unfit(f"it is longer than {longest} characters", f"{text[:40]}…")
    if _CONTROL.search(text):
        raise Unfit("it holds a control character", _CONTROL.sub("?", text))
    return text


def _address(text: str) -> str:
    """The address as it is written in mail headers, so that it can be handed to any relay as it stands."""
    text = _text(text, _LENGTHS["email"])
    if not text:
        return ""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, allow_smtputf8=False)
    except EmailNotValidError:
        raise Unfit("this is not an e-mail address", text) from None
    return found.ascii_email or found.normalized


def _channel(text: str) -> str:
    name = _text(text, _LENGTHS["channel"], _NEEDED["channel"])
    key = re.sub(r"[\s_]+", "-", name.casefold())
    channels = [part.key for part in plugins().all("handling_channels")]
    if key not in channels:
        raise Unfit(f"there is no such channel; there are {', '.join(channels)}", name)
    return key


def _kind(text: str) -> str:
    if text not in CONTACT_KINDS:
        raise Unfit(f"a touch is one of {', '.join(CONTACT_KINDS)}", text)
    return text


def _cancelled(text: str) -> str:
    return text if text in ("true", "returned") else ""


def _day(text: str, latest: date) -> str:
    if not text:
        raise Unfit("the row has no date", text)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Unfit("this is not a day", text) from None
    if day < _EARLIEST:
        raise Unfit(f"it lies before {_EARLIEST}; correct the date", text)
    if day > latest:
        remedy = "correct the date, or import the row once it has happened"
        raise Unfit(f"it lies in the future, today is {latest}; {remedy}", text)
    return day.isoformat()


def _amount(text: str) -> str:
    return _number(text, "amount")


def _minutes(text: str) -> str:
    return _number(text, "minutes", least=Decimal(0), most=Decimal(_MOST_MINUTES))


def _cost(text: str) -> str:
    return _number(text, "cost", least=Decimal(0)) if text else ""


def _number(text: str, name: str, *, least: Decimal = -_MOST_MONEY, most: Decimal = _MOST_MONEY) -> str:
    """The number, rounded half up to four decimal places where it has more."""
    if not _NUMBER.fullmatch(text):
        raise Unfit("this is not a number" if text else f"the row has no {name}", text)
    number = Decimal(text)
    if not least <= number <= most:
        raise Unfit(f"it is not between {least:,f} and {most:,f}", text)
    exact = -number.as_tuple().exponent <= 4  # type: ignore[operator]
    return f"{number if exact else number.quantize(_FOUR_PLACES, ROUND_HALF_UP):f}"


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "channel": _channel,
    "kind": _kind,
    "cancelled": _cancelled,
    "minutes": _minutes,
    "cost": _cost,
}
_PLAIN_NUMBER = {
    "amount": "-?[0-9]{1,12}(P[0-9]{1,4})?",
    "minutes": "[0-9]{1,3}(P[0-9]{1,4})?",
    "cost": "([0-9]{1,12}(P[0-9]{1,4})?)?",
}
"""Numbers that are in range and need no rounding, `P` being the decimal sign."""
