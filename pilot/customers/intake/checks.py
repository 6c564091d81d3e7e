"""What a row must be to be taken over. Importers read files; here rows become records, or are refused with a reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from email_validator import EmailNotValidError, validate_email

from pilot import config
from pilot.customers.importers import Reading, Row, RowError
from pilot.customers.models import Customer
from pilot.plugins.manager import plugins

CONTACT_KINDS = ("call", "mail", "visit")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_FOUR_PLACES = Decimal("0.0001")
_MOST_MONEY = Decimal(10) ** 12
_MOST_MINUTES = 24 * 60
_LENGTHS = {column.name: column.type.length for column in sa.inspect(Customer).c if isinstance(column.type, sa.String)}


class CustomerRecord(NamedTuple):
    """A customer as a file tells of it: only the fields the file has, and the digest of them all."""

    line: int
    ref: str
    fields: dict[str, str | None]
    digest: str


class OrderRecord(NamedTuple):
    """One order, or one line of an order: lines with the same order number are one order."""

    customer_ref: str
    order_ref: str
    ordered_on: date
    amount: Decimal
    cancelled: bool


class TouchRecord(NamedTuple):
    """One contact with a customer."""

    customer_ref: str
    happened_on: date
    channel: str
    kind: str
    minutes: Decimal
    cost: Decimal


class _Unfit(Exception):
    """A value cannot be taken over."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.value, self.reason = field, value, reason


def customer_records(reading: Reading) -> Iterator[CustomerRecord | RowError]:
    """The customers of a file; of two rows with the same number the second is refused."""
    met: dict[str, int] = {}

    def record(row: Row) -> CustomerRecord:
        ref = _text(row.values, "ref", _LENGTHS["ref"], needed="the row has no customer number")
        if ref in met:
            raise _Unfit("ref", ref, f"this customer number stands on line {met[ref]} already")
        fields = {name: _customer_field(row.values, name) for name in row.values if name != "ref"}
        met[ref] = row.line
        return CustomerRecord(row.line, ref, fields, _digest(ref, fields))

    return _records(reading, record)


def order_records(reading: Reading) -> Iterator[OrderRecord | RowError]:
    """The orders of a file."""
    today = config.today()
    return _records(reading, lambda row: _order(row, today))


def touch_records(reading: Reading) -> Iterator[TouchRecord | RowError]:
    """The touches of a file. One whose cost the file does not tell costs what the rates of its channel say."""
    channels = {part.key: part for part in plugins().all("handling_channels")}
    rates: dict[str, Any] = {}
    today = config.today()

    def channel_of(values: Mapping[str, str]) -> str:
        name = _text(values, "channel", 64, needed="the touch has no channel")
        key = re.sub(r"[\s_]+", "-", name.casefold())
        if key not in channels:
            raise _Unfit("channel", name, f"there is no such channel; there are {', '.join(channels)}")
        if key not in rates:
            rates[key] = channels[key].restore({})
        return key

    def record(row: Row) -> TouchRecord:
        values = row.values
        customer_ref = _text(values, "customer_ref", _LENGTHS["ref"], needed="the row has no customer number")
        day, channel = _day(values, "happened_on", today), channel_of(values)
        kind = values.get("kind", "")
        if kind not in CONTACT_KINDS:
            raise _Unfit("kind", kind, f"a touch is one of {', '.join(CONTACT_KINDS)}")
        minutes = _number(values, "minutes", least=Decimal(0), most=Decimal(_MOST_MINUTES))
        if values.get("cost"):
            cost = _number(values, "cost", least=Decimal(0))
        else:
            cost = Decimal(str(rates[channel].cost(kind, float(minutes)))).quantize(_FOUR_PLACES, ROUND_HALF_UP)
        return TouchRecord(customer_ref, day, channel, kind, minutes, cost)

    return _records(reading, record)


def _records(reading: Reading, record: Callable[[Row], Any]) -> Iterator[Any]:
    columns: Mapping[str, str] = reading.how.get("columns", {})
    for row in reading.rows:
        if isinstance(row, RowError):
            yield row
            continue
        try:
            yield record(row)
        except _Unfit as unfit:
            yield RowError(row.line, columns.get(unfit.field, unfit.field), unfit.value, unfit.reason, row.cells)


def _order(row: Row, today: date) -> OrderRecord:
    values = row.values
    return OrderRecord(
        _text(values, "customer_ref", _LENGTHS["ref"], needed="the row has no customer number"),
        _text(values, "order_ref", 64, needed="the row has no order number"),
        _day(values, "ordered_on", today),
        _number(values, "amount"),
        values.get("cancelled") == "true",
    )


def _customer_field(values: Mapping[str, str], name: str) -> str | None:
    text = _text(values, name, _LENGTHS.get(name))
    if name == "email" and text:
        return _address(text)
    return text if text or name == "name" else None


def _address(text: str) -> str:
    """The address as it is written in mail headers, so that it can be handed to any relay as it stands."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, allow_smtputf8=False)
    except EmailNotValidError:
        raise _Unfit("email", text, "this is not an e-mail address") from None
    return found.ascii_email or found.normalized


def _text(values: Mapping[str, str], name: str, longest: int | None, *, needed: str = "") -> str:
    """The value on one line; blanks at its ends and doubled ones are no part of it."""
    text = " ".join(values.get(name, "").split())
    if needed and not text:
        raise _Unfit(name, text, needed)
    if longest is not None and len(text) > longest:
        raise _Unfit(name, f"{text[:40]}…", f"it is longer than {longest} characters")
    if _CONTROL.search(text):
        raise _Unfit(name, _CONTROL.sub("?", text), "it holds a control character")
    return text


def _day(values: Mapping[str, str], name: str, latest: date) -> date:
    text = values.get(name, "")
    if not text:
        raise _Unfit(name, text, "the row has no date")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _Unfit(name, text, "this is not a day") from None
    if day > latest:
        remedy = "correct the date, or import the row once it has happened"
        raise _Unfit(name, text, f"it lies in the future, today is {latest}; {remedy}")
    return day


def _number(
    values: Mapping[str, str], name: str, *, least: Decimal = -_MOST_MONEY, most: Decimal = _MOST_MONEY
) -> Decimal:
    """The number, rounded half up to four decimal places where it has more."""
    text = values.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise _Unfit(name, text, "this is not a number" if text else f"the row has no {name}")
    number = Decimal(text)
    if not least <= number <= most:
        raise _Unfit(name, text, f"it is not between {least:,f} and {most:,f}")
    return number.quantize(_FOUR_PLACES, ROUND_HALF_UP) if -number.as_tuple().exponent > 4 else number  # type: ignore[operator]


def _digest(ref: str, fields: Mapping[str, str | None]) -> str:
    told = "\x1f".join((ref, *(f"{name}\x1e{fields[name] or ''}" for name in sorted(fields))))
    return hashlib.sha256(told.encode()).hexdigest()
