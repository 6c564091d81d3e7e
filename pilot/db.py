"""The database: models' base, column types, and `transaction()`, the only commit in the code base."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import sqlalchemy.orm
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Session

from pilot.events import Event

log = logging.getLogger(__name__)

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
"""Column type for JSON documents; JSONB on PostgreSQL."""


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment: aware datetimes in, aware UTC datetimes out, on every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: D102
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: moments carry their zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: D102
        return value if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all models. Names of constraints are fixed, so that migrations can drop them anywhere."""

    registry = sa.orm.registry(
        metadata=sa.MetaData(naming_convention=_NAMES),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON},
    )


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


class Transaction:
    """One use case's work. Events collected here go out after the commit, and only then."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []
        self.doomed = False

    def emit(self, event: Event) -> None:
        """Tell observers of this event once the transaction is durable."""
        self.events.append(event)


@contextmanager
def transaction() -> Iterator[Transaction]:
    """Run a block as one durable act: all of it, or nothing.

    Inside another `transaction()` the block joins the outer one, and if it fails the whole fails. On SQLite the
    outermost block begins IMMEDIATE, so that writers queue up instead of failing; what was read before it is read
    afresh inside.

    Raises:
        RuntimeError: Objects were changed outside any transaction, which would be lost silently, or somebody passed
            over the failure of a block inside.
    """
    outer: Transaction | None = g.get("pilot_transaction")
    if outer is not None:
        try:
            yield outer
        except BaseException:
            outer.doomed = True
            raise
        return
    session = db.session()
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("objects were changed outside transaction()")
    session.rollback()
    work = g.pilot_transaction = Transaction(session)
    try:
        session.connection(execution_options={"pilot_write": True})
        yield work
        if work.doomed:
            raise RuntimeError("a part of this transaction failed, and the failure was passed over")
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        g.pop("pilot_transaction", None)
    _publish(work.events)


def _publish(events: list[Event]) -> None:
    plugins = current_app.extensions.get("pilot.plugins")
    if plugins is not None:
        for event in events:
            plugins.publish(event)


def init_app(app: Flask) -> None:
    """Bind the database of this application and set how SQLite behaves."""
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            sa.event.listen(db.engine, "connect", _sqlite_connect)
            sa.event.listen(db.engine, "begin", _sqlite_begin)


def _sqlite_connect(connection: Any, _record: Any) -> None:
    """WAL with full synchronisation: a confirmed write survives a power cut, readers never wait."""
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("pilot_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
