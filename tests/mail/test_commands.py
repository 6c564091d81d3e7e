from __future__ import annotations

import json

from flask import Flask

from pilot.db import transaction
from pilot.errors import InputError, NotFound, StateError
from pilot.mail import outbox
from pilot.mail.commands import mail
from pilot.mail.models import OutboxMessage

from .conftest import fill, states


def test_sending_prints_one_document_and_may_be_limited(sqlite_app: Flask) -> None:
    fill(sqlite_app, "anna", "bruno", "")
    first = sqlite_app.test_cli_runner().invoke(mail, ["send", "--limit", "1", "--json"])
    assert json.loads(first.stdout) == {"sent": 1, "failed": 0, "uncertain": 0, "withdrawn": 0, "deferred": 0}
    rest = sqlite_app.test_cli_runner().invoke(mail, ["send"])
    assert rest.stdout == "1 sent, 0 to be tried again, 1 failed, 0 withdrawn, 0 uncertain.\n"
    assert sqlite_app.test_cli_runner().invoke(mail, ["send", "--limit", "0"]).exit_code == 2


def test_the_status_lists_what_a_person_must_decide(sqlite_app: Flask) -> None:
    message_id, _ = fill(sqlite_app, "anna", "bruno")
    outbox.claim("dead worker", 1)
    with transaction():
        outbox.mark_handing_over(message_id, "dead worker")
    outbox.release("dead worker")
    told = json.loads(sqlite_app.test_cli_runner().invoke(mail, ["status", "--json"]).stdout)
    assert told["counts"]["uncertain"] == told["counts"]["queued"] == 1
    assert [(row["id"], row["key"]) for row in told["troubles"]] == [(message_id, "test:1")]
    text = sqlite_app.test_cli_runner().invoke(mail, ["status"]).stdout
    assert "test:1" in text
    assert "the run was interrupted before the reply came" in text


def test_what_failed_is_sent_again_when_a_person_says_so(sqlite_app: Flask) -> None:
    message_id, _ = fill(sqlite_app, "anna", "bruno")
    with transaction() as work:
        work.session.get_one(OutboxMessage, message_id).state = "failed"
    run = sqlite_app.test_cli_runner()
    assert json.loads(run.invoke(mail, ["resend", "--failed", "--json"]).stdout) == {"queued": 1}
    assert json.loads(run.invoke(mail, ["send", "--json"]).stdout)["sent"] == 2
    assert isinstance(run.invoke(mail, ["resend", str(message_id)]).exception, StateError)


def test_uncertain_messages_are_sent_again_by_their_numbers_alone(sqlite_app: Flask) -> None:
    anna, bruno, carla = fill(sqlite_app, "anna", "bruno", "carla")
    with transaction() as work:
        for number, state in ((anna, "uncertain"), (bruno, "failed"), (carla, "failed")):
            work.session.get_one(OutboxMessage, number).state = state
    run = sqlite_app.test_cli_runner()
    assert isinstance(run.invoke(mail, ["resend"]).exception, InputError)
    assert isinstance(run.invoke(mail, ["resend", str(carla), "9999"]).exception, NotFound)
    assert states() == {"anna": "uncertain", "bruno": "failed", "carla": "failed"}
    assert run.invoke(mail, ["resend", "--failed", str(carla)]).stdout.startswith("2 messages queued again.")
    assert states() == {"anna": "uncertain", "bruno": "queued", "carla": "queued"}
    assert json.loads(run.invoke(mail, ["resend", str(anna), "--json"]).stdout) == {"queued": 1}


def test_why_messages_failed_is_one_command_away(sqlite_app: Flask) -> None:
    fill(sqlite_app, *[""] * 21)
    run = sqlite_app.test_cli_runner()
    assert "`pilot mail status` lists what failed" in run.invoke(mail, ["send"]).stderr
    text = run.invoke(mail, ["status"]).stdout
    for told in ("no e-mail address", "… and 1 more", "pilot mail resend"):
        assert told in text
    assert len(json.loads(run.invoke(mail, ["status", "--json"]).stdout)["troubles"]) == 21
