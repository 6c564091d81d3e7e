"""Moments: what sums over units tell, by arm and stratum, of one column, of several together, or by cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def pooled(n: IntArray, mean: FloatArray, m2: FloatArray) -> tuple[int, float, float]:
    """(n, mean, m2) of several groups taken as one; zeros where all are empty.

    Reference: Chan, Golub and LeVeque 1983, The American Statistician 37:242.
    """
    total = int(n.sum())
    if total == 0:
        return 0, 0.0, 0.0
    filled = n > 0
    centre = float(n[filled] @ mean[filled]) / total
    return total, centre, float((m2[filled] + n[filled] * (mean[filled] - centre) ** 2).sum())


@dataclass(frozen=True, eq=False)
class Moments:
    """n, mean and centred sum of squares; each array has shape (arms, strata)."""

    n: IntArray
    mean: FloatArray
    m2: FloatArray

    def pooled(self, arm: int) -> tuple[int, float, float]:
        """(n, mean, m2) of one arm over all its strata, as if there were none; not numbers where n is 0."""
        n, mean, m2 = pooled(self.n[arm], self.mean[arm], self.m2[arm])
        return (n, mean, m2) if n else (0, float("nan"), float("nan"))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"n": self.n.tolist(), "mean": nullable(self.mean), "m2": nullable(self.m2)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Moments:
        """The record that `as_json` wrote."""
        return cls(whole(data["n"]), real(data["mean"]), real(data["m2"]))


@dataclass(frozen=True, eq=False)
class Joint:
    """Moments of the outcome and of covariates together, over the units that have a value of each.

    Attributes:
        columns: Names; the outcome first, then the covariates.
        n: Units by (arm, stratum).
        mean: By (arm, stratum, column); not a number where n is 0.
        cross: Centred sums of products by (arm, stratum, column, column).
    """

    columns: tuple[str, ...]
    n: IntArray
    mean: FloatArray
    cross: FloatArray

    def pooled(self, arms: npt.ArrayLike) -> tuple[int, FloatArray, FloatArray]:
        """(n, mean, cross) over all strata of the arms at these positions, taken as one group."""
        rows = np.atleast_1d(np.asarray(arms))
        n = self.n[rows].ravel()
        mean = self.mean[rows].reshape(len(n), -1)[n > 0]
        cross = self.cross[rows].reshape(len(n), len(self.columns), -1)[n > 0]
        n = n[n > 0]
        centre = n @ mean / n.sum()
        gap = mean - centre
        return int(n.sum()), centre, cross.sum(axis=0) + (n[:, None] * gap).T @ gap

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "columns": list(self.columns),
            "n": self.n.tolist(),
            "mean": nullable(self.mean),
            "cross": nullable(self.cross),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Joint:
        """The record that `as_json` wrote."""
        return cls(tuple(data["columns"]), whole(data["n"]), real(data["mean"]), real(data["cross"]))


@dataclass(frozen=True, eq=False)
class Clusters:
    """Moments of the outcome by cluster. A cluster with units in several arms or strata has an entry for each.

    Attributes:
        label: Number of the cluster, from 0; equal in all its entries.
        arm, stratum: Positions among the evidence's arms and strata.
        n, mean, m2: Units of the entry with a value, their mean and centred sum of squares; n is above 0.
    """

    label: IntArray
    arm: IntArray
    stratum: IntArray
    n: IntArray
    mean: FloatArray
    m2: FloatArray

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name).tolist() for name in ("label", "arm", "stratum", "n", "mean", "m2")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Clusters:
        """The record that `as_json` wrote."""
        label, arm, stratum, n = (whole(data[name]) for name in ("label", "arm", "stratum", "n"))
        return cls(label, arm, stratum, n, real(data["mean"]), real(data["m2"]))


@dataclass(frozen=True, eq=False)
class Rows:
    """One entry for each unit that has a value of the outcome and of all covariates; all arrays are equally long.

    Attributes:
        arm, stratum: Positions among the evidence's arms and strata.
        value: The outcome.
        covariates: Further columns by name.
        cluster: Number of the unit's cluster, from 0; None where there are no clusters.
        weight: Weight of the unit, above 0; None where there are no weights.
    """

    arm: IntArray
    stratum: IntArray
    value: FloatArray
    covariates: Mapping[str, FloatArray]
    cluster: IntArray | None = None
    weight: FloatArray | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "arm": self.arm.tolist(),
            "stratum": self.stratum.tolist(),
            "value": self.value.tolist(),
            "covariates": {name: column.tolist() for name, column in self.covariates.items()},
            "cluster": None if self.cluster is None else self.cluster.tolist(),
            "weight": None if self.weight is None else self.weight.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rows:
        """The record that `as_json` wrote."""
        return cls(
            whole(data["arm"]),
            whole(data["stratum"]),
            real(data["value"]),
            {name: real(column) for name, column in data["covariates"].items()},
            None if data["cluster"] is None else whole(data["cluster"]),
            None if data["weight"] is None else real(data["weight"]),
        )

    def digest(self) -> str:
        """SHA-256 over all columns in order; as many bytes as there are, without a text of them."""
        found = hashlib.sha256()
        columns = {"arm": self.arm, "stratum": self.stratum, "value": self.value, "cluster": self.cluster}
        for name, column in [*columns.items(), ("weight", self.weight), *sorted(self.covariates.items())]:
            found.update(f"{name}:{0 if column is None else len(column)}:".encode())
            if column is not None:
                found.update(np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")).tobytes())
        return found.hexdigest()


def whole(values: Any) -> IntArray:
    """Whole numbers as an array."""
    return np.asarray(values, dtype=np.int64)


def real(values: Any) -> FloatArray:
    """Numbers as an array; None becomes not a number."""
    return np.asarray(values, dtype=np.float64)


def nullable(values: FloatArray) -> Any:
    """Nested lists of an array, None where it is not a number."""
    found = values.astype(object)
    found[np.isnan(values)] = None
    return found.tolist()
