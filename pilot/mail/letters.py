"""What a mail says and how it is written down: the layout of letters, and messages no field can break out of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.headerregistry import Address, AddressHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import formataddr
from functools import lru_cache
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask import current_app
from flask_babel import force_locale

from pilot import config
from pilot.errors import InputError

PREVIEW_LENGTH = 140

_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LINE_ENDS = {"\u2028", "\u2029"}


@dataclass(frozen=True, slots=True)
class Content:
    """What one mail says. `text` stands alone for readers without HTML; `headers` come on top of the usual ones."""

    subject: str
    text: str
    html: str
    language: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Withhold:
    """The answer of a composer whose message is not to be sent any more, with the reason for people."""

    reason: str


def letter(
    language: str, subject: str, paragraphs: Sequence[str], button: tuple[str, str] | None = None, footer: str = ""
) -> Content:
    """A mail in the house's layout, as HTML and as plain text.

    Args:
        language: Of the whole letter; the caller's texts are in it already.
        subject: Also the letter's heading.
        paragraphs: Plain text; markup in it is shown, not obeyed.
        button: Label and absolute address of the one thing to do. The bare address is printed below it.
        footer: Small print: who writes, and why.
    """
    context = {
        "language": language,
        "company": config.current().company,
        "subject": subject,
        "paragraphs": paragraphs,
        "preview": _shortened(paragraphs[0]) if paragraphs else "",
        "button": button,
        "footer": footer,
    }
    find = current_app.jinja_env.get_template
    with force_locale(language):
        text, html = (find(f"mail/layout.{kind}").render(context) for kind in ("txt", "html"))
    return Content(subject, text, html, language)


def build(content: Content, *, recipient: str, message_id: str, date: datetime) -> EmailMessage:
    """The complete message to one recipient, text part first.

    Raises:
        InputError: An address cannot be used, or a header would run over its line.
    """
    settings = config.current()
    sender = bare_address(settings.mail_from, place="mail_from")
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(_one_line(settings.company, "company"), addr_spec=sender)
    message["Reply-To"] = bare_address(settings.mail_reply_to or sender, place="mail_reply_to")
    message["To"] = bare_address(recipient, place="To")
    message["Subject"] = _encoded(_one_line(content.subject, "Subject"))
    message["Message-ID"] = _one_line(message_id, "Message-ID")
    message["Date"] = date
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply, RN, NRN"
    _add_headers(message, content.headers)
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = _one_line(content.language, "Content-Language")
    return message


@lru_cache(maxsize=64)
def bare_address(address: str, *, place: str) -> str:
    """The address as it goes over the wire: no display name, ASCII, an international domain encoded.

    Raises:
        InputError: It is not one plain address.
    """
    try:
        found = validate_email(address, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise InputError(
            f"{address!r} is not an e-mail address mail can be sent to: {str(error).rstrip('.')}",
            place=place,
            remedy="Write it as name@company.com",
        ) from error
    return found.ascii_email or found.normalized


def _add_headers(message: EmailMessage, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name in message:
            raise InputError(f"the header {name!r} cannot be added", remedy="Use a new name of letters and hyphens")
        message[name] = _encoded(_one_line(value, name))


def _one_line(value: str, name: str) -> str:
    """The value without surrounding blanks, if it cannot end its line: more counts as an end here than CR and LF."""
    if any(unicodedata.category(sign) == "Cc" or sign in _LINE_ENDS for sign in value):
        raise InputError(
            "the value contains a line break or another control character",
            place=f"mail header {name}",
            remedy="Remove it where the text comes from",
        )
    return value.strip()


def _shortened(text: str) -> str:
    return text if len(text) <= PREVIEW_LENGTH else text[:PREVIEW_LENGTH].rsplit(" ", 1)[0] + " …"


def _encoded(text: str, name: str = "", line: int = 0) -> str:
    """The text as a header value (RFC 2047), also where it only looks encoded; broken at `line` signs, 0: never."""
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    return Header(text, charset, maxlinelen=line or None, header_name=name).encode(linesep="\r\n", maxlinelen=line)


class _Policy(EmailPolicy):
    """SMTP policy that folds subjects and display names itself.

    The library's own folding loses the quotes of a long display name, so that a comma in it makes a second
    sender (seen with Python 3.11.7).
    """

    def fold_binary(self, name: str, value: Any) -> bytes:
        if isinstance(value, AddressHeader):
            folded = ",\r\n ".join(_folded_address(address, name) for address in value.addresses)
        elif name.lower() == "subject":
            folded = _encoded(str(value), name, 75)
        else:
            return super().fold_binary(name, value)
        return f"{name}: {folded}\r\n".encode("ascii")


def _folded_address(address: Address, name: str) -> str:
    if address.display_name.isascii() and "=?" not in address.display_name:
        return formataddr((address.display_name, address.addr_spec))
    return f"{_encoded(address.display_name, name, 75)}\r\n <{address.addr_spec}>"


_POLICY = _Policy(linesep="\r\n", max_line_length=78)
