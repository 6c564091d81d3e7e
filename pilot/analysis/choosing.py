"""Which analysis to take, where nobody said, and why."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.analysis.evidence import Scale


@dataclass(frozen=True, slots=True)
class Choice:
    """The key of an analysis, and the reason for it in a sentence."""

    key: str
    reason: str


def choose(
    scale: Scale,
    *,
    strata: bool = False,
    clusters: bool = False,
    weights: bool = False,
    covariates: bool = False,
    arms: int = 2,
) -> Choice:
    """The default analysis of an outcome: what respects how the arms were drawn comes before what is sharper.

    Args:
        scale: Of the outcome.
        strata: Whether the arms were assigned within strata.
        clusters: Whether units belong together, and so may be alike.
        weights: Whether rows have weights.
        covariates: Whether there are numbers from before the assignment.
        arms: How many arms there are, control included.

    Reference: ICH E9(R1) 2019 on the estimand; the choices are those of the page docs/analyses.md.
    """
    if scale is Scale.TIME:
        return Choice("log-rank", "A time to an event is seen only in part where nobody looked long enough.")
    if clusters:
        return Choice("cluster-robust", "Units of a cluster are alike, so clusters are what can be counted.")
    if weights:
        return Choice("survey-weighted", "Rows that stand for different numbers of customers are weighted.")
    if covariates:
        return Choice(
            "lin", "A number from before the assignment explains part of the spread, whatever the arms' sizes."
        )
    if scale is Scale.BINARY:
        return _of_shares(strata)
    if strata:
        return Choice(
            "stratified-difference",
            "The arms were assigned within strata, so they are compared inside them and weighted.",
        )
    if arms > 2:
        return Choice("dunnett", "Several arms are held against one control, so their intervals hold together.")
    return Choice("welch", "A difference of means is what the business counts, and the arms may differ in spread.")


def _of_shares(strata: bool) -> Choice:
    if strata:
        return Choice(
            "mantel-haenszel", "Shares are compared inside the strata, which also holds where a stratum is sparse."
        )
    return Choice("miettinen-nurminen", "A score interval of a difference of shares stays right near 0 and 100 %.")
