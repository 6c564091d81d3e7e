"""Whether the arms have the sizes they should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import IntArray
from pilot.analysis.pairs import Pair
from pilot.analysis.permutation import exact_permutation
from pilot.analysis.sentences import p_text, percent, sentence
from pilot.analysis.tails import log_binomial_tails, p_value, two_sided
from pilot.errors import InputError

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two arm sizes held against what they should be.

    Attributes:
        chi_square: With one degree of freedom.
        log_p: Logarithm of the exact two-sided p value, twice the smaller tail.
    """

    chi_square: float
    log_p: float


def against_share(pilot: int, control: int, share: float) -> Ratio:
    """Arm sizes against the planned share of the pilot arm: Pearson's chi-square and the exact binomial p.

    Reference: Fabijan et al. 2019, KDD, "Diagnosing sample ratio mismatch".
    """
    total = pilot + control
    deviation = pilot - total * share
    chi_square = deviation**2 / (total * share * (1 - share)) if total else 0.0
    return Ratio(chi_square, two_sided(min(log_binomial_tails(pilot, total, share))) if total else 0.0)


def against_assigned(reached: IntArray, assigned: IntArray) -> Ratio:
    """Units reached against those assigned, by (arm, stratum), control first: did the arms lose units alike?

    Given how many were lost in each stratum, the exact p counts the ways in which they could be spread over the
    arms (hypergeometric); chi-square is the Mantel-Haenszel one without continuity correction. A binomial test
    would be far too lenient here: where 40 of 800 units of one arm and none of the other are lost, it sees nothing.

    Raises:
        InputError: More were reached than assigned.
    """
    if (reached > assigned).any():
        raise InputError("more units were reached than assigned", remedy="Count each assigned unit once")
    law = exact_permutation(np.stack([assigned - reached, reached], axis=2), (0, 1))
    return Ratio(law.z**2, law.log_p)


@dataclass(frozen=True)
class SampleRatio(Analysis):
    """Whether the arms have the sizes they should have, overall and in each stratum.

    Where the assigned numbers are known, those with a value are held against them: that tests whether the arms lost
    units alike, not whether as many were assigned as planned. A yes or no outcome known of every assigned unit is a step
    they pass: there, those with a yes are. Where assigned numbers are unknown, or `share` is given, the sizes are held
    against the planned share.

    Args:
        alarm: Alarm level of the exact p; strata share it (Bonferroni).
        share: Planned share of the pilot arm among the two arms; equal arms if nothing else is known.
    """

    key = "sample-ratio"
    label = "Sizes of the arms (sample ratio)"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset(Scale)
    reference = "Fabijan et al. 2019, KDD; Kohavi, Tang and Xu 2020, ch. 21"

    alarm: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    share: Annotated[float, Field(gt=0, lt=1)] | None = None

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. It has no estimate; `passed` says whether all is well."""
        pair = Pair.of(self, evidence, arm)
        reached = _reached(pair)
        measure = self._measure(pair)
        lack = measure.lacking(pair, reached)
        if lack:
            return NotEnoughData(self.key, evidence.outcome, arm, lack)
        whole = measure.ratio(reached, slice(None))
        checks = (_check("sample ratio", whole, self.alarm), *self._strata(pair, reached, measure))
        passed = all(check.status == "pass" for check in checks)
        reading = measure.calm(reached, whole) if passed else _alarm(measure.tested, whole, checks)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=checks,
            method=measure.method,
            measure="arm sizes",
            estimate=None,
            low=None,
            high=None,
            level=1 - self.alarm,
            statistic=whole.chi_square,
            df=1.0,
            p_value=p_value(whole.log_p),
            log_p=whole.log_p,
            alternative="two-sided (twice the smaller tail)",
            passed=passed,
            sentence=sentence(measure.sizes(pair, reached), reading),
        )

    def _measure(self, pair: Pair) -> _PlannedShare | _AssignedNumbers:
        if self.share is None and pair.assigned is not None:
            return _AssignedNumbers(pair.assigned)
        return _PlannedShare(0.5 if self.share is None else self.share)

    def _strata(self, pair: Pair, reached: IntArray, measure: _PlannedShare | _AssignedNumbers) -> list[Check]:
        if not pair.stratified:
            return []
        labels = pair.evidence.strata
        ratios = [measure.ratio(reached, slice(place, place + 1)) for place in range(len(labels))]
        return [
            _check(label or "(none)", ratio, self.alarm / len(labels))
            for label, ratio in zip(labels, ratios, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _PlannedShare:
    """Sizes are measured by the planned share of the pilot arm."""

    share: float
    tested: ClassVar[str] = "sizes"
    method: ClassVar[str] = "Arm sizes against the planned share: exact binomial p, chi-square"

    def lacking(self, pair: Pair, reached: IntArray) -> str:
        return "" if reached.any() else f"neither arm has any {pair.units}"

    def ratio(self, reached: IntArray, strata: slice) -> Ratio:
        control, pilot = reached[:, strata].sum(axis=1).tolist()
        return against_share(pilot, control, self.share)

    def sizes(self, pair: Pair, reached: IntArray) -> str:
        control, pilot = reached.sum(axis=1).tolist()
        found = percent(round(pilot / (pilot + control), 4))
        return (
            f"{pair.arm} has {pilot:,} and {pair.control} {control:,} {pair.units}, "
            f"{found} in {pair.arm} where {percent(round(self.share, 4))} were planned"
        )

    def calm(self, reached: IntArray, whole: Ratio) -> str:
        return f"chance alone can explain such sizes ({_exact(whole)})"


@dataclass(frozen=True, eq=False, slots=True)
class _AssignedNumbers:
    """Sizes are measured by the numbers assigned, by (arm, stratum)."""

    assigned: IntArray
    tested: ClassVar[str] = "losses"
    method: ClassVar[str] = "Reached against assigned: exact hypergeometric p by strata, Mantel-Haenszel chi-square"

    def lacking(self, pair: Pair, reached: IntArray) -> str:
        both = zip((pair.control, pair.arm), self.assigned.sum(axis=1), strict=True)
        empty = [name for name, n in both if n == 0]
        return f"nobody was assigned to {empty[0]}" if empty else ""

    def ratio(self, reached: IntArray, strata: slice) -> Ratio:
        return against_assigned(reached[:, strata], self.assigned[:, strata])

    def sizes(self, pair: Pair, reached: IntArray) -> str:
        (control, pilot), (given, given_pilot) = reached.sum(axis=1).tolist(), self.assigned.sum(axis=1).tolist()
        return (
            f"{pair.evidence.outcome}: {pilot:,} of {given_pilot:,} assigned customers of {pair.arm} "
            f"and {control:,} of {given:,} of {pair.control}"
        )

    def calm(self, reached: IntArray, whole: Ratio) -> str:
        if np.array_equal(reached, self.assigned):
            return "no customer was lost; the assigned sizes themselves were not tested, set share to test them"
        return f"as many were lost in both arms as chance explains ({_exact(whole)})"


def _check(name: str, ratio: Ratio, alarm: float) -> Check:
    p = p_value(ratio.log_p)
    status = "pass" if p >= alarm else "fail"
    bound = "at least" if status == "pass" else "below"
    return Check(name, p, status, f"{name}: exact p {p_text(ratio.log_p)}, {bound} the alarm level {alarm:.2g}.")


def _alarm(tested: str, whole: Ratio, checks: Sequence[Check]) -> str:
    """What an alarm says; where it comes from strata alone, it names them."""
    failed = [check.name for check in checks if check.status == "fail"]
    found = f"({_exact(whole)})" if checks[0].status == "fail" else f"inside {_listed(failed)}"
    return f"chance alone can hardly explain such {tested} {found}: find the cause before believing any comparison"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED:,} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _exact(ratio: Ratio) -> str:
    return f"exact p {p_text(ratio.log_p)}"


def _reached(pair: Pair) -> IntArray:
    """Units that came as far as this outcome, by (arm, stratum)."""
    if pair.evidence.scale is Scale.BINARY and pair.assigned is not None and np.array_equal(pair.n, pair.assigned):
        return np.rint(pair.n * pair.mean).astype(np.int64)
    return pair.n
