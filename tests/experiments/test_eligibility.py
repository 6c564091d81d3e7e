from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from pilot.customers.models import Customer, CustomerProfile
from pilot.db import transaction
from pilot.errors import PlanError
from pilot.experiments import service
from pilot.experiments.eligibility import REASONS, counts, eligible
from pilot.experiments.plan import Plan


@pytest.fixture
def change(base):
    """Change customers of the base, or their profiles, by ref."""

    def change(*refs, **values):
        for model in (Customer, CustomerProfile):
            own = {name: value for name, value in values.items() if hasattr(model, name)}
            which = (
                Customer.ref.in_(refs) if model is Customer else CustomerProfile.customer.has(Customer.ref.in_(refs))
            )
            if own:
                with transaction() as work:
                    work.session.execute(
                        sa.update(model).where(which).values(**own).execution_options(synchronize_session=False)
                    )

    return change


@pytest.fixture
def plan(document):
    """The plan with sections changed."""

    def plan(**sections):
        return Plan.model_validate(
            {**document, **{name: {**document[name], **values} for name, values in sections.items()}}
        )

    return plan


def test_everybody_who_is_left_out_is_counted_at_the_first_reason(change, plan):
    change("C0001", "C0002", email=None)
    change("C0002", "C0003", opted_out_at=datetime(2026, 3, 1, tzinfo=UTC))
    change("C0004", "C0003", activity="lost")
    change("C0010", "C0011", "C0012", legal_entity="IT 0123")
    change("C0013", legal_entity="it-0123")
    assessed, steps = counts(plan(population={"rule": {"part": "revenue-at-least", "settings": {"amount": 60}}}))
    # revenue is ten times the number: 1 to 5 are below 60, and so the rule is the first reason for all of them
    assert assessed == 200
    assert {step.reason: step.left_out for step in steps} == {
        "other_rule": 5, "no_address": 0, "opted_out": 0, "in_experiment": 0, "lost": 0, "same_entity": 3,
    }  # fmt: skip
    found = eligible(plan())
    assert [(step.reason, step.left_out, step.remaining) for step in found.steps] == [
        ("other_rule", 0, 200),
        ("no_address", 2, 198),
        ("opted_out", 1, 197),
        ("in_experiment", 0, 197),
        ("lost", 1, 196),
        ("same_entity", 3, 193),
    ]
    assert tuple(step.reason for step in found.steps) == REASONS
    assert len(found.frame) == found.steps[-1].remaining
    assert {"C0010", "C0011", "C0012"}.isdisjoint(found.frame.refs)  # the one with most revenue stays
    assert "C0013" in found.frame.refs
    assert eligible(plan(population={"keep_lost": True, "one_per_entity": False})).steps[-1].remaining == 197


def test_a_legal_entity_is_represented_by_another_where_its_largest_customer_cannot_take_part(change, plan):
    change("C0010", "C0011", legal_entity="0123")
    change("C0011", email=None)
    assert "C0010" in eligible(plan()).frame.refs


def test_customers_of_an_experiment_that_goes_on_are_left_out_of_another(base, bring_to, document):
    bring_to("drawn")
    taken = {unit.ref for unit in service.units(service.get("desk-2026"))}
    other = Plan.model_validate({**document, "key": "letters-2026"})
    found = eligible(other)
    assert next(step.left_out for step in found.steps if step.reason == "in_experiment") == 60
    assert taken.isdisjoint(found.frame.refs)


def test_strata_join_their_fields_and_empty_ones_are_a_stratum_of_their_own(change, plan):
    frame = eligible(plan(sampling={"strata": ["region", "revenue_band"]})).frame
    label = {ref: frame.labels[code] for ref, code in zip(frame.refs, frame.strata.tolist(), strict=True)}
    # 200 customers by revenue: 50 in each quarter; every fourth of seven has no region
    assert label["C0001"] == "south · revenue 1/4"
    assert label["C0050"] == "south · revenue 1/4"
    assert label["C0051"] == "east · revenue 2/4"
    assert label["C0200"] == "north · revenue 4/4"
    assert label["C0003"] == "unknown · revenue 1/4"
    assert len(frame) == 200


def test_customers_with_the_same_value_are_a_cluster_and_those_without_stand_alone(change, plan):
    change("C0001", "C0002", email="desk@shop.example.com")
    change("C0003", email="someone@gmail.com")
    change("C0004", email="other@gmail.com")
    frame = eligible(plan(sampling={"cluster": "mail_domain"})).frame
    label = {ref: frame.cluster_labels[code] for ref, code in zip(frame.refs, frame.clusters.tolist(), strict=True)}
    assert label["C0001"] == label["C0002"] == "shop.example.com"
    assert (label["C0003"], label["C0004"]) == ("alone: C0003", "alone: C0004")  # everybody may have such an address


def test_the_frame_holds_the_measures_that_the_designs_look_at(change, plan):
    change("C0007", recency_days=None)
    change("C0008", recency_days=12, first_order=date(2026, 3, 1))
    by = {"part": "matched-pairs", "settings": {"by": ["recency_days", "tenure_days", "basket"]}}
    frame = eligible(Plan.model_validate({**plan().model_dump(mode="json"), "assignment": by})).frame
    values = {name: dict(zip(frame.refs, column.tolist(), strict=True)) for name, column in frame.measures.items()}
    assert list(values) == ["recency_days", "tenure_days", "basket"]
    assert values["recency_days"]["C0007"] != values["recency_days"]["C0007"]  # nan: not known
    assert (values["recency_days"]["C0008"], values["tenure_days"]["C0008"]) == (12, 30)
    assert values["basket"]["C0008"] == pytest.approx(80 / 3)


@pytest.mark.parametrize(
    ("sections", "place", "reason"),
    [
        ({"sampling": {"strata": ["shoe_size"]}}, "sampling.strata[0]", "no field to stratify by"),
        ({"sampling": {"cluster": "shoe_size"}}, "sampling.cluster", "no field that clusters can share"),
        ({"sampling": {"design": {"part": "clusters"}}}, "sampling.cluster", "needs units that stay together"),
        (
            {"sampling": {"design": {"part": "neyman", "settings": {"by": "shoe_size"}}}},
            "sampling.design.settings",
            "no field with a number for every customer",
        ),
        ({"population": {"rule": {"part": "astrology"}}}, "population.rule.part", "unknown segment rule"),
    ],
)
def test_fields_that_are_none_are_refused_with_their_place(small_base, operator, plan, sections, place, reason):
    with pytest.raises(PlanError, match=reason) as caught:
        service.create(operator, plan(**sections))
    assert caught.value.place == place


def test_the_seal_keeps_how_the_frame_was_found(small_base, bring_to):
    found = bring_to("sealed")
    assert found.eligibility["assessed"] == 200
    assert [step["reason"] for step in found.eligibility["steps"]] == list(REASONS)
