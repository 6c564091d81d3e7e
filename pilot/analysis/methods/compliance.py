"""The effect on customers who were handled as assigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.compliance import ComplierEffect, complier_effect
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import common_checks, joined_strata, left_aside, with_covariates
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import FloatArray, Joint
from pilot.analysis.noncentral import mean_power
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import effect, percent, reading, sentence
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, strata_weights
from pilot.analysis.tails import p_value
from pilot.errors import InputError

WEAK = 10.0
"""Below this F value of the first stage the effect on compliers is hardly known (Staiger and Stock 1997)."""


@dataclass(frozen=True)
class ComplierAverage(Analysis):
    """Effect on the customers whose handling the assignment changed: the difference by assignment over that in handling.

    Strata are weighted as in `stratified-difference`. The difference by assignment stays the main result.

    Args:
        received: The covariate that is 1 where the customer was really handled by the pilot channel, else 0; may stay
            empty where there is one only.
        interval: `fieller`, right however little the assignment moved; or `delta`, that of two-stage least squares.
        level: Two-sided confidence level.
    """

    key = "complier-effect"
    label = "Effect on those handled as assigned"
    needs = frozenset({Need.MOMENTS, Need.JOINT, Need.ASSIGNED})
    scales = frozenset(Scale) - {Scale.TIME}
    reference = "Angrist, Imbens and Rubin 1996, JASA 91:444; Fieller 1954, JRSS B 16:175"
    sizes = "difference of means among compliers"

    received: str = ""
    interval: Literal["fieller", "delta"] = "fieller"
    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`."""
        every = Pair.of(self, evidence, arm)
        pair = inside_strata(with_covariates(every, _with_received(every, self.received)))
        joint = _with_received(pair, self.received)
        reason = lacking(pair)
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        weights, source = strata_weights(pair)
        joint, joined = joined_strata(pair, joint, weights)
        shares = np.einsum("s,as->a", joined.weights, joint.mean[..., 1])
        if shares[1] <= shares[0]:
            reason = f"{percent(round(float(shares[1]), 3))} of {arm} and {percent(round(float(shares[0]), 3))} of "
            reason += f"{pair.control} were handled by the pilot channel, so the assignment moved nobody towards it"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        found = complier_effect(joint, joined.weights, self.level, delta=self.interval == "delta")
        if found is None:
            reason = "the assignment moved so few customers, or so few are in a stratum, that the effect has no bounds"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        strata = f" over {joint.n.shape[1]} strata weighted by {source}" if pair.stratified else ""
        checks = [*left_aside(every, pair, f"a value of {joint.columns[1]}"), *common_checks(pair), _first_stage(found)]
        checks += review.cells(pair, joined) if pair.stratified else review.balance(pair)
        return self._record(pair, found, shares, checks, strata)

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that the difference by assignment is shown, which `compliers` makes smaller; see `Analysis.power`.

        Fieller's interval excludes 0 exactly where that test shows a difference; the delta method's does so nearly as
        often. Spreads are those of all customers of an arm.

        Raises:
            InputError: The expected share of compliers, or the spread, is not given.
        """
        if expected.compliers is None:
            raise InputError(
                "the expected share of compliers is needed",
                place="compliers",
                remedy="It is the share of customers who would come along, less those who come without being assigned",
            )
        return mean_power(effect * expected.compliers, expected.spreads, n, self.level)

    def _record(
        self, pair: Pair, found: ComplierEffect, shares: FloatArray, checks: list[Check], strata: str
    ) -> Comparison:
        ratio, assigned = found.ratio, found.assigned
        low, high = assigned.interval(self.level)
        how = "Fieller's interval" if self.interval == "fieller" else "delta method"
        return record(
            self,
            pair,
            arms=pair.summaries(np.asarray(assigned.means)),
            checks=checks,
            method=f"Wald's instrumental-variable estimator{strata}, {how}, Satterthwaite's t",
            measure="difference of means among compliers",
            estimate=ratio.estimate,
            low=ratio.low,
            high=ratio.high,
            level=self.level,
            standard_error=ratio.standard_error,
            statistic=ratio.statistic,
            df=ratio.df,
            p_value=p_value(ratio.log_p),
            log_p=ratio.log_p,
            details={
                "difference by assignment": assigned.estimate,
                "low by assignment": low,
                "high by assignment": high,
                f"share handled by the pilot channel in {pair.arm}": float(shares[1]),
                f"share handled by the pilot channel in {pair.control}": float(shares[0]),
                "share of compliers": found.moved,
                "F of the first stage": None if found.received is None else found.received.t**2,
            },
            sentence=sentence(
                "among customers whose handling the assignment changed, "
                + effect(pair, ratio.estimate, ratio.low, ratio.high, self.level),
                reading(pair, ratio.low, ratio.high),
                f"they are {percent(round(found.moved, 3))} of all; over all assigned customers "
                + effect(pair, assigned.estimate, low, high, self.level),
            ),
        )


def _with_received(pair: Pair, wanted: str) -> Joint:
    """Moments of the outcome and of what was received.

    Raises:
        InputError: It has other values than 0 and 1.
    """
    joint = pair.joint
    name = pair.named(wanted, joint.columns[1:], "who was handled by the pilot channel")
    kept = [0, joint.columns.index(name, 1)]
    found = Joint((joint.columns[0], name), joint.n, joint.mean[..., kept], joint.cross[..., kept, :][..., kept])
    filled = found.n > 0
    n, share, m2 = found.n[filled], found.mean[..., 1][filled], found.cross[..., 1, 1][filled]
    # Values of 0 and 1, and only those, have a sum of squares of n p (1 - p) and a whole number of ones.
    yes = n * share
    if not (
        np.allclose(m2, yes * (1 - share), rtol=1e-6, atol=1e-6)
        and np.allclose(yes, np.round(yes), atol=1e-6 * n.max(initial=1))
    ):
        raise InputError(
            f"{name} has other values than 0 and 1",
            place=pair.evidence.outcome,
            remedy="It says of each customer whether the pilot channel really handled it: 1 for yes, 0 for no",
        )
    return found


def _first_stage(found: ComplierEffect) -> Check:
    if found.received is None:
        return Check("first stage", None, "pass", "All customers were handled as assigned.")
    value = found.received.t**2
    text = f"The assignment moved {percent(round(found.moved, 3))} of the customers (F = {value:,.1f})"
    if value >= WEAK:
        return Check("first stage", value, "pass", f"{text}.")
    return Check("first stage", value, "warn", f"{text}; below {WEAK:g} the effect on them is hardly known.")
