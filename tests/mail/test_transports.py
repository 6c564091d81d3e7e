from __future__ import annotations

import email
import mailbox
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa
from flask import Flask

from pilot import clock
from pilot.accounts.service import SYSTEM
from pilot.api import Receipt
from pilot.db import transaction
from pilot.errors import InputError
from pilot.mail import outbox, service
from pilot.mail.models import OutboxMessage
from pilot.mail.transports import MailTransport
from pilot.plugins.builtin.transports import Smtp

from .conftest import Relay, body, change, compose, fill, row, running, sender_name, states, use_transport

LATER = outbox.LEASE + timedelta(seconds=1)
Through = Callable[[Flask], Relay]


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_every_answer_of_the_relay_has_its_end_and_its_ledger_agrees(app: Flask, through: Through) -> None:
    relay = through(app)
    names = ["rcpt-451", "rcpt-550", "one", "rcpt-421", "data-452", "two", "data-554", "hang-up", "lost-reply", "three"]
    ids = dict(zip(names, fill(app, *names), strict=True))
    assert service.send_due() == service.SendResult(sent=3, failed=2, uncertain=1, deferred=4)
    assert states() == {
        "one": "sent", "two": "sent", "three": "sent",
        "rcpt-550": "failed", "data-554": "failed",
        "rcpt-451": "queued", "rcpt-421": "queued", "data-452": "queued", "hang-up": "queued",
        "lost-reply": "uncertain",
    }  # fmt: skip
    assert relay.recipients() == ["one", "two", "lost-reply", "three"]
    assert row(ids["one"]).reply == "250 2.0.0 taken"
    assert row(ids["data-554"]).reply == "554 5.7.1 rejected as spam"
    assert (row(ids["lost-reply"]).reply or "").startswith("connection lost: ")


def test_one_connection_carries_many_messages(sqlite_app: Flask, through: Through) -> None:
    relay = through(sqlite_app)
    fill(sqlite_app, *(f"k{number}" for number in range(30)))
    assert service.send_due().sent == 30
    assert relay.connections == 1


def test_a_refusal_that_may_pass_is_tried_again_later_and_later_and_at_last_given_up(
    sqlite_app: Flask, through: Through
) -> None:
    through(sqlite_app)
    (message_id,) = fill(sqlite_app, "rcpt-451")
    moment = clock.now()
    pauses = []
    for _ in outbox.WAITS:
        clock.travel(moment)
        assert service.send_due() == service.SendResult(deferred=1)
        assert service.send_due() == service.SendResult()
        pauses.append(round((row(message_id).due_at - moment) / timedelta(minutes=1)))
        moment = row(message_id).due_at
    clock.travel(moment)
    assert service.send_due() == service.SendResult(failed=1)
    assert pauses == [1, 5, 20, 60, 240, 720, 1440]
    assert row(message_id).reply == "given up after 8 attempts: 451 4.3.0 mailbox busy"


@pytest.mark.parametrize("transport", ["smtp", "maildir"])
def test_what_cannot_be_reached_leaves_everything_queued_and_says_so(
    app: Flask, transport: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "file").touch()
    settings = {"smtp": {"host": "127.0.0.1", "port": port, "tls": "none"}, "maildir": {"path": tmp_path / "file"}}
    use_transport(app, transport, **settings[transport])
    ids = fill(app, "anna", "bruno")
    with pytest.raises(service.TransportError, match=f"^mail transport {transport}: no mail can be handed over"):
        service.send_due()
    assert states() == {"anna": "queued", "bruno": "queued"}
    assert [row(message_id).attempts for message_id in ids] == [0, 0]


def test_a_relay_that_always_hangs_up_stops_the_run_instead_of_using_up_the_queue(
    sqlite_app: Flask, through: Through
) -> None:
    through(sqlite_app)
    ids = fill(sqlite_app, *["hang-up"] * 10)
    with pytest.raises(service.TransportError):
        service.send_due()
    assert sorted(row(message_id).attempts for message_id in ids) == [0] * 7 + [1] * 3
    assert service.counts()["queued"] == 10


def test_a_relay_that_hangs_up_between_messages_is_called_again(sqlite_app: Flask, through: Through) -> None:
    relay = through(sqlite_app)
    fill(sqlite_app, "one", "rcpt-421", "two")
    assert service.send_due() == service.SendResult(sent=2, deferred=1)
    assert relay.recipients() == ["one", "two"]
    assert relay.connections == 2


WORKER = """
import json, sys
from pilot.app import create_app
from pilot.config import Config
from pilot.mail import service

app = create_app(Config(**json.loads(sys.argv[1])))
with app.app_context():
    service.register_composers(app, {"test": lambda message: service.Content("S", "t", "<p>t</p>", "en")})
    service.send_due()
"""


def test_a_worker_killed_between_hand_over_and_reply_leaves_one_uncertain_message_and_no_double(
    app: Flask, through: Through
) -> None:
    relay = through(app)
    fill(app, "anna", "bruno", "carla")
    settings = app.extensions["pilot.config"].model_dump_json()
    with subprocess.Popen([sys.executable, "-c", WORKER, settings], stderr=subprocess.PIPE) as worker:
        relay.on_accept = worker.kill  # SIGKILL once the final dot is there, before the reply
        try:
            assert worker.wait(timeout=60) == -9, worker.stderr and worker.stderr.read()
        finally:
            worker.kill()
    relay.on_accept = None
    assert relay.recipients() == ["anna"]
    with clock.travelling(clock.now() + LATER):
        assert service.sweep() == service.Swept(requeued=2, uncertain=1)
        assert service.send_due() == service.SendResult(sent=2)
        assert service.send_due() == service.SendResult()
    assert states() == {"anna": "uncertain", "bruno": "sent", "carla": "sent"}
    assert relay.recipients() == ["anna", "bruno", "carla"]


def test_letters_arrive_as_they_were_written_through_either_transport(sqlite_app: Flask, through: Through) -> None:
    text = "Zażółć gęślą jaźń\n.\n..two dots\nperché è così\n" + "long " * 400
    change(sqlite_app, company="Łódzka Spółka Żeglugi, Handlu i Usług Rzecznych Sp. z o.o. w Łodzi, dawniej Gęś & Syn")
    subject = "Jak Pani ocenia naszą współpracę? Żółta łódź, più città, e un oggetto che non finisce più"

    def composer(message: OutboxMessage) -> service.Content:
        return service.Content(subject, text, f"<pre>{text}</pre>", "pl", {"X-Pilot": "ł"})

    relay = through(sqlite_app)
    fill(sqlite_app, "zoe", composer=composer)
    service.send_due()
    use_transport(sqlite_app, "maildir")
    fill(sqlite_app, "adam", composer=composer)
    service.send_due()
    folder = mailbox.Maildir(sqlite_app.extensions["pilot.config"].data_dir / "mail", create=False)
    (stored,) = (folder.get_bytes(key) for key in folder.keys())  # noqa: SIM118
    for raw in (relay.ledger[0][1], stored):
        message = parsed(raw)
        assert message["Subject"] == subject
        assert sender_name(message) == sqlite_app.extensions["pilot.config"].company
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
        assert body(message, "plain").rstrip("\n") == text
        assert message["X-Pilot"] == "ł"
        assert max(map(len, raw.splitlines())) <= 78
        assert raw.isascii()


def test_a_folder_of_mails_holds_nothing_half_written(sqlite_app: Flask) -> None:
    calls = 0

    def composer(message: OutboxMessage) -> service.Content | service.Withhold:
        nonlocal calls
        calls += 1
        return compose(message) if calls == 1 else service.Withhold("answered meanwhile")

    fill(sqlite_app, "anna", composer=composer)
    service.send_due()
    root = sqlite_app.extensions["pilot.config"].data_dir / "mail"
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_message_sent_again_by_a_person_is_in_the_folder_once(sqlite_app: Flask) -> None:
    (message_id,) = fill(sqlite_app, "anna")
    service.send_due()
    with transaction() as work:  # as if the worker had died before it could write down that it was sent
        work.session.execute(sa.update(OutboxMessage).values(state="uncertain"))
    service.resend(SYSTEM, message_id)
    assert service.send_due() == service.SendResult(sent=1)
    (path,) = (sqlite_app.extensions["pilot.config"].data_dir / "mail" / "new").iterdir()
    assert path.name.startswith("anna@kunde.example.com-")
    assert path.suffix == ".eml"


def test_without_starttls_on_offer_nothing_is_sent(sqlite_app: Flask, relay: Relay) -> None:
    use_transport(sqlite_app, "smtp", host="127.0.0.1", port=relay.port)
    fill(sqlite_app, "anna")
    with pytest.raises(service.TransportError, match="STARTTLS"):
        service.send_due()
    assert relay.ledger == []


MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the openssl command")
def test_a_certificate_nobody_vouches_for_gets_no_mail(sqlite_app: Flask, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [*MAKE_CERTIFICATE.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    fill(sqlite_app, "anna")
    with running(Relay(), tls_context=context) as relay:
        use_transport(sqlite_app, "smtp", host="localhost", port=relay.port)
        with pytest.raises(service.TransportError, match="certificate"):
            service.send_due()
    assert relay.ledger == []
    assert states() == {"anna": "queued"}


def test_a_password_never_travels_in_clear_nor_shows_itself() -> None:
    with pytest.raises(InputError, match="without encryption"):
        Smtp.restore({"host": "relay.example.com", "user": "pilot", "password": "hunter2", "tls": "none"})
    assert "hunter2" not in repr(Smtp("relay.example.com", user="pilot", password="hunter2"))


class OddConnection:
    def deliver(self, message: EmailMessage, sender: str, recipient: str, hand_over: Callable[[], None]) -> Receipt:
        if recipient.startswith("early"):
            raise ValueError("early")
        hand_over()
        if recipient.startswith("late"):
            raise ValueError("late")
        return Receipt("accepted", "ok")


@dataclass(frozen=True)
class Odd(MailTransport):
    key: ClassVar[str] = "odd"
    label: ClassVar[str] = "Odd"

    def connect(self) -> AbstractContextManager[OddConnection]:
        return nullcontext(OddConnection())


def test_a_transport_with_a_fault_harms_one_message_at_a_time(sqlite_app: Flask) -> None:
    sqlite_app.extensions["pilot.plugins"].registry.add("mail_transports", [Odd], "test")
    use_transport(sqlite_app, "odd")
    fill(sqlite_app, "early", "late", "fine")
    assert service.send_due() == service.SendResult(sent=1, failed=1, uncertain=1)
    assert states() == {"early": "failed", "late": "uncertain", "fine": "sent"}
