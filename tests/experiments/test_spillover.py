from datetime import timedelta

import pytest
import sqlalchemy as sa

from pilot import clock
from pilot.accounts.models import AuditEntry
from pilot.customers.models import Customer
from pilot.db import db
from pilot.errors import StateError
from pilot.experiments import service, spillover


@pytest.fixture(autouse=True)
def _domains_of_their_own(base, edit):
    edit(Customer, sa.true(), email=sa.literal("info@firm") + sa.cast(Customer.id, sa.String) + sa.literal(".example"))


def two_of_different_arms(experiment):
    arms = {}
    for unit in service.units(experiment):
        arms.setdefault(unit.arm, unit)
    return arms["control"], arms["pilot"]


def by_reason(experiment):
    return {spill.reason: spill for spill in spillover.find(experiment)}


def test_customers_with_nothing_in_common_do_not_spill_over(base, bring_to):
    assert spillover.find(bring_to("drawn")) == []


@pytest.mark.parametrize(
    ("reason", "one", "other"),
    [
        ("legal_entity", {"legal_entity": "IT 0123-456"}, {"legal_entity": "it0123456"}),
        ("domain", {"email": "anna@Bar-Roma.example"}, {"email": "piero@bar-roma.example"}),
        ("address", {"street": "Via Roma, 1", "postcode": "00-184"}, {"street": "via roma 1", "postcode": "00184"}),
        ("phone", {"phone": "+39 06 123-45"}, {"phone": "+39(06)12345"}),
        ("name", {"name": "Anna Rossi", "city": "Bari"}, {"name": " anna rossi", "city": "BARI"}),
        ("sales_rep", {"sales_rep": "Nowak"}, {"sales_rep": "Nowak"}),
    ],
)
def test_what_two_arms_share_is_found_however_it_is_written(base, bring_to, edit, reason, one, other):
    experiment = bring_to("drawn")
    control, pilot = two_of_different_arms(experiment)
    edit(Customer, Customer.id == control.customer_id, **one)
    edit(Customer, Customer.id == pilot.customer_id, **other)
    found = by_reason(experiment)
    assert list(found) == [reason]
    assert (found[reason].groups, found[reason].customers) == (1, 2)
    (tie,) = found[reason].ties
    assert tie.arms == {"control": 1, "pilot": 1}
    assert set(tie.refs) == {control.ref, pilot.ref}
    assert found[reason].expected == (reason == "sales_rep")


def test_a_public_mail_provider_ties_nobody(base, bring_to, edit):
    experiment = bring_to("drawn")
    for unit in two_of_different_arms(experiment):
        edit(Customer, Customer.id == unit.customer_id, email=f"{unit.ref}@gmail.com")
    assert spillover.find(experiment) == []


def test_customers_of_one_arm_may_share_what_they_like(base, bring_to, edit):
    experiment = bring_to("drawn")
    for unit in [unit for unit in service.units(experiment) if unit.arm == "pilot"]:
        edit(Customer, Customer.id == unit.customer_id, legal_entity="IT1")
    assert spillover.find(experiment) == []


def test_reps_who_were_assigned_whole_are_not_expected_in_two_arms(base, bring_to, edit, document):
    edit(Customer, sa.true(), sales_rep=sa.literal("Rep ") + sa.cast(Customer.id % 20, sa.String))
    document["sampling"] |= {"cluster": "sales_rep", "strata": []}
    document["assignment"] = {"part": "clusters"}
    experiment = bring_to("drawn")
    assert spillover.find(experiment) == []
    _control, pilot = two_of_different_arms(experiment)
    edit(Customer, Customer.id == pilot.customer_id, sales_rep=db.session.get(Customer, _control.customer_id).sales_rep)
    assert by_reason(experiment)["sales_rep"].expected is False


def test_the_daily_look_notes_what_the_base_has_become(base, bring_to, edit):
    experiment = bring_to("running")
    spillover.check_running()
    assert experiment.spillover["counts"] == {}
    for unit in two_of_different_arms(experiment):
        edit(Customer, Customer.id == unit.customer_id, legal_entity="IT1")
    spillover.check_running()
    assert experiment.spillover["counts"] == {}  # once a day is enough
    clock.travel(clock.now() + timedelta(days=1))
    spillover.check_running()
    assert experiment.spillover["counts"] == {"legal_entity": {"groups": 1, "customers": 2}}
    events = db.session.query(AuditEntry).filter_by(action="spill-over changed").all()
    assert [event.details["after"] for event in events] == [{"legal_entity": {"groups": 1, "customers": 2}}]


def test_before_the_draw_there_are_no_arms(base, bring_to):
    with pytest.raises(StateError, match="nothing has been drawn"):
        spillover.find(bring_to("sealed"))
