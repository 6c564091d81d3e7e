"""Comparisons for pilots in which whole clusters, such as a sales rep's customers, were assigned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pilot.analysis.clusterreview import (
    balance,
    cluster_checks,
    cluster_details,
    freedom,
    in_clusters,
    lacking_clusters,
    numbers_of,
    seen,
)
from pilot.analysis.clusters import (
    WholeClusters,
    cluster_robust,
    whole_clusters,
)
from pilot.analysis.clustershuffle import ClusterLaw, cluster_permutation, log_assignments
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, t_record
from pilot.analysis.effects import Level, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import mean_difference
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import p_text, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, left_out
from pilot.analysis.tails import p_value

WORTHLESS = 0.1
"""An exact test that can never give a p value below this tests nothing."""

NO_SPREAD = "the clusters show no spread to measure uncertainty by"


class _ByCluster(Analysis):
    """What the comparisons of clusters share."""

    needs = frozenset({Need.MOMENTS, Need.CLUSTERS, Need.ASSIGNED})
    scales = frozenset(Scale) - {Scale.TIME}
    sizes = "difference of means, in independent values: clusters come on top"

    level: float

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `n` counts independent values: `plan_size` and `reach` turn them into clusters and back."""
        return mean_power(effect, expected.spreads, n, self.level)

    def _nothing(self, evidence: Evidence, arm: str, reason: str) -> NotEnoughData:
        return NotEnoughData(self.key, evidence.outcome, arm, reason)


@dataclass(frozen=True)
class ClusterRobust(_ByCluster):
    """Difference of means over customers, with an error that lets the customers of a cluster be alike.

    Args:
        correction: `CR2` with Satterthwaite's degrees of freedom; or `CR1` with as many as clusters less one.
        by_strata: Whether strata are fixed effects, where there are any.
        level: Two-sided confidence level.
    """

    key = "cluster-robust"
    label = "Difference of means by clusters (CR2)"
    on_scale = True
    reference = "Bell and McCaffrey 2002, Survey Methodology 28:169; Pustejovsky and Tipton 2018, JBES 36:672"

    correction: Literal["CR2", "CR1"] = "CR2"
    by_strata: bool = True
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        clusters = every.clusters
        pair = seen(every, clusters)
        if self.by_strata:
            pair = inside_strata(pair)
            clusters = pair.clusters
        numbers = numbers_of(clusters)
        reason = lacking_clusters(pair, numbers)
        if reason:
            return self._nothing(evidence, arm, reason)
        strata = self.by_strata and int(pair.n.any(axis=0).sum()) > 1
        found = cluster_robust(clusters, by_strata=strata, simple=self.correction == "CR1")
        if found is None:
            lacking = "every stratum has one arm only" if strata and (pair.n.min(axis=0) == 0).all() else NO_SPREAD
            return self._nothing(evidence, arm, lacking)
        fixed = ", strata as fixed effects" if strata else ""
        law = "Satterthwaite's t" if self.correction == "CR2" else "t with clusters less one"
        checks = [*left_aside(every, pair, "a cluster"), *cluster_checks(pair, numbers, clusters)]
        checks += [] if self.correction == "CR1" else [freedom(found.df)]
        checks += left_out(pair) if self.by_strata else balance(pair)
        return t_record(
            self,
            pair,
            found,
            level=self.level,
            method=f"Difference of means over customers{fixed}, {self.correction} standard error by cluster, {law}",
            checks=checks,
            details=cluster_details(pair, numbers, clusters),
            after=in_clusters(numbers),
        )


@dataclass(frozen=True)
class ClusterMeans(_ByCluster):
    """Welch's test on the clusters' means, each cluster counting once. Ignores strata.

    Args:
        level: Two-sided confidence level.
    """

    key = "cluster-means"
    label = "Difference of cluster means (Welch)"
    reference = "Donner and Klar 2000, Design and Analysis of Cluster Randomization Trials, 7.2"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        clusters = every.clusters
        pair, numbers = seen(every, clusters), numbers_of(clusters)
        whole = whole_clusters(clusters)
        reason = lacking_clusters(pair, numbers) or _crossing(numbers, whole)
        if reason or whole is None:
            return self._nothing(evidence, arm, reason)
        groups = [whole.mean[whole.arm == row] for row in (0, 1)]
        found = mean_difference(
            [len(group) for group in groups],
            [group.mean() for group in groups],
            [((group - group.mean()) ** 2).sum() for group in groups],
        )
        if found is None or found.standard_error < 1e-13 * float(np.abs(whole.mean).max()):
            return self._nothing(evidence, arm, NO_SPREAD)
        checks = (
            *left_aside(every, pair, "a cluster"),
            *cluster_checks(pair, numbers, clusters),
            *balance(pair),
        )
        return t_record(
            self,
            pair,
            found,
            level=self.level,
            method="Difference of the means of cluster means, Welch's t over clusters",
            measure="difference of means of cluster means",
            checks=checks,
            details=cluster_details(pair, numbers, clusters),
            after=f"every cluster counts once, {in_clusters(numbers)}",
        )


@dataclass(frozen=True)
class ClusterPermutation(_ByCluster):
    """Exact test of clusters: all ways to assign them, inside strata, counted; the interval is by its inversion.

    Two-sided p: twice the smaller tail, the observed assignment included.

    Args:
        draws: Random assignments, where an arm has more than 17 clusters and not all can be counted.
        seed: Of these.
        level: Two-sided confidence level of the interval.
    """

    key = "cluster-permutation"
    label = "Exact permutation test of clusters"
    reference = "Gail et al. 1996, Statistics in Medicine 15:1069; Ernst 2004, Statistical Science 19:676"

    draws: Annotated[int, Field(ge=999, le=10_000_000)] = 100_000
    seed: int = 1
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        clusters = every.clusters
        pair, numbers = seen(every, clusters), numbers_of(clusters)
        whole = whole_clusters(clusters)
        reason = lacking_clusters(pair, numbers) or _crossing(numbers, whole)
        if reason or whole is None:
            return self._nothing(evidence, arm, reason)
        spanning = bool((whole.stratum < 0).any())
        stratum = np.zeros_like(whole.stratum) if spanning else whole.stratum
        reason = _too_few_ways(whole, stratum, self.level)
        if reason:
            return self._nothing(evidence, arm, reason)
        law = cluster_permutation(whole.mean, whole.arm, stratum, self.level, draws=self.draws, seed=self.seed)
        if law is None or law.low is None or law.high is None:
            return self._nothing(evidence, arm, NO_SPREAD)
        checks = [*left_aside(every, pair, "a cluster"), *cluster_checks(pair, numbers, clusters, exact=True)]
        checks += [_spanning(whole)] if spanning and pair.stratified else []
        shuffle = "inside strata" if len(np.unique(stratum)) > 1 else "of all clusters"
        details = cluster_details(pair, numbers, clusters)
        for row, name in enumerate((pair.control, arm)):
            details[f"mean of cluster means in {name}"] = float(whole.mean[whole.arm == row].mean())
        return self._law_record(pair, law, checks, shuffle, details, numbers)

    def _law_record(
        self,
        pair: Pair,
        law: ClusterLaw,
        checks: Sequence[Check],
        shuffle: str,
        details: dict[str, float | None],
        numbers: Mapping[str, int],
    ) -> Comparison:
        low, high = law.low or 0.0, law.high or 0.0
        details["log10 of the number of assignments"] = law.log_assignments / math.log(10)
        p = p_value(law.log_p)
        if law.draws:
            error = math.sqrt(p * max(1 - p / 2, 0.0) * 2 / law.draws)
            details["Monte Carlo error of p"] = error
            checks = (*checks, _monte_carlo(error, p, law.draws))
        how = f"{law.draws:,} random assignments" if law.draws else "Exact permutation test"
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=checks,
            method=f"{how} of cluster means, shuffles {shuffle}; interval by inversion of the test",
            measure="difference of means of cluster means",
            estimate=min(max(law.estimate, low), high),
            low=low,
            high=high,
            level=self.level,
            p_value=p,
            log_p=law.log_p,
            alternative="two-sided (twice the smaller tail)",
            details=details,
            sentence=sentence(
                in_words(pair, law.estimate, low, high, self.level),
                reading(pair, low, high),
                f"every cluster counts once, {in_clusters(numbers)}",
                f"{'' if law.draws else 'exact '}permutation p {p_text(law.log_p)}",
            ),
        )


def _crossing(numbers: Mapping[str, int], whole: WholeClusters | None) -> str:
    if whole is not None:
        return ""
    return (
        f"{numbers['both']:,} clusters have units in both arms, so whole clusters were not assigned; "
        "take the cluster as a stratum, or use cluster-robust"
    )


def _too_few_ways(whole: WholeClusters, stratum: np.ndarray, level: float) -> str:
    """Why the exact test could not show anything, whatever the answers; empty if it could."""
    size = int(stratum.max()) + 1
    pilot, control = (np.bincount(stratum[whole.arm == row], minlength=size) for row in (1, 0))
    log_smallest = math.log(2) - log_assignments(pilot, control)
    least = math.exp(log_smallest)
    if least < min(WORTHLESS, 1 - level + 1e-12):
        return ""
    ways = round(2 / least)
    return (
        f"there are only {ways:,} ways to assign these clusters, so the exact p value could never be below {least:.2g}; "
        "more clusters are needed"
    )


def _spanning(whole: WholeClusters) -> Check:
    count = int((whole.stratum < 0).sum())
    text = f"{count:,} clusters lie across strata, so clusters were shuffled without regard to strata."
    return Check("clusters across strata", float(count), "warn", text)


def _monte_carlo(error: float, p: float, draws: int) -> Check:
    status = "pass" if error <= 0.1 * p else "warn"
    text = f"The p value rests on {draws:,} random assignments; its Monte Carlo error is {error:.2g}."
    return Check("Monte Carlo error", error, status, text)
