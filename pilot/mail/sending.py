"""One worker's run over the outbox: composing, the connection, and the hand-over with its mark."""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage

import sqlalchemy as sa
from flask import Flask, current_app

from pilot import clock, config
from pilot.db import db, transaction
from pilot.errors import InputError, PilotError, PluginError
from pilot.mail import outbox
from pilot.mail.letters import Content, Withhold, bare_address, build
from pilot.mail.models import OutboxMessage
from pilot.mail.transports import Connection, MailTransport
from pilot.plugins.manager import plugins

log = logging.getLogger(__name__)

Composer = Callable[[OutboxMessage], Content | Withhold]
"""Says what a message says now, or why it is not to be sent. Called again just before the hand-over."""

BREAKS_IN_A_ROW = 3
"""Connections lost one after the other before a run stops: by then it is not the message's fault."""

_STATES = {"accepted": "sent", "temporary": "queued", "permanent": "failed"}
_DATABASE_TROUBLE = (sa.exc.OperationalError, sa.exc.InterfaceError)


class TransportError(PilotError):
    """The other side cannot be reached or takes nothing. Nothing is lost; what was not sent stays queued."""

    status = 503


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of the messages of one run. `deferred` ones are queued again for later."""

    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    withdrawn: int = 0
    deferred: int = 0


def register_composers(app: Flask, composers: Mapping[str, Composer]) -> None:
    """Say who composes the messages of which kind."""
    app.extensions.setdefault("pilot.composers", {}).update(composers)


class Run:
    """One worker's pass over what is due. It owns the rows it claims for as long as their lease holds."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.owner = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.done = 0
        self._total, self._progress = total, progress
        self._tally: Counter[str] = Counter()
        self._line = _Line()
        self._breaks = 0

    def send(self, message_id: int) -> None:
        """Bring one message to its end, or put it back.

        Raises:
            TransportError: The other side cannot be reached, or hangs up every time.
        """
        message = db.session.get_one(OutboxMessage, message_id)
        attempts = message.attempts
        state, reply = self._attempt(message)
        if state == "queued":
            state = outbox.postpone(message_id, self.owner, attempts, reply)
        elif state != "claimed":
            outbox.settle(message_id, self.owner, state, reply)
        self._tally[state] += 1
        self.done += 1
        if self._progress:
            self._progress(self.done, self._total)
        if self._breaks >= BREAKS_IN_A_ROW:
            raise self._line.unreachable(OSError(reply))

    def result(self, uncertain_before: int) -> SendResult:
        """What has become of the messages so far."""
        tally = self._tally
        return SendResult(
            sent=tally["sent"],
            failed=tally["failed"],
            uncertain=tally["uncertain"] + uncertain_before,
            withdrawn=tally["withdrawn"],
            deferred=tally["queued"],
        )

    def close(self) -> None:
        """Hang up, and let go of whatever was claimed and not sent."""
        self._line.drop()
        outbox.release(self.owner)

    def _attempt(self, message: OutboxMessage) -> tuple[str, str]:
        """The state the message is in after this attempt, and why. `queued` means later."""
        try:
            parcel = _pack(message, self.owner)
        except _CalledBack as called_back:
            return called_back.state, called_back.reason
        except _DATABASE_TROUBLE as error:
            return "queued", _described(error)
        except Exception as error:
            return "failed", _complaint(message.kind, error)
        return self._carry(parcel)

    def _carry(self, parcel: _Parcel) -> tuple[str, str]:
        connection = self._line.connection()
        try:
            receipt = connection.deliver(parcel.mail, parcel.sender, parcel.recipient, parcel.hand_over)
            ended = _STATES[receipt.status], receipt.reply
        except _CalledBack as called_back:
            self._line.drop()
            return called_back.state, called_back.reason
        except OSError as error:
            if self._line.drop() and not parcel.handed_over:
                return self._carry(parcel)  # an idle server hangs up: not this message's fault
            self._breaks += 1
            return parcel.state_without("queued"), f"connection lost: {_described(error)}"
        except _DATABASE_TROUBLE as error:
            self._line.drop()
            return parcel.state_without("queued"), _described(error)
        except Exception as error:
            self._line.drop()
            return parcel.state_without("failed"), _complaint(f"mail transport {self._line.key}", error)
        if not parcel.handed_over and receipt.status == "accepted":
            log.error("mail transport %s accepts messages without their hand-over mark", self._line.key)
        self._breaks = 0
        self._line.served = True
        return ended


class _CalledBack(Exception):
    """This message must not go out: raised when composing it, or through the transport by the hand-over."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


@dataclass
class _Parcel:
    """One message on its way, and whether it can still be called back."""

    message: OutboxMessage
    message_id: int
    owner: str
    mail: EmailMessage
    sender: str
    recipient: str
    handed_over: bool = field(default=False, init=False)

    def hand_over(self) -> None:
        """Make the hand-over mark durable, if the message is still the owner's and still to be sent."""
        content: Content | Withhold | None = None
        with transaction():
            owned = outbox.mark_handing_over(self.message_id, self.owner)
            if owned:
                content, _ = _compose(self.message)
            if isinstance(content, Withhold):
                outbox.settle(self.message_id, self.owner, "withdrawn", content.reason)
        if not owned:
            raise _CalledBack("claimed", "another worker has taken over")
        if isinstance(content, Withhold):
            raise _CalledBack("withdrawn", content.reason)
        self.handed_over = True

    def state_without(self, otherwise: str) -> str:
        """The state it is in when no answer came: `otherwise`, as long as it could still be called back."""
        return "uncertain" if self.handed_over else otherwise


class _Line:
    """The one connection of a run: opened when first needed, and again after it broke."""

    def __init__(self) -> None:
        settings = config.current()
        self.key = settings.mail_transport
        self.served = False
        self._transport: MailTransport = plugins().build(
            "mail_transports", self.key, settings.mail_settings, place="mail_settings"
        )
        self._open = ExitStack()
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The open connection."""
        if self._connection is None:
            try:
                self._connection = self._open.enter_context(self._transport.connect())
            except Exception as error:
                raise self.unreachable(error) from error
        return self._connection

    def drop(self) -> bool:
        """Close the connection, whatever state it is in, and say whether it had served before."""
        served, self.served, self._connection = self.served, False, None
        with suppress(OSError):
            self._open.close()
        return served

    def unreachable(self, error: Exception) -> TransportError:
        """What to tell a person when nothing can be handed over."""
        return TransportError(
            f"no mail can be handed over: {_described(error)}. What was not sent stays in the outbox",
            place=f"mail transport {self.key}",
            remedy="Check PILOT_MAIL_SETTINGS and the other side, then run `pilot mail send` again",
        )


def _pack(message: OutboxMessage, owner: str) -> _Parcel:
    """Compose and write down a message. Whatever a composer changed is dropped: it is asked again at the hand-over."""
    try:
        content, address = _compose(message)
        if isinstance(content, Withhold):
            raise _CalledBack("withdrawn", content.reason)
        mail = build(content, recipient=address, message_id=message.message_id, date=clock.now())
        sender = bare_address(config.current().mail_from, place="mail_from")
        recipient = bare_address(address, place="To")
        return _Parcel(message, message.id, owner, mail, sender, recipient)
    finally:
        db.session.rollback()


def _compose(message: OutboxMessage) -> tuple[Content | Withhold, str]:
    """What the message says as of now, and the address it goes to."""
    addressee = outbox.addressee(message.customer_id)
    if addressee is None or not addressee.email:
        raise InputError("the customer has no e-mail address", remedy="Add it to the base and send the message again")
    if addressee.opted_out_at is not None:
        return Withhold("the customer wants no mail"), addressee.email
    if reason := plugins().reason_to_suppress(message):
        return Withhold(reason), addressee.email
    composers: Mapping[str, Composer] = current_app.extensions.get("pilot.composers", {})
    if message.kind not in composers:
        raise PluginError(f"nobody composes messages of the kind {message.kind!r}")
    return composers[message.kind](message), addressee.email


def _complaint(culprit: str, error: Exception) -> str:
    """The reason one message failed; a fault of the program also goes to the log, with its traceback."""
    if not isinstance(error, PilotError):
        log.error("%s broke over a message", culprit, exc_info=error)
    return _described(error)


def _described(error: Exception) -> str:
    if isinstance(error, PilotError | OSError):
        return str(error).rstrip(".") or type(error).__name__
    return f"{type(error).__name__}: {error}"
