"""Several hypotheses at once: p values adjusted so that the chance of any false alarm, or their share, stays bounded.

All functions take natural logarithms of p values and return those of adjusted ones, in the same order, so that nothing
underflows. An adjusted p value is never below the raw one; a hypothesis is rejected where it is at most the level.

Reference: Holm 1979, Scandinavian Journal of Statistics 6:65; Hochberg 1988, Biometrika 75:800; Benjamini and Hochberg
1995, JRSS B 57:289; Maurer, Hothorn and Lehmacher 1995; Bretz, Maurer, Brannath and Posch 2009, Statistics in Medicine 28:586.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.errors import InputError

_ROUNDING = 1e-9
"""How far weights may sum above 1."""


def holm(log_p: npt.ArrayLike) -> FloatArray:
    """Holm's step-down procedure: no false alarm with the wanted confidence, whatever the dependence.

    Raises:
        InputError: A logarithm is above 0 or not finite.
    """
    raw = _checked(log_p)
    order = np.argsort(raw, kind="stable")
    stepped = raw[order] + np.log(np.arange(len(raw), 0, -1))
    return _placed(np.maximum.accumulate(stepped), raw, order)


def hochberg(log_p: npt.ArrayLike) -> FloatArray:
    """Hochberg's step-up procedure: sharper than Holm's, for independent or positively dependent tests.

    Raises:
        InputError: A logarithm is above 0 or not finite.
    """
    raw = _checked(log_p)
    order = np.argsort(raw, kind="stable")[::-1]
    stepped = raw[order] + np.log(np.arange(1, len(raw) + 1))
    return _placed(np.minimum.accumulate(stepped), raw, order)


def benjamini_hochberg(log_p: npt.ArrayLike) -> FloatArray:
    """The share of false alarms among the alarms is bounded, not their number: for exploratory lists.

    Raises:
        InputError: A logarithm is above 0 or not finite.
    """
    raw = _checked(log_p)
    order = np.argsort(raw, kind="stable")[::-1]
    stepped = raw[order] + math.log(max(len(raw), 1)) - np.log(np.arange(len(raw), 0, -1))
    return _placed(np.minimum.accumulate(stepped), raw, order)


def fixed_sequence(log_p: npt.ArrayLike) -> FloatArray:
    """Hypotheses tested one after the other, each at the full level, until the first that is not rejected.

    Args:
        log_p: In the order fixed beforehand.

    Raises:
        InputError: A logarithm is above 0 or not finite.
    """
    return np.maximum.accumulate(_checked(log_p))


def graphical(log_p: npt.ArrayLike, weights: npt.ArrayLike, transitions: npt.ArrayLike) -> FloatArray:
    """Bonferroni tests joined by a graph: a rejected hypothesis hands its share of the level on.

    Gatekeeping, fallback, fixed sequence and Holm are all graphs of this kind.

    Args:
        log_p: One for each hypothesis.
        weights: Share of the level that each hypothesis starts with; 0 or more, at most 1 together.
        transitions: Row i holds the shares in which hypothesis i hands its weight on; 0 on the diagonal, rows sum to at most 1.

    Reference: Bretz et al. 2009, algorithm 2.

    Raises:
        InputError: A logarithm is above 0 or not finite, or weights or transitions do not make a graph.
    """
    raw = _checked(log_p)
    share, edges = _graph(len(raw), weights, transitions)
    adjusted = np.zeros(len(raw))
    left, highest = list(range(len(raw))), -math.inf
    while left:
        with np.errstate(divide="ignore"):
            spent = raw[left] - np.log(share[left])
        first = left[int(np.argmin(spent))]
        highest = max(highest, float(np.min(spent)))
        adjusted[first] = min(0.0, highest)
        left.remove(first)
        share, edges = _without(first, left, share, edges)
    return np.maximum(adjusted, raw)


def _without(gone: int, left: list[int], share: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The graph after a hypothesis was rejected: its weight and its edges pass on to the others."""
    weights, between = np.zeros_like(share), np.zeros_like(edges)
    for one in left:
        weights[one] = share[one] + share[gone] * edges[gone, one]
        back = edges[one, gone] * edges[gone, one]
        if back >= 1:
            continue
        for other in left:
            if other != one:
                between[one, other] = (edges[one, other] + edges[one, gone] * edges[gone, other]) / (1 - back)
    return weights, between


def _graph(size: int, weights: npt.ArrayLike, transitions: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    share, edges = np.asarray(weights, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    if share.shape != (size,) or edges.shape != (size, size):
        raise InputError(f"a graph of {size} hypotheses needs {size} weights and {size} rows of {size} transitions")
    if not ((share >= 0).all() and share.sum() <= 1 + _ROUNDING):
        raise InputError("the weights must be 0 or more and sum to at most 1", place="weights")
    if not ((edges >= 0).all() and (edges.sum(axis=1) <= 1 + _ROUNDING).all() and not np.diag(edges).any()):
        raise InputError(
            "the transitions must be 0 or more, 0 from a hypothesis to itself, and sum to at most 1 in each row",
            place="transitions",
        )
    return share, edges


def _checked(log_p: npt.ArrayLike) -> FloatArray:
    raw = np.asarray(log_p, dtype=np.float64)
    if raw.ndim != 1 or not (np.isfinite(raw).all() and (raw <= 0).all()):
        raise InputError("p values must be given as a list of their logarithms, finite and at most 0", place="log_p")
    return raw


def _placed(stepped: FloatArray, raw: FloatArray, order: npt.NDArray[np.int64]) -> FloatArray:
    """Adjusted values in the order of the raw ones, never below them even by rounding."""
    found = np.empty_like(stepped)
    found[order] = stepped
    return np.clip(found, raw, 0.0)
