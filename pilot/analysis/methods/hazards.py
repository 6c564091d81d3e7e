"""Hazard ratios: by the log-rank test and by Cox regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence
from pilot.analysis.hazards import Cox, cox
from pilot.analysis.methods.times import Retention, Times, few_events, follow_up
from pilot.analysis.moments import IntArray, Rows
from pilot.analysis.sentences import measured, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.survival import events_power, log_rank
from pilot.analysis.tails import log_normal_upper, normal_quantile, p_value, two_sided

FEW_FOR_ROBUST = 40
"""Below so many clusters a robust error without a correction for their number is too small."""

CHANGING = 0.05
"""Below this p value the hazard ratio is said to change with time."""


class _HazardRatio(Retention):
    """What `log-rank` and `cox` share."""

    sizes = "logarithm of the hazard ratio"

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `expected.events` is the share of all customers in whom the event will be seen.

        Reference: Schoenfeld 1983, Biometrics 39:499.
        """
        return events_power(effect, sum(n) * expected.events, n[1] / sum(n), self.level)

    def _ratio(
        self,
        times: Times,
        log_ratio: float,
        *,
        error: float,
        z: float,
        checks: Sequence[Check],
        limits: tuple[float, float] | None = None,
        **parts: Any,
    ) -> Comparison:
        """The record of a hazard ratio.

        Args:
            times: Times and events.
            log_ratio: Logarithm of the ratio.
            error: Its standard error.
            z: The test statistic.
            checks: Further assumptions looked at.
            limits: Of the logarithm of the ratio, where they are not Wald's.
            parts: Method and details.
        """
        half = normal_quantile((1 + self.level) / 2) * error
        log_low, log_high = limits or (log_ratio - half, log_ratio + half)
        estimate, low, high = (math.exp(value) for value in (log_ratio, log_low, log_high))
        log_p = two_sided(log_normal_upper(abs(z)))
        control, pilot = times.events
        details = {f"events of {times.pair.control}": float(control), f"events of {times.pair.arm}": float(pilot)}
        return record(
            self,
            times.pair,
            arms=times.summaries(),
            checks=(*few_events(times), *follow_up(times), *checks, *times.checks),
            measure="hazard ratio",
            estimate=estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=error,
            statistic=z,
            p_value=p_value(log_p),
            log_p=log_p,
            details=details | parts.pop("details"),
            sentence=sentence(
                measured(times.pair, "hazard ratio", estimate, low, high, self.level),
                reading(times.pair, -log_high, -log_low),
            ),
            **parts,
        )


NO_SPREAD = 1e-12
"""A robust variance below this part of the usual one is rounding, not a spread."""


@dataclass(frozen=True)
class LogRank(_HazardRatio):
    """Whether events come earlier in one arm, inside strata, with the hazard ratio by one step from no difference.

    `standard_error` is that of the logarithm of the ratio.

    Args:
        event: Covariate that says whether the event was seen (1) or nobody looked any more (0); the only one by default.
        by_strata: Whether to compare inside strata.
        level: Two-sided confidence level.
    """

    key = "log-rank"
    label = "Times until an event (log-rank)"
    reference = "Mantel 1966, Cancer Chemotherapy Reports 50:163; Peto et al. 1977, British Journal of Cancer 35:1"

    event: str = ""
    by_strata: bool = True
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The ratio is good near 1; far from it prefer `cox`."""
        times = self.times(evidence, arm)
        rows, stratified = times.rows, self.by_strata and times.pair.stratified
        lack = self.lacking(times)
        found = None if lack else log_rank(rows.value, times.seen, rows.arm, rows.stratum if stratified else None)
        if found is None:
            reason = lack or "no event was seen while customers of both arms were under observation"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        log_ratio, error = found.log_hazard_ratio()
        checks = _idle(times, found.idle) if stratified else review.balance(times.pair, "by_strata=true")
        expected = {
            f"expected events of {name}": number
            for name, number in zip((times.pair.control, times.pair.arm), found.expected, strict=True)
        }
        return self._ratio(
            times,
            log_ratio,
            error=error,
            z=found.z,
            checks=(*checks, *_far(log_ratio)),
            method=f"{'Stratified log-rank' if stratified else 'Log-rank'} test; hazard ratio by one step (Peto)",
            details={**expected, "chi-square": found.z**2},
        )


def _idle(times: Times, idle: Sequence[int]) -> list[Check]:
    """Strata that say nothing about the arms."""
    if not idle:
        return []
    names = ", ".join(times.pair.evidence.strata[place] or "(none)" for place in idle)
    customers = int(np.isin(times.rows.stratum, idle).sum())
    text = f"{customers:,} customers are in strata that cannot compare the arms, without an event or without an arm: {names}."
    return [Check("idle strata", float(len(idle)), "warn", text)]


def _far(log_ratio: float) -> list[Check]:
    ratio = math.exp(abs(log_ratio))
    if ratio <= 2:
        return []
    text = "The hazard ratio is far from 1, where the one-step value is drawn towards 1: take that of cox."
    return [Check("far from no difference", math.exp(log_ratio), "warn", text)]


@dataclass(frozen=True)
class CoxRegression(_HazardRatio):
    """Hazard ratio of the arms, inside strata and adjusted for covariates, with a check that it does not change.

    Where customers belong to clusters, the covariance is Lin and Wei's. `standard_error` is that of the logarithm of the ratio.

    Args:
        event: Covariate that says whether the event was seen (1) or nobody looked any more (0); by default the only
            one that is not in `covariates`.
        covariates: Further covariates, known before the assignment, to adjust for.
        interval: `wald`, with Wald's test, or `profile` likelihood with the likelihood ratio test. With clusters there is no
            likelihood, so it is Wald's.
        by_strata: Whether each stratum has its own baseline.
        level: Two-sided confidence level.
    """

    key = "cox"
    label = "Hazard ratio (Cox)"
    columns = frozenset({"covariates", "clusters"})
    reference = (
        "Cox 1972, JRSS B 34:187; Efron 1977, JASA 72:557; Lin and Wei 1989, JASA 84:1074; "
        "Grambsch and Therneau 1994, Biometrika 81:515"
    )

    event: str = ""
    covariates: tuple[str, ...] = ()
    interval: Literal["wald", "profile"] = "wald"
    by_strata: bool = True
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        times = self.times(evidence, arm, self.covariates)
        rows, stratified = times.rows, self.by_strata and times.pair.stratified
        names = [times.pair.named(name, tuple(rows.covariates), "a covariate") for name in self.covariates]
        x = np.column_stack([rows.arm, *(rows.covariates[name] for name in names)])
        cluster = _alike(rows)
        lack = self.lacking(times) or _without_events(times) or _alone(times, cluster)
        found = None if lack else cox(rows.value, times.seen, x, rows.stratum if stratified else None, cluster)
        if found is None:
            reason = lack or "the events do not determine a hazard ratio: arms or covariates separate them completely"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        if found.robust is not None and found.robust[0, 0] <= NO_SPREAD * found.covariance[0, 0]:
            return NotEnoughData(
                self.key, evidence.outcome, arm, "the clusters do not differ, so their spread is not seen"
            )
        checks = () if stratified else review.balance(times.pair, "by_strata=true")
        kind, numbers = self._tested(found)
        return self._ratio(
            times,
            float(found.coefficients[0]),
            checks=(_changing(found), *checks, *_crowded(found, len(names)), *self._cluster_checks(cluster)),
            method=f"Cox regression, Efron's ties{', stratified' if stratified else ''}"
            f"{', adjusted for ' + ', '.join(names) if names else ''}; {kind}",
            details=_details(found, names) | _cluster_details(times, cluster),
            **numbers,
        )

    def _tested(self, found: Cox) -> tuple[str, dict[str, Any]]:
        """The interval in words, and standard error, test and limits."""
        log_ratio = float(found.coefficients[0])
        if found.robust is not None:
            error = math.sqrt(found.robust[0, 0])
            return "Wald interval, robust for clusters (Lin and Wei)", {"error": error, "z": log_ratio / error}
        error = math.sqrt(found.covariance[0, 0])
        if self.interval == "profile":
            limits = found.profile_interval(self.level)
            return "profile likelihood interval and test", {"error": error, "z": found.signed_root(), "limits": limits}
        return "Wald interval", {"error": error, "z": log_ratio / error}

    def _cluster_checks(self, cluster: IntArray | None) -> list[Check]:
        if cluster is None:
            return []
        number = len(np.unique(cluster))
        text = f"There are {number:,} clusters"
        few = number < FEW_FOR_ROBUST
        more = f"; below {FEW_FOR_ROBUST} errors that are robust for them come out too small" if few else ""
        checks = [Check("few clusters", float(number), "warn" if few else "pass", f"{text}{more}.")]
        if self.interval == "profile":
            text = "With clusters there is no likelihood to profile: the interval is Wald's, robust for clusters."
            checks.append(Check("profile with clusters", float(number), "warn", text))
        return checks


def _alike(rows: Rows) -> IntArray | None:
    """Clusters of the customers; None where there are none, or each customer is its own."""
    return None if rows.cluster is None or len(np.unique(rows.cluster)) == len(rows.cluster) else rows.cluster


def _clusters_by_arm(times: Times, cluster: IntArray) -> tuple[int, int]:
    control, pilot = (len(np.unique(cluster[times.rows.arm == row])) for row in (0, 1))
    return control, pilot


def _alone(times: Times, cluster: IntArray | None) -> str:
    """Why clusters do not allow an error to be estimated; empty if they do."""
    if cluster is None:
        return ""
    for name, number in zip((times.pair.control, times.pair.arm), _clusters_by_arm(times, cluster), strict=True):
        if number == 1:
            return f"{name} has only one cluster; a spread between clusters needs at least two"
    return ""


def _cluster_details(times: Times, cluster: IntArray | None) -> dict[str, float | None]:
    if cluster is None:
        return {}
    control, pilot = _clusters_by_arm(times, cluster)
    return {f"clusters in {times.pair.control}": float(control), f"clusters in {times.pair.arm}": float(pilot)}


def _without_events(times: Times) -> str:
    for name, events in zip((times.pair.control, times.pair.arm), times.events, strict=True):
        if not events:
            return f"no event was seen in {name}, so there is no hazard ratio; compare retention (kaplan-meier)"
    return ""


def _changing(found: Cox) -> Check:
    p = float(found.proportional[0])
    if p >= CHANGING:
        return Check(
            "proportional hazards", p, "pass", f"Nothing says that the hazard ratio changes with time (p {p:.2g})."
        )
    text = f"The hazard ratio changes with time (p {p:.2g}): one number hides that; use restricted-mean-time."
    return Check("proportional hazards", p, "warn", text)


def _crowded(found: Cox, covariates: int) -> list[Check]:
    if not covariates or found.events >= 10 * (covariates + 1):
        return []
    text = f"{found.events:,} events for {covariates + 1} coefficients are few; below 10 for each, adjust for less."
    return [Check("events per coefficient", found.events / (covariates + 1), "warn", text)]


def _details(found: Cox, names: Sequence[str]) -> dict[str, float | None]:
    null, full = found.log_likelihood
    chi_square = {} if found.robust is not None else {"likelihood-ratio chi-square": 2 * (full - null)}
    slopes = {f"log hazard ratio of {name}": float(b) for name, b in zip(names, found.coefficients[1:], strict=True)}
    return {"log hazard ratio": float(found.coefficients[0]), **chi_square, **slopes}
