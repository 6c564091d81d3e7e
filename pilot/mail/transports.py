"""The contract of mail transports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal, Protocol

from pilot.parts import Part


@dataclass(frozen=True, slots=True)
class Receipt:
    """How the other side answered one message."""

    status: Literal["accepted", "temporary", "permanent"]
    reply: str


class Connection(Protocol):
    """An open way to hand messages over, used for many in a row."""

    def deliver(self, message: EmailMessage, sender: str, recipient: str, hand_over: Callable[[], None]) -> Receipt:
        """Deliver one message.

        Args:
            message: The complete message.
            sender: Envelope sender.
            recipient: The one envelope recipient.
            hand_over: Called once, just before the step after which the message can no longer be recalled
                (the final dot of DATA). If it raises, the message must not go out.

        Returns:
            Accepted, or a temporary or permanent refusal known to be final for this attempt.

        Raises:
            OSError: The connection broke. Before `hand_over` nothing went out; after it, nobody knows.
        """


class MailTransport(Part):
    """Delivers messages."""

    @abstractmethod
    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection; closed at the end of the block.

        Raises:
            OSError: The other side cannot be reached.
        """
