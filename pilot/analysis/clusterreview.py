"""Clusters looked at before a number is believed, and their own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pilot.analysis import review
from pilot.analysis.clusters import design_effect, intraclass_correlation
from pilot.analysis.comparison import Check
from pilot.analysis.contrasts import common_checks, narrowed
from pilot.analysis.moments import Clusters
from pilot.analysis.pairs import Pair

FEW_CLUSTERS, FEW_IN_ARM = 10, 5
"""Below so many clusters in all, or in an arm, errors estimated between clusters are hardly known."""

FEW_DF = 4.0
"""Below so many degrees of freedom Satterthwaite's t is a rough guide (Pustejovsky and Tipton 2018)."""


def seen(pair: Pair, clusters: Clusters) -> Pair:
    """The pair seen through the units that have a cluster."""
    cell, shape = clusters.arm * pair.n.shape[1] + clusters.stratum, pair.n.shape
    n = np.bincount(cell, clusters.n, minlength=pair.n.size)
    mean = np.bincount(cell, clusters.n * clusters.mean, minlength=pair.n.size) / np.maximum(n, 1)
    squares = clusters.m2 + clusters.n * (clusters.mean - mean[cell]) ** 2
    m2 = np.bincount(cell, squares.astype(np.float64), minlength=pair.n.size).astype(np.float64)
    return narrowed(pair, n.astype(np.int64).reshape(shape), mean.reshape(shape), m2.reshape(shape))


def numbers_of(clusters: Clusters) -> dict[str, int]:
    """Clusters of control and of the pilot arm, and those with units in both."""
    control, pilot = (np.unique(clusters.label[clusters.arm == row]) for row in (0, 1))
    return {"control": len(control), "pilot": len(pilot), "both": len(np.intersect1d(control, pilot))}


def lacking_clusters(pair: Pair, numbers: Mapping[str, int]) -> str:
    """Why two arms cannot be compared by their clusters; empty if they can."""
    for name, count in ((pair.control, numbers["control"]), (pair.arm, numbers["pilot"])):
        if count == 0:
            return f"{name} has no {pair.units} with a cluster"
        if count == 1:
            return f"{name} has only one cluster; a spread between clusters needs at least two"
    return ""


def cluster_checks(pair: Pair, numbers: Mapping[str, int], clusters: Clusters, *, exact: bool = False) -> list[Check]:
    """Whether there are enough clusters, each in one arm and none too large, beside what every difference is looked at for."""
    checks = [check for check in common_checks(pair) if check.name != "small n"]
    total = numbers["control"] + numbers["pilot"] - numbers["both"]
    least = min(numbers["control"], numbers["pilot"])
    text = f"There are {numbers['pilot']:,} clusters in {pair.arm} and {numbers['control']:,} in {pair.control}"
    few = (total < FEW_CLUSTERS or least < FEW_IN_ARM) and not exact
    more = f"; below {FEW_CLUSTERS} in all and {FEW_IN_ARM} in an arm the interval is only a rough guide" if few else ""
    checks.append(Check("few clusters", float(least), "warn" if few else "pass", f"{text}{more}."))
    if numbers["both"]:
        text = f"{numbers['both']:,} clusters have {pair.units} in both arms: where customers, not clusters, were assigned, the cluster is a stratum."
        checks.append(Check("clusters in both arms", float(numbers["both"]), "warn", text))
    sizes = np.bincount(clusters.label, clusters.n)
    largest = float(sizes.max() / sizes.sum())
    if largest > 2 / max(total, 1) and largest > 0.25:
        text = f"One cluster holds {100 * largest:.0f} % of the {pair.units}: the result is largely its own."
        checks.append(Check("largest cluster", largest, "warn", text))
    return checks


def balance(pair: Pair) -> list[Check]:
    """For analyses that ignore strata: whether the arms are made up of them alike."""
    found = review.balance(pair)
    return [replace(check, text=check.text.replace("stratified-difference", "cluster-robust")) for check in found]


def freedom(df: float) -> Check:
    """Whether the clusters leave enough degrees of freedom."""
    if df >= FEW_DF:
        return Check("degrees of freedom", df, "pass", f"Clusters leave {df:.1f} degrees of freedom.")
    text = f"Clusters leave only {df:.1f} degrees of freedom: use cluster-permutation, or more clusters."
    return Check("degrees of freedom", df, "warn", text)


def cluster_details(pair: Pair, numbers: Mapping[str, int], clusters: Clusters) -> dict[str, float | None]:
    """Numbers and sizes of the clusters, and how alike their units are."""
    sizes = np.bincount(np.unique(clusters.label, return_inverse=True)[1], clusters.n)
    mean, variation = float(sizes.mean()), float(sizes.std() / sizes.mean())
    icc = intraclass_correlation(clusters)
    return {
        f"clusters in {pair.control}": float(numbers["control"]),
        f"clusters in {pair.arm}": float(numbers["pilot"]),
        "mean cluster size": mean,
        "variation of cluster size": variation,
        "intraclass correlation": icc,
        "design effect": None if icc is None else design_effect(mean, max(icc, 0.0), variation),
    }


def in_clusters(numbers: Mapping[str, int]) -> str:
    """`in 5 and 6 clusters`."""
    return f"in {numbers['pilot']:,} and {numbers['control']:,} clusters"
