"""Evidence from columns in memory: the notebook's door, beside that of a file in `frames`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.moments import Clusters, FloatArray, IntArray, Joint, Moments, Rows
from pilot.errors import InputError

_LEVELS = 500
"""Different values of a rating, a yes or no or a count up to which they are counted."""


def evidence_of(
    outcome: str,
    scale: Scale,
    arms: Sequence[str],
    *,
    arm: Sequence[str],
    value: npt.ArrayLike,
    stratum: Sequence[str] | None = None,
    cluster: Sequence[str | int] | None = None,
    covariates: Mapping[str, npt.ArrayLike] | None = None,
    higher_is_better: bool = True,
    population: Mapping[str, int] | None = None,
) -> Evidence:
    """Evidence of columns that are equally long, with one entry per unit: counts, moments, rows, all that they allow.

    Args:
        outcome: Its name.
        scale: Its scale.
        arms: All arms, control first.
        arm: Each unit's arm.
        value: Each unit's outcome.
        stratum: Each unit's stratum, if there are any.
        cluster: Each unit's cluster, if there are any.
        covariates: Further columns of numbers by name.
        higher_is_better: Direction of the outcome.
        population: Frame units by stratum, where known.

    Raises:
        InputError: The columns are not equally long, a value is no finite number, or an arm is unknown.
    """
    numbers = {outcome: value, **(covariates or {})}
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in numbers.items()}
    labels = [""] * len(columns[outcome]) if stratum is None else [str(label) for label in stratum]
    _check({"arm": arm, "stratum": labels, "cluster": cluster}, columns)
    for name in set(arm) - set(arms):
        raise InputError(f"unknown arm {name!r}", place=outcome, remedy=f"Arms: {', '.join(arms)}")
    strata = sorted(set(labels) | set(population or ()))
    rows = Rows(
        np.array([list(arms).index(name) for name in arm], dtype=np.int64),
        np.searchsorted(strata, labels).astype(np.int64),
        columns.pop(outcome),
        columns,
        None if cluster is None else np.unique(np.asarray(cluster), return_inverse=True)[1].astype(np.int64),
    )
    return Evidence(
        outcome=outcome,
        scale=scale,
        higher_is_better=higher_is_better,
        arms=tuple(arms),
        strata=tuple(strata),
        population=None if population is None else np.array([population.get(label, 0) for label in strata]),
        rows=rows,
        **_summed(outcome, scale, rows, (len(arms), len(strata))),
    )


def _summed(outcome: str, scale: Scale, rows: Rows, shape: tuple[int, int]) -> dict[str, Any]:
    """What evidence holds of rows beside themselves: levels with their counts, moments, and clusters."""
    levels = np.unique(rows.value)
    counted = scale in (Scale.RATING, Scale.BINARY, Scale.COUNT) and len(levels) <= _LEVELS
    joint = _joint((outcome, *rows.covariates), rows, shape)
    return {
        "levels": tuple(levels.tolist()) if counted else (),
        "counts": _counts(rows, levels, shape) if counted else None,
        "moments": Moments(joint.n, joint.mean[..., 0], joint.cross[..., 0, 0]),
        "joint": joint if rows.covariates else None,
        "clusters": None if rows.cluster is None else _clusters(rows, rows.cluster),
    }


def _check(columns: Mapping[str, Sequence[str | int] | None], numbers: Mapping[str, FloatArray]) -> None:
    lengths = {name: len(column) for name, column in {**columns, **numbers}.items() if column is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise InputError(f"the columns have different lengths: {listed}", place=next(iter(numbers)))
    for name, column in numbers.items():
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise InputError(
                f"{column[bad[0]]} is not a finite number",
                place=f"{name}, entry {bad[0] + 1:,}",
                remedy="Leave out units without a value",
            )


def _joint(names: tuple[str, ...], rows: Rows, shape: tuple[int, int]) -> Joint:
    table = np.column_stack([rows.value, *rows.covariates.values()])
    joint = Joint(
        names,
        np.zeros(shape, dtype=np.int64),
        np.full((*shape, len(names)), np.nan),
        np.zeros((*shape, len(names), len(names))),
    )
    for cell in np.ndindex(*shape):
        own = table[(rows.arm == cell[0]) & (rows.stratum == cell[1])]
        if len(own):
            gap = own - own.mean(axis=0)
            joint.n[cell], joint.mean[cell], joint.cross[cell] = len(own), own.mean(axis=0), gap.T @ gap
    return joint


def _counts(rows: Rows, levels: FloatArray, shape: tuple[int, int]) -> IntArray:
    counts = np.zeros((*shape, len(levels)), dtype=np.int64)
    np.add.at(counts, (rows.arm, rows.stratum, np.searchsorted(levels, rows.value)), 1)
    return counts


def _clusters(rows: Rows, number: IntArray) -> Clusters:
    keys = np.column_stack([number, rows.arm, rows.stratum])
    entries, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    n = np.bincount(place, minlength=len(entries))
    mean = np.bincount(place, rows.value, minlength=len(entries)) / n
    m2 = np.bincount(place, np.square(rows.value - mean[place]), minlength=len(entries)).astype(np.float64)
    label, arm, stratum = entries.T
    return Clusters(label, arm, stratum, n, mean, m2)
