"""Whether those who answered stand for those who were asked, and those for the population."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.moments import FloatArray
from pilot.analysis.tables import log_chi_square_upper
from pilot.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Margin:
    """A sample held against the population in one column.

    Attributes:
        sample: Share of the sample by level.
        population: Share of the population by level.
        dissimilarity: Share of the sample that would have to be others for it to match.
        chi_square: Pearson's, with the finite population correction for a simple random sample.
        df: Levels less one.
        log_p: Logarithm of its p value.
    """

    sample: FloatArray
    population: FloatArray
    dissimilarity: float
    chi_square: float
    df: int
    log_p: float


def against_population(sample: npt.ArrayLike, population: npt.ArrayLike) -> Margin:
    """The sample's make-up against the population's, level by level.

    In a sample that was drawn in proportion to the levels, or nearly so, chi-square is 0 by design: read the shares.

    Args:
        sample: Units of the sample by level.
        population: Units of the population by level, the sample included.

    Reference: Cochran 1977, Sampling Techniques, section 3.5.

    Raises:
        InputError: Nobody is in the sample, fewer than two levels have anybody, or a level has more in the sample than
            in the population.
    """
    drawn, frame = (np.asarray(counts, dtype=np.float64) for counts in (sample, population))
    if drawn.shape != frame.shape or (drawn > frame).any() or (drawn < 0).any():
        raise InputError("a level has more units in the sample than in the population", place="sample")
    kept = frame > 0
    if not drawn.any() or kept.sum() < 2:
        raise InputError("there is nobody in the sample, or only one level", place="sample")
    n, whole = drawn.sum(), frame.sum()
    share, wanted = drawn / n, frame / whole
    gap = share - wanted
    left = 1 - n / whole
    statistic = float(n * (gap[kept] ** 2 / wanted[kept]).sum() * (whole - 1) / whole / left) if left > 0 else 0.0
    df = int(kept.sum()) - 1
    return Margin(share, wanted, float(np.abs(gap).sum() / 2), statistic, df, log_chi_square_upper(statistic, df))


@dataclass(frozen=True, slots=True)
class Representativity:
    """How evenly units answered over the classes of an auxiliary variable.

    Attributes:
        r: The R-indicator, adjusted for bias: 1 where all classes answer alike, 0 at the most uneven.
        unadjusted: The same without the adjustment; too small in small samples.
        standard_error: Of `r`; None where all classes answered alike.
        rate: Response rate.
        variation: Coefficient of variation of the response chances, adjusted: the most by which the mean of those who
            answered can be off, in standard deviations of an answer.
    """

    r: float
    unadjusted: float
    standard_error: float | None
    rate: float
    variation: float


def r_indicator(answered: npt.ArrayLike, assigned: npt.ArrayLike) -> Representativity:
    """The R-indicator over classes, such as strata, all of whose units were asked.

    Response chances are the classes' response rates. Their variance is too large by what chance adds to each rate, on
    average `sum p (1 - p) / n` over all classes, which is taken off (Shlomo, Skinner and Schouten, for a model with one
    parameter for each class). The standard error counts that chance to the second order.

    Args:
        answered: Units with an answer by class, in any shape.
        assigned: Units asked.

    Reference: Schouten, Cobben and Bethlehem 2009, Survey Methodology 35:101; Shlomo, Skinner and Schouten 2012,
    Journal of Statistical Planning and Inference 142:201.

    Raises:
        InputError: There are no units, nobody answered, or more answered than were asked.
    """
    rates, units = _classes(answered, assigned)
    n = units.sum()
    share = units / n
    rate = float(share @ rates)
    factor = n / max(n - 1, 1)
    gap = rates - rate
    variance = factor * float(share @ gap**2)
    noise = rates * (1 - rates)
    adjusted = max((1 + 1 / n) * variance - float(noise.sum()) / n, 0.0)
    each = noise / units
    form = np.diag(share) - np.outer(share, share)
    second = factor**2 * float(((form * each) * (form * each).T).sum())
    first = 4 * factor**2 * float((share**2 * gap**2) @ each)
    spread = max(first - 2 * second, 2 * second)
    return Representativity(
        1 - 2 * math.sqrt(adjusted),
        1 - 2 * math.sqrt(variance),
        math.sqrt(spread / variance) if variance > 0 else None,
        rate,
        math.sqrt(adjusted) / rate,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """How much one variable contributes to uneven response.

    Attributes:
        unconditional: Standard deviation of the response chances between its categories.
        conditional: The same between its categories while the other variables are held fixed.
        by_category: For each category, the root of its part of `unconditional`, below 0 where it answered too little.
    """

    unconditional: float
    conditional: float
    by_category: FloatArray


def partial_r(answered: npt.ArrayLike, assigned: npt.ArrayLike, axis: int) -> Partial:
    """Partial R-indicators of one variable, from a table of all variables crossed.

    Args:
        answered: Units with an answer; each axis is a variable.
        assigned: Units asked, in the same shape.
        axis: The variable.

    Reference: Schouten, Shlomo and Skinner 2011, Journal of Official Statistics 27:231.

    Raises:
        InputError: As for `r_indicator`.
    """
    table, units = np.asarray(answered, dtype=np.float64), np.asarray(assigned, dtype=np.float64)
    _classes(table, units)
    whole, rate = units.sum(), table.sum() / units.sum()
    rates = np.where(units > 0, table / np.where(units > 0, units, 1), 0.0)
    others = tuple(place for place in range(units.ndim) if place != axis)
    size, given = units.sum(axis=others), table.sum(axis=others)
    own = np.where(size > 0, given / np.where(size > 0, size, 1), rate)
    parts = size / whole * (own - rate) ** 2
    beside = units.sum(axis=axis, keepdims=True)
    held = table.sum(axis=axis, keepdims=True) / np.where(beside > 0, beside, 1)
    within = float((units * (rates - held) ** 2).sum() / (whole - 1))
    return Partial(math.sqrt(float(parts.sum())), math.sqrt(within), np.sign(own - rate) * np.sqrt(parts))


def _classes(answered: npt.ArrayLike, assigned: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Response rates and units of the classes that have any."""
    table, units = (np.asarray(counts, dtype=np.float64).ravel() for counts in (answered, assigned))
    if table.shape != units.shape or (table > units).any() or (table < 0).any():
        raise InputError("more units answered than were asked", place="answered", remedy="Count each unit once")
    if not table.any():
        raise InputError("nobody answered", place="answered")
    asked = units > 0
    return table[asked] / units[asked], units[asked]


@dataclass(frozen=True, slots=True)
class Dispositions:
    """What became of the units of a survey, in AAPOR's words.

    Attributes:
        complete, partial: Interviews (I, P).
        refusal, non_contact, other: Eligible without interview (R, NC, O).
        unknown, unknown_other: Of unknown eligibility (UH, UO).
        not_eligible: Known not to belong to the population.
    """

    complete: int
    partial: int = 0
    refusal: int = 0
    non_contact: int = 0
    other: int = 0
    unknown: int = 0
    unknown_other: int = 0
    not_eligible: int = 0

    @property
    def eligible_share(self) -> float:
        """Share of eligible units among those of known eligibility, the usual guess for the others (CASRO)."""
        known = self.complete + self.partial + self.refusal + self.non_contact + self.other
        return known / (known + self.not_eligible) if known else 1.0


def response_rates(units: Dispositions, eligible: float | None = None) -> Mapping[str, float]:
    """The response rates RR1 to RR6 by name.

    RR1, RR3 and RR5 count complete interviews, RR2, RR4 and RR6 partial ones too. Units of unknown eligibility count in
    full in RR1 and RR2, by their estimated eligible share in RR3 and RR4, and not at all in RR5 and RR6.

    Args:
        units: What became of them.
        eligible: Share of the unknown units that is eligible; that of the known ones by default.

    Reference: AAPOR 2023, Standard Definitions, 10th edition.

    Raises:
        InputError: No unit is eligible, a number is negative, or the share is no share.
    """
    share = units.eligible_share if eligible is None else eligible
    interviews = units.complete + units.partial
    known = interviews + units.refusal + units.non_contact + units.other
    unknown = units.unknown + units.unknown_other
    if min(astuple(units)) < 0 or not 0 <= share <= 1:
        raise InputError("a number is negative, or the eligible share is no share", place="dispositions")
    if known == 0:
        raise InputError("no unit is known to be eligible", place="dispositions")
    found = {}
    for first, below in ((1, known + unknown), (3, known + share * unknown), (5, known)):
        found[f"RR{first}"] = units.complete / below
        found[f"RR{first + 1}"] = interviews / below
    return found
