"""How many points the Fourier transform of a sum of independent terms on a lattice needs, and where it may be loud.

Points: as many as the sum has values outside tails without mass, which Bernstein's inequality bounds (`reach`).

Where loud: a stratum's levels add `w[k]` to the variance of the number drawn; whatever the phase, the modulus of the transform at the
angle `v` is at most `exp(-(W - |sum_k w[k] exp(i v a[k])|))` with `W = sum_k w[k]`. As `W - r >= (W^2 - r^2) / (2 W)`,

    exponent >= sum over pairs j < k of  (2 w[j] w[k] / W)  sin^2(v (a[j] - a[k]) / 2).

Strata add, so this is one sum of squared sines over the distances of levels. The least of such a sine over a stretch of
angles is at one of its ends, or 0 inside, so a whole stretch is ruled out at once: what is left is found by splitting, in a
number of steps that grows with the logarithm of the points.
"""

from __future__ import annotations

import math

import numpy as np

from pilot.analysis.moments import FloatArray, IntArray

_PARTS = 16
"""Into how many pieces a stretch is split."""

_SHORT = 12
"""Stretches with no more points than this are not split any more."""

_BLOCK = 2_000_000
"""Numbers held in memory at once."""


def reach(variance: float, widest: float, exponent: float) -> int:
    """Distance from the mean that a sum of independent terms exceeds with a chance below `2 exp(-exponent)`.

    Args:
        variance: Of the sum.
        widest: No term is further than this from its mean.
        exponent: Natural logarithm of one over the chance that does not count.

    Reference: Bernstein's inequality, e.g. Boucheron, Lugosi and Massart 2013, Concentration Inequalities, section 2.8.
    """
    bend = exponent * widest / 3
    return math.ceil(bend + math.sqrt(bend**2 + 2 * exponent * variance))


def loud_points(weights: FloatArray, steps: IntArray, points: int, exponent: float) -> IntArray:
    """Points of the half circle at which the modulus of the transform may exceed `exp(-exponent)`.

    Args:
        weights: Variance that each level adds to the number drawn, by (stratum, level); no stratum's are all 0. For the
            sum of terms drawn with replacement: how often each level is expected.
        steps: The levels, in whole steps, by (stratum, level).
        points: Points of the whole circle.
        exponent: Natural logarithm of one over the modulus that is still to be heard.

    Returns:
        Numbers of the points, from 0 to `points // 2`, ascending: 0 and every loud one, and a few more.
    """
    apart, pull = _distances(weights, steps)
    size = points // 2 + 1
    first, last = np.zeros(1, dtype=np.int64), np.full(1, size - 1)
    while len(first) and int((last - first).max()) >= _SHORT:
        first, last = _split(first, last)
        heard = _least(apart, pull, first, last, points) <= exponent
        first, last = first[heard], last[heard]
    return _listed(first, last)


def _distances(weights: FloatArray, steps: IntArray) -> tuple[IntArray, FloatArray]:
    """Distances of two levels, and what each adds to the exponent where its sine is 1."""
    pull = np.zeros(int(steps.max()) + 1)
    for weight, step in zip(weights, steps, strict=True):
        used = weight > 0
        loads = np.outer(weight[used], weight[used] / weight.sum())
        far = np.abs(np.subtract.outer(step[used], step[used]))
        pull += np.bincount(far.ravel(), loads.ravel(), minlength=len(pull))
    apart = np.flatnonzero(pull[1:]) + 1
    return apart, pull[apart]


def _split(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """Each stretch in up to `_PARTS` pieces that share no point."""
    step = np.maximum((last - first) // _PARTS + 1, _SHORT // 2)
    starts = first[:, None] + step[:, None] * np.arange(_PARTS)
    ends = np.minimum(starts + step[:, None] - 1, last[:, None])
    filled = starts <= last[:, None]
    return starts[filled], ends[filled]


def _least(apart: IntArray, pull: FloatArray, first: IntArray, last: IntArray, points: int) -> FloatArray:
    """A lower bound of the exponent over each stretch."""
    found = np.zeros(len(first))
    for part in np.array_split(np.arange(len(apart)), 1 + len(apart) * len(first) // _BLOCK):
        start, end = np.outer(first, apart[part]), np.outer(last, apart[part])
        quiet = np.minimum(*(np.sin(turn % points * (math.pi / points)) ** 2 for turn in (start, end)))
        found += np.where(start // points == end // points, quiet, 0.0) @ pull[part]
    return found


def _listed(first: IntArray, last: IntArray) -> IntArray:
    """All points of the stretches, and 0."""
    sizes = last - first + 1
    before = np.cumsum(sizes) - sizes
    listed = np.repeat(first - before, sizes) + np.arange(int(sizes.sum()))
    return listed if len(listed) and listed[0] == 0 else np.concatenate([np.zeros(1, dtype=np.int64), listed])
