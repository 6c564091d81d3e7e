"""Built-in transports: a folder of mails one can open, and an SMTP relay."""

from __future__ import annotations

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar, Literal

from pilot import config
from pilot.api import MailTransport, Receipt, hookimpl

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"none": 25, "starttls": 587, "tls": 465}


@dataclass(frozen=True)
class Maildir(MailTransport):
    """Files in a Maildir: sends nothing. Each is a whole mail that any mail program opens.

    Attributes:
        path: The folder; a relative one lies in the data folder.
    """

    key: ClassVar[str] = "maildir"
    label: ClassVar[str] = "Folder of mails (sends nothing)"

    path: Path = Path("mail")

    @contextmanager
    def connect(self) -> Iterator[_Maildir]:
        """Make the folder if it is not there."""
        root = config.current().data_dir / self.path
        for name in ("tmp", "new", "cur"):
            (root / name).mkdir(parents=True, exist_ok=True)
        yield _Maildir(root)


class _Maildir:
    def __init__(self, root: Path) -> None:
        self._root = root

    def deliver(self, message: EmailMessage, sender: str, recipient: str, hand_over: Callable[[], None]) -> Receipt:
        name = _file_name(message, recipient)
        draft = self._root / "tmp" / name
        try:
            with draft.open("wb") as file:
                file.write(message.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            hand_over()
            return self._publish(draft, self._root / "new" / name)
        finally:
            draft.unlink(missing_ok=True)

    def _publish(self, draft: Path, final: Path) -> Receipt:
        try:
            draft.rename(final)
        except OSError as error:
            return Receipt("temporary", str(error))
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return Receipt("accepted", f"{final.parent.name}/{final.name}")


def _file_name(message: EmailMessage, recipient: str) -> str:
    """Named for its reader, and always the same: a message that a person sends again is there once."""
    reader = re.sub(r"[^A-Za-z0-9@_+-]", ".", recipient)[:80].lstrip(".")
    identity = re.sub(r"[^A-Za-z0-9]", "", str(message["Message-ID"]).partition("@")[0])
    return f"{reader}-{identity[:20]}.eml"


@dataclass(frozen=True)
class Smtp(MailTransport):
    """An SMTP relay. Its certificate is checked against the system's authorities.

    Attributes:
        host: Name of the relay, as in its certificate.
        port: 0 means the usual one: 587 with starttls, 465 with tls, 25 with none.
        user: Log in with this name; empty means not at all.
        password: Goes with it.
        tls: `starttls` turns to encryption after the greeting and insists on it, `tls` begins with it.
        timeout: Seconds to wait for each answer.
    """

    key: ClassVar[str] = "smtp"
    label: ClassVar[str] = "SMTP relay"

    host: str
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.user and self.tls == "none" and self.host not in _LOOPBACK:
            raise ValueError("a password is not sent without encryption: set tls to starttls or tls")
        if not 0 < self.timeout <= 600:
            raise ValueError("the timeout is more than 0 and at most 600 seconds")

    @contextmanager
    def connect(self) -> Iterator[_Smtp]:
        """Greet the relay, encrypt and log in."""
        server = self._open()
        try:
            self._secure(server)
            if server.sock:  # its final dot must not wait until the packet before it is acknowledged
                server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield _Smtp(server)
        except smtplib.SMTPResponseException as error:
            raise ConnectionError(_said(error.smtp_code, error.smtp_error)) from error
        finally:
            with suppress(OSError):
                server.quit()
            server.close()

    def _open(self) -> smtplib.SMTP:
        port = self.port or _PORTS[self.tls]
        try:
            if self.tls == "tls":
                context = ssl.create_default_context()
                return smtplib.SMTP_SSL(self.host, port, timeout=self.timeout, context=context)
            return smtplib.SMTP(self.host, port, timeout=self.timeout)
        except smtplib.SMTPResponseException as error:
            raise ConnectionError(_said(error.smtp_code, error.smtp_error)) from error
        except OSError as error:
            raise ConnectionError(f"{self.host}:{port}: {error}") from error

    def _secure(self, server: smtplib.SMTP) -> None:
        if self.tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        if self.user:
            server.login(self.user, self.password)


class _Smtp:
    """A greeted relay. DATA is spelt out here, because the mark belongs between the text and its final dot."""

    def __init__(self, server: smtplib.SMTP) -> None:
        self._server = server

    def deliver(self, message: EmailMessage, sender: str, recipient: str, hand_over: Callable[[], None]) -> Receipt:
        server = self._server
        server.ehlo_or_helo_if_needed()
        for answer, wanted in ((server.mail, sender), (server.rcpt, recipient)):
            code, reply = answer(wanted)
            if code // 100 != 2:
                return self._refused(code, reply)
        server.putcmd("data")
        code, reply = server.getreply()
        if code != 354:
            return self._refused(code, reply)
        try:
            server.send(_dotted(message.as_bytes()))
            hand_over()
        except BaseException:
            server.close()  # without its final dot the other side throws the text away
            raise
        server.send(b".\r\n")
        code, reply = server.getreply()
        if code // 100 != 2:
            return self._refused(code, reply)
        return Receipt("accepted", _said(code, reply))

    def _refused(self, code: int, reply: bytes) -> Receipt:
        if code // 100 not in (4, 5):
            raise ConnectionError(f"an answer out of turn: {_said(code, reply)}")
        if code == 421:
            self._server.close()
        else:
            with suppress(OSError):
                self._server.rset()
        return Receipt("permanent" if code // 100 == 5 else "temporary", _said(code, reply))


def _dotted(text: bytes) -> bytes:
    """The text with dots doubled at the beginning of lines, ending with its last line's end (RFC 5321, 4.5.2)."""
    stuffed = re.sub(rb"(?m)^\.", b"..", text)
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"


def _said(code: int, reply: bytes | str) -> str:
    words = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return f"{code} {' '.join(words.split())}"


@hookimpl
def register_mail_transports() -> list[type[MailTransport]]:
    """The transports the product ships."""
    return [Maildir, Smtp]
