from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pilot.analysis import Evidence, Scale
from pilot.analysis.arrays import evidence_of
from pilot.errors import InputError

ARM = ["pilot", "control", "pilot", "pilot", "control"]


def test_columns_become_counts_moments_and_rows() -> None:
    found = evidence_of(
        "csat",
        Scale.RATING,
        ("control", "pilot"),
        arm=ARM,
        value=[5, 3, 4, 5, 4],
        stratum=["north", "south", "north", "south", "south"],
        cluster=["ann", "bob", "ann", "cid", "bob"],
        covariates={"before": [4, 4, 3, 5, 2]},
        population={"north": 10, "south": 30, "west": 5},
    )
    assert found.strata == ("north", "south", "west")
    assert found.levels == (3, 4, 5)
    assert found.counts is not None
    assert found.counts[1].tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert found.population is not None
    assert found.population.tolist() == [10, 30, 5]
    assert found.moments is not None
    assert found.moments.pooled(1) == pytest.approx((3, 14 / 3, 2 / 3))
    assert found.joint is not None
    assert found.joint.cross[0, 1].tolist() == [[0.5, -1.0], [-1.0, 2.0]]
    assert found.clusters is not None
    assert (found.clusters.label.tolist(), found.clusters.n.tolist()) == ([0, 1, 2], [2, 2, 1])
    assert (found.clusters.mean.tolist(), found.clusters.m2.tolist()) == ([4.5, 3.5, 5.0], [0.5, 0.5, 0.0])
    assert Evidence.from_json(json.loads(json.dumps(found.as_json()))).digest() == found.digest()


def test_money_is_not_counted_and_an_empty_arm_is_kept() -> None:
    found = evidence_of("revenue", Scale.MONEY, ("control", "pilot"), arm=["pilot"], value=[2.5])
    assert found.counts is None
    assert found.joint is None
    assert found.moments is not None
    assert math.isnan(found.moments.mean[0, 0])
    assert evidence_of("revenue", Scale.MONEY, ("control", "pilot"), arm=[], value=[]).moments is not None


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"arm": ARM, "value": [1, 2]}, "different lengths: arm 5"),
        ({"arm": ["pilot", "other"], "value": [1, 2]}, "unknown arm 'other'"),
        ({"arm": ["pilot", "pilot"], "value": [1, np.inf]}, "y, entry 2: inf is not a finite number"),
        ({"arm": ["pilot"], "value": [1], "covariates": {"x": [np.nan]}}, "x, entry 1: nan is not a finite number"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        evidence_of("y", Scale.NUMBER, ("control", "pilot"), **columns)  # type: ignore[arg-type]
