"""The pictures of power and rehearsal. The pages show the numbers in a table beside each."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _

from pilot.experiments import powerwording as words
from pilot.experiments.plan import Plan
from pilot.experiments.power import OutcomePower, PlanPower
from pilot.experiments.rehearsal import Tried
from pilot.pictures import GREY, HAIR, INK, SERIES, SOFT, WARN, Picture, figure, finish, style
from pilot.web import number, percent

_NARROW = 4.3
"""Half a page of the admin, in inches."""
_SERIOUS = 0.25
"""False alarms beyond this are drawn at the edge."""


def reach(power: PlanPower, found: OutcomePower) -> Picture | None:
    """The smallest difference (or margin) by customers of the pilot arm; None where fewer than two are known."""
    points = [point for point in found.points if point.smallest is not None]
    if len(points) < 2:
        return None
    scale, size = found.baseline.scale, min(power.plan.sampling.size, power.frame)
    sizes, gaps = [point.drawn[1] for point in points], [abs(point.smallest or 0.0) for point in points]
    title = _("Smallest margin") if found.margin is not None else _("Smallest difference")
    with style():
        drawn = figure(2.5, _NARROW)
        axes = drawn.subplots()
        axes.plot(sizes, gaps, color=SERIES[0], linewidth=2)
        axes.fill_between(sizes, gaps, max(gaps), color=SERIES[0], alpha=0.08, linewidth=0)
        for point, gap in zip(points, gaps, strict=True):
            if point.total == size:
                axes.plot([point.drawn[1]], [gap], "o", color=WARN, markersize=6)
                axes.annotate(
                    words.brief(scale, gap),
                    (point.drawn[1], gap),
                    (7, 7),
                    textcoords="offset points",
                    weight="bold",
                    color=WARN,
                )
        axes.set_xscale("log")
        axes.set_xticks(_ticks(sizes), [number(tick) for tick in _ticks(sizes)])
        axes.minorticks_off()
        axes.set_ylim(0, max(gaps) * 1.02)
        axes.locator_params(axis="y", nbins=4)
        axes.yaxis.set_major_formatter(lambda value, _place: words.amount(scale, value))
        axes.grid(axis="y", color=HAIR, linewidth=0.5)
        axes.set_xlabel(_("Customers in the pilot arm"))
        axes.set_title(title, loc="left", size=8.5, color=SOFT)
        told = _(
            "%(title)s by customers in the pilot arm: %(most)s with %(few)s, %(least)s with %(many)s.",
            title=title,
            most=words.gap(scale, gaps[0]),
            few=number(sizes[0]),
            least=words.gap(scale, gaps[-1]),
            many=number(sizes[-1]),
        )
        return finish(drawn, told, left=0.75, right=0.2, top=0.35)


def alarms(plan: Plan, tried: Sequence[Tried]) -> Picture | None:
    """False alarms of every analysis with their intervals, beside what it allows; None where there are none."""
    known = [item for item in tried if item.alarms.times]
    if not known:
        return None
    widest = min(_SERIOUS, max(0.1, *(1.1 * item.alarms.high for item in known)))
    with style():
        drawn = figure(0.8 + 0.36 * len(known), _NARROW)
        axes = drawn.subplots()
        for place, item in enumerate(known):
            colour = WARN if item.verdict == "too_many" else SERIES[0]
            axes.plot(
                [item.alarms.low, item.alarms.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt"
            )
            axes.plot([item.alarms.share], [place], "o", color=colour, markersize=5)
            axes.plot([item.nominal, item.nominal], [place - 0.32, place + 0.32], color=INK, linewidth=1.4)
        axes.set_yticks(range(len(known)), [_row(plan, item) for item in known])
        axes.invert_yaxis()
        axes.set_xlim(0, widest)
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _place: percent(value, 0 if widest > 0.04 else 1))
        axes.grid(axis="x", color=GREY, linewidth=0.4, alpha=0.6)
        axes.set_xlabel(_("False alarms (line: allowed)"))
        told = "; ".join(f"{_row(plan, item)}: {percent(item.alarms.share, 1)}" for item in known)
        return finish(
            drawn, _("False alarms of each analysis. %(numbers)s", numbers=told), left=1.75, right=0.2, top=0.08
        )


def _row(plan: Plan, item: Tried) -> str:
    label = plan.outcome(item.outcome).label
    short = label if len(label) <= 24 else f"{label[:23].rstrip()}…"
    return f"{short}\n{item.analysis}" if len(plan.arms) == 2 else f"{short}\n{item.analysis} ({item.arm})"


def _ticks(sizes: Sequence[int]) -> list[int]:
    """Round numbers along a logarithmic axis, far enough from each other to be read."""
    steps = [factor * 10**power for power in range(1, 7) for factor in (1, 2, 5)]
    inside = [step for step in steps if sizes[0] <= step <= sizes[-1]]
    return inside[:: 1 + len(inside) // 7] or [sizes[0]]
