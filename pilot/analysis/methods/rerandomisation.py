"""The difference of means after a rerandomised assignment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import gammainccinv

from pilot.analysis import review
from pilot.analysis.balance import mahalanobis
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import common_checks, joined_strata, left_aside, with_covariates
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import Layers, MeanDifference, mean_difference
from pilot.analysis.methods.regression import MISSING, chosen
from pilot.analysis.moments import Joint
from pilot.analysis.pairs import Pair
from pilot.analysis.rerandomisation import (
    RerandomisedLaw,
    acceptance_threshold,
    explained_difference,
    kept_variance,
)
from pilot.analysis.sentences import effect as in_words
from pilot.analysis.sentences import percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import as_joined, inside_strata, strata_weights
from pilot.analysis.tails import p_value, two_sided


@dataclass(frozen=True)
class RerandomisedDifference(Analysis):
    """Difference of means after assignments were drawn until the arms were alike in covariates, by the law of that draw.

    The estimate is that of `welch` or `stratified-difference`. The interval is narrower by what the draw took away from the
    covariates' part of the variance; only for an assignment that was accepted by the Mahalanobis distance of these covariates.

    Args:
        acceptance: Share of all assignments that the draw accepts, such as 0.01. It is that of the draw, never chosen later.
        covariates: Names of the covariates that were balanced; all there are where none is named.
        level: Two-sided confidence level.
    """

    key = "rerandomised-difference"
    label = "Difference of means after rerandomisation"
    needs = frozenset({Need.MOMENTS, Need.JOINT, Need.ASSIGNED})
    on_scale = True
    scales = frozenset(Scale) - {Scale.TIME}
    reference = "Morgan and Rubin 2012, Annals of Statistics 40:1263; Li, Ding and Rubin 2018, PNAS 115:9157"
    sizes = "difference of means"

    acceptance: Annotated[float, Field(ge=1e-6, le=0.999)]
    covariates: tuple[str, ...] = ()
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_covariates(every, chosen(every, self.covariates)))
        joint = chosen(pair, self.covariates)
        found = lacking(pair) or self._found(pair, joint)
        if isinstance(found, str):
            return NotEnoughData(self.key, evidence.outcome, arm, found)
        checks = [*left_aside(every, pair, MISSING), *common_checks(pair), *self._accepted(pair, joint)]
        checks += review.cells(pair, found.layers) if pair.stratified else []
        return self._record(pair, found, checks)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`. `expected.explained` is what the covariates explain of the variance; one where none is named."""
        count = len(self.covariates) or 1
        spreads = replace(expected, explained=0.0).spreads
        error = float(np.sqrt(sum(spread**2 / units for spread, units in zip(spreads, n, strict=True))))
        df = max(sum(n) - 2 - count, 1.0)
        law = RerandomisedLaw(self.acceptance, count, expected.explained, df)
        return law.upper(law.quantile((1 + self.level) / 2) - abs(effect) / error)

    def _found(self, pair: Pair, joint: Joint) -> _Found | str:
        weights, source = strata_weights(pair)
        joint, found = joined_strata(pair, joint, weights)
        difference = mean_difference(found.n, found.mean, found.m2, found.weights)
        assigned = None if pair.assigned is None else as_joined(pair.assigned, pair.evidence.strata, found.joined)
        explained = None if difference is None else explained_difference(joint, found.weights, assigned)
        if difference is None or explained is None:
            return f"too few {pair.units}, or no spread, are there to measure uncertainty by"
        if explained.covariates == 0:
            return "no covariate differs between customers, so the draw could balance nothing"
        law = RerandomisedLaw(self.acceptance, explained.covariates, explained.r_squared, difference.df)
        return _Found(difference, law, found, source)

    def _accepted(self, pair: Pair, joint: Joint) -> list[Check]:
        """Whether this assignment can have been accepted: certain where all assigned customers are analysed.

        Where answers are missing, the distance is that of the criterion plus what their absence did, which by chance is
        a chi-square times the missing share; beyond its 99.9 % point the draw cannot have accepted these arms.
        """
        found = mahalanobis(joint.n, joint.mean[..., 1:], joint.cross[..., 1:, 1:])
        if found is None or found.df == 0:
            return []
        threshold = acceptance_threshold(self.acceptance, found.df)
        missing = 0.0 if pair.assigned is None else 1 - float(pair.n.sum() / pair.assigned.sum())
        lost = math.sqrt(missing * 2 * gammainccinv(found.df / 2, 0.001))
        most = (math.sqrt(threshold * (1 - missing)) + lost) ** 2
        text = f"The arms' Mahalanobis distance is {found.distance:.3g} among those analysed, the threshold {threshold:.3g}"
        if found.distance <= most:
            return [Check("accepted assignment", found.distance, "pass", f"{text}.")]
        text += ": the draw would not have accepted these arms, so the interval is too narrow; use lin"
        known = pair.assigned is not None and not missing
        return [Check("accepted assignment", found.distance, "fail" if known else "warn", f"{text}.")]

    def _record(self, pair: Pair, found: _Found, checks: list[Check]) -> Comparison:
        difference, law = found.difference, found.law
        half = law.quantile((1 + self.level) / 2) * difference.standard_error
        low, high = difference.estimate - half, difference.estimate + half
        log_p = two_sided(law.log_upper(abs(difference.t)))
        plain = difference.interval(self.level)
        saved = percent(round(1 - 2 * half / (plain[1] - plain[0]), 3))
        strata = f", {found.layers.n.shape[1]} strata weighted by {found.source}" if pair.stratified else ""
        return record(
            self,
            pair,
            arms=pair.summaries(np.asarray(difference.means)),
            checks=checks,
            method=f"Difference of means{strata}, law of assignments of which {percent(self.acceptance)} are accepted "
            f"by {law.covariates} covariate{'' if law.covariates == 1 else 's'} (Li, Ding and Rubin)",
            measure="difference of means",
            estimate=difference.estimate,
            low=low,
            high=high,
            level=self.level,
            standard_error=difference.standard_error * law.variance**0.5,
            statistic=difference.t,
            df=difference.df,
            p_value=p_value(log_p),
            log_p=log_p,
            details={
                "explained variance": law.r_squared,
                "kept variance of the covariates": kept_variance(self.acceptance, law.covariates),
                "standard error without rerandomisation": difference.standard_error,
                "low without rerandomisation": plain[0],
                "high without rerandomisation": plain[1],
            },
            sentence=sentence(
                in_words(pair, difference.estimate, low, high, self.level),
                reading(pair, low, high),
                f"balancing the arms made the interval {saved} narrower",
            ),
        )


@dataclass(frozen=True, slots=True)
class _Found:
    difference: MeanDifference
    law: RerandomisedLaw
    layers: Layers
    source: str
