"""Models for clusters of customers: random intercepts, and estimating equations."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

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
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, t_record
from pilot.analysis.effects import Level
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.mixedmodels import ClusterModel, estimating_equations, mixed_model
from pilot.analysis.moments import Clusters
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, left_out


class _ModelOfClusters(Analysis):
    """What `mixed-model` and `gee` share."""

    needs = frozenset({Need.MOMENTS, Need.CLUSTERS, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale) - {Scale.TIME}
    sizes = "difference of means, in independent values: clusters come on top"

    by_strata: bool
    level: float

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
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        strata = self.by_strata and int(pair.n.any(axis=0).sum()) > 1
        found = self._model(clusters, by_strata=strata)
        if found is None:
            reason = "the arms cannot be told from the strata, clusters are too few, or no spread is left inside them"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        checks = [*left_aside(every, pair, "a cluster"), *cluster_checks(pair, numbers, clusters)]
        checks += [
            freedom(found.difference.df),
            *(left_out(pair) if self.by_strata else balance(pair)),
            *_boundary(found),
        ]
        details = cluster_details(pair, numbers, clusters)
        details["correlation in the model"] = found.correlation
        if found.between is not None:  # estimating equations have no variances of their own
            details |= {"variance between clusters": found.between, "variance inside clusters": found.within}
        return t_record(
            self,
            pair,
            found.difference,
            level=self.level,
            method=self._method(found, ", strata as fixed effects" if strata else ""),
            measure="difference of means",
            checks=checks,
            details=details,
            after=in_clusters(numbers),
        )

    @abstractmethod
    def _model(self, clusters: Clusters, *, by_strata: bool) -> ClusterModel | None: ...

    @abstractmethod
    def _method(self, found: ClusterModel, strata: str) -> str: ...

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `n` counts independent values: `plan_size` and `reach` turn them into clusters and back."""
        return mean_power(effect, expected.spreads, n, self.level)


@dataclass(frozen=True)
class MixedModel(_ModelOfClusters):
    """Difference of means with a random intercept for each cluster, by restricted maximum likelihood (REML).

    Args:
        df: `satterthwaite`, or `between-within`: clusters less coefficients.
        by_strata: Whether strata are fixed effects, where there are any.
        level: Two-sided confidence level.
    """

    key = "mixed-model"
    label = "Difference of means with random clusters (REML)"
    reference = "Laird and Ware 1982, Biometrics 38:963; Kuznetsova et al. 2017, J. Statistical Software 82(13)"

    df: Literal["satterthwaite", "between-within"] = "satterthwaite"
    by_strata: bool = True
    level: Level = 0.95

    def _model(self, clusters: Clusters, *, by_strata: bool) -> ClusterModel | None:
        return mixed_model(clusters, by_strata=by_strata, between_within=self.df == "between-within")

    def _method(self, found: ClusterModel, strata: str) -> str:
        counted = found.boundary or self.df == "between-within"
        freedom_of = "between-within" if counted else "Satterthwaite's"
        return f"Random intercept for each cluster{strata}, REML, t with {freedom_of} degrees of freedom"


@dataclass(frozen=True)
class EstimatingEquations(_ModelOfClusters):
    """Difference of means by generalised estimating equations, customers of a cluster equally correlated.

    Args:
        by_strata: Whether strata are fixed effects, where there are any.
        level: Two-sided confidence level.
    """

    key = "gee"
    label = "Difference of means by estimating equations (GEE)"
    reference = "Liang and Zeger 1986, Biometrika 73:13; Mancl and DeRouen 2001, Biometrics 57:126"

    by_strata: bool = True
    level: Level = 0.95

    def _model(self, clusters: Clusters, *, by_strata: bool) -> ClusterModel | None:
        return estimating_equations(clusters, by_strata=by_strata)

    def _method(self, found: ClusterModel, strata: str) -> str:
        return (
            f"Estimating equations, exchangeable correlation{strata}, robust standard error with Mancl and DeRouen's correction, "
            "t with clusters less coefficients"
        )


def _boundary(found: ClusterModel) -> list[Check]:
    if not found.boundary:
        return []
    text = "Customers of a cluster are no more alike than others, so the variance between clusters is estimated as 0."
    return [Check("variance between clusters", 0.0, "pass", text)]
