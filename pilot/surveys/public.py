"""The page customers answer on. The personal link is the only authority: no log-in, no cookie, no script.

GET, HEAD and OPTIONS change nothing, so whatever opens every link of a mail leaves no trace. Every post is
answered with a redirect, so that going back or loading again never sends anything twice.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from functools import cache
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import force_locale
from markupsafe import Markup
from werkzeug.exceptions import RequestEntityTooLarge

from pilot import config, resources
from pilot.config import LANGUAGES
from pilot.surveys.answering import (
    AlreadyAnswered,
    PageSkipped,
    Standing,
    SurveyClosed,
    Visit,
    complete,
    find,
    questionnaire,
    save_page,
)
from pilot.surveys.definition import Page
from pilot.surveys.forms import Entry, read_page
from pilot.surveys.questions import Text
from pilot.web import csrf

LARGEST_POST = 64 * 1024
"""Bytes; a page with two full comment fields stays below it."""

bp = Blueprint("answering", __name__)
csrf.exempt(bp)  # the token in the address is the authority, and a survey sets no cookie


@bp.get("/s/<token>")
def show(token: str) -> ResponseReturnValue:
    """The first page that has not been saved, or one before it. 404 wrong link, 200 answered, 410 closed."""
    visit = find(token)
    if visit is None or visit.standing is not Standing.OPEN:
        return _notice(visit)
    return _page(token, visit, _wanted_page(visit), Entry({}, {}))


@bp.post("/s/<token>")
def post(token: str) -> ResponseReturnValue:
    """Save a page, or send the answers with the last. 422 with the page again where something must be mended."""
    request.max_content_length = LARGEST_POST
    visit = find(token)
    if visit is not None and _is_repeat(visit):
        return redirect(_address(token, "thanks"), 303)
    if visit is None or visit.standing is not Standing.OPEN:
        return _notice(visit)
    number = request.form.get("page", 1, type=int)
    pages = questionnaire(visit.survey_id, visit.survey_digest).definition.pages
    if not 1 <= number <= min(visit.pages + 1, len(pages)):
        return redirect(_address(token), 303)
    language = _language(visit)
    with force_locale(language):
        entry = read_page(questionnaire(visit.survey_id, visit.survey_digest), pages[number - 1], request.form)
    if entry.errors:
        return _page(token, visit, number, entry), 422
    return _keep(token, number, entry, language, last=number == len(pages))


@bp.get("/s/<token>/thanks")
def thanks(token: str) -> ResponseReturnValue:
    """The survey's own words of thanks, once the answers have been sent."""
    visit = find(token)
    if visit is None:
        return _notice(None)
    if visit.standing is not Standing.ANSWERED:
        return redirect(_address(token), 303)
    definition = questionnaire(visit.survey_id, visit.survey_digest).definition
    return _render("survey/thanks.html", visit, definition=definition)


@bp.route("/s/", defaults={"rest": ""}, methods=("GET", "POST"))
@bp.route("/s/<path:rest>", methods=("GET", "POST"))
def lost(rest: str) -> ResponseReturnValue:
    """Whatever else begins like a personal link: cut off, or with something hung on to it. A wrong link like others."""
    return _notice(find(rest))


@bp.after_request
def guard(response: Response) -> Response:
    """Headers of these pages alone: nothing is stored, nothing is fetched, and no address leaves with a link."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src '{_style()[1]}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return response


@bp.errorhandler(RequestEntityTooLarge)
def too_large(_error: RequestEntityTooLarge) -> ResponseReturnValue:
    """More was sent than a survey page holds."""
    return _render("survey/notice.html", None, reason="too-large"), 413


def _keep(token: str, number: int, entry: Entry, language: str, *, last: bool) -> ResponseReturnValue:
    """Store the page; what another tab did in the meantime decides what is shown next."""
    try:
        if not last:
            save_page(token, number, entry.answers, language=language)
            return redirect(_address(token, page=number + 1), 303)
        key = request.form.get("submission_key", "")[:64] or secrets.token_urlsafe(16)
        complete(token, number, entry.answers, language=language, submission_key=key)
        return redirect(_address(token, "thanks"), 303)
    except PageSkipped:
        return redirect(_address(token), 303)
    except (AlreadyAnswered, SurveyClosed):
        return _notice(find(token))


def _is_repeat(visit: Visit) -> bool:
    """Whether this very submission has been taken already: pressed twice, or its reply was lost."""
    key = request.form.get("submission_key", "")
    return visit.standing is Standing.ANSWERED and visit.submission_key is not None and key == visit.submission_key


def _wanted_page(visit: Visit) -> int:
    """The page asked for if it has been reached, else the first one not saved yet."""
    last = len(questionnaire(visit.survey_id, visit.survey_digest).definition.pages)
    reached = min(visit.pages + 1, last)
    return min(max(request.args.get("page", reached, type=int), 1), reached)


def _page(token: str, visit: Visit, number: int, entry: Entry) -> str:
    survey = questionnaire(visit.survey_id, visit.survey_digest)
    page = survey.definition.pages[number - 1]
    return _render(
        "survey/page.html",
        visit,
        definition=survey.definition,
        parts=survey.parts,
        page=page,
        number=number,
        saved=number <= visit.pages,
        typed=_typed,
        errors=entry.errors,
        faults=_faults(page, entry.errors),
        action=_address(token),
        submission_key=secrets.token_urlsafe(16),
    )


def _typed(field: str) -> str:
    """What the customer entered into a field before the page came back with an error."""
    return request.form.get(field, "") if request.method == "POST" else ""


def _faults(page: Page, errors: dict[str, str]) -> list[tuple[str, Text]]:
    """For the summary: the first field at fault of each question, and the question's label."""
    found = []
    for question in page.questions:
        fields = [field for field in errors if field.partition(".")[0] == question.key]
        if fields:
            found.append((fields[0], question.label))
    return found


def _notice(visit: Visit | None) -> ResponseReturnValue:
    """The page of a link that opens no survey: wrong, used or of a closed survey, all with the same work done."""
    if visit is None:
        return _render("survey/notice.html", None, reason="wrong"), 404
    if visit.standing is Standing.ANSWERED:
        return _render("survey/notice.html", visit, reason="answered"), 409 if request.method == "POST" else 200
    return _render("survey/notice.html", visit, reason="closed"), 410


def _render(template: str, visit: Visit | None, **context: Any) -> str:
    language = _language(visit)
    here = url_for(request.endpoint or ".show", **request.view_args or {})

    def text(words: Text) -> str:
        return words[language]

    with force_locale(language):
        return render_template(template, language=language, text=text, here=here, style=_style()[0], **context)


def _language(visit: Visit | None) -> str:
    asked = request.args.get("lang")
    if asked in LANGUAGES:
        return asked
    if visit is not None:
        return visit.language
    return request.accept_languages.best_match(LANGUAGES) or config.current().language


def _address(token: str, view: str = "show", page: int | None = None) -> str:
    """An address of this survey that keeps the language the customer switched to."""
    asked = request.args.get("lang")
    return url_for(f".{view}", token=token, page=page, lang=asked if asked in LANGUAGES else None)


@cache
def _style() -> tuple[Markup, str]:
    """The whole style sheet, to stand in the page itself (one round trip), and its hash for the policy."""
    sheets = [(resources.static() / name).read_text("utf-8") for name in ("tokens.css", "survey.css")]
    css = re.sub(r"/\*.*?\*/", "", "".join(sheets), flags=re.DOTALL)
    css = re.sub(r"\s+", " ", css).strip()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return Markup(css), f"sha256-{digest}"  # noqa: S704 - our own file, not anybody's input
