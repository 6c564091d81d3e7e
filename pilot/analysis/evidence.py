"""Evidence: the numbers an analysis asks for, per arm and stratum, instead of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import Clusters, FloatArray, IntArray, Joint, Moments, Rows
from pilot.errors import InputError

_Record = TypeVar("_Record", Moments, Joint, Clusters, Rows)


class Scale(StrEnum):
    """What kind of quantity an outcome is."""

    RATING = "rating"
    """Few ordered levels at equal steps: CSAT 1-5, NPS 0-10."""
    BINARY = "binary"
    """Yes or no, as 1 and 0."""
    MONEY = "money"
    """Amounts from 0."""
    NUMBER = "number"
    """Any number, also a negative one: a change, a balance."""
    COUNT = "count"
    TIME = "time"
    """Days until something happened, or until nobody looked any more: which of the two, a covariate says as 1 or 0."""


class Need(StrEnum):
    """What an analysis asks for; the host fetches the union of all needs. Moments are always there."""

    COUNTS = "counts"
    MOMENTS = "moments"
    ASSIGNED = "assigned"
    """How many units each arm and stratum was given, answered or not."""
    JOINT = "joint"
    """Moments of the outcome together with covariates."""
    CLUSTERS = "clusters"
    ROWS = "rows"


@dataclass(frozen=True, eq=False)
class Evidence:
    """One outcome of one experiment: everything an analysis may know of it. Holds no person.

    Attributes:
        outcome: Key of the outcome.
        scale: Its scale.
        higher_is_better: Direction of the outcome.
        arms: Arm keys, control first.
        strata: Stratum labels; a single "" where there are none.
        assigned: Units per (arm, stratum), or None if unknown (a flat file).
        population: Frame units per stratum, or None: the weights of a population-weighted estimate.
        levels: The values `counts` counts, ascending; empty where there are none.
        counts: Units per (arm, stratum, level), or None.
        moments: Moments per (arm, stratum), or None.
        joint: Moments together with covariates, or None.
        clusters: Moments by cluster, or None.
        rows: One entry per unit, or None.
        excluded: Rows left out, by reason.
    """

    outcome: str
    scale: Scale
    higher_is_better: bool
    arms: tuple[str, ...]
    strata: tuple[str, ...] = ("",)
    assigned: IntArray | None = None
    population: IntArray | None = None
    levels: tuple[float, ...] = ()
    counts: IntArray | None = None
    moments: Moments | None = None
    joint: Joint | None = None
    clusters: Clusters | None = None
    rows: Rows | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse evidence that no analysis could rely on.

        Raises:
            InputError: An array does not fit arms, strata and levels, or a moment is not finite where there are units.
        """
        cells = (len(self.arms), len(self.strata))
        self._fits("assigned", self.assigned, cells)
        self._fits("population", self.population, cells[1:])
        self._fits("counts", self.counts, (*cells, len(self.levels)))
        if self.moments is None:
            return
        for name in ("n", "mean", "m2"):
            self._fits(f"moments.{name}", getattr(self.moments, name), cells)
        filled = self.moments.n > 0
        if not (np.isfinite(self.moments.mean[filled]).all() and np.isfinite(self.moments.m2[filled]).all()):
            raise InputError("a mean or a sum of squares is not a finite number", place=self.outcome)

    @classmethod
    def from_counts(
        cls,
        outcome: str,
        scale: Scale,
        arms: Sequence[str],
        levels: Sequence[float],
        counts: npt.ArrayLike,
        *,
        strata: Sequence[str] = ("",),
        higher_is_better: bool = True,
        assigned: npt.ArrayLike | None = None,
        population: npt.ArrayLike | None = None,
        excluded: Mapping[str, int] | None = None,
    ) -> Evidence:
        """Evidence from counts of shape (arms, strata, levels); moments follow from them.

        Raises:
            InputError: The shape does not fit arms, strata and levels, or a count is negative.
        """
        table = np.asarray(counts, dtype=np.int64)
        if table.shape != (len(arms), len(strata), len(levels)):
            raise InputError(
                f"counts have shape {table.shape}, not (arms, strata, levels) = "
                f"{(len(arms), len(strata), len(levels))}",
                place=outcome,
            )
        values = np.asarray(levels, dtype=np.float64)
        n = table.sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (table @ values) / n
        centred = np.where(table > 0, (values - np.where(n > 0, mean, 0.0)[..., None]) ** 2, 0.0)
        moments = Moments(n, mean, (table * centred).sum(axis=2))
        return cls(
            outcome,
            scale,
            higher_is_better,
            tuple(arms),
            tuple(strata),
            _optional(assigned),
            _optional(population),
            tuple(float(level) for level in levels),
            table,
            moments,
            excluded=dict(excluded or {}),
        )

    def _fits(self, name: str, values: IntArray | FloatArray | None, shape: tuple[int, ...]) -> None:
        if values is None:
            return
        if values.shape != shape:
            raise InputError(f"{name} has shape {values.shape}, not {shape}", place=self.outcome)
        if values.dtype.kind == "i" and (values < 0).any():
            raise InputError(f"{name} holds a negative number", place=self.outcome)

    def index(self, arm: str) -> int:
        """Position of an arm.

        Raises:
            InputError: There is no such arm.
        """
        if arm not in self.arms:
            raise InputError(f"unknown arm {arm!r}", place=self.outcome, remedy=f"Arms: {', '.join(self.arms)}")
        return self.arms.index(arm)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` restores the evidence exactly."""
        return {
            "outcome": self.outcome,
            "scale": self.scale.value,
            "higher_is_better": self.higher_is_better,
            "arms": list(self.arms),
            "strata": list(self.strata),
            "assigned": None if self.assigned is None else self.assigned.tolist(),
            "population": None if self.population is None else self.population.tolist(),
            "levels": list(self.levels),
            "counts": None if self.counts is None else self.counts.tolist(),
            "moments": _written(self.moments),
            "joint": _written(self.joint),
            "clusters": _written(self.clusters),
            "rows": _written(self.rows),
            "excluded": dict(self.excluded),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """The evidence that `as_json` wrote."""
        return cls(
            data["outcome"],
            Scale(data["scale"]),
            data["higher_is_better"],
            tuple(data["arms"]),
            tuple(data["strata"]),
            _optional(data["assigned"]),
            _optional(data["population"]),
            tuple(data["levels"]),
            _optional(data["counts"]),
            _read(Moments, data["moments"]),
            _read(Joint, data.get("joint")),
            _read(Clusters, data.get("clusters")),
            _read(Rows, data.get("rows")),
            dict(data["excluded"]),
        )

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in which rows are given by the SHA-256 of their columns."""
        parts = self.as_json() if self.rows is None else replace(self, rows=None).as_json()
        parts["rows"] = None if self.rows is None else self.rows.digest()
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _optional(values: npt.ArrayLike | None) -> IntArray | None:
    return None if values is None else np.asarray(values, dtype=np.int64)


def _written(record: Moments | Joint | Clusters | Rows | None) -> dict[str, Any] | None:
    return None if record is None else record.as_json()


def _read(kind: type[_Record], data: Mapping[str, Any] | None) -> _Record | None:
    return None if data is None else kind.from_json(data)
