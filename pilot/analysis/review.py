"""Assumptions looked at before a number is believed: each becomes a `Check`, and a warning where it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pilot.analysis.comparison import Check
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Scale
from pilot.analysis.means import Layers, make_up_gap
from pilot.analysis.pairs import Pair
from pilot.analysis.permutation import exact_permutation
from pilot.analysis.sentences import percent
from pilot.analysis.strata import joined, left_out, whole
from pilot.analysis.tails import p_value

SMALL_ARM = 20
"""Below this number of values per arm a t interval is a rough guide; see docs/analyses.md for the simulations."""

SPARSE_CELL = 5
"""Below this number of values in an arm of a stratum its variance is hardly known."""

RARE = 10
"""Below this number of yes or of no answers in an arm the normal law fits a share badly."""

HEAVY = 2.0
"""From this ratio of standard deviation to mean on, a sum of money is made by few."""

CEILING = 0.7
"""From this share of values at one end of the scale on, a difference can hardly show."""

UNBALANCED = 0.1
"""Arms whose make-up by stratum differs by more than this share."""

UNEQUAL = 0.01
"""Alarm level for losses that differ between arms; at pilot sizes smaller levels see nothing."""


def sizes(pair: Pair) -> Check:
    """Whether both arms are large enough for a t interval."""
    smallest = min(pair.sizes)
    text = f"The smaller arm has {smallest:,} {pair.units}"
    if smallest >= SMALL_ARM:
        return Check("small n", float(smallest), "pass", f"{text}.")
    return Check("small n", float(smallest), "warn", f"{text}; below {SMALL_ARM} the interval is only a rough guide.")


def spread(pair: Pair) -> list[Check]:
    """An arm in which all values are equal: its variance is not zero, only unseen."""
    return [
        Check(
            "zero variance",
            0.0,
            "warn",
            f"All {summary.n:,} {pair.units} of {summary.arm} are equal: the interval is too narrow.",
        )
        for summary in pair.summaries()
        if summary.sd == 0
    ]


def ceiling(pair: Pair) -> list[Check]:
    """Values piled up at one end of a rating scale."""
    if pair.evidence.counts is None or pair.evidence.scale is not Scale.RATING:
        return []
    by_level = pair.counts.sum(axis=1)
    shares = by_level[:, [0, -1]] / np.maximum(by_level.sum(axis=1, keepdims=True), 1)
    row, end = np.unravel_index(np.argmax(shares), shares.shape)
    share, level = float(shares[row, end]), pair.evidence.levels[(0, -1)[end]]
    text = f"{percent(round(share, 3))} of the answers of {(pair.control, pair.arm)[row]} are {level:g}"
    if share < CEILING:
        return [Check("ceiling", share, "pass", f"{text}, the end of the scale.")]
    return [Check("ceiling", share, "warn", f"{text}, the end of the scale: a difference can hardly show there.")]


def tails(pair: Pair) -> list[Check]:
    """Money of which a few customers bring most."""
    if pair.evidence.scale not in (Scale.MONEY, Scale.COUNT):
        return []
    relative = [summary.sd / summary.mean for summary in pair.summaries() if summary.sd is not None and summary.mean]
    if not relative:
        return []
    widest = max(relative)
    text = f"The standard deviation is {widest:.1f} times the mean"
    if widest < HEAVY:
        return [Check("heavy tails", widest, "pass", f"{text}.")]
    text += ": a few large customers decide what the difference is."
    return [Check("heavy tails", widest, "warn", text)]


def ignored(analysis: Analysis, pair: Pair) -> list[Check]:
    """Clusters that an analysis passes over."""
    found = pair.evidence.clusters
    if found is None or "clusters" in analysis.uses():
        return []
    number = len(np.unique(found.label))
    if number == int(found.n.sum()):
        return []
    text = f"The {pair.units} belong to {number:,} clusters, which this analysis ignores; use cluster-robust."
    return [Check("clusters ignored", float(number), "warn", text)]


def disagreement(numbers: Mapping[str, Any]) -> list[Check]:
    """A test and an interval of different methods that do not agree about no difference."""
    low, high, p = numbers.get("low"), numbers.get("high"), numbers.get("p_value")
    two_sided = numbers.get("alternative", "two-sided").startswith("two-sided")
    if low is None or high is None or p is None or not two_sided or not numbers["measure"].startswith("difference"):
        return []
    if (low <= 0 <= high) == (p >= 1 - numbers["level"]):
        return []
    text = "The p value and the interval are of different methods and disagree about no difference: take it as open."
    return [Check("test and interval", p, "warn", text)]


def rare(pair: Pair) -> list[Check]:
    """A share too close to 0 or 1 for a t interval."""
    if pair.evidence.scale is not Scale.BINARY:
        return []
    yes = (pair.n * pair.mean).sum(axis=1)
    smallest = float(min(yes.min(), (pair.n.sum(axis=1) - yes).min()))
    text = f"The rarer answer was given by {round(smallest):,} {pair.units} of an arm"
    if smallest >= RARE:
        return [Check("rare events", smallest, "pass", f"{text}.")]
    return [Check("rare events", smallest, "warn", f"{text}; below {RARE} use newcombe instead of a t interval.")]


def balance(pair: Pair, instead: str = "stratified-difference") -> list[Check]:
    """For analyses that ignore strata: whether the arms are made up of them alike.

    Args:
        pair: The arms.
        instead: The analysis to use if they are not.
    """
    if not pair.stratified or not min(pair.sizes):
        return []
    gap = make_up_gap(pair.n)
    text = f"The arms differ by {percent(round(gap, 3))} in their make-up by stratum"
    if gap <= UNBALANCED:
        return [Check("balance of strata", gap, "pass", f"{text}.")]
    return [Check("balance of strata", gap, "warn", f"{text}, which this analysis ignores; use {instead}.")]


def cells(pair: Pair, layers: Layers) -> list[Check]:
    """For stratified analyses: strata left out or joined because an arm hardly appears in them, and sparse ones."""
    found = [*left_out(pair), *joined(pair, layers.joined, gap=layers.gap)]
    smallest = int(layers.n.min())
    text = f"The smallest arm of a stratum has {smallest:,} {pair.units}"
    if smallest >= SPARSE_CELL:
        return [*found, Check("sparse strata", float(smallest), "pass", f"{text}.")]
    return [*found, Check("sparse strata", float(smallest), "warn", f"{text}; its variance is hardly known.")]


def response(pair: Pair) -> list[Check]:
    """Whether the arms lost customers alike between assignment and analysis, in all strata, one by one."""
    pair = whole(pair)
    if pair.assigned is None or not (pair.assigned.sum(axis=1) > 0).all() or (pair.n > pair.assigned).any():
        return []
    if np.array_equal(pair.n, pair.assigned):
        return []
    p = p_value(exact_permutation(np.stack([pair.assigned - pair.n, pair.n], axis=2), (0, 1)).log_p)
    control, pilot = (percent(round(float(rate), 3)) for rate in pair.n.sum(axis=1) / pair.assigned.sum(axis=1))
    text = (
        f"{pilot} of the customers of {pair.arm} and {control} of {pair.control} are in the analysis (exact p {p:.2g})"
    )
    if p >= UNEQUAL:
        return [Check("equal response", p, "pass", f"{text}.")]
    return [Check("equal response", p, "warn", f"{text}: who is missing may explain the difference.")]


def warnings(checks: Iterable[Check]) -> tuple[str, ...]:
    """The texts of the checks that did not pass."""
    return tuple(check.text for check in checks if check.status != "pass")


def excluded(pair: Pair) -> Sequence[Check]:
    """Rows that were left out, by reason."""
    return [
        Check(
            "left out",
            float(count),
            "warn",
            f"{count:,} {'row was' if count == 1 else 'rows were'} left out: {reason}.",
        )
        for reason, count in pair.evidence.excluded.items()
        if count
    ]
