"""What became of an import: its refused rows and the customers it changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from pilot import config
from pilot.accounts.service import Actor, record
from pilot.customers.importers import RowError
from pilot.customers.intake.rejects import rows_of
from pilot.customers.intake.uploads import Upload
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.db import db, transaction
from pilot.errors import NotFound

REFUSALS_SHOWN = 20
CHANGES_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Change:
    """A customer that an import changed: by field, what stood there and what stands there since."""

    id: int
    customer_id: int
    ref: str
    name: str
    fields: list[tuple[str, str | None, str | None]]


def refusals(entry: Import) -> list[RowError]:
    """The first refused rows of an import, with their reasons."""
    path = _rejects(entry)
    if path is None:
        return []
    rows = islice(rows_of(path), 1, REFUSALS_SHOWN + 1)
    return [RowError(int(line), column, value, reason) for line, column, value, reason, *_ in rows]


def fetch_rejects(actor: Actor, entry: Import) -> Path:
    """The file of refused rows, for somebody to take away. That it was taken is recorded.

    Raises:
        NotFound: There is none.
    """
    actor.require("operations")
    path = _rejects(entry)
    if path is None:
        raise NotFound(f"no refused rows of import {entry.id} are kept", remedy="None was refused, or it was undone")
    return _recorded(actor, path, f"import:{entry.id}", entry.filename, entry.rejected)


def fetch_upload_rejects(actor: Actor, upload: Upload) -> Path:
    """The same of an upload that was only tried, or of which nothing was taken over.

    Raises:
        NotFound: There is none.
    """
    actor.require("operations")
    if not upload.rejects.is_file():
        raise NotFound("there are no refused rows", remedy="None was refused")
    return _recorded(actor, upload.rejects, "upload", upload.name, (upload.outcome or {}).get("rejected", 0))


def changes(entry: Import, after: int = 0) -> list[Change]:
    """The customers it changed, some at a time: those behind the change of this number."""
    query = (
        sa.select(
            CustomerChange.id, Customer.id, Customer.ref, Customer.name, CustomerChange.before, CustomerChange.after
        )
        .join(Customer, Customer.id == CustomerChange.customer_id)
        .where(CustomerChange.import_id == entry.id, CustomerChange.id > after)
        .order_by(CustomerChange.id)
        .limit(CHANGES_SHOWN + 1)
    )
    return [
        Change(number, customer, ref, name, [(field, before.get(field), now) for field, now in later.items()])
        for number, customer, ref, name, before, later in db.session.execute(query)
    ]


def _rejects(entry: Import) -> Path | None:
    path = config.current().data_dir / entry.rejects if entry.rejects else None
    return path if path is not None and path.is_file() else None


def _recorded(actor: Actor, path: Path, subject: str, name: str, rows: int) -> Path:
    with transaction():
        record(actor, "rejects downloaded", subject, file=name, rows=rows)
    return path
