"""What every analysis returns: a `Comparison`, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pilot.errors import PluginError


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm's own numbers. `mean` and `sd` are None where they are undefined."""

    arm: str
    assigned: int | None
    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """An assumption looked at: its number and whether it `pass`es, deserves a `warn`, or `fail`s."""

    name: str
    value: float | None
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pilot arm against control, unrounded. Every contrast is pilot minus control.

    Attributes:
        analysis: Key of the analysis.
        method: One line naming the method and its variant.
        outcome: Key of the outcome.
        measure: What `estimate` is, e.g. `difference of means`.
        arm, control: The two arms compared.
        arms: Their summaries, control first.
        estimate: The effect, or None for checks without one.
        low, high: Limits of the interval at `level`; None where one side is open.
        level: Confidence level, two-sided.
        standard_error: Of the estimate, if the method has one.
        statistic, df: Of the test, if any.
        p_value: None where nothing is tested. Never 0: where it underflows, `log_p` still holds it.
        log_p: Natural logarithm of the p value.
        alternative: `two-sided`, `greater` or `less`, with the definition where there are several.
        margin: Non-inferiority margin, as a positive number on the outcome's scale.
        passed: For a rule or check: whether it passed. None for plain estimates.
        details: Further numbers of the method by name, such as `win odds`; None where one is undefined.
        settings: The part's settings.
        checks: Assumptions looked at.
        warnings: Sentences a reader must see beside the number.
        sentence: The result in plain English.
    """

    analysis: str
    method: str
    outcome: str
    measure: str
    arm: str
    control: str
    arms: tuple[ArmSummary, ...]
    estimate: float | None
    low: float | None
    high: float | None
    level: float
    standard_error: float | None = None
    statistic: float | None = None
    df: float | None = None
    p_value: float | None = None
    log_p: float | None = None
    alternative: str = "two-sided"
    margin: float | None = None
    passed: bool | None = None
    details: Mapping[str, float | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    sentence: str = ""

    def __repr__(self) -> str:
        """The result at a glance."""
        number = "no estimate" if self.estimate is None else f"{self.estimate:.6g}"
        limits = ", ".join("open" if limit is None else f"{limit:.6g}" for limit in (self.low, self.high))
        interval = "" if self.low is None and self.high is None else f", {100 * self.level:g} % interval {limits}"
        tested = "" if self.p_value is None else f", p {self.p_value:.3g}"
        verdict = "" if self.passed is None else f", {'passed' if self.passed else 'not passed'}"
        return (
            f"<{self.analysis}: {self.outcome}, {self.arm} against {self.control}: "
            f"{self.measure} {number}{interval}{tested}{verdict}>"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, marked `"kind": "comparison"`.

        Raises:
            PluginError: The analysis gave a number that is not finite.
        """
        written = asdict(self)
        for name, value in {**written, **self.details}.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise PluginError(
                    f"{self.analysis} gave {value} as {name}",
                    place=self.outcome,
                    remedy="Look for a setting or a value far out of scale, or take another analysis",
                )
        return {"kind": "comparison", **written}


@dataclass(frozen=True, slots=True)
class NotEnoughData:
    """An outcome of an analysis in its own right: nothing can be said, and this is why."""

    analysis: str
    outcome: str
    arm: str
    reason: str

    def __repr__(self) -> str:
        """The reason at a glance."""
        return f"<{self.analysis}: {self.outcome}, {self.arm}: not enough data, {self.reason}>"

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, marked `"kind": "not_enough_data"`."""
        return {"kind": "not_enough_data", **asdict(self)}


def from_json(data: Mapping[str, Any]) -> Comparison | NotEnoughData:
    """The record that `as_json` wrote."""
    values = {name: value for name, value in data.items() if name != "kind"}
    if data["kind"] == "not_enough_data":
        return NotEnoughData(**values)
    values["arms"] = tuple(ArmSummary(**arm) for arm in values["arms"])
    values["checks"] = tuple(Check(**check) for check in values["checks"])
    values["warnings"] = tuple(values["warnings"])
    return Comparison(**values)
