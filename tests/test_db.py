"""`transaction()`: all or nothing, events only afterwards, and the column types on both databases."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask.testing import FlaskClient

from pilot import clock
from pilot.accounts.models import AuditEntry
from pilot.accounts.service import SYSTEM, record, trail
from pilot.customers.models import SEARCH_INDEX
from pilot.db import db, transaction
from pilot.events import Event, ExperimentMoved
from pilot.plugins.hookspecs import hookimpl


class Observer:
    """Keeps events, and how many trail entries another connection saw at each."""

    def __init__(self) -> None:
        self.heard: list[tuple[Event, int]] = []

    @hookimpl
    def on_event(self, event: Event) -> None:
        with db.engine.connect() as other:
            self.heard.append((event, other.scalar(sa.select(sa.func.count()).select_from(AuditEntry)) or 0))


@pytest.fixture
def observer(app: Flask) -> Observer:
    observer = Observer()
    app.extensions["pilot.plugins"].manager.register(observer)
    return observer


MOVED = ExperimentMoved(1, "draft", "sealed")


def test_events_go_out_when_everybody_can_see_the_work(app: Flask, observer: Observer) -> None:
    with transaction() as work:
        record(SYSTEM, "sealed", "experiment:a")
        work.emit(MOVED)
        assert observer.heard == []
    assert observer.heard == [(MOVED, 1)]


def test_a_failing_block_leaves_nothing_and_tells_nobody(app: Flask, observer: Observer) -> None:
    with pytest.raises(ZeroDivisionError), transaction() as work:
        record(SYSTEM, "sealed", "experiment:a")
        work.emit(MOVED)
        raise ZeroDivisionError
    assert trail("experiment:a") == []
    assert observer.heard == []


def test_a_block_inside_another_shares_its_fate(app: Flask, observer: Observer) -> None:
    with pytest.raises(ZeroDivisionError), transaction() as outer:
        with transaction() as inner:
            record(SYSTEM, "sealed", "experiment:a")
            inner.emit(MOVED)
        assert inner is outer
        raise ZeroDivisionError
    assert trail("experiment:a") == []
    assert observer.heard == []


def test_changes_outside_any_transaction_are_refused_not_lost(app: Flask) -> None:
    record(SYSTEM, "sealed", "experiment:a")
    with pytest.raises(RuntimeError, match="outside"), transaction():
        pass
    db.session.rollback()


def test_a_failing_observer_harms_nobody(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @hookimpl
        def on_event(self, event: Event) -> None:
            raise RuntimeError("observer")

    app.extensions["pilot.plugins"].manager.register(Broken(), "broken-plugin")
    with transaction() as work:
        record(SYSTEM, "sealed", "experiment:a")
        work.emit(MOVED)
    assert len(trail("experiment:a")) == 1
    assert "broken-plugin" in caplog.text


def test_writers_at_the_same_time_queue_up(app: Flask) -> None:
    def write() -> None:
        with app.app_context():
            for _ in range(5):
                with transaction():
                    seen = len(trail("experiment:a"))  # a read first: the classic way to fail on SQLite
                    record(SYSTEM, f"saw {seen}", "experiment:a")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trail("experiment:a")) == 20


def test_moments_come_back_in_utc_whatever_zone_they_had(app: Flask) -> None:
    rome = timezone(timedelta(hours=2))
    with transaction() as work:
        work.session.add(
            AuditEntry(
                at=datetime(2026, 3, 25, 14, 30, 0, 123456, rome), actor="a", action="b", subject="c", details={}
            )
        )
    db.session.rollback()
    found = trail("c")[0].at
    assert found == datetime(2026, 3, 25, 12, 30, 0, 123456, UTC)
    assert found.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused(app: Flask) -> None:
    naive = clock.now().replace(tzinfo=None)
    with pytest.raises(sa.exc.StatementError, match="naive"), transaction() as work:
        work.session.add(AuditEntry(at=naive, actor="a", action="b", subject="c", details={}))


def test_json_documents_keep_their_types(app: Flask) -> None:
    document = {"list": [1, 2.5, None, True], "text": "żółć", "deep": {"a": {"b": ""}}}
    with transaction():
        record(SYSTEM, "sealed", "c", **document)
    db.session.rollback()
    assert trail("c")[0].details == document


def test_a_confirmed_write_survives_a_power_cut(sqlite_app: Flask) -> None:
    with db.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    # 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_schema_that_upgrade_makes_is_the_one_of_the_models(app: Flask) -> None:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind not in ("table", "index") or not str(name).startswith(SEARCH_INDEX)

    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"include_name": ours}), db.metadata) == []


def test_requests_of_the_client_have_a_context_of_their_own(app: Flask, client: FlaskClient) -> None:
    outer = db.session()
    seen: list[object] = []
    app.add_url_rule("/probe", view_func=lambda: seen.append(db.session()) or "ok")
    client.get("/probe")
    client.get("/probe")
    assert len({id(session) for session in [outer, *seen]}) == 3


def test_a_part_that_failed_dooms_the_whole(sqlite_app: Flask) -> None:
    with pytest.raises(RuntimeError, match="the failure was passed over"), transaction():
        record(SYSTEM, "sealed", "experiment:a")
        with suppress(ZeroDivisionError), transaction():
            raise ZeroDivisionError
    assert trail("experiment:a") == []
