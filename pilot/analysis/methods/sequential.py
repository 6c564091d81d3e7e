"""Differences of means that are looked at more than once: at planned looks, or at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from scipy.special import ndtr, stdtrit

from pilot.analysis.anytime import AlwaysValid, confidence_sequence, mixture_test
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Effect, Level, effect, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import MeanDifference
from pilot.analysis.pairs import Pair
from pilot.analysis.review import SMALL_ARM
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import percent, reading, sentence
from pilot.analysis.sequential import MOST_LOOKS, SMALLEST_STEP, Bounds, Spending, spending_bounds
from pilot.analysis.sizing import Expected
from pilot.analysis.stopped import normal_score, repeated_p, stopped_trial
from pilot.analysis.strata import inside_strata
from pilot.analysis.tails import p_value
from pilot.errors import InputError

Share = Annotated[float, Field(gt=0, le=1)]
Shares = tuple[Share, ...]
"""Shares of the planned information, ascending."""

_NOTHING_SPENT = 1e-12
"""Below this level of a single look nothing could ever be shown at it."""

_OFF_PLAN = 0.1
"""A look that comes earlier or later than planned by more than this share of the information."""


@dataclass(frozen=True)
class GroupSequential(Analysis):
    """Difference of means at one of several planned looks, with bounds that keep the error of all looks together.

    By strata wherever there are any. The interval is the repeated one, which holds at every look whether the pilot
    stops there or not; `passed` says whether the bound is crossed, on whichever side. For a pilot that ends here, the
    details hold the median-unbiased estimate and its interval.

    Args:
        looks: Number of looks planned; equally spaced unless `information` says otherwise.
        look: Which of them this is, from 1.
        information: Planned share of the information at each look; the last is 1.
        before: Share reached at each earlier look; as planned where empty.
        planned: Values of both arms planned for the last look: the share reached now follows. As planned where unknown.
        spending: How early error is spent: hardly any at first (`obrien-fleming`), or evenly (`pocock`).
        level: Two-sided confidence level.
    """

    key = "group-sequential"
    label = "Difference of means at planned looks"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale)
    reference = "Jennison and Turnbull 2000, Group Sequential Methods; Lan and DeMets 1983, Biometrika 70:659"
    sizes = "difference of means"

    looks: Annotated[int, Field(ge=1, le=MOST_LOOKS)] = 2
    look: Annotated[int, Field(ge=1)] = 1
    information: Shares = ()
    before: Shares = ()
    planned: Annotated[int, Field(ge=4, le=10**12)] | None = None
    spending: Spending = "obrien-fleming"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is the repeated one: it is valid at every look.

        Raises:
            InputError: Also if the looks contradict each other.
        """
        pair, earlier = inside_strata(Pair.of(self, evidence, arm)), self._earlier()
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        shares, information = self._reached(earlier, sum(pair.sizes))
        bounds = None
        if self.look > 1 or shares[-1] >= SMALLEST_STEP:
            bounds = spending_bounds(self.spending, shares, 1 - self.level, information=information)
        if bounds is None or bounds.nominal[-1] < _NOTHING_SPENT:
            reason = f"at {percent(shares[-1])} of the information no error is spent yet, so nothing can be shown"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        return self._record(pair, found, bounds, shares)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; `n` at the last look. By the normal law; crossing on the wrong side does not count."""
        error = math.sqrt(sum(spread**2 / units for spread, units in zip(expected.spreads, n, strict=True)))
        bounds = spending_bounds(self.spending, self._plan(), 1 - self.level)
        return bounds.power(abs(effect) / error)

    def _plan(self) -> tuple[float, ...]:
        if not self.information:
            return tuple((look + 1) / self.looks for look in range(self.looks))
        if len(self.information) != self.looks or self.information[-1] != 1:
            raise InputError(
                f"there must be a share of the information for each of {self.looks} looks, the last of them 1",
                place="information",
                remedy="Set looks to their number",
            )
        return self.information

    def _earlier(self) -> tuple[float, ...]:
        """The shares reached at the looks before this one."""
        plan = self._plan()
        if self.look > self.looks:
            raise InputError(f"the plan has no look {self.look}", place="look", remedy=f"It has {self.looks}")
        earlier = self.before or plan[: self.look - 1]
        if len(earlier) != self.look - 1:
            raise InputError(
                f"before look {self.look} there were {self.look - 1} looks, not {len(earlier)}",
                place="before",
                remedy="Give the share of the information at each of them, or none",
            )
        return earlier

    def _reached(self, earlier: tuple[float, ...], values: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The shares by which error is spent, and the information really reached, at the looks so far."""
        now = self._plan()[self.look - 1] if self.planned is None else values / self.planned
        last = self.look == self.looks or now >= 1
        return (*earlier, 1.0 if last else now), (*earlier, now)

    def _record(self, pair: Pair, found: Effect, bounds: Bounds, shares: Sequence[float]) -> Comparison:
        difference = found.difference
        z = normal_score(difference.t, difference.df)
        crossed = abs(z) >= bounds.upper[-1]
        half = -float(stdtrit(difference.df, bounds.nominal[-1] / 2)) * difference.standard_error
        low, high = difference.estimate - half, difference.estimate + half
        p = repeated_p(self.spending, shares, z, information=bounds.information)
        details = self._stopped(difference, bounds)
        return record(
            self,
            pair,
            arms=found.arms,
            checks=(*found.checks, *self._checks(pair, bounds, crossed, details["median-unbiased estimate"])),
            method=f"{found.method}; Lan-DeMets bounds, {_NAMES[self.spending]}; repeated interval and p value",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=difference.t,
            df=difference.df,
            p_value=p,
            log_p=math.log(p),
            passed=crossed,
            details=details,
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level), self._reading(pair, crossed, low > 0)
            ),
        )

    def _stopped(self, difference: MeanDifference, bounds: Bounds) -> dict[str, float]:
        ended = stopped_trial(
            bounds,
            self.look,
            difference.estimate,
            difference.standard_error,
            df=difference.df,
            level=self.level,
        )
        return {
            "bound": bounds.upper[-1],
            "information": bounds.information[-1],
            "error spent": bounds.error,
            "median-unbiased estimate": ended.estimate,
            "stagewise low": ended.low,
            "stagewise high": ended.high,
            "stagewise p": ended.p_value,
        }

    def _checks(self, pair: Pair, bounds: Bounds, crossed: bool, unbiased: float) -> list[Check]:
        now, planned = bounds.information[-1], self._plan()[self.look - 1]
        off = abs(now - planned) > _OFF_PLAN
        text = f"Look {self.look} of {self.looks} is at {percent(round(now, 3))} of the planned information"
        more = (
            f"; it was planned at {percent(round(planned, 3))}, and its time must not follow from results seen before"
        )
        found = [Check("planned look", now, "warn" if off else "pass", f"{text}{more if off else ''}.")]
        if self.look < self.looks and min(pair.sizes) < SMALL_ARM:
            early = f"A look below {SMALL_ARM} {pair.units} in an arm errs more often than its bound says."
            found.append(Check("early look", float(min(pair.sizes)), "warn", early))
        if crossed and self.look < self.looks:
            instead = "" if self.look == 1 else f"; the median-unbiased one is {unbiased:.3g}"
            curse = f"Results that stop a pilot early are too large on average{instead}."
            found.append(Check("early stop", unbiased, "warn", curse))
        return found

    def _reading(self, pair: Pair, crossed: bool, positive: bool) -> str:
        bound = f"the bound of look {self.look} of {self.looks}"
        if not crossed:
            return f"{bound} is not crossed"
        side = "better" if positive == pair.evidence.higher_is_better else "worse"
        return f"{bound} is crossed on the {side} side"


@dataclass(frozen=True)
class AlwaysValidDifference(Analysis):
    """Difference of means with an interval and a p value that stay valid at any number of looks, at any time.

    By strata wherever there are any. The price is an interval about half as wide again as that of a single look.

    Args:
        method: `mixture`: the mixture sequential probability ratio test, with the effects spread by `tau`; or
            `confidence-sequence`: the asymptotic confidence sequence that is narrowest at `narrowest` values.
        tau: Size of effect to be found, in standard deviations of the outcome; fixed beforehand.
        narrowest: Values of both arms at which the confidence sequence shall be narrowest; fixed beforehand.
        level: Two-sided confidence level, over all looks together.
    """

    key = "always-valid"
    label = "Difference of means, valid at any time"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale)
    reference = "Johari et al. 2017, KDD; Waudby-Smith et al. 2024, Annals of Statistics 52:2613"
    sizes = "difference of means"

    method: Literal["mixture", "confidence-sequence"] = "mixture"
    tau: Annotated[float, Field(ge=1e-3, le=1e3, allow_inf_nan=False)] = 0.2
    narrowest: Annotated[int, Field(ge=4, le=10**9)] = 400
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. Over several looks the smallest p value counts."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        difference = found.difference
        spread = math.sqrt(sum((s.n - 1) * (s.sd or 0.0) ** 2 for s in found.arms) / (sum(pair.sizes) - 2))
        valid = self._valid(difference.estimate, difference.standard_error, spread, sum(pair.sizes))
        low, high = valid.interval(self.level)
        return record(
            self,
            pair,
            arms=found.arms,
            checks=found.checks,
            method=f"{found.method.rpartition(',')[0]}, normal law; {self._name}",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error,
            statistic=difference.t,
            p_value=p_value(valid.log_p),
            log_p=valid.log_p,
            details={"bound": valid.bound(self.level), "log likelihood ratio": valid.log_likelihood_ratio},
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                reading(pair, low, high),
                "this holds however often it is looked at",
            ),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. The chance at `n` alone: looks before it can only add to it."""
        control, pilot = expected.spreads
        error = math.sqrt(control**2 / n[0] + pilot**2 / n[1])
        spread = math.sqrt((control**2 * n[0] + pilot**2 * n[1]) / sum(n))
        return float(ndtr(abs(effect) / error - self._valid(effect, error, spread, sum(n)).bound(self.level)))

    def _valid(self, estimate: float, error: float, spread: float, values: float) -> AlwaysValid:
        if self.method == "mixture":
            return mixture_test(estimate, error, self.tau * spread)
        return confidence_sequence(estimate, error, values, self.narrowest, self.level)

    @property
    def _name(self) -> str:
        if self.method == "mixture":
            return f"mixture sequential probability ratio test, effects of {self.tau:g} standard deviations"
        return f"asymptotic confidence sequence, narrowest at {self.narrowest:,} values"


_NAMES: dict[Spending, str] = {"obrien-fleming": "O'Brien-Fleming type", "pocock": "Pocock type"}
