"""What becomes of strata that cannot be compared: one rule for every stratified analysis, in the same words.

A stratum without a value in one of the arms is left out: to compare it, another stratum's customers would have to stand
for the missing ones. The result then speaks of the other strata, and says so. A stratum that has both arms, but too few
values for a variance, is joined. See `docs/analyses.md`, Strata.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pilot.analysis.comparison import ArmSummary, Check
from pilot.analysis.evidence import Evidence, Scale
from pilot.analysis.moments import Clusters, FloatArray, IntArray, Joint, Moments, Rows
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import percent

NOT_ALIKE = 0.05
"""Above this share of customers that are not compared like with like, no rule passes."""

_NAMED = 5
"""Strata named before the rest is only counted."""

_LIKENESS, _SHIFT = "like with like", "worst shift"

NO_COMMON_STRATUM = "no stratum has both arms, so nothing can be compared inside strata"


@dataclass(frozen=True, eq=False)
class Inside(Pair):
    """A pair seen through the strata that have both arms; through all of them where none has.

    Attributes:
        whole: The pair with all strata.
        kept: Which of its strata are seen.
    """

    whole: Pair
    kept: npt.NDArray[np.bool_]

    @property
    def stratified(self) -> bool:
        """There were strata, though one may be left."""
        return True

    def summaries(self, means: FloatArray | None = None) -> tuple[ArmSummary, ArmSummary]:
        """The two arms' own numbers in these strata, beside all that were assigned."""
        (control, pilot), every = super().summaries(means), self.whole.summaries()
        return replace(control, assigned=every[0].assigned), replace(pilot, assigned=every[1].assigned)


def inside_strata(pair: Pair, units: IntArray | None = None) -> Pair:
    """The pair without strata that lack an arm, in all its numbers; the pair itself where there are none.

    Args:
        pair: The arms.
        units: By (arm, stratum), what an arm must have in a stratum; by default its values.
    """
    kept = np.asarray(((pair.n if units is None else units) > 0).all(axis=0))
    if kept.all() or not pair.stratified:
        return pair
    if not kept.any():
        return _seen(pair, pair.evidence, np.ones_like(kept), kept)
    return _seen(pair, _cut(pair.evidence, kept), kept, kept)


def whole(pair: Pair) -> Pair:
    """The pair with all its strata."""
    return pair.whole if isinstance(pair, Inside) else pair


def strata_weights(pair: Pair) -> tuple[FloatArray, str]:
    """The strata's weights, the best that is known, and what they are."""
    evidence = pair.evidence
    if evidence.population is not None and evidence.population.any():
        return evidence.population.astype(np.float64), "population"
    if evidence.assigned is not None and evidence.assigned.any():
        return evidence.assigned.sum(axis=0).astype(np.float64), "assigned customers"
    return pair.everywhere.astype(np.float64), f"{pair.units} of all arms"


def left_out(pair: Pair) -> list[Check]:
    """The strata that were left out because an arm has no value in them, with how many values and customers they hold."""
    if not isinstance(pair, Inside) or not pair.kept.any():
        return []
    share, units = lost_share(pair), int(pair.whole.n[:, ~pair.kept].sum())
    if not share and not units:
        return []
    names = [label for label, kept in zip(pair.whole.evidence.strata, pair.kept, strict=True) if not kept]
    text = f"Strata without {pair.units} in one of the arms were left out: {_listed(pair, names, units, share)}"
    return [Check("strata left out", share, "warn", f"{text}; the result does not speak of them.")]


def joined(pair: Pair, labels: Sequence[str], *, gap: float = 0.0, why: str = "", what: str = "joined") -> list[Check]:
    """The strata that were joined, with how many values and customers they hold.

    The check's value is the share of customers that joining leaves not compared like with like: as many of the joined
    ones as the arms differ in their make-up of them.

    Args:
        pair: The arms.
        labels: Of the strata.
        gap: Share by which the arms differ in their make-up of them.
        why: What was too few for them to stand alone; by default that of a variance.
        what: What was done.
    """
    if not labels:
        return []
    own = np.isin(pair.evidence.strata, labels)
    share = float(strata_weights(pair)[0][own].sum() / strata_weights(whole(pair))[0].sum())
    listed = _listed(pair, labels, int(pair.n[:, own].sum()), share)
    few = why or f"fewer than 2 {pair.units} in an arm"
    text = f"Strata with {few} were {what}, with the next smallest where needed: {listed}"
    if gap > NOT_ALIKE:
        text += f"; the arms differ by {percent(round(gap, 3))} in their make-up of them, which is not undone"
    return [Check("joined strata", share * gap, "warn", f"{text}.")]


def as_joined(units: IntArray, labels: Sequence[str], thin: Sequence[str]) -> IntArray:
    """Units by (arm, stratum) with the strata of these labels made one, which comes last, as in `Layers`."""
    own = np.isin(labels, thin)
    return np.column_stack([units[:, ~own], units[:, own].sum(axis=1)]) if own.any() else units


def lost_share(pair: Pair) -> float:
    """Share of the customers, by the strata's weights, in strata that were left out."""
    if not isinstance(pair, Inside) or not pair.kept.any():
        return 0.0
    weights = strata_weights(pair.whole)[0]
    return float(weights[~pair.kept].sum() / weights.sum())


def likeness(pair: Pair, checks: Sequence[Check], span: float | None = None) -> list[Check]:
    """For rules: whether enough customers are compared like with like for a verdict about all of them.

    Args:
        pair: The arms.
        checks: What `left_out` and `joined` found.
        span: How far two customers can differ at most; by default that of the outcome's levels, where it is bounded.

    Returns:
        Nothing where all are so compared. Else a check whose value is the share of those who are not, and, on a bounded
        scale, one whose value is how far they could shift the difference: Manski's bound.
    """
    share = min(1.0, sum(check.value or 0.0 for check in checks if check.name in ("strata left out", "joined strata")))
    if not share:
        return []
    text = f"{percent(round(share, 3))} of the customers are in strata that cannot be compared like with like"
    if share > NOT_ALIKE:
        text += f", above {percent(NOT_ALIKE)}: whatever the interval, a rule that rests on it does not pass"
        text += ". Compare with fewer, larger strata, fixed in the plan"
    found = [Check(_LIKENESS, share, "pass" if share <= NOT_ALIKE else "fail", f"{text}.")]
    span = _span(pair.evidence) if span is None else span
    if span is not None:
        text = f"Customers who are not compared like with like could shift the difference by {share * span:.2g} at most"
        found.append(Check(_SHIFT, share * span, "warn", f"{text}; a rule must hold beyond that."))
    return found


def _span(evidence: Evidence) -> float | None:
    bounded = evidence.scale in (Scale.RATING, Scale.BINARY) and evidence.levels
    return evidence.levels[-1] - evidence.levels[0] if bounded else None


def holds(checks: Sequence[Check], low: float, high: float, passes: Callable[[float, float], bool]) -> bool:
    """Whether a rule passes, even if the customers who are not compared like with like differ as much as they can.

    Args:
        checks: Those of the comparison, `likeness` among them.
        low: Lower limit of its interval.
        high: Upper limit of its interval.
        passes: Whether the rule passes with such limits.
    """
    shift = sum(check.value or 0.0 for check in checks if check.name == _SHIFT)
    return alike(checks) and passes(low - shift, high + shift)


def alike(checks: Sequence[Check]) -> bool:
    """Whether few enough customers are not compared like with like for any verdict about all."""
    return not any(check.name == _LIKENESS and check.status == "fail" for check in checks)


def unlike(checks: Sequence[Check]) -> str:
    """What `likeness` found, in its sentences; empty where it found nothing."""
    return " ".join(check.text for check in checks if check.name in (_LIKENESS, _SHIFT))


def blocked(checks: Sequence[Check], low: float, high: float, passes: Callable[[float, float], bool]) -> str:
    """A clause for the sentence where a rule would pass but for `likeness`; else empty. Arguments as in `holds`."""
    if not passes(low, high) or holds(checks, low, high, passes):
        return ""
    return "the rule does not pass, because too many customers are in strata that cannot be compared like with like"


def _listed(pair: Pair, labels: Sequence[str], units: int, share: float) -> str:
    names = ", ".join(label or "(none)" for label in labels[:_NAMED])
    more = f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    source = strata_weights(whole(pair))[1]
    of = source if source == "population" else f"the {source}"
    return f"{names}{more} ({units:,} {pair.units}, {percent(round(share, 3))} of {'the ' if of == source else ''}{of})"


def _seen(pair: Pair, evidence: Evidence, columns: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> Inside:
    return Inside(
        evidence=evidence,
        arm=pair.arm,
        control=pair.control,
        n=pair.n[:, columns],
        mean=pair.mean[:, columns],
        m2=pair.m2[:, columns],
        assigned=None if pair.assigned is None else pair.assigned[:, columns],
        everywhere=pair.everywhere[columns],
        whole=pair,
        kept=kept,
    )


def _cut(evidence: Evidence, kept: npt.NDArray[np.bool_]) -> Evidence:
    """The evidence of some strata only."""
    return replace(
        evidence,
        strata=tuple(label for label, stays in zip(evidence.strata, kept, strict=True) if stays),
        assigned=None if evidence.assigned is None else evidence.assigned[:, kept],
        population=None if evidence.population is None else evidence.population[kept],
        counts=None if evidence.counts is None else evidence.counts[:, kept],
        moments=None if evidence.moments is None else _moments(evidence.moments, kept),
        joint=None if evidence.joint is None else _joint(evidence.joint, kept),
        clusters=None if evidence.clusters is None else _clusters(evidence.clusters, kept),
        rows=None if evidence.rows is None else _rows(evidence.rows, kept),
    )


def _moments(found: Moments, kept: npt.NDArray[np.bool_]) -> Moments:
    return Moments(found.n[:, kept], found.mean[:, kept], found.m2[:, kept])


def _joint(found: Joint, kept: npt.NDArray[np.bool_]) -> Joint:
    return Joint(found.columns, found.n[:, kept], found.mean[:, kept], found.cross[:, kept])


def _clusters(found: Clusters, kept: npt.NDArray[np.bool_]) -> Clusters:
    own = kept[found.stratum]
    place = _renumbered(found.stratum[own], kept)
    return Clusters(found.label[own], found.arm[own], place, found.n[own], found.mean[own], found.m2[own])


def _rows(found: Rows, kept: npt.NDArray[np.bool_]) -> Rows:
    own = kept[found.stratum]
    return Rows(
        found.arm[own],
        _renumbered(found.stratum[own], kept),
        found.value[own],
        {name: column[own] for name, column in found.covariates.items()},
        None if found.cluster is None else found.cluster[own],
        None if found.weight is None else found.weight[own],
    )


def _renumbered(stratum: IntArray, kept: npt.NDArray[np.bool_]) -> IntArray:
    return np.asarray((np.cumsum(kept) - 1)[stratum], dtype=np.int64)
