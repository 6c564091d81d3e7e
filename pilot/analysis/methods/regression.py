"""Differences of means adjusted for what was known of the customers before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import (
    common_checks,
    left_aside,
    passed_over,
    t_record,
    with_covariates,
    with_rows,
)
from pilot.analysis.effects import Level, lacking
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import layers
from pilot.analysis.moments import FloatArray, Joint, Rows
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.regression import Adjusted, ancova, cuped, lin
from pilot.analysis.sentences import percent
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, left_out, strata_weights
from pilot.errors import InputError

SMALL_FOR_HC2 = 50
"""Below this number of units per arm residuals are scaled by HC3 instead of HC2."""

MISSING = "a value of a covariate"


class _AdjustedDifference(Analysis):
    """What `cuped`, `ancova` and `lin` share."""

    on_scale = True

    scales = frozenset(Scale) - {Scale.TIME}
    sizes = "difference of means"

    level: float

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `expected.explained` is the share of the variance that the covariates explain.

        Reference: Borm, Fransen and Lemmens 2007, Journal of Clinical Epidemiology 60:1234.
        """
        return mean_power(effect, expected.spreads, n, self.level)

    def _record(
        self, pair: Pair, found: Adjusted | None, columns: Sequence[str], checks: Sequence[Check], method: str
    ) -> Comparison | NotEnoughData:
        outcome = pair.evidence.outcome
        if found is None:
            reason = f"after adjustment too few {pair.units}, or no spread, are left to measure uncertainty by"
            return NotEnoughData(self.key, outcome, pair.arm, reason)
        slopes = np.atleast_2d(found.slopes)
        names = ("",) if len(slopes) == 1 else (f" in {pair.control}", f" in {pair.arm}")
        details: dict[str, float | None] = {"explained variance": found.explained}
        for row, name in zip(slopes, names, strict=True):
            details |= {f"slope of {column}{name}": float(slope) for column, slope in zip(columns, row, strict=True)}
        listed = ", ".join(columns)
        return t_record(
            self,
            pair,
            found.difference,
            level=self.level,
            method=method,
            measure="adjusted difference of means",
            checks=(*common_checks(pair), *checks, *_fit_checks(found, columns)),
            details=details,
            after=f"adjusted for {listed}, which explain{'s' if len(columns) == 1 else ''} "
            f"{percent(round(found.explained, 2))} of the variance",
        )


@dataclass(frozen=True)
class Cuped(_AdjustedDifference):
    """Difference of means less what covariates known before explain of it (CUPED), from moments alone.

    One slope per covariate, estimated inside arms and strata of the analysed units; strata weighted as in
    `stratified-difference`.

    Args:
        covariates: Names of the covariates; all there are where none is named.
        classic: Slopes over all units of both arms taken as one group, and Welch's test as if they were known: the
            method as first published. It gives slightly too narrow intervals below 100 customers per arm.
        level: Two-sided confidence level.
    """

    key = "cuped"
    label = "Difference adjusted for earlier values (CUPED)"
    needs = frozenset({Need.MOMENTS, Need.JOINT, Need.ASSIGNED})
    reference = "Deng, Xu, Kohavi and Walker 2013, WSDM; Miratrix, Sekhon and Yu 2013, JRSS B 75:369"

    covariates: tuple[str, ...] = ()
    classic: bool = False
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_covariates(every, chosen(every, self.covariates)))
        joint = chosen(pair, self.covariates)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        weights, source = strata_weights(pair)
        found = cuped(joint, weights, pair.evidence.strata, classic=self.classic)
        checks = list(left_aside(every, pair, MISSING))
        method = "CUPED, slopes inside arms"
        if pair.stratified:
            joined = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
            checks += review.cells(pair, joined)
            method = f"CUPED, slopes inside arms and {joined.n.shape[1]} strata weighted by {source}"
        if self.classic:
            method = method.replace("slopes inside arms", "slopes over both arms")
        return self._record(pair, found, joint.columns[1:], checks, f"{method}, Satterthwaite's t")


class _Regression(_AdjustedDifference):
    """What `ancova` and `lin` share."""

    needs = frozenset({Need.MOMENTS, Need.ROWS, Need.ASSIGNED})
    columns = frozenset({"covariates"})

    covariates: tuple[str, ...]
    errors: str

    def _rows(self, every: Pair) -> Rows:
        rows = every.rows
        names = _names(every, self.covariates, tuple(rows.covariates))
        return replace(rows, covariates={name: rows.covariates[name] for name in names})

    def _cubed(self, pair: Pair) -> bool:
        return self.errors == "HC3" or (self.errors == "auto" and min(pair.sizes) < SMALL_FOR_HC2)


@dataclass(frozen=True)
class Ancova(_Regression):
    """Difference of means adjusted by a regression on arm, covariates and strata, with robust standard error.

    Both arms share the slopes. Strata are fixed effects, so they count by what they tell of the difference, not by their
    size in the population.

    Args:
        covariates: Names of the covariates; all there are where none is named.
        errors: HC2 or HC3 standard errors; `auto` takes HC3 below 50 units per arm.
        level: Two-sided confidence level.
    """

    key = "ancova"
    label = "Difference adjusted by regression (ANCOVA)"
    reference = "Freedman 2008, Adv. Appl. Math. 40:180; MacKinnon and White 1985, Journal of Econometrics 29:305"

    covariates: tuple[str, ...] = ()
    errors: Literal["auto", "HC2", "HC3"] = "auto"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_rows(every, self._rows(every)))
        rows = self._rows(pair)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        cubed = self._cubed(pair)
        checks = [*left_aside(every, pair, MISSING), *passed_over(pair), *left_out(pair)]
        fixed = f" and {int(pair.n.any(axis=0).sum())} strata as fixed effects" if pair.stratified else ""
        method = f"Regression on arm and covariates{fixed}, {'HC3' if cubed else 'HC2'} standard error, t"
        return self._record(pair, ancova(rows, cubed=cubed), tuple(rows.covariates), checks, method)


@dataclass(frozen=True)
class Lin(_Regression):
    """Difference of means adjusted by Lin's regression: slopes and stratum means of their own in each arm.

    Strata are weighted as in `stratified-difference`. It never makes the estimate worse than no adjustment, in large
    samples, whatever the true relation.

    Args:
        covariates: Names of the covariates; all there are where none is named.
        errors: HC2 or HC3 standard errors; `auto` takes HC3 below 50 units per arm.
        level: Two-sided confidence level.
    """

    key = "lin"
    label = "Difference adjusted by interacted regression (Lin)"
    reference = "Lin 2013, Annals of Applied Statistics 7:295"

    covariates: tuple[str, ...] = ()
    errors: Literal["auto", "HC2", "HC3"] = "auto"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_rows(every, self._rows(every)))
        rows = self._rows(pair)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        cubed = self._cubed(pair)
        checks = [*left_aside(every, pair, MISSING), *passed_over(pair)]
        weights, source = strata_weights(pair)
        interacted = ""
        if pair.stratified:
            joined = layers(pair.n, pair.mean, pair.m2, weights, pair.evidence.strata)
            rows, weights = _joined(rows, weights, [pair.evidence.strata.index(label) for label in joined.joined])
            checks += review.cells(pair, joined)
            interacted = f" and {joined.n.shape[1]} strata weighted by {source}"
        method = f"Lin's regression on covariates{interacted}, {'HC3' if cubed else 'HC2'} standard error, t"
        return self._record(pair, lin(rows, weights, cubed=cubed), tuple(rows.covariates), checks, method)


def _names(pair: Pair, wanted: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The covariates a setting names, or all of them.

    Raises:
        InputError: There is none, or not all that are named.
    """
    if not there:
        raise InputError(
            "the analysis needs a covariate", place=pair.evidence.outcome, remedy="Name one with --covariate"
        )
    for name in wanted:
        if name not in there:
            raise InputError(
                f"no covariate {name!r}", place=pair.evidence.outcome, remedy=f"Covariates: {', '.join(there)}"
            )
    return tuple(dict.fromkeys(wanted)) or tuple(there)


def chosen(pair: Pair, wanted: Sequence[str]) -> Joint:
    """Moments of the outcome with the covariates a setting names, or with all of them.

    Raises:
        InputError: There is none, or not all that are named.
    """
    joint = pair.joint
    names = (joint.columns[0], *_names(pair, wanted, joint.columns[1:]))
    kept = [0, *(joint.columns.index(name, 1) for name in names[1:])]
    return Joint(names, joint.n, joint.mean[..., kept], joint.cross[..., kept, :][..., kept])


def _joined(rows: Rows, weights: FloatArray, joined: Sequence[int]) -> tuple[Rows, FloatArray]:
    """Rows and weights with these strata made one."""
    if not joined:
        return rows, weights
    found = weights.copy()
    found[joined[0]] = weights[list(joined)].sum()
    return replace(rows, stratum=np.where(np.isin(rows.stratum, joined), joined[0], rows.stratum)), found


def _fit_checks(found: Adjusted, columns: Sequence[str]) -> list[Check]:
    checks = []
    if found.used < len(columns):
        text = f"Of {len(columns)} covariates {found.used} say something of their own; the others are constant or repeat them."
        checks.append(Check("covariates", float(found.used), "warn", text))
    if found.alone:
        text = f"{found.alone:,} units are alone in their stratum or with their covariates, so that their error cannot be seen."
        checks.append(Check("alone", float(found.alone), "warn", text))
    return checks
