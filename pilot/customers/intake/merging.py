"""Customers of a checked file into the base: page by page, each one transaction that also says how far it has come.

Pages go by customer number in byte order. What a page finds in the base it finds under the lock of its own
transaction, so nothing that happens in between is overwritten unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pilot import clock
from pilot.customers.bulk import (
    BETWEEN,
    WITHIN,
    batches,
    insert_many,
    joined_between,
    look_up,
    look_up_between,
    update_many,
)
from pilot.customers.intake.lease import LEASE
from pilot.customers.intake.sieve import Sieve
from pilot.customers.intake.staging import fetched, keep
from pilot.customers.models import Customer, CustomerChange, Import
from pilot.db import db, transaction
from pilot.errors import StateError

PAGE = 20_000
_COMPARED = 500
"""Rows that are compared as one text, and one by one only where the texts differ."""
_ASKED = 5_000
_RENEWED_EVERY = 250_000
"""Rows."""
_DENSE = 4
"""Up to so many times the customers of the file, the base is read through rather than asked for each of them."""
_LOOKED_UP = 1_000
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Merge:
    """The good rows of one file on their way into the base.

    Attributes:
        sieve: The file.
        entry_id: The import; None to find out only what would happen.
        actor: Who is named in the changes.
        good: How many good rows there are.
        overwrite: Whether the file's word is taken even where staff filled in another.
        cursor: The last customer number that is done.
        accepted: Rows taken over so far; of these `changed` stood in the base already.
        unchanged: Rows that stood there just so.
        kept: Values that staff filled in and the file tells otherwise: they stand.
        replaced: Such values that were overwritten.
    """

    sieve: Sieve
    entry_id: int | None
    actor: str
    good: int
    overwrite: bool = False
    cursor: str | None = None
    accepted: int = 0
    changed: int = 0
    unchanged: int = 0
    kept: int = 0
    replaced: int = 0

    def counts(self) -> dict[str, int]:
        """What became of the rows so far."""
        return {name: getattr(self, name) for name in ("accepted", "changed", "unchanged", "kept", "replaced")}

    def run(self, progress: Progress) -> None:
        """Take over all rows behind the cursor.

        Raises:
            StateError: Somebody else has taken this import over.
        """
        differing = self._compare()
        self.unchanged = self.good - self.accepted - (self.good if differing is None else differing)
        if differing is None:
            self.unchanged = 0
        if self.entry_id is not None:
            self._note_unchanged()
        progress(self.accepted + self.unchanged, self.good)
        for page in self._pages(everything=differing is None):
            if self.entry_id is None:
                self._take(page)
            else:
                with transaction():
                    self._take(page)
                    self._advance(str(page[-1][0]))
            progress(self.accepted + self.unchanged, self.good)

    def _compare(self) -> int | None:
        """Put the numbers of customers that differ into the table `differing`; how many, or None for all rows.

        A row whose fingerprint stands in the base is just as it was and is not looked at again, unless what staff put in
        its place since is to be overwritten.
        """
        standing = db.session.scalar(sa.select(sa.func.count()).select_from(Customer)) or 0
        if not standing or self.overwrite:
            return None
        engine = self.sieve.staged.engine
        query, parameters = self._behind(f"{self.sieve.value('ref')} AS ref, {self._fingerprint()} AS digest")
        engine.execute(f"CREATE OR REPLACE TEMP TABLE prints AS {query} ORDER BY ref", parameters)
        differing = self._differing_in_blocks() if standing < _DENSE * self.good else self._differing_alone()
        keep(engine, "differing", ("ref",), differing, self.sieve.folder)
        engine.execute("DROP TABLE prints")
        found: int = engine.execute("SELECT count(*) FROM differing").fetchall()[0][0]
        return found

    def _differing_in_blocks(self) -> Iterator[tuple[str]]:
        """Those that are not in the base just so, where most of the base is in the file.

        Each block is one text here and one there. Only where these differ are the rows themselves fetched.
        """
        engine = self.sieve.staged.engine
        blocks = fetched(
            engine,
            f"SELECT rowid // {_COMPARED} AS block, min(ref), max(ref), string_agg(ref || $within || digest, $between) "  # noqa: S608
            "FROM prints GROUP BY block ORDER BY block",
            {"within": WITHIN, "between": BETWEEN},
            size=100,
        )
        unlike = []
        for number, low, high, text in blocks:
            if text != joined_between(Customer, "ref", low, high, "digest"):
                unlike.append((number * _COMPARED, low, high))
            self._renew((number + 1) * _COMPARED)
        for start, low, high in unlike:
            known = set(look_up_between(Customer, "ref", low, high, ("ref", "digest")))
            where = f"rowid >= {start} AND rowid < {start + _COMPARED}"
            rows = engine.execute(f"SELECT ref, digest FROM prints WHERE {where}").fetchall()  # noqa: S608 - numbers
            yield from ((row[0],) for row in rows if row not in known)
            self._renew(start + _COMPARED)

    def _differing_alone(self) -> Iterator[tuple[str]]:
        """The same where the base is much larger: it is asked for each of them."""
        rows = fetched(self.sieve.staged.engine, "SELECT ref, digest FROM prints ORDER BY rowid")
        for number, batch in enumerate(batches(rows, _ASKED), 1):
            known = set(map(tuple, look_up(Customer, "ref", (ref for ref, _ in batch), ("ref", "digest"))))
            yield from ((row[0],) for row in batch if row not in known)
            self._renew(number * _ASKED)

    def _renew(self, rows: int) -> None:
        """Say now and then that the import is alive while rows are compared."""
        if self.entry_id is not None and not rows % _RENEWED_EVERY:
            with transaction():
                self._advance(self.cursor)

    def _pages(self, *, everything: bool) -> Iterator[list[tuple[Any, ...]]]:
        """Customer number, fields and fingerprint of each row that differs, by number."""
        sieve = self.sieve
        values = [f"{sieve.value('ref')} AS ref"]
        values += [sieve.value(name) if name == "name" else f"nullif({sieve.value(name)}, '')" for name in self._fields]
        query, parameters = self._behind(", ".join((*values, self._fingerprint())))
        if not everything:
            query += " AND ref IN (SELECT ref FROM differing)"
        answer = sieve.staged.engine.execute(f"{query} ORDER BY ref", parameters)
        while page := answer.fetchmany(PAGE):
            yield page

    def _behind(self, select: str) -> tuple[str, Mapping[str, Any]]:
        """A question about all good rows behind the cursor."""
        cursor = self.cursor or ""
        return f"SELECT * FROM ({self.sieve.good(select)}) WHERE ref > $cursor", {"cursor": cursor}  # noqa: S608

    @property
    def _fields(self) -> list[str]:
        return [name for name in self.sieve.fields if name != "ref"]

    def _fingerprint(self) -> str:
        """SQL for what tells whether a customer's row is the one that was imported before."""
        names = ",".join(self._fields)
        values = ", ".join(self.sieve.value(name) for name in ("ref", *self._fields))
        return f"md5(concat_ws(chr(31), '{names}', {values}))"

    def _take(self, page: Sequence[tuple[Any, ...]]) -> None:
        highest = db.session.scalar(sa.select(sa.func.max(Customer.ref)))
        standing: dict[str, Mapping[str, Any]] = {}
        if highest is not None and highest >= page[0][0]:
            standing = self._standing([row[0] for row in page])
        new = [row for row in page if row[0] not in standing] if standing else page
        now = clock.now()
        if self.entry_id is not None:
            same = {"created_by_import_id": self.entry_id, "import_id": self.entry_id, "updated_at": now}
            insert_many(Customer, ("ref", *self._fields, "digest"), new, **same)
        changed = self._change([row for row in page if row[0] in standing], standing, now) if standing else 0
        self.accepted += len(new) + changed
        self.changed += changed
        self.unchanged += len(page) - len(new) - changed

    def _standing(self, refs: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        columns = [Customer.id, Customer.ref, Customer.by_hand, *(getattr(Customer, name) for name in self._fields)]
        found: dict[str, Mapping[str, Any]] = {}
        for batch in batches(refs, _LOOKED_UP):
            query = sa.select(*columns).where(Customer.ref.in_(batch))
            found |= {row["ref"]: row for row in db.session.execute(query).mappings()}
        return found

    def _change(self, rows: Sequence[tuple[Any, ...]], standing: Mapping[str, Mapping[str, Any]], now: datetime) -> int:
        """Correct the customers that differ; how many."""
        updates: list[tuple[Any, ...]] = []
        changes: list[dict[str, Any]] = []
        released: list[dict[str, Any]] = []
        for row in rows:
            old = standing[row[0]]
            new = dict(zip(self._fields, row[1:-1], strict=True))
            kept, replaced = self._leave(old, new)
            after = {name: value for name, value in new.items() if value != old[name]}
            if after:
                # Without its fingerprint the row is looked at again, and says again what it left.
                updates.append((*new.values(), "" if kept else row[-1], old["id"]))
                before = {name: old[name] for name in after}
                changes.append({"customer_id": old["id"], "before": before, "after": after, "by_hand": replaced})
            if replaced:
                released.append({"id": old["id"], "by_hand": [name for name in old["by_hand"] if name not in replaced]})
        if changes and self.entry_id is not None:
            update_many(Customer, (*self._fields, "digest"), updates, import_id=self.entry_id, updated_at=now)
            same = {"import_id": self.entry_id, "at": now, "actor": self.actor}
            db.session.execute(sa.insert(CustomerChange), [{**change, **same} for change in changes])
        if released and self.entry_id is not None:
            db.session.execute(sa.update(Customer), released)
        return len(changes)

    def _leave(self, old: Mapping[str, Any], new: dict[str, Any]) -> tuple[int, list[str]]:
        """Leave in a row what staff filled in, unless told to overwrite it; an empty cell never does.

        Returns:
            How many values stand that the file tells otherwise, and the fields that are overwritten.
        """
        filled = [name for name in old["by_hand"] if name in new and new[name] != old[name]]
        disputed = [name for name in filled if new[name]]
        replaced = disputed if self.overwrite else []
        new |= {name: old[name] for name in filled if name not in replaced}
        kept = len(disputed) - len(replaced)
        self.kept += kept
        self.replaced += len(replaced)
        return kept, replaced

    def _note_unchanged(self) -> None:
        with transaction():
            self._advance(self.cursor)

    def _advance(self, cursor: str | None) -> None:
        """Say how far the import has come, if it is still ours.

        Raises:
            StateError: It is not.
        """
        where = [Import.id == self.entry_id, Import.state == "running"]
        where.append(Import.cursor.is_(None) if self.cursor is None else Import.cursor == self.cursor)
        told: Any = db.session.execute(
            sa.update(Import)
            .where(*where)
            .values(cursor=cursor, lease_until=clock.now() + LEASE, **self.counts())
            .execution_options(synchronize_session=False)
        )
        if not told.rowcount:
            raise StateError(
                f"import {self.entry_id} was taken over by somebody else meanwhile",
                remedy="Look at the list of imports",
            )
        self.cursor = cursor
