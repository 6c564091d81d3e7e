from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor, trail
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import Forbidden, InputError, NotFound, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import canonical, plan_hash
from pilot.mail.models import OutboxMessage
from pilot.mail.service import Content, Withhold
from pilot.surveys import service
from pilot.surveys.definition import SurveyDefinition
from pilot.surveys.models import Invitation, Response, Survey, Wave

from .conftest import SURVEYED, World


@pytest.fixture
def wave(world: World, operator: Actor) -> Wave:
    return service.open_wave(operator, "desk")


@pytest.fixture
def reword(definition: SurveyDefinition) -> SurveyDefinition:
    return definition.model_copy(update={"thanks": {**definition.thanks, "en": "Cheers."}})


def _change(model: type[Any], condition: Any, **values: Any) -> None:
    with transaction() as work:
        work.session.execute(sa.update(model).where(condition).values(**values))


def _all_sent() -> None:
    _change(OutboxMessage, OutboxMessage.kind == "invitation", state="sent")


def _invitation(world: World, ref: str) -> int:
    return db.session.scalars(sa.select(Invitation.id).where(Invitation.customer_id == world.customers[ref])).one()


def _mail(world: World, ref: str, kind: str = "invitation") -> Content | Withhold:
    return service.compose_invitation(OutboxMessage(kind=kind, subject_id=_invitation(world, ref)))


def _answer(world: World, ref: str, *, half: bool = False) -> None:
    token = service.token_for(_invitation(world, ref))
    service.save_page(token, 1, {"csat": 4}, language="en")
    if not half:
        service.complete(token, 2, {}, language="en", submission_key="k")


def test_publishing_the_same_content_again_is_the_same_version(
    app: Flask, operator: Actor, definition: SurveyDefinition, reword: SurveyDefinition
) -> None:
    first = service.publish(operator, definition).id
    assert service.publish(operator, definition).id == first
    assert service.publish(operator, reword).version == 2
    assert service.latest_version("satisfaction") == (2, reword.digest())
    assert service.publish(operator, definition).version == 3
    assert db.session.scalar(sa.select(sa.func.count(Survey.id))) == 3


def test_a_survey_that_was_never_published_has_no_version(sqlite_app: Flask) -> None:
    assert service.latest_version("satisfaction") is None


def test_a_definition_with_a_fault_is_not_published(
    sqlite_app: Flask, operator: Actor, definition: SurveyDefinition
) -> None:
    with pytest.raises(InputError, match=r"satisfaction: title\.pl: the Polish text is missing"):
        service.publish(operator, definition.model_copy(update={"title": {"en": "A", "it": "B"}}))
    assert service.latest_version("satisfaction") is None


def test_a_wave_invites_every_unit_of_all_arms_once(app: Flask, world: World, wave: Wave) -> None:
    invited = db.session.execute(
        sa.select(Unit.arm, sa.func.count(Invitation.id), sa.func.count(OutboxMessage.id))
        .join(Invitation, Invitation.customer_id == Unit.customer_id)
        .join(OutboxMessage, OutboxMessage.subject_id == Invitation.id)
        .where(OutboxMessage.kind == "invitation", OutboxMessage.due_at <= clock.now())
        .group_by(Unit.arm)
        .order_by(Unit.arm)
    ).all()
    assert invited == [("control", 4, 4), ("pilot", 4, 4)]
    assert trail("experiment:desk")[-1].details == {"wave": 1, "invitations": 8}


def test_customers_can_answer_to_the_end_of_the_last_day_where_the_company_is(
    sqlite_app: Flask, world: World, wave: Wave
) -> None:
    assert wave.closes_at == datetime(2026, 7, 22, 22, tzinfo=UTC)  # midnight in Rome, in summer


def test_customers_are_written_to_in_their_language_or_else_the_companys(
    sqlite_app: Flask, world: World, wave: Wave
) -> None:
    languages = db.session.execute(
        sa.select(Customer.ref, Invitation.language).join(Invitation, Invitation.customer_id == Customer.id)
    )
    assert {ref: language for ref, language in languages if ref in ("C0", "C1", "C2", "C3")} == {
        "C0": "en",
        "C1": "it",
        "C2": "pl",
        "C3": "en",
    }


def test_no_link_can_be_read_out_of_the_database(sqlite_app: Flask, world: World, wave: Wave) -> None:
    tokens = [service.token_for(number) for number in db.session.scalars(sa.select(Invitation.id))]
    connection = db.session.connection().connection.driver_connection
    assert connection is not None
    dump = "\n".join(connection.iterdump())
    assert len(set(tokens)) == 8
    assert {len(token) for token in tokens} == {43}
    assert not [token for token in tokens if token in dump]


@pytest.mark.parametrize("state", ["draft", "sealed", "drawn", "closed", "decided", "stopped"])
def test_only_a_running_experiment_is_surveyed(sqlite_app: Flask, world: World, operator: Actor, state: str) -> None:
    _change(Experiment, Experiment.key == "desk", state=state)
    with pytest.raises(StateError, match=f"experiment desk: it is {state}"):
        service.open_wave(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count(OutboxMessage.id))) == 0


def test_a_survey_is_opened_once(sqlite_app: Flask, world: World, wave: Wave, operator: Actor) -> None:
    with pytest.raises(StateError, match="opened before"):
        service.open_wave(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count(Invitation.id))) == 8


def test_of_two_who_open_a_survey_at_once_one_is_refused(app: Flask, world: World, operator: Actor) -> None:
    together, outcomes = threading.Barrier(2), []

    def act() -> None:
        with app.app_context():
            together.wait()
            try:
                service.open_wave(operator, "desk")
                outcomes.append("opened")
            except StateError:
                outcomes.append("refused")
            finally:
                db.session.remove()

    threads = [threading.Thread(target=act) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened", "refused"]
    assert db.session.scalar(sa.select(sa.func.count(Invitation.id))) == 8


def test_a_survey_is_not_opened_while_handling_lasts(sqlite_app: Flask, world: World, operator: Actor) -> None:
    clock.travel(SURVEYED - timedelta(days=1))
    with pytest.raises(StateError, match="handling lasts until 2026-07-01"):
        service.open_wave(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count(OutboxMessage.id))) == 0


def test_a_survey_is_not_opened_when_its_time_is_over(sqlite_app: Flask, world: World, operator: Actor) -> None:
    clock.travel(SURVEYED + timedelta(days=22))
    with pytest.raises(StateError, match="until 2026-07-22 only"):
        service.open_wave(operator, "desk")


def test_only_operations_publish_open_remind_and_close(
    sqlite_app: Flask, world: World, wave: Wave, definition: SurveyDefinition
) -> None:
    viewer = Actor("viewer@example.com", frozenset({"viewer"}))
    for act in (service.open_wave, service.remind, service.close_wave):
        with pytest.raises(Forbidden):
            act(viewer, "desk")
    with pytest.raises(Forbidden):
        service.publish(viewer, definition)


def test_only_those_are_reminded_who_got_an_invitation_and_have_not_answered(
    app: Flask, world: World, wave: Wave, operator: Actor
) -> None:
    _all_sent()
    _change(OutboxMessage, OutboxMessage.subject_id == _invitation(world, "C0"), state="failed")
    _change(OutboxMessage, OutboxMessage.subject_id == _invitation(world, "C1"), state="queued")
    _change(Customer, Customer.ref == "C2", opted_out_at=clock.now())
    _answer(world, "C3")
    _answer(world, "C4", half=True)
    clock.travel(clock.now() + service.PAUSE)
    assert service.remind(operator, "desk") == 4
    reminded = db.session.scalars(
        sa.select(Customer.ref)
        .join(OutboxMessage, OutboxMessage.customer_id == Customer.id)
        .where(OutboxMessage.kind == "reminder")
        .order_by(Customer.ref)
    )
    assert list(reminded) == ["C4", "C5", "C6", "C7"]


def test_nobody_is_reminded_a_third_time(sqlite_app: Flask, world: World, wave: Wave, operator: Actor) -> None:
    _all_sent()
    for _ in range(2):
        with pytest.raises(StateError, match="Leave customers 3 days between two mails"):
            service.remind(operator, "desk")
        clock.travel(clock.now() + service.PAUSE)
        assert service.remind(operator, "desk") == 8
    with pytest.raises(StateError, match="has had 2 reminders"):
        service.remind(operator, "desk")
    assert db.session.scalar(sa.select(sa.func.count()).where(OutboxMessage.kind == "reminder")) == 16


def test_who_has_begun_gets_another_reminder(sqlite_app: Flask, world: World, wave: Wave) -> None:
    _answer(world, "C0", half=True)
    begun, silent = _mail(world, "C0", "reminder"), _mail(world, "C4", "reminder")
    assert isinstance(begun, Content)
    assert isinstance(silent, Content)
    assert (begun.subject, silent.subject) == (
        "Almost done: Your view of our service",
        "Reminder: Your view of our service",
    )
    assert "one page is left" in begun.text


def test_an_invitation_carries_the_personal_link_of_the_configured_site(
    sqlite_app: Flask, world: World, wave: Wave
) -> None:
    mail = _mail(world, "C2")
    assert isinstance(mail, Content)
    address = f"http://127.0.0.1:8000/s/{service.token_for(_invitation(world, 'C2'))}"
    assert mail.language == "pl"
    assert mail.subject == "Państwa opinia o naszej obsłudze"
    assert address in mail.text
    assert f'href="{address}"' in mail.html


def test_a_mail_is_withheld_once_it_has_no_more_reason(
    sqlite_app: Flask, world: World, wave: Wave, operator: Actor
) -> None:
    _answer(world, "C0")
    _change(Customer, Customer.ref == "C1", opted_out_at=clock.now())
    assert _mail(world, "C0", "reminder") == Withhold("the customer has answered")
    assert _mail(world, "C1") == Withhold("the customer has opted out")
    assert isinstance(_mail(world, "C2"), Content)
    service.close_wave(operator, "desk")
    assert _mail(world, "C2") == Withhold("the survey is closed")
    with pytest.raises(StateError, match="closed"):
        service.remind(operator, "desk")
    with pytest.raises(StateError, match="closed already"):
        service.close_wave(operator, "desk")


def test_an_experiment_without_a_wave_says_how_to_open_one(sqlite_app: Flask, world: World, operator: Actor) -> None:
    with pytest.raises(NotFound, match="pilot survey wave desk"):
        service.close_wave(operator, "desk")


def test_a_wave_uses_the_version_that_was_sealed(
    sqlite_app: Flask, world: World, operator: Actor, reword: SurveyDefinition
) -> None:
    experiment = db.session.scalars(sa.select(Experiment)).one()
    plan = experiments.plan_of(experiment).model_copy(update={"survey_version": 1})
    _change(Experiment, Experiment.key == "desk", plan=canonical(plan), plan_hash=plan_hash(plan))
    service.publish(operator, reword)
    assert service.open_wave(operator, "desk").survey.version == 1


def test_the_database_itself_allows_one_answer_per_link(app: Flask, world: World, wave: Wave) -> None:
    row = {
        "invitation_id": _invitation(world, "C0"),
        "answers": {},
        "pages": 1,
        "language": "en",
        "started_at": SURVEYED,
        "saved_at": SURVEYED,
    }
    with transaction() as work:
        work.session.add(Response(**row))
    with pytest.raises(sa.exc.IntegrityError), transaction() as work:
        work.session.add(Response(**row))


def test_closing_waits_for_an_answer_that_is_being_saved(app: Flask, world: World, wave: Wave, operator: Actor) -> None:
    token = service.token_for(_invitation(world, "C0"))

    def close() -> None:
        with app.app_context():
            service.close_wave(operator, "desk")
            db.session.remove()

    closing = threading.Thread(target=close)
    with transaction():
        service.save_page(token, 1, {"csat": 4}, language="en")
        closing.start()
        closing.join(0.5)
        assert closing.is_alive()
    closing.join()
    with pytest.raises(StateError, match="this survey is closed"):
        service.save_page(token, 1, {"csat": 5}, language="en")
