"""Whether the effect differs between strata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilot.analysis import review
from pilot.analysis.comparison import Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.effects import Level, lacking, record
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.heterogeneity import Variation, gail_simon, interaction_power
from pilot.analysis.means import Layers, MeanDifference, layers, mean_difference
from pilot.analysis.pairs import Pair
from pilot.analysis.sentences import p_text, sentence, variation
from pilot.analysis.sizing import Expected
from pilot.analysis.strata import inside_strata, strata_weights
from pilot.analysis.tails import p_value

FEW_STRATA = 5
"""Below this number of strata the spread between them is hardly known."""

Found = tuple[str, MeanDifference]
"""Label of a stratum, and the difference of means in it."""


@dataclass(frozen=True)
class Heterogeneity(Analysis):
    """Whether the difference of means is the same in all strata: a test of interaction, not one verdict for each.

    The estimate is the standard deviation of the true effects between strata. p is that of no interaction, by Welch's F,
    which allows for strata with different spreads. Differences and intervals of the strata, Cochran's Q, I squared and
    Gail and Simon's test of a change of sign stand in the details.

    Args:
        level: Two-sided confidence level of all intervals.
    """

    key = "heterogeneity"
    label = "Effect by stratum, and whether it varies"
    needs = frozenset({Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset(Scale)
    reference = "Cochran 1954, Biometrics 10:101; Welch 1951, Biometrika 38:330; Gail and Simon 1985, Biometrics 41:361"
    sizes = "standard deviation of the effect between strata"

    level: Level = 0.95

    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """See `Analysis.compare`. The estimate has no sign: swapping arms leaves it."""
        pair = inside_strata(Pair.of(self, evidence, arm))
        reason = lacking(pair) or ("" if pair.stratified else "there are no strata")
        if reason:
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        cells = layers(pair.n, pair.mean, pair.m2, strata_weights(pair)[0], pair.evidence.strata)
        strata, flat = _differences(cells, pair.evidence.strata)
        if len(strata) < 2:
            reason = "it takes two strata with a spread and at least two values in each arm to see whether they differ"
            return NotEnoughData(self.key, evidence.outcome, arm, reason)
        found = Variation.of(*zip(*((d.estimate, d.standard_error, d.df) for _, d in strata), strict=True))
        low, high = found.spread_interval(self.level)
        estimates, errors = zip(*((d.estimate, d.standard_error) for _, d in strata), strict=True)
        turned = gail_simon(estimates, errors)
        return record(
            self,
            pair,
            arms=pair.summaries(),
            checks=(review.sizes(pair), *review.cells(pair, cells), *_few(strata, flat), *review.response(pair)),
            method=f"Interaction over {len(strata)} strata by Welch's F; spread by Paule-Mandel, Q-profile interval",
            measure="standard deviation of the effect between strata",
            estimate=found.spread,
            low=low,
            high=high if high > 0 else None,
            level=self.level,
            statistic=found.f[0],
            df=found.f[1],
            p_value=p_value(found.log_p),
            log_p=found.log_p,
            alternative="any difference between strata",
            details=_details(found, strata, turned, self.level),
            sentence=_words(pair, found, (low, high), turned[1], estimates, self.level),
        )

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """See `Analysis.power`; the chance that p is small. `expected.strata` holds the shares of the strata.

        `effect` is a standard deviation: of two strata, the difference between their effects over the root of 2.

        Raises:
            InputError: The spread or the strata are missing.
        """
        return interaction_power(effect, expected.spreads, n, expected.strata, self.level)


def _differences(cells: Layers, labels: Sequence[str]) -> tuple[list[Found], list[str]]:
    """Differences of the strata that show a spread, and labels of those that do not."""
    names = [label or "(none)" for label in labels if label not in cells.joined]
    if cells.joined:
        names.append("joined: " + ", ".join(label or "(none)" for label in cells.joined))
    found, flat = [], []
    for k, name in enumerate(names):
        difference = mean_difference(cells.n[:, k], cells.mean[:, k], cells.m2[:, k])
        if difference is None:
            flat.append(name)
        else:
            found.append((name, difference))
    return found, flat


def _few(strata: Sequence[Found], flat: Sequence[str]) -> list[Check]:
    """Whether there are enough strata to know a spread between them, and which ones say nothing."""
    count = len(strata)
    text = f"The effect is compared over {count} strata"
    if count >= FEW_STRATA:
        found = [Check("few strata", float(count), "pass", f"{text}.")]
    else:
        text += f"; below {FEW_STRATA} the spread between them is hardly known: read the strata in the details."
        found = [Check("few strata", float(count), "warn", text)]
    if flat:
        names = ", ".join(flat)
        text = f"Strata in which all values of each arm are equal, or too few, cannot be compared and are left aside: {names}."
        found.append(Check("strata without spread", float(len(flat)), "warn", text))
    return found


def _details(
    found: Variation, strata: Sequence[Found], turned: tuple[float, float], level: float
) -> dict[str, float | None]:
    weights = 1 / found.variances
    details: dict[str, float | None] = {
        "Cochran Q": found.q,
        "Q df": float(found.between),
        "Q p": found.p_value_of_q,
        "I squared": found.share,
        "common effect": float(weights @ found.estimates / weights.sum()),
        "Gail-Simon": turned[0],
        "Gail-Simon p": turned[1],
    }
    if len(strata) == 2:
        gap, low, high = found.contrast(level)
        details |= {f"{strata[1][0]} minus {strata[0][0]}": gap, "minus low": low, "minus high": high}
    for name, difference in strata:
        low, high = difference.interval(level)
        details |= {f"{name}: difference": difference.estimate, f"{name}: low": low, f"{name}: high": high}
    return details


def _words(
    pair: Pair,
    found: Variation,
    interval: tuple[float, float],
    turned: float,
    estimates: Sequence[float],
    level: float,
) -> str:
    sign = ""
    if np.min(estimates) < 0 < np.max(estimates):
        sign = f"a change of sign between strata has p {p_text(math.log(turned))} (Gail-Simon)"
    spread = variation(pair, len(estimates), found.spread, *interval, level)
    if interval[1] <= 0:  # the set of spreads that fit is empty, which is no certainty of none
        spread = (
            f"{pair.evidence.outcome} differs less between the {len(estimates)} strata than chance alone would let it"
        )
    return sentence(
        spread,
        f"chance alone makes strata differ as much with p {p_text(found.log_p)}",
        sign,
    )
