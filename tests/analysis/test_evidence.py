from __future__ import annotations

import json

import numpy as np
import pytest

from pilot.analysis import Evidence, Moments, Scale
from pilot.errors import InputError

COUNTS = [[[1, 2, 3], [0, 0, 0]], [[3, 2, 1], [4, 0, 4]]]


def evidence(**more: object) -> Evidence:
    return Evidence.from_counts(
        "csat", Scale.RATING, ("control", "pilot"), (1, 2, 4), COUNTS, strata=("a", "b"), **more
    )  # type: ignore[arg-type]


def test_moments_follow_from_counts() -> None:
    found = evidence().moments
    assert found is not None
    values = np.repeat([1, 2, 4], [3, 2, 1])
    assert (found.n[1, 0], found.mean[1, 0]) == (6, pytest.approx(values.mean()))
    assert found.m2[1, 0] == pytest.approx(((values - values.mean()) ** 2).sum())
    both = np.repeat([1, 2, 4], [7, 2, 5])
    assert found.pooled(1) == pytest.approx((14, both.mean(), ((both - both.mean()) ** 2).sum()))


def test_survives_storage_with_an_empty_cell() -> None:
    one = evidence(assigned=[[9, 1], [9, 9]], population=[90, 10], excluded={"no value": 3})
    two = Evidence.from_json(json.loads(json.dumps(one.as_json(), allow_nan=False)))
    assert two.digest() == one.digest()
    assert evidence(population=[91, 10]).digest() != one.digest()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"assigned": [[9], [9]]}, "assigned has shape"),
        ({"population": [1, 2, 3]}, "population has shape"),
        ({"population": [1, -2]}, "negative"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(more: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        evidence(**more)


def test_negative_counts_and_moments_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        Evidence.from_counts("x", Scale.RATING, ("a", "b"), (1, 2), [[[1, -1]], [[1, 1]]])
    with pytest.raises(InputError, match="finite"):
        Evidence(
            "x", Scale.MONEY, True, ("a",), moments=Moments(np.array([[2]]), np.array([[np.nan]]), np.zeros((1, 1)))
        )
