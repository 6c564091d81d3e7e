"""The exact permutation law of a sum of ratings, from counts alone.

Shuffle the arms inside each stratum: the sum of the pilot arm's ratings then follows a law that depends only on
how often each rating occurs. With `m[k]` answers at level `a[k]`, `n` of them in the pilot arm, the chance of
the sum `s` is the coefficient of `x^n y^s` in `prod_k (1 + x y^a[k])^m[k]`, over the number of ways to choose `n`.
Strata convolve, so their transforms multiply (Streitberg and Roehmel 1986; Pagano and Tritchler 1983).

The coefficients are read off by discrete Fourier transforms. Four measures make that accurate, at a cost that
does not grow with the number of answers:

* `x` and `y` run on circles through the saddle point. Under this tilt the observed sum is an ordinary one, so a
  tail of 1e-300 loses no digit to cancellation; logarithms carry the scale.
* A transform has as many points as the tilted sum has values, or as it has outside a tail of mass
  `exp(-EXPONENT)` by Bernstein's inequality: the sum over the points is then an identity, not an approximation.
* A point is left out only where a bound that holds for every shape of answers puts the transform's modulus below
  `exp(-EXPONENT)`. Answers on 1, 3 and 5 only, or nearly so, have side lobes far from the centre: they stay in. Whole
  stretches are ruled out at once (`lobes`), so that looking for the loud points costs nothing that grows with answers.
* Logarithms of large factorials are never subtracted from each other, only Stirling's remainders are (Loader 2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln

from pilot.analysis.lobes import loud_points, reach
from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import two_sided
from pilot.errors import InputError

EXPONENT = 50.0
"""What is left out is below exp(-50), about 2e-22, of what is kept."""

MAX_STEPS = 2_000
"""Widest span of levels, in their common step."""

_STEEPEST = 50.0
"""Largest tilt per step; beyond it the observed sum is the extreme one but for a mass of exp(-50)."""

_BLOCK = 500_000
"""Grid points held in memory at once."""

ComplexArray = npt.NDArray[np.complex128]
SlopedFunction = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Gives values and slopes."""


@dataclass(frozen=True, slots=True)
class PermutationLaw:
    """Where the observed sum stands in its permutation law.

    Attributes:
        total: Sum of the pilot arm's ratings.
        expected, sd: Mean and standard deviation of that sum when arms are shuffled inside the strata.
        log_upper: Natural logarithm of the chance of a sum at least as large as the observed one.
        log_lower: The same, at most as large.
    """

    total: float
    expected: float
    sd: float
    log_upper: float
    log_lower: float

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value: twice the smaller tail, the observed sum included, at most 1."""
        return two_sided(min(self.log_upper, self.log_lower))

    @property
    def z(self) -> float:
        """Distance of the observed sum from its expectation in standard deviations; 0 where nothing can vary."""
        return (self.total - self.expected) / self.sd if self.sd > 0 else 0.0


def exact_permutation(counts: npt.ArrayLike, levels: Sequence[float]) -> PermutationLaw:
    """Exact stratified permutation test of a difference in mean rating, from counts.

    The statistic is the sum of the pilot arm's ratings, given the totals of every stratum. In one stratum it orders
    results as the difference of means does; over several it weights their differences by `n1 n0 / (n1 + n0)`.

    Args:
        counts: Answers by (arm, stratum, level) or (arm, level); control first, then the pilot arm.
        levels: The rating of each level. They must have a common step: 1 to 5, -100/0/100, thirds of a point.

    Returns:
        The law. Where no shuffle can change the sum, both tails are 1.

    Raises:
        InputError: The counts have another shape or are no counts, or the levels have no common step.
    """
    table, values = _table(counts, levels), np.asarray(levels, dtype=np.float64)
    both, pilot = table.sum(axis=0), table[1]
    size, drawn = both.sum(axis=1), pilot.sum(axis=1)
    centre = (both @ values) / np.maximum(size, 1)
    scatter = (both * (values - centre[:, None]) ** 2).sum(axis=1)
    share = drawn / np.maximum(size, 1)
    variance = share * (1 - share) * scatter * size / np.maximum(size - 1, 1)
    varied = (drawn > 0) & (drawn < size) & ((both > 0).sum(axis=1) > 1)
    total, expected = float((pilot @ values).sum()), float(drawn @ centre)
    upper = lower = 0.0
    if varied.any():
        shuffle = _Shuffle.of(table[:, varied], levels)
        upper, lower = shuffle.tails() if total >= expected else shuffle.reflected().tails()[::-1]
    return PermutationLaw(total, expected, math.sqrt(variance[varied].sum()), upper + 0.0, lower + 0.0)


@dataclass(frozen=True, eq=False)
class _Shuffle:
    """Strata to be shuffled, on the integer lattice of their levels.

    `times` and `steps` have shape (strata, levels): how often a level occurs in both arms, and its distance from the
    lowest level of the stratum. `drawn` and `summed` are the pilot arm's number of answers and sum of steps.
    """

    times: IntArray
    steps: IntArray
    drawn: IntArray
    summed: IntArray

    @classmethod
    def of(cls, table: IntArray, levels: Sequence[float]) -> _Shuffle:
        times = table.sum(axis=0)
        steps = np.where(times > 0, _lattice(levels, times.any(axis=0)), 0)
        lowest = np.where(times > 0, steps, steps.max()).min(axis=1, keepdims=True)
        steps = np.where(times > 0, steps - lowest, 0)
        steps //= np.gcd.reduce(steps, axis=None)
        return cls(times, steps, table[1].sum(axis=1), (table[1] * steps).sum(axis=1))

    def reflected(self) -> _Shuffle:
        """The same shuffle with the scale turned round."""
        span = self.steps.max(axis=1)
        steps = np.where(self.times > 0, span[:, None] - self.steps, 0)
        return _Shuffle(self.times, steps, self.drawn, span * self.drawn - self.summed)

    def tails(self) -> tuple[float, float]:
        """Logarithms of the upper and lower tail, for an observed sum not below its expectation."""
        tilted = _Tilted.of(self)
        above, below = self._room()
        mass = tilted.reach()
        window, below = min(above, mass), min(below, mass)
        points = (window + below + 1) | 1
        angles, transform, log_scale = tilted.transform(points)
        weights = np.where(angles == 0, 1.0, 2.0) / points
        slope = -(tilted.slope + 1j * angles)
        with np.errstate(invalid="ignore"):
            kernel = np.where(slope == 0, window + 1.0, np.expm1(slope * (window + 1)) / np.expm1(slope))
        upper = float((weights * (transform * kernel).real).sum())
        exactly = float((weights * transform.real).sum())
        log_upper = min(0.0, math.log(upper) + log_scale)
        return log_upper, math.log1p(-math.exp(log_scale) * (upper - exactly))

    def _room(self) -> tuple[int, int]:
        """How far the sum could lie above and below the observed one."""
        most = sum(_largest(*row) for row in zip(self.times, self.steps, self.drawn, strict=True))
        least = sum(
            -_largest(times, -steps, n) for times, steps, n in zip(self.times, self.steps, self.drawn, strict=True)
        )
        observed = int(self.summed.sum())
        return most - observed, observed - least


@dataclass(frozen=True, eq=False)
class _Tilted:
    """A shuffle seen under the tilt that makes its observed sum ordinary.

    Each answer is drawn by itself with probability `p`, whose odds are those of its stratum times
    `exp(intercept + slope * step)`; the law of the sum given the numbers drawn is the shuffle's, tilted.
    """

    shuffle: _Shuffle
    slope: float
    intercept: FloatArray
    p: FloatArray
    q: FloatArray

    @classmethod
    def of(cls, shuffle: _Shuffle) -> _Tilted:
        def excess(slope: FloatArray) -> tuple[FloatArray, FloatArray]:
            tilted = cls._at(shuffle, float(slope))
            mean = (shuffle.times * tilted.p * shuffle.steps).sum()
            return np.asarray(mean - shuffle.summed.sum()), np.asarray(tilted.spread.sum())

        slope = _increasing_root(excess, np.zeros(()), np.full((), _STEEPEST), np.zeros(()), tolerance=1e-6)
        return cls._at(shuffle, float(slope))

    @classmethod
    def _at(cls, shuffle: _Shuffle, slope: float) -> _Tilted:
        odds = np.log(shuffle.drawn) - np.log(shuffle.times.sum(axis=1) - shuffle.drawn)
        lean = odds[:, None] + slope * shuffle.steps

        def excess(intercept: FloatArray) -> tuple[FloatArray, FloatArray]:
            p = expit(lean + intercept[:, None])
            return (shuffle.times * p).sum(axis=1) - shuffle.drawn, (shuffle.times * p * (1 - p)).sum(axis=1)

        lowest = -slope * shuffle.steps.max(axis=1).astype(np.float64)
        intercept = _increasing_root(excess, lowest, np.zeros_like(lowest), np.zeros_like(lowest), tolerance=1e-15)
        lean = lean + intercept[:, None]
        return cls(shuffle, slope, intercept, expit(lean), expit(-lean))

    @property
    def weights(self) -> FloatArray:
        """Variance that each level adds to the number drawn, by stratum."""
        return np.asarray(self.shuffle.times * self.p * self.q)

    @property
    def spread(self) -> FloatArray:
        """Variance of each stratum's sum, given the number drawn (to leading order)."""
        weights = self.weights
        centre = (weights * self.shuffle.steps).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
        return np.asarray((weights * (self.shuffle.steps - centre[:, None]) ** 2).sum(axis=1))

    def reach(self) -> int:
        """Distance from the observed sum beyond which the tilted law has no mass that counts."""
        return reach(float(self.spread.sum()), float(self.shuffle.steps.max()), EXPONENT)

    def transform(self, points: int) -> tuple[FloatArray, ComplexArray, float]:
        """The Fourier transform of the tilted law around the observed sum.

        Returns:
            The angles kept among the `points` of the half circle, 0 first; the transform there, 1 at angle 0;
            and the logarithm of the factor that turns it into chances of the shuffle.
        """
        places = loud_points(self.weights, self.shuffle.steps, points, EXPONENT)
        angles = self._audible(places.astype(np.float64) * (2 * math.pi / points))
        product = np.ones(angles.shape, dtype=np.complex128)
        log_scale = -self.slope * float(self.shuffle.summed.sum())
        for row in range(len(self.intercept)):
            part = self._stratum(row, angles)
            product *= part / part[0].real
            log_scale += math.log(part[0].real) + self._log_scale(row)
        return angles, product, log_scale

    def _audible(self, angles: FloatArray) -> FloatArray:
        """Angles at which the modulus of the transform may exceed exp(-EXPONENT).

        A level's factor has modulus at most `exp(-w (1 - cos(phi + angle a)))`, whatever the phase `phi` of `x`.
        """
        weights, bound = self.weights, np.zeros_like(angles)
        for row in np.argsort(-self.spread):
            bound = bound + weights[row].sum() - np.abs(self._resultant(row, angles))
            angles, bound = angles[bound <= EXPONENT], bound[bound <= EXPONENT]
        return angles

    def _resultant(self, row: int, angles: FloatArray) -> ComplexArray:
        total = np.zeros(angles.shape, dtype=np.complex128)
        for weight, step in zip(self.weights[row], self.shuffle.steps[row], strict=True):
            total += weight * np.exp(1j * step * angles)
        return total

    def _stratum(self, row: int, angles: FloatArray) -> ComplexArray:
        """The coefficient of `x^n` at each angle, by a sum over phases of `x` around the loudest one."""
        resultant, weight = self._resultant(row, angles), float(self.weights[row].sum())
        size = int(self.shuffle.times[row].sum())
        phases = min(size + 1, reach(weight, 1.0, EXPONENT) + 1)
        width = _audible_phases(np.abs(resultant), weight, phases)
        offsets = 2 * np.pi / phases * (np.arange(phases) if width is None else np.arange(-width, width + 1))
        found = np.empty(angles.shape, dtype=np.complex128)
        for block in np.array_split(np.arange(len(angles)), 1 + len(angles) * len(offsets) // _BLOCK):
            phase = offsets - np.angle(resultant[block])[:, None]
            found[block] = self._values(row, phase, angles[block][:, None]).sum(axis=1) / phases
        return found

    def _values(self, row: int, phase: FloatArray, angle: FloatArray) -> ComplexArray:
        """The product over levels of `(q + p exp(i w))^m`, turned back by the observed number and sum."""
        modulus = np.zeros(phase.shape)
        turn = -(phase * float(self.shuffle.drawn[row])) - angle * float(self.shuffle.summed[row])
        shuffle = self.shuffle
        for times, step, p, q in zip(shuffle.times[row], shuffle.steps[row], self.p[row], self.q[row], strict=True):
            if times:
                arc = phase + step * angle
                half = np.sin(arc / 2) ** 2
                with np.errstate(divide="ignore"):  # a factor may vanish
                    modulus += times / 2 * np.log1p(np.maximum(-4 * p * q * half, -1.0))
                turn += times * np.arctan2(p * np.sin(arc), 1 - 2 * p * half)
        return np.exp(modulus + 1j * turn)

    def _log_scale(self, row: int) -> float:
        """Logarithm of the product at phase and angle 0, over the number of ways to choose `n`."""
        times, drawn = self.shuffle.times[row], int(self.shuffle.drawn[row])
        size = int(times.sum())
        share = drawn / size
        lean = self.intercept[row] + self.slope * self.shuffle.steps[row]
        small = np.abs(lean) < 1
        near = np.log1p(share * np.expm1(np.where(small, lean, 0.0)))
        far = np.logaddexp(math.log1p(-share), math.log(share) + lean)
        product = float(times @ np.where(small, near, far))
        return product - drawn * float(self.intercept[row]) - _log_binomial_at_mean(drawn, size)


def _table(counts: npt.ArrayLike, levels: Sequence[float]) -> IntArray:
    given = np.asarray(counts)
    table = given.astype(np.int64)
    if table.ndim == 2:
        table = table[:, None, :]
    if table.ndim != 3 or table.shape[0] != 2 or table.shape[2] != len(levels):
        raise InputError(f"counts have shape {given.shape}, not (2 arms, strata, {len(levels)} levels)")
    if (table < 0).any() or not np.array_equal(table.ravel(), given.ravel()):
        raise InputError("counts must be whole numbers, none below 0")
    return table


def _lattice(levels: Sequence[float], used: npt.NDArray[np.bool_]) -> IntArray:
    """Levels as whole multiples of a common step, the lowest used one at 0; unused ones at 0 too.

    Raises:
        InputError: There is no such step, or the levels are too many steps apart.
    """
    exact = [
        Fraction(float(level)).limit_denominator(1000) if use else None for level, use in zip(levels, used, strict=True)
    ]
    kept = [level for level in exact if level is not None]
    fine = math.lcm(*(level.denominator for level in kept))
    whole = [0 if level is None else int((level - min(kept)) * fine) for level in exact]
    span = max(whole) // (math.gcd(*whole) or 1)
    rounded = any(
        level is not None and not math.isclose(level, given, rel_tol=1e-9, abs_tol=1e-9)
        for level, given in zip(exact, levels, strict=True)
    )
    if rounded or span > MAX_STEPS:
        raise InputError(
            f"the values have no common step, or lie more than {MAX_STEPS:,} steps apart",
            remedy="An exact permutation test is for ratings with few levels; use welch for amounts of money",
        )
    return np.asarray(whole, dtype=np.int64) // (math.gcd(*whole) or 1)


def _largest(times: IntArray, steps: IntArray, drawn: int) -> int:
    """The largest sum of steps that `drawn` answers can have."""
    order = np.argsort(-steps)
    taken = np.diff(np.minimum(np.cumsum(times[order]), drawn), prepend=0)
    return int(taken @ steps[order])


def _audible_phases(resultant: FloatArray, weight: float, phases: int) -> int | None:
    """How many of the `phases` count on each side of the loudest one; None for all of them."""
    slack = EXPONENT - (weight - resultant)
    if (slack >= 2 * resultant).any():
        return None
    width = math.ceil(math.acos(1 - float((slack / resultant).max())) * phases / (2 * math.pi))
    return width if 2 * width + 1 < phases else None


def _log_binomial_at_mean(drawn: int, size: int) -> float:
    """Logarithm of the binomial chance of `drawn` successes in `size` trials whose probability is their share."""
    rest = size - drawn
    bell = 0.5 * math.log(size / (2 * math.pi * drawn * rest))
    return bell + _stirling_remainder(size) - _stirling_remainder(drawn) - _stirling_remainder(rest)


def _stirling_remainder(n: int) -> float:
    """The logarithm of n! minus Stirling's formula for it."""
    if n < 16:
        return float(gammaln(n + 1)) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n


def _increasing_root(
    function: SlopedFunction, low: FloatArray, high: FloatArray, start: FloatArray, *, tolerance: float
) -> FloatArray:
    """Elementwise root of an increasing function by Newton steps inside a bracket; its end where there is no root."""
    point = start
    for _ in range(200):
        value, slope = function(point)
        low, high = np.where(value <= 0, point, low), np.where(value >= 0, point, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = point - value / slope
        following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        if (np.abs(following - point) <= tolerance * (1 + np.abs(point))).all():
            break
        point = following
    return point
