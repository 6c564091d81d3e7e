"""The pictures of the base: Lorenz curve, months, activity. The page shows the numbers in a table beside each."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel.dates import format_skeleton
from flask_babel import force_locale, get_locale
from flask_babel import gettext as _

from pilot import __version__
from pilot.config import LANGUAGES, current
from pilot.customers.wording import ACTIVITY_NAMES
from pilot.pictures import GREY, HAIR, INK, SERIES, SOFT, WARN, Picture, figure, finish, style
from pilot.web import money, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"new": SERIES[2], "active": SERIES[0], "slowing": WARN, "lapsed": GREY, "lost": SOFT, "never": HAIR}
_NARROW = 3.7
"""A little more than a phone is wide, in inches: so letters keep their size there."""
_LETTERS = 9.5
_FOLDER, _OLD = "pictures", 40
"""Of so many bases and languages the pictures are kept."""


def of(summary: dict[str, Any]) -> dict[str, Picture]:
    """Every picture there are numbers for, by name, in the language of the page.

    Drawing takes a second or more, so they are kept in the data folder, by what they show.
    """
    file = current().data_dir / _FOLDER / f"{_fingerprint(summary)}.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {name: Picture(**picture) for name, picture in kept.items()}
    except (OSError, ValueError, TypeError):  # never drawn, or cut off by a full disk
        found = _drawn(summary)
        _keep(file, found)
        return found


def draw_ahead(summary: dict[str, Any]) -> None:
    """Draw what is not drawn yet, in every language, so that nobody waits for it on the page."""
    for language in LANGUAGES:
        with force_locale(language):
            of(summary)


def _drawn(summary: dict[str, Any]) -> dict[str, Picture]:
    found = {"activity": _activity(summary)}
    if summary["concentration"]["lorenz"]:
        found["lorenz"] = _lorenz(summary["concentration"])
    if len([month for month in summary["months"] if month["revenue"] is not None]) > 1:
        found["months"] = _months(summary["months"])
    return found


def _fingerprint(summary: dict[str, Any]) -> str:
    shown = {name: summary[name] for name in ("activity", "profiled", "concentration", "months")}
    told = json.dumps([__version__, _LETTERS, str(get_locale()), current().currency, shown], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _keep(file: Path, found: dict[str, Picture]) -> None:
    """Write the pictures whole or not at all, and drop the oldest; a full disk costs time, no page."""
    text = json.dumps({name: {"svg": picture.svg, "alt": picture.alt} for name, picture in found.items()})
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
        kept = sorted(file.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in kept[_OLD:]:
            old.unlink(missing_ok=True)


def share(value: float) -> str:
    """A share with as many digits as can be read from it."""
    return percent(value, 0 if value >= 0.1 else 1)


def _activity(summary: dict[str, Any]) -> Picture:
    """One bar for each state."""
    counts, total = summary["activity"], summary["profiled"]
    with style(_LETTERS):
        drawn = figure(0.1 + 0.29 * len(counts), _NARROW)
        axes = drawn.subplots()
        for place, (state, count) in enumerate(counts.items()):
            axes.barh(place, count, 0.62, color=_COLOURS[state], linewidth=0)
            _beside(axes, count, place, f"{number(count)}  ({share(count / total)})")
        axes.set_yticks(range(len(counts)), [str(ACTIVITY_NAMES[state]) for state in counts])
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_xlim(0, max(counts.values()) * 1.6 or 1)
        told = ", ".join(f"{ACTIVITY_NAMES[state]}: {number(count)}" for state, count in counts.items())
        return finish(drawn, _("Customers by activity. %(numbers)s", numbers=told), left=1.3, top=0.05, bottom=0.05)


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", color=INK)


def _lorenz(concentration: dict[str, Any]) -> Picture:
    """Cumulative revenue from the least to the best, against equality."""
    points = concentration["lorenz"]
    top = concentration["top"]["20"]
    with style(_LETTERS):
        drawn = figure(3.4, _NARROW)
        axes = drawn.subplots()
        places = [100 * place / (len(points) - 1) for place in range(len(points))]
        axes.plot([0, 100], [0, 1], color=GREY, linewidth=1, dashes=(4, 2))
        axes.plot(places, points, color=SERIES[0], linewidth=2)
        axes.fill_between(places, points, [place / 100 for place in places], color=SERIES[0], alpha=0.1, linewidth=0)
        axes.plot([80], [1 - top], "o", color=WARN, markersize=6)
        text = _("the best fifth: %(share)s", share=share(top))
        axes.annotate(text, (80, 1 - top), (-8, 4), textcoords="offset points", ha="right", weight="bold", color=WARN)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _place: percent(value / 100))
        axes.yaxis.set_major_formatter(lambda value, _place: percent(value))
        axes.set_xlabel(_("Customers, from the least revenue to the most"))
        axes.set_title(_("Share of the revenue"), loc="left", size=_LETTERS, color=SOFT)
        return finish(drawn, _("Lorenz curve of revenue: %(fifth)s", fifth=text), left=0.55, right=0.25, top=0.35)


def _months(months: list[dict[str, Any]]) -> Picture:
    """Revenue as bars, ordering customers as bars below, on one axis of months."""
    months = [month for month in months if month["revenue"] is not None]
    with style(_LETTERS):
        drawn = figure(4.2, _NARROW)
        above, below = drawn.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.75})
        places = range(len(months))
        colours = [SERIES[0] if month["finished"] else GREY for month in months]
        above.bar(places, [month["revenue"] for month in months], 0.72, color=colours, linewidth=0)
        above.set_title(_("Revenue by month"), loc="left", size=_LETTERS, color=SOFT)
        above.yaxis.set_major_formatter(lambda value, _place: number(value))
        below.bar(
            places, [month["returning"] for month in months], 0.72, color=SERIES[0], linewidth=0, label=_("returning")
        )
        bottoms = [month["returning"] for month in months]
        below.bar(
            places,
            [month["new"] for month in months],
            0.72,
            bottom=bottoms,
            color=SERIES[2],
            linewidth=0,
            label=_("new"),
        )
        below.set_title(_("Customers who ordered"), loc="left", size=_LETTERS, color=SOFT, pad=20)
        below.yaxis.set_major_formatter(lambda value, _place: number(value))
        below.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, ncols=2, fontsize=8.5, borderpad=0)
        for axes in (above, below):
            axes.locator_params(axis="y", nbins=4)
        step = max(1, len(months) // 4 + 1)
        below.set_xticks(list(places)[::step], [_named(month["month"]) for month in months][::step])
        last = months[-1]
        alt = _(
            "Revenue and ordering customers by month, %(count)s months; in the last one %(revenue)s from %(customers)s.",
            count=len(months),
            revenue=money(last["revenue"]),
            customers=number(last["customers"]),
        )
        return finish(drawn, alt, left=0.75, top=0.35)


def _named(month: str) -> str:
    return format_skeleton("yyMMM", date.fromisoformat(f"{month}-01"), locale=get_locale())
