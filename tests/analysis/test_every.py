"""What holds for every built-in analysis, whatever the rows."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis import Analysis, Clusters, Comparison, Evidence, Joint, Moments, Need, NotEnoughData, Rows, Scale
from pilot.analysis.comparison import from_json
from pilot.errors import InputError, PluginError
from pilot.plugins.builtin.analyses import register_analyses

from .conftest import instance

ARMS = ("control", "pilot", "other")
LEVELS = {Scale.RATING: (1.0, 2.0, 3.0, 4.0, 5.0), Scale.BINARY: (0.0, 1.0), Scale.COUNT: (0.0, 1.0, 2.0, 3.0)}
ANALYSES = [instance(part) for part in register_analyses()]


@st.composite
def rows_of(draw: st.DrawFn, scale: Scale) -> Evidence:
    """Evidence with everything in it, from a few rows; arms may be empty and values all equal."""
    seed, size = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 1, 2, 5, 12, 40, 150]))
    strata, spread = draw(st.integers(1, 3)), draw(st.sampled_from([0.0, 0.5, 3.0]))
    rng = np.random.default_rng(seed)
    arm, stratum = rng.integers(0, draw(st.integers(1, 3)), size), rng.integers(0, strata, size)
    before = rng.normal(3, 1, size).round(2)
    event = (rng.random(size) < draw(st.sampled_from([0.0, 0.6, 1.0]))).astype(float)
    value = rng.normal(3, spread, size) if spread else np.full(size, 3.0)
    if scale in LEVELS:
        value = np.clip(np.round(value), LEVELS[scale][0], LEVELS[scale][-1])
    elif scale is not Scale.NUMBER:
        value = np.abs(value).round(2) + (scale is Scale.TIME) * 0.01
    return evidence_of(scale, arm, stratum, value, {"before": before, "event": event}, strata, rng)


def evidence_of(
    scale: Scale, arm: Any, stratum: Any, value: Any, covariates: dict[str, Any], strata: int, rng: np.random.Generator
) -> Evidence:
    levels = LEVELS.get(scale, ())
    cells = [[(arm == a) & (stratum == s) for s in range(strata)] for a in range(len(ARMS))]
    n = np.array([[cell.sum() for cell in row] for row in cells])
    cluster = rng.integers(0, 8, len(arm))
    columns = np.array([value, *covariates.values()])
    return Evidence(
        outcome="y",
        scale=scale,
        higher_is_better=True,
        arms=ARMS,
        strata=tuple(f"s{k}" for k in range(strata)),
        assigned=n + rng.integers(0, 3, n.shape),
        population=n.sum(axis=0) * 3 + 5,
        levels=levels,
        counts=np.array([[[(value[cell] == level).sum() for level in levels] for cell in row] for row in cells])
        if levels
        else None,
        moments=Moments(n, _of(cells, value, np.mean), _of(cells, value, lambda v: ((v - v.mean()) ** 2).sum(), 0.0)),
        joint=Joint(
            ("y", *covariates),
            n,
            np.array(
                [[columns[:, c].mean(axis=1) if c.any() else np.full(len(columns), np.nan) for c in r] for r in cells]
            ),
            np.array([[_cross(columns[:, c]) for c in r] for r in cells]),
        ),
        clusters=_clusters(cluster, arm, stratum, value),
        rows=Rows(arm, stratum, value, covariates, cluster, rng.uniform(0.5, 2, len(arm))),
    )


def _of(cells: Any, value: Any, measure: Any, empty: float = math.nan) -> Any:
    return np.array([[measure(value[c]) if c.any() else empty for c in row] for row in cells], dtype=float)


def _cross(columns: Any) -> Any:
    centred = columns - columns.mean(axis=1, keepdims=True) if columns.shape[1] else columns
    return centred @ centred.T


def _clusters(cluster: Any, arm: Any, stratum: Any, value: Any) -> Clusters:
    keys = sorted(set(zip(cluster.tolist(), arm.tolist(), stratum.tolist(), strict=True)))
    members = [value[(cluster == c) & (arm == a) & (stratum == s)] for c, a, s in keys]
    places = np.array(keys, dtype=np.int64).reshape(-1, 3)
    n = np.array([len(v) for v in members], dtype=np.int64)
    m2 = [((v - v.mean()) ** 2).sum() for v in members]
    return Clusters(*places.T, n, np.array([v.mean() for v in members], dtype=float), np.array(m2, dtype=float))


def numbers(found: Comparison) -> list[float]:
    single = (found.estimate, found.low, found.high, found.standard_error, found.statistic, found.df, found.p_value)
    arms = [value for arm in found.arms for value in (arm.mean, arm.sd)]
    every = (*single, found.log_p, *arms, *found.details.values(), *(check.value for check in found.checks))
    return [value for value in every if value is not None]


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_result_is_whole_or_there_is_a_reason(analysis: Analysis, data: st.DataObject) -> None:
    evidence = data.draw(rows_of(data.draw(st.sampled_from(sorted(analysis.scales)))))
    analysis = _with_names(analysis)
    before = evidence.digest()
    try:
        found = analysis.compare(evidence, "pilot")
    except InputError:  # it may refuse, with a sentence, and nothing else
        return
    assert evidence.digest() == before
    assert from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found
    if isinstance(found, NotEnoughData):
        assert found.reason
        return
    assert all(math.isfinite(value) for value in numbers(found)), found
    assert found.p_value is None or 0 < found.p_value <= 1
    assert found.sentence.endswith(".")
    assert found.method
    assert not any(word in found.sentence.lower() for word in ("significant", "proven", "no effect", "nan", "none"))
    if analysis.on_scale:
        control, pilot = found.arms
        assert found.estimate == pytest.approx((pilot.mean or 0) - (control.mean or 0), abs=1e-9)
    if found.estimate is not None:
        assert found.low is not None or found.high is not None, "an effect has an interval"
        assert found.low is None or found.low <= found.estimate + 1e-9
        assert found.high is None or found.high >= found.estimate - 1e-9


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
def test_what_it_needs_and_lacks_is_said(analysis: Analysis) -> None:
    rng = np.random.default_rng(5)
    size = 60
    evidence = evidence_of(
        sorted(analysis.scales)[0],
        rng.integers(0, 2, size),
        np.zeros(size, dtype=int),
        rng.integers(0, 2, size) * 1.0,
        {},
        1,
        rng,
    )
    bare = replace(evidence, counts=None, levels=(), joint=None, clusters=None, rows=None)
    if analysis.asks(evidence.scale) & {Need.COUNTS, Need.JOINT, Need.CLUSTERS, Need.ROWS}:
        with pytest.raises(InputError):
            _with_names(analysis).compare(bare, "pilot")
    else:
        assert isinstance(_with_names(analysis).compare(bare, "pilot"), Comparison | NotEnoughData)


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
def test_control_is_not_compared_with_itself(analysis: Analysis) -> None:
    rng = np.random.default_rng(5)
    evidence = evidence_of(
        sorted(analysis.scales)[0], np.arange(60) % 2, np.zeros(60, dtype=int), rng.integers(0, 2, 60) * 1.0, {}, 1, rng
    )
    with pytest.raises(InputError, match="is control"):
        analysis.compare(evidence, "control")


def _with_names(analysis: Analysis) -> Analysis:
    """The analysis with its covariates named: what happened, or what was before."""
    names = {field.name for field in fields(analysis)}  # type: ignore[arg-type]
    given = {name: "event" for name in ("event", "received") if name in names}
    given |= {name: "before" for name in ("before", "denominator", "covariate") if getattr(analysis, name, None) == ""}
    return replace(analysis, **given) if given else analysis  # type: ignore[type-var]


FAR_OUT = (1e300, -1e300, 1e12, 1e-12, 1e-300, 1.0, 0.999999999)


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda part: part.key)
def test_a_setting_far_out_is_refused_or_works(analysis: Analysis) -> None:
    rng = np.random.default_rng(5)
    size = 60
    arm, stratum, before = rng.integers(0, 2, size), np.zeros(size, int), rng.normal(3, 1, size).round(2)
    numbers = {name: value for name, value in analysis.settings().items() if isinstance(value, float | None)}
    event = np.ones(size)
    for scale in sorted(analysis.scales, key=lambda scale: scale.value):
        value = np.clip(np.round(np.abs(before)), *(LEVELS.get(scale, (1.0, 9.0))[end] for end in (0, -1)))
        evidence = evidence_of(scale, arm, stratum, value, {"before": before, "event": event}, 1, rng)
        for name, far in ((name, far) for name in numbers for far in FAR_OUT):
            try:
                found = type(analysis).restore({**analysis.settings(), name: far}).compare(evidence, "pilot")
            except InputError:
                continue
            json.dumps(found.as_json(), allow_nan=False)


def test_a_number_that_is_not_finite_is_never_written() -> None:
    found = Comparison("welch", "", "y", "", "pilot", "control", (), 0.1, 0.0, 0.2, 0.95, log_p=-math.inf)
    with pytest.raises(PluginError, match="y: welch gave -inf as log_p"):
        found.as_json()
    with pytest.raises(PluginError, match="y: welch gave nan as odds"):
        replace(found, log_p=-1.0, details={"odds": math.nan}).as_json()
