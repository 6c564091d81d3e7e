"""The exact posterior of a difference of mean ratings, where the shares of the levels follow Dirichlet laws.

The mean of one arm lies below `t` if a weighted sum of independent gamma variables with weights `level - t` is negative;
that chance, and the density, are integrals of the sum's known characteristic function along a line through the saddle point,
which is stretched so that few points give all digits, for one answer as for billions. The two arms are then joined by
double exponential quadrature between the points where one of the laws is not smooth, or changes quickly.

Reference: Imhof 1961, Biometrika 48:419; Rice 1980, SIAM J. Sci. Stat. Comput. 1:438 (the line through the saddle point);
Takahasi and Mori 1974, Publ. RIMS 9:721; Gelman et al. 2013, Bayesian Data Analysis, ch. 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.entries import check_ascending, numbers_of
from pilot.analysis.moments import FloatArray
from pilot.analysis.tails import normal_quantile
from pilot.errors import InputError

_LEAST_PRIOR = 0.25
"""Answers that a prior is worth at least: laws that are steeper are not integrated to all digits."""

_STEP = 0.18
"""Step of the integral along the stretched line; its error is then below 1e-12."""

_MOST_BENT = 0.8
"""How far the line may bend away from straight up."""

_NOTHING = 1e-14
"""A chance that is left out."""

_SMOOTH = 15.0
"""If the parameters of the other levels sum to this, the density's kink at a level is one of its 13th derivative."""

_ROUNDING = 1e-9
"""What the shares of one answer may lack of 1."""

_SAME = 1e-14
"""Share of the scale below which two points are one."""

_GRADE = 3.0
"""How much longer than its neighbour a piece between singular points may be."""

_REACH = np.array([0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 12, 20, 40])
_SPREADS = np.concatenate([-_REACH[::-1], [0.0], _REACH])
"""Distances from its mean, in standard deviations, at which the pieces of an integral over a law end."""


def _double_exponential(reach: int) -> tuple[FloatArray, FloatArray]:
    """Nodes, as the share of a piece that lies below them, and weights of an integral over a piece of length 1."""
    x = np.arange(-reach, reach + 1) * 0.25
    odds = np.exp(math.pi * np.sinh(x))
    share = odds / (1 + odds)
    return share, 0.25 * math.pi * np.cosh(x) * share / (1 + odds)


_RULE, _RULE_OF_STEEP = _double_exponential(12), _double_exponential(18)
"""The second one is for laws that are so steep at a level that much lies within 1e-14 of it."""


@dataclass(frozen=True, eq=False)
class MeanRating:
    """The posterior law of one arm's mean rating.

    Attributes:
        law: Parameters of the Dirichlet law, above 0; from 1.25 in all on.
        levels: The levels, ascending.
    """

    law: FloatArray
    levels: FloatArray

    @property
    def mean(self) -> float:
        """Expected mean rating."""
        return float(self.law @ self.levels / self.law.sum())

    @property
    def sd(self) -> float:
        """Standard deviation of the mean rating."""
        total = float(self.law.sum())
        return math.sqrt(float(self.law @ (self.levels - self.mean) ** 2) / total / (total + 1))

    @property
    def edges(self) -> FloatArray:
        """The ends of the scale, and the levels at which the law is not smooth."""
        rough = float(self.law.sum()) - self.law < _SMOOTH
        rough[[0, -1]] = True
        return self.levels[rough]

    @property
    def steep(self) -> bool:
        """Whether the density grows without bounds, and quickly, towards a level."""
        return float(self.law.sum() - self.law.max()) < 0.7

    @property
    def _middle(self) -> float:
        """Where the integral of one tail hands over to the other's: towards the long tail, whose own is hard there."""
        skew = float(self.law @ (self.levels - self.mean) ** 3)
        return self.mean + math.copysign(self.sd, skew)

    def at(self, value: FloatArray, ahead: FloatArray | float = 0.0) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The chances that the mean lies below and above each value, and the density there.

        Args:
            value: The values.
            ahead: What comes on top of them: so far, down to 1e-60, a law can lie from a level, which no sum holds.
        """
        weights = (self.levels[:, None] - value) - ahead
        inner = (weights[0] < 0) & (weights[-1] > 0)
        below, density = np.where(weights[-1] <= 0, 1.0, 0.0), np.zeros_like(value)
        above = 1 - below
        if inner.any():
            turned = np.where((value + ahead)[inner] < self._middle, -1.0, 1.0)
            tail, density[inner] = _inverted(self.law, weights[:, inner] * turned)
            above[inner] = np.where(turned > 0, tail, 1 - tail)
            below[inner] = np.where(turned > 0, 1 - tail, tail)
        return below, above, density


@dataclass(frozen=True, eq=False)
class RatingDifference:
    """Pilot minus control, where each arm's mean rating follows its own law.

    Attributes:
        pilot: The pilot arm's law.
        control: Control's, on the same levels.
    """

    pilot: MeanRating
    control: MeanRating

    @property
    def mean(self) -> float:
        """Expected difference."""
        return self.pilot.mean - self.control.mean

    @property
    def sd(self) -> float:
        """Standard deviation of the difference."""
        return math.hypot(self.pilot.sd, self.control.sd)

    def above(self, threshold: float = 0.0) -> float:
        """The chance that the difference exceeds a threshold."""
        return self._at(threshold)[0]

    def quantile(self, probability: float) -> float:
        """The difference that is not exceeded with this probability, by Newton's method inside a bracket."""
        high = self._span
        low, found = -high, self.mean + normal_quantile(probability) * self.sd
        for _ in range(100):
            chance, density = self._at(found)
            excess = chance - (1 - probability)
            low, high = (found, high) if excess > 0 else (low, found)
            step = found + excess / density if density > 0 else math.inf
            step = step if low < step < high else (low + high) / 2
            if abs(excess) <= 1e-6 * min(probability, 1 - probability):  # each step squares what is left
                return step
            found = step
        return found

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval with equal chances beyond either end."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def expected_loss(self) -> float:
        """Expected fall of the mean rating if the pilot arm is chosen; a rise counts as 0.

        That of choosing control is this plus the expected difference.
        """
        cuts = self._cuts(0.0)
        below, above = self.pilot.at(cuts)[0], self.control.at(cuts)[1]
        some = below[1:] * above[:-1] > _NOTHING  # at most so much of the piece counts
        value, ahead, weight = self._nodes(cuts[:-1][some], cuts[1:][some])
        return float(weight @ (self.pilot.at(value, ahead)[0] * self.control.at(value, ahead)[1]))

    @property
    def _span(self) -> float:
        levels = self.control.levels
        return float(levels[-1] - levels[0])

    def _cuts(self, threshold: float) -> FloatArray:
        """Between these of control's means both laws are smooth, the pilot arm's mean lying a threshold above."""
        levels = self.control.levels
        edges = np.clip(np.concatenate([self.control.edges, self.pilot.edges - threshold]), levels[0], levels[-1])
        edges = _graded(np.unique(edges), _SAME * self._span)
        centres = (self.control.mean, self.control.sd), (self.pilot.mean - threshold, self.pilot.sd)
        return np.unique(np.concatenate([edges, *(_around(centre, sd, edges) for centre, sd in centres)]))

    def _nodes(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Nodes, as ends of pieces and what comes on top of these, and weights; laws may be singular at the ends."""
        share, weight = _RULE_OF_STEEP if self.control.steep or self.pilot.steep else _RULE
        length, first = (high - low)[:, None], share < 0.5
        value = np.where(first, low[:, None], high[:, None])
        ahead = length * np.where(first, share, -share[::-1])
        return value.ravel(), ahead.ravel(), (length * weight).ravel()

    def _at(self, threshold: float) -> tuple[float, float]:
        """The chance that the difference exceeds a threshold, and its density there."""
        cuts = self._cuts(threshold)
        below, above = self.control.at(cuts)[0], self.pilot.at(cuts + threshold)[1]
        mass, change = np.diff(below), above[:-1] - above[1:]
        plain = (mass <= _NOTHING) | (change <= _NOTHING)
        value, ahead, weight = self._nodes(cuts[:-1][~plain], cuts[1:][~plain])
        weight = weight * self.control.at(value, ahead)[2]
        some = weight > 1e-3 * _NOTHING
        value, ahead, weight = value[some], ahead[some], weight[some]
        _, shown, density = self.pilot.at(value + threshold, ahead)
        chance = float((mass * above[:-1])[plain].sum()) + float(weight @ shown)
        return min(max(chance, 0.0), 1.0), float(weight @ density)


def rating_difference(counts: npt.ArrayLike, levels: npt.ArrayLike, prior: float = 1.0) -> RatingDifference:
    """The difference of mean ratings, where the shares of the levels follow a Dirichlet law in each arm.

    Args:
        counts: Answers by (arm, level), control first; at least one in each arm.
        levels: Values of the levels, ascending.
        prior: Answers that the prior is worth in each arm, spread evenly over the levels; from 0.25.

    Raises:
        InputError: Levels do not ascend, the prior is worth too little, or an arm has no answer, or a number of answers that
            cannot be.
    """
    values = numbers_of(levels, "levels")
    if len(values) < 2:
        raise InputError("there is one level only", place="levels", remedy="Give all levels that can be chosen")
    check_ascending(values)
    if not prior >= _LEAST_PRIOR:
        raise InputError(f"{prior:g} is too small", place="prior", remedy=f"Give {_LEAST_PRIOR:g} or more; 1 is usual")
    if math.isinf(prior):
        raise InputError("inf leaves nothing to the answers", place="prior", remedy="Give a finite number")
    control, pilot = _answers(counts, len(values)) + prior / len(values)
    return RatingDifference(MeanRating(pilot, values), MeanRating(control, values))


def _answers(counts: npt.ArrayLike, levels: int) -> FloatArray:
    """Answers by (arm, level), looked through."""
    table = numbers_of(counts, "counts", least=0.0, remedy="Give 0 where nobody chose a level")
    if table.shape != (2, levels):
        raise InputError(
            f"there must be one number for each of {levels} levels in two arms",
            place="counts",
            remedy="Give control's numbers, then the pilot arm's",
        )
    for name, row in zip(("control", "the pilot arm"), table, strict=True):
        if row.sum() < 1 - _ROUNDING:
            raise InputError(f"{name} has no answer", place="counts", remedy="Wait until both arms have answers")
    return table


def _inverted(law: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The chance that weighted sums of gamma variables are positive, and the density of the mean there.

    Args:
        law: Their shape parameters.
        weights: Of the variables, by (variable, sum), with both signs.
    """
    path = _path(law, weights)
    x = _ending(law, weights, path)
    number = max(8, math.ceil(float(x.max()) / _STEP))
    x = (x / number)[:, None] * np.arange(number + 1)
    log_size, angle = np.zeros_like(x), np.zeros_like(x)
    slope = np.zeros(x.shape, dtype=np.complex128)
    for shape, weight in zip(law, weights, strict=True):
        real, ahead, up = path.factor(weight[:, None], x)
        squared = ahead * (ahead - 2) + up * up
        log_size -= shape * (np.log1p(-weight[:, None] * path.centre) + np.log1p(squared) / 2)
        angle += shape * np.arctan2(up, 1 - ahead)
        slope += shape / real * (1 - ahead + 1j * up) / (1 + squared)
    moment = np.exp(log_size + 1j * angle)
    moment *= path.width * (1j * np.cosh(x) + path.bend * np.sinh(x)) * (x[:, 1:2] / math.pi)
    moment[:, [0, -1]] /= 2
    tail = (moment / path.point(x)).imag.sum(axis=1)
    return np.clip(tail, 0.0, 1.0), np.maximum((moment * slope).imag.sum(axis=1), 0.0)


@dataclass(frozen=True, eq=False)
class _Path:
    """A branch of a hyperbola from the real axis upwards, for each sum: about the way of steepest descent.

    Attributes:
        centre: Where it leaves the axis, between 0 and the first singularity, by (sum, 1).
        width: How wide the integrand is there.
        bend: How much it turns to the right, from -1 to 1.
    """

    centre: FloatArray
    width: FloatArray
    bend: FloatArray

    def point(self, x: FloatArray) -> npt.NDArray[np.complex128]:
        """The points of the path, by (sum, x)."""
        ahead = self.width * self.bend * 2 * np.sinh(x / 2) ** 2
        return np.asarray(self.centre + ahead + 1j * self.width * np.sinh(x))

    def factor(self, weight: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What `1 - weight * point` is at the centre, and `ahead` and `up` of its ratio to that, `1 - ahead - i up`."""
        real = 1 - weight * self.centre
        relative = weight * self.width / real
        return real, relative * self.bend * 2 * np.sinh(x / 2) ** 2, relative * np.sinh(x)


def _path(law: FloatArray, weights: FloatArray) -> _Path:
    """The path through the saddle point of the integrand, which bends there as the steepest descent does."""
    largest = weights.max(axis=0)
    low, high = np.full(len(largest), -40.0), np.full(len(largest), 20.0)
    for _ in range(30):  # any point in between is right; this one needs the fewest steps
        middle = (low + high) / 2
        centre = 1 / (largest * (1 + np.exp(-middle)))
        rising = law @ (weights / (1 - weights * centre)) > 1 / centre
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    centre = 1 / (largest * (1 + np.exp(-low)))
    poles = weights / (1 - weights * centre)
    curvature, third = law @ poles**2 + 1 / centre**2, 2 * (law @ poles**3 - 1 / centre**3)
    width = np.minimum(1 / np.sqrt(curvature), 1 / largest - centre)
    bend = np.clip(width * third / (3 * curvature), -_MOST_BENT, _MOST_BENT)
    return _Path(centre[:, None], width[:, None], bend[:, None])


def _ending(law: FloatArray, weights: FloatArray, path: _Path) -> FloatArray:
    """Where on each path the integrand has become nothing."""
    low, high = np.zeros(path.centre.shape), np.full(path.centre.shape, 100.0)
    for _ in range(20):
        middle = (low + high) / 2
        size = np.log(np.abs(path.point(middle)) / path.centre) - np.log(np.cosh(middle))
        for shape, weight in zip(law, weights, strict=True):
            _, ahead, up = path.factor(weight[:, None], middle)
            size = size + shape * np.log1p(ahead * (ahead - 2) + up * up) / 2
        gone = size > -math.log(_NOTHING)
        low, high = np.where(gone, low, middle), np.where(gone, middle, high)
    return np.asarray(high[:, 0])


def _graded(edges: FloatArray, same: float) -> FloatArray:
    """Points where a law may be singular, with others between them, so that no piece has another one close to its end."""
    edges = edges[np.concatenate([[True], np.diff(edges) > same])]
    while True:
        length = np.diff(edges)
        up = np.flatnonzero(length[1:] > _GRADE**2 * length[:-1])
        down = np.flatnonzero(length[:-1] > _GRADE**2 * length[1:])
        if not (up.size or down.size):
            return edges
        between = [edges[up + 1] + _GRADE * length[up], edges[down + 1] - _GRADE * length[down + 1]]
        edges = np.unique(np.concatenate([edges, *between]))


def _around(centre: float, sd: float, edges: FloatArray) -> FloatArray:
    """Points between which a law changes little, where they are not too close to an edge."""
    cuts = centre + sd * _SPREADS
    cuts = cuts[(cuts > edges[0]) & (cuts < edges[-1])]
    place = np.searchsorted(edges, cuts)
    return np.asarray(cuts[np.minimum(cuts - edges[place - 1], edges[place] - cuts) > sd / 4])
