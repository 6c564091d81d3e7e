"""The copy of the base that the customer list searches, filters and sorts by, and how it follows the base.

Imports, profiles and movements write many rows at once and know nothing of the list: no trigger, and no index of its
own on their tables. A job compares copy and base in small batches, and writes what differs, whenever the audit trail
holds an act that may have changed the base. Killed at any moment, it goes on where it stopped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from pilot.accounts.models import AuditEntry
from pilot.customers.models import SEARCH_INDEX, Customer, CustomerProfile, ListedCustomer, ListMark
from pilot.db import db, transaction

GAPS = (
    "email",
    "phone",
    "language",
    "street",
    "city",
    "postcode",
    "region",
    "sales_rep",
    "legal_entity",
    "sector",
    "size",
)
"""The fields whose absence is kept track of, in the order of their bits in `ListedCustomer.missing`."""

BATCH = 20_000
_SUBJECTS = ("import:", "base", "customer:", "movement", "segment", "experiment:")
"""What acts that may change the base are done to."""
_FOLDED = ("name", "city")
_SEARCHED = ("ref", "name", "email", "city", "phone")
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """The text as it is searched and sorted: without case and accents."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l"))
    return "".join(letter for letter in folded if not unicodedata.combining(letter))


def alphabetical(text: str) -> tuple[str, str]:
    """The key that sorts texts as a reader looks for them: case and accents come last."""
    return fold(text), text


def words(text: str) -> list[str]:
    """The folded words of a text, each once."""
    return list(dict.fromkeys(_WORD.findall(fold(text))))


def behind() -> bool:
    """Whether the base may have changed since the copy last followed it."""
    mark = db.session.get(ListMark, 1)
    return mark is None or mark.cursor is not None or _newest_act(mark.audit_id) is not None


def follow() -> bool:
    """Compare one batch of the base with the copy, if there is need, and write what differs.

    Returns:
        Whether more is to be done.
    """
    if not behind():
        return False
    with transaction() as work:
        mark = work.session.get(ListMark, 1, with_for_update=True)
        if mark is None:
            mark = ListMark(id=1, audit_id=0, cursor=None, customers=0)
            work.session.add(mark)
        if mark.cursor is None:
            mark.audit_id, mark.cursor = _newest_act(mark.audit_id) or mark.audit_id, 0
        mark.cursor = _batch(mark.cursor)
        if mark.cursor is None:
            mark.customers = work.session.scalar(sa.select(sa.func.count()).select_from(ListedCustomer)) or 0
    return True


def catch_up() -> None:
    """Compare the whole base with the copy now, whatever the audit trail says."""
    with transaction() as work:
        mark = work.session.get(ListMark, 1)
        if mark is None:
            work.session.add(ListMark(id=1, audit_id=0, cursor=0, customers=0))
        else:
            mark.cursor = 0
    while follow():
        pass


def _newest_act(after: int) -> int | None:
    """The newest act later than this one that may have changed the base."""
    about = sa.or_(*(AuditEntry.subject.startswith(subject) for subject in _SUBJECTS))
    query = sa.select(AuditEntry.id).where(AuditEntry.id > after, about).order_by(AuditEntry.id.desc()).limit(1)
    return db.session.scalar(query)


def _batch(cursor: int) -> int | None:
    """Bring the customers after this one up to date; the last of them, None where there are no more."""
    last = db.session.scalar(
        sa.select(Customer.id).where(Customer.id > cursor).order_by(Customer.id).offset(BATCH - 1).limit(1)
    )

    def fitting(key: Any) -> sa.ColumnElement[bool]:
        found: sa.ColumnElement[bool] = key > cursor
        return found if last is None else found & (key <= last)

    gone = sa.select(ListedCustomer.customer_id).where(
        fitting(ListedCustomer.customer_id),
        ~sa.exists().where(Customer.id == ListedCustomer.customer_id),
    )
    forget(list(db.session.scalars(gone)))
    _write(db.session.execute(_DIFFERING.where(fitting(Customer.id))).all())
    return last


def _or(column: Any, unknown: Any) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(column, sa.literal(unknown, type_=column.type))


_PLAIN: dict[str, sa.ColumnElement[Any]] = {
    "ref": sa.type_coerce(Customer.ref, sa.String),
    "region": _or(Customer.region, ""),
    "sales_rep": _or(Customer.sales_rep, ""),
    "channel": _or(Customer.channel, ""),
    "segment": _or(CustomerProfile.segment, ""),
    "activity": _or(CustomerProfile.activity, ""),
    "frequency": _or(CustomerProfile.frequency, 0),
    "revenue_year": _or(CustomerProfile.revenue_year, 0.0),
    "contribution_year": _or(CustomerProfile.contribution_year, 0.0),
    "potential": _or(CustomerProfile.potential, -1.0),
    "last_order": _or(CustomerProfile.last_order, date.min),
}
"""What is copied as it stands; name and city are folded first."""

_MISSING = sum(
    (sa.case((_or(getattr(Customer, name), "") == "", 1 << bit), else_=0) for bit, name in enumerate(GAPS)),
    sa.literal(0),
)
# As the driver gives values it also takes them: converting them there and back costs more than all else.
_DIFFERING = (
    sa.select(
        ListedCustomer.customer_id,
        *(_or(getattr(Customer, name), "") for name in _SEARCHED),
        *(sa.type_coerce(told, sa.types.NullType()) for told in (Customer.id, Customer.updated_at, _MISSING)),
        *(sa.type_coerce(told, sa.types.NullType()) for told in _PLAIN.values()),
    )
    .outerjoin(CustomerProfile, CustomerProfile.customer_id == Customer.id)
    .outerjoin(ListedCustomer, ListedCustomer.customer_id == Customer.id)
    .where(
        sa.or_(
            ListedCustomer.customer_id.is_(None),
            ListedCustomer.written_at != Customer.updated_at,
            *(getattr(ListedCustomer, name) != expression for name, expression in _PLAIN.items()),
        )
    )
)


def _write(rows: Sequence[sa.Row[Any]]) -> None:
    if not rows:
        return
    fts = db.session.get_bind().dialect.name == "sqlite"
    if fts:
        _unindex([listed for listed, *_ in rows if listed is not None])
    copies = [_copy(row, fts) for row in rows]
    db.session.connection().exec_driver_sql(_statement("?" if fts else "%s"), copies)
    if fts:
        index = sa.text(
            f"INSERT INTO {SEARCH_INDEX} (rowid, words) "  # noqa: S608 - a name of our own
            "SELECT customer_id, words FROM listed_customers WHERE customer_id IN :ids"
        )
        _with_ids(index, [number for number, *_ in copies])


def _statement(mark: str) -> str:
    """An insert of what `_copy` gives that replaces what stands, for the driver itself."""
    written = ("customer_id", "written_at", "missing", *_PLAIN, *_FOLDED, "words")
    changed = ", ".join(f"{name} = excluded.{name}" for name in written[1:])
    return (
        f"INSERT INTO listed_customers ({', '.join(written)}) "  # noqa: S608 - names of our own
        f"VALUES ({', '.join([mark] * len(written))}) ON CONFLICT (customer_id) DO UPDATE SET {changed}"
    )


def _copy(row: Sequence[Any], fts: bool) -> tuple[Any, ...]:
    """A line of `_DIFFERING` as it is written."""
    _, ref, name, email, city, phone, *plain = row
    found = words(f"{ref} {name} {email} {city} {_dialled(phone)}")
    text = " " + " ".join(found) if fts else " ".join(f"'{word}'" for word in found)
    return (*plain, fold(name)[:64], fold(city)[:64], text)


def _dialled(phone: str) -> str:
    """A phone number as people look for it: in its groups, in one, and in one without the code of the country."""
    digits = re.sub("[^0-9]", "", phone)
    bare = digits.removeprefix("00")
    return f"{phone} {digits} {bare[2:]}" if phone.startswith(("+", "00")) else f"{phone} {digits}"


def forget(gone: list[int]) -> None:
    """Take customers out of the list and the search at once, in the caller's transaction."""
    if not gone:
        return
    if db.session.get_bind().dialect.name == "sqlite":
        _unindex(gone)
    db.session.execute(sa.delete(ListedCustomer).where(ListedCustomer.customer_id.in_(gone)))


def _unindex(ids: Iterable[int]) -> None:
    """Take customers out of SQLite's search index: it must be told the words that it was given for them."""
    statement = sa.text(
        f"INSERT INTO {SEARCH_INDEX} ({SEARCH_INDEX}, rowid, words) "  # noqa: S608 - names of our own
        "SELECT 'delete', customer_id, words FROM listed_customers WHERE customer_id IN :ids"
    )
    _with_ids(statement, list(ids))


def _with_ids(statement: sa.TextClause, ids: list[int]) -> None:
    db.session.execute(statement.bindparams(sa.bindparam("ids", expanding=True)), {"ids": ids})
