"""Drafts: kept whatever is in them, held against the plan's own rules, never overwritten unseen."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from flask import Flask

from pilot.accounts.service import Actor, trail
from pilot.errors import Forbidden, NotFound, PlanError, StateError
from pilot.experiments import drafts, service
from pilot.experiments.drafts import StaleDraft, plain
from pilot.experiments.models import Experiment
from pilot.experiments.plan import Plan

KEY = "desk-2026"


@pytest.fixture
def draft(document: dict[str, Any]) -> dict[str, Any]:
    """The sound plan as a draft holds it."""
    found: dict[str, Any] = plain(document)
    return found


def places(document: dict[str, Any]) -> list[str]:
    return [problem.place for problem in drafts.problems(document)]


def test_a_sound_plan_has_no_problems(small_base: Flask, draft: dict[str, Any]) -> None:
    assert drafts.problems(draft) == []


def test_an_empty_draft_misses_every_section_in_the_order_of_the_plan(small_base: Flask) -> None:
    assert places({}) == [
        "key", "name", "population", "sampling", "arms", "calendar", "survey", "outcomes", "analyses", "decision",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        (lambda d: d["population"].update(segments=[]), "population.segments", "too_short"),
        (lambda d: d["population"].update(segments=["tiny"]), "population.segments[0]", "segments known"),
        (lambda d: d["population"].update(as_of="soon"), "population.as_of", "date_from_datetime_parsing"),
        (lambda d: d["sampling"].update(size="many"), "sampling.size", "int_parsing"),
        (lambda d: d["sampling"].update(strata=["mood"]), "sampling.strata[0]", "fields known"),
        (lambda d: d["sampling"].update(design={"part": "clusters"}), "sampling.cluster", "designs"),
        (lambda d: d["arms"][1].update(share=0.4), "arms[1].share", "shares"),
        (lambda d: d["arms"][1].update(channel="pigeon"), "arms[1].channel", "channels known"),
        (lambda d: d["calendar"].update(end="2026-03-01"), "calendar.end", "calendar"),
        (lambda d: d["outcomes"][0].update(margin_reason=""), "outcomes[0].margin_reason", "margins"),
        (lambda d: d["outcomes"][0]["source"].update(settings={"qestion": "csat"}), "outcomes[0].source.settings.qestion", "settings"),
        (lambda d: d["analyses"][1].update(outcome="joy"), "analyses[1].outcome", "analyses"),
        (lambda d: d["decision"].update(level=0.9), "decision.not_worse", "levels"),
        (lambda d: d.update(notice={"it": {"subject": "Ciao {name}", "body": "x"}}), "notice.it.subject", "notice"),
    ],
)  # fmt: skip
def test_each_fault_stands_at_its_place_with_the_rule_that_says_so(
    small_base: Flask, draft: dict[str, Any], change: Callable[[dict[str, Any]], Any], place: str, rule: str
) -> None:
    change(draft)
    assert (place, rule) in [(problem.place, problem.rule) for problem in drafts.problems(draft)]
    with pytest.raises(PlanError):
        drafts.complete(draft)


def test_faults_of_several_sections_are_told_at_once(small_base: Flask, draft: dict[str, Any]) -> None:
    del draft["survey"]
    draft["arms"][0]["share"] = 0.7
    draft["calendar"]["end"] = "2026-03-01"
    assert places(draft) == ["arms[1].share", "calendar.end", "survey"]


def test_an_incomplete_draft_is_kept_as_typed_and_is_no_experiment(
    base: Flask, operator: Actor, draft: dict[str, Any]
) -> None:
    draft["sampling"]["size"] = "about a hundred"
    drafts.begin(operator, draft)
    assert drafts.opened(KEY).document["sampling"]["size"] == "about a hundred"
    assert [kept.key for kept in drafts.unfinished()] == [KEY]
    with pytest.raises(NotFound):
        service.get(KEY)
    with pytest.raises(StateError, match=r"not finished: sampling\.size"):
        service.seal(operator, KEY)


def test_the_last_point_worked_off_makes_it_an_experiment(base: Flask, operator: Actor, draft: dict[str, Any]) -> None:
    survey = draft.pop("survey")
    begun = drafts.begin(operator, draft)
    drafts.save(operator, KEY, {**draft, "survey": survey}, begun.version)
    made = service.get(KEY)
    assert service.plan_of(made).sampling.size == 60
    assert drafts.unfinished() == []
    assert [entry.action for entry in trail(f"experiment:{KEY}")] == ["created"]


def test_what_becomes_incomplete_again_is_not_sealed(base: Flask, operator: Actor, draft: dict[str, Any]) -> None:
    begun = drafts.begin(operator, draft)
    worse = deepcopy(draft)
    del worse["arms"][1]["share"]
    worse["calendar"]["end"] = "2026-03-01"
    drafts.save(operator, KEY, worse, begun.version)
    with pytest.raises(StateError, match=r"arms\[1\]\.share: this key is missing, and 1 more"):
        service.seal(operator, KEY)
    assert service.get(KEY).state == "draft"


def test_the_seal_takes_what_was_saved_last_and_ends_the_draft(
    base: Flask, operator: Actor, draft: dict[str, Any]
) -> None:
    begun = drafts.begin(operator, draft)
    draft["sampling"]["size"] = 80
    drafts.save(operator, KEY, draft, begun.version)
    sealed = service.seal(operator, KEY)
    assert service.plan_of(sealed).sampling.size == 80
    assert drafts.opened(KEY).version == 0


def test_a_stale_save_is_refused_and_changes_nothing(base: Flask, operator: Actor, draft: dict[str, Any]) -> None:
    begun = drafts.begin(operator, draft)
    first = drafts.save(operator, KEY, {**draft, "name": "First"}, begun.version)
    with pytest.raises(StaleDraft):
        drafts.save(operator, KEY, {**draft, "name": "Second"}, begun.version)
    assert (drafts.opened(KEY).document["name"], drafts.opened(KEY).version) == ("First", first.version)


def test_a_plan_from_a_file_replaces_the_draft_that_others_have_open(
    base: Flask, operator: Actor, draft: dict[str, Any]
) -> None:
    begun = drafts.begin(operator, draft)
    service.create(operator, Plan.model_validate({**draft, "name": "From a file"}))
    assert drafts.opened(KEY).document["name"] == "From a file"
    with pytest.raises(StaleDraft):
        drafts.save(operator, KEY, draft, begun.version)


def test_a_key_is_begun_once(base: Flask, operator: Actor, draft: dict[str, Any]) -> None:
    drafts.begin(operator, draft)
    with pytest.raises(StateError, match="already"):
        drafts.begin(operator, draft)
    with pytest.raises(PlanError):
        drafts.begin(operator, {**draft, "key": "No key"})


def test_an_amendment_is_written_beside_the_sealed_plan(
    base: Flask, operator: Actor, bring_to: Callable[[str], Experiment]
) -> None:
    bring_to("sealed")
    opened = drafts.opened(KEY)
    written = drafts.save(operator, KEY, {**opened.document, "name": "Other name"}, opened.version)
    assert service.plan_of(service.get(KEY)).name == "Service desk instead of field visits"
    service.amend(operator, KEY, "The name was wrong", drafts.complete(written.document))
    assert service.plan_of(service.get(KEY)).name == "Other name"
    assert drafts.opened(KEY).version == 0


def test_a_draft_thrown_away_leaves_the_plan(base: Flask, operator: Actor, draft: dict[str, Any]) -> None:
    begun = drafts.begin(operator, draft)
    drafts.save(operator, KEY, {**draft, "name": ""}, begun.version)
    drafts.discard(operator, KEY)
    assert drafts.opened(KEY).document["name"] == "Service desk instead of field visits"


def test_a_plan_that_is_over_is_not_opened(
    small_base: Flask, operator: Actor, bring_to: Callable[[str], Experiment]
) -> None:
    bring_to("closed")
    with pytest.raises(StateError):
        drafts.opened(KEY)
    with pytest.raises(StateError):
        drafts.save(operator, KEY, {}, 0)


def test_only_operations_write(small_base: Flask, draft: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        drafts.begin(Actor("viewer@example.com", frozenset({"viewer"})), draft)


def test_the_count_needs_nothing_but_the_population(small_base: Flask, draft: dict[str, Any]) -> None:
    found = drafts.eligible_now({"population": draft["population"]})
    assert found is not None
    assert (found[0], found[1][-1].remaining) == (200, 200)
    assert drafts.eligible_now({"population": {"segments": []}}) is None
