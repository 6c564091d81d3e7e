"""What analyses of a contrast with a t interval share: the units they analyse and their record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import ArmSummary, Check, Comparison
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import record
from pilot.analysis.means import Layers, MeanDifference, layers
from pilot.analysis.moments import FloatArray, IntArray, Joint, Rows
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect, reading, sentence
from pilot.analysis.strata import whole
from pilot.analysis.tails import p_value


def narrowed(pair: Pair, n: IntArray, mean: FloatArray, m2: FloatArray) -> Pair:
    """The same pair, seen through the units that an analysis can use; every number of it is then theirs.

    Args:
        pair: All units with a value of the outcome.
        n: Units that can be used, by (arm, stratum).
        mean: Their means; anything where there are none.
        m2: Their centred sums of squares.
    """
    filled = n > 0
    return replace(pair, n=n, mean=np.where(filled, mean, 0.0), m2=np.where(filled, m2, 0.0))


def with_covariates(pair: Pair, joint: Joint) -> Pair:
    """The pair seen through the units that have a value of every covariate."""
    return narrowed(pair, joint.n, joint.mean[..., 0], joint.cross[..., 0, 0])


def with_rows(pair: Pair, rows: Rows) -> Pair:
    """The pair seen through its rows."""
    shape = pair.n.shape
    cell = rows.arm * shape[1] + rows.stratum
    n = np.bincount(cell, minlength=pair.n.size)
    mean = np.bincount(cell, rows.value, minlength=pair.n.size) / np.maximum(n, 1)
    m2 = np.asarray(np.bincount(cell, (rows.value - mean[cell]) ** 2, minlength=pair.n.size), dtype=np.float64)
    return narrowed(pair, n.reshape(shape), mean.reshape(shape), m2.reshape(shape))


def joined_strata(pair: Pair, joint: Joint, weights: FloatArray) -> tuple[Joint, Layers]:
    """Moments in which strata too thin for a variance are joined, as `layers` joins them."""
    found = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
    thin = np.isin(pair.evidence.strata, found.joined)
    if not thin.any():
        return joint, found
    kept = ~thin
    part = Joint(joint.columns, joint.n[:, thin], joint.mean[:, thin], joint.cross[:, thin])
    merged = [part.pooled(row) for row in (0, 1)]
    n, mean, cross = (np.array([each[k] for each in merged])[:, None] for k in range(3))
    return (
        Joint(
            joint.columns,
            np.concatenate([joint.n[:, kept], n], axis=1),
            np.concatenate([joint.mean[:, kept], mean], axis=1),
            np.concatenate([joint.cross[:, kept], cross], axis=1),
        ),
        found,
    )


def left_aside(pair: Pair, used: Pair, lacking: str) -> list[Check]:
    """Units with a value of the outcome that the analysis could not use.

    Args:
        pair: All units with a value.
        used: Those analysed.
        lacking: What the others lack, such as `a value of a covariate`.
    """
    count = sum(whole(pair).sizes) - sum(whole(used).sizes)
    if count <= 0:
        return []
    text = f"{count:,} of {sum(whole(pair).sizes):,} {pair.units} lack {lacking} and are not in the analysis."
    return [Check("not analysed", float(count), "warn", text)]


def unweighted(rows: Rows) -> list[Check]:
    """Weights that the analysis does not use."""
    if rows.weight is None or bool((rows.weight == rows.weight[:1]).all()):
        return []
    return [Check("weights", None, "warn", "The weights of the rows are not used by this analysis.")]


def passed_over(pair: Pair) -> list[Check]:
    """Weights and clusters of the units, for analyses of rows that use neither."""
    rows, clusters = pair.evidence.rows, pair.evidence.clusters
    units = number = 0
    if rows is not None and rows.cluster is not None:
        units, number = len(rows.cluster), len(np.unique(rows.cluster))
    elif clusters is not None:
        units, number = int(clusters.n.sum()), len(np.unique(clusters.label))
    checks = [] if rows is None else unweighted(rows)
    if number < units:
        text = f"The {pair.units} belong to {number:,} clusters, which this analysis ignores; use cluster-robust."
        checks.append(Check("clusters ignored", float(number), "warn", text))
    return checks


def t_record(
    analysis: Analysis,
    pair: Pair,
    difference: MeanDifference,
    *,
    level: float,
    method: str,
    measure: str = "difference of means",
    arms: tuple[ArmSummary, ...] | None = None,
    checks: Sequence[Check] = (),
    details: Mapping[str, float | None] | None = None,
    after: str = "",
) -> Comparison:
    """The comparison of a contrast with a t interval.

    Args:
        analysis: Whose result it is.
        pair: The units analysed.
        difference: The contrast.
        level: Two-sided confidence level.
        method: One line naming the method and its variant.
        measure: What the contrast is.
        arms: The arms' own numbers; by default those of the pair with the contrast's two means.
        checks: Assumptions looked at.
        details: Further numbers by name.
        after: A clause that ends it.
    """
    low, high = difference.interval(level)
    return record(
        analysis,
        pair,
        arms=arms or pair.summaries(np.asarray(difference.means)),
        checks=checks,
        method=method,
        measure=measure,
        estimate=difference.estimate,
        low=low,
        high=high,
        level=level,
        standard_error=difference.standard_error,
        statistic=difference.t,
        df=difference.df,
        p_value=p_value(difference.log_p),
        log_p=difference.log_p,
        details=dict(details or {}),
        sentence=sentence(effect(pair, difference.estimate, low, high, level), reading(pair, low, high), after),
    )


def common_checks(pair: Pair) -> tuple[Check, ...]:
    """What every difference of means is looked at for."""
    return (
        review.sizes(pair),
        *review.spread(pair),
        *review.ceiling(pair),
        *review.tails(pair),
        *review.rare(pair),
        *review.response(pair),
    )
