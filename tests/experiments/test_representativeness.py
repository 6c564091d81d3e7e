import math
from statistics import fmean, pvariance

import pytest
import sqlalchemy as sa

from pilot.customers.models import Customer, CustomerProfile
from pilot.db import transaction
from pilot.errors import CheckFailed, StateError
from pilot.experiments import baseline, service
from pilot.experiments.models import Unit
from pilot.experiments.representativeness import balance


def line_of(found, field, category=None):
    return next(line for line in found.lines if (line.field, line.category) == (field, category))


def test_means_and_differences_are_those_of_the_customers_drawn(base, bring_to, document):
    document["sampling"]["design"] = {"part": "simple"}
    found = balance(experiment := bring_to("drawn"))
    revenue = {
        "frame": [10.0 * number for number in range(1, 201)],
        "control": [],
        "pilot": [],
    }  # as `add_customers` gave
    for unit in service.units(experiment):
        revenue[unit.arm].append(10.0 * int(unit.ref[1:]))
    revenue["sample"] = revenue["control"] + revenue["pilot"]
    line = line_of(found, "revenue_year")
    assert {key: line.values[key] for key in revenue} == pytest.approx({key: fmean(revenue[key]) for key in revenue})
    gap = fmean(revenue["sample"]) - fmean(revenue["frame"])
    assert line.differences["sample"] == pytest.approx(gap / math.sqrt(pvariance(revenue["frame"])))
    pooled = math.sqrt((pvariance(revenue["control"]) + pvariance(revenue["pilot"])) / 2)
    gap = fmean(revenue["pilot"]) - fmean(revenue["control"])
    assert line.differences["pilot"] == pytest.approx(gap / pooled)
    assert found.sizes == {"base": 200, "frame": 200, "sample": 60, "control": 30, "pilot": 30}


def test_strata_are_alike_and_the_unknown_are_a_category(base, bring_to):
    found = balance(bring_to("drawn"))
    assert {line.category for line in found.lines if line.field == "region"} == {"north", "south", "east", "unknown"}
    assert sum(line.values["sample"] for line in found.lines if line.field == "region") == pytest.approx(1)
    # 60 of 200 by largest remainder: a stratum's share is off by less than one customer of 60
    for line in found.lines:
        if line.field == "region":
            assert abs(line.values["sample"] - line.values["frame"]) < 1 / 60


def test_before_the_draw_there_is_frame_against_base_and_no_allocation(base, bring_to, edit):
    edit(CustomerProfile, CustomerProfile.customer_id <= 50, activity="lost")
    found = balance(bring_to("sealed"))
    assert found.sizes == {"base": 200, "frame": 150}
    assert set(line_of(found, "revenue_year").differences) == {"frame"}
    assert line_of(found, "activity", "lost").values == {"base": 0.25, "frame": 0.0}
    assert found.r is None


def test_a_draft_has_nothing_to_compare(base, bring_to):
    with pytest.raises(StateError, match="no profiles were kept"):
        balance(bring_to("draft"))


def test_the_base_may_move_on_without_moving_the_comparison(base, bring_to, edit):
    before = balance(experiment := bring_to("drawn"))
    edit(CustomerProfile, sa.true(), revenue_year=5.0, activity="lost")
    edit(Customer, sa.true(), region="west")
    assert balance(experiment) == before


def test_unequal_chances_are_weighed_out(base, bring_to, document):
    document["sampling"] |= {"strata": [], "design": {"part": "systematic-by-size", "settings": {"by": "revenue_year"}}}
    found = balance(experiment := bring_to("drawn"))
    line = line_of(found, "revenue_year")
    mean = fmean(10.0 * int(unit.ref[1:]) for unit in service.units(experiment))
    assert found.weighted
    assert mean > 1200  # in proportion to size: 10 (2n + 1) / 3 = 1340 on average
    assert line.values["sample"] == pytest.approx(1005, abs=250)


def test_a_sample_of_the_large_alone_shows_in_the_r_indicator(base, bring_to):
    experiment = bring_to("drawn")
    fair = balance(experiment).r
    with transaction() as work:  # behind the product's back the sample becomes the 60 customers with most revenue
        work.session.execute(sa.delete(Unit))
        row = {"stratum": "north", "arm": "pilot", "inclusion_probability": 0.3, "arm_probability": 0.5}
        rows = [{"experiment_id": experiment.id, "customer_id": number, **row} for number in range(141, 201)]
        work.session.execute(sa.insert(Unit), rows)
    assert fair > 0.85
    # rates 0, 0, 0.2 and 1 in the quarters of 50: standard deviation 0.41, R 1 - 2 x 0.41
    assert balance(experiment).r == pytest.approx(1 - 2 * 0.412, abs=0.02)


def test_a_changed_file_of_profiles_is_refused(base, bring_to):
    experiment = bring_to("sealed")
    path = baseline.frames_folder() / f"{experiment.baseline_digest}.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="was changed"):
        balance(experiment)


def test_fields_with_commas_quotes_and_line_breaks_come_back(base, bring_to, edit):
    odd = 'Rossi, "il\nGrande"'
    edit(Customer, Customer.id == 7, sales_rep=odd)
    codes, labels = baseline.read(bring_to("sealed")).category("sales_rep")
    assert labels == ["", odd]
    assert codes.tolist() == [int(number == 7) for number in range(1, 201)]
