"""The interval that belongs to the exact permutation test: all shifts that the test does not refute.

Take a shift off every answer of the pilot arm, and shuffle. A shuffle that brings `J` answers of control into the pilot arm
changes its sum by `D + J shift`, where `D` is the change without a shift. So it reaches the observed sum exactly if
`-D / J <= shift`, and each tail of the test, seen as a function of the shift, is the distribution function of `-D / J`
over all shuffles: the limits are two of its quantiles. Nothing has to be searched.

The joint law of `J` and `D` comes from counts: in each stratum the answers drawn from control and from the pilot arm are
independent but for their number, and strata convolve, so that discrete Fourier transforms multiply. They have as many
points as `J` and `D` have values, or as they have outside a tail of mass `exp(-EXPONENT)` by Bernstein's inequality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from pilot.analysis.lobes import reach
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.permutation import ComplexArray, PermutationLaw, exact_permutation
from pilot.analysis.tails import normal_quantile

EXPONENT = 40.0
"""Shuffles left out have a chance below exp(-40), about 4e-18."""

MAX_POINTS = 2_000_000
"""Points of a transform up to which the limits are exact."""

_SLACK = 1e-10
"""Relative error allowed for in a tail, so that one of exactly half the error counts as refuting."""


@dataclass(frozen=True, slots=True)
class ShiftInterval:
    """Shifts that an exact permutation test leaves open.

    Attributes:
        low, high: Limits, themselves left open by the test; None where it can refute no shift at all.
        exact: Whether they come from the exact law. Beyond `MAX_POINTS` they come from the normal one.
    """

    low: float | None
    high: float | None
    exact: bool


def permutation_interval(counts: npt.ArrayLike, levels: Sequence[float], level: float = 0.95) -> ShiftInterval:
    """All shifts that the exact permutation test of the mean does not refute.

    The model: the handling adds the same shift to every answer of the pilot arm. For each shift it is taken off the
    pilot arm's answers, the arms are shuffled inside the strata, and the sum of the pilot arm's answers is held against
    its exact law, as `exact_permutation` does. A shift is left open if both tails, the observed sum included, exceed
    `(1 - level) / 2`. The open shifts are an interval; it covers the true shift at least as often as `level` says, at any
    number of answers. It holds 0 exactly if the test of no difference has p above `1 - level`.

    Args:
        counts: Answers by (arm, stratum, level) or (arm, level); control first, then the pilot arm.
        levels: The rating of each level. They must have a common step.
        level: Two-sided confidence level.

    Returns:
        The limits. With very few answers nothing can be refuted, and both are None.

    Raises:
        InputError: The counts have another shape or are no counts, or the levels have no common step.

    Reference: Lehmann 1975, Nonparametrics, section 2.6; Ernst 2004, Statistical Science 19:676.
    """
    law = exact_permutation(counts, levels)
    table = np.asarray(counts, dtype=np.int64).reshape(2, -1, len(levels))
    table = table[:, (table.sum(axis=2) > 0).all(axis=0)]
    tail = (1 - level) / 2
    if table.size == 0:
        return ShiftInterval(None, None, exact=True)
    steps, unit = _steps(levels, table.sum(axis=(0, 1)) > 0)
    joint = _Joint.of(table, steps)
    if joint.points > MAX_POINTS:
        return _normal_interval(table, levels, law, tail)
    shifts, chances, unmoved = joint.shifts()
    if unmoved > tail * (1 + _SLACK):
        return ShiftInterval(None, None, exact=True)
    order = np.argsort(shifts, kind="stable")
    low = _crossing(shifts[order], chances[order], unmoved, tail)
    high = -_crossing(-shifts[order][::-1], chances[order][::-1], unmoved, tail)
    return ShiftInterval(low * unit + 0.0, high * unit + 0.0, exact=True)


def _crossing(ascending: FloatArray, chances: FloatArray, unmoved: float, tail: float) -> float:
    """The first shift at which the chance of it or less, and of no move at all, exceeds the tail."""
    reached = np.cumsum(chances) + unmoved > tail * (1 + _SLACK)
    return float(ascending[np.argmax(reached)])


@dataclass(frozen=True, eq=False)
class _Joint:
    """The law of `J`, the control answers brought into the pilot arm, and `D`, the change of its sum in steps.

    Attributes:
        table: Answers by (arm, stratum, level); no arm of a stratum is empty.
        steps: The levels in whole steps, the lowest at 0.
        lowest, width: The smallest value kept of `J` and `D`, and how many values are kept.
    """

    table: IntArray
    steps: IntArray
    lowest: tuple[int, int]
    width: tuple[int, int]

    @classmethod
    def of(cls, table: IntArray, steps: IntArray) -> _Joint:
        n0, n1 = table.sum(axis=2)
        share = n1 / (n0 + n1)
        both = table.sum(axis=0)
        centre = both @ steps / (n0 + n1)
        expected = float((n1 * centre).sum()) - float((table[1] @ steps).sum())
        scatter = (both * (steps - centre[:, None]) ** 2).sum(axis=1)
        moved = _kept((0, int(np.minimum(n0, n1).sum())), float((n0 * share).sum()), float((n0 * share).sum()), 1)
        most, least = (
            sum(_extreme(*row, sign) for row in zip(both, n1, [steps] * len(n1), strict=True)) for sign in (1, -1)
        )
        observed = int((table[1] @ steps).sum())
        changed = _kept(
            (least - observed, most - observed),
            expected,
            float((share * (1 - share) * scatter).sum()),
            int(steps.max()),
        )
        return cls(table, steps, (moved[0], changed[0]), (moved[1], changed[1]))

    @property
    def points(self) -> int:
        """Points of the transform."""
        return self.width[0] * self.width[1]

    def shifts(self) -> tuple[FloatArray, FloatArray, float]:
        """The shifts `-D / J` of all shuffles that move an answer, their chances, and the chance that none moves."""
        moves, changes = self.width
        angles = np.arange(changes // 2 + 1, dtype=np.float64) * (2 * math.pi / changes)
        total = np.ones((moves, len(angles)), dtype=np.complex128)
        for stratum in range(self.table.shape[1]):
            total *= np.fft.fft(self._stratum(stratum, angles), axis=0)
        law = np.fft.irfft(np.conj(np.fft.ifft(total, axis=0)), n=changes, axis=1)
        moved = self.lowest[0] + (np.arange(moves) - self.lowest[0]) % moves
        changed = self.lowest[1] + (np.arange(changes) - self.lowest[1]) % changes
        some = moved > 0
        unmoved = float(law[~some].sum())
        shifts = -changed / moved[some, None]
        kept = law[some] > math.exp(-EXPONENT)
        return shifts[kept], law[some][kept], unmoved

    def _stratum(self, stratum: int, angles: FloatArray) -> ComplexArray:
        """By number of moves, modulo their width, and angle: the chance, and the transform of the change."""
        control, pilot = self.table[:, stratum]
        n0, n1 = int(control.sum()), int(pilot.sum())
        share = n1 / (n0 + n1)
        spread = max(n0, n1) * share * (1 - share)
        phases = _quick(min(max(n0, n1) + 1, 2 * reach(spread, 1, EXPONENT) + 1))
        first = 0 if phases > max(n0, n1) else max(0, round(n0 * share) - phases // 2)
        moves = np.arange(first, min(n0, n1, first + phases - 1) + 1)
        drawn = self._drawn(control, share, phases, angles)[moves % phases]
        stayed = self._drawn(pilot, share, phases, angles)[(n1 - moves) % phases]
        turn = np.exp(-1j * angles * int(pilot @ self.steps))
        found = np.zeros((self.width[0], len(angles)), dtype=np.complex128)
        np.add.at(found, moves % self.width[0], drawn * stayed * turn / math.exp(_log_binomial(n1, n0 + n1)))
        return found

    def _drawn(self, times: IntArray, share: float, phases: int, angles: FloatArray) -> ComplexArray:
        """By number drawn, modulo `phases`, and angle: chance and transform of the sum, each answer drawn by itself."""
        phase = 2 * np.pi / phases * np.arange(phases)[:, None]
        product = np.ones((phases, len(angles)), dtype=np.complex128)
        for count, step in zip(times.tolist(), self.steps.tolist(), strict=True):
            if count:
                product *= (1 - share + share * np.exp(1j * (phase + step * angles))) ** count
        return np.asarray(np.fft.fft(product, axis=0) / phases, dtype=np.complex128)


def _kept(whole: tuple[int, int], expected: float, variance: float, widest: int) -> tuple[int, int]:
    """Lowest value and number of values to keep of a sum: all, or those around what is expected that have a chance."""
    least, most = whole
    far = reach(variance, widest, EXPONENT)
    if 2 * far + 1 >= most - least + 1:
        return least, _quick(most - least + 1)
    return max(least, round(expected) - far), _quick(2 * far + 1)


def _quick(points: int) -> int:
    """The next number of points whose transform is quick."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(points))


def _extreme(times: IntArray, drawn: int, steps: IntArray, sign: int) -> int:
    """The largest (`sign` 1) or smallest (-1) sum of steps that `drawn` answers can have."""
    order = np.argsort(-sign * steps)
    taken = np.diff(np.minimum(np.cumsum(times[order]), drawn), prepend=0)
    return int(taken @ steps[order])


def _log_binomial(drawn: int, size: int) -> float:
    """Logarithm of the binomial chance of `drawn` successes in `size` trials whose probability is their share."""
    ways = float(gammaln(size + 1) - gammaln(drawn + 1) - gammaln(size - drawn + 1))
    return ways + drawn * math.log(drawn / size) + (size - drawn) * math.log1p(-drawn / size)


def _normal_interval(table: IntArray, levels: Sequence[float], law: PermutationLaw, tail: float) -> ShiftInterval:
    """The limits by the normal law, with the spread of the sum over shuffles once the arms' difference is taken off."""
    size, values = table.sum(axis=2), np.asarray(levels, dtype=np.float64)
    means = table @ values / size
    scatter = (table * (values - means[..., None]) ** 2).sum(axis=(0, 2))
    both = size.sum(axis=0)
    weights = size[0] * size[1] / both
    centre = (law.total - law.expected) / float(weights.sum())
    error = math.sqrt(float((weights * scatter / (both - 1.0)).sum())) / float(weights.sum())
    half = normal_quantile(1 - tail) * error
    return ShiftInterval(centre - half, centre + half, exact=False)


def _steps(levels: Sequence[float], used: npt.NDArray[np.bool_]) -> tuple[IntArray, float]:
    """Levels in their common step, the lowest used one at 0 and unused ones too, and the step."""
    exact = [Fraction(float(level)).limit_denominator(1000) for level in levels]
    lowest = min(level for level, use in zip(exact, used, strict=True) if use)
    above = [level - lowest if use else Fraction(0) for level, use in zip(exact, used, strict=True)]
    fine = math.lcm(*(gap.denominator for gap in above))
    whole = [int(gap * fine) for gap in above]
    common = math.gcd(*whole) or 1
    return np.asarray(whole, dtype=np.int64) // common, common / fine
