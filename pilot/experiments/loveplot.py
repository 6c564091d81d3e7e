"""The picture of balance: one line for each field, a point for each standardised difference (after Love 2004)."""

from __future__ import annotations

from collections.abc import Callable

from flask_babel import gettext as _

from pilot.experiments.representativeness import NOTABLE, Balance, Line
from pilot.pictures import GREY, HAIR, SERIES, SOFT, Picture, figure, finish, style
from pilot.web import number

MOST_LINES = 40
"""The picture shows so many fields and categories, those with the largest differences; the table shows all."""
_LONGEST = 34
_SIGNS = ("o", "s", "D", "^", "v")


def draw(balance: Balance, name: Callable[[Line], str]) -> Picture:
    """Sample against frame, and each pilot arm against control."""
    lines = sorted(balance.lines, key=lambda line: line.largest, reverse=True)[:MOST_LINES]
    groups = ["sample", *balance.arms[1:]]
    titles = {"sample": _("sample to frame")} | {arm: _("%(arm)s to control", arm=arm) for arm in balance.arms[1:]}
    with style():
        drawn = figure(1.0 + 0.2 * len(lines))
        axes = drawn.subplots()
        axes.axvspan(-NOTABLE, NOTABLE, color=HAIR, alpha=0.35, linewidth=0)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        for place, group in enumerate(groups):
            found = [(line.differences.get(group), row) for row, line in enumerate(lines)]
            known = [(gap, row) for gap, row in found if gap is not None]
            colour = GREY if group == "sample" else SERIES[(place - 1) % len(SERIES)]
            axes.scatter(
                [gap for gap, _row in known], [row for _gap, row in known], 22, color=colour,
                marker=_SIGNS[place % len(_SIGNS)], label=titles[group], zorder=3,
            )  # fmt: skip
        reach = max([NOTABLE * 2, *(line.largest * 1.15 for line in lines)])
        axes.set_xlim(-reach, reach)
        axes.set_yticks(range(len(lines)), [_short(name(line)) for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel(_("Difference in standard deviations"))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
        return finish(drawn, _alt(balance, name), left=2.35, top=0.4)


def _alt(balance: Balance, name: Callable[[Line], str]) -> str:
    worst = max(balance.lines, key=lambda line: line.largest)
    return str(
        _(
            "Standardised differences of sample and arms on every field. The largest is %(gap)s, in %(field)s.",
            gap=number(worst.largest, 2),
            field=name(worst),
        )
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
