from datetime import date

import pytest
import sqlalchemy as sa

from pilot.accounts.models import AuditEntry
from pilot.customers.models import Customer
from pilot.db import db
from pilot.errors import InputError, PlanError, StateError
from pilot.experiments import service
from pilot.experiments.difference import changes
from pilot.experiments.models import PlanVersion
from pilot.experiments.plan import Plan

KEY = "desk-2026"
WHY = "Three customers opted out before the draw"


def amended(document, **values):
    return Plan.model_validate({**document, **values})


def test_the_seal_is_the_first_version_of_the_plan(base, bring_to):
    sealed = bring_to("sealed")
    (version,) = service.versions(sealed)
    assert (version.number, version.plan, version.plan_hash) == (1, sealed.plan, sealed.plan_hash)
    assert version.frame_digest == sealed.frame_digest
    assert version.reason is None


def test_a_base_that_changed_is_taken_anew_with_a_reason_and_then_drawn(base, bring_to, operator, edit):
    first = bring_to("sealed").frame_digest
    edit(Customer, Customer.ref == "C0001", email=None)
    service.amend(operator, KEY, WHY)
    drawn = service.draw(operator, KEY, "3 17 22 41 56 88")
    before, after = service.versions(drawn)
    assert (before.frame_digest, after.frame_digest) == (first, drawn.frame_digest)
    assert before.plan_hash == after.plan_hash
    assert (after.reason, after.actor, drawn.drawn_version) == (WHY, operator.name, 2)
    assert "C0001" not in {unit.ref for unit in service.units(drawn)}
    assert service.replay(KEY).equal


def test_before_the_draw_everything_but_the_key_can_be_amended(small_base, bring_to, operator, document):
    before = bring_to("sealed").plan_hash
    service.amend(operator, KEY, "More customers were promised", amended(document, sampling={"size": 80}))
    found = service.draw(operator, KEY, "3 17 22 41 56 88")
    assert len(service.units(found)) == 80
    assert found.plan_hash != before
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "amended")).one()
    assert entry.details["changes"] == [
        {"place": "sampling.size", "before": 60, "after": 80},
        {"place": "sampling.strata[0]", "before": "region", "after": None},
    ]
    with pytest.raises(PlanError, match="nothing in the plan is changed"):
        service.amend(operator, KEY, "?", amended(document, sampling={"size": 80}))
    with pytest.raises(PlanError, match="cannot be amended any more") as caught:
        service.amend(operator, KEY, "?", amended(document, key="other"))
    assert caught.value.place == "key"


@pytest.mark.parametrize("state", ["drawn", "running"])
def test_after_the_draw_it_can_still_be_repeated_and_what_it_was_made_from_stays(
    small_base, bring_to, operator, document, state
):
    bring_to(state)
    later = {**document["calendar"], "survey_until": date(2026, 7, 31)}
    service.amend(operator, KEY, "August begins with holidays", amended(document, calendar=later))
    found = service.get(KEY)
    assert found.state == state
    assert service.plan_of(found).calendar.survey_until == date(2026, 7, 31)
    assert service.plan_drawn(found).calendar.survey_until == date(2026, 7, 22)
    assert service.replay(KEY).equal
    for section, values in (("sampling", {"size": 80, "strata": ["region"]}), ("survey", "other")):
        with pytest.raises(PlanError, match="cannot be amended any more") as caught:
            service.amend(operator, KEY, "?", amended(document, **{section: values}))
        assert caught.value.place.startswith(section)
    with pytest.raises(StateError, match="its frame stays"):
        service.amend(operator, KEY, "?")


@pytest.mark.parametrize("state", ["draft", "closed", "stopped"])
def test_only_what_is_sealed_and_not_over_is_amended(small_base, bring_to, operator, document, state):
    bring_to(state)
    with pytest.raises(StateError, match=state):
        service.amend(operator, KEY, "?", amended(document, name="Another name"))


def test_an_amendment_needs_a_reason(small_base, bring_to, operator):
    bring_to("sealed")
    with pytest.raises(InputError, match="the reason is empty"):
        service.amend(operator, KEY, "  ")


def test_a_version_edited_in_the_database_is_noticed_by_the_replay(small_base, bring_to, operator, document, edit):
    bring_to("drawn")
    edit(PlanVersion, PlanVersion.number == 1, plan="{}")
    found = service.replay(KEY)
    assert not found.equal
    assert "not the one that was sealed" in found.differences[0]


def test_plans_are_compared_key_by_key(document):
    before = Plan.model_validate(document)
    arms = [{**document["arms"][0], "share": 0.4}, {**document["arms"][1], "share": 0.6}]
    after = amended(document, arms=arms, notice={"it": {"subject": "S", "body": "B"}})
    assert [(change.place, change.before, change.after) for change in changes(before, after)] == [
        ("arms[control].share", 0.5, 0.4),
        ("arms[pilot].share", 0.5, 0.6),
        ("notice.it", None, {"subject": "S", "body": "B"}),
    ]
    assert changes(before, before) == []
