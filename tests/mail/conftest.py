"""An SMTP relay with faults, and an outbox with something in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask

from pilot import clock
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.mail import service
from pilot.mail.models import OutboxMessage

FAULTS = {
    "rcpt-451": "451 4.3.0 mailbox busy",
    "rcpt-550": "550 5.1.1 no such user",
    "rcpt-421": "421 4.3.2 shutting down",
    "data-452": "452 4.2.2 mailbox full",
    "data-554": "554 5.7.1 rejected as spam",
}


@dataclass
class Relay:
    """A relay that fails as the recipient's local part says, and a ledger of all it has taken."""

    port: int = 0
    ledger: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    on_accept: Callable[[], None] | None = None

    def recipients(self) -> list[str]:
        """Local parts of those whose mail was taken, in order."""
        return [recipient.partition("@")[0] for recipient, _ in self.ledger]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = address.partition("@")[0]
        if fault == "hang-up":
            server.transport.abort()
        if fault.startswith("rcpt"):
            return FAULTS[fault]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = envelope.rcpt_tos[0].partition("@")[0]
        if fault in FAULTS:
            return FAULTS[fault]
        self.ledger.append((envelope.rcpt_tos[0], bytes(envelope.content or b"")))
        if self.on_accept:
            self.on_accept()
        if fault == "lost-reply":
            server.transport.abort()
        return "250 2.0.0 taken"


class _AnyPort(Controller):
    """aiosmtpd's controller, able to listen on a port the system chooses."""

    def factory(self) -> SMTP:
        self.handler.connections += 1
        return SMTP(self.handler, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A running relay."""
    with running(Relay()) as relay:
        yield relay


class running:
    """A relay that listens within the block; further arguments go to aiosmtpd."""

    def __init__(self, relay: Relay, **settings: Any) -> None:
        self.relay = relay
        self._loop = asyncio.new_event_loop()
        self._controller = _AnyPort(relay, hostname="127.0.0.1", port=0, loop=self._loop, **settings)

    def __enter__(self) -> Relay:
        self._controller.start()
        self.relay.port, self.relay.connections = self._controller.port, 0
        return self.relay

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


@pytest.fixture
def through(relay: Relay) -> Callable[[Flask], Relay]:
    """Let an application send through the relay."""

    def through(app: Flask) -> Relay:
        use_transport(app, "smtp", host="127.0.0.1", port=relay.port, tls="none", timeout=10)
        return relay

    return through


def use_transport(app: Flask, key: str, **settings: Any) -> None:
    """Configure the application's mail transport."""
    change(app, mail_transport=key, mail_settings=settings)


def change(app: Flask, **settings: Any) -> None:
    """Change settings of a running application."""
    app.extensions["pilot.config"] = app.extensions["pilot.config"].model_copy(update=settings)


def compose(message: OutboxMessage) -> service.Content:
    """A short letter."""
    return service.letter("it", "La Sua opinione", [f"Messaggio {message.subject_id}"], None, "")


def fill(app: Flask, *names: str, composer: service.Composer = compose, due_at: Any = None) -> list[int]:
    """Queue one message per name, to name@kunde.example.com, and return their ids in that order."""
    service.register_composers(app, {"test": composer})
    with transaction():
        first = (db.session.scalar(sa.select(sa.func.max(Customer.id))) or 0) + 1
        for number, name in enumerate(names, first):
            email = f"{name}@kunde.example.com" if name else None
            db.session.add(
                Customer(id=number, ref=f"K{number}", name=name, email=email, digest="", updated_at=clock.now())
            )
        db.session.flush()
        numbers = range(first, first + len(names))
        service.queue_many("test", ((number, f"test:{number}", number) for number in numbers), 7, due_at)
    keys = [f"test:{number}" for number in numbers]
    found = dict(db.session.execute(sa.select(OutboxMessage.key, OutboxMessage.id)).all())
    db.session.rollback()
    return [found[key] for key in keys]


def states() -> dict[str, str]:
    """The state of each message by its customer's name."""
    rows = sa.select(Customer.name, OutboxMessage.state).join(Customer, Customer.id == OutboxMessage.customer_id)
    return dict(db.session.execute(rows).all())


def row(message_id: int) -> OutboxMessage:
    """One message as it stands in the database."""
    db.session.rollback()
    return db.session.get_one(OutboxMessage, message_id)


def body(message: EmailMessage, kind: str) -> str:
    """The text of one alternative of a message."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def sender_name(message: EmailMessage) -> str:
    """The display name in From (the parser of EmailMessage puts blanks between encoded words, against RFC 2047)."""
    (raw,) = (value for name, value in message.raw_items() if name == "From")
    name, _ = parseaddr("".join(str(raw).splitlines()))
    return str(make_header(decode_header(name)))
