"""Writing the units of a draw: as many as there are, as fast as the driver takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from pilot.db import db
from pilot.experiments.models import Experiment, Unit

_COLUMNS = ("experiment_id", "customer_id", "stratum", "arm", "inclusion_probability", "arm_probability")


def keep_units(
    experiment: Experiment, rows: Iterable[tuple[str, str, str, float, float]], customer_ids: Mapping[str, int]
) -> None:
    """Write what the draw decided, in the caller's transaction.

    Args:
        experiment: Whose units they are.
        rows: As `draw.drawn_rows` gives them.
        customer_ids: By ref.
    """
    db.session.flush()
    number = experiment.id
    values = [(number, customer_ids[ref], *decided) for ref, *decided in rows]
    db.session.connection().exec_driver_sql(_statement(), values)


def _statement() -> str:
    """The insert in the words of the present driver, which takes rows as they are."""
    mark = "%s" if db.session.get_bind().dialect.name == "postgresql" else "?"
    table = sa.inspect(Unit).local_table
    marks = ", ".join([mark] * len(_COLUMNS))
    return f"INSERT INTO {table} ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - names of our own
