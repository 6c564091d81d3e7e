"""Two arms of the evidence, checked and laid side by side: what every built-in analysis works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilot.analysis.comparison import ArmSummary
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.moments import Clusters, FloatArray, IntArray, Joint, Rows, pooled
from pilot.errors import InputError


@dataclass(frozen=True, eq=False)
class Pair:
    """Control and one pilot arm. Every array has control in row 0 and the pilot arm in row 1.

    Attributes:
        evidence: Where the numbers come from.
        arm, control: Keys of the two arms.
        n, mean, m2: Moments by (arm, stratum); a mean of 0 where there is no value.
        assigned: Units by (arm, stratum), or None if unknown.
        everywhere: Values of all arms of the evidence by stratum.
    """

    evidence: Evidence
    arm: str
    control: str
    n: IntArray
    mean: FloatArray
    m2: FloatArray
    assigned: IntArray | None
    everywhere: IntArray

    @classmethod
    def of(cls, analysis: Analysis, evidence: Evidence, arm: str) -> Pair:
        """The pair an analysis is asked to compare.

        Raises:
            InputError: The scale does not fit the analysis, there are no moments, or `arm` is control or unknown.
        """
        _check_scale(analysis, evidence)
        rows = [0, evidence.index(arm)]
        if rows[1] == 0:
            others = ", ".join(evidence.arms[1:])
            raise InputError(f"{arm!r} is control", place=evidence.outcome, remedy=f"Compare one of: {others}")
        if evidence.moments is None:
            raise InputError(f"{analysis.key} needs moments, which this evidence lacks", place=evidence.outcome)
        n = evidence.moments.n[rows]
        return cls(
            evidence=evidence,
            arm=arm,
            control=evidence.arms[0],
            n=n,
            mean=np.where(n > 0, evidence.moments.mean[rows], 0.0),
            m2=np.where(n > 0, evidence.moments.m2[rows], 0.0),
            assigned=None if evidence.assigned is None else evidence.assigned[rows],
            everywhere=evidence.moments.n.sum(axis=0),
        )

    @property
    def counts(self) -> IntArray:
        """Counts by (arm, stratum, level).

        Raises:
            InputError: The evidence has none.
        """
        if self.evidence.counts is None:
            raise InputError("the analysis needs counts, which this evidence lacks", place=self.evidence.outcome)
        return self.evidence.counts[self._both]

    @property
    def joint(self) -> Joint:
        """Moments together with covariates.

        Raises:
            InputError: The evidence has none.
        """
        found = self.evidence.joint
        if found is None or len(found.columns) < 2:
            raise InputError(
                "the analysis needs a covariate", place=self.evidence.outcome, remedy="Name one with --covariate"
            )
        both = self._both
        return Joint(found.columns, found.n[both], found.mean[both], found.cross[both])

    @property
    def clusters(self) -> Clusters:
        """Moments by cluster; `arm` is 1 for the pilot arm.

        Raises:
            InputError: The evidence has none.
        """
        found = self.evidence.clusters
        if found is None:
            raise InputError(
                "the analysis needs clusters", place=self.evidence.outcome, remedy="Name their column with --cluster"
            )
        kept = np.isin(found.arm, self._both)
        pilot = (found.arm[kept] == self._both[1]).astype(np.int64)
        return Clusters(found.label[kept], pilot, found.stratum[kept], found.n[kept], found.mean[kept], found.m2[kept])

    @property
    def rows(self) -> Rows:
        """The units of both arms; `arm` is 1 for the pilot arm.

        Raises:
            InputError: The evidence has none.
        """
        found = self.evidence.rows
        if found is None:
            raise InputError("the analysis needs rows, which this evidence lacks", place=self.evidence.outcome)
        kept = np.isin(found.arm, self._both)
        return Rows(
            (found.arm[kept] == self._both[1]).astype(np.int64),
            found.stratum[kept],
            found.value[kept],
            {name: column[kept] for name, column in found.covariates.items()},
            None if found.cluster is None else found.cluster[kept],
            None if found.weight is None else found.weight[kept],
        )

    def named(self, covariate: str, names: Sequence[str], meaning: str) -> str:
        """The covariate a setting names, or the only one where it names none.

        Args:
            covariate: What the setting says; empty for the only one.
            names: The covariates there are.
            meaning: What it stands for, such as `whether the customer left`.

        Raises:
            InputError: There is no such covariate, or it is not clear which one is meant.
        """
        if covariate in names:
            return covariate
        if not covariate and len(names) == 1:
            return names[0]
        raise InputError(
            f"no covariate {covariate!r}" if covariate else f"it is not clear which covariate says {meaning}",
            place=self.evidence.outcome,
            remedy=f"Covariates: {', '.join(names) or 'none; name one with --covariate'}",
        )

    @property
    def _both(self) -> list[int]:
        return [0, self.evidence.index(self.arm)]

    @property
    def stratified(self) -> bool:
        """Whether there is more than one stratum."""
        return len(self.evidence.strata) > 1

    @property
    def sizes(self) -> tuple[int, int]:
        """Values in control and in the pilot arm."""
        control, pilot = self.n.sum(axis=1)
        return int(control), int(pilot)

    @property
    def units(self) -> str:
        """What is counted: answers of a survey, or customers."""
        return "answers" if self.evidence.scale is Scale.RATING else "customers"

    def summaries(self, means: FloatArray | None = None) -> tuple[ArmSummary, ArmSummary]:
        """The two arms' own numbers, control first.

        Args:
            means: The arms' means, where they are not the plain ones.
        """
        control, pilot = (self._summary(row, None if means is None else float(means[row])) for row in (0, 1))
        return control, pilot

    def _summary(self, row: int, mean: float | None) -> ArmSummary:
        n, plain, m2 = pooled(self.n[row], self.mean[row], self.m2[row])
        return ArmSummary(
            arm=(self.control, self.arm)[row],
            assigned=None if self.assigned is None else int(self.assigned[row].sum()),
            n=n,
            mean=(plain if mean is None else mean) if n else None,
            sd=float(np.sqrt(m2 / (n - 1))) if n > 1 else None,
        )


def _check_scale(analysis: Analysis, evidence: Evidence) -> None:
    if evidence.scale in analysis.scales:
        return
    fitting = ", ".join(sorted(scale.value for scale in analysis.scales))
    raise InputError(
        f"{analysis.key} does not fit an outcome on the scale {evidence.scale.value!r}",
        place=evidence.outcome,
        remedy=f"It is for: {fitting}",
    )
