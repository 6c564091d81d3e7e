"""Rows straight from a database of the company."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot.config import Config
from pilot.customers.intake.queries import read_query, source_names
from pilot.db import db
from pilot.errors import InputError


@pytest.fixture
def erp(tmp_path: Path) -> Path:
    path = tmp_path / "erp.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE client (no TEXT, title TEXT, turnover REAL)")
        database.executemany("INSERT INTO client VALUES (?, ?, ?)", [("007", "Łódź", 1.5), ("8", None, 2.0)])
    return path


@pytest.fixture
def sources(erp: Path, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(
        sources={
            "erp": {"url": f"sqlite:///{erp}", "customers": "SELECT no AS ref, title AS name, turnover FROM client"},
            "wrong": {
                "url": f"sqlite:///{erp}",
                "customers": "SELECT colour FROM client",
                "orders": "DELETE FROM client",
            },
            "nowhere": {
                "url": "postgresql+psycopg://me:secret@127.0.0.1:1/x",
                "customers": "SELECT 1 AS ref, 2 AS name",
            },
        }
    )
    monkeypatch.setattr("pilot.customers.intake.queries.current", lambda: settings)


@pytest.mark.usefixtures("sources")
def test_a_query_is_a_table_with_its_types() -> None:
    assert source_names("customers") == ["erp", "wrong", "nowhere"]
    assert source_names("touches") == []
    table = read_query("erp", "customers")
    assert table.header == ("ref", "name", "turnover")
    assert table.how["source"] == "erp"
    found = [(record.line, list(record.cells)) for record in table.records()]
    assert found == [(1, ["007", "Łódź", 1.5]), (2, ["8", None, 2.0])]
    assert list(table.records()) == list(table.records()), "it can be read again"


@pytest.mark.usefixtures("sources")
def test_what_is_wrong_is_said_without_the_password() -> None:
    with pytest.raises(InputError, match="no such column: colour") as told:
        read_query("wrong", "customers")
    assert told.value.place == "sources.wrong"
    with pytest.raises(InputError, match="does not answer") as told:
        read_query("nowhere", "customers")
    assert "secret" not in str(told.value)
    with pytest.raises(InputError, match="no query for touches"):
        read_query("erp", "touches")
    with pytest.raises(InputError, match="no source 'sap'"):
        read_query("sap", "customers")


@pytest.mark.usefixtures("sources")
def test_a_query_cannot_write(erp: Path) -> None:
    with pytest.raises(InputError, match="readonly"):
        read_query("wrong", "orders")
    with closing(sqlite3.connect(erp)) as database:
        assert database.execute("SELECT count(*) FROM client").fetchone() == (2,)


def test_postgresql_answers_in_its_own_types_and_is_only_read(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    if db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no such types")
    url = db.engine.url.render_as_string(hide_password=False)
    config: Config = app.extensions["pilot.config"]
    queries = {
        "orders": "SELECT 12.50::numeric AS amount, date '2026-03-31' AS day, "
        "timestamptz '2026-03-31 23:30+00' AS moment, true AS yes",
        "touches": "SELECT nextval('customers_id_seq') AS number",
    }
    settings = config.model_validate({**config.model_dump(), "sources": {"erp": {"url": url, **queries}}})
    monkeypatch.setattr("pilot.customers.intake.queries.current", lambda: settings)
    (record,) = read_query("erp", "orders").records()
    # in Rome the last day of March is over at half past eleven in Greenwich
    assert list(record.cells) == [Decimal("12.50"), date(2026, 3, 31), date(2026, 4, 1), True]
    with pytest.raises(InputError, match="read-only transaction"):
        list(read_query("erp", "touches").records())
    assert db.session.scalar(sa.text("SELECT is_called FROM customers_id_seq")) is False
