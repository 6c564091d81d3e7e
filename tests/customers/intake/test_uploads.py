"""Uploaded files wait under a token, are worked off in order, and do not stay."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from flask import Flask

from pilot import clock
from pilot.customers.intake import uploads
from pilot.errors import InputError, NotFound


def test_orders_are_worked_off_oldest_first_and_once(sqlite_app: Flask) -> None:
    first, second, idle = (uploads.keep(io.BytesIO(b"x"), f"{n}.csv", "orders") for n in range(3))
    second.give_order({"what": "take"})
    clock.travel(clock.now() + timedelta(seconds=1))
    first.give_order({"what": "take"})
    assert [upload.token for upload in uploads.waiting()] == [second.token, first.token]
    second.settle({"import_id": 1})
    assert uploads.waiting() == [first]
    assert uploads.find(idle.token).order is None


def test_what_nobody_takes_in_is_removed_but_not_what_waits_for_work(sqlite_app: Flask) -> None:
    idle, ordered = (uploads.keep(io.BytesIO(b"x"), "a.csv", "orders") for _ in range(2))
    ordered.give_order({"what": "take"})
    assert uploads.sweep() == 0
    clock.travel(clock.now() + timedelta(days=uploads.KEPT_DAYS, minutes=1))
    assert uploads.sweep() == 1
    assert uploads.find(ordered.token).path == ordered.path
    with pytest.raises(NotFound):
        uploads.find(idle.token)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\data\\ordini.csv", "ordini.csv"), ("<b>.csv", "_b_.csv"), ("a\nb.csv", "a_b.csv")],
)  # fmt: skip
def test_a_name_leads_nowhere_else(sqlite_app: Flask, given: str, kept: str) -> None:
    upload = uploads.keep(io.BytesIO(b"x"), given, "orders")
    assert upload.path is not None
    assert upload.path.name == kept
    assert upload.path.read_bytes() == b"x"


@pytest.mark.parametrize(("content", "name"), [(b"", "a.csv"), (b"x", ""), (b"x", "..")])
def test_nothing_is_kept_of_nothing(sqlite_app: Flask, content: bytes, name: str) -> None:
    with pytest.raises(InputError):
        uploads.keep(io.BytesIO(content), name, "orders")
    root = sqlite_app.extensions["pilot.config"].data_dir / "uploads"
    assert not root.is_dir() or not list(root.iterdir())
