"""Times until an event: what the analyses of retention share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pilot.analysis import review
from pilot.analysis.comparison import ArmSummary, Check
from pilot.analysis.contract import Analysis
from pilot.analysis.contrasts import left_aside, unweighted, with_rows
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.moments import FloatArray, Rows
from pilot.analysis.pairs import Pair
from pilot.analysis.strata import inside_strata, left_out
from pilot.analysis.survival import log_rank
from pilot.analysis.tails import p_value
from pilot.errors import InputError

FEW_EVENTS = 10
"""Below this number of events, or of customers without one, in an arm the normal law is a rough guide."""


@dataclass(frozen=True, eq=False)
class Times:
    """Times and events of two arms, and what was looked at. `pair` is seen through the rows."""

    pair: Pair
    rows: Rows
    seen: npt.NDArray[np.bool_]
    checks: tuple[Check, ...]

    def cell(self, arm: int, strata: Sequence[int] | None = None) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Times and events of one arm, in some strata or in all."""
        own = self.rows.arm == arm
        if strata is not None:
            own &= np.isin(self.rows.stratum, strata)
        return self.rows.value[own], self.seen[own]

    @property
    def events(self) -> tuple[int, int]:
        """Events of control and of the pilot arm."""
        return int((self.seen & (self.rows.arm == 0)).sum()), int((self.seen & (self.rows.arm == 1)).sum())

    def summaries(self, values: Sequence[float | None] = (None, None)) -> tuple[ArmSummary, ...]:
        """The arms' numbers; the plain mean of times that are cut short means nothing, so it is left out."""
        return tuple(
            replace(summary, mean=value, sd=None) for summary, value in zip(self.pair.summaries(), values, strict=True)
        )


class Retention(Analysis):
    """What the analyses of times share."""

    needs = frozenset({Need.ROWS, Need.MOMENTS, Need.ASSIGNED})
    scales = frozenset({Scale.TIME})
    columns = frozenset({"covariates"})

    event: str
    by_strata: bool
    level: float

    def times(self, evidence: Evidence, arm: str, beside: Sequence[str] = ()) -> Times:
        """Times and events; by strata, of those that have both arms.

        Args:
            evidence: Where they are.
            arm: The pilot arm.
            beside: Covariates that are not the event.

        Raises:
            InputError: A time or an event is not what it should be.
        """
        every = Pair.of(self, evidence, arm)
        rows = every.rows
        name = every.named(
            self.event,
            [name for name in rows.covariates if name not in beside],
            "whether the event was seen (1) or nobody looked any more (0)",
        )
        seen = rows.covariates[name]
        if not np.isin(seen, (0.0, 1.0)).all():
            raise InputError(
                "whether the event was seen must be 1 or 0",
                place=f"{evidence.outcome}, covariate {name}",
                remedy="Write 1 where the event was seen and 0 where nobody looked any more",
            )
        if not (np.isfinite(rows.value) & (rows.value >= 0)).all():
            raise InputError("a time is negative", place=evidence.outcome, remedy="Give days, 0 or more")
        pair = with_rows(every, rows)
        if self.by_strata:
            pair = inside_strata(pair)
            rows = pair.rows
        checks = (
            *left_aside(every, pair, f"a value of {name} or of another covariate"),
            *unweighted(rows),
            *(() if "clusters" in self.uses() else _clustered(rows)),
            *left_out(pair),
            *review.response(pair),
        )
        return Times(pair, rows, rows.covariates[name] == 1, checks)

    def lacking(self, times: Times) -> str:
        """Why the arms cannot be compared; empty if they can."""
        for name, n in zip((times.pair.control, times.pair.arm), times.pair.sizes, strict=True):
            if n == 0:
                return f"{name} has no customers"
        return ""


def _clustered(rows: Rows) -> list[Check]:
    """Clusters that the analysis does not know of."""
    if rows.cluster is None or len(np.unique(rows.cluster)) == len(rows.cluster):
        return []
    text = "Customers of the same cluster are taken as independent here: the interval may be too narrow."
    return [Check("clusters ignored", float(len(np.unique(rows.cluster))), "warn", text)]


def follow_up(times: Times) -> list[Check]:
    """Whether the arms were observed equally long: a log-rank test of the end of observation."""
    found = log_rank(times.rows.value, ~times.seen, times.rows.arm)
    if found is None:
        return []
    p = p_value(found.log_p)
    if p >= review.UNEQUAL:
        return [Check("equal follow-up", p, "pass", f"The arms were observed about equally long (p {p:.2g}).")]
    text = f"The arms were not observed equally long (p {p:.2g}): who was lost from sight may explain the difference."
    return [Check("equal follow-up", p, "warn", text)]


def few_events(times: Times, day: float | None = None) -> list[Check]:
    """Whether enough events were seen; with a day, up to it, and whether enough customers were seen without one."""
    smallest = min(times.events)
    if day is not None:
        cells = [times.cell(row) for row in (0, 1)]
        smallest = min(min(int((seen & (time <= day)).sum()), int((time >= day).sum())) for time, seen in cells)
    what = "events" if day is None else f"customers with the event, or without it, by day {day:g}"
    text = f"The smaller number of {what} in an arm is {smallest:,}"
    if smallest >= FEW_EVENTS:
        return [Check("few events", float(smallest), "pass", f"{text}.")]
    return [
        Check("few events", float(smallest), "warn", f"{text}; below {FEW_EVENTS} the interval is only a rough guide.")
    ]
