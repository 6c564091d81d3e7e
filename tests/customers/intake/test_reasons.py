"""Every reason that an import gives is one that pages can say in the reader's language."""

from __future__ import annotations

import pytest
from flask import Flask

from pilot.accounts.service import Actor
from pilot.customers.intake import reasons
from pilot.customers.intake.service import import_file
from tests.customers.conftest import Write

FILES = {
    "customers": ("ref;name;email;city", ";x;;", "1;a;b;", f"2;{'x' * 300};;", "3;a;;\x07", "4;a;;", "4;b;;", "5;a", '6;"a"b;;', f"7;{'x' * 140_000};;"),
    "orders": ("customer_ref;order_ref;ordered_on;amount", ";A;31/12/2025;1,5", "1;;31/12/2025;1,5", "1;A;;1,5",
               "1;A;31/12/2025;", "1;A;soon;1,5", "1;A;31/12/2999;1,5", "1;A;1/1/1900;1,5", "1;A;31/12/2025;1.5", f"1;A;31/12/2025;{'9' * 20}"),
    "touches": ("customer_ref;happened_on;channel;kind;minutes", "1;31/12/2025;;call;1", "1;31/12/2025;fax;call;1",
                "1;31/12/2025;field-rep;dance;1", "1;31/12/2025;field-rep;call;", "1;31/12/2025;field-rep;call;-1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_every_reason_is_known_to_the_pages(
    sqlite_app: Flask, operator: Actor, write: Write, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = import_file(operator, kind, write("a.csv", *FILES[kind]), dry_run=True).errors
    assert len(errors) >= len(FILES[kind]) - 3
    monkeypatch.setattr(reasons, "gettext", lambda english, **given: f"<{english % given if given else english}>")
    for error in errors:
        told = reasons.in_words(error.reason)
        assert told.startswith("<"), error.reason
        assert told.replace("<", "").replace(">", "") == error.reason


def test_what_nobody_foresaw_stands_as_it_is(sqlite_app: Flask) -> None:
    assert reasons.in_words("the moon is full; 100 % so") == "the moon is full; 100 % so"
