"""Comparisons as a person reads them on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pilot.analysis import ArmSummary, Comparison, NotEnoughData
from pilot.analysis.sentences import p_text, percent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Found = Comparison | NotEnoughData

_WIDTH = 100
"""Of what is printed where there is no terminal."""


def as_text(found: Sequence[Found], remark: str = "") -> str:
    """All comparisons, one below the other.

    Args:
        found: The comparisons.
        remark: A sentence to stand above them.
    """
    from rich.console import Console, Group

    out = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    with out.capture() as capture:
        if remark:
            out.print(remark, style="dim")
            out.print()
        for item in found:
            out.print(Group(*_block(item)), "")
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _block(item: Found) -> Iterator[RenderableType]:
    """One comparison: its arms, the effect with its interval, what it says, and what a reader must know."""
    from rich.padding import Padding
    from rich.text import Text

    if isinstance(item, NotEnoughData):
        yield Text(f"{item.outcome}: {item.arm}", style="bold")
        yield Padding(f"Not enough data for {item.analysis}: {item.reason}.", (1, 2))
        return
    yield Text(f"{item.outcome}: {item.arm} against {item.control}", style="bold")
    yield Padding(Text(item.method, style="dim"), (0, 2))
    yield Padding(_arm_table(item.arms), (1, 2))
    yield Padding(_number_table(item), (0, 2))
    yield Padding(Text(item.sentence), (1, 2))
    for warning in item.warnings:
        yield Padding(Text(f"Mind: {warning}", style="yellow"), (0, 2))


def _arm_table(arms: Sequence[ArmSummary]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("", "n", "mean", "sd"):
        table.add_column(title, justify="right" if title else "left")
    for arm in arms:
        table.add_row(arm.arm, f"{arm.n:,}", _figure(arm.mean), _figure(arm.sd))
    return table


def _number_table(item: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    table.add_column(style="dim")
    for name, value in _numbers(item):
        table.add_row(name, value)
    return table


def _numbers(item: Comparison) -> Iterator[tuple[str, str]]:
    if item.estimate is None:
        yield item.measure, "as planned" if item.passed else "not as planned"
    else:
        digits = _digits(item)
        yield item.measure, f"{item.estimate:,.{digits}f}"
        yield f"{percent(item.level)} interval", " to ".join(_limit(limit, digits) for limit in (item.low, item.high))
    if item.statistic is not None and item.estimate is None:
        yield "chi-square", f"{item.statistic:.4f}"
    if item.margin is not None:
        yield "margin", f"{item.margin:g}, {'kept' if item.passed else 'not shown to be kept'}"
    if item.log_p is not None:
        yield "p", f"{p_text(item.log_p)}, {item.alternative}"

    for name, value in item.details.items():
        yield name, "undefined" if value is None else f"{value:,.6g}"


def _digits(item: Comparison) -> int:
    """Decimals that show four digits of the interval's width."""
    width = (item.high or 0.0) - (item.low or 0.0) if None not in (item.low, item.high) else abs(item.estimate or 0.0)
    return max(4, 3 - math.floor(math.log10(width))) if width > 0 else 4


def _limit(value: float | None, digits: int) -> str:
    return "open" if value is None else f"{value:,.{digits}f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"
