"""Group-sequential designs: how far a result must lie off no difference if it is looked at more than once.

The statistic `Z` of look `k`, at the information `t[k]`, is normal with mean `drift * sqrt(t[k])`, and what comes
between two looks is independent of what came before. The chance to stay between the bounds is carried from look to look
by numerical integration (Armitage, McPherson and Rowe 1969), on Gauss-Legendre panels fine enough for the next step.

Reference: Jennison and Turnbull 2000, Group Sequential Methods, chapters 2, 7 and 19; Lan and DeMets 1983, Biometrika
70:659; O'Brien and Fleming 1979, Biometrics 35:549; Pocock 1977, Biometrika 64:191.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from pilot.analysis.moments import FloatArray
from pilot.errors import InputError

Spending = Literal["obrien-fleming", "pocock"]
"""How early error is spent: hardly any at the first looks, or about evenly."""

MOST_LOOKS = 50
"""More looks than any pilot has."""

FARTHEST = 37.0
"""A bound that no result reaches: the chance beyond it is below 1e-298."""

_UNSEEN = 1e-290
"""A chance for which no bound is looked for."""

_REACH = 9.0
"""Standard deviations below which a normal law has no mass that matters (1e-19)."""

_PANEL = 4.0
"""Width of a panel of 16 points, in standard deviations of the next step; errors are then below 1e-10."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)

SMALLEST_STEP = 1e-3
"""Smallest share of the whole information between two looks."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a design.

    Attributes:
        information: Share of the whole information at each look, ascending; the last is 1 where all of it was reached.
        upper: Bound of `Z` at each look; where there are two sides, the lower bounds are its negatives.
        sides: 1 or 2.
    """

    information: tuple[float, ...]
    upper: tuple[float, ...]
    sides: int = 2

    def __post_init__(self) -> None:
        """Refuse looks that are none.

        Raises:
            InputError: There is no look or too many, bounds do not fit them, or information does not grow.
        """
        _check_looks(self.information)
        if len(self.upper) != len(self.information):
            raise InputError("there must be one bound for each look", place="looks")
        if self.sides not in (1, 2):
            raise InputError(f"a test has one side or two, not {self.sides}", place="sides")

    @property
    def nominal(self) -> tuple[float, ...]:
        """Level that a single test at each look would have, of both sides together where there are two."""
        return tuple(self.sides * float(ndtr(-bound)) for bound in self.upper)

    def crossing(self, drift: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Chances to cross the upper and the lower bound first at each look.

        Args:
            drift: Expected `Z` at full information: the true effect in standard errors of the last look.
        """
        above, below = [], []
        for state, bound in zip(states(self, drift), self.upper, strict=True):
            above.append(state.above(bound))
            below.append(state.below(-bound) if self.sides == 2 else 0.0)
        return np.array(above), np.array(below)

    @property
    def error(self) -> float:
        """The chance to cross a bound at some look though there is no effect."""
        above, below = self.crossing()
        return float(above.sum() + below.sum())

    def power(self, drift: float) -> float:
        """The chance to cross the upper bound at some look. To cross the other one is no success."""
        return min(1.0, float(self.crossing(drift)[0].sum()))

    def expected_information(self, drift: float) -> float:
        """Average share of the information at which the trial ends, by crossing or at the last look."""
        above, below = self.crossing(drift)
        stopped = (above + below)[:-1]
        return float(stopped @ self.information[:-1]) + (1 - float(stopped.sum())) * self.information[-1]

    def drift(self, power: float) -> float:
        """The drift that crosses the upper bound with this chance.

        Raises:
            InputError: The chance is not between that of no drift and 1.
        """
        if not self.power(0.0) < power < 1:
            raise InputError(f"{power:g} is no chance that this design can have", place="power")
        return root(lambda drift: self.power(drift) - power, 0.0, 2 * _REACH)

    def inflation(self, power: float = 0.8) -> float:
        """How many times as many units as a single look at the same error takes the last look needs."""
        alone = Bounds((1.0,), (float(-ndtri(self.error / self.sides)),), self.sides)
        return (self.drift(power) / alone.drift(power)) ** 2


def classical_bounds(kind: Spending, looks: int, alpha: float = 0.05, sides: int = 2) -> Bounds:
    """The original bounds for equally spaced looks: constant (Pocock), or falling with the root (O'Brien and Fleming).

    Args:
        kind: Which.
        looks: How many.
        alpha: Error of the whole design, both sides together where there are two.
        sides: 1 or 2.

    Raises:
        InputError: A number is out of its range.
    """
    _check_error(alpha, sides)
    if not 1 <= looks <= MOST_LOOKS:
        raise InputError(f"there are 1 to {MOST_LOOKS} looks, not {looks}", place="looks")
    information = tuple((look + 1) / looks for look in range(looks))

    def scaled(constant: float) -> Bounds:
        roots = (1.0 if kind == "pocock" else math.sqrt(share) for share in information)
        return Bounds(information, tuple(min(FARTHEST, constant / root) for root in roots), sides)

    return scaled(root(lambda constant: alpha - scaled(constant).error, 0.0, _REACH))


def spent(kind: Spending, share: float, alpha: float) -> float:
    """The error on one side that may be spent up to this share of the information.

    Args:
        kind: As O'Brien and Fleming's bounds do, or as Pocock's do.
        share: Of the planned information; beyond 1 all is spent.
        alpha: Error on one side of the whole design.
    """
    if share >= 1:
        return alpha
    if kind == "pocock":
        return alpha * math.log1p((math.e - 1) * share)
    return 2 * math.exp(float(log_ndtr(ndtri(alpha / 2) / math.sqrt(share))))


def spending_bounds(
    kind: Spending,
    shares: Sequence[float],
    alpha: float = 0.05,
    sides: int = 2,
    information: Sequence[float] | None = None,
) -> Bounds:
    """Lan and DeMets' bounds for looks at any share of the information, as it was really reached.

    Args:
        kind: How the error is spent.
        shares: Share of the planned information at each look so far; at the last one of the design it is 1.
        alpha: Error of the whole design, both sides together where there are two.
        sides: 1 or 2.
        information: What was reached at each look, where that is not what `shares` says: the last look spends all that
            is left, whether it comes before or after the planned information.

    Raises:
        InputError: A number is out of its range.
    """
    _check_error(alpha, sides)
    _check_looks(shares)
    return _spending_bounds(kind, tuple(shares), alpha, sides, tuple(information or shares))


@dataclass(frozen=True, slots=True)
class State:
    """What is still running before a look.

    Attributes:
        centre: Expected `Z` at the look from each point of the look before.
        sd: Its standard deviation.
        mass: Of the points.
    """

    centre: FloatArray
    sd: float
    mass: FloatArray

    def above(self, bound: float) -> float:
        """The chance of reaching the look and lying above this value there."""
        return float(self.mass @ ndtr((self.centre - bound) / self.sd))

    def below(self, bound: float) -> float:
        """The chance of reaching the look and lying below this value there."""
        return float(self.mass @ ndtr((bound - self.centre) / self.sd))

    def density(self, z: FloatArray) -> FloatArray:
        """Density of reaching the look and having these values there."""
        scaled = (z[:, None] - self.centre) / self.sd
        found: FloatArray = np.exp(-0.5 * scaled**2) @ self.mass / (self.sd * math.sqrt(2 * math.pi))
        return found


def states(bounds: Bounds, drift: float) -> Iterator[State]:
    """The state before each look, given that no bound was crossed before it."""
    before, z, mass = 0.0, np.zeros(1), np.ones(1)
    state = None
    for look, now in enumerate(bounds.information):
        step = now - before
        if state is not None:
            z, mass = _kept(state, bounds, look - 1, drift, math.sqrt(step / before))
        centre = (z * math.sqrt(before) + drift * step) / math.sqrt(now)
        state = State(centre, math.sqrt(step / now), mass)
        yield state
        before = now


def _kept(state: State, bounds: Bounds, look: int, drift: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Points between the bounds of a look, and their mass; `width` is the spread of the next step."""
    middle, bound = drift * math.sqrt(bounds.information[look]), bounds.upper[look]
    high = min(bound, middle + FARTHEST)
    low = max(-bound, middle - FARTHEST) if bounds.sides == 2 else middle - _REACH
    if high <= low:
        return np.zeros(1), np.zeros(1)
    edges = np.linspace(low, high, 1 + math.ceil((high - low) / (_PANEL * min(width, 1.0))))
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * _NODES).ravel()
    return z, (half * _WEIGHTS).ravel() * state.density(z)


@lru_cache(maxsize=256)
def _spending_bounds(
    kind: Spending, shares: tuple[float, ...], alpha: float, sides: int, information: tuple[float, ...]
) -> Bounds:
    upper: list[float] = []
    used = 0.0
    for look, share in enumerate(shares):
        total = spent(kind, share, alpha / sides)
        so_far = Bounds(information[: look + 1], (*upper, FARTHEST), sides)
        *_, state = states(so_far, 0.0)
        upper.append(_bound(state, total - used))
        used = total
    return Bounds(information, tuple(upper), sides)


def _bound(state: State, chance: float) -> float:
    """The bound above which `Z` lies with this chance, and has crossed none before."""
    if chance < _UNSEEN:
        return FARTHEST
    log_chance = math.log(chance)
    return root(lambda bound: log_chance - math.log(max(state.above(bound), _UNSEEN / 2)), -_REACH, FARTHEST)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between two values at which it has different ones."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-12, rtol=1e-13))


def _check_error(alpha: float, sides: int) -> None:
    if not 0 < alpha < 0.5 * sides:
        raise InputError(f"{alpha:g} is no error to plan with", place="alpha", remedy="Mostly it is 0.05")


def _check_looks(information: Sequence[float]) -> None:
    if not 1 <= len(information) <= MOST_LOOKS:
        raise InputError(f"there are 1 to {MOST_LOOKS} looks, not {len(information)}", place="looks")
    steps = np.diff([0.0, *information])
    if not (steps >= SMALLEST_STEP).all() or not math.isfinite(information[-1]):
        raise InputError(
            "the information must grow from look to look, each time by at least 0.1 % of the whole",
            place="information",
            remedy="Give shares such as 0.5 and 1",
        )
