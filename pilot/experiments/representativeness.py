"""Whether the sample is like the frame and the arms like each other, before anything is launched.

Standardised differences, without p values: what chance did is known to be chance, and only its size matters (Austin 2009,
Statistics in Medicine 28:3083; CONSORT 2010, item 15). All values are those kept at the seal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pilot.analysis.representativeness import r_indicator
from pilot.experiments import baseline as baselines
from pilot.experiments.baseline import CATEGORIES, NUMBERS, Baseline
from pilot.experiments.eligibility import stored_frame
from pilot.experiments.models import Experiment
from pilot.experiments.sampling import Floats, Ints
from pilot.experiments.sealing import plan_drawn, plan_of
from pilot.experiments.units import units

NOTABLE = 0.1
"""A standardised difference from which trial practice calls groups unlike."""
MOST_CATEGORIES = 12
"""Of a field with more, the largest are told and the others together."""
OTHERS, UNKNOWN = "others", "unknown"
CLASSES = ("segment", "activity")
"""What the R-indicator's classes are made of, with the quarter of revenue."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Line:
    """One field, or one category of it, in all groups.

    Attributes:
        field: One of `CATEGORIES` or `NUMBERS`.
        category: None where it is a number; "unknown" where the field is empty, "others" for small ones together.
        values: Mean, or share, of each group by its key: `base`, `frame`, `sample` and the arms; None where nothing is known.
        differences: Standardised differences: `frame` to base, `sample` to frame, each pilot arm to control; None where they
            have no meaning, because nothing is known or nothing varies.
    """

    field: str
    category: str | None
    values: Mapping[str, float | None]
    differences: Mapping[str, float | None]

    @property
    def largest(self) -> float:
        """The largest difference within the draw: of the sample to the frame, or of an arm to control."""
        return max((abs(d) for name, d in self.differences.items() if name != "frame" and d is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Balance:
    """All fields side by side.

    Attributes:
        sizes: Customers of each group by its key.
        lines: In the order of `CATEGORIES`, then `NUMBERS`.
        weighted: Whether customers count by how likely they were to be drawn, because some were likelier.
        r: The R-indicator of the sample against the frame, 1 where every class was drawn alike; None before the draw.
    """

    sizes: Mapping[str, int]
    lines: Sequence[Line]
    weighted: bool = False
    r: float | None = None
    arms: Sequence[str] = field(default=())

    @property
    def notable(self) -> list[Line]:
        """The lines with a difference worth a look, the largest first."""
        return sorted((line for line in self.lines if line.largest >= NOTABLE), key=lambda line: -line.largest)

    def plain(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "sizes": dict(self.sizes),
            "weighted": self.weighted,
            "r_indicator": self.r,
            "notable": NOTABLE,
            "fields": [
                {
                    "field": line.field,
                    "category": line.category,
                    "values": dict(line.values),
                    "differences": dict(line.differences),
                }
                for line in self.lines
            ],
        }


@dataclass(frozen=True, eq=False)
class _Groups:
    """Who belongs to each group, and with what weight, by position in the baseline."""

    members: Mapping[str, Mask]
    weights: Floats
    pairs: Mapping[str, str]
    """Each group, and the one it is compared with."""

    def pooled(self, group: str) -> bool:
        """Whether a difference is in standard deviations of both groups, as between arms, and not of the larger one."""
        return group not in ("frame", "sample")


def balance(experiment: Experiment) -> Balance:
    """Base and frame, and after the draw sample and arms, on every field that was known at the seal.

    Raises:
        CheckFailed: A kept file is gone or was changed.
        StateError: The experiment was not sealed.
    """
    kept = baselines.read(experiment)
    groups, inclusion = _groups(experiment, kept)
    lines = [line for name in CATEGORIES for line in _category(name, kept, groups)]
    lines += [line for name in NUMBERS if (line := _number(name, kept.number(name), groups))]
    sizes = {key: int(mask.sum()) for key, mask in groups.members.items()}
    if inclusion is None:
        return Balance(sizes, lines)
    drawn = inclusion[~np.isnan(inclusion)]
    weighted = bool(drawn.min() < drawn.max())
    arms = [key for key in sizes if key not in ("base", "frame", "sample")]
    return Balance(sizes, lines, weighted, _r(kept, groups), arms)


def _groups(experiment: Experiment, kept: Baseline) -> tuple[_Groups, Floats | None]:
    """The groups there are so far, and of who was drawn the probability of that."""
    everybody = np.ones(len(kept.eligible), dtype=bool)
    members: dict[str, Mask] = {"base": everybody, "frame": kept.eligible}
    pairs = {"frame": "base"}
    weights = np.ones(len(everybody))
    if experiment.drawn_at is None:
        plan_of(experiment)  # of a plan that was edited nothing is shown
        return _Groups(members, weights, pairs), None
    places = dict(zip(stored_frame(experiment).refs, np.flatnonzero(kept.eligible).tolist(), strict=True))
    drawn = [unit for unit in units(experiment) if unit.ref in places]
    where = np.array([places[unit.ref] for unit in drawn], dtype=np.int64)
    inclusion = np.full(len(everybody), np.nan)
    inclusion[where] = [unit.inclusion_probability for unit in drawn]
    weights[where] = 1 / inclusion[where]
    members["sample"], pairs["sample"] = ~np.isnan(inclusion), "frame"
    arms = [arm.key for arm in plan_drawn(experiment).arms]
    assigned = np.array([arms.index(unit.arm) for unit in drawn], dtype=np.int64)
    for place, arm in enumerate(arms):
        members[arm] = np.zeros(len(everybody), dtype=bool)
        members[arm][where[assigned == place]] = True
        if place:
            pairs[arm] = arms[0]
    return _Groups(members, weights, pairs), inclusion


def _weights(key: str, groups: _Groups) -> Floats:
    """What each customer counts in a group; base and frame are whole and count everybody once."""
    mask = groups.members[key]
    return np.where(mask, 1.0 if key in ("base", "frame") else groups.weights, 0.0)


def _number(name: str, values: Floats, groups: _Groups) -> Line | None:
    """Means and their differences; None of a field that is known of nobody."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    filled = np.where(known, values, 0.0)
    moments = {key: _moments(filled, np.where(known, _weights(key, groups), 0.0)) for key in groups.members}
    means = {key: found[0] if found else None for key, found in moments.items()}
    gaps = {
        key: _standardised(moments[key], moments[other], pooled=groups.pooled(key))
        for key, other in groups.pairs.items()
    }
    return Line(name, None, means, gaps)


def _moments(values: Floats, weights: Floats) -> tuple[float, float] | None:
    """Mean and variance; None without anybody."""
    total = float(weights.sum())
    if not total:
        return None
    mean = float(weights @ values) / total
    return mean, float(weights @ (values - mean) ** 2) / total


def _standardised(own: tuple[float, float] | None, other: tuple[float, float] | None, *, pooled: bool) -> float | None:
    """The difference of two means in standard deviations of both groups, or of the other alone; None without a spread."""
    if own is None or other is None:
        return None
    variance = (own[1] + other[1]) / 2 if pooled else other[1]
    gap = own[0] - other[0]
    if variance <= 0:
        return 0.0 if gap == 0 else None
    return gap / math.sqrt(variance)


def _category(name: str, kept: Baseline, groups: _Groups) -> Iterator[Line]:
    """The shares of all categories; of a field with a single one there is nothing to tell."""
    codes, labels = kept.category(name)
    codes, labels = _largest(codes, [label or UNKNOWN for label in labels])
    if len(labels) < 2:
        return
    counts = {key: np.bincount(codes, weights=_weights(key, groups), minlength=len(labels)) for key in groups.members}
    shares = {key: count / count.sum() if count.sum() else None for key, count in counts.items()}
    for code, label in enumerate(labels):
        own = {key: None if share is None else float(share[code]) for key, share in shares.items()}
        both = {key: None if share is None else (share, share * (1 - share)) for key, share in own.items()}
        gaps = {
            key: _standardised(both[key], both[other], pooled=groups.pooled(key)) for key, other in groups.pairs.items()
        }
        yield Line(name, label, own, gaps)


def _largest(codes: Ints, labels: list[str]) -> tuple[Ints, list[str]]:
    """The largest categories, in the order of their labels, and the others as one more."""
    if len(labels) <= MOST_CATEGORIES + 1:
        return codes, labels
    sizes = np.bincount(codes, minlength=len(labels))
    keep = sorted(np.argsort(-sizes, kind="stable")[:MOST_CATEGORIES].tolist())
    place = np.full(len(labels), len(keep))
    place[keep] = np.arange(len(keep))
    return place[codes], [*(labels[code] for code in keep), OTHERS]


def _r(kept: Baseline, groups: _Groups) -> float:
    """The R-indicator of the sample against the frame over classes of `CLASSES` and the quarter of revenue.

    Where customers were drawn with different probabilities, each class counts as many as the weights say it stands for.
    """
    frame, sample = groups.members["frame"], groups.members["sample"]
    revenue = kept.number("revenue_year")[frame]
    place = np.searchsorted(np.sort(revenue), revenue)
    cells = (place * 4 // len(revenue)).astype(np.int64)
    for name in CLASSES:
        codes, labels = kept.category(name)
        cells = cells * len(labels) + codes[frame]
    _, cells = np.unique(cells, return_inverse=True)
    eligible = np.bincount(cells)
    stands_for = np.bincount(cells, weights=np.where(sample, groups.weights, 0.0)[frame])
    drawn = np.minimum(stands_for * sample.sum() / stands_for.sum(), eligible)
    return r_indicator(drawn, eligible).r
