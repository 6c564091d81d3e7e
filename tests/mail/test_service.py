from __future__ import annotations

import contextlib
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import SYSTEM, Actor, trail
from pilot.api import Event, MailQueued, MailSettled, hookimpl
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import Forbidden, NotFound, StateError
from pilot.mail import outbox, service
from pilot.mail.models import OutboxMessage

from .conftest import compose, fill, row, states

LATER = outbox.LEASE + timedelta(seconds=1)


def files(app: Flask) -> list[Path]:
    return list((app.extensions["pilot.config"].data_dir / "mail" / "new").glob("*.eml"))


def add_plugin(app: Flask, plugin: object) -> None:
    app.extensions["pilot.plugins"].manager.register(plugin)


def test_queueing_a_key_again_changes_nothing(app: Flask) -> None:
    (first,) = fill(app, "anna")
    kept = row(first).message_id
    with transaction():
        assert service.queue_many("test", [(1, "test:1", 1), (2, "test:2", 1), (2, "test:2", 1)], 7) == 1
        assert not service.queue("test", 1, "test:1", 1)
        assert service.queue("test", 1, "another", 1)
    assert row(first).message_id == kept
    assert service.counts()["queued"] == 3


def test_what_is_queued_in_a_transaction_that_fails_was_never_queued(app: Flask) -> None:
    fill(app, "anna")
    with contextlib.suppress(KeyError), transaction():
        service.queue("test", 1, "lost", 1)
        raise KeyError
    assert service.counts()["queued"] == 1


def test_counts_are_told_by_experiment_and_kind_with_zeros(app: Flask) -> None:
    fill(app, "anna", "bruno")
    service.send_due(limit=1)
    assert service.counts(experiment_id=7) == {
        "queued": 1, "claimed": 0, "handing_over": 0, "sent": 1, "failed": 0, "uncertain": 0, "withdrawn": 0,
    }  # fmt: skip
    assert sum(service.counts(experiment_id=8).values()) == 0
    assert sum(service.counts(kind="notice").values()) == 0


def test_what_is_due_is_sent_once_and_what_is_not_due_waits(app: Flask) -> None:
    fill(app, "anna", "bruno")
    fill(app, "carla", due_at=clock.now() + timedelta(days=1))
    told: list[tuple[int, int]] = []
    assert service.send_due(progress=lambda *args: told.append(args)) == service.SendResult(sent=2)
    assert told == [(1, 2), (2, 2)]
    assert service.send_due() == service.SendResult()
    assert states() == {"anna": "sent", "bruno": "sent", "carla": "queued"}
    assert sorted(path.name.partition("@")[0] for path in files(app)) == ["anna", "bruno"]


def test_a_composer_that_breaks_fails_its_message_and_no_other(app: Flask) -> None:
    def composer(message: OutboxMessage) -> service.Content | service.Withhold:
        if message.subject_id == 2:
            raise KeyError("no such text")
        if message.subject_id == 3:
            db.session.execute(sa.text("SELECT * FROM nowhere"))
        return service.Withhold("closed") if message.subject_id == 4 else compose(message)

    ids = fill(app, "anna", "bug", "sql", "late", "", "erika", composer=composer)
    result = service.send_due()
    assert states() == {
        "anna": "sent", "bug": "failed", "late": "withdrawn", "": "failed", "erika": "sent",
        "sql": "queued" if db.engine.dialect.name == "sqlite" else "failed",  # SQLite cannot tell it from a full disk
    }  # fmt: skip
    assert result.sent == 2
    assert row(ids[1]).reply == "KeyError: 'no such text'"
    assert row(ids[3]).reply == "closed"
    assert "no e-mail address" in (row(ids[4]).reply or "")


def test_a_message_nobody_composes_fails_with_that_reason(sqlite_app: Flask) -> None:
    (known,) = fill(sqlite_app, "anna")
    with transaction():
        service.queue("unheard", 1, "unheard:1", 1)
    assert service.send_due() == service.SendResult(sent=1, failed=1)
    assert row(known + 1).reply == "nobody composes messages of the kind 'unheard'"


def test_whoever_opts_out_before_the_hand_over_gets_nothing(app: Flask) -> None:
    def composer(message: OutboxMessage) -> service.Content:
        if message.state == "claimed":  # the first time of two: the mail is composed, its mark is not yet set
            with transaction():
                db.session.execute(
                    sa.update(Customer).where(Customer.id == message.customer_id).values(opted_out_at=clock.now())
                )
        return compose(message)

    (message_id,) = fill(app, "anna", composer=composer)
    assert service.send_due() == service.SendResult(withdrawn=1)
    assert row(message_id).reply == "the customer wants no mail"
    assert files(app) == []


def test_a_plugin_can_give_a_reason_not_to_send(sqlite_app: Flask) -> None:
    class Sundays:
        @hookimpl
        def suppress_delivery(self, message: OutboxMessage) -> str | None:
            return "not on Sundays" if message.subject_id == 1 else None

    add_plugin(sqlite_app, Sundays())
    first, _ = fill(sqlite_app, "anna", "bruno")
    assert service.send_due() == service.SendResult(sent=1, withdrawn=1)
    assert row(first).reply == "not on Sundays"


def test_observers_hear_how_each_message_ended(sqlite_app: Flask) -> None:
    heard: list[Event] = []

    class Observer:
        @hookimpl
        def on_event(self, event: Event) -> None:
            heard.append(event)

    add_plugin(sqlite_app, Observer())
    anna, nobody = fill(sqlite_app, "anna", "")
    service.send_due()
    assert heard[0] == MailQueued("test", 2)
    assert heard[1:] == [MailSettled(anna, "test", "sent"), MailSettled(nobody, "test", "failed")]


def test_workers_at_once_send_everything_and_nothing_twice(app: Flask) -> None:
    fill(app, *(f"k{number}" for number in range(60)))
    results: list[service.SendResult] = []

    def work() -> None:
        with app.app_context():
            results.append(service.send_due())
            db.session.remove()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(result.sent for result in results) == 60
    assert Counter(path.name.partition("@")[0] for path in files(app)) == Counter(f"k{n}" for n in range(60))
    assert service.counts()["sent"] == 60


def test_a_worker_that_slept_past_its_lease_sends_nothing_it_no_longer_owns(app: Flask) -> None:
    composed = 0

    def composer(message: OutboxMessage) -> service.Content:
        nonlocal composed
        composed += 1
        if composed == 1:  # this worker sleeps; another finds the expired claim and sends the mail
            clock.travel(clock.now() + LATER)
            assert service.send_due() == service.SendResult(sent=1)
        return compose(message)

    fill(app, "anna", composer=composer)
    assert service.send_due() == service.SendResult()
    assert len(files(app)) == 1


def test_an_expired_claim_is_queued_again_and_a_live_one_is_left_alone(app: Flask) -> None:
    fill(app, "anna")
    outbox.claim("dead worker", 5)
    assert service.sweep() == service.Swept(0, 0)
    with clock.travelling(clock.now() + LATER):
        assert service.sweep() == service.Swept(1, 0)
        assert service.send_due().sent == 1


def test_a_hand_over_without_an_end_is_uncertain_until_a_person_decides(app: Flask) -> None:
    (message_id,) = fill(app, "anna")
    outbox.claim("dead worker", 5)
    with transaction():
        assert outbox.mark_handing_over(message_id, "dead worker")
    with clock.travelling(clock.now() + LATER):
        assert service.send_due() == service.SendResult(uncertain=1)
        assert service.send_due() == service.SendResult()
        assert [message.id for message in service.uncertain()] == [message_id]
        before = row(message_id).message_id
        service.resend(SYSTEM, message_id)
        assert service.send_due() == service.SendResult(sent=1)
    assert row(message_id).message_id == before
    assert [entry.action for entry in trail(f"message:{message_id}")] == ["resent"]


def test_a_reply_that_comes_after_the_sweep_still_settles_the_message(app: Flask) -> None:
    (message_id,) = fill(app, "anna")
    outbox.claim("slow worker", 5)
    with transaction():
        outbox.mark_handing_over(message_id, "slow worker")
    with clock.travelling(clock.now() + LATER):
        service.sweep()
        assert outbox.settle(message_id, "slow worker", "sent", "250 OK")
    assert states() == {"anna": "sent"}


def test_only_operations_may_send_again_and_only_what_did_not_arrive(sqlite_app: Flask) -> None:
    (message_id,) = fill(sqlite_app, "anna")
    with pytest.raises(Forbidden):
        service.resend(Actor("visitor", frozenset({"viewer"})), message_id)
    with pytest.raises(NotFound):
        service.resend(SYSTEM, message_id + 1)
    service.send_due()
    with pytest.raises(StateError, match="is sent"):
        service.resend(SYSTEM, message_id)


def test_sending_inside_a_transaction_is_refused_before_anything_goes_out(sqlite_app: Flask) -> None:
    fill(sqlite_app, "anna")
    with pytest.raises(RuntimeError, match="inside a transaction"), transaction():
        service.send_due()
    assert states() == {"anna": "queued"}


def test_an_interrupted_run_gives_back_what_it_had_not_begun(app: Flask) -> None:
    def composer(message: OutboxMessage) -> service.Content:
        if message.subject_id == 2:
            raise KeyboardInterrupt
        return compose(message)

    _, second, _ = fill(app, "anna", "bruno", "carla", composer=composer)
    with pytest.raises(KeyboardInterrupt):
        service.send_due()
    assert states() == {"anna": "sent", "bruno": "queued", "carla": "queued"}
    assert row(second).attempts == 0
