"""The work list: the right customers in the right order, one worker each, and nothing shown but what is needed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.models import AuditEntry
from pilot.accounts.service import Actor
from pilot.customers.models import Completion, ConfidentialityAcceptance, Customer, CustomerChange
from pilot.customers.people import amending, completion
from pilot.customers.people.completion import FieldErrors
from pilot.customers.people.listing import ListQuery
from pilot.customers.people.progress import progress as how_far
from pilot.db import db, transaction
from pilot.errors import Forbidden, InputError, NotFound, StateError

from ..adding import add

TEXT = "Keep it to yourself."
OPERATOR = Actor("op@example.com", frozenset({"operations"}))
AWAY, DESK = (Actor(f"{name}@example.com", frozenset({role})) for name, role in (("o", "outsourced"), ("a", "agent")))


def build(*rows: dict[str, Any], fields: tuple[str, ...] = ("email", "phone")) -> int:
    add(*rows)
    for worker in (AWAY, DESK):
        completion.accept(worker, TEXT, completion.text_hash(TEXT))
    return completion.build(OPERATOR, fields, ListQuery())


def worth(revenue: float, **fields: Any) -> dict[str, Any]:
    return {**fields, "profile": {"revenue_year": revenue}}


def test_the_most_valuable_come_first_and_only_with_what_they_lack(app: Flask) -> None:
    left = build(worth(10, name="Small"), worth(99, name="Full", email="a@b.example", phone="051"),
                 worth(50, name="Large", email="l@b.example", city="Roma"))  # fmt: skip
    assert left == 2
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    assert (task.name, task.city, task.fields) == ("Large", "Roma", ("phone",))
    assert completion.claim(AWAY, TEXT) == task  # asking again gives no second customer
    other = completion.claim(DESK, TEXT)
    assert other is not None
    assert (other.name, other.city, other.fields) == ("Small", None, ("email", "phone"))
    third = Actor("third@example.com", frozenset({"outsourced"}))
    completion.accept(third, TEXT, completion.text_hash(TEXT))
    assert completion.claim(third, TEXT) is None


def test_what_is_saved_is_a_recorded_change_and_the_imported_row_still_counts_as_known(app: Flask) -> None:
    build(worth(1, name="Alfa", digest="as imported"))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    left = completion.save(AWAY, task.number, {"email": "", "phone": " +39  051 1 ", "name": "Hacked", "channel": "x"})
    assert left is not None
    assert left.fields == ("email",)
    assert completion.save(AWAY, task.number, {"email": "alfa@EXAMPLE.com", "phone": "overwritten?"}) is None
    customer = db.session.scalars(sa.select(Customer)).one()
    assert (customer.name, customer.phone, customer.email) == ("Alfa", "+39 051 1", "alfa@example.com")
    assert (customer.by_hand, customer.digest, customer.channel) == (["email", "phone"], "as imported", None)
    changes = db.session.scalars(sa.select(CustomerChange).order_by(CustomerChange.id)).all()
    assert [(change.actor, change.import_id, change.before, change.after) for change in changes] == [
        ("o@example.com", None, {"phone": None}, {"phone": "+39 051 1"}),
        ("o@example.com", None, {"email": None}, {"email": "alfa@example.com"}),
    ]
    done = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "completed")).all()
    assert [(entry.subject, entry.details) for entry in done] == [
        (f"customer:{customer.id}", {"fields": ["phone"]}),
        (f"customer:{customer.id}", {"fields": ["email"]}),
    ]


def test_a_wrong_entry_saves_nothing_of_the_form(app: Flask) -> None:
    build(worth(1))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    with pytest.raises(FieldErrors) as refused:
        completion.save(AWAY, task.number, {"email": "nobody@nowhere", "phone": "051 123456"})
    assert set(refused.value.errors) == {"email"}
    assert db.session.scalars(sa.select(Customer.phone)).one() is None
    with pytest.raises(FieldErrors) as refused:
        completion.save(AWAY, task.number, {"phone": "1" * 41, "email": ""})
    assert set(refused.value.errors) == {"phone"}


def test_two_workers_never_get_the_same_customer(app: Flask) -> None:
    build(*(worth(n) for n in range(12)))
    got: list[int] = []

    def work(worker: Actor) -> None:
        with app.app_context():
            for _ in range(6):
                task = completion.claim(worker, TEXT)
                assert task is not None
                got.append(task.number)
                completion.give_up(worker, task.number, "nobody answers")
            db.session.remove()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in (AWAY, DESK)]
    db.session.rollback()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 12


def test_a_claim_ends_after_half_an_hour_unless_nobody_else_came(app: Flask) -> None:
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    with clock.travelling(start):
        build(worth(1))
        task = completion.claim(AWAY, TEXT)
        assert task is not None
        assert timedelta(minutes=29) < task.until - start < timedelta(minutes=31)
        assert completion.claim(DESK, TEXT) is None
    with clock.travelling(start + timedelta(minutes=31)):
        assert completion.claimed(AWAY) is None
        left = completion.save(AWAY, task.number, {"phone": "051 123"})  # late, but nobody else has it
        assert left is not None
    with clock.travelling(start + timedelta(minutes=90)):
        taken = completion.claim(DESK, TEXT)
        assert taken is not None
        assert taken.number == task.number
        with pytest.raises(StateError):
            completion.save(AWAY, task.number, {"email": "late@example.com"})
        completion.give_back(DESK, task.number)
        with pytest.raises(NotFound):
            completion.give_back(DESK, task.number)
    assert db.session.scalars(sa.select(Customer.email)).one() is None


def test_only_ones_own_task_can_be_settled(app: Flask) -> None:
    build(worth(1))
    number = db.session.scalars(sa.select(Completion.id)).one()
    for act in (
        lambda: completion.save(AWAY, number, {"phone": "051 123"}),
        lambda: completion.give_up(AWAY, number, "guess"),
        lambda: completion.save(AWAY, 10**6, {"phone": "051 123"}),
    ):
        with pytest.raises(NotFound):
            act()


def test_giving_up_takes_a_reason_and_is_final(app: Flask) -> None:
    build(worth(1, name="Closed shop"))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    for nothing in (" ", "x" * 401):
        with pytest.raises(FieldErrors):
            completion.give_up(AWAY, task.number, nothing)
    completion.give_up(AWAY, task.number, "closed for good")
    assert completion.build(OPERATOR, ("email",), ListQuery()) == 0
    progress = how_far(OPERATOR)
    assert (progress.waiting, progress.done, progress.impossible) == (0, 0, 1)
    assert progress.people == [("o@example.com", 0, 1)]
    assert progress.reasons == [("Closed shop", "closed for good", "o@example.com")]
    assert progress.days[0][1] == 1


def test_what_an_import_brought_meanwhile_is_asked_of_nobody(app: Flask) -> None:
    first, _second = add(worth(9), worth(1))
    build()
    with transaction() as work:
        work.session.execute(sa.update(Customer).where(Customer.id == first).values(email="a@b.example", phone="1"))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    assert task.name == "Customer 1"


def test_the_list_is_made_anew_around_what_is_worked_on(app: Flask) -> None:
    build(worth(9, region="South"), worth(5, region="North"), worth(1, region="North"))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    assert completion.build(OPERATOR, ("email",), ListQuery(region="North")) == 3  # and the one that is claimed
    assert completion.save(AWAY, task.number, {"email": "s@example.com", "phone": "051 123"}) is None
    other = completion.claim(AWAY, TEXT)
    assert other is not None
    assert other.fields == ("email",)
    assert completion.build(OPERATOR, ("sector",), ListQuery(region="South")) == 2  # the completed one lacks that too
    for wrong in ((), ("digest",), ("name",)):
        with pytest.raises(InputError):
            completion.build(OPERATOR, wrong, ListQuery())


def test_nobody_sees_a_customer_before_accepting_the_very_text(app: Flask) -> None:
    build(worth(1))
    changed = TEXT + " Truly."
    with pytest.raises(Forbidden):
        completion.claim(AWAY, changed)
    with pytest.raises(StateError):
        completion.accept(AWAY, changed, completion.text_hash(TEXT))
    completion.accept(AWAY, changed, completion.text_hash(changed))
    completion.accept(AWAY, changed, completion.text_hash(changed))
    assert completion.claim(AWAY, changed) is not None
    kept = db.session.scalars(
        sa.select(ConfidentialityAcceptance.text_hash).where(ConfidentialityAcceptance.actor == AWAY.name)
    )
    # printf '%s' 'Keep it to yourself.' | sha256sum, and the same with ' Truly.'
    assert set(kept) == {
        "f55753a194e57c178ba537c043b9c4149ef561efcff2bc9d99f5acb33738f73d",
        "521939108acc84cb6504dd79be13d0c2314f6a007dd59c545322d9adcf816e4f",
    }


@pytest.mark.parametrize("role", ["operations", "analyst", "viewer"])
def test_who_is_no_worker_takes_no_task(sqlite_app: Flask, role: str) -> None:
    with pytest.raises(Forbidden):
        completion.claim(Actor("x", frozenset({role})), TEXT)


@pytest.mark.parametrize("role", ["outsourced", "agent", "analyst", "viewer"])
def test_who_is_not_of_operations_manages_no_list(sqlite_app: Flask, role: str) -> None:
    actor = Actor("x", frozenset({role}))
    with pytest.raises(Forbidden):
        completion.build(actor, ("email",), ListQuery())
    with pytest.raises(Forbidden):
        how_far(actor)


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("phone", "abc"),
        ("phone", "brak"),
        ("phone", "12345"),
        ("phone", "1234567890123456"),
        ("legal_entity", "123"),
        ("legal_entity", "brak numeru"),
        ("postcode", "4012"),
        ("city", "-"),
        ("street", "???"),
    ],
)
def test_what_can_hardly_be_meant_is_refused(app: Flask, field: str, typed: str) -> None:
    build(worth(1, language="pl"), fields=(field,))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    with pytest.raises(FieldErrors) as refused:
        completion.save(AWAY, task.number, {field: typed})
    assert (set(refused.value.errors), set(refused.value.doubts)) == ({field}, set())
    assert completion.claimed(AWAY) == task


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("phone", "+48 (22) 123-45-67"),
        ("phone", "112 233"),
        ("legal_entity", "PL 526-025-09-95"),  # Ministry of Finance
        ("legal_entity", "IT00905811006"),  # Eni S.p.A.
        ("legal_entity", "RSSMRA85T10A562S"),  # the example of the Agenzia delle Entrate
        ("legal_entity", "DE 136695976"),
        ("postcode", "00-916"),
    ],
)
def test_what_may_be_right_is_taken(app: Flask, field: str, typed: str) -> None:
    build(worth(1, language="pl"), fields=(field,))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    assert completion.save(AWAY, task.number, {field: typed}) is None


@pytest.mark.parametrize("typed", ["526-025-09-96", "IT00905811007"])
def test_a_wrong_check_digit_is_asked_about_and_taken_when_one_insists_on_this_very_number(
    app: Flask, typed: str
) -> None:
    build(worth(1), fields=("legal_entity",))
    task = completion.claim(AWAY, TEXT)
    assert task is not None
    for sure in ({}, {"sure-legal_entity": "526-025-09-97"}):
        with pytest.raises(FieldErrors) as asked:
            completion.save(AWAY, task.number, {"legal_entity": typed, **sure})
        assert asked.value.doubts == {"legal_entity"}
    assert completion.save(AWAY, task.number, {"legal_entity": typed, "sure-legal_entity": typed}) is None
    assert db.session.scalars(sa.select(Customer.legal_entity)).one() == typed


def test_the_counts_of_the_progress_add_up(app: Flask) -> None:
    build(*(worth(n) for n in range(4)))
    for settle in (lambda number: completion.save(AWAY, number, {"email": "a@b.example", "phone": "051 123"}),
                   lambda number: completion.give_up(AWAY, number, "closed"), lambda number: None):  # fmt: skip
        task = completion.claim(AWAY, TEXT)
        assert task is not None
        settle(task.number)
    far = how_far(OPERATOR)
    assert (far.waiting, far.claimed, far.done, far.impossible) == (1, 1, 1, 1)
    assert (far.settled, far.all) == (2, 4)


def test_what_one_has_filled_in_can_be_corrected_for_half_an_hour_by_oneself(app: Flask) -> None:
    with clock.travelling(datetime(2026, 3, 2, 9, tzinfo=UTC)):
        build(worth(1, name="Alfa", city="Roma"), fields=("email", "phone"))
        task = completion.claim(AWAY, TEXT)
        assert task is not None
        completion.save(AWAY, task.number, {"email": "a@b.example", "phone": "051 123"})
        found = amending.filled(AWAY, task.number)
        assert found is not None
        assert (found.name, found.values) == ("Alfa", {"email": "a@b.example", "phone": "051 123"})
        assert amending.filled(DESK, task.number) is None
        with pytest.raises(FieldErrors) as refused:
            amending.amend(AWAY, task.number, {"email": "", "phone": "051 124"})
        assert set(refused.value.errors) == {"email"}
        changed = amending.amend(AWAY, task.number, {"email": "a@b.example", "phone": "051 124", "city": "Hacked"})
        assert changed.values == {"email": "a@b.example", "phone": "051 124"}
        with transaction() as work:
            customer = work.session.scalars(sa.select(Customer)).one()
            assert (customer.phone, customer.city) == ("051 124", "Roma")
            customer.email = "from@import.example"
        found = amending.filled(AWAY, task.number)
        assert found is not None
        assert set(found.values) == {"phone"}, "what somebody else has changed is not shown"
    with clock.travelling(datetime(2026, 3, 2, 9, 31, tzinfo=UTC)):
        assert amending.filled(AWAY, task.number) is None
        with pytest.raises(NotFound):
            amending.amend(AWAY, task.number, {"phone": "051 125"})
