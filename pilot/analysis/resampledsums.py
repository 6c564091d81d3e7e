"""The exact law of the sum of a resample, drawn with replacement from values at equal steps.

A resample's sum is one of as many independent draws as the sample has units. Its law follows from their Fourier transform to
the power of that number, which is loud at a few angles only (`lobes`): the cost hardly grows as units do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pilot.analysis.lobes import loud_points, reach
from pilot.analysis.moments import FloatArray, IntArray

MAX_POINTS = 100_000
"""Values of the sum up to which its law is tabled; there would be as many steps between lowest and highest value at most."""

EXPONENT = 50.0
"""What is left out has a chance below exp(-50), about 2e-22."""


@dataclass(frozen=True, eq=False, slots=True)
class SumLaw:
    """Where the sum of a resample may lie.

    Attributes:
        steps, counts: The sample's values in steps above the lowest one, ascending, and how often each occurs.
        origin, step: The lowest value and the step.
        lowest, points: The smallest sum of steps kept, and how many are kept; the rest has no chance that counts.
    """

    steps: IntArray
    counts: IntArray
    origin: float
    step: float
    lowest: int
    points: int

    @classmethod
    def of(cls, values: FloatArray, counts: IntArray) -> SumLaw | None:
        """The law for distinct values, ascending; None where they lie at no equal steps, or the sum spreads too far."""
        steps = _steps(values)
        if steps is None:
            return None
        n, total = int(counts.sum()), int(counts @ steps)
        far = reach(float(counts @ (steps - total / n) ** 2), float(steps[-1]), EXPONENT)
        lowest, highest = max(0, total - far), min(n * int(steps[-1]), total + far)
        if highest - lowest >= MAX_POINTS:
            return None
        step = float(values[-1] - values[0]) / int(steps[-1])
        return cls(steps, counts, float(values[0]), step, lowest, highest - lowest + 1)

    @property
    def n(self) -> int:
        """Units of a resample."""
        return int(self.counts.sum())

    def chances(self) -> FloatArray:
        """Of the sums from `lowest` on."""
        from scipy.fft import irfft, next_fast_len

        points, n = next_fast_len(self.points, real=True), self.n
        places = loud_points(self.counts[None, :].astype(np.float64), self.steps[None, :], points, EXPONENT)
        angles = places * (2 * math.pi / points)
        centre = float(self.counts @ self.steps) / n
        one = np.exp(-1j * np.outer(angles, self.steps - centre)) @ (self.counts / n)
        transform = np.zeros(points // 2 + 1, dtype=np.complex128)
        transform[places] = one**n * np.exp(-1j * angles * (n * centre - self.lowest))
        return np.asarray(np.maximum(irfft(transform, points)[: self.points], 0.0))

    def means(self, draws: int, rng: np.random.Generator) -> FloatArray:
        """Means of resamples."""
        below = np.cumsum(self.chances())
        # Ordered numbers are found several times quicker; the order is then made random again.
        sums = rng.permutation(np.searchsorted(below, np.sort(rng.random(draws)) * below[-1], side="right"))
        return np.asarray(self.origin + self.step * (self.lowest + sums) / self.n)


def _steps(values: FloatArray) -> IntArray | None:
    """Ascending values in steps above the lowest one; None where there is no step, or one too fine.

    The step is found by Euclid's algorithm up to rounding, so that it does not matter in which unit values are given.
    """
    above = values - values[0]
    span = float(above[-1])
    step, slack = span, 1e-9 * span
    if span == 0:
        return None
    for value in above[1:-1].tolist():
        rest = value
        while rest > slack:
            step, rest = rest, abs(step - rest * round(step / rest))
        if step * MAX_POINTS < span:
            return None
    steps = np.rint(above / step).astype(np.int64)
    return steps if float(np.abs(above - steps * (span / steps[-1])).max()) <= slack else None
