"""Simulated customers: they open their mail, follow the link and answer the real page over HTTP.

They know nothing of the product's inside. What they can answer they read from the form they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import urlencode, urljoin, urlsplit

import numpy as np

from pilot.demo.life import person
from pilot.errors import CheckFailed

LINK = re.compile(r"https?://[^\s<>\"')]+")

COMMENTS: Mapping[str, tuple[str, ...]] = {
    "it": ("Sempre gentili e puntuali.", "Preferirei essere richiamato più spesso.", "Tutto bene, grazie."),
    "pl": ("Zawsze mili i punktualni.", "Chciałbym częstszego kontaktu.", "Wszystko w porządku, dziękuję."),
    "en": ("Always friendly and on time.", "A call back now and then would be nice.", "All fine, thank you."),
}


class Page(HTMLParser):
    """The first form that posts on a page: where it goes, what it carries, what can be chosen."""

    def __init__(self, html: str) -> None:
        """Read the page."""
        super().__init__()
        self.action: str | None = None
        self.hidden: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and found.get("method", "").lower() == "post" and self.action is None:
            self.action, self._inside = found.get("action", ""), True
        elif self._inside and tag == "textarea":
            self.texts.append(found.get("name", ""))
        elif self._inside and tag == "input":
            kind, name = found.get("type", "text"), found.get("name", "")
            if kind == "hidden":
                self.hidden[name] = found.get("value", "")
            elif kind == "radio":
                self.choices.setdefault(name, []).append(found.get("value", ""))

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        if tag == "form":
            self._inside = False


class Browser:
    """A plain HTTP client without scripts: one connection, follows redirects on the same host."""

    def __init__(self, base_url: str) -> None:
        """A browser that only ever talks to this site."""
        parts = urlsplit(base_url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.status = 0

    def get(self, url: str) -> str:
        """The page at this address."""
        return self._follow("GET", url, None)

    def post(self, url: str, fields: dict[str, str]) -> str:
        """The page that answers this form."""
        return self._follow("POST", url, urlencode(fields))

    def _follow(self, method: str, url: str, body: str | None) -> str:
        for _ in range(5):
            answer = self._ask(method, url, body)
            text = answer.read().decode()
            self.status = answer.status
            if answer.status not in (301, 302, 303):
                return text
            url, method, body = urljoin(url, answer.headers["Location"]), "GET", None
        raise CheckFailed("too many redirects", place=url)

    def _ask(self, method: str, url: str, body: str | None) -> HTTPResponse:
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        self._connection.request(method, path, body, headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Mail:
    """A delivered message, as far as a recipient looks at it."""

    to: str
    language: str
    links: tuple[str, ...]

    @property
    def survey(self) -> str | None:
        """The personal survey link, if there is one."""
        return next((link for link in self.links if "/s/" in link), None)


class Mailbox:
    """All mail delivered to a maildir. Each call of `fresh` gives what came since the last."""

    def __init__(self, folder: Path) -> None:
        """The mailbox that lies in this folder."""
        self._folder, self._seen = folder, set[str]()

    def fresh(self) -> list[Mail]:
        """New messages, in the order of their recipients."""
        paths = [path for path in (self._folder / "new").glob("*") if path.name not in self._seen]
        self._seen.update(path.name for path in paths)
        return sorted(map(_read, paths), key=lambda mail: mail.to)


def _read(path: Path) -> Mail:
    with path.open("rb") as readable:
        message = BytesParser().parse(readable)
    text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    body = cast("bytes", text.get_payload(decode=True)).decode()
    links = dict.fromkeys(LINK.findall(body))
    return Mail(str(message["To"]), str(message["Content-Language"]), tuple(links))


@dataclass(slots=True)
class Tally:
    """What the simulated customers did, for the summary and for checking the product's own counts."""

    opened_by_scanner: int = 0
    completed: int = 0
    left_half_way: int = 0
    too_late: int = 0
    refused_pages: list[str] = field(default_factory=list)


class Crowd:
    """The customers of an experiment and their habits; `arms` maps an address in lower case to (ref, arm)."""

    def __init__(self, seed: int, base_url: str, arms: Mapping[str, tuple[str, str]]) -> None:
        """A crowd whose every habit follows from the seed and the customer's number."""
        self._seed, self._arms = seed, arms
        self._browser = Browser(base_url)
        self.tally = Tally()

    def receive(self, mail: Mail, moment: str) -> None:
        """Let one recipient (and the gateway before it) deal with a mail.

        Args:
            mail: What arrived.
            moment: `invitation` or `reminder`, or `late` after the survey closed.
        """
        if mail.survey is None:
            return
        ref, arm = self._arms[mail.to.lower()]
        if "@" in mail.to and mail.to.endswith("gateway.example.com") and moment != "late":
            for link in mail.links:
                self._browser.get(link)
            self.tally.opened_by_scanner += 1
        habit = _habit(person(self._seed, ref, "habit"))
        if habit == moment or (habit, moment) == ("half", "invitation"):
            self._answer(mail, ref, arm, half=habit == "half", late=moment == "late")

    def close(self) -> None:
        """Everybody goes home."""
        self._browser.close()

    def _answer(self, mail: Mail, ref: str, arm: str, *, half: bool, late: bool) -> None:
        rng = person(self._seed, ref, "answers")
        mood = rng.normal(0.04 if arm != "control" else 0.0, 1.0)
        url = mail.survey or ""
        html = self._browser.get(url)
        for _ in range(10):
            page = Page(html)
            if page.action is None:
                break
            url = urljoin(url, page.action)
            html = self._browser.post(url, {**page.hidden, **_fill(page, mail.language, mood, rng)})
            if self._browser.status >= 400:
                self.tally.refused_pages.append(f"{ref}: {self._browser.status}")
                return
            if half:
                self.tally.left_half_way += 1
                return
        if late:
            self.tally.too_late += 1
        else:
            self.tally.completed += 1


def _habit(rng: np.random.Generator) -> str:
    """What this customer does with survey mails; most do nothing."""
    return str(rng.choice(["invitation", "reminder", "half", "late", "never"], p=[0.26, 0.14, 0.05, 0.02, 0.53]))


def _fill(page: Page, language: str, mood: float, rng: np.random.Generator) -> dict[str, str]:
    fields = {name: options[_pick(len(options), mood, rng)] for name, options in page.choices.items()}
    for name in page.texts:
        if rng.random() < 0.25:
            fields[name] = str(rng.choice(COMMENTS.get(language, COMMENTS["en"])))
    return fields


def _pick(options: int, mood: float, rng: np.random.Generator) -> int:
    """Which option a mood picks: customers are mostly content, hence the ceiling."""
    felt = 0.75 * mood + 0.65 * rng.normal()
    place = (0.72 + 0.22 * felt) * options
    return int(np.clip(place, 0, options - 1))
