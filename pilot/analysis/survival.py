"""Times until an event that not everybody has had yet: Kaplan-Meier curves, restricted means, log-rank."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray, IntArray
from pilot.analysis.tails import log_normal_upper, normal_quantile, two_sided
from pilot.errors import InputError


@dataclass(frozen=True, eq=False)
class Curve:
    """The share without the event, day by day, by the product of Kaplan and Meier.

    Attributes:
        time: Days on which an event was seen, ascending.
        at_risk: Units observed without the event just before that day.
        events: Events on that day.
        share: Share without the event from that day on.
        hazard_variance: Greenwood's sum `d / (n (n - d))` up to that day; infinite where the share has become 0.
        last: The longest time observed.
    """

    time: FloatArray
    at_risk: IntArray
    events: IntArray
    share: FloatArray
    hazard_variance: FloatArray
    last: float

    def reaches(self, day: float) -> bool:
        """Whether the share on this day is known: somebody was observed until then, or all had the event before."""
        return self.last >= day or (len(self.share) > 0 and self.share[-1] == 0)

    def at(self, day: float) -> tuple[float, float]:
        """The share without the event at the end of a day, and its variance after Greenwood.

        The variance is 0 where the share is 0 or 1.

        Raises:
            InputError: Nobody was observed that long.
        """
        self._check(day)
        place = int(np.searchsorted(self.time, day, side="right")) - 1
        if place < 0:
            return 1.0, 0.0
        share = float(self.share[place])
        return share, share**2 * float(self.hazard_variance[place]) if share > 0 else 0.0

    def interval(self, day: float, level: float = 0.95) -> tuple[float, float] | None:
        """The interval of the share at the end of a day on the log(-log) scale; None where the share is 0 or 1.

        Reference: Kalbfleisch and Prentice 2002, section 1.4.
        """
        share, variance = self.at(day)
        if not 0 < share < 1:
            return None
        width = normal_quantile((1 + level) / 2) * math.sqrt(variance) / (share * -math.log(share))
        return share ** math.exp(width), share ** math.exp(-width)

    def restricted_mean(self, day: float) -> tuple[float, float]:
        """Mean days without the event up to a day, the area under the curve, and its variance.

        Reference: Royston and Parmar 2013, BMC Medical Research Methodology 13:152; Klein and Moeschberger 2003, 4.5.

        Raises:
            InputError: Nobody was observed that long.
        """
        self._check(day)
        inside = self.time < day
        edges = np.concatenate([[0.0], self.time[inside], [day]])
        areas = np.diff(edges) * np.concatenate([[1.0], self.share[inside]])
        after = areas.sum() - np.cumsum(areas)[:-1]
        left = (self.at_risk - self.events)[inside]
        known = left > 0
        terms = after[known] ** 2 * self.events[inside][known] / (self.at_risk[inside][known] * left[known])
        return float(areas.sum()), float(terms.sum())

    def _check(self, day: float) -> None:
        if not self.reaches(day):
            raise InputError(
                f"nobody was observed for {day:g} days; the longest time is {self.last:g}",
                place="day",
                remedy="Choose an earlier day",
            )


def kaplan_meier(time: npt.ArrayLike, event: npt.ArrayLike) -> Curve:
    """The curve of the share without the event.

    Args:
        time: Days, one for each unit, 0 or more.
        event: Whether the event was seen then (1), or nobody looked any more (0).

    Reference: Kaplan and Meier 1958, JASA 53:457; Greenwood 1926.

    Raises:
        InputError: There is no unit, a time is negative or not finite, or an event is neither 0 nor 1.
    """
    days, seen = checked(time, event)
    moments, events = np.unique(days[seen], return_counts=True)
    at_risk = len(days) - np.searchsorted(np.sort(days), moments, side="left")
    left = at_risk - events
    with np.errstate(divide="ignore"):
        greenwood = np.cumsum(np.where(left > 0, events / (at_risk * np.maximum(left, 1)), np.inf))
    return Curve(
        moments,
        at_risk.astype(np.int64),
        events.astype(np.int64),
        np.cumprod(left / at_risk, dtype=np.float64),
        greenwood,
        float(days.max()),
    )


def checked(time: npt.ArrayLike, event: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Times and events as arrays, refused where they cannot be used.

    Raises:
        InputError: There is no unit, a time is negative or not finite, or an event is neither 0 nor 1.
    """
    days, seen = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.float64)
    if days.shape != seen.shape or days.ndim != 1 or not len(days):
        raise InputError("there must be one time and one event for each unit, and at least one unit", place="time")
    if not (np.isfinite(days) & (days >= 0)).all():
        raise InputError("a time is negative or not a finite number", place="time", remedy="Give days, 0 or more")
    if not np.isin(seen, (0.0, 1.0)).all():
        raise InputError(
            "whether the event was seen must be 1 or 0", place="event", remedy="Write 1 for seen, 0 for not seen yet"
        )
    return days, seen == 1


@dataclass(frozen=True, slots=True)
class LogRank:
    """Events of the pilot arm against those expected if the arms did not differ.

    Attributes:
        observed, expected: Events of control and of the pilot arm, and those expected of each.
        variance: Of observed minus expected.
        idle: Places of the strata that say nothing: no event while both arms were under observation.
    """

    observed: tuple[int, int]
    expected: tuple[float, float]
    variance: float
    idle: tuple[int, ...] = ()

    @property
    def z(self) -> float:
        """Observed minus expected events of the pilot arm in standard deviations; its square is chi-square."""
        return (self.observed[1] - self.expected[1]) / math.sqrt(self.variance)

    @property
    def log_p(self) -> float:
        """Logarithm of the two-sided p value."""
        return two_sided(log_normal_upper(abs(self.z)))

    def log_hazard_ratio(self) -> tuple[float, float]:
        """Logarithm of the hazard ratio of pilot to control by one step from no difference, and its standard error.

        Reference: Peto et al. 1977, British Journal of Cancer 35:1; Berry, Kitchin and Mock 1991, Stat. Med. 10:749.
        """
        return (self.observed[1] - self.expected[1]) / self.variance, 1 / math.sqrt(self.variance)


def log_rank(
    time: npt.ArrayLike, event: npt.ArrayLike, pilot: npt.ArrayLike, stratum: npt.ArrayLike | None = None
) -> LogRank | None:
    """The log-rank test of two arms, inside strata where there are any.

    Args:
        time: Days, one for each unit.
        event: Whether the event was seen then (1), or nobody looked any more (0).
        pilot: Whether the unit is in the pilot arm (1) or in control (0).
        stratum: Numbers of the strata.

    Returns:
        The test, or None where no event was seen while both arms were under observation.

    Reference: Mantel 1966, Cancer Chemotherapy Reports 50:163; ties by the hypergeometric variance.

    Raises:
        InputError: As for `kaplan_meier`.
    """
    days, seen = checked(time, event)
    arm = np.asarray(pilot) == 1
    layer = np.zeros(len(days), dtype=np.int64) if stratum is None else np.asarray(stratum)
    parts = [(place, *_tallied(days[own], seen[own], arm[own])) for place, own in _each(layer)]
    variance = sum(part[3] for part in parts)
    if variance <= 0:
        return None
    observed, expected = sum(part[1] for part in parts), sum(part[2] for part in parts)
    total = int(seen.sum())
    idle = tuple(part[0] for part in parts if part[3] <= 0)
    return LogRank((total - observed, observed), (total - expected, expected), variance, idle)


def _each(layer: npt.NDArray[np.generic]) -> Iterable[tuple[int, npt.NDArray[np.int64]]]:
    """Each stratum that has units, with their places."""
    order = np.argsort(layer, kind="stable")
    places, starts = np.unique(layer[order], return_index=True)
    for place, own in zip(places, np.split(order, starts[1:]), strict=True):
        yield int(place), own


def _tallied(days: FloatArray, seen: npt.NDArray[np.bool_], arm: npt.NDArray[np.bool_]) -> tuple[int, float, float]:
    """Observed and expected events of the pilot arm in one stratum, and the variance."""
    moments, deaths = np.unique(days[seen], return_counts=True)
    at_risk = len(days) - np.searchsorted(np.sort(days), moments, side="left")
    own = int(arm.sum()) - np.searchsorted(np.sort(days[arm]), moments, side="left")
    share = own / np.maximum(at_risk, 1)
    spare = np.maximum(at_risk - 1, 1)
    variance = deaths * share * (1 - share) * (at_risk - deaths) / spare
    return int((seen & arm).sum()), float(deaths @ share), float(variance.sum())


def events_power(log_ratio: float, events: float, share: float, level: float) -> float:
    """The chance that a log-rank test shows a hazard ratio.

    Args:
        log_ratio: Logarithm of the true hazard ratio.
        events: Events in both arms together.
        share: The pilot arm's share of the units.
        level: Two-sided confidence level of the test.

    Reference: Schoenfeld 1983, Biometrics 39:499.
    """
    return normal_power(log_ratio * math.sqrt(events * share * (1 - share)), level)


def normal_power(distance: float, level: float) -> float:
    """The chance that a two-sided z test shows an effect of so many standard errors; both tails count."""
    edge = normal_quantile((1 + level) / 2)
    return math.exp(log_normal_upper(edge - abs(distance))) + math.exp(log_normal_upper(edge + abs(distance)))
