"""Runs migrations on the database of the current application."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app

from pilot.db import UtcDateTime, db


def own_types(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Write column types of ours as what they are in the database, so that a revision never needs our code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.JSON):
        autogenerate.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')"
    return False


def named_by_us(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out the full-text index, and the tables SQLite keeps for it: no model tells of them."""
    return kind not in ("table", "index") or not str(name).startswith("customer_words")


def run() -> None:
    """Bring the database to the wanted revision, all of it or nothing.

    On SQLite, changing a table means making it anew; rows that refer to it must not be checked, let alone deleted,
    in between. That switch works outside transactions only.
    """
    settings = current_app.extensions["migrate"].configure_args
    with db.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            connection.connection.execute("PRAGMA foreign_keys=OFF")
        try:
            context.configure(
                connection=connection.execution_options(pilot_write=True),
                target_metadata=db.metadata,
                render_item=own_types,
                include_name=named_by_us,
                transactional_ddl=True,
                **settings,
            )
            with context.begin_transaction():
                context.run_migrations()
                if sqlite:
                    _check_references(connection)
        finally:
            if sqlite:
                connection.connection.execute("PRAGMA foreign_keys=ON")


def _check_references(connection: sa.Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the migration left rows that refer to nothing: {broken[:5]}")


run()
