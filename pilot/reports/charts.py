"""The pictures of a report. An arm has one colour in all of them: control grey, pilot arms in the order of the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pilot.pictures import GREY, HARM, INK, SERIES, SOFT, WARN, Picture, figure, finish, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Line:
    """One interval: its label, position of the arm among the pilot arms, numbers, and what is written beside it."""

    label: str
    arm: int
    estimate: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Differences of one outcome on one axis.

    Attributes:
        title: What is compared, above the panel.
        lines: The intervals, from top to bottom.
        threshold: The difference that must not be reached: its harmful side is shaded, and a line drawn unless
            it is zero. None: only zero is drawn.
        harm: The side where the pilot is worse: -1 below, 1 above.
        threshold_text, zero_text: Labels of the two lines.
        worse, better: What the two sides of zero mean, below the axis.
        tick: Writes a number of the axis.
    """

    title: str
    lines: Sequence[Line]
    threshold: float | None
    harm: int
    threshold_text: str
    zero_text: str
    worse: str
    better: str
    tick: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Bar:
    """One arm's mean with the limits of its interval; `arm` is -1 for control."""

    label: str
    arm: int
    value: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Shares:
    """How one arm's answers spread over the levels; shares sum to one. `arm` is -1 for control."""

    label: str
    arm: int
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each level was answered, per arm. `write` writes a share."""

    arms: Sequence[Shares]
    levels: Sequence[str]
    write: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Means:
    """Each arm's mean with its interval."""

    bars: Sequence[Bar]


def differences(panels: Sequence[Panel], alt: str) -> Picture:
    """Intervals of differences against zero and the threshold, one panel beside the other."""
    with style():
        drawn = figure(1.35 + 0.42 * max(len(panel.lines) for panel in panels))
        grid = drawn.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.12})
        for axes, panel in zip(grid[0], panels, strict=True):
            _draw_panel(axes, panel)
        return finish(drawn, alt)


def outcome(own: Distribution | Means, panel: Panel | None, alt: str) -> Picture:
    """What each arm did, on the left, and the difference between them on the right."""
    with style():
        drawn = figure(1.3 + 0.32 * (len(panel.lines) if panel else 1))
        columns = 1 if panel is None else 2
        grid = drawn.subplots(1, columns, squeeze=False, gridspec_kw={"wspace": 0.14})[0]
        _draw_distribution(grid[0], own) if isinstance(own, Distribution) else _draw_means(grid[0], own)
        if panel is not None:
            _draw_panel(grid[1], panel)
        return finish(drawn, alt)


def _draw_distribution(axes: Axes, own: Distribution) -> None:
    width = 0.84 / len(own.arms)
    room = len(own.levels) * len(own.arms) <= 12
    for place, shares in enumerate(own.arms):
        middle = [level + (place - (len(own.arms) - 1) / 2) * width for level in range(len(own.levels))]
        axes.bar(middle, shares.values, width * 0.94, color=_colour(shares.arm), label=shares.label, linewidth=0)
        for x, value in zip(middle, shares.values, strict=True):
            if room:
                axes.annotate(
                    own.write(value), (x, value), (0, 2), textcoords="offset points", ha="center", size=6.5, color=SOFT
                )
    axes.set_xticks(range(len(own.levels)), own.levels)
    axes.tick_params(axis="x", labelcolor=INK, length=0)
    axes.set_yticks([])
    axes.set_ylim(0, max(max(shares.values) for shares in own.arms) * 1.22 or 1)
    _legend(axes)


def _draw_means(axes: Axes, own: Means) -> None:
    for place, bar in enumerate(own.bars):
        axes.barh(-place, bar.value, 0.42, color=_colour(bar.arm), linewidth=0)
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [-place, -place], color=INK, linewidth=1.2, solid_capstyle="butt")
            axes.plot([bar.low, bar.high], [-place, -place], "|", color=INK, markersize=6, markeredgewidth=1.2)
        end = max(bar.value, bar.high or bar.value)
        axes.annotate(bar.text, (end, -place), (6, 0), textcoords="offset points", va="center", weight="bold")
        axes.annotate(bar.label, (0, -place + 0.27), (0, 1), textcoords="offset points", size=7.5, color=SOFT)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=0.8)
    top = max(max(bar.value, bar.high or bar.value) for bar in own.bars)
    axes.set_xlim(min(0.0, *(bar.value for bar in own.bars)), top * 1.3 or 1)
    axes.set_ylim(-len(own.bars) + 0.7, 0.62)


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        frameon=False,
        handlelength=0.9,
        handleheight=0.9,
        labelspacing=0.3,
        borderpad=0,
        fontsize=7.5,
    )


def _draw_panel(axes: Axes, panel: Panel) -> None:
    rows = len(panel.lines)
    low, high = _span(panel)
    axes.set_xlim(low, high)
    axes.set_ylim(rows - 0.35, -0.75)
    edge = low if panel.harm < 0 else high
    if panel.threshold is not None:
        axes.axvspan(*sorted((panel.threshold, edge)), color=HARM, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    if panel.threshold:
        axes.axvline(panel.threshold, color=WARN, linewidth=1.2, dashes=(4, 2))
        _above(axes, panel.threshold, panel.threshold_text, WARN, panel.harm)
    _above(axes, 0, panel.zero_text, SOFT, -panel.harm)
    for row, line in enumerate(panel.lines):
        _draw_line(axes, row, line, (low, high))
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda value, _place: panel.tick(value))
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(panel.title, loc="left", weight="bold", size=8.5, pad=18)
    sides = (panel.worse, panel.better) if panel.harm < 0 else (panel.better, panel.worse)
    axes.text(
        0, -0.0, "\N{LEFTWARDS ARROW} " + sides[0], transform=_below(axes), ha="left", va="top", size=7, color=SOFT
    )
    axes.text(
        1, -0.0, sides[1] + " \N{RIGHTWARDS ARROW}", transform=_below(axes), ha="right", va="top", size=7, color=SOFT
    )


def _draw_line(axes: Axes, row: int, line: Line, span: tuple[float, float]) -> None:
    colour = _colour(line.arm)
    low = span[0] if line.low is None else line.low
    high = span[1] if line.high is None else line.high
    axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="butt", clip_on=True)
    limits = [limit for limit in (line.low, line.high) if limit is not None]
    axes.plot(limits, [row] * len(limits), "|", color=colour, markersize=9, markeredgewidth=1.6)
    axes.plot([line.estimate], [row], "o", color=colour, markersize=7, markeredgecolor="white", markeredgewidth=1)
    text = f"{line.label}  {line.text}" if line.label else line.text
    axes.annotate(
        text,
        (line.estimate, row),
        (0, 8),
        textcoords="offset points",
        ha="center",
        weight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # lines behind it would cross out a digit
    )


def _span(panel: Panel) -> tuple[float, float]:
    """Limits of the axis: zero, threshold and all intervals, with room for the labels."""
    points = [0.0, *(line.estimate for line in panel.lines)]
    points += [limit for line in panel.lines for limit in (line.low, line.high) if limit is not None]
    points += [] if panel.threshold is None else [panel.threshold]
    least, most = min(points), max(points)
    extent = (most - least) or 1.0
    below, above = (0.45, 0.3) if panel.harm < 0 else (0.3, 0.45)
    if not panel.threshold:
        below = above = 0.25
    return least - below * extent, most + above * extent


def _above(axes: Axes, x: float, text: str, colour: str, side: int) -> None:
    """A label above the panel at `x`, growing to the left (-1) or right (1)."""
    axes.annotate(
        text,
        (x, 1),
        (3 * side, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if side < 0 else "left",
        size=7,
        color=colour,
    )


def _below(axes: Axes) -> Any:
    """Coordinates for text under the axis labels: fractions across, points down."""
    from matplotlib.transforms import ScaledTranslation

    drawn = axes.get_figure(root=True)
    assert drawn is not None  # noqa: S101 - axes made by subplots() have one
    return axes.transAxes + ScaledTranslation(0, -20 / 72, drawn.dpi_scale_trans)


def _colour(arm: int) -> str:
    return GREY if arm < 0 else SERIES[arm % len(SERIES)]
