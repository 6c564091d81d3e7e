"""What the pages of the plan show beside what was typed: choices, counts, previews, and what the plan comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask_babel import gettext, lazy_gettext
from pydantic import ValidationError

from pilot import config
from pilot.analysis import Analysis, Scale
from pilot.analysis.apportionment import apportion
from pilot.customers import wording
from pilot.customers.rules import MAX_DEPTH
from pilot.customers.segmenting import ruleforms
from pilot.customers.service import segments
from pilot.errors import PilotError, PlanError
from pilot.experiments import notice, partforms, power, powerviews, service
from pilot.experiments.difference import compared
from pilot.experiments.drafts import Document, Draft, complete, eligible_now, partial
from pilot.experiments.eligibility import CLUSTER_FIELDS, MEASURES, STRATUM_FIELDS
from pilot.experiments.plan import Calendar, NoticeText, canonical
from pilot.experiments.sealing import fit_to_seal
from pilot.experiments.templates import published_surveys
from pilot.experiments.wizardforms import known
from pilot.parts import Part
from pilot.plugins.manager import plugins

REASON_NAMES = {
    "other_rule": lazy_gettext("The rule does not take them"),
    "no_address": lazy_gettext("No e-mail address"),
    "opted_out": lazy_gettext("Want no mail"),
    "in_experiment": lazy_gettext("In another pilot that goes on"),
    "lost": lazy_gettext("Lost customers"),
    "same_entity": lazy_gettext("Same company as another one"),
}
FIELD_NAMES = {
    "basket": lazy_gettext("Mean order"),
    "cost_year": lazy_gettext("Cost to serve, 12 months"),
    "interval_days": lazy_gettext("Days between orders"),
    "mail_domain": lazy_gettext("Mail domain"),
    "address": lazy_gettext("Address"),
    "minutes_year": lazy_gettext("Minutes of contact, 12 months"),
    "monetary": lazy_gettext("Revenue, ever"),
    "order_days": lazy_gettext("Days with orders"),
    "recency_days": lazy_gettext("Days since the last order"),
    "revenue_band": lazy_gettext("Quarter of revenue"),
    "revenue_before": lazy_gettext("Revenue, the 12 months before"),
    "tenure_days": lazy_gettext("Days as a customer"),
    "touches_year": lazy_gettext("Contacts, 12 months"),
}
ROLE_NAMES = {
    "primary": lazy_gettext("Decides"),
    "secondary": lazy_gettext("Is reported"),
    "guardrail": lazy_gettext("Must not suffer"),
}
LEVELS = (0.8, 0.9, 0.95, 0.99)


def context(page: str, draft: Draft, *, complete: bool) -> dict[str, Any]:
    """What a page shows; `complete` says that nothing is missing in the draft."""
    maker = _MAKERS.get(page)
    return maker(draft, complete) if maker else {}


def standing(key: str) -> Document:
    """The plan as it is sealed, as a document."""
    document: Document = json.loads(canonical(service.plan_of(service.get(key))))
    return document


def field_name(name: str) -> str:
    """What pages call a field of customers or profiles."""
    return str(FIELD_NAMES.get(name) or wording.FIELD_NAMES.get(name) or name)


def _population(draft: Draft, _complete: bool) -> dict[str, Any]:
    rule = draft.document.get("population", {}).get("rule")
    count, error = None, None
    try:
        count = eligible_now(draft.document)
    except PlanError as wrong:
        error = wrong
    return {
        "segments": segments(),
        "count": count,
        "count_error": error,
        "reason_names": REASON_NAMES,
        "rule_node": _rule(rule) if rule else None,
        "rule_names": ruleforms.rule_names(),
        "simple_names": ruleforms.rule_names(combinations=False),
        "deepest": MAX_DEPTH - 1,
        "choice_names": {**wording.FIELD_NAMES, **wording.ACTIVITY_NAMES},
    }


def _rule(rule: Mapping[str, Any]) -> ruleforms.Node | None:
    try:
        node = ruleforms.stored(rule["part"], rule.get("settings", {}))
        ruleforms.settings_of(node)  # marks what cannot be read
    except (PilotError, KeyError, TypeError):
        return None  # its plugin is gone, or a file holds what no form can show: the checklist says so
    return node


def _sample(draft: Draft, _complete: bool) -> dict[str, Any]:
    sampling = draft.document.get("sampling", {})
    return {
        "stratum_names": {name: field_name(name) for name in STRATUM_FIELDS},
        "cluster_names": {name: field_name(name) for name in CLUSTER_FIELDS},
        "choice_names": {name: field_name(name) for name in MEASURES} | _VALUE_NAMES,
        "sampling_names": partforms.part_names("sampling_designs"),
        "assignment_names": partforms.part_names("assignment_designs"),
        "sampling_inputs": _design("sampling_designs", sampling.get("design"), "sampling.design", "stratified"),
        "assignment_inputs": _design("assignment_designs", draft.document.get("assignment"), "assignment", ""),
        "eligible": _eligible(draft.document),
        "sizes": sizes(draft.document),
        "shown": partforms.shown,
    }


_VALUE_NAMES = {
    "": lazy_gettext("None"),
    "overall": lazy_gettext("over all strata"),
    "stratum": lazy_gettext("in every stratum alone"),
}


def _design(kind: str, choice: Mapping[str, Any] | None, place: str, default: str) -> list[partforms.Input]:
    part = known(kind, choice["part"] if choice else default or "stratified-blocks")
    settings = choice.get("settings", {}) if choice else {}
    choices = {"by": MEASURES, "cost": ("", *MEASURES)}
    return partforms.inputs(part, settings, f"{place}.settings", choices) if part else []


def _eligible(document: Document) -> int | None:
    try:
        found = eligible_now(document)
    except PlanError:
        return None
    return found[1][-1].remaining if found else None


def _arms(draft: Draft, _complete: bool) -> dict[str, Any]:
    return {"channel_names": wording.channel_names(), "sizes": sizes(draft.document), "shown": partforms.shown}


def sizes(document: Document) -> Sequence[int]:
    """How many customers each arm would get; none while size or shares cannot be used."""
    size = document.get("sampling", {}).get("size")
    shares = [arm.get("share") for arm in document.get("arms", [])]
    if not isinstance(size, int) or not 0 < size < 10**9 or not all(isinstance(share, int | float) for share in shares):
        return []
    sound = all(0 < share < 1 for share in shares) and abs(sum(shares) - 1) < 1e-9
    return [int(number) for number in apportion(size, shares)] if sound else []


def _survey(draft: Draft, _complete: bool) -> dict[str, Any]:
    surveys = published_surveys()
    return {"surveys": surveys, "questions": surveys.get(str(draft.document.get("survey")), {})}


def _outcomes(draft: Draft, _complete: bool) -> dict[str, Any]:
    document = draft.document
    questions = published_surveys().get(str(document.get("survey")), {})
    blocks = []
    for place, outcome in enumerate(document.get("outcomes", [])):
        source = outcome.get("source", {})
        part = known("outcomes", source.get("part", ""))
        where = f"outcomes[{place}].source.settings"
        shown = partforms.inputs(part, source.get("settings", {}), where, {"question": list(questions)}) if part else []
        blocks.append(
            {"place": place, "outcome": outcome, "inputs": shown, "analyses": _analyses(document, outcome, part)}
        )
    return {
        "blocks": blocks,
        "choice_names": questions,
        "source_names": partforms.part_names("outcomes"),
        "analysis_names": partforms.part_names("analyses"),
        "role_names": ROLE_NAMES,
        "shown": partforms.shown,
    }


def _analyses(document: Document, outcome: Mapping[str, Any], source: type[Part] | None) -> list[dict[str, Any]]:
    """The planned analyses of an outcome, each with its settings, and those that could be in its place."""
    suited = _suited(document, outcome, source)
    found = []
    for place, planned in enumerate(document.get("analyses", [])):
        if planned.get("outcome") == outcome.get("key"):
            choice = planned["analysis"]
            part = known("analyses", choice["part"])
            where = f"analyses[{place}].analysis.settings"
            shown = partforms.inputs(part, choice.get("settings", {}), where, {}, hidden=("margin",)) if part else []
            offered = list(dict.fromkeys([choice["part"], *suited]))
            found.append({"place": place, "part": choice["part"], "inputs": shown, "offered": offered})
    return found


def _suited(document: Document, outcome: Mapping[str, Any], source: type[Part] | None) -> list[str]:
    """The analyses that can compare this outcome and give a difference on its scale; all of these while it is unknown."""
    kinds: list[type[Analysis]] = [part for part in plugins().all("analyses") if getattr(part, "on_scale", False)]
    try:
        plan = partial(key=document["key"], survey=document.get("survey", ""), survey_version=None, survey_digest=None)
        made: Any = source.restore(outcome["source"].get("settings", {})) if source else None
        scale: Scale | None = made.scale(plan) if made else None
    except PilotError:
        scale = None
    if scale is None:
        return [kind.key for kind in kinds]
    return [kind.key for kind in kinds if scale in kind.scales]


def _size(draft: Draft, complete_draft: bool) -> dict[str, Any]:
    found, error = None, None
    if complete_draft:
        try:
            found = power.of(service.get(draft.key), complete(draft.document))
        except PilotError as wrong:
            error = wrong
    return {
        "power": found,
        "outcomes": powerviews.shown(found) if found else [],
        "power_error": error,
        "eligible": _eligible(draft.document),
        "sizes": sizes(draft.document),
        "shown": partforms.shown,
    }


def _notice(draft: Draft, _complete: bool) -> dict[str, Any]:
    return {"previews": {language: _preview(draft.document, language) for language in config.LANGUAGES}}


def _preview(document: Document, language: str) -> Any:
    """The notice as a customer would read it; None while text or calendar cannot be used."""
    try:
        calendar = Calendar.model_validate(document.get("calendar"))
        own = document.get("notice", {}).get(language)
        texts = {language: NoticeText.model_validate(own)} if own else {}
        plan = partial(calendar=calendar, notice=texts)
        return notice.write(plan, gettext("Example customer"), language)
    except (ValidationError, ValueError, KeyError, IndexError, AttributeError):
        return None


def _decision(draft: Draft, _complete: bool) -> dict[str, Any]:
    outcomes = {outcome.get("key"): outcome for outcome in draft.document.get("outcomes", [])}
    return {"outcomes": outcomes, "levels": LEVELS, "shown": partforms.shown}


def _check(draft: Draft, complete_draft: bool) -> dict[str, Any]:
    """What would be sealed, tried out to the last step; or why it cannot be."""
    ready, refusal = None, None
    if complete_draft:
        try:
            ready = fit_to_seal(complete(draft.document), f"plan of {draft.key}")
        except PilotError as error:
            refusal = error
    amending = draft.state != "draft"
    return {
        "ready": ready,
        "refusal": refusal,
        "sizes": sizes(draft.document),
        "segment_names": {segment.key: segment.name for segment in segments()},
        "amending": amending,
        "changes": compared(standing(draft.key), draft.document) if amending else [],
        "field_name": field_name,
    }


_MAKERS: Mapping[str, Callable[[Draft, bool], dict[str, Any]]] = {
    "population": _population,
    "sample": _sample,
    "arms": _arms,
    "survey": _survey,
    "outcomes": _outcomes,
    "size": _size,
    "notice": _notice,
    "decision": _decision,
    "check": _check,
}
