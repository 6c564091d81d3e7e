from __future__ import annotations

import email
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot.errors import InputError
from pilot.mail.letters import Content, bare_address, build, letter

from .conftest import body, change, sender_name

LINK = "https://pilot.example.com/s/1Qd9c_x-7"
WHEN = datetime(2026, 3, 29, 12, 30, tzinfo=UTC)


def sent(content: Content, recipient: str = "anna@kunde.example.com") -> EmailMessage:
    """The message as the other side reads it."""
    raw = build(content, recipient=recipient, message_id="<a1@example.com>", date=WHEN).as_bytes()
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def plain(subject: str = "Hello", **headers: str) -> Content:
    return Content(
        subject, "text", "<p>text</p>", "en", {name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_a_message_carries_the_headers_of_polite_automatic_mail(sqlite_app: Flask) -> None:
    change(
        sqlite_app,
        company="Nordlicht",
        mail_from="desk@nordlicht.example.com",
        mail_reply_to="us@nordlicht.example.com",
    )
    message = sent(Content("Ocena", "tekst", "<p>tekst</p>", "pl"))
    assert {name: str(value) for name, value in message.items() if name not in ("Content-Type", "MIME-Version")} == {
        "From": "Nordlicht <desk@nordlicht.example.com>",
        "Reply-To": "us@nordlicht.example.com",
        "To": "anna@kunde.example.com",
        "Subject": "Ocena",
        "Message-ID": "<a1@example.com>",
        "Date": "Sun, 29 Mar 2026 12:30:00 +0000",
        "Content-Language": "pl",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply, RN, NRN",
    }
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("sign", ["\n", "\r", "\r\n", "\0", "\v", "\x85", "\u2028", "\x1b"])
def test_no_field_can_begin_a_header_of_its_own(sqlite_app: Flask, sign: str) -> None:
    evil = f"Hello{sign}Bcc: all@example.com"
    for content in (plain(evil), plain(X_Note=evil), Content("Hello", "t", "t", evil)):
        with pytest.raises(InputError, match="control character"):
            sent(content)
    with pytest.raises(InputError):
        sent(plain(), recipient=f"anna@kunde.example.com{sign}Bcc: all@example.com")
    change(sqlite_app, company=evil)
    with pytest.raises(InputError, match="mail header company"):
        sent(plain())


@pytest.mark.parametrize(
    "recipient",
    [
        "a@example.com, b@example.com",
        "Anna <anna@example.com>",
        "żółw@example.com",
        "anna",
        "",
        "@example.com",
        "a b@example.com",
    ],
)
def test_only_one_bare_address_is_written_to(sqlite_app: Flask, recipient: str) -> None:
    with pytest.raises(InputError, match="is not an e-mail address"):
        sent(plain(), recipient)


def test_an_international_domain_is_written_as_the_wire_wants_it() -> None:
    assert bare_address("anna@łódź.example.com", place="To") == "anna@xn--d-uga0v4h.example.com"


def test_headers_of_the_message_itself_cannot_be_replaced(sqlite_app: Flask) -> None:
    for name in ("To", "subject", "Bad Name", "X:"):
        with pytest.raises(InputError, match="cannot be added"):
            sent(Content("Hello", "t", "t", "en", {name: "value"}))


words = st.text(st.sampled_from("aż ,;:<>()@\"'\\=?_.łè€Q"), min_size=1, max_size=120).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=words, company=words)
def test_whatever_subject_and_company_are_called_there_is_one_sender_and_both_survive(
    sqlite_app: Flask, subject: str, company: str
) -> None:
    change(sqlite_app, company=company)
    message = sent(plain(subject))
    assert [address.addr_spec for address in message["From"].addresses] == [
        sqlite_app.extensions["pilot.config"].mail_from
    ]
    assert sender_name(message).split() == company.split()
    assert str(message["Subject"]).split() == subject.split()
    assert message.defects == []


def test_the_text_part_says_all_that_the_letter_says(sqlite_app: Flask) -> None:
    content = letter(
        "it", "La Sua opinione", ["Buongiorno Anna,", "è breve."], ("Rispondere", LINK), "Nordlicht S.p.A."
    )
    text = body(sent(content), "plain")
    for wanted in ("La Sua opinione", "Buongiorno Anna,", "è breve.", f"Rispondere:\n{LINK}\n", "Nordlicht S.p.A."):
        assert wanted in text


def test_the_html_part_names_its_language_and_fetches_nothing(sqlite_app: Flask) -> None:
    html = letter("pl", "Ocena", ["Dzień dobry"], ("Otwórz", LINK), "Stopka").html
    assert re.match(r"<!doctype html>\s*<html lang=\"pl\"", html)
    assert set(re.findall(r"https?://[^\"<\s]+", html)) == {LINK}
    assert html.count(f'href="{LINK}"') == 2
    assert f">{LINK}</a>" in html
    assert not re.search(r"<(img|link|script|style|form|iframe)\b|url\(|@import|\son\w+=", html)


def test_markup_in_a_letter_is_shown_and_not_obeyed(sqlite_app: Flask) -> None:
    content = letter("en", "<b>S</b>", ["<script>x</script> & co"], ("<i>go</i>", f"{LINK}?a=1&b=2"), "<u>f</u>")
    assert not re.search(r"<(script|b|i|u)>", content.html)
    assert "&lt;script&gt;x&lt;/script&gt; &amp; co" in content.html
    assert "<script>x</script> & co" in content.text
    assert f"{LINK}?a=1&b=2" in content.text


def test_a_letter_without_button_and_footer_has_no_empty_place_for_them(sqlite_app: Flask) -> None:
    content = letter("en", "News", ["One.", "Two."])
    assert "<a " not in content.html
    assert content.text.endswith("News\n\nOne.\n\nTwo.\n")
