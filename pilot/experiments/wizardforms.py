"""The pages of the plan as forms: what is posted goes into the draft, section by section, as it was typed.

The name of a field is its place in the plan, so that what the rules find wrong stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import LazyString, lazy_gettext
from werkzeug.datastructures import MultiDict

from pilot.config import LANGUAGES
from pilot.customers.segmenting import ruleforms
from pilot.errors import InputError
from pilot.experiments import partforms
from pilot.experiments.drafts import Document
from pilot.experiments.partforms import clean, number
from pilot.parts import Part
from pilot.plugins.manager import plugins

Form = MultiDict[str, str]
CONTROL_AND_ONE = 2
MOST_ARMS = 6
MOST_OUTCOMES = 20


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the plan, and the sections of the plan that stand on it."""

    key: str
    title: LazyString
    sections: tuple[str, ...]


PAGES = (
    Page("population", lazy_gettext("Who takes part"), ("key", "name", "question", "population")),
    Page("sample", lazy_gettext("Sample"), ("sampling", "assignment", "arrivals")),
    Page("arms", lazy_gettext("Arms"), ("arms",)),
    Page("calendar", lazy_gettext("Calendar"), ("calendar",)),
    Page("survey", lazy_gettext("Survey"), ("survey", "survey_version", "survey_digest")),
    Page("outcomes", lazy_gettext("Outcomes"), ("outcomes", "analyses")),
    Page("size", lazy_gettext("What it can show"), ("expected",)),
    Page("notice", lazy_gettext("Notice"), ("notice",)),
    Page("decision", lazy_gettext("Decision"), ("decision", "looks", "ladder")),
    Page("check", lazy_gettext("Check and seal"), ()),
)


def take(page: str, form: Form, document: Document) -> None:
    """Put what was posted on a page into the draft."""
    reader = _READERS.get(page)
    if reader:
        reader(form, document)


def act(what: str, document: Document) -> None:
    """Do what a button of a page asks for: one arm, outcome or analysis more or less, or a rule."""
    verb, _sep, where = what.partition(":")
    doer = _ACTS.get(verb)
    if doer:
        doer(document, where)


def page_of(section: str) -> str:
    """The page on which a section of the plan stands."""
    return next((page.key for page in PAGES if section in page.sections), "check")


def _population(form: Form, document: Document) -> None:
    for name in ("name", "question"):
        document[name] = clean(form.get(name, ""))
    section = _section(document, "population")
    section["segments"] = [clean(key) for key in form.getlist("population.segments")]
    _put(section, "as_of", clean(form.get("population.as_of", "")))
    section["keep_lost"] = "population.keep_lost" in form
    section["one_per_entity"] = "population.one_per_entity" in form
    if f"{ruleforms.ROOT}.rule" in form:
        node = ruleforms.typed(form)
        section["rule"] = {"part": node.rule, "settings": _rule_settings(node)}


def _rule_settings(node: ruleforms.Node) -> dict[str, Any]:
    if node.rules is not None:
        return {"rules": [{"rule": inner.rule, "settings": _rule_settings(inner)} for inner in node.rules]}
    read = ruleforms.settings_of(node)
    wrong = {item.setting: clean("\n".join(item.typed)) for item in node.inputs if item.error}
    return {**read, **wrong}


def _sample(form: Form, document: Document) -> None:
    _size(form, document)
    section = _section(document, "sampling")
    section["strata"] = [clean(key) for key in form.getlist("sampling.strata")]
    section["cluster"] = clean(form.get("sampling.cluster", ""))
    section["public_source"] = clean(form.get("sampling.public_source", ""))
    section["design"] = _choice(form, "sampling.design", "sampling_designs")
    document["assignment"] = _choice(form, "assignment", "assignment_designs")


def _size(form: Form, document: Document) -> None:
    if "sampling.size" in form:
        _put(_section(document, "sampling"), "size", number(form["sampling.size"]))


def _arms(form: Form, document: Document) -> None:
    arms = document.setdefault("arms", [])
    for place, arm in enumerate(arms):
        name = f"arms[{place}]"
        if f"{name}.label" not in form:
            continue
        arm["label"] = clean(form[f"{name}.label"])
        arm["channel"] = clean(form.get(f"{name}.channel", ""))
        _put(arm, "share", number(form.get(f"{name}.share", ""), percent=True))


def _calendar(form: Form, document: Document) -> None:
    section = _section(document, "calendar")
    for name in ("start", "end", "survey_until"):
        _put(section, name, clean(form.get(f"calendar.{name}", "")))


def _survey(form: Form, document: Document) -> None:
    chosen = clean(form.get("survey", ""))
    if chosen != document.get("survey"):
        document |= {"survey_version": None, "survey_digest": None}
    document["survey"] = chosen


def _outcomes(form: Form, document: Document) -> None:
    for place, outcome in enumerate(document.setdefault("outcomes", [])):
        name = f"outcomes[{place}]"
        if f"{name}.label" in form:
            _outcome(form, name, outcome)
    for place, planned in enumerate(document.setdefault("analyses", [])):
        name = f"analyses[{place}].analysis"
        if f"{name}.part" in form:
            planned["analysis"] = _choice(form, name, "analyses")
    one_margin(document)


def _outcome(form: Form, name: str, outcome: Document) -> None:
    outcome["label"] = clean(form[f"{name}.label"])
    outcome["source"] = _choice(form, f"{name}.source", "outcomes")
    outcome["role"] = clean(form.get(f"{name}.role", "secondary"))
    outcome["higher_is_better"] = form.get(f"{name}.higher_is_better", "1") == "1"
    _put(outcome, "margin", number(form.get(f"{name}.margin", "")))
    outcome["margin_reason"] = clean(form.get(f"{name}.margin_reason", ""))


def one_margin(document: Document) -> None:
    """Give every analysis that has a margin its outcome's: there is one, and it has one field."""
    margins = {outcome.get("key"): outcome.get("margin") for outcome in document["outcomes"]}
    for planned in document["analyses"]:
        choice, margin = planned["analysis"], margins.get(planned.get("outcome"))
        part = known("analyses", choice["part"])
        if part and "margin" in getattr(part, "__dataclass_fields__", {}):
            settings = {name: value for name, value in choice.get("settings", {}).items() if name != "margin"}
            choice["settings"] = settings if margin is None else {**settings, "margin": margin}


def _notice(form: Form, document: Document) -> None:
    texts = {}
    for language in LANGUAGES:
        subject, body = (clean(form.get(f"notice.{language}.{name}", "")) for name in ("subject", "body"))
        if subject or body:
            texts[language] = {"subject": subject, "body": body}
    document["notice"] = texts


def _decision(form: Form, document: Document) -> None:
    section = _section(document, "decision")
    for name in ("not_worse", "cheaper"):
        _put(section, name, clean(form.get(f"decision.{name}", "")))
    _put(section, "level", number(form.get("decision.level", ""), percent=True))


def _expected(form: Form, document: Document) -> None:
    """The size, and what is expected: shares in percent, numbers of outcomes on their scale."""
    _size(form, document)
    section = _section(document, "expected")
    for name in ("response", "attrition", "icc"):
        if f"expected.{name}" in form:
            _put(section, name, number(form[f"expected.{name}"], percent=name != "icc"))
    outcomes = section.setdefault("outcomes", {})
    for name in form:
        found = re.fullmatch(r"expected\.outcomes\.([a-z][a-z0-9-]*)\.(mean|sd|effect)", name)
        if found:
            _put(outcomes.setdefault(found[1], {}), found[2], number(form[name]))
    section["outcomes"] = {key: values for key, values in outcomes.items() if values}


_READERS: Mapping[str, Callable[[Form, Document], None]] = {
    "population": _population,
    "sample": _sample,
    "arms": _arms,
    "calendar": _calendar,
    "survey": _survey,
    "outcomes": _outcomes,
    "size": _expected,
    "notice": _notice,
    "decision": _decision,
}


def _add_rule(document: Document, where: str) -> None:
    section = _section(document, "population")
    if not section.get("rule"):
        section["rule"] = {"part": ruleforms.FIRST_RULE, "settings": {}}
        return
    node = ruleforms.stored(section["rule"]["part"], section["rule"].get("settings", {}))
    ruleforms.grow(node, where)
    section["rule"]["settings"] = _rule_settings(node)


def _drop_rule(document: Document, where: str) -> None:
    section = _section(document, "population")
    if where == ruleforms.ROOT:
        section["rule"] = None
        return
    node = ruleforms.stored(section["rule"]["part"], section["rule"].get("settings", {}))
    ruleforms.prune(node, where)
    section["rule"]["settings"] = _rule_settings(node)


def _add_arm(document: Document, where: str) -> None:
    arms = document.setdefault("arms", [])
    if len(arms) < MOST_ARMS:
        key = _new_key("pilot" if arms else "control", arms)
        channel = "field-rep" if not arms else "service-desk"
        arms.append({"key": key, "label": "", "channel": channel, "share": 0})
        _even_shares(arms)


def _drop_arm(document: Document, where: str) -> None:
    arms = document.get("arms", [])
    if where.isdecimal() and len(arms) > CONTROL_AND_ONE and 0 < int(where) < len(arms):
        del arms[int(where)]
        _even_shares(arms)


def _even_shares(arms: list[Document]) -> None:
    even = round(1 / len(arms), 4)
    for arm in arms:
        arm["share"] = even
    arms[0]["share"] = round(1 - even * (len(arms) - 1), 4)


def _add_outcome(document: Document, where: str) -> None:
    outcomes = document.setdefault("outcomes", [])
    if len(outcomes) < MOST_OUTCOMES:
        key = _new_key("outcome", outcomes)
        outcomes.append({"key": key, "label": "", "source": {"part": "revenue", "settings": {}}, "role": "secondary"})
        _add_analysis(document, key)


def _drop_outcome(document: Document, where: str) -> None:
    outcomes = document.get("outcomes", [])
    if where.isdecimal() and int(where) < len(outcomes) and len(outcomes) > 1:
        gone = outcomes.pop(int(where)).get("key")
        document["analyses"] = [item for item in document.get("analyses", []) if item.get("outcome") != gone]
        document.get("expected", {}).get("outcomes", {}).pop(gone, None)


def _add_analysis(document: Document, where: str) -> None:
    analysis = {"part": "stratified-difference", "settings": {}}
    document.setdefault("analyses", []).append({"outcome": where, "analysis": analysis})


def _drop_analysis(document: Document, where: str) -> None:
    analyses = document.get("analyses", [])
    if where.isdecimal() and int(where) < len(analyses):
        del analyses[int(where)]


_ACTS: Mapping[str, Callable[[Document, str], None]] = {
    "add": _add_rule,
    "drop": _drop_rule,
    "add-arm": _add_arm,
    "drop-arm": _drop_arm,
    "add-outcome": _add_outcome,
    "drop-outcome": _drop_outcome,
    "add-analysis": _add_analysis,
    "drop-analysis": _drop_analysis,
}


def _new_key(stem: str, items: list[Document]) -> str:
    taken = {item.get("key") for item in items}
    return next(key for key in (stem, *(f"{stem}-{n}" for n in range(2, len(items) + 3))) if key not in taken)


def _choice(form: Form, place: str, kind: str) -> Document:
    part = known(kind, clean(form.get(f"{place}.part", "")))
    if part is None:
        return {"part": clean(form.get(f"{place}.part", "")), "settings": {}}
    return {"part": part.key, "settings": partforms.read(part, form, f"{place}.settings")}


def known(kind: str, key: str) -> type[Part] | None:
    """The part, if it is installed."""
    try:
        return plugins().get(kind, key)
    except InputError:
        return None


def _section(document: Document, name: str) -> Document:
    if not isinstance(document.get(name), dict):
        document[name] = {}
    section: Document = document[name]
    return section


def _put(section: Document, name: str, value: Any) -> None:
    """Set a key, or leave it out where nothing was typed."""
    if value == "":
        section.pop(name, None)
    else:
        section[name] = value
