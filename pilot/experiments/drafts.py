"""Plans that are still being written: incomplete, wrong in places, kept nevertheless, and held against the same rules.

A draft is a plain dict in the shape of the plan. Whatever was typed stays in it as it was typed. As soon as nothing is
missing it is kept as an experiment too; until then there is only the draft.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import takewhile
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.db import Transaction, db, transaction
from pilot.errors import PilotError, PlanError, StateError
from pilot.experiments.eligibility import Step, counts
from pilot.experiments.models import Experiment, PlanDraft
from pilot.experiments.plan import PartChoice, Plan, Population, Sampling, canonical, text_hash
from pilot.experiments.preflight import FITTING, INSTALLED, check, complete_sections
from pilot.experiments.rules import RULES, Rule, faults
from pilot.experiments.sealing import plan_of
from pilot.experiments.states import find, get, subject
from pilot.faults import in_words, spell

Document = dict[str, Any]
SECTIONS = tuple(Plan.model_fields)
CHANGEABLE = ("draft", "sealed", "drawn", "running")


@dataclass(frozen=True, slots=True)
class Problem:
    """One point of the checklist.

    Attributes:
        place: The key in the document, e.g. `arms[1].share`.
        reason: What is missing or wrong, in English.
        remedy: What to do about it, in English.
        rule: Which rule says so, for those who have other words for it: the name of a rule of the plan, or pydantic's
            name of the fault, e.g. `missing`.
    """

    place: str
    reason: str
    remedy: str
    rule: str

    @property
    def section(self) -> str:
        """The section of the plan it stands in."""
        return self.place.split(".")[0].split("[")[0]


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as it is kept; version 0 where it is the plan of an experiment that nobody has begun to change here."""

    key: str
    document: Document
    version: int
    saved_at: datetime
    saved_by: str
    state: str
    """Of the experiment; `draft` where there is none yet. In later states the draft is an amendment being written."""


class StaleDraft(StateError):
    """Somebody else has saved the draft in the meantime; nothing was overwritten."""


def problems(document: Mapping[str, Any]) -> list[Problem]:
    """What is missing or wrong, section by section in the order of the plan; empty if it is a plan that can be kept.

    Fields are checked by the plan's own model, and of its rules those whose sections are sound.
    """
    found = list(_field_faults(document))
    plan, sound = _sound_part(document, {problem.section for problem in found})
    found += _broken((*RULES, *INSTALLED), plan, sound)
    complete, fitting = _completed(plan, sound, found)
    found += _broken(FITTING, complete, fitting)
    order = {name: number for number, name in enumerate(SECTIONS)}
    return sorted(dict.fromkeys(found), key=lambda problem: order.get(problem.section, len(order)))


def complete(document: Mapping[str, Any]) -> Plan:
    """The plan that a draft without problems is, with the settings of all its parts.

    Raises:
        PlanError: It has problems.
    """
    try:
        return check(Plan.model_validate(document))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        reason, remedy = in_words(fault, Plan)
        raise PlanError(reason, place=spell(fault["loc"]), remedy=remedy) from error


def eligible_now(document: Mapping[str, Any]) -> tuple[int, tuple[Step, ...]] | None:
    """How many customers the population of a draft has, and what each step leaves of them; None if it is not sound yet.

    Raises:
        PlanError: There is no profile of its day.
    """
    wrong = {problem.section for problem in problems(document)}
    if "population" in wrong or "population" not in document:
        return None
    population = Population.model_validate(document["population"])
    bare: dict[str, Any] = {
        "sampling": Sampling(size=2, design=PartChoice(part="simple")),
        "assignment": PartChoice(part="complete"),
    }
    return counts(partial(key=document.get("key", ""), population=population, **bare))


def partial(**sections: Any) -> Plan:
    """A plan of which only some sections stand, unchecked, for what reads no others."""
    return Plan.model_construct(**sections)


def begin(actor: Actor, document: Mapping[str, Any]) -> Draft:
    """Keep a new draft.

    Raises:
        PlanError: Its key cannot be used.
        StateError: There is an experiment or draft of this key.
    """
    key = str(document.get("key", ""))
    for problem in problems(document):
        if problem.section == "key":
            raise PlanError(problem.reason, place="key", remedy=problem.remedy)
    if find(key) is not None or _row(key) is not None:
        raise StateError(f"there is a pilot {key} already", place="key", remedy="Choose another key")
    return save(actor, key, document, 0)


def opened(key: str) -> Draft:
    """The draft of this key: as it is being written, or the plan of an experiment that can still be changed.

    Raises:
        NotFound: There is neither.
        StateError: The experiment is over.
    """
    row, experiment = _row(key), find(key)
    if row is None:
        experiment = get(key)
        _check_changeable(experiment)
        return Draft(key, json.loads(canonical(plan_of(experiment))), 0, experiment.created_at, "", experiment.state)
    state = experiment.state if experiment else "draft"
    return Draft(key, row.document, row.version, row.saved_at, row.saved_by, state)


def unfinished() -> list[Draft]:
    """The drafts that are no experiments yet, newest first."""
    known = sa.select(Experiment.key)
    rows = db.session.scalars(sa.select(PlanDraft).where(PlanDraft.key.not_in(known)).order_by(PlanDraft.id.desc()))
    return [Draft(row.key, row.document, row.version, row.saved_at, row.saved_by, "draft") for row in rows]


def save(actor: Actor, key: str, document: Mapping[str, Any], version: int) -> Draft:
    """Keep what was written, whatever it is; if nothing is missing in it, as an experiment in draft too.

    Args:
        actor: Of operations.
        key: Of the draft; it never changes.
        document: The whole draft.
        version: Of the draft that was changed.

    Raises:
        StaleDraft: Somebody saved another version in the meantime.
        StateError: The experiment is over.
    """
    actor.require("operations")
    with transaction() as work:
        experiment = find(key, lock=True)
        if experiment is not None:
            _check_changeable(experiment)
        row = _row(key, lock=True)
        if version != (row.version if row else 0):
            raise StaleDraft(
                f"the plan of {key} was saved by somebody else in the meantime",
                remedy="Compare both versions and choose",
            )
        row = row or PlanDraft(key=key)
        row.document, row.version = {**document, "key": key}, version + 1
        row.saved_at, row.saved_by = clock.now(), actor.name
        work.session.add(row)
        _flush_new(work, key)
        if (experiment is None or experiment.state == "draft") and not problems(row.document):
            keep(work, actor, complete(row.document))
    return opened(key)


def keep(work: Transaction, actor: Actor, plan: Plan, place: str = "") -> Experiment:
    """Keep a plan that has been checked as an experiment in draft, inside the caller's transaction.

    Raises:
        StateError: The experiment is sealed already.
    """
    found = find(plan.key, lock=True)
    if found is not None and found.state != "draft":
        raise StateError(
            f"the experiment {plan.key} is {found.state}: nothing in its plan changes any more",
            place=f"{place}: key" if place else "key",
            remedy="Give the new plan another key",
        )
    experiment = found or Experiment(key=plan.key, state="draft", created_at=clock.now())
    text = canonical(plan)
    if found is None or found.plan != text:
        experiment.name, experiment.plan = plan.name, text
        work.session.add(experiment)
        _flush_new(work, plan.key)
        record(actor, "revised" if found else "created", subject(plan.key), plan=text_hash(text))
    return experiment


def discard(actor: Actor, key: str) -> None:
    """Throw away what was written, and keep the plan as it stands in the experiment, if there is one."""
    actor.require("operations")
    with transaction():
        forget(key)
        record(actor, "draft discarded", subject(key))


def forget(key: str) -> None:
    """Drop the draft, if there is one, inside the caller's transaction: what it was written for has been done."""
    db.session.execute(sa.delete(PlanDraft).where(PlanDraft.key == key))


def finish(actor: Actor, key: str) -> None:
    """Take over what was written page by page, before the seal.

    Raises:
        StateError: Something is missing or wrong; the error counts the points and names the first.
    """
    actor.require("operations")
    row = _row(key)
    if row is None:
        return
    found = problems(row.document)
    if found:
        first, more = found[0], len(found) - 1
        others = f", and {more} more" if more else ""
        raise StateError(
            f"the plan of {key} is not finished: {first.place}: {first.reason}{others}",
            remedy="Work off the checklist of the plan first",
        )
    with transaction() as work:
        keep(work, actor, complete(row.document))


def _field_faults(document: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        Plan.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False)
        for fault in found:
            within = any(
                len(other["loc"]) > len(fault["loc"]) == _shared(other["loc"], fault["loc"]) for other in found
            )
            if fault["type"] == "too_short" and within:
                continue  # the list is only too short because its items are wrong
            reason, remedy = in_words(fault, Plan)
            yield Problem(spell(fault["loc"]), reason, remedy, fault["type"])
    except PlanError:
        return  # every field is sound; the rules are asked one by one


def _shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many steps two places have in common from the top."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def _sound_part(document: Mapping[str, Any], wrong: set[str]) -> tuple[Plan, set[str]]:
    """What of a draft can be read: a plan that lacks the other sections, and the names of those it has."""
    values: dict[str, Any] = {}
    for name, field in Plan.model_fields.items():
        if name in wrong:
            continue
        if name in document:
            values[name] = _reader(name).validate_python(document[name])
        elif not field.is_required():
            values[name] = field.get_default(call_default_factory=True)
    return partial(**values), set(values)


@cache
def _reader(section: str) -> TypeAdapter[Any]:
    kind: Any = Plan.model_fields[section].annotation
    return TypeAdapter(kind)


def _broken(rules: Iterable[Rule], plan: Plan, sections: set[str]) -> list[Problem]:
    return [
        Problem(error.place, error.reason, error.remedy, rule.name) for rule, error in faults(rules, plan, sections)
    ]


def _completed(plan: Plan, sound: set[str], found: list[Problem]) -> tuple[Plan, set[str]]:
    """The plan with settings spelt out where they fit, and the sections that are still sound; the others are problems."""
    fitting = set(sound) - {problem.section for problem in found}
    for name in sorted(fitting):
        try:
            plan = complete_sections(plan, (name,))
        except PilotError as error:
            found.append(Problem(error.place, error.reason, error.remedy, "settings"))
            fitting.discard(name)
    return plan, fitting


def _row(key: str, *, lock: bool = False) -> PlanDraft | None:
    query = sa.select(PlanDraft).where(PlanDraft.key == key)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(query)


def _check_changeable(experiment: Experiment) -> None:
    if experiment.state not in CHANGEABLE:
        raise StateError(
            f"the experiment {experiment.key} is {experiment.state}: its plan is not changed any more",
            remedy="Plan another pilot",
        )


def _flush_new(work: Transaction, key: str) -> None:
    try:
        work.session.flush()
    except IntegrityError as error:
        raise StaleDraft(f"somebody else has just created {key}", remedy="Look at it before you replace it") from error


def plain(value: Any) -> Any:
    """A document as JSON has it: dates as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
