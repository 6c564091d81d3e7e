"""Whether the arms are alike in their covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilot.analysis.balance import LARGE, SMALL, Standardised, mahalanobis, standardised
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, narrowed, with_covariates
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import FloatArray, IntArray, pooled
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import p_text, percent, sentence
from pilot.analysis.tails import normal_quantile, p_value

UNEQUAL_SPREAD = 2.0
"""Variances that differ by more than this factor."""


@dataclass(frozen=True)
class Balance(Analysis):
    """How far apart the arms are in what was known of their customers before: the largest standardised difference.

    It is a description, not a gate: its p value says whether the assignment alone could have made it, all columns
    together. Where the evidence holds answers only, it is the balance among those who answered.

    Args:
        covariates: Columns to look at; all by default.
        level: Confidence level that holds for all columns at once (Bonferroni).
    """

    key = "balance"
    label = "Balance of the arms (standardised differences)"
    needs = frozenset({Need.JOINT, Need.MOMENTS})
    scales = frozenset(Scale)
    reference = "Austin 2009, Statistics in Medicine 28:3083; Hansen and Bowers 2008, Statistical Science 23:219"

    covariates: tuple[str, ...] = ()
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate is the largest difference in size, with its sign."""
        every = Pair.of(self, evidence, arm)
        joint = every.joint
        pair = with_covariates(every, joint)
        known = joint.columns[1:]
        names = [every.named(name, known, "a covariate") for name in self.covariates] or list(known)
        places = [joint.columns.index(name) for name in names]
        mean, cross = joint.mean[..., places], joint.cross[..., places, :][..., places]
        mean = np.where(joint.n[..., None] > 0, mean, 0.0)
        found = {name: _difference(joint.n, mean[..., k], cross[..., k, k]) for k, name in enumerate(names)}
        omnibus = mahalanobis(joint.n, mean, cross)
        reasons = {
            name: _undefined(pair, name, joint.n, mean[..., k]) for k, name in enumerate(names) if not found[name]
        }
        usable = {name: value for name, value in found.items() if value is not None}
        if not usable or omnibus is None:
            return NotEnoughData(self.key, evidence.outcome, arm, _reason(pair, reasons))
        largest = max(usable, key=lambda name: abs(usable[name].difference))
        place = names.index(largest)
        low, high = usable[largest].interval(1 - (1 - self.level) / len(usable))
        return record(
            self,
            pair,
            arms=narrowed(pair, joint.n, mean[..., place], cross[..., place, place]).summaries(),
            checks=(*_bands(found, reasons, pair.sizes), *left_aside(every, pair, "a value of a covariate")),
            method=f"Largest of {len(usable)} standardised differences, simultaneous interval (Bonferroni); "
            f"Mahalanobis distance under the assignment{' inside strata' if pair.stratified else ''}",
            measure=f"standardised difference of {largest}",
            estimate=usable[largest].difference,
            low=low,
            high=high,
            level=self.level,
            standard_error=usable[largest].standard_error,
            statistic=omnibus.distance,
            df=float(omnibus.df),
            p_value=p_value(omnibus.log_p),
            log_p=omnibus.log_p,
            alternative="all columns together",
            details=_details(found),
            sentence=_words(pair, largest, usable[largest].difference, (low, high, self.level), omnibus.log_p),
        )


def _difference(n: IntArray, mean: FloatArray, m2: FloatArray) -> Standardised | None:
    groups = [pooled(n[row], mean[row], m2[row]) for row in (0, 1)]
    return standardised(*zip(*groups, strict=True))


def _undefined(pair: Pair, name: str, n: IntArray, mean: FloatArray) -> str:
    """Why there is no standardised difference of a column."""
    for arm, units in zip((pair.control, pair.arm), pair.sizes, strict=True):
        if units < 2:
            return f"{arm} has fewer than two customers with a value of {name}"
    control, pilot = (float(n[row] @ mean[row]) / pair.sizes[row] for row in (0, 1))
    if control == pilot:
        return f"{name} is {control:g} for all customers, so its standardised difference is undefined"
    return f"{name} is {control:g} for all customers of {pair.control} and {pilot:g} for all of {pair.arm}: no spread to compare by"


def _bands(found: dict[str, Standardised | None], reasons: dict[str, str], sizes: tuple[int, int]) -> list[Check]:
    """One check for each column, with what chance alone does at this size beside it."""
    chance = normal_quantile(0.975) * (1 / max(sizes[0], 1) + 1 / max(sizes[1], 1)) ** 0.5
    checks = []
    for name, value in found.items():
        if value is None:
            checks.append(Check(f"balance of {name}", None, "warn", f"{reasons[name]}."))
            continue
        size = abs(value.difference)
        status = "pass" if size <= SMALL else "warn" if size <= LARGE else "fail"
        text = f"{name} differs by {size:.2f} standard deviations (chance alone: up to {chance:.2f} in 95 % of assignments)"
        checks.append(Check(f"balance of {name}", value.difference, status, f"{text}."))
        ratio = value.variance_ratio
        if ratio is not None and not 1 / UNEQUAL_SPREAD <= ratio <= UNEQUAL_SPREAD:
            text = f"The variance of {name} in the pilot arm is {ratio:.2g} times that of control."
            checks.append(Check(f"variance ratio of {name}", ratio, "warn", text))
    return checks


def _details(found: dict[str, Standardised | None]) -> dict[str, float | None]:
    details: dict[str, float | None] = {}
    for name, value in found.items():
        details[f"difference of {name}"] = None if value is None else value.difference
        details[f"variance ratio of {name}"] = None if value is None else value.variance_ratio
    return details


def _reason(pair: Pair, reasons: dict[str, str]) -> str:
    if reasons:
        return "; ".join(reasons.values())
    return "no stratum has customers of both arms"


def _words(pair: Pair, name: str, difference: float, interval: tuple[float, float, float], log_p: float) -> str:
    control, pilot = pair.sizes
    low, high, level = interval
    limits = f"{percent(level)} interval {low:.2f} to {high:.2f}"
    side = "above" if difference >= 0 else "below"
    return sentence(
        f"the arms differ most in {name}: {pair.arm} lies {abs(difference):.2f} standard deviations {side} {pair.control} "
        f"({limits}; {pilot:,} and {control:,} customers)",
        f"an assignment by chance alone makes all columns together differ as much with p = {p_text(log_p)}",
    )
