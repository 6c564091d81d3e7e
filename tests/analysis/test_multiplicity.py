from __future__ import annotations

import doctest
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.multiplicity import benjamini_hochberg, fixed_sequence, graphical, hochberg, holm
from pilot.errors import InputError

# Benjamini and Hochberg 1995, section 4.1: 15 comparisons of treatments after a heart attack. At 5 % their procedure
# rejects four, Hochberg's and Bonferroni's three.
HEART = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0
]  # fmt: skip

# Bretz et al. 2011, Biometrical Journal 53:894, section 3: three doses, two endpoints; the R package gMCP has it as BretzEtAl2011().
DOSES = [
    [0, 1 / 2, 0, 1 / 2, 0, 0],
    [1 / 3, 0, 1 / 3, 0, 1 / 3, 0],
    [0, 1 / 2, 0, 0, 0, 1 / 2],
    [0, 1, 0, 0, 0, 0],
    [1 / 2, 0, 1 / 2, 0, 0, 0],
    [0, 1, 0, 0, 0, 0],
]


def test_the_published_numbers_of_rejections() -> None:
    assert (np.exp(benjamini_hochberg(np.log(HEART))) <= 0.05).sum() == 4
    assert (np.exp(hochberg(np.log(HEART))) <= 0.05).sum() == 3
    assert (np.exp(holm(np.log(HEART))) <= 0.05).sum() == 3


def test_adjusted_as_in_r() -> None:
    # R 4.2.2: p.adjust(p, "holm"), p.adjust(p, "hochberg"), p.adjust(p, "BH"); in mixed order
    order = [3, 14, 0, 8, 1, 12, 5, 2, 11, 4, 10, 7, 13, 6, 9]
    holms = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, 1, 1, 1, 1, 1, 1]
    hochbergs = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.2682, 0.2682, 0.2752, 0.3213, 1, 1, 1, 1, 1, 1]
    shares = [
        0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714286, 0.06385714286, 0.0645, 0.0765, 0.486,
        0.58118181818, 0.714875, 0.75323076923, 0.81321428571, 1,
    ]  # fmt: skip
    for function, wanted in ((holm, holms), (hochberg, hochbergs), (benjamini_hochberg, shares)):
        found = np.exp(function(np.log(np.array(HEART)[order])))
        assert found == pytest.approx(np.array(wanted)[order], rel=1e-9)


def test_the_published_graph_rejects_three_hypotheses() -> None:
    adjusted = np.exp(graphical(np.log([0.1, 0.008, 0.005, 0.15, 0.04, 0.006]), [1 / 3, 1 / 3, 1 / 3, 0, 0, 0], DOSES))
    assert (adjusted <= 0.05).tolist() == [False, True, True, False, False, True]
    assert adjusted[2] == pytest.approx(0.015)  # 0.005 over 1/3, by hand
    assert adjusted[1] == pytest.approx(0.016)  # 0.008 over 1/3 + 1/3 x 1/2


def test_parallel_gatekeeping_by_hand() -> None:
    # Two primaries at 1/2, each handing on to its secondary and that to the other primary.
    graph = [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    # 0.005 / 0.5 = 0.01; then H1: 0.01 / 0.5 = 0.02; then H3 0.015 / 0.5 = 0.03 and H4 last at its own 0.022, not below.
    found = np.exp(graphical(np.log([0.01, 0.005, 0.015, 0.022]), [0.5, 0.5, 0, 0], graph))
    assert found == pytest.approx([0.02, 0.01, 0.03, 0.03])


p_values = st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=5)


def closed(log_p: np.ndarray, weights: np.ndarray, graph: np.ndarray) -> np.ndarray:
    """The same by closed testing: each hypothesis takes the largest weighted Bonferroni p of the sets it is in."""
    everyone = range(len(log_p))
    found = log_p.copy()
    for size in range(1, len(log_p) + 1):
        for kept in combinations(everyone, size):
            share, edges = weights.copy(), graph.copy()
            for gone in [k for k in everyone if k not in kept]:
                rest = [k for k in everyone if edges[gone, k] or edges[k, gone] or share[gone]]
                share, edges = removed(gone, share, edges) if rest else (share, edges)
            with np.errstate(divide="ignore"):
                together = min(0.0, float(np.min(log_p[list(kept)] - np.log(share[list(kept)]))))
            for k in kept:
                found[k] = max(found[k], together)
    return found


def removed(gone: int, share: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = share + share[gone] * edges[gone]
    weights[gone] = 0
    between = np.zeros_like(edges)
    size = len(share)
    for one in range(size):
        for other in range(size):
            loop = edges[one, gone] * edges[gone, one]
            if gone not in (one, other) and one != other and loop < 1:
                between[one, other] = (edges[one, other] + edges[one, gone] * edges[gone, other]) / (1 - loop)
    return weights, between


@given(p_values, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_graph_is_the_closed_test(values: list[float], random: object) -> None:
    generator = np.random.default_rng(random.randrange(10**6))  # type: ignore[attr-defined]
    size = len(values)
    weights = generator.dirichlet(np.ones(size))
    graph = generator.random((size, size)) * (1 - np.eye(size))
    graph = graph / np.maximum(graph.sum(axis=1, keepdims=True), 1e-12) * (size > 1)
    log_p = np.log(values)
    assert graphical(log_p, weights, graph) == pytest.approx(closed(log_p, weights, graph), abs=1e-9)


@given(p_values)
@settings(max_examples=30, deadline=None)
def test_never_below_raw_never_above_1_and_in_the_order_of_the_raw(values: list[float]) -> None:
    log_p = np.log(values)
    for function in (holm, hochberg, benjamini_hochberg):
        found = function(log_p)
        assert (found >= log_p).all()
        assert (found <= 0).all()
        order = np.argsort(log_p, kind="stable")
        assert (np.diff(found[order]) >= 0).all()
        assert function(log_p[::-1]) == pytest.approx(found[::-1])
    assert (hochberg(log_p) <= holm(log_p) + 1e-12).all()
    assert (benjamini_hochberg(log_p) <= hochberg(log_p) + 1e-12).all()


@given(p_values)
@settings(max_examples=30, deadline=None)
def test_graphs_of_holm_and_of_a_fixed_sequence(values: list[float]) -> None:
    log_p, size = np.log(values), len(values)
    even = (1 - np.eye(size)) / max(size - 1, 1)
    assert graphical(log_p, np.full(size, 1 / size), even) == pytest.approx(holm(log_p), abs=1e-9)
    assert graphical(log_p, np.eye(size)[0], np.eye(size, k=1)) == pytest.approx(fixed_sequence(log_p), abs=1e-12)


def test_what_underflows_as_a_p_value_is_adjusted_all_the_same() -> None:
    log_p = np.array([-2000.0, -1500.0, math.log(0.03)])
    assert holm(log_p) == pytest.approx([math.log(3) - 2000, math.log(2) - 1500, math.log(0.03)])
    assert benjamini_hochberg(log_p)[0] == pytest.approx(math.log(3) - 2000)
    assert graphical(log_p, [1, 0, 0], [[0, 1, 0], [0, 0, 1], [0, 0, 0]])[1] == pytest.approx(-1500)
    assert fixed_sequence([math.log(0.2), math.log(0.001)]) == pytest.approx([math.log(0.2)] * 2)
    assert len(holm([])) == 0


def test_family_wise_error_of_five_nulls() -> None:
    random = np.random.default_rng(2)
    runs = 8_000
    log_p = np.log(random.random((runs, 5)))
    alarms = np.mean([(holm(row) <= math.log(0.05)).any() for row in log_p])
    assert abs(alarms - (1 - 0.99**5)) < 4 * math.sqrt(0.05 * 0.95 / runs) + 0.003


@pytest.mark.parametrize("bad", [[0.1, -1.0], [float("nan")], [-math.inf], [[-1.0]]])
def test_what_is_no_logarithm_of_a_p_value_is_refused(bad: list[float]) -> None:
    with pytest.raises(InputError, match="logarithms"):
        holm(bad)


def test_what_is_no_graph_is_refused() -> None:
    log_p = [-1.0, -2.0]
    with pytest.raises(InputError, match="2 weights"):
        graphical(log_p, [1], [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="sum to at most 1"):
        graphical(log_p, [0.7, 0.7], [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="0 from a hypothesis to itself"):
        graphical(log_p, [0.5, 0.5], [[0.5, 0.5], [1, 0]])


def test_the_worked_examples_of_its_page_are_true() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "multiplicity.md"
    done = doctest.testfile(str(page), module_relative=False)
    assert done.attempted > 4
    assert done.failed == 0
