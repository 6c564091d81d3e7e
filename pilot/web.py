"""What all pages share: language, protection against forged posts, headers, error pages, formats.

Everything in here knows nothing of features; they hang themselves in through `csrf`, `prefer_language` and
the template filters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_currency, format_decimal, format_percent
from flask import Flask, Response, current_app, has_request_context, render_template, request
from flask_babel import Babel, force_locale, get_locale, lazy_gettext
from flask_babel import gettext as _
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.routing import IntegerConverter, ValidationError

from pilot import __version__, resources
from pilot.config import LANGUAGES, Config, current
from pilot.errors import PilotError

log = logging.getLogger(__name__)

LANGUAGE_NAMES = {"en": "English", "it": "Italiano", "pl": "Polski"}
LANGUAGE_COOKIE = "language"

csrf = CSRFProtect()
"""Guards every unsafe route. Blueprints whose authority lies in the address itself exempt themselves."""

_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Nothing leaves this site, least of all a personal link; posts to ourselves still name their page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_LARGEST = 2**31 - 1
_STATIC = ("static", "bootstrap.static", "security.static")

_TROUBLE = {
    400: (lazy_gettext("This cannot be used as it is"), lazy_gettext("Go back, check what you sent and try again.")),
    403: (lazy_gettext("This page is not open to you"), lazy_gettext("Ask an administrator if you need it.")),
    404: (lazy_gettext("There is no such page"), lazy_gettext("The address may be mistyped or out of date.")),
    405: (lazy_gettext("This cannot be done this way"), lazy_gettext("Go back and use the buttons of the page.")),
    409: (lazy_gettext("Not possible now"), lazy_gettext("Go back and load the page again.")),
    413: (lazy_gettext("That is too large"), lazy_gettext("Send less at once.")),
    429: (lazy_gettext("Too many attempts"), lazy_gettext("Wait a while, then try again.")),
    500: (lazy_gettext("Something went wrong here"), lazy_gettext("It has been written to the log. Try again later.")),
    503: (lazy_gettext("Not available at the moment"), lazy_gettext("Try again later.")),
}


def init_app(app: Flask) -> None:
    """Give the application its language, its protection, its error pages and its formats."""
    config: Config = app.extensions["pilot.config"]
    _configure(app, config)
    app.url_map.converters["int"] = _Number
    csrf.init_app(app)
    Bootstrap5(app)
    Babel(app, locale_selector=_language)
    app.after_request(_protect)
    app.register_error_handler(PilotError, _told)
    app.register_error_handler(HTTPException, _refused)
    app.jinja_env.globals.update(
        company=config.company,
        version=__version__,
        language=lambda: get_locale().language,
        languages=LANGUAGE_NAMES,
    )
    app.jinja_env.filters.update(
        money=money, number=number, percent=percent, day=day, month_name=month_name, moment=moment
    )


class _Number(IntegerConverter):
    """Numbers of rows in addresses: what no database can hold is no page."""

    def to_python(self, value: str) -> int:
        """The number.

        Raises:
            ValidationError: It is too large.
        """
        number: int = super().to_python(value)
        if number > _LARGEST:
            raise ValidationError
        return number


def prefer_language(app: Flask, preference: Callable[[], str | None]) -> None:
    """Let `preference` say which language the person behind the present request has chosen for good."""
    app.extensions["pilot.language"] = preference


def local_path(target: str | None) -> str:
    """The target if it is a path of this site, else the first page: what a form names as the way back."""
    path = (target or "").replace("\\", "/")  # as browsers read it
    ours = path.startswith("/") and not path.startswith("//") and path.isprintable()  # browsers drop tabs and line ends
    return path if ours else "/"


def money(value: float) -> str:
    """An amount in the installation's currency, as the page's language writes it."""
    return _unbroken(format_currency(value, current().currency, locale=_formats()))


def number(value: float, digits: int = 0) -> str:
    """A number with a fixed count of decimals, as the page's language writes it."""
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return _unbroken(format_decimal(value, format=pattern, locale=_formats()))


def percent(value: float, digits: int = 0) -> str:
    """A share as a percentage, as the page's language writes it."""
    pattern = "#,##0" + ("." + "0" * digits if digits else "") + "%"
    return _unbroken(format_percent(value, format=pattern, locale=_formats()))


def day(value: date, length: str = "medium") -> str:
    """A date, as the page's language writes it (`medium` or `long`); of a moment, its date where the company is."""
    if isinstance(value, datetime):
        value = _local(value)
    return format_date(value, length, locale=_formats())


def month_name(value: date) -> str:
    """The month and year of a date, as the page's language writes them where they stand alone."""
    return format_skeleton("yMMMM", value, locale=_formats())


def moment(value: datetime) -> str:
    """A date with the time of day where the company is."""
    local = _local(value)
    return f"{format_date(local, 'medium', locale=_formats())}, {format_time(local, 'HH:mm', locale=_formats())}"


def _local(value: datetime) -> datetime:
    return value.astimezone(ZoneInfo(current().timezone))


def _unbroken(written: str) -> str:
    """The number with a true minus sign: behind a hyphen a line may be broken, between sign and amount."""
    return written.replace("-", "\N{MINUS SIGN}")


def _formats() -> Locale:
    """The page's language with European habits: in English, too, the day stands before the month."""
    locale: Locale | None = get_locale()
    return Locale("en", "GB") if locale is None or locale.language == "en" else locale


def _configure(app: Flask, config: Config) -> None:
    address = urlsplit(config.base_url)
    secure = address.scheme == "https"
    app.config.update(
        BABEL_DEFAULT_LOCALE=config.language,
        BABEL_DEFAULT_TIMEZONE=config.timezone,
        BABEL_TRANSLATION_DIRECTORIES=str(resources.translations()),
        BOOTSTRAP_SERVE_LOCAL=True,
        MAX_CONTENT_LENGTH=2**20,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_NAME="__Host-session" if secure else "session",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=secure,
        TRUSTED_HOSTS=[address.hostname, "localhost", "127.0.0.1", "[::1]"],
        WTF_CSRF_TIME_LIMIT=None,  # a page may stay open as long as its session lives
    )


def _language() -> str:
    """The language of whatever is written now: asked for, preferred, remembered, read by the browser, or ours."""
    if not has_request_context():
        return current().language
    preference = current_app.extensions.get("pilot.language")
    asked = _known(request.args.get("lang"))
    return asked or _known(preference and preference()) or _browser_language()


def _browser_language() -> str:
    remembered = _known(request.cookies.get(LANGUAGE_COOKIE))
    return remembered or request.accept_languages.best_match(LANGUAGES) or current().language


def _known(language: str | None) -> str | None:
    return language if language in LANGUAGES else None


def _protect(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if current().base_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if request.endpoint not in _STATIC:
        response.headers["Cache-Control"] = "no-store"
    return response


def _told(error: PilotError) -> tuple[str, int]:
    """The page of an error that is meant to be read."""
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.path, error, exc_info=error)
    return _page(error.status, reason=error.reason, remedy=error.remedy, place=error.place), error.status


def _refused(error: HTTPException) -> Response | tuple[str, int, dict[str, str]]:
    """The page of an error of the protocol, or of one nobody foresaw: polite, and without a word of the inside."""
    if isinstance(error, SecurityError):  # the host is not ours, so no address can be built for a page
        return Response("This site is not known under that name.\n", 400, content_type="text/plain; charset=utf-8")
    code = error.code or 500
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    if isinstance(error, CSRFError):
        return (
            _page(code, reason=_("The page had expired"), remedy=_("Load it again and repeat what you did")),
            code,
            kept,
        )
    return _page(code), code, kept


def _page(status: int, *, reason: str = "", remedy: str = "", place: str = "") -> str:
    title, advice = _TROUBLE.get(status) or _TROUBLE[500 if status >= 500 else 400]
    values = {"status": status, "title": title, "advice": advice, "reason": reason, "remedy": remedy, "place": place}
    if status < 500:
        return render_template("errors/error.html", **values)
    # The database may be what is broken: the page is written without asking who reads it.
    with force_locale(_known(request.args.get("lang")) or _browser_language()):
        return current_app.jinja_env.get_template("errors/error.html").render(values)
