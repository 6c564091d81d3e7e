"""Results as plain English sentences: direction, size, uncertainty and number, never a verdict in one word."""

from __future__ import annotations

import math

from pilot.analysis.evidence import Scale
from pilot.analysis.pairs import Pair

_PERCENT = 100.0
_ROUNDING = 1e-12
"""An estimate below this share of its interval is 0 but for rounding."""


def effect(pair: Pair, estimate: float, low: float, high: float, level: float) -> str:
    """What was found, without full stop: `csat is 0.22 higher in pilot than in control (95 % interval ...)`."""
    digits = _digits(pair, high - low)
    size = _amount(pair, abs(estimate), digits)
    control, pilot = pair.sizes
    if size == _amount(pair, 0.0, digits):  # called observed, lest a small difference seem shown
        small = "0" if abs(estimate) <= _ROUNDING * (high - low) else f"less than {_smallest(pair, digits)}"
        found = f"the observed difference in {pair.evidence.outcome} between {pair.arm} and {pair.control} is {small}"
    else:
        direction = "higher" if estimate > 0 else "lower"
        found = f"{pair.evidence.outcome} is {size} {direction} in {pair.arm} than in {pair.control}"
    limits = f"{percent(level)} interval {_number(pair, low, digits)} to {_number(pair, high, digits)}"
    return f"{found} ({limits}; {pilot:,} and {control:,} {pair.units})"


def measured(pair: Pair, what: str, estimate: float, low: float, high: float, level: float) -> str:
    """What was found by a measure that is no difference: `the odds ratio of csat is 1.62 (95 % interval ...)`."""
    control, pilot = pair.sizes
    digits = min(8, max(2, 1 - math.floor(math.log10(high - low)))) if math.isfinite(high - low) and high > low else 2
    number, *limits = (f"{value:,.{digits}f}" for value in (estimate, low, high))
    found = f"the {what} of {pair.evidence.outcome} is {number} in {pair.arm} against {pair.control}"
    return f"{found} ({percent(level)} interval {' to '.join(limits)}; {pilot:,} and {control:,} {pair.units})"


def relative(pair: Pair, change: float, low: float, high: float, level: float) -> str:
    """What was found as a share of control's value: `revenue is 12 % higher in pilot than in control (...)`."""
    control, pilot = pair.sizes
    width = _PERCENT * (high - low)
    digits = min(8, max(0, 1 - math.floor(math.log10(width)))) if 0 < width < math.inf else 1
    size, *limits = (f"{round(_PERCENT * value, digits) + 0.0:,.{digits}f} %" for value in (abs(change), low, high))
    direction = "higher" if change > 0 else "lower"
    found = f"{pair.evidence.outcome} is {size} {direction} in {pair.arm} than in {pair.control}"
    return f"{found} ({percent(level)} interval {' to '.join(limits)}; {pilot:,} and {control:,} {pair.units})"


def variation(pair: Pair, strata: int, spread: float, low: float, high: float, level: float) -> str:
    """How much an effect varies: `the effect on csat varies over 3 strata with a standard deviation of 0.12 (...)`."""
    digits = _digits(pair, high - low)
    control, pilot = pair.sizes
    limits = f"{percent(level)} interval {_number(pair, low, digits)} to {_number(pair, high, digits)}"
    found = f"the effect on {pair.evidence.outcome} varies over {strata} strata with a standard deviation of"
    return f"{found} {_amount(pair, spread, digits)} ({limits}; {pilot:,} and {control:,} {pair.units})"


def between(pair: Pair, bounds: tuple[float, float], low: float, high: float, level: float) -> str:
    """A range instead of a number: `csat in pilot minus csat in control lies between -0.30 and 0.70 (95 % interval ...)`."""
    digits = _digits(pair, high - low)
    name, unit = pair.evidence.outcome, " percentage points" if pair.evidence.scale is Scale.BINARY else ""
    least, most = (_number(pair, bound, digits) for bound in bounds)
    control, pilot = pair.sizes
    found = f"{name} in {pair.arm} minus {name} in {pair.control} lies between {least} and {most}{unit}"
    limits = f"{percent(level)} interval {_number(pair, low, digits)} to {_number(pair, high, digits)}"
    return f"{found} ({limits}; {pilot:,} and {control:,} {pair.units})"


def amount(pair: Pair, value: float) -> str:
    """A value on the outcome's scale to two decimals, a share in percent: `2.61`, `35.2 %`."""
    if pair.evidence.scale is Scale.BINARY:
        return percent(round(value, 3))
    return f"{round(value, 2) + 0.0:,.2f}"


def reading(pair: Pair, low: float, high: float, null: float = 0.0) -> str:
    """What the interval leaves open, around the value that means no difference."""
    if low <= null <= high:
        return "the interval includes no difference"
    better = (low > null) == pair.evidence.higher_is_better
    return f"the whole interval lies on the {'better' if better else 'worse'} side"


def against_margin(pair: Pair, low: float, high: float, margin: float) -> str:
    """What the interval says of a worsening by the margin; a worsening within the margin is still called one."""
    higher_is_better = pair.evidence.higher_is_better
    worst, best = (low, high) if higher_is_better else (-high, -low)
    word, side = ("lower", "below") if higher_is_better else ("higher", "above")
    limit = _amount(pair, margin, _digits(pair, margin))
    if worst > -margin and best < 0:
        return f"the whole interval lies {side} zero, so it is {word}, yet by less than the margin of {limit}"
    if worst > -margin:
        return f"even the worse end of the interval stays within the margin of {limit}"
    if best < -margin:
        return f"the whole interval lies beyond the margin: it is {word} by more than {limit}"
    return f"a true value that is {word} by the margin of {limit} or more is not ruled out"


def within_margin(pair: Pair, low: float, high: float, margin: float) -> str:
    """What the interval says of a difference as large as the margin, on either side."""
    limit = _amount(pair, margin, _digits(pair, margin))
    if high < -margin or low > margin:
        return f"the whole interval lies beyond the margin: it differs by more than {limit}"
    if not (low > -margin and high < margin):
        return f"a true difference of {limit} or more is not ruled out"
    if low <= 0 <= high:
        return f"the whole interval stays within the margin of {limit} on either side"
    word, side = ("higher", "above") if low > 0 else ("lower", "below")
    return f"the whole interval lies {side} zero, so it is {word}, yet by less than the margin of {limit}"


def percent(share: float) -> str:
    """`95 %`, `97.5 %`."""
    return f"{round(_PERCENT * share, 4):g} %"


def p_text(log_p: float) -> str:
    """A p value to two digits, never 0."""
    exponent = math.floor(log_p / math.log(10))
    if exponent >= -4:
        return f"{math.exp(log_p):.2g}"
    return f"{math.exp(log_p - exponent * math.log(10)):.1f}e{exponent}"


def sentence(*clauses: str) -> str:
    """Clauses as one sentence."""
    return "; ".join(clause for clause in clauses if clause) + "."


def _digits(pair: Pair, width: float) -> int:
    """Decimals that show two digits of a width, and at least cents, or tenths of a percentage point."""
    binary = pair.evidence.scale is Scale.BINARY
    shown = width * _PERCENT if binary else width
    return min(8, max(1 if binary else 2, 1 - math.floor(math.log10(shown)))) if shown > 0 else 2


def _amount(pair: Pair, value: float, digits: int) -> str:
    return _number(pair, value, digits) + (" percentage points" if pair.evidence.scale is Scale.BINARY else "")


def _number(pair: Pair, value: float, digits: int) -> str:
    shown = value * _PERCENT if pair.evidence.scale is Scale.BINARY else value
    return f"{round(shown, digits) + 0.0:,.{digits}f}"


def _smallest(pair: Pair, digits: int) -> str:
    unit = 10.0**-digits
    return _amount(pair, unit / _PERCENT if pair.evidence.scale is Scale.BINARY else unit, digits)
