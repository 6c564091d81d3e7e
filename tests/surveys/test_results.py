from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import Actor
from pilot.analysis import Scale
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import InputError, NotFound
from pilot.mail.models import OutboxMessage
from pilot.surveys import service
from pilot.surveys.models import Wave
from pilot.surveys.results import Answer, RatingCount

from .conftest import SURVEYED, World

Link = Callable[[str], str]


def _answer(path: str, first: dict[str, Any], second: dict[str, Any] | None = None) -> None:
    token = path.removeprefix("/s/")
    service.save_page(token, 1, first, language="en")
    if second is not None:
        service.complete(token, 2, second, language="en", submission_key="key")


@contextmanager
def _customer(world: World, ref: str) -> Iterator[Customer]:
    with transaction() as work:
        yield work.session.get_one(Customer, world.customers[ref])


def _fail_invitation(world: World, ref: str) -> None:
    with transaction() as work:
        work.session.execute(
            sa.update(OutboxMessage).where(OutboxMessage.customer_id == world.customers[ref]).values(state="failed")
        )


def test_every_invitation_has_one_disposition_and_the_first_that_applies(
    app: Flask, world: World, link: Link, operator: Actor
) -> None:
    _answer(link("C0"), {"csat": 5}, {})
    _answer(link("C2"), {"csat": 1})
    _answer(link("C1"), {"csat": 3}, {})
    for ref in ("C1", "C3", "C5"):
        with _customer(world, ref) as customer:
            customer.opted_out_at = clock.now()
    for ref in ("C5", "C7"):
        _fail_invitation(world, ref)
    nothing = dict.fromkeys(("complete", "partial", "refusal", "non_contact", "unknown"), 0)
    expected = {
        "control": nothing | {"complete": 1, "partial": 1, "unknown": 2},
        "pilot": nothing | {"complete": 1, "refusal": 2, "non_contact": 1},
    }
    found = service.dispositions(world.experiment_id)
    assert found == expected
    assert list(found) == ["control", "pilot"]


def test_who_opts_out_after_the_survey_has_closed_did_not_refuse_it(
    sqlite_app: Flask, world: World, link: Link, operator: Actor
) -> None:
    service.close_wave(operator, "desk")
    clock.travel(SURVEYED + timedelta(days=2))
    with _customer(world, "C0") as customer:
        customer.opted_out_at = clock.now()
    assert service.dispositions(world.experiment_id)["control"]["refusal"] == 0


def test_an_experiment_without_a_survey_has_no_dispositions_but_its_arms(sqlite_app: Flask, world: World) -> None:
    assert [sum(numbers.values()) for numbers in service.dispositions(world.experiment_id).values()] == [0, 0]


def test_ratings_are_counted_by_arm_stratum_and_level_from_completed_answers_alone(
    app: Flask, world: World, link: Link
) -> None:
    for ref, level in [("C0", 0), ("C2", 0), ("C4", 0), ("C1", 10), ("C5", 9)]:
        _answer(link(ref), {"csat": 3, "nps": level}, {})
    _answer(link("C6"), {"csat": 3, "nps": 4})
    _answer(link("C7"), {"csat": 3}, {})
    assert service.rating_counts(world.experiment_id, "nps") == [
        RatingCount("control", "north", 0.0, 2),
        RatingCount("control", "south", 0.0, 1),
        RatingCount("pilot", "north", 10.0, 1),
        RatingCount("pilot", "south", 9.0, 1),
    ]
    assert service.rating_counts(world.experiment_id, "nps", "net")[0] == RatingCount("control", "north", -100.0, 2)


def test_a_row_of_a_grid_is_counted_by_its_key(sqlite_app: Flask, world: World, link: Link) -> None:
    _answer(link("C0"), {"csat": 3}, {"service": {"reach": 2}})
    assert service.rating_counts(world.experiment_id, "service", "reach") == [RatingCount("control", "north", 2.0, 1)]
    assert service.rating_counts(world.experiment_id, "service", "reply") == []
    assert service.rating_scale(world.experiment_id, "service", "reply") == (Scale.RATING, (1.0, 2.0, 3.0, 4.0, 5.0))


def test_a_question_the_survey_lacks_is_refused_with_what_there_is(sqlite_app: Flask, world: World, link: Link) -> None:
    with pytest.raises(InputError, match=r"no question 'ces'.*Questions: csat, nps, service, channel, comment"):
        service.rating_counts(world.experiment_id, "ces")
    with pytest.raises(InputError, match=r"no outcome 'mean'.*Outcomes: '', 'net'"):
        service.rating_counts(world.experiment_id, "nps", "mean")
    with pytest.raises(InputError, match="Outcomes: none"):
        service.rating_counts(world.experiment_id, "comment")


def test_ratings_of_an_experiment_without_a_survey_are_not_zero_but_missing(sqlite_app: Flask, world: World) -> None:
    with pytest.raises(NotFound, match="has no survey yet"):
        service.rating_counts(world.experiment_id, "csat")


def test_answers_come_with_arm_stratum_and_whether_they_were_sent(app: Flask, world: World, link: Link) -> None:
    _answer(link("C5"), {"csat": 2})
    _answer(link("C0"), {"csat": 5, "nps": 0}, {"comment": "Zażółć"})
    assert list(service.answers(world.experiment_id)) == [
        Answer("pilot", "south", {"csat": 2}, completed=False),
        Answer("control", "north", {"csat": 5, "nps": 0, "comment": "Zażółć"}, completed=True),
    ]
    db.session.rollback()


def test_dispositions_stand_still_once_the_last_day_is_over(sqlite_app: Flask, world: World, link: Link) -> None:
    closes_at = db.session.scalars(sa.select(Wave.closes_at)).one()
    clock.travel(closes_at + timedelta(days=1))
    with _customer(world, "C0") as customer:
        customer.opted_out_at = clock.now()
    assert service.dispositions(world.experiment_id)["control"]["refusal"] == 0


def test_dispositions_do_not_change_when_a_survey_that_is_over_is_closed(
    sqlite_app: Flask, world: World, link: Link, operator: Actor
) -> None:
    link("C0")
    clock.travel(SURVEYED + timedelta(days=22))
    with _customer(world, "C0") as customer:
        customer.opted_out_at = clock.now()
    before = service.dispositions(world.experiment_id)
    clock.travel(SURVEYED + timedelta(days=23))
    service.close_wave(operator, "desk")
    assert service.dispositions(world.experiment_id) == before
