"""Amounts: differences of means under a cap, and in standard deviations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import (
    common_checks,
    left_aside,
    passed_over,
    t_record,
    with_rows,
)
from pilot.analysis.effects import Effect, Level, effect, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import FloatArray, pooled
from pilot.analysis.noncentral import mean_power, noncentral_t
from pilot.analysis.pairs import Pair
from pilot.analysis.ratios import (
    hedges_g,
    noncentral_interval,
)
from pilot.analysis.sentences import measured, percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata
from pilot.analysis.tails import log_t_upper, p_value, t_quantile, two_sided

UNEQUAL_SPREADS = 2.0
"""From this ratio of standard deviations on, a pooled one describes neither arm."""

MANY_CAPPED = 0.05
"""Share of an arm's values above the cap from which on the cap decides the result."""


@dataclass(frozen=True)
class WinsorisedDifference(Analysis):
    """Difference of means after amounts above a cap, fixed beforehand, are set to it. By strata wherever there are any.

    Args:
        cap: The largest amount that counts in full.
        level: Two-sided confidence level.
    """

    key = "winsorised-difference"
    label = "Difference of means under a cap"
    needs = frozenset({Need.MOMENTS, Need.ROWS, Need.ASSIGNED})
    scales = frozenset({Scale.MONEY, Scale.NUMBER, Scale.COUNT})
    reference = (
        "Dixon 1960, Ann. Math. Statist. 31:385; Kohavi, Tang and Xu 2020, Trustworthy Online Experiments, ch. 22"
    )
    sizes = "difference of means"

    cap: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        whole = inside_strata(with_rows(every, every.rows))
        rows = whole.rows
        pair = with_rows(whole, replace(rows, value=np.minimum(rows.value, self.cap)))
        found = effect(pair, by_strata=True)
        if not isinstance(found, Effect):
            return NotEnoughData(self.key, evidence.outcome, arm, f"under the cap of {self.cap:,g}, {found}")
        above = np.bincount(rows.arm[rows.value > self.cap], minlength=2) / np.bincount(rows.arm, minlength=2)
        plain = effect(whole, by_strata=True)
        details = {f"share above the cap in {name}": float(above[row]) for row, name in enumerate((pair.control, arm))}
        full = plain.difference.estimate if isinstance(plain, Effect) else None
        return t_record(
            self,
            pair,
            found.difference,
            level=self.level,
            method=f"Values above {self.cap:,g} set to it; {found.method}",
            measure="difference of means under a cap",
            arms=found.arms,
            checks=(
                *(check for check in found.checks if check.name != "heavy tails"),
                *left_aside(every, pair, "a value of a covariate"),
                *passed_over(pair),
                _capped(above),
            ),
            details={**details, "difference without the cap": full},
            after=f"amounts count up to {self.cap:,g} ({percent(round(float(above[1]), 4))} and "
            f"{percent(round(float(above[0]), 4))} of the {pair.units} lie above)",
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the spread is that of the capped amounts."""
        return mean_power(effect, expected.spreads, n, self.level)


@dataclass(frozen=True)
class StandardisedDifference(Analysis):
    """Difference of means in pooled standard deviations: Hedges' g with its exact small-sample factor. Ignores strata.

    Args:
        level: Two-sided confidence level.
    """

    key = "standardised-difference"
    label = "Standardised difference (Hedges' g)"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.RATING, Scale.MONEY, Scale.NUMBER, Scale.COUNT})
    reference = "Hedges 1981, J. Educational Statistics 6:107; Hedges and Olkin 1985, ch. 5"
    sizes = "difference in standard deviations"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The p value is that of the pooled t test, which belongs to the interval."""
        pair = Pair.of(self, evidence, arm)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        groups = [pooled(pair.n[row], pair.mean[row], pair.m2[row]) for row in (0, 1)]
        (n0, mean0, m0), (n1, mean1, m1) = groups
        g, d = hedges_g((mean0, mean1), (m0, m1), (n0, n1))
        df, factor = n0 + n1 - 2, g / d if d else 1.0
        low, high = (factor * limit for limit in noncentral_interval(d, (n0, n1), self.level))
        t = d * math.sqrt(n0 * n1 / (n0 + n1))
        log_p = two_sided(log_t_upper(abs(t), df))
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(*common_checks(pair), _equal_spreads(pair), *review.balance(pair)),
            method="Hedges' g, exact small-sample factor, noncentral t interval, pooled t test",
            measure="standardised difference of means",
            estimate=g,
            low=low,
            high=high,
            level=self.level,
            standard_error=math.sqrt((n0 + n1) / (n0 * n1) + g**2 / (2 * (n0 + n1))),
            statistic=t,
            df=float(df),
            p_value=p_value(log_p),
            log_p=log_p,
            details={
                "Cohen's d": d,
                "small-sample factor": factor,
                "pooled standard deviation": math.sqrt((m0 + m1) / df),
            },
            sentence=sentence(
                measured(pair, "standardised difference", g, low, high, self.level), reading(pair, low, high)
            ),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; `expected` is not needed but for its share of the units."""
        df, centre = n[0] + n[1] - 2, effect * math.sqrt(n[0] * n[1] / (n[0] + n[1]))
        if df <= 0:
            return 0.0
        edge = t_quantile((1 + self.level) / 2, df)
        return noncentral_t(-edge, df, -centre) + noncentral_t(-edge, df, centre)


def _equal_spreads(pair: Pair) -> Check:
    spreads = sorted(summary.sd or 0.0 for summary in pair.summaries())
    ratio = spreads[1] / spreads[0] if spreads[0] > 0 else None
    if ratio is not None and ratio < UNEQUAL_SPREADS:
        return Check("equal spreads", ratio, "pass", f"The larger standard deviation is {ratio:.2f} times the smaller.")
    text = f"The arms' standard deviations are {spreads[0]:.3g} and {spreads[1]:.3g}: a pooled one describes neither."
    return Check("equal spreads", ratio, "warn", text)


def _capped(above: FloatArray) -> Check:
    most = float(above.max())
    text = f"Up to {percent(round(most, 4))} of an arm lies above the cap"
    if most <= MANY_CAPPED:
        return Check("share above the cap", most, "pass", f"{text}.")
    return Check("share above the cap", most, "warn", f"{text}: the cap, not the amounts, decides much of the result.")
