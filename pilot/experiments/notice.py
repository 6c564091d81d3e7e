"""The notice: what every customer of an experiment is told before handling starts, whatever their arm."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import sqlalchemy as sa
from flask_babel import force_locale, format_date
from flask_babel import gettext as _

from pilot import config
from pilot.customers.models import Customer
from pilot.db import db
from pilot.errors import StateError
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import NoticeText, Plan
from pilot.mail.service import Content, letter


def write(plan: Plan, customer: str, language: str) -> Content:
    """The notice of a plan to one customer.

    Args:
        plan: Its own text in this language is used if it has one, else the built-in text.
        customer: The customer's name.
        language: One of `config.LANGUAGES`.
    """
    company = config.current().company
    own = plan.notice.get(language)  # type: ignore[call-overload]
    with force_locale(language):
        until = format_date(plan.calendar.end - timedelta(days=1), "long")
        values = {"customer": customer, "company": company, "until": until}
        subject, paragraphs = _fill(own, values) if own else _built_in(values)
        footer = _("You receive this message because you are a customer of %(company)s.", company=company)
    return letter(language, subject, paragraphs, footer=footer)


def _fill(own: NoticeText, values: dict[str, str]) -> tuple[str, list[str]]:
    """The plan's own text. One pass: what is filled in is never read for placeholders again."""
    paragraphs = [part.strip() for part in own.body.split("\n\n") if part.strip()]
    return own.subject.format(**values), [part.format(**values) for part in paragraphs]


def _built_in(values: dict[str, str]) -> tuple[str, list[str]]:
    return _("How we look after you until %(until)s", **values), [
        _("Dear %(customer)s,", **values),
        _(
            "we at %(company)s want to find out how we can look after our customers best. Until %(until)s we "
            "therefore try out different ways of doing so.",
            **values,
        ),
        _("Which way a customer is looked after in this time is decided by chance, so that the comparison is fair."),
        _(
            "Nothing changes for the worse: your prices, terms and deliveries stay as they are, and you always "
            "have somebody to turn to."
        ),
        _(
            "Afterwards a message from this sender will bring you a short survey and ask how satisfied you are. "
            "Answering it is up to you."
        ),
        _("If you would rather not take part, simply reply to this message. Nothing else changes for you."),
    ]


def language_of(wanted: str | None) -> str:
    """The language a customer is written to in: its own if we speak it, else the company's."""
    return wanted if wanted in config.LANGUAGES else config.current().language


def languages(experiment: Experiment) -> dict[str, int]:
    """How many customers of an experiment will be written to in each language, by language."""
    rows = (
        sa.select(Customer.language, sa.func.count())
        .join(Unit, Unit.customer_id == Customer.id)
        .where(Unit.experiment_id == experiment.id, Customer.opted_out_at.is_(None))
        .group_by(Customer.language)
    )
    found: Counter[str] = Counter()
    for wanted, number in db.session.execute(rows):
        found[language_of(wanted)] += number
    return dict(sorted(found.items()))


def require_texts(experiment: Experiment, plan: Plan) -> None:
    """A plan with texts of its own has one for every language its customers are written to in.

    Without any of its own, everybody gets the built-in text, which exists in every language. A mixture would tell customers
    different things.

    Raises:
        StateError: A text is missing; the reason counts the customers concerned.
    """
    missing = {name: number for name, number in languages(experiment).items() if name not in plan.notice}
    if plan.notice and missing:
        told = ", ".join(f"{number:,} in {name!r}" for name, number in missing.items())
        raise StateError(
            f"the plan has its own notice in {', '.join(sorted(plan.notice))}, but customers are to be told in other "
            f"languages: {told} (those with another language or none are written to in {config.current().language!r}, "
            "the company's)",
            place="notice",
            remedy="Amend the plan with a text in each of these languages, or with none of its own: the built-in text "
            "exists in all",
        )
